package io.github.grpcsecurity.propagation;

import kotlin.coroutines.AbstractCoroutineContextElement;
import kotlin.coroutines.CoroutineContext;
import kotlinx.coroutines.ThreadContextElement;
import org.jspecify.annotations.Nullable;

import org.springframework.security.core.context.SecurityContext;

/**
 * Gives a Kotlin coroutine an identity of Spring Security, whichever thread it resumes
 * on.
 * <p>
 * The coroutines of gRPC services have it already. It is for those that a handler starts
 * outside of its own scope; there, add grpc-kotlin's {@code GrpcContextElement.current()}
 * for {@code GrpcCaller.current()}. Immutable.
 *
 * @since 0.1.0
 */
public final class CoroutineCaller extends AbstractCoroutineContextElement
		implements ThreadContextElement<@Nullable SecurityContext> {

	private static final CoroutineContext.Key<CoroutineCaller> KEY = new Key();

	private final @Nullable SecurityContext identity;

	private CoroutineCaller(@Nullable SecurityContext identity) {
		super(KEY);
		this.identity = identity;
	}

	/**
	 * Takes down the identity of the current thread.
	 * @return an element for the context of a coroutine; with none of an identity, the
	 * coroutine has none either
	 */
	public static CoroutineCaller current() {
		return new CoroutineCaller(ThreadIdentity.current());
	}

	@Override
	public @Nullable SecurityContext updateThreadContext(CoroutineContext context) {
		return ThreadIdentity.replace(this.identity);
	}

	@Override
	public void restoreThreadContext(CoroutineContext context, @Nullable SecurityContext previous) {
		ThreadIdentity.set(previous);
	}

	private static final class Key implements CoroutineContext.Key<CoroutineCaller> {

	}

}
