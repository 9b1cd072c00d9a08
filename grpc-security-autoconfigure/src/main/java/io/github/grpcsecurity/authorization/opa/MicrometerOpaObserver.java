package io.github.grpcsecurity.authorization.opa;

import java.time.Duration;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;

import io.micrometer.core.instrument.MeterRegistry;
import io.micrometer.core.instrument.Timer;

/**
 * Times OPA's answers, as {@code grpc.security.authorization.opa} with the tags
 * {@code outcome}, {@code mode} and {@code remembered}. Thread-safe.
 *
 * @since 0.1.0
 */
public final class MicrometerOpaObserver implements OpaObserver {

	/**
	 * Name of the timer; its tags are {@code outcome}, {@code mode} and
	 * {@code remembered}.
	 */
	public static final String NAME = "grpc.security.authorization.opa";

	private final MeterRegistry registry;

	private final Map<Key, Timer> timers = new ConcurrentHashMap<>();

	/**
	 * Creates an observer.
	 * @param registry where the timers are registered
	 */
	public MicrometerOpaObserver(MeterRegistry registry) {
		this.registry = registry;
	}

	@Override
	public void answered(Outcome outcome, boolean shadow, boolean remembered, Duration elapsed) {
		this.timers.computeIfAbsent(new Key(outcome, shadow, remembered), this::timer).record(elapsed);
	}

	private Timer timer(Key key) {
		return Timer.builder(NAME)
			.description("Answers of OPA, from the question on")
			.tag("outcome", key.outcome().name().toLowerCase(Locale.ROOT))
			.tag("mode", key.shadow() ? "shadow" : "enforce")
			.tag("remembered", String.valueOf(key.remembered()))
			.register(this.registry);
	}

	private record Key(Outcome outcome, boolean shadow, boolean remembered) {
	}

}
