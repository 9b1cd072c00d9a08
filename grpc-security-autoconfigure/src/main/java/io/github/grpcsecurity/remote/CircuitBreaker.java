package io.github.grpcsecurity.remote;

import java.time.Duration;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.LongSupplier;

/**
 * Remembers that something is down, so that not every call has to find out anew.
 * <p>
 * It opens after a number of failures in a row, spread over some time: a burst that makes
 * a few answers late at once is no outage. While it is open, one caller at a time gets to
 * probe, and not before an interval has passed since the last one did. Thread-safe.
 *
 * @since 0.1.0
 */
public final class CircuitBreaker {

	private final int threshold;

	private final long patienceNanos;

	private final long probeIntervalNanos;

	private final LongSupplier nanoClock;

	private final AtomicInteger failures = new AtomicInteger();

	/** When the first of the failures in a row happened. Guarded by this. */
	private long failingSince;

	// Written under the lock only; read by every call
	private volatile boolean closed;

	// Guarded by this
	private boolean probing;

	/** When the last probe started, or the breaker opened. */
	private volatile long since;

	/**
	 * Creates a breaker.
	 * @param closed whether it starts as if the other side was up
	 * @param threshold failures in a row before it opens, at least
	 * @param patience how long they have to go on for, at least
	 * @param probeInterval time between two probes while it is open
	 * @param nanoClock a clock that never goes back, such as {@link System#nanoTime()}
	 */
	public CircuitBreaker(boolean closed, int threshold, Duration patience, Duration probeInterval,
			LongSupplier nanoClock) {
		this.threshold = threshold;
		this.patienceNanos = patience.toNanos();
		this.probeIntervalNanos = probeInterval.toNanos();
		this.nanoClock = nanoClock;
		this.closed = closed;
		this.since = nanoClock.getAsLong() - this.probeIntervalNanos;
	}

	/**
	 * Whether the other side may be asked.
	 * @return {@code false} while only probes may
	 */
	public boolean closed() {
		return this.closed;
	}

	/**
	 * Asks for the turn to probe.
	 * @return whether the caller is to probe now, and to report the result
	 */
	public boolean startProbe() {
		long now = this.nanoClock.getAsLong();
		return now - this.since >= this.probeIntervalNanos && startProbe(now);
	}

	private synchronized boolean startProbe(long now) {
		if (this.closed || this.probing || now - this.since < this.probeIntervalNanos) {
			return false;
		}
		this.probing = true;
		this.since = now;
		return true;
	}

	/**
	 * Reports how a probe ended.
	 * @param success whether the other side is up again
	 */
	public synchronized void probed(boolean success) {
		this.probing = false;
		this.failures.set(0);
		this.closed = success;
	}

	/**
	 * Whether the last thing that was reported is a failure.
	 * @return whether a success would make a difference
	 */
	public boolean failing() {
		return this.failures.get() != 0;
	}

	/** Reports a success. */
	public void succeeded() {
		// A plain read first: the line is shared by all threads and hardly ever changes
		if (failing()) {
			this.failures.set(0);
		}
	}

	/**
	 * Reports a failure.
	 * @return whether that opened the breaker
	 */
	public synchronized boolean failed() {
		int count = this.failures.incrementAndGet();
		long now = this.nanoClock.getAsLong();
		if (count == 1) {
			this.failingSince = now;
		}
		if (!this.closed || count < this.threshold || now - this.failingSince < this.patienceNanos) {
			return false;
		}
		this.closed = false;
		this.since = now;
		return true;
	}

}
