package io.github.grpcsecurity.ratelimit;

import java.time.Duration;
import java.util.Collection;
import java.util.EnumMap;
import java.util.HashSet;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicLongArray;
import java.util.function.LongSupplier;

/**
 * Counts what each rule did of late, for people who look: in steps of ten seconds, over
 * the last minute. A call on the edge of a step may be left out. Thread-safe.
 *
 * @since 0.1.0
 */
public final class RecentRateLimits implements RateLimitObserver {

	/** How far back is counted. */
	public static final Duration WINDOW = Duration.ofMinutes(1);

	private static final int STEPS = 6;

	private final Map<String, Window> windows = new ConcurrentHashMap<>();

	private final LongSupplier nanoClock;

	private final long origin;

	/**
	 * Starts to count.
	 * @param nanoClock a clock that never goes back, such as {@link System#nanoTime()}
	 */
	public RecentRateLimits(LongSupplier nanoClock) {
		this.nanoClock = nanoClock;
		this.origin = nanoClock.getAsLong();
	}

	@Override
	public void applied(RateLimitRule rule, Outcome outcome) {
		count(rule.name(), outcome);
	}

	@Override
	public void applied(ConcurrencyRule rule, Outcome outcome) {
		count(rule.name(), outcome);
	}

	private void count(String rule, Outcome outcome) {
		Window window = this.windows.get(rule);
		if (window == null) {
			window = this.windows.computeIfAbsent(rule, (name) -> new Window());
		}
		window.count(outcome, step());
	}

	/**
	 * What a rule did in the last minute.
	 * @param rule name of the rule
	 * @return how often it did each of the things that it can do, without those that it
	 * did not do
	 */
	public Map<Outcome, Long> of(String rule) {
		Map<Outcome, Long> counts = new EnumMap<>(Outcome.class);
		Window window = this.windows.get(rule);
		if (window != null) {
			window.sum(step(), counts);
		}
		return counts;
	}

	/**
	 * Forgets rules that are no longer there.
	 * @param rules all rules that count calls or messages per period
	 * @param concurrency all rules that count calls in flight
	 */
	public void update(Collection<RateLimitRule> rules, Collection<ConcurrencyRule> concurrency) {
		Set<String> names = new HashSet<>();
		rules.forEach((rule) -> names.add(rule.name()));
		concurrency.forEach((rule) -> names.add(rule.name()));
		this.windows.keySet().retainAll(names);
	}

	private long step() {
		return (this.nanoClock.getAsLong() - this.origin) / (WINDOW.toNanos() / STEPS);
	}

	/** The counters of one rule. */
	private static final class Window {

		/** Which step each place of the counters is for. */
		private final AtomicLongArray steps = new AtomicLongArray(STEPS);

		private final Map<Outcome, AtomicLongArray> counts = new EnumMap<>(Outcome.class);

		Window() {
			for (Outcome outcome : Outcome.values()) {
				this.counts.put(outcome, new AtomicLongArray(STEPS));
			}
		}

		void count(Outcome outcome, long step) {
			int place = (int) (step % STEPS);
			long before = this.steps.get(place);
			if (before < step && this.steps.compareAndSet(place, before, step)) {
				this.counts.values().forEach((count) -> count.set(place, 0));
			}
			AtomicLongArray count = this.counts.get(outcome);
			if (count != null) {
				count.incrementAndGet(place);
			}
		}

		void sum(long now, Map<Outcome, Long> sums) {
			this.counts.forEach((outcome, count) -> {
				long sum = 0;
				for (int place = 0; place < STEPS; place++) {
					if (now - this.steps.get(place) < STEPS) {
						sum += count.get(place);
					}
				}
				if (sum > 0) {
					sums.put(outcome, sum);
				}
			});
		}

	}

}
