package io.github.grpcsecurity.ratelimit;

import java.util.concurrent.TimeUnit;

import com.netflix.concurrency.limits.Limit;
import com.netflix.concurrency.limits.limit.VegasLimit;
import com.netflix.concurrency.limits.limit.WindowedLimit;

/**
 * A limit that grows as long as calls take no longer for it, and shrinks when they queue
 * or fail.
 * <p>
 * The algorithm is TCP Vegas as in Netflix' concurrency-limits, fed with averages of a
 * second so that calls of uneven length do not look like a queue. Its Gradient2 ignores
 * failed calls, which are what an overloaded server shows first. Thread-safe.
 */
final class AdaptiveLimit {

	private final ConcurrencyRule.Adaptive bounds;

	private final Limit limit;

	AdaptiveLimit(int initial, ConcurrencyRule.Adaptive bounds) {
		this.bounds = bounds;
		this.limit = WindowedLimit.newBuilder()
			.minRttThreshold(1, TimeUnit.NANOSECONDS)
			.build(VegasLimit.newBuilder()
				.initialLimit(initial)
				.maxConcurrency(bounds.max())
				.decreaseFunction((current) -> Math.max(bounds.min(), current - Math.max(1, Math.log10(current))))
				.build());
	}

	int current() {
		return Math.min(Math.max(this.limit.getLimit(), this.bounds.min()), this.bounds.max());
	}

	/**
	 * Learns from a call.
	 * @param startedAt when it started, in nanoseconds since any moment
	 * @param nanos how long it took
	 * @param inFlight how many calls were in flight when it started, with it
	 * @param dropped whether it failed as calls do when there are too many
	 */
	void sample(long startedAt, long nanos, int inFlight, boolean dropped) {
		this.limit.onSample(startedAt, Math.max(nanos, 1), inFlight, dropped);
	}

}
