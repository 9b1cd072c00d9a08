package io.github.grpcsecurity.ratelimit;

import java.time.Duration;

import io.github.grpcsecurity.server.SecuredCall;

/**
 * How long a call has waited for permits so far: its stages have one budget, not one
 * each. Written and read by the checks of the call, which run one after the other.
 */
final class LimitWait {

	private long nanos;

	private LimitWait() {
	}

	static Duration of(SecuredCall call) {
		LimitWait wait = call.state(LimitWait.class);
		return (wait != null) ? Duration.ofNanos(wait.nanos) : Duration.ZERO;
	}

	/** Begins to wait; what is returned is to be run when that ends. */
	static Runnable start(SecuredCall call) {
		LimitWait wait = call.state(LimitWait.class, LimitWait::new);
		long start = System.nanoTime();
		return () -> wait.nanos += System.nanoTime() - start;
	}

}
