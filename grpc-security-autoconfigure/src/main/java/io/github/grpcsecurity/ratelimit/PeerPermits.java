package io.github.grpcsecurity.ratelimit;

import java.time.Duration;
import java.util.List;
import java.util.function.LongSupplier;

import io.github.grpcsecurity.ratelimit.RateLimitRule.OnFailure;
import io.github.grpcsecurity.server.SecuredCall;
import io.grpc.Status;
import org.jspecify.annotations.Nullable;

/**
 * A limit for each peer that is looked at first and paid later, for what costs only if it
 * turns out bad.
 * <p>
 * Kept in this server alone, as {@link InMemoryRateLimiter} does: with bounded memory,
 * and so that no peer sheds its debt. A peer is what it is for rules by {@code peer}: one
 * IPv4 address, or one IPv6 /64. Thread-safe.
 *
 * @since 0.1.0
 */
public final class PeerPermits {

	/**
	 * A peer owes at most this many times its permits: what it took at once, before
	 * anybody could stop it, is paid for, but does not lock it out for ever.
	 */
	private static final int MAX_DEBT = 5;

	private final InMemoryRateLimiter limiter;

	private final RateLimitRule rule;

	/** Fits only if one of the peer's own permits is left. */
	private final long whatOneLeaves;

	/**
	 * Creates a limit.
	 * @param name name of the limit
	 * @param gcra how many permits each peer has
	 * @param maxPeers how many peers are kept at most
	 * @param nanoClock a clock that never goes back, such as {@link System#nanoTime()}
	 */
	public PeerPermits(String name, Gcra gcra, int maxPeers, LongSupplier nanoClock) {
		this.limiter = new InMemoryRateLimiter(maxPeers, nanoClock);
		long mostOwed = Math.min(MAX_DEBT * gcra.burst(), Gcra.MAX_PERMITS);
		this.whatOneLeaves = mostOwed - gcra.burst() + 1;
		this.rule = new RateLimitRule(name, RateLimitKey.parse("peer"), List.of(),
				new Gcra(gcra.limit(), gcra.period(), mostOwed, 1), false, OnFailure.LOCAL,
				Status.Code.RESOURCE_EXHAUSTED);
	}

	/**
	 * Whether the peer of a call has a permit left. Takes none.
	 * @param call the call
	 * @return after what time it has one; {@code null} if it has one now
	 */
	public @Nullable Duration retryAfter(SecuredCall call) {
		RateLimitDecision.Result denial = this.limiter.look(permits(call, this.whatOneLeaves)).denial();
		return (denial != null) ? denial.retryAfter() : null;
	}

	/**
	 * Takes a permit of the peer of a call, whether it has one left or not: who takes
	 * many at once waits until they are paid for, up to five times all of its permits.
	 * @param call the call
	 */
	public void take(SecuredCall call) {
		this.limiter.charge(permits(call, 1));
	}

	private List<RateLimitPermit> permits(SecuredCall call, long cost) {
		return List.of(new RateLimitPermit(this.rule, RateLimitKey.peer(call.peerAddress()), cost));
	}

}
