package io.github.grpcsecurity.metrics;

import java.util.Locale;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;

import io.github.grpcsecurity.server.CallDecision;
import io.github.grpcsecurity.server.CallObserver;
import io.github.grpcsecurity.server.MethodPlan;
import io.github.grpcsecurity.server.Refusal;
import io.github.grpcsecurity.server.SecuredCall;
import io.github.grpcsecurity.server.SecurityStage;
import io.grpc.Status;
import io.micrometer.core.instrument.Counter;
import io.micrometer.core.instrument.MeterRegistry;
import io.micrometer.core.instrument.Timer;
import org.jspecify.annotations.Nullable;

/**
 * Times each call, with the status its client got, and counts refusals.
 * <p>
 * Only methods that the server has appear by name, so what clients send cannot make up
 * new time series. Thread-safe.
 *
 * @since 0.1.0
 */
public final class CallMetrics implements CallObserver {

	/** Name of the timer; its tags are {@code method} and {@code status}. */
	public static final String CALLS = "grpc.security.calls";

	/** Name of the counter; its tags are {@code stage} and {@code kind}. */
	public static final String REFUSALS = "grpc.security.refusals";

	private static final String UNKNOWN = "unknown";

	/** The stage of refusals that end a call whose handler runs. */
	private static final String RUNNING = "running";

	private final MeterRegistry registry;

	private final Map<TimerKey, Timer> timers = new ConcurrentHashMap<>();

	private final Map<CounterKey, Counter> counters = new ConcurrentHashMap<>();

	/**
	 * Creates an observer.
	 * @param registry where the meters are registered
	 */
	public CallMetrics(MeterRegistry registry) {
		this.registry = registry;
	}

	@Override
	public void decided(SecuredCall call, CallDecision decision) {
		Refusal refusal = decision.refusal();
		if (refusal != null) {
			count(decision.stage(), refusal);
		}
	}

	@Override
	public void closed(SecuredCall call, Status status) {
		Refusal endedBy = call.endedBy();
		if (endedBy != null) {
			count(null, endedBy);
		}
		MethodPlan plan = call.plan();
		String method = (plan != null && !plan.method().unknown()) ? plan.method().fullName() : UNKNOWN;
		this.timers.computeIfAbsent(new TimerKey(method, status.getCode()), this::timer).record(call.elapsed());
	}

	private void count(@Nullable SecurityStage stage, Refusal refusal) {
		this.counters.computeIfAbsent(new CounterKey(stage, refusal.kind()), this::counter).increment();
	}

	private Timer timer(TimerKey key) {
		return Timer.builder(CALLS)
			.description("Calls, from their headers to their end")
			.tag("method", key.method())
			.tag("status", key.status().name())
			.register(this.registry);
	}

	private Counter counter(CounterKey key) {
		return Counter.builder(REFUSALS)
			.description("Calls that the pipeline refused or ended")
			.tag("stage", (key.stage() != null) ? lowerCase(key.stage()) : RUNNING)
			.tag("kind", lowerCase(key.kind()))
			.register(this.registry);
	}

	private static String lowerCase(Enum<?> value) {
		return value.name().toLowerCase(Locale.ROOT);
	}

	private record TimerKey(String method, Status.Code status) {
	}

	private record CounterKey(@Nullable SecurityStage stage, Refusal.Kind kind) {
	}

}
