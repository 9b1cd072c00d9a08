package io.github.grpcsecurity.server;

/**
 * What a call passes through before its handler runs, in this order.
 *
 * @since 0.1.0
 */
public enum SecurityStage {

	/** Refuses malformed calls: it costs nothing, so it comes first. */
	ADMISSION,

	/** Limits by peer, before crypto is spent on a flood. */
	PEER_LIMITS,

	/** Turns credentials into an identity. */
	AUTHENTICATION,

	/** After authentication, so that nobody spends another caller's permits. */
	PRINCIPAL_LIMITS,

	/** Last of the call's own checks: a rule may look at everything found out before. */
	AUTHORIZATION,

	/** Looks into messages, which only an authorized caller may make us do. */
	VALIDATION

}
