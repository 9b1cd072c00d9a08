package io.github.grpcsecurity.ratelimit;

import java.util.Collection;
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

	/** The one place of permits that are all kept together. */
	String EVERYWHERE = "";

	/**
	 * Connects anew, whether or not there is a connection. Never called twice at a time.
	 * Returns at once and takes a time that it bounds itself.
	 * @param samples permits in the places that did not answer, one of each; none at the
	 * start
	 * @return completes when one of these places, or any place at the start, answers
	 */
	CompletionStage<?> connect(Collection<RateLimitPermit> samples);

	/**
	 * Asks for nothing, only to learn whether a place answers and takes what it is told.
	 * @param sample a permit in that place; {@code null} for any place
	 * @return completes when it has answered
	 */
	CompletionStage<?> probe(@Nullable RateLimitPermit sample);

	/**
	 * Where permits are kept: those in one place can be asked for, or not, together.
	 * @param permit the permit
	 * @return the name of the place, for people and to tell it from others;
	 * {@link #EVERYWHERE} if there is only one, or as long as nobody knows
	 */
	default String place(RateLimitPermit permit) {
		return EVERYWHERE;
	}

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
	 * @param debt what its key owes for all that was taken in that way; takes the place
	 * of what was said of the key before, unless these have been told of that
	 */
	default void counted(RateLimitPermit permit, OutageDebt debt) {
	}

	/**
	 * Permits were handed out because these did not answer in time, though they may soon:
	 * they are to be paid for all the same.
	 * @param call all that the call needs
	 * @param permits what was handed out of it
	 * @param asked whether it was asked for, so that it may have been taken; if not, the
	 * call had no time left
	 */
	default void overdrawn(List<RateLimitPermit> call, List<RateLimitPermit> permits, boolean asked) {
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
