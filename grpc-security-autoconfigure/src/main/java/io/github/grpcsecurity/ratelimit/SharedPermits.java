package io.github.grpcsecurity.ratelimit;

import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionStage;
import java.util.function.LongConsumer;

import org.jspecify.annotations.Nullable;

/**
 * Permits that several servers share, kept somewhere that can be down.
 * <p>
 * {@link FailoverRateLimiter} deals with that; an implementation just completes
 * exceptionally.
 *
 * @since 0.1.0
 */
public interface SharedPermits extends RateLimiter, AutoCloseable {

	/**
	 * Connects, or makes sure that it still is connected. Never called twice at a time.
	 * Returns at once and takes whatever time it needs.
	 * @return completes when permits can be asked for
	 */
	CompletionStage<?> connect();

	/**
	 * Decides what can be decided without asking anybody, also while nobody can be asked.
	 * @param permits what the call asks for
	 * @return the decision, or {@code null} if the permits have to be asked for
	 */
	default @Nullable RateLimitDecision atHand(List<RateLimitPermit> permits) {
		return null;
	}

	/**
	 * Permits were taken without these being asked, and are to be counted when these can
	 * be asked again.
	 * @param permit what was taken
	 * @param debt what its key owes by the count that was made in place of these
	 */
	default void counted(RateLimitPermit permit, Gcra.Debt debt) {
	}

	/**
	 * How many commands were sent to the store of permits.
	 * @return the number since this was created
	 */
	default long operations() {
		return 0;
	}

	/**
	 * How many permits of a rule this server holds in advance.
	 * @param rule name of the rule
	 * @return the number of permits that are neither used nor given back
	 */
	default long leased(String rule) {
		return 0;
	}

	/**
	 * Measures how long the store of permits takes to answer.
	 * @param timer receives nanoseconds for each command that was answered; must not
	 * block
	 */
	default void timing(LongConsumer timer) {
	}

	/**
	 * Gives back what is held in advance. Calls may still ask.
	 * @return completes when it was given back, or cannot be
	 */
	default CompletionStage<?> release() {
		return CompletableFuture.completedFuture(null);
	}

	/** Lets go of the connection. */
	@Override
	void close();

}
