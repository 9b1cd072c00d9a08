package io.github.grpcsecurity.authorization.policy;

import java.time.InstantSource;
import java.util.Collection;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.Consumer;
import java.util.stream.Stream;

import io.github.grpcsecurity.authorization.CallPolicy;
import io.github.grpcsecurity.server.Refusal;
import io.github.grpcsecurity.server.SecuredCall;
import io.github.grpcsecurity.server.SecuredMethod;
import io.github.grpcsecurity.server.Verdict;
import org.apache.commons.logging.Log;
import org.apache.commons.logging.LogFactory;
import org.jspecify.annotations.Nullable;

/**
 * Asks the policy in force about each call, and a candidate beside it what it would have
 * said.
 * <p>
 * The policy has an opinion about every method: what no allow rule matches is denied,
 * health checks among it. A caller who is denied gets {@code PERMISSION_DENIED} if there
 * was an authentication or a verified certificate, and {@code UNAUTHENTICATED} if nothing
 * is known about the caller, so that it can come back with credentials. One call is
 * decided by one version of the policy. When another version comes into force, the open
 * calls that it denies end with {@code PERMISSION_DENIED}.
 *
 * @since 0.1.0
 */
public final class FilePolicy implements CallPolicy, AutoCloseable {

	/** Name of the note with the policy that decided. */
	public static final String POLICY_NOTE = "policy.name";

	/** Name of the note with the rule that decided. */
	public static final String RULE_NOTE = "policy.rule";

	/** Name of the note with SHA-256 of the policy that decided. */
	public static final String HASH_NOTE = "policy.hash";

	/** Name of the note with what the candidate policy would have decided. */
	public static final String SHADOW_NOTE = "policy.shadow_decision";

	/** Name of the note with the rule by which it would have. */
	public static final String SHADOW_RULE_NOTE = "policy.shadow_rule";

	private static final Log logger = LogFactory.getLog(FilePolicy.class);

	private final @Nullable PolicyFile live;

	private final @Nullable PolicyFile shadow;

	private final PolicyAuditLoggers loggers;

	private final @Nullable OpenCalls openCalls;

	private final InstantSource clock;

	private final List<PolicyObserver> observers;

	private volatile List<SecuredMethod> methods = List.of();

	private volatile String warned = "";

	/**
	 * Creates a policy made of files.
	 * @param live the policy in force; {@code null} to only watch a candidate
	 * @param shadow the candidate; {@code null} for none
	 * @param reevaluate whether open calls end that another version of the policy denies
	 * @param loggers take audit events to the loggers of the policy
	 * @param clock stamps audit events
	 * @param observers are told of every decision
	 */
	public FilePolicy(@Nullable PolicyFile live, @Nullable PolicyFile shadow, boolean reevaluate,
			PolicyAuditLoggers loggers, InstantSource clock, Collection<? extends PolicyObserver> observers) {
		this.live = live;
		this.shadow = shadow;
		this.loggers = loggers;
		this.clock = clock;
		this.observers = List.copyOf(observers);
		this.openCalls = (live != null && reevaluate && live.changes()) ? new OpenCalls() : null;
		if (live != null) {
			live.onChange(() -> changed(live));
		}
	}

	@Override
	public String id() {
		return "policy-file";
	}

	@Override
	public String description() {
		PolicyFile file = this.live;
		if (file != null) {
			return file + ((this.shadow != null) ? ", beside it the candidate " + this.shadow.description() : "");
		}
		return "candidate " + this.shadow + ", which only watches";
	}

	@Override
	public boolean decides(SecuredMethod method) {
		return this.live != null;
	}

	/**
	 * The files that policies come from.
	 * @return the policy in force, and the candidate
	 */
	public List<PolicyFile> files() {
		return Stream.of(this.live, this.shadow).filter(Objects::nonNull).toList();
	}

	@Override
	public void planned(Collection<SecuredMethod> methods) {
		this.methods = List.copyOf(methods);
		if (this.live != null) {
			warnOfClosedMethods(this.live.policy());
		}
	}

	private void warnOfClosedMethods(AuthorizationPolicy policy) {
		List<String> closed = this.methods.stream()
			.map(SecuredMethod::fullName)
			.filter((method) -> !policy.mayAllow(method))
			.toList();
		String message = "No allow rule of policy " + policy.name() + " is about " + String.join(", ", closed)
				+ ": every call to them is refused";
		if (!closed.isEmpty() && !message.equals(this.warned)) {
			this.warned = message;
			logger.warn(message);
		}
	}

	@Override
	public Verdict check(SecuredCall call) {
		CallFacts facts = CallFacts.of(call);
		if (call.hypothetical()) {
			return (this.live != null) ? verdict(call, this.live.policy().decide(facts)) : Verdict.proceed();
		}
		PolicyDecision decision = (this.live != null) ? enforce(this.live, call, facts) : null;
		PolicyFile candidate = this.shadow;
		if (candidate != null) {
			watch(candidate, call, facts, decision);
		}
		return (decision != null) ? verdict(call, decision) : Verdict.proceed();
	}

	private static Verdict verdict(SecuredCall call, PolicyDecision decision) {
		return decision.allowed() ? Verdict.proceed() : denied(call, decision);
	}

	private PolicyDecision enforce(PolicyFile file, SecuredCall call, CallFacts facts) {
		PolicyFile.Version version = file.current();
		PolicyDecision decision = version.policy().decide(facts);
		if (decision.allowed() && this.openCalls != null) {
			this.openCalls.add(call, facts);
			// A version that came before the call was kept has not looked at it
			PolicyFile.Version latest = file.current();
			if (!latest.equals(version)) {
				version = latest;
				decision = version.policy().decide(facts);
			}
		}
		note(call, version, decision);
		audit(version, facts, decision);
		PolicyDecision made = decision;
		tell((observer) -> observer.decided(made));
		return decision;
	}

	private static void note(SecuredCall call, PolicyFile.Version version, PolicyDecision decision) {
		call.note(POLICY_NOTE, decision.policy());
		call.note(RULE_NOTE, decision.rule());
		call.note(HASH_NOTE, version.policy().hash());
	}

	private void audit(PolicyFile.Version version, CallFacts facts, PolicyDecision decision) {
		if (!version.auditLoggers().isEmpty() && version.policy().auditCondition().includes(decision.allowed())) {
			this.loggers.log(new PolicyAuditEvent("/" + facts.fullMethodName(), facts.principal(), decision.policy(),
					decision.rule(), decision.allowed(), this.clock.instant()), version.auditLoggers());
		}
	}

	private void watch(PolicyFile file, SecuredCall call, CallFacts facts, @Nullable PolicyDecision enforced) {
		try {
			PolicyDecision decision = file.policy().decide(facts);
			call.note(SHADOW_NOTE, decision.allowed() ? "allow" : "deny");
			call.note(SHADOW_RULE_NOTE, decision.rule());
			tell((observer) -> observer.shadowed(enforced, decision));
		}
		catch (RuntimeException ex) {
			// A candidate is never in the way of a call
			logger.debug("The candidate policy failed", ex);
		}
	}

	private static Verdict denied(SecuredCall call, PolicyDecision decision) {
		boolean known = !call.anonymous() || call.peerIdentity() != null;
		return Verdict.refuse(known ? Refusal.accessDenied("denied by " + decision.by())
				: Refusal.unauthenticated("no credentials, and denied by " + decision.by()));
	}

	private void changed(PolicyFile file) {
		PolicyFile.Version version = file.current();
		warnOfClosedMethods(version.policy());
		if (this.openCalls == null) {
			return;
		}
		AtomicInteger count = new AtomicInteger();
		this.openCalls.reevaluate(version.policy()::decide, new OpenCalls.Denied() {
			@Override
			public void before(SecuredCall call, PolicyDecision decision) {
				note(call, version, decision);
			}

			@Override
			public void ended(PolicyDecision decision) {
				count.incrementAndGet();
				tell((observer) -> observer.ended(decision));
			}
		});
		if (count.get() > 0) {
			logger.info("Policy " + version.policy().name() + " denies " + count + " open calls, which were ended");
		}
	}

	private void tell(Consumer<PolicyObserver> news) {
		for (PolicyObserver observer : this.observers) {
			try {
				news.accept(observer);
			}
			catch (RuntimeException ex) {
				logger.debug("An observer of policies failed", ex);
			}
		}
	}

	/** Closes the audit loggers. */
	@Override
	public void close() {
		files().forEach((file) -> this.loggers.close(file.current().auditLoggers()));
	}

	/** How many open calls are kept to be looked at again. */
	int openCalls() {
		return (this.openCalls != null) ? this.openCalls.size() : 0;
	}

}
