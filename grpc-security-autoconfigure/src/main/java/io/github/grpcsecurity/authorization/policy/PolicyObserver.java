package io.github.grpcsecurity.authorization.policy;

import org.jspecify.annotations.Nullable;

/**
 * Learns what becomes of policy files and what they decide, for metrics and alerts.
 * <p>
 * Called by many threads at once, on those that carry the calls among them: must not
 * block and should not throw.
 *
 * @since 0.1.0
 */
public interface PolicyObserver {

	/**
	 * A policy came into force: the first one, or another one.
	 * @param file the file it comes from, which tells about it
	 */
	default void adopted(PolicyFile file) {
	}

	/**
	 * There is other content, but it is no usable policy, so the last good one stays in
	 * force. Called at each look at the file, as long as that is so.
	 * @param file the file
	 * @param cause what is wrong with it
	 */
	default void failed(PolicyFile file, RuntimeException cause) {
	}

	/**
	 * The policy in force decided about a call.
	 * @param decision the decision
	 */
	default void decided(PolicyDecision decision) {
	}

	/**
	 * The candidate policy was asked what it would have decided.
	 * @param enforced what the policy in force decided; {@code null} if there is none
	 * @param candidate what the candidate would have decided
	 */
	default void shadowed(@Nullable PolicyDecision enforced, PolicyDecision candidate) {
	}

	/**
	 * An open call was ended, because another policy came into force that denies it.
	 * @param decision what the other policy says
	 */
	default void ended(PolicyDecision decision) {
	}

	/** An audit event was dropped, because loggers are too slow. */
	default void auditEventDropped() {
	}

}
