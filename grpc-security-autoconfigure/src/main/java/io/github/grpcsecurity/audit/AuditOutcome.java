package io.github.grpcsecurity.audit;

/**
 * Which calls are recorded, by how they end.
 *
 * @since 0.1.0
 */
public enum AuditOutcome {

	/** All of them. */
	ALL,

	/**
	 * Those that are refused by the pipeline, at their start or later, and those whose
	 * handler ends them with {@code UNAUTHENTICATED} or {@code PERMISSION_DENIED}.
	 */
	DENIED

}
