package io.github.grpcsecurity.authorization.policy;

/**
 * What a policy says about a call. Immutable.
 *
 * @param allowed whether the call may go on, as far as the policy is concerned
 * @param policy name of the policy
 * @param rule the rule that decided, as {@code <policy>_<rule>}, which is how grpc-go
 * reports it; empty if no rule matched, which denies
 * @since 0.1.0
 */
public record PolicyDecision(boolean allowed, String policy, String rule) {

	/** For people: what decided. */
	String by() {
		return "policy " + this.policy + (this.rule.isEmpty() ? " (no rule allows it)" : " (rule " + this.rule + ")");
	}

}
