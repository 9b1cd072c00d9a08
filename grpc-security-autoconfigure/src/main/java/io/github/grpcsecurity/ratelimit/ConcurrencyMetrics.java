package io.github.grpcsecurity.ratelimit;

import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;

import io.micrometer.core.instrument.Gauge;
import io.micrometer.core.instrument.MeterRegistry;

/**
 * Shows how full the concurrency rules are: {@code grpc.security.rate-limit.in-flight},
 * the calls in flight; and {@code grpc.security.rate-limit.concurrency}, how many a rule
 * admits, which is 0 once it is gone. Names of callers are in no tag, so the number of
 * meters is that of the rules. What the rules do shows
 * {@link MicrometerRateLimitObserver}. Thread-safe.
 *
 * @since 0.1.0
 */
public final class ConcurrencyMetrics {

	private static final String PREFIX = "grpc.security.rate-limit.";

	private final Set<String> rules = ConcurrentHashMap.newKeySet();

	private final ConcurrencyLimiter limiter;

	private final MeterRegistry registry;

	/**
	 * Creates the metrics and registers the meters of all rules.
	 * @param limiter what they show; the registry does not keep it from being collected
	 * @param registry where they are registered
	 */
	public ConcurrencyMetrics(ConcurrencyLimiter limiter, MeterRegistry registry) {
		this.limiter = limiter;
		this.registry = registry;
		update();
	}

	/**
	 * Registers the meters of rules that are new. Those of others stay.
	 */
	public void update() {
		for (ConcurrencyRule rule : this.limiter.rules()) {
			if (this.rules.add(rule.name())) {
				register(rule.name());
			}
		}
	}

	private void register(String rule) {
		Gauge.builder(PREFIX + "in-flight", this.limiter, (calls) -> calls.inFlight(rule))
			.description("Calls in flight that a concurrency rule counts")
			.tag("rule", rule)
			.register(this.registry);
		Gauge.builder(PREFIX + "concurrency", this.limiter, (calls) -> calls.limit(rule))
			.description("Calls that a concurrency rule admits at a time")
			.tag("rule", rule)
			.register(this.registry);
	}

}
