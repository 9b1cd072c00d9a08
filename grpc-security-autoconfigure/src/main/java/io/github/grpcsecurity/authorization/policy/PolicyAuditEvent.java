package io.github.grpcsecurity.authorization.policy;

import java.time.Instant;

/**
 * One decision of a policy, with the fields of gRFC A59. It tells what the policy
 * decided, when it did so; rules and annotations may have refused the call afterwards.
 *
 * @param rpcMethod the method as {@code /package.Service/Method}
 * @param principal the first name of the peer's certificate: a URI, else a DNS name, else
 * the subject; empty without a certificate
 * @param policyName name of the policy
 * @param matchedRule the rule that decided, as {@code <policy>_<rule>}; empty if none
 * matched
 * @param authorized whether the policy allows the call
 * @param timestamp when it was decided
 * @since 0.1.0
 */
public record PolicyAuditEvent(String rpcMethod, String principal, String policyName, String matchedRule,
		boolean authorized, Instant timestamp) {

}
