package io.github.grpcsecurity.authorization;

/**
 * Learns what each rule and annotation decided, to count it. Called on the threads that
 * carry the calls; it must not block.
 *
 * @since 0.1.0
 */
@FunctionalInterface
public interface AuthorizationObserver {

	/**
	 * A decision was made. A call is reported once by each rule, annotation or default
	 * that lets it start, and once by the one that refuses it, be it in the midst of a
	 * stream.
	 * @param rule the name of the rule, or {@code rules[0]} if it has none; the
	 * annotation or the setting where those decide. All are known when the server starts.
	 * @param outcome what was decided
	 */
	void decided(String rule, Outcome outcome);

	/** What can be decided. */
	enum Outcome {

		/** The call may start. */
		ALLOWED,

		/** The call is refused. */
		DENIED,

		/** The call would be refused, were the rule not in the shadow. */
		SHADOW_DENIED,

		/**
		 * It could not be decided, and so the call is refused, or would be by a rule in
		 * the shadow.
		 */
		ERROR

	}

}
