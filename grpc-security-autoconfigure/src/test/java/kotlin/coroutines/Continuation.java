package kotlin.coroutines;

/** Stands for the type of this name in Kotlin, which the build does without. */
public interface Continuation<T> {

}
