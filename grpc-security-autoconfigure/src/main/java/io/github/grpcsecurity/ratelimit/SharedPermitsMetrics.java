package io.github.grpcsecurity.ratelimit;

import java.util.Collection;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;

import io.micrometer.core.instrument.FunctionCounter;
import io.micrometer.core.instrument.Gauge;
import io.micrometer.core.instrument.MeterRegistry;
import io.micrometer.core.instrument.Timer;
import org.jspecify.annotations.Nullable;

/**
 * Shows how permits are shared: {@code grpc.security.rate-limit.leased}, the permits of
 * each rule that this server holds in advance;
 * {@code grpc.security.rate-limit.operations}, the commands sent to the store;
 * {@code grpc.security.rate-limit.latency}, how long it took to answer them; and
 * {@code grpc.security.rate-limit.fallback}, 1 while the store is not asked because it
 * does not answer, and 0 while no rule needs it. Thread-safe.
 *
 * @since 0.1.0
 */
public final class SharedPermitsMetrics {

	private static final String PREFIX = "grpc.security.rate-limit.";

	private final Set<String> rules = ConcurrentHashMap.newKeySet();

	private final @Nullable FailoverRateLimiter limiter;

	private final MeterRegistry registry;

	/** Whether a rule takes permits from the store. */
	private final AtomicBoolean needed = new AtomicBoolean();

	/**
	 * Registers the meters.
	 * @param rules all rules
	 * @param limiter what they show, and the registry does not keep it from being
	 * collected. There are none unless it is a {@link FailoverRateLimiter}.
	 * @param registry where they are registered
	 */
	public SharedPermitsMetrics(Collection<RateLimitRule> rules, RateLimiter limiter, MeterRegistry registry) {
		this.registry = registry;
		if (limiter instanceof FailoverRateLimiter shared) {
			this.limiter = shared;
			bind(shared, this.needed, registry);
		}
		else {
			this.limiter = null;
		}
		update(rules);
	}

	private static void bind(FailoverRateLimiter limiter, AtomicBoolean needed, MeterRegistry registry) {
		FunctionCounter.builder(PREFIX + "operations", limiter, FailoverRateLimiter::operations)
			.description("Commands sent to the store of rate limits")
			.register(registry);
		Gauge.builder(PREFIX + "fallback", limiter, (shared) -> (needed.get() && shared.fallbackActive()) ? 1 : 0)
			.description("Whether the store of rate limits is not asked, because it does not answer")
			.register(registry);
		Timer latency = Timer.builder(PREFIX + "latency")
			.description("Time in which the store of rate limits answered")
			.register(registry);
		limiter.timing((nanos) -> latency.record(nanos, TimeUnit.NANOSECONDS));
	}

	/**
	 * Registers the meters of rules that are new. Those of others stay.
	 * @param rules all rules
	 */
	public void update(Collection<RateLimitRule> rules) {
		this.needed.set(rules.stream().anyMatch(RateLimitRule::needsStore));
		FailoverRateLimiter current = this.limiter;
		for (RateLimitRule rule : rules) {
			if (current != null && this.rules.add(rule.name())) {
				Gauge.builder(PREFIX + "leased", current, (shared) -> shared.leased(rule.name()))
					.description("Permits that this server holds in advance")
					.tag("rule", rule.name())
					.register(this.registry);
			}
		}
	}

}
