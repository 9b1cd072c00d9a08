package io.github.grpcsecurity.ratelimit;

import java.util.concurrent.CompletionStage;

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

	/** Lets go of the connection. */
	@Override
	void close();

}
