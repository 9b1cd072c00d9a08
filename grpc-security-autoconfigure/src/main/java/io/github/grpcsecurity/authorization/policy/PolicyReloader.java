package io.github.grpcsecurity.authorization.policy;

import java.time.Duration;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Future;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.TimeUnit;

import io.github.grpcsecurity.server.GrpcSecurityThreads;
import org.apache.commons.logging.Log;
import org.apache.commons.logging.LogFactory;

import org.springframework.context.SmartLifecycle;

/**
 * Looks at policy files again and again, so that a changed one comes into force while the
 * server runs. Thread-safe.
 *
 * @since 0.1.0
 */
public final class PolicyReloader implements SmartLifecycle {

	private static final Log logger = LogFactory.getLog(PolicyReloader.class);

	private static final Duration LONGEST_SETTLING = Duration.ofSeconds(1);

	private final List<PolicyFile> files;

	private final GrpcSecurityThreads threads;

	private final Duration settling;

	private final Duration period;

	// Guarded by lifecycle, which nobody holds while files are read

	private final Object lifecycle = new Object();

	private final Map<PolicyFile, Future<?>> next = new HashMap<>();

	private boolean running;

	/**
	 * Creates a reloader; it begins to look when it is started.
	 * @param files the files
	 * @param interval how long a change may go unnoticed; zero for not looking at all
	 * @param threads where files are read
	 */
	public PolicyReloader(Collection<PolicyFile> files, Duration interval, GrpcSecurityThreads threads) {
		this.files = interval.isZero() ? List.of() : files.stream().filter(PolicyFile::changes).toList();
		this.threads = threads;
		Duration tenth = interval.dividedBy(10);
		this.settling = (tenth.compareTo(LONGEST_SETTLING) < 0) ? tenth : LONGEST_SETTLING;
		this.period = interval.minus(this.settling);
	}

	@Override
	public void start() {
		synchronized (this.lifecycle) {
			if (!this.running) {
				this.running = true;
				this.files.forEach((file) -> schedule(file, this.period));
			}
		}
	}

	@Override
	public void stop() {
		synchronized (this.lifecycle) {
			this.running = false;
			this.next.values().forEach((look) -> look.cancel(false));
			this.next.clear();
		}
	}

	@Override
	public boolean isRunning() {
		synchronized (this.lifecycle) {
			return this.running;
		}
	}

	private void schedule(PolicyFile file, Duration delay) {
		synchronized (this.lifecycle) {
			if (this.running) {
				this.next.put(file, this.threads.scheduler()
					.schedule(() -> execute(() -> poll(file)), delay.toNanos(), TimeUnit.NANOSECONDS));
			}
		}
	}

	private void execute(Runnable task) {
		try {
			this.threads.executor().execute(task);
		}
		catch (RejectedExecutionException ex) {
			logger.debug("The application ends, so policies are not looked at any more", ex);
		}
	}

	// One look plans the next, so there are never two at one file
	private void poll(PolicyFile file) {
		Duration delay = this.period;
		try {
			delay = file.look() ? this.settling : this.period;
		}
		catch (RuntimeException ex) {
			logger.error("Cannot look at " + file, ex);
		}
		finally {
			schedule(file, delay);
		}
	}

}
