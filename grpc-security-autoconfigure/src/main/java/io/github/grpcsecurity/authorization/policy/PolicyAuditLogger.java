package io.github.grpcsecurity.authorization.policy;

/**
 * Receives the audit events of a policy that names it (gRFC A59).
 * <p>
 * Events are handed over on a thread of their own, one after the other in the order of
 * the decisions, so a logger that is slow or throws holds up no call. If it is so slow
 * that 10,000 events wait, further ones are dropped and counted.
 *
 * @since 0.1.0
 */
@FunctionalInterface
public interface PolicyAuditLogger {

	/**
	 * Logs one decision.
	 * @param event the decision
	 */
	void log(PolicyAuditEvent event);

	/**
	 * Called when the policy that named this logger is no longer in force, and when the
	 * application ends. An event of a call that was being decided at that moment may
	 * still follow.
	 */
	default void close() {
	}

}
