package io.github.grpcsecurity.ratelimit;

import java.util.List;
import java.util.Locale;

import io.github.grpcsecurity.ratelimit.RateLimitObserver.Outcome;
import io.micrometer.core.instrument.FunctionCounter;
import io.micrometer.core.instrument.Gauge;
import io.micrometer.core.instrument.MeterRegistry;

/**
 * Shows what the concurrency rules do: {@code grpc.security.rate-limit.in-flight}, the
 * calls in flight; {@code grpc.security.rate-limit.concurrency}, how many a rule admits;
 * and {@code grpc.security.rate-limit} with the tags {@code rule} and {@code outcome}, as
 * for other rules. Names of callers are in no tag, so the number of meters is fixed.
 *
 * @since 0.1.0
 */
public final class ConcurrencyMetrics {

	private static final String NAME = "grpc.security.rate-limit";

	private static final List<Outcome> OUTCOMES = List.of(Outcome.ALLOWED, Outcome.DENIED, Outcome.SHADOW_DENIED);

	/**
	 * Creates the metrics and registers their meters.
	 * @param limiter what they show; the registry does not keep it from being collected
	 * @param registry where they are registered
	 */
	public ConcurrencyMetrics(ConcurrencyLimiter limiter, MeterRegistry registry) {
		for (ConcurrencyRule rule : limiter.rules()) {
			Gauge.builder(NAME + ".in-flight", limiter, (calls) -> calls.inFlight(rule.name()))
				.description("Calls in flight that a concurrency rule counts")
				.tag("rule", rule.name())
				.register(registry);
			Gauge.builder(NAME + ".concurrency", limiter, (calls) -> calls.limit(rule.name()))
				.description("Calls that a concurrency rule admits at a time")
				.tag("rule", rule.name())
				.register(registry);
			for (Outcome outcome : OUTCOMES) {
				FunctionCounter.builder(NAME, limiter, (calls) -> calls.count(rule.name(), outcome))
					.description("Calls that a rate limit rule was applied to")
					.tag("rule", rule.name())
					.tag("outcome", outcome.name().toLowerCase(Locale.ROOT))
					.register(registry);
			}
		}
	}

}
