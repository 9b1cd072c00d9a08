package io.github.grpcsecurity.server;

import java.util.Objects;
import java.util.concurrent.CompletionStage;

/**
 * What a check answers about a call: go on, refuse, or wait for somebody else's answer.
 * <p>
 * Verdicts are immutable. A check that can answer from memory answers {@link #proceed()}
 * or {@link #refuse(Refusal)}, which cost no thread hop; only a check that has to ask
 * over the network answers {@link #pending(CompletionStage)}.
 *
 * @since 0.1.0
 */
public sealed interface Verdict {

	/**
	 * The check has no objection.
	 * @return the one verdict that lets the call go on
	 */
	static Verdict proceed() {
		return Proceed.INSTANCE;
	}

	/**
	 * The call ends here, and its handler never runs.
	 * @param refusal what the caller, the audit log and the operator get to know
	 * @return a verdict that refuses
	 */
	static Verdict refuse(Refusal refusal) {
		return new Refuse(refusal);
	}

	/**
	 * The answer is on its way. Until it arrives the handler has not started, no message
	 * is requested and no thread waits.
	 * @param answer completes with the verdict, from any thread. One that completes
	 * exceptionally, or with {@code null}, refuses the call with {@code UNAVAILABLE}; one
	 * that never completes holds the call until its deadline, so bring a timeout.
	 * @return a verdict that waits
	 */
	static Verdict pending(CompletionStage<? extends Verdict> answer) {
		return new Pending(answer);
	}

	/** The call may go on. */
	enum Proceed implements Verdict {

		/** The only instance. */
		INSTANCE

	}

	/**
	 * The call is refused.
	 *
	 * @param refusal the reason and what the caller gets
	 */
	record Refuse(Refusal refusal) implements Verdict {

		public Refuse {
			Objects.requireNonNull(refusal, "refusal");
		}

	}

	/**
	 * The decision has not been made yet.
	 *
	 * @param answer the decision to come
	 */
	record Pending(CompletionStage<? extends Verdict> answer) implements Verdict {

		public Pending {
			Objects.requireNonNull(answer, "answer");
		}

	}

}
