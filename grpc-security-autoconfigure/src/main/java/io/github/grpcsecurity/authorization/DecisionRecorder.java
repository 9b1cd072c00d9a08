package io.github.grpcsecurity.authorization;

import java.util.ArrayList;
import java.util.List;

import io.github.grpcsecurity.authorization.AuthorizationObserver.Outcome;
import io.github.grpcsecurity.server.CallCheck;
import io.github.grpcsecurity.server.MessageCheck;
import io.github.grpcsecurity.server.MethodPlan;
import io.github.grpcsecurity.server.SecuredCall;
import io.github.grpcsecurity.server.Verdict;
import org.jspecify.annotations.Nullable;

/**
 * Reports what opinions decide: to the observer, for metrics, and as a note on the call,
 * for its audit events. It changes no decision.
 * <p>
 * Where a decision depends on messages, a call is allowed once the first has passed.
 */
final class DecisionRecorder {

	/** Names the rule that decided. */
	static final String RULE_NOTE = "authorization.rule";

	/** Names the rules that would have refused the call. */
	static final String SHADOW_NOTE = "authorization.shadow";

	private final AuthorizationObserver observer;

	DecisionRecorder(AuthorizationObserver observer) {
		this.observer = observer;
	}

	/**
	 * Reports what an opinion decides.
	 * @param opinion the opinion
	 * @param noted whether audit events name it also where it allows
	 * @return an opinion that decides the same
	 */
	Opinion record(Opinion opinion, boolean noted) {
		Object key = new Object();
		CallCheck callCheck = opinion.callCheck();
		MessageCheck messageCheck = opinion.messageCheck();
		boolean decidesAtStart = messageCheck == null;
		CallCheck recordedCall = (callCheck == null && !decidesAtStart) ? null
				: (call) -> recorded(call, opinion, noted, ask(callCheck, call, opinion), decidesAtStart);
		MessageCheck recordedMessage = (messageCheck == null) ? null : (call, message) -> recorded(call, opinion, noted,
				ask(messageCheck, call, message, opinion), progress(call).first(key));
		return new Opinion(opinion.id(), opinion.description(), recordedCall, recordedMessage);
	}

	private Verdict ask(@Nullable CallCheck check, SecuredCall call, Opinion opinion) {
		try {
			return (check != null) ? check.check(call) : Verdict.proceed();
		}
		catch (RuntimeException ex) {
			throw undecided(call, opinion, ex);
		}
	}

	private Verdict ask(MessageCheck check, SecuredCall call, @Nullable Object message, Opinion opinion) {
		try {
			return check.check(call, message);
		}
		catch (RuntimeException ex) {
			throw undecided(call, opinion, ex);
		}
	}

	private RuntimeException undecided(SecuredCall call, Opinion opinion, RuntimeException failure) {
		call.note(RULE_NOTE, opinion.id());
		this.observer.decided(opinion.id(), Outcome.ERROR);
		return failure;
	}

	private Verdict recorded(SecuredCall call, Opinion opinion, boolean noted, Verdict verdict, boolean first) {
		if (verdict instanceof Verdict.Pending pending) {
			return Verdict.pending(pending.answer().whenComplete((answer, failure) -> {
				if (failure != null || answer == null) {
					call.note(RULE_NOTE, opinion.id());
					this.observer.decided(opinion.id(), Outcome.ERROR);
				}
				else {
					recorded(call, opinion, noted, answer, first);
				}
			}));
		}
		if (verdict instanceof Verdict.Refuse refuse) {
			call.note(RULE_NOTE, opinion.id());
			this.observer.decided(opinion.id(), Denial.notEvaluated(refuse.refusal()) ? Outcome.ERROR : Outcome.DENIED);
		}
		else if (first) {
			if (noted) {
				call.note(RULE_NOTE, opinion.id());
			}
			this.observer.decided(opinion.id(), Outcome.ALLOWED);
		}
		return verdict;
	}

	/**
	 * Asks an opinion without heeding its answer. Nothing is held back for it, and where
	 * it fails the call goes on.
	 * @param opinion the opinion of a rule in the shadow
	 * @param plan the plan of the method
	 */
	void shadow(Opinion opinion, MethodPlan.Builder plan) {
		Object key = new Object();
		Object refused = new Object();
		CallCheck callCheck = opinion.callCheck();
		MessageCheck messageCheck = opinion.messageCheck();
		String description = "shadow: " + opinion.description();
		if (callCheck != null || messageCheck == null) {
			plan.check(description, (call) -> {
				if (!shadowed(call, opinion, shadow(callCheck, call), messageCheck == null) && messageCheck != null) {
					progress(call).first(refused);
				}
				return Verdict.proceed();
			});
		}
		if (messageCheck != null) {
			plan.watchMessages(description, (call, message) -> {
				Progress progress = progress(call);
				if (!progress.has(refused)
						&& !shadowed(call, opinion, shadow(messageCheck, call, message), progress.first(key))) {
					progress.first(refused);
				}
			});
		}
	}

	private static @Nullable Verdict shadow(@Nullable CallCheck check, SecuredCall call) {
		try {
			return (check != null) ? check.check(call) : Verdict.proceed();
		}
		catch (RuntimeException ex) {
			return null;
		}
	}

	private static @Nullable Verdict shadow(MessageCheck check, SecuredCall call, @Nullable Object message) {
		try {
			return check.check(call, message);
		}
		catch (RuntimeException ex) {
			return null;
		}
	}

	/** Whether the opinion would let the call go on. */
	private boolean shadowed(SecuredCall call, Opinion opinion, @Nullable Verdict verdict, boolean first) {
		if (verdict instanceof Verdict.Proceed) {
			if (first) {
				this.observer.decided(opinion.id(), Outcome.ALLOWED);
			}
			return true;
		}
		call.noteAlso(SHADOW_NOTE, opinion.id());
		boolean error = !(verdict instanceof Verdict.Refuse refuse) || Denial.notEvaluated(refuse.refusal());
		this.observer.decided(opinion.id(), error ? Outcome.ERROR : Outcome.SHADOW_DENIED);
		return false;
	}

	private static Progress progress(SecuredCall call) {
		return call.state(Progress.class, Progress::new);
	}

	/** What has happened to a call before. */
	private static final class Progress {

		private final List<Object> happened = new ArrayList<>(2);

		boolean has(Object key) {
			for (int i = 0; i < this.happened.size(); i++) {
				if (this.happened.get(i) == key) {
					return true;
				}
			}
			return false;
		}

		/** Whether this happens for the first time. */
		boolean first(Object key) {
			if (has(key)) {
				return false;
			}
			this.happened.add(key);
			return true;
		}

	}

}
