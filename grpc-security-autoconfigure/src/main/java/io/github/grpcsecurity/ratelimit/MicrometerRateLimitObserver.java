package io.github.grpcsecurity.ratelimit;

import java.util.Collection;
import java.util.EnumMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;

import io.micrometer.core.instrument.Counter;
import io.micrometer.core.instrument.MeterRegistry;

/**
 * Counts what each rule does, as {@code grpc.security.rate-limit} with the tags
 * {@code rule} and {@code outcome}. Names of callers are in no tag, so the number of
 * meters is that of the rules; those of a rule that is removed stay, and stand still.
 *
 * @since 0.1.0
 */
public final class MicrometerRateLimitObserver implements RateLimitObserver {

	private static final String NAME = "grpc.security.rate-limit";

	private final Map<String, Map<Outcome, Counter>> counters = new ConcurrentHashMap<>();

	private final MeterRegistry registry;

	/**
	 * Creates the counters of rules.
	 * @param rules the rules that count calls or messages per period
	 * @param registry where the counters are registered
	 */
	public MicrometerRateLimitObserver(Collection<RateLimitRule> rules, MeterRegistry registry) {
		this.registry = registry;
		update(rules, List.of());
	}

	/**
	 * Creates the counters of rules that are new. Those of others stay.
	 * @param rules the rules that count calls or messages per period
	 * @param concurrency the rules that count calls in flight
	 */
	public void update(Collection<RateLimitRule> rules, Collection<ConcurrencyRule> concurrency) {
		rules.forEach((rule) -> this.counters.computeIfAbsent(rule.name(), this::create));
		concurrency.forEach((rule) -> this.counters.computeIfAbsent(rule.name(), this::create));
	}

	private Map<Outcome, Counter> create(String rule) {
		Map<Outcome, Counter> outcomes = new EnumMap<>(Outcome.class);
		for (Outcome outcome : Outcome.values()) {
			outcomes.put(outcome,
					Counter.builder(NAME)
						.description("Calls that a rate limit rule was applied to")
						.tag("rule", rule)
						.tag("outcome", outcome.name().toLowerCase(Locale.ROOT))
						.register(this.registry));
		}
		return outcomes;
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
		Map<Outcome, Counter> outcomes = this.counters.get(rule);
		Counter counter = (outcomes != null) ? outcomes.get(outcome) : null;
		if (counter != null) {
			counter.increment();
		}
	}

}
