package io.github.grpcsecurity.authorization.policy;

import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;

import io.github.grpcsecurity.server.SecuredCall;

/**
 * A policy as gRFC A43 has them: if a deny rule matches, the call is denied; else if an
 * allow rule matches, it is allowed; else it is denied. The first rule that matches is
 * the one that is reported.
 * <p>
 * The rules about a method are looked up once for each method, and among them those for
 * the names of a certificate, so that a decision does not take as long as there are
 * rules. Immutable as far as can be seen, and thread-safe.
 *
 * @since 0.1.0
 */
public final class AuthorizationPolicy {

	/** The largest policy that is read, in bytes. */
	public static final int MAX_SIZE = 1 << 20;

	private static final int MAX_METHODS = 10_000;

	private final String name;

	private final String hash;

	private final List<PolicyRule> denyRules;

	private final List<PolicyRule> allowRules;

	private final AuditCondition auditCondition;

	private final List<AuditLoggerSetting> auditLoggers;

	private final List<String> warnings;

	private final PolicyDecision noMatch;

	private final Map<String, Candidates> byMethod = new ConcurrentHashMap<>();

	AuthorizationPolicy(String name, String hash, List<PolicyRule> denyRules, List<PolicyRule> allowRules,
			AuditCondition auditCondition, List<AuditLoggerSetting> auditLoggers, List<String> warnings) {
		this.name = name;
		this.hash = hash;
		this.denyRules = List.copyOf(denyRules);
		this.allowRules = List.copyOf(allowRules);
		this.auditCondition = auditCondition;
		this.auditLoggers = List.copyOf(auditLoggers);
		this.warnings = List.copyOf(warnings);
		this.noMatch = new PolicyDecision(false, name, "");
	}

	/**
	 * Reads a policy. What is unknown, doubled or can be misunderstood is refused,
	 * because to leave it out might let calls pass that it is meant to stop.
	 * @param content JSON in UTF-8, at most {@link #MAX_SIZE} bytes
	 * @return the policy
	 * @throws InvalidPolicyException if it is not one
	 */
	public static AuthorizationPolicy parse(byte[] content) {
		return new PolicyReader(content).read();
	}

	static String hash(byte[] content) {
		try {
			return HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(content));
		}
		catch (NoSuchAlgorithmException ex) {
			throw new IllegalStateException("Java has no SHA-256", ex);
		}
	}

	/**
	 * What the policy is called.
	 * @return its {@code name}
	 */
	public String name() {
		return this.name;
	}

	/**
	 * Which version of the policy this is.
	 * @return SHA-256 of its bytes, in lower-case hexadecimal
	 */
	public String hash() {
		return this.hash;
	}

	/**
	 * How many rules there are.
	 * @return the number of deny and allow rules together
	 */
	public int size() {
		return this.denyRules.size() + this.allowRules.size();
	}

	/**
	 * What is suspicious about the policy but does not make it unusable.
	 * @return sentences for the log, each with a JSON pointer
	 */
	public List<String> warnings() {
		return this.warnings;
	}

	/**
	 * Decides about a call. Nothing is audited or counted.
	 * @param call the call
	 * @return the decision
	 */
	public PolicyDecision decide(SecuredCall call) {
		return decide(CallFacts.of(call));
	}

	PolicyDecision decide(CallFacts facts) {
		Candidates candidates = candidates(facts.fullMethodName());
		PolicyRule rule = candidates.denyRules().firstMatch(facts);
		if (rule == null) {
			rule = candidates.allowRules().firstMatch(facts);
		}
		return (rule != null) ? rule.decision() : this.noMatch;
	}

	/** Whether some caller may be allowed to call a method. */
	boolean mayAllow(String fullMethodName) {
		return !candidates(fullMethodName).allowRules().isEmpty();
	}

	AuditCondition auditCondition() {
		return this.auditCondition;
	}

	List<AuditLoggerSetting> auditLoggers() {
		return this.auditLoggers;
	}

	private Candidates candidates(String fullMethodName) {
		Candidates candidates = this.byMethod.get(fullMethodName);
		if (candidates == null) {
			String path = "/" + fullMethodName;
			candidates = new Candidates(about(this.denyRules, path), about(this.allowRules, path));
			if (this.byMethod.size() < MAX_METHODS) {
				this.byMethod.put(fullMethodName, candidates);
			}
		}
		return candidates;
	}

	private static RuleIndex about(List<PolicyRule> rules, String path) {
		List<PolicyRule> found = new ArrayList<>();
		for (PolicyRule rule : rules) {
			if (rule.about(path)) {
				found.add(rule);
			}
		}
		return new RuleIndex(found);
	}

	/** The rules about one method. */
	private record Candidates(RuleIndex denyRules, RuleIndex allowRules) {
	}

}
