package io.github.grpcsecurity.ratelimit;

import java.util.Collection;
import java.util.EnumMap;
import java.util.HashMap;
import java.util.Locale;
import java.util.Map;

import io.micrometer.core.instrument.Counter;
import io.micrometer.core.instrument.MeterRegistry;

/**
 * Counts what each rule does, as {@code grpc.security.rate-limit} with the tags
 * {@code rule} and {@code outcome}. Names of callers are in no tag, so the number of
 * meters is fixed.
 *
 * @since 0.1.0
 */
public final class MicrometerRateLimitObserver implements RateLimitObserver {

	private static final String NAME = "grpc.security.rate-limit";

	private final Map<String, Map<Outcome, Counter>> counters = new HashMap<>();

	/**
	 * Creates the counters of all rules.
	 * @param rules the rules
	 * @param registry where the counters are registered
	 */
	public MicrometerRateLimitObserver(Collection<RateLimitRule> rules, MeterRegistry registry) {
		for (RateLimitRule rule : rules) {
			Map<Outcome, Counter> outcomes = new EnumMap<>(Outcome.class);
			for (Outcome outcome : Outcome.values()) {
				outcomes.put(outcome,
						Counter.builder(NAME)
							.description("Calls that a rate limit rule was applied to")
							.tag("rule", rule.name())
							.tag("outcome", outcome.name().toLowerCase(Locale.ROOT))
							.register(registry));
			}
			this.counters.put(rule.name(), outcomes);
		}
	}

	@Override
	public void applied(RateLimitRule rule, Outcome outcome) {
		Map<Outcome, Counter> outcomes = this.counters.get(rule.name());
		Counter counter = (outcomes != null) ? outcomes.get(outcome) : null;
		if (counter != null) {
			counter.increment();
		}
	}

}
