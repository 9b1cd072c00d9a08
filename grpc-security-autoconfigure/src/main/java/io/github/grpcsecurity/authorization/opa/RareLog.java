package io.github.grpcsecurity.authorization.opa;

import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.LongSupplier;

import org.apache.commons.logging.Log;

/**
 * Warns of what can happen to every call: once in ten seconds, otherwise at DEBUG.
 */
final class RareLog {

	private static final long PAUSE_NANOS = TimeUnit.SECONDS.toNanos(10);

	private final Log logger;

	private final LongSupplier nanoClock;

	private final AtomicLong next;

	private final AtomicInteger left = new AtomicInteger();

	RareLog(Log logger, LongSupplier nanoClock) {
		this.logger = logger;
		this.nanoClock = nanoClock;
		this.next = new AtomicLong(nanoClock.getAsLong());
	}

	void warn(String message) {
		long now = this.nanoClock.getAsLong();
		long due = this.next.get();
		if (now - due >= 0 && this.next.compareAndSet(due, now + PAUSE_NANOS)) {
			int before = this.left.getAndSet(0);
			this.logger.warn((before > 0) ? message + " (" + before + " more since the last such line)" : message);
		}
		else {
			this.left.incrementAndGet();
			this.logger.debug(message);
		}
	}

}
