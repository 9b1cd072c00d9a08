package io.github.grpcsecurity.propagation;

import java.util.concurrent.Callable;
import java.util.concurrent.Executor;
import java.util.concurrent.ExecutorService;
import java.util.function.Supplier;

import io.grpc.Context;
import org.jspecify.annotations.Nullable;

import org.springframework.security.core.context.SecurityContext;

/**
 * The identity that a thread works for, ready to be taken to another one: gRPC's
 * {@code Context}, where {@code GrpcCaller.current()} looks, and Spring's
 * {@code SecurityContext}, always both together.
 * <p>
 * Whatever runs inside has them, on a platform or a virtual thread; afterwards the thread
 * has again what it had before, also when the action throws. Captured where there is no
 * identity, it makes a thread work for nobody. Immutable and thread-safe; the
 * {@code SecurityContext} itself is shared, as with Spring Security's own wrappers, so
 * set another one rather than change it.
 *
 * @since 0.1.0
 */
public final class CallerContext {

	private final Context context;

	private final @Nullable SecurityContext identity;

	private CallerContext(Context context, @Nullable SecurityContext identity) {
		this.context = context;
		this.identity = identity;
	}

	/**
	 * Takes down what the current thread works for.
	 * @return the context of this thread
	 */
	public static CallerContext capture() {
		return new CallerContext(Context.current(), ThreadIdentity.current());
	}

	/**
	 * The same caller without the end of the call: neither its deadline nor its
	 * cancellation, which comes with its last response too, reach what runs inside. For
	 * work that goes on after the call, whose own gRPC calls would be cancelled
	 * otherwise.
	 * @return another context
	 */
	public CallerContext detached() {
		return new CallerContext(this.context.fork(), this.identity);
	}

	/**
	 * Runs an action here and now.
	 * @param action the action; what it throws passes through
	 */
	public void run(Runnable action) {
		SecurityContext previousIdentity = ThreadIdentity.replace(this.identity);
		Context previous = this.context.attach();
		try {
			action.run();
		}
		finally {
			this.context.detach(previous);
			ThreadIdentity.set(previousIdentity);
		}
	}

	/**
	 * Runs an action that has a result here and now.
	 * @param <T> type of the result
	 * @param action the action; what it throws passes through
	 * @return its result
	 * @throws Exception if the action throws one
	 */
	public <T extends @Nullable Object> T call(Callable<T> action) throws Exception {
		SecurityContext previousIdentity = ThreadIdentity.replace(this.identity);
		Context previous = this.context.attach();
		try {
			return action.call();
		}
		finally {
			this.context.detach(previous);
			ThreadIdentity.set(previousIdentity);
		}
	}

	/**
	 * Ties an action to this context.
	 * @param action the action
	 * @return an action for any thread
	 */
	public Runnable runnable(Runnable action) {
		return () -> run(action);
	}

	/**
	 * Ties an action that has a result to this context.
	 * @param <T> type of the result
	 * @param action the action
	 * @return an action for any thread
	 */
	public <T extends @Nullable Object> Callable<T> callable(Callable<T> action) {
		return () -> call(action);
	}

	/**
	 * Ties a supplier to this context.
	 * @param <T> type of the result
	 * @param action the supplier
	 * @return a supplier for any thread
	 */
	public <T extends @Nullable Object> Supplier<T> supplier(Supplier<T> action) {
		return () -> {
			SecurityContext previousIdentity = ThreadIdentity.replace(this.identity);
			Context previous = this.context.attach();
			try {
				return action.get();
			}
			finally {
				this.context.detach(previous);
				ThreadIdentity.set(previousIdentity);
			}
		};
	}

	/**
	 * An executor whose tasks all run in this context, whoever hands them over: for the
	 * later stages of a {@code CompletableFuture} that a thread without an identity
	 * completes, such as one of a client.
	 * @param executor runs the tasks; {@code Runnable::run} for the completing thread
	 * @return an executor for this call only
	 */
	public Executor executor(Executor executor) {
		return (task) -> executor.execute(runnable(task));
	}

	/**
	 * An executor whose tasks run in the context of the thread that hands them over.
	 * @param executor runs the tasks
	 * @return an executor for all calls
	 */
	public static Executor propagating(Executor executor) {
		return (task) -> executor.execute(capture().runnable(task));
	}

	/**
	 * An executor whose tasks run in the context of the thread that hands them over, such
	 * as that of virtual threads.
	 * @param executor runs the tasks; shut down and closed together with the result
	 * @return an executor for all calls
	 */
	public static ExecutorService propagating(ExecutorService executor) {
		return new PropagatingExecutorService(executor);
	}

}
