package io.github.grpcsecurity.audit;

import java.util.List;
import java.util.Objects;

/**
 * What is recorded about the calls of some methods.
 *
 * @param methods patterns of the methods
 * @param level how much is recorded
 * @param outcome which of the calls are recorded
 * @since 0.1.0
 */
public record AuditRule(List<String> methods, AuditLevel level, AuditOutcome outcome) {

	/** Holds for methods that no other rule names: forgotten must not mean unseen. */
	static final AuditRule DEFAULT = new AuditRule(List.of("**"), AuditLevel.METADATA, AuditOutcome.ALL);

	public AuditRule {
		methods = List.copyOf(methods);
		Objects.requireNonNull(level, "level");
		Objects.requireNonNull(outcome, "outcome");
	}

	/** Whether anything is recorded about a call. */
	boolean records(boolean denied) {
		return this.level != AuditLevel.NONE && (denied || this.outcome == AuditOutcome.ALL);
	}

}
