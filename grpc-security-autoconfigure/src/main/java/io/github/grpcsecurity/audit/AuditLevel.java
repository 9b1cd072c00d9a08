package io.github.grpcsecurity.audit;

/**
 * How much is recorded about a call.
 *
 * @since 0.1.0
 */
public enum AuditLevel {

	/** Nothing. */
	NONE,

	/** Everything about the call except what was in its messages. */
	METADATA

}
