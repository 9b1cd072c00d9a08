package io.github.grpcsecurity.server;

import java.util.concurrent.Executor;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledThreadPoolExecutor;
import java.util.concurrent.SynchronousQueue;
import java.util.concurrent.ThreadFactory;
import java.util.concurrent.ThreadPoolExecutor;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;

/**
 * The threads of the security pipeline: an executor on which calls go on whose decision
 * had to be waited for, and one timer.
 * <p>
 * It is deliberately no {@link Executor} itself: a bean of that type would change what
 * Spring Boot configures. Threads are daemons, start when they are needed and end when
 * they are idle. Thread-safe.
 *
 * @since 0.1.0
 */
public final class GrpcSecurityThreads implements AutoCloseable {

	private static final long IDLE_SECONDS = 30;

	private final ExecutorService executor;

	private final ScheduledThreadPoolExecutor scheduler;

	/** Creates the pools; no thread starts yet. */
	public GrpcSecurityThreads() {
		ThreadFactory threads = daemons("grpc-security-");
		// Handlers may run here, so like gRPC's own default executor it never queues
		this.executor = new ThreadPoolExecutor(0, Integer.MAX_VALUE, IDLE_SECONDS, TimeUnit.SECONDS,
				new SynchronousQueue<>(), threads);
		this.scheduler = new ScheduledThreadPoolExecutor(1, daemons("grpc-security-timer-"));
		this.scheduler.setRemoveOnCancelPolicy(true);
		this.scheduler.setKeepAliveTime(IDLE_SECONDS, TimeUnit.SECONDS);
		this.scheduler.allowCoreThreadTimeOut(true);
	}

	private static ThreadFactory daemons(String prefix) {
		AtomicInteger count = new AtomicInteger();
		ThreadFactory factory = Executors.defaultThreadFactory();
		return (task) -> {
			Thread thread = factory.newThread(task);
			thread.setName(prefix + count.incrementAndGet());
			thread.setDaemon(true);
			return thread;
		};
	}

	/**
	 * Runs what may take its time or run user code.
	 * @return an executor that never queues
	 */
	public Executor executor() {
		return this.executor;
	}

	/**
	 * Runs short things later, such as the next look at a file. One thread for all: hand
	 * over to {@link #executor()} what may block.
	 * @return the timer
	 */
	public ScheduledThreadPoolExecutor scheduler() {
		return this.scheduler;
	}

	/** Ends all threads. What waits is dropped. */
	@Override
	public void close() {
		this.scheduler.shutdownNow();
		this.executor.shutdown();
	}

}
