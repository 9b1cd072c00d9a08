package io.github.grpcsecurity.authorization.policy;

import java.util.EnumMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeUnit;

import io.micrometer.core.instrument.Counter;
import io.micrometer.core.instrument.Gauge;
import io.micrometer.core.instrument.MeterRegistry;
import io.micrometer.core.instrument.MultiGauge;
import io.micrometer.core.instrument.Tags;
import io.micrometer.core.instrument.TimeGauge;
import org.jspecify.annotations.Nullable;

/**
 * Shows which policy is in force, for how long, and what it decides. All meters begin
 * with {@code grpc.security.authorization.policy}; tags hold only what stands in
 * policies. Thread-safe.
 *
 * @since 0.1.0
 */
public final class MicrometerPolicyObserver implements PolicyObserver {

	private static final String PREFIX = "grpc.security.authorization.policy.";

	/**
	 * Counter of looks at other content; its tags are {@code role} and {@code result}.
	 */
	public static final String RELOAD = PREFIX + "reload";

	/** Gauge that is 1; its tags are {@code role}, {@code policy} and {@code hash}. */
	public static final String INFO = PREFIX + "info";

	/** Gauge of the time since the policy came into force; its tag is {@code role}. */
	public static final String AGE = PREFIX + "age";

	/**
	 * Gauge that is 1 while the content of the file cannot be used; its tag is
	 * {@code role}.
	 */
	public static final String FAILING = PREFIX + "failing";

	/**
	 * Counter of decisions; its tags are {@code policy}, {@code rule} and
	 * {@code decision}.
	 */
	public static final String DECISIONS = PREFIX + "decisions";

	/**
	 * Counter of what a candidate would have decided; its tags are {@code enforced} and
	 * {@code candidate}.
	 */
	public static final String SHADOW = PREFIX + "shadow";

	/** Counter of open calls that another version of the policy ended. */
	public static final String ENDED = PREFIX + "calls.ended";

	/** Counter of audit events that were dropped. */
	public static final String DROPPED = PREFIX + "audit.dropped";

	private final MeterRegistry registry;

	private final Counter ended;

	private final Counter dropped;

	// Guarded by this
	private final Map<PolicyFile.Role, MultiGauge> info = new EnumMap<>(PolicyFile.Role.class);

	private final Map<PolicyDecision, Counter> decisions = new ConcurrentHashMap<>();

	private final Map<String, Counter> shadows = new ConcurrentHashMap<>();

	/**
	 * Creates an observer.
	 * @param registry where the meters are registered
	 */
	public MicrometerPolicyObserver(MeterRegistry registry) {
		this.registry = registry;
		this.ended = Counter.builder(ENDED)
			.description("Open calls that another version of the policy ended")
			.register(registry);
		this.dropped = Counter.builder(DROPPED)
			.description("Audit events that were dropped because loggers are too slow")
			.register(registry);
	}

	@Override
	public synchronized void adopted(PolicyFile file) {
		String role = role(file);
		MultiGauge gauge = this.info.get(file.role());
		if (gauge == null) {
			gauge = MultiGauge.builder(INFO)
				.description("The policy in force")
				.tag("role", role)
				.register(this.registry);
			this.info.put(file.role(), gauge);
			TimeGauge.builder(AGE, file, TimeUnit.SECONDS, (one) -> one.age().toSeconds())
				.description("Time since the policy came into force")
				.tag("role", role)
				.register(this.registry);
			Gauge.builder(FAILING, file, (one) -> (one.lastError() != null) ? 1 : 0)
				.description("Whether the content of the policy file cannot be used")
				.tag("role", role)
				.register(this.registry);
			// There from the start, so that an alert can tell 0 from missing
			reloads(role, "failure");
			reloads(role, "success");
		}
		else {
			reloads(role, "success").increment();
		}
		gauge.register(
				List.of(MultiGauge.Row.of(Tags.of("policy", file.policy().name(), "hash", file.policy().hash()), 1)),
				true);
	}

	@Override
	public void failed(PolicyFile file, RuntimeException cause) {
		reloads(role(file), "failure").increment();
	}

	@Override
	public void decided(PolicyDecision decision) {
		this.decisions.computeIfAbsent(decision, this::decisions).increment();
	}

	@Override
	public void shadowed(@Nullable PolicyDecision enforced, PolicyDecision candidate) {
		String live = (enforced != null) ? text(enforced) : "none";
		String shadow = text(candidate);
		this.shadows
			.computeIfAbsent(live + " " + shadow,
					(key) -> Counter.builder(SHADOW)
						.description("What the candidate policy would have decided")
						.tag("enforced", live)
						.tag("candidate", shadow)
						.register(this.registry))
			.increment();
	}

	@Override
	public void ended(PolicyDecision decision) {
		this.ended.increment();
	}

	@Override
	public void auditEventDropped() {
		this.dropped.increment();
	}

	private Counter reloads(String role, String result) {
		return Counter.builder(RELOAD)
			.description("Looks at policy files that found other content")
			.tag("role", role)
			.tag("result", result)
			.register(this.registry);
	}

	private Counter decisions(PolicyDecision decision) {
		return Counter.builder(DECISIONS)
			.description("Decisions of the policy in force")
			.tag("policy", decision.policy())
			.tag("rule", decision.rule().isEmpty() ? "none" : decision.rule())
			.tag("decision", text(decision))
			.register(this.registry);
	}

	private static String text(PolicyDecision decision) {
		return decision.allowed() ? "allow" : "deny";
	}

	private static String role(PolicyFile file) {
		return file.role().name().toLowerCase(Locale.ROOT);
	}

}
