package io.github.grpcsecurity.ratelimit;

import java.util.Arrays;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.TimeUnit;

import com.netflix.concurrency.limits.Limit;
import com.netflix.concurrency.limits.MetricRegistry;
import com.netflix.concurrency.limits.limit.VegasLimit;
import io.grpc.Status;

/**
 * A limit that grows as long as calls take no longer for it, and shrinks when they queue
 * or fail.
 * <p>
 * The algorithm is TCP Vegas as in Netflix' concurrency-limits. Its Gradient2 ignores
 * failed calls, which are what an overloaded server shows first. Vegas is fed with
 * windows of a second, and not with those of the library: there, one failed call makes a
 * failed second, and one slow call stretches the average, so that a single caller could
 * shrink the limit of all. Here a window has the median of its calls, and has failed if a
 * tenth of them have. Nor is a queue of a few calls taken for one, whatever the limit:
 * where many are in flight, that is the noise of any median. The limit grows while calls
 * take up to a tenth longer than the best, and shrinks when they take a quarter longer.
 * Thread-safe.
 */
final class AdaptiveLimit {

	private static final long WINDOW = TimeUnit.SECONDS.toNanos(1);

	/** A window with fewer calls goes on. */
	private static final int MIN_CALLS = 10;

	/** How many latencies of a window are kept, whichever they are. */
	private static final int MAX_LATENCIES = 100;

	/** One failed call in so many makes a failed window. */
	private static final int FAILED_SHARE = 10;

	/**
	 * Of a window that failed: longer than any, so that it is never taken for the best.
	 */
	private static final long FAILED_LATENCY = TimeUnit.HOURS.toNanos(1);

	private volatile ConcurrencyRule.Adaptive bounds;

	private volatile Limit limit;

	// Guarded by this, as is all that follows
	private final long[] latencies = new long[MAX_LATENCIES];

	private long windowStart;

	private int good;

	private int failed;

	/** Late calls, as long as nobody knows how long calls take. */
	private int unjudged;

	private int inFlight;

	/** Nine of ten good calls have lately taken no longer. */
	private long usual;

	/** What the algorithm takes for the latency of calls that do not queue. */
	private long best;

	AdaptiveLimit(int initial, ConcurrencyRule.Adaptive bounds) {
		this.bounds = bounds;
		this.limit = vegas(initial, bounds);
	}

	private Limit vegas(int initial, ConcurrencyRule.Adaptive bounds) {
		return VegasLimit.newBuilder()
			.initialLimit(initial)
			.maxConcurrency(bounds.max())
			.thresholdFunction((current) -> Math.max(1, current / 20))
			.alphaFunction((current) -> Math.max(3, current / 10))
			.betaFunction((current) -> Math.max(6, current / 5))
			.decreaseFunction((current) -> Math.max(bounds.min(), current - Math.max(1, Math.log10(current))))
			.metricRegistry(new BestLatency())
			.build();
	}

	int current() {
		return this.bounds.clamp(this.limit.getLimit());
	}

	/** Goes on within these bounds, with what was learned within others. */
	synchronized void within(ConcurrencyRule.Adaptive bounds) {
		if (bounds.equals(this.bounds)) {
			return;
		}
		Limit moved = vegas(bounds.clamp(current()), bounds);
		if (this.best > 0) {
			// The first latency that it sees is the best to it
			moved.onSample(0, this.best, 0, false);
		}
		this.limit = moved;
		this.bounds = bounds;
	}

	/**
	 * Learns from a call.
	 * @param startedAt when it started, in nanoseconds since any moment
	 * @param nanos how long it took
	 * @param inFlight how many calls were in flight when it started, with it
	 * @param code what it ended with
	 */
	synchronized void sample(long startedAt, long nanos, int inFlight, Status.Code code) {
		if (calls() == 0) {
			this.windowStart = startedAt + nanos;
		}
		switch (code) {
			case OK -> keep(nanos);
			case RESOURCE_EXHAUSTED, UNAVAILABLE -> this.failed++;
			case DEADLINE_EXCEEDED -> {
				if (nanos < this.usual) {
					// Who waits for less time than calls take says nothing about them
					return;
				}
				if (this.usual == 0) {
					this.unjudged++;
				}
				else {
					this.failed++;
				}
			}
			default -> {
				return;
			}
		}
		this.inFlight = Math.max(this.inFlight, inFlight);
		if (calls() >= MIN_CALLS && startedAt + nanos - this.windowStart >= WINDOW) {
			endWindow();
		}
	}

	private int calls() {
		return this.good + this.failed + this.unjudged;
	}

	// Each call of the window is as likely as any other to be among those that are kept
	private void keep(long nanos) {
		this.good++;
		int place = (this.good <= MAX_LATENCIES) ? this.good - 1 : ThreadLocalRandom.current().nextInt(this.good);
		if (place < MAX_LATENCIES) {
			this.latencies[place] = Math.max(nanos, 1);
		}
	}

	private void endWindow() {
		// As long as nobody knows how long calls take, late ones only count if all are
		int bad = (this.good == 0) ? this.failed + this.unjudged : this.failed;
		boolean dropped = bad * FAILED_SHARE >= this.good + bad;
		int kept = Math.min(this.good, MAX_LATENCIES);
		if (kept > 0) {
			Arrays.sort(this.latencies, 0, kept);
			this.usual = this.latencies[kept * 9 / 10];
		}
		this.limit.onSample(this.windowStart, dropped ? FAILED_LATENCY : this.latencies[kept / 2], this.inFlight,
				dropped);
		this.good = 0;
		this.failed = 0;
		this.unjudged = 0;
		this.inFlight = 0;
	}

	/** Hears of the best latency, which the library shows in no other way. */
	private final class BestLatency implements MetricRegistry {

		@Override
		public SampleListener distribution(String id, String... tagNameValuePairs) {
			return (nanos) -> AdaptiveLimit.this.best = nanos.longValue();
		}

	}

}
