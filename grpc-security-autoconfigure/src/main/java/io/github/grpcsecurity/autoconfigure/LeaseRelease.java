package io.github.grpcsecurity.autoconfigure;

import java.util.concurrent.TimeUnit;

import io.github.grpcsecurity.ratelimit.FailoverRateLimiter;
import io.github.grpcsecurity.ratelimit.RateLimiter;

import org.springframework.context.SmartLifecycle;

/**
 * Gives leased permits back when the application stops: after the server has ended its
 * calls, and before Redis is let go.
 */
final class LeaseRelease implements SmartLifecycle {

	/**
	 * Spring Data Redis stops in phase 0, servers in far later phases; later stops first.
	 */
	private static final int PHASE = 1;

	private static final long WAIT_MILLIS = 500;

	private final RateLimiter limiter;

	private volatile boolean running;

	LeaseRelease(RateLimiter limiter) {
		this.limiter = limiter;
	}

	@Override
	public void start() {
		this.running = true;
	}

	@Override
	public void stop() {
		this.running = false;
		if (this.limiter instanceof FailoverRateLimiter shared) {
			// What cannot be given back in time comes back by itself
			shared.release()
				.exceptionally((failure) -> null)
				.toCompletableFuture()
				.completeOnTimeout(null, WAIT_MILLIS, TimeUnit.MILLISECONDS)
				.join();
		}
	}

	@Override
	public boolean isRunning() {
		return this.running;
	}

	@Override
	public int getPhase() {
		return PHASE;
	}

}
