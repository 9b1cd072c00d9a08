package io.github.grpcsecurity.propagation;

import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;

import org.jspecify.annotations.Nullable;

/** Runs each task in the {@link CallerContext} of the thread that handed it over. */
final class PropagatingExecutorService implements ExecutorService, AutoCloseable {

	private final ExecutorService delegate;

	PropagatingExecutorService(ExecutorService delegate) {
		this.delegate = delegate;
	}

	@Override
	public void execute(Runnable task) {
		this.delegate.execute(CallerContext.capture().runnable(task));
	}

	@Override
	public <T extends @Nullable Object> Future<T> submit(Callable<T> task) {
		return this.delegate.submit(CallerContext.capture().callable(task));
	}

	@Override
	public <T extends @Nullable Object> Future<T> submit(Runnable task, T result) {
		return this.delegate.submit(CallerContext.capture().runnable(task), result);
	}

	@Override
	public Future<?> submit(Runnable task) {
		return this.delegate.submit(CallerContext.capture().runnable(task));
	}

	@Override
	public <T extends @Nullable Object> List<Future<T>> invokeAll(Collection<? extends Callable<T>> tasks)
			throws InterruptedException {
		return this.delegate.invokeAll(inContext(tasks));
	}

	@Override
	public <T extends @Nullable Object> List<Future<T>> invokeAll(Collection<? extends Callable<T>> tasks, long timeout,
			TimeUnit unit) throws InterruptedException {
		return this.delegate.invokeAll(inContext(tasks), timeout, unit);
	}

	@Override
	public <T extends @Nullable Object> T invokeAny(Collection<? extends Callable<T>> tasks)
			throws InterruptedException, ExecutionException {
		return this.delegate.invokeAny(inContext(tasks));
	}

	@Override
	public <T extends @Nullable Object> T invokeAny(Collection<? extends Callable<T>> tasks, long timeout,
			TimeUnit unit) throws InterruptedException, ExecutionException, TimeoutException {
		return this.delegate.invokeAny(inContext(tasks), timeout, unit);
	}

	private static <T extends @Nullable Object> List<Callable<T>> inContext(Collection<? extends Callable<T>> tasks) {
		CallerContext context = CallerContext.capture();
		List<Callable<T>> wrapped = new ArrayList<>(tasks.size());
		for (Callable<T> task : tasks) {
			wrapped.add(context.callable(task));
		}
		return wrapped;
	}

	@Override
	public void shutdown() {
		this.delegate.shutdown();
	}

	@Override
	public List<Runnable> shutdownNow() {
		return this.delegate.shutdownNow();
	}

	@Override
	public boolean isShutdown() {
		return this.delegate.isShutdown();
	}

	@Override
	public boolean isTerminated() {
		return this.delegate.isTerminated();
	}

	@Override
	public boolean awaitTermination(long timeout, TimeUnit unit) throws InterruptedException {
		return this.delegate.awaitTermination(timeout, unit);
	}

	// Executors can be closed from Java 19 on, and some, as the common pool, in a way of
	// their own
	@Override
	public void close() {
		if (this.delegate instanceof AutoCloseable closeable) {
			try {
				closeable.close();
			}
			catch (RuntimeException ex) {
				throw ex;
			}
			catch (Exception ex) {
				throw new IllegalStateException("Closing an executor failed", ex);
			}
		}
		else {
			this.delegate.shutdown();
		}
	}

}
