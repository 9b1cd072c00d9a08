package io.github.grpcsecurity.authorization;

import io.github.grpcsecurity.server.CallCheck;
import io.github.grpcsecurity.server.MessageCheck;
import io.github.grpcsecurity.server.MethodPlan;
import io.github.grpcsecurity.server.Refusal;
import io.github.grpcsecurity.server.Verdict;
import org.jspecify.annotations.Nullable;

/**
 * What one rule, annotation or setting says about a method. Everything that has an
 * opinion must allow a call.
 *
 * @param description what it says, for people to read
 * @param callCheck decides before the handler starts; {@code null} if it has no objection
 * to any call, or depends on messages
 * @param messageCheck decides about each message; {@code null} if it does not depend on
 * messages
 */
record Opinion(String description, @Nullable CallCheck callCheck, @Nullable MessageCheck messageCheck) {

	static Opinion permit(String decidedBy) {
		return new Opinion("permit by " + decidedBy, null, null);
	}

	static Opinion of(Access access, String decidedBy) {
		Denial denial = new Denial(decidedBy);
		return switch (access) {
			case PERMIT -> permit(decidedBy);
			case AUTHENTICATED ->
				new Opinion("authenticated by " + decidedBy, (call) -> denial.unless(!call.anonymous(), call), null);
			case DENY -> new Opinion("deny by " + decidedBy, denial::of, null);
		};
	}

	static Opinion of(CallPolicy policy) {
		return policy.looksAtMessages() ? new Opinion(policy.description(), null, policy::check)
				: new Opinion(policy.description(), policy::check, null);
	}

	/** Makes a method look like one that the server does not have. */
	static Opinion hidden(String decidedBy) {
		Verdict unauthenticated = Verdict.refuse(Refusal.unauthenticated("no credentials, and closed by " + decidedBy));
		Verdict unimplemented = Verdict.refuse(Refusal.unimplemented("closed by " + decidedBy));
		return new Opinion("hidden by " + decidedBy, (call) -> call.anonymous() ? unauthenticated : unimplemented,
				null);
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
