package io.github.grpcsecurity.authorization;

import io.github.grpcsecurity.server.Refusal;
import io.github.grpcsecurity.server.SecuredCall;
import io.github.grpcsecurity.server.Verdict;

/**
 * How one rule or annotation says no: to a caller who is not known, that credentials are
 * needed; to a known one, that access is denied, or that there is nothing to access.
 */
final class Denial {

	private static final String NOT_EVALUATED = ", which could not be evaluated";

	private final String decidedBy;

	private final boolean hidden;

	private final Verdict unauthenticated;

	private final Verdict accessDenied;

	private final Verdict failedUnauthenticated;

	private final Verdict failed;

	Denial(String decidedBy) {
		this(decidedBy, false);
	}

	/**
	 * Creates a denial.
	 * @param decidedBy what denies, for audit and logs
	 * @param hidden whether a known caller is not to learn that it was denied something
	 */
	Denial(String decidedBy, boolean hidden) {
		this.decidedBy = decidedBy;
		this.hidden = hidden;
		this.unauthenticated = unauthenticated("no credentials, and denied by " + decidedBy);
		this.accessDenied = denied("denied by " + decidedBy, hidden);
		this.failedUnauthenticated = unauthenticated("no credentials, and denied by " + decidedBy + NOT_EVALUATED);
		this.failed = denied("denied by " + decidedBy + NOT_EVALUATED, hidden);
	}

	private static Verdict unauthenticated(String reason) {
		return Verdict.refuse(Refusal.unauthenticated(reason));
	}

	private static Verdict denied(String reason, boolean hidden) {
		return Verdict.refuse(hidden ? Refusal.notFound(reason) : Refusal.accessDenied(reason));
	}

	/** What denies. */
	String decidedBy() {
		return this.decidedBy;
	}

	Verdict of(SecuredCall call) {
		return call.anonymous() ? this.unauthenticated : this.accessDenied;
	}

	Verdict unless(boolean allowed, SecuredCall call) {
		return allowed ? Verdict.proceed() : of(call);
	}

	/** Denies because whether to allow could not be evaluated. */
	Verdict failed(SecuredCall call) {
		return call.anonymous() ? this.failedUnauthenticated : this.failed;
	}

	/**
	 * Denies because of what the caller asks for. Where that is hidden, it is from those
	 * who are not known as well: else they would see the difference.
	 */
	Verdict ofCondition(SecuredCall call, boolean evaluated) {
		if (this.hidden) {
			return evaluated ? this.accessDenied : this.failed;
		}
		return evaluated ? of(call) : failed(call);
	}

	/** Whether a refusal came about because something could not be evaluated. */
	static boolean notEvaluated(Refusal refusal) {
		return refusal.kind() == Refusal.Kind.UNAVAILABLE || refusal.reason().endsWith(NOT_EVALUATED);
	}

}
