package io.github.grpcsecurity.authorization;

import io.github.grpcsecurity.server.Refusal;
import io.github.grpcsecurity.server.SecuredCall;
import io.github.grpcsecurity.server.Verdict;

/**
 * How one rule or annotation says no: to a caller who is not known, that credentials are
 * needed; to a known one, that access is denied.
 */
final class Denial {

	private final Verdict unauthenticated;

	private final Verdict accessDenied;

	Denial(String decidedBy) {
		this.unauthenticated = Verdict.refuse(Refusal.unauthenticated("no credentials, and denied by " + decidedBy));
		this.accessDenied = Verdict.refuse(Refusal.accessDenied("denied by " + decidedBy));
	}

	Verdict of(SecuredCall call) {
		return call.anonymous() ? this.unauthenticated : this.accessDenied;
	}

	Verdict unless(boolean allowed, SecuredCall call) {
		return allowed ? Verdict.proceed() : of(call);
	}

}
