package io.github.grpcsecurity.authorization;

import java.util.List;

import io.github.grpcsecurity.server.CallCheck;
import io.github.grpcsecurity.server.MessageCheck;
import io.github.grpcsecurity.server.MethodPlan;
import io.github.grpcsecurity.server.Refusal;
import io.github.grpcsecurity.server.SecuredCall;
import io.github.grpcsecurity.server.Verdict;
import io.github.grpcsecurity.server.VerifiedCredential;
import org.jspecify.annotations.Nullable;

/**
 * What one rule, annotation or setting says about a method. Everything that has an
 * opinion must allow a call.
 *
 * @param id names what has the opinion in audit events and metrics; one of few that are
 * known when the server starts
 * @param description what it says, for people to read
 * @param callCheck decides before the handler starts; {@code null} if it has no objection
 * to any call, or depends on messages alone
 * @param messageCheck decides about each message; {@code null} if it does not depend on
 * messages
 */
record Opinion(String id, String description, @Nullable CallCheck callCheck, @Nullable MessageCheck messageCheck) {

	static Opinion permit(String id, String decidedBy) {
		return new Opinion(id, "permit by " + decidedBy, null, null);
	}

	static Opinion of(Access access, String id, String decidedBy) {
		return of(access, id, new Denial(decidedBy));
	}

	static Opinion of(Access access, String id, Denial denial) {
		return switch (access) {
			case PERMIT -> permit(id, denial.decidedBy());
			case AUTHENTICATED -> new Opinion(id, "authenticated by " + denial.decidedBy(),
					(call) -> denial.unless(!call.anonymous(), call), null);
			case DENY -> new Opinion(id, "deny by " + denial.decidedBy(), denial::of, null);
		};
	}

	static Opinion of(CallPolicy policy) {
		return policy.looksAtMessages() ? new Opinion(policy.id(), policy.description(), null, policy::check)
				: new Opinion(policy.id(), policy.description(), policy::check, null);
	}

	/** Makes a method look like one that the server does not have. */
	static Opinion hidden(String id, String decidedBy) {
		Verdict unauthenticated = Verdict.refuse(Refusal.unauthenticated("no credentials, and closed by " + decidedBy));
		Verdict unimplemented = Verdict.refuse(Refusal.unimplemented("closed by " + decidedBy));
		return new Opinion(id, "hidden by " + decidedBy, (call) -> call.anonymous() ? unauthenticated : unimplemented,
				null);
	}

	/** Takes no API key alone. */
	static Opinion sensitive(String id, Denial denial) {
		return new Opinion(id, "more than an API key by " + denial.decidedBy(),
				(call) -> denial.unless(moreThanApiKeys(call), call), null);
	}

	/** Whether the caller presented something that is no API key. */
	static boolean moreThanApiKeys(SecuredCall call) {
		List<VerifiedCredential> credentials = call.caller().credentials();
		for (int i = 0; i < credentials.size(); i++) {
			if (!credentials.get(i).kind().equals(VerifiedCredential.API_KEY)) {
				return true;
			}
		}
		return false;
	}

	void addTo(MethodPlan.Builder plan) {
		if (this.callCheck != null) {
			plan.check(this.description, this.callCheck);
		}
		if (this.messageCheck != null) {
			plan.checkMessages(this.description, this.messageCheck);
		}
	}

}
