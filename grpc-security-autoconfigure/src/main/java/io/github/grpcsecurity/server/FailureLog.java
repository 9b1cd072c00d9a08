package io.github.grpcsecurity.server;

import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.LongSupplier;

import org.apache.commons.logging.Log;

/**
 * Logs failures that a caller may be able to bring about: one with its cause every ten
 * seconds, the others at DEBUG, so that a flood of calls is no flood of stack traces.
 */
final class FailureLog {

	private static final long PAUSE_NANOS = TimeUnit.SECONDS.toNanos(10);

	private final Log logger;

	private final LongSupplier nanoClock;

	private final AtomicLong next;

	private final AtomicInteger left = new AtomicInteger();

	FailureLog(Log logger, LongSupplier nanoClock) {
		this.logger = logger;
		this.nanoClock = nanoClock;
		this.next = new AtomicLong(nanoClock.getAsLong());
	}

	void log(String message, Throwable failure) {
		long now = this.nanoClock.getAsLong();
		long due = this.next.get();
		if (now - due >= 0 && this.next.compareAndSet(due, now + PAUSE_NANOS)) {
			int before = this.left.getAndSet(0);
			this.logger.error((before > 0) ? message + " (" + before + " more since the last such line)" : message,
					failure);
		}
		else {
			this.left.incrementAndGet();
			this.logger.debug(message, failure);
		}
	}

}
