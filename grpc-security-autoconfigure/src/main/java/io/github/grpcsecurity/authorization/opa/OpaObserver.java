package io.github.grpcsecurity.authorization.opa;

import java.time.Duration;

/**
 * Learns what OPA said, to count it. Called on the threads that bring the answers; it
 * must not block.
 *
 * @since 0.1.0
 */
@FunctionalInterface
public interface OpaObserver {

	/**
	 * There is an answer about a call or a message.
	 * @param outcome what it says
	 * @param shadow whether nothing was made of it
	 * @param remembered whether nobody had to be asked
	 * @param elapsed how long it took
	 */
	void answered(Outcome outcome, boolean shadow, boolean remembered, Duration elapsed);

	/** What can come of a question. */
	enum Outcome {

		/** The policy allows. */
		ALLOW,

		/** The policy denies. */
		DENY,

		/** OPA answered, but neither with yes nor with no. */
		NO_DECISION,

		/** OPA could not be asked, or its answer makes no sense. */
		FAILURE

	}

}
