package io.github.grpcsecurity.ratelimit;

import java.util.Collection;
import java.util.List;

import io.micrometer.core.instrument.FunctionCounter;
import io.micrometer.core.instrument.Gauge;
import io.micrometer.core.instrument.MeterRegistry;

/**
 * Shows how permits are shared: {@code grpc.security.rate-limit.leased}, the permits of
 * each rule that this server holds in advance;
 * {@code grpc.security.rate-limit.operations}, the commands sent to the store; and
 * {@code grpc.security.rate-limit.fallback}, 1 while the store is not asked because it
 * does not answer. Immutable.
 *
 * @since 0.1.0
 */
public final class SharedPermitsMetrics {

	private static final String PREFIX = "grpc.security.rate-limit.";

	private final List<RateLimitRule> rules;

	/**
	 * Creates the metrics.
	 * @param rules all rules
	 */
	public SharedPermitsMetrics(Collection<RateLimitRule> rules) {
		this.rules = List.copyOf(rules);
	}

	/**
	 * Registers the meters.
	 * @param limiter what they show; the registry does not keep it from being collected
	 * @param registry where they are registered
	 */
	public void bind(FailoverRateLimiter limiter, MeterRegistry registry) {
		FunctionCounter.builder(PREFIX + "operations", limiter, FailoverRateLimiter::operations)
			.description("Commands sent to the store of rate limits")
			.register(registry);
		Gauge.builder(PREFIX + "fallback", limiter, (shared) -> shared.fallbackActive() ? 1 : 0)
			.description("Whether the store of rate limits is not asked, because it does not answer")
			.register(registry);
		for (RateLimitRule rule : this.rules) {
			Gauge.builder(PREFIX + "leased", limiter, (shared) -> shared.leased(rule.name()))
				.description("Permits that this server holds in advance")
				.tag("rule", rule.name())
				.register(registry);
		}
	}

}
