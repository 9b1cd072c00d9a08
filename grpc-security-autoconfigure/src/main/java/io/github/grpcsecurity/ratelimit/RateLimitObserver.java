package io.github.grpcsecurity.ratelimit;

/**
 * Learns what each rule did, to count it. Called on the threads that carry the calls; it
 * must not block.
 *
 * @since 0.1.0
 */
@FunctionalInterface
public interface RateLimitObserver {

	/**
	 * A rule was applied to a call.
	 * @param rule the rule
	 * @param outcome what it did
	 */
	void applied(RateLimitRule rule, Outcome outcome);

	/**
	 * A rule of calls in flight was applied to a call.
	 * @param rule the rule
	 * @param outcome what it did
	 */
	default void applied(ConcurrencyRule rule, Outcome outcome) {
	}

	/** What a rule can do. */
	enum Outcome {

		/** The call took its permits, or its place. */
		ALLOWED,

		/** The rule refused the call. */
		DENIED,

		/** The rule would have refused the call, were it not in the shadow. */
		SHADOW_DENIED,

		/**
		 * The store of permits could not be asked. Reported in addition to what was done
		 * instead.
		 */
		FALLBACK,

		/** A message waits for its permits; what becomes of it is reported later. */
		DELAYED,

		/**
		 * The call took its permits, and four fifths of the burst are used up. Reported
		 * in addition to {@link #ALLOWED}.
		 */
		NEAR_LIMIT

	}

}
