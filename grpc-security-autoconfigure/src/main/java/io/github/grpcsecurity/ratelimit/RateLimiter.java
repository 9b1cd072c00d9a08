package io.github.grpcsecurity.ratelimit;

import java.time.Duration;
import java.util.List;
import java.util.concurrent.CompletionStage;

/**
 * Hands out permits.
 * <p>
 * An implementation is called by many threads at once and must not block: what it knows
 * at once it answers with a completed {@link java.util.concurrent.CompletableFuture},
 * anything else later and within a time of its own.
 *
 * @since 0.1.0
 */
@FunctionalInterface
public interface RateLimiter {

	/**
	 * Takes the permits of a call in all its rules, or in none of them. Rules that are in
	 * the shadow never deny a call; one that would have is not charged.
	 * @param permits what the call asks for, each rule at most once
	 * @return the decision. An exceptional completion refuses the call with
	 * {@code UNAVAILABLE}.
	 */
	CompletionStage<RateLimitDecision> tryAcquire(List<RateLimitPermit> permits);

	/**
	 * Takes the permits of a call that has waited for others before, in an earlier stage.
	 * @param permits what the call asks for, each rule at most once
	 * @param waited how long it has waited, which is to be taken off the time that it may
	 * wait now
	 * @return the decision, as above
	 */
	default CompletionStage<RateLimitDecision> tryAcquire(List<RateLimitPermit> permits, Duration waited) {
		return tryAcquire(permits);
	}

}
