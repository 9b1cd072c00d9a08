package io.github.grpcsecurity.authorization;

import java.util.EnumMap;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;

import io.micrometer.core.instrument.Counter;
import io.micrometer.core.instrument.MeterRegistry;

/**
 * Counts what each rule decides, as {@code grpc.security.authorization} with the tags
 * {@code rule} and {@code outcome}. Nothing that a caller sends is in a tag, so the
 * number of meters is fixed by the configuration.
 *
 * @since 0.1.0
 */
public final class MicrometerAuthorizationObserver implements AuthorizationObserver {

	private static final String NAME = "grpc.security.authorization";

	private final Map<String, Map<Outcome, Counter>> counters = new ConcurrentHashMap<>();

	private final MeterRegistry registry;

	/**
	 * Creates an observer.
	 * @param registry where the counters are registered
	 */
	public MicrometerAuthorizationObserver(MeterRegistry registry) {
		this.registry = registry;
	}

	@Override
	public void decided(String rule, Outcome outcome) {
		Map<Outcome, Counter> outcomes = this.counters.get(rule);
		if (outcomes == null) {
			outcomes = this.counters.computeIfAbsent(rule, this::register);
		}
		Counter counter = outcomes.get(outcome);
		if (counter != null) {
			counter.increment();
		}
	}

	private Map<Outcome, Counter> register(String rule) {
		Map<Outcome, Counter> outcomes = new EnumMap<>(Outcome.class);
		for (Outcome outcome : Outcome.values()) {
			outcomes.put(outcome,
					Counter.builder(NAME)
						.description("Decisions about who may call what")
						.tag("rule", rule)
						.tag("outcome", outcome.name().toLowerCase(Locale.ROOT))
						.register(this.registry));
		}
		return outcomes;
	}

}
