package io.github.grpcsecurity.server;

import org.jspecify.annotations.Nullable;

/**
 * The pipeline's decision about a call.
 *
 * @param outcome what was decided
 * @param stage the stage that refused; {@code null} unless refused
 * @param refusal the refusal; {@code null} unless refused
 * @since 0.1.0
 */
public record CallDecision(Outcome outcome, @Nullable SecurityStage stage, @Nullable Refusal refusal) {

	static final CallDecision PERMIT = new CallDecision(Outcome.PERMIT, null, null);

	static final CallDecision ABANDON = new CallDecision(Outcome.ABANDON, null, null);

	static CallDecision refuse(SecurityStage stage, Refusal refusal) {
		return new CallDecision(Outcome.REFUSE, stage, refusal);
	}

	/** What can be decided about a call. */
	public enum Outcome {

		/** Every stage let the call pass, and its handler starts. */
		PERMIT,

		/** A stage refused the call. */
		REFUSE,

		/**
		 * The call was cancelled, or its deadline passed, before anything was decided.
		 */
		ABANDON

	}

}
