package io.github.grpcsecurity.ratelimit;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;

import io.github.grpcsecurity.ratelimit.LeasablePermits.Draw;
import io.github.grpcsecurity.ratelimit.LeasablePermits.Grant;
import org.jspecify.annotations.Nullable;

/**
 * What one server knows and holds of one key: permits taken in advance, and what the key
 * owed when the store last said so. Everything is guarded by the monitor of the lease,
 * which is never held while anything else is called. Times are nanoseconds of a clock
 * that never goes back.
 *
 * @param <W> who waits for permits
 */
final class Lease<W> {

	private final String key;

	private final Terms terms;

	private RateLimitRule rule;

	/** No batch is larger; 1 if the rule is too tight for batches. */
	private long maxBatch;

	/** How often the largest batch can be halved, and some more. */
	private int halvings;

	private long pauseNanos;

	private long held;

	/** Handed out while the store did not answer in time: paid with what comes next. */
	private long due;

	/** When what is held has to be given back. */
	private long expires;

	/** When a call asked last. */
	private long used;

	/** How many permits are to be at hand after a draw. */
	private long batch = 1;

	private long drawnAt;

	private boolean drawnBefore;

	/** What the key owed at {@link #debtAt}, including all that is held. */
	private Gcra.Debt debt = Gcra.Debt.NONE;

	private long debtAt;

	/** Until when {@link #debt} counts. */
	private long knownUntil;

	/** Until when nothing is drawn, because there was not enough for everybody. */
	private long pausedUntil;

	/** Until when the key counts as one that more is asked of than it has. */
	private long scarceUntil;

	/** How many draws in a row brought less than was wanted. */
	private int shrunk;

	/** Before that nothing is drawn ahead, because the last draw brought too little. */
	private long prefetchFrom;

	/** What the key owes by another count, and the store has not heard of. */
	private @Nullable Untold untold;

	/** When that count was last heard of. */
	private long countedAt;

	private @Nullable Flight flight;

	private List<Waiting<W>> waiting = new ArrayList<>();

	private boolean gone;

	Lease(RateLimitRule rule, String key, Terms terms, long now) {
		this.key = key;
		this.terms = terms;
		this.rule = rule;
		this.used = now;
		this.expires = now;
		this.knownUntil = now;
		this.pausedUntil = now;
		this.scarceUntil = now;
		this.prefetchFrom = now;
		this.debtAt = now;
		this.countedAt = now;
		adopt(rule);
	}

	/** The numbers of a rule can change while the server runs. */
	private void adopt(RateLimitRule current) {
		this.rule = current;
		Gcra gcra = current.gcra();
		long most = (long) (this.terms.maxShare() * Math.min(gcra.limit(), gcra.burst()));
		this.maxBatch = Math.max(1, Math.min(most, LeasablePermits.MAX_BATCH));
		this.halvings = Long.SIZE - Long.numberOfLeadingZeros(this.maxBatch) + 4;
		this.batch = Math.min(this.batch, this.maxBatch);
		this.pauseNanos = (this.maxBatch > 1) ? Math.min(this.terms.pause().toNanos(), gcra.toleranceWhole() * 1000 / 4)
				: 0;
	}

	String key() {
		return this.key;
	}

	/**
	 * Takes permits for one call.
	 * @return null if the store has to be asked
	 */
	synchronized @Nullable Answer take(RateLimitPermit permit, long now) {
		if (!permit.rule().equals(this.rule)) {
			this.held = worth(this.held, this.rule.gcra(), permit.rule().gcra());
			this.due = Math.min(this.due, permit.rule().gcra().burst());
			adopt(permit.rule());
			this.knownUntil = now;
			this.pausedUntil = now;
		}
		this.used = now;
		long cost = permit.cost();
		if (cost <= live(now)) {
			this.held -= cost;
			return Answer.TAKEN;
		}
		return refused(cost, now) ? Answer.REFUSED : null;
	}

	/**
	 * What permits that were paid for by other numbers are worth: a dear one must not be
	 * had for the price of a cheap one, neither used nor given back.
	 */
	private static long worth(long permits, Gcra paid, Gcra current) {
		return Math.min(permits, current.affordable(paid.price(permits)));
	}

	/** How many permits can still be used. */
	private long live(long now) {
		return (now - this.expires < 0) ? this.held : 0;
	}

	private boolean refused(long cost, long now) {
		Gcra gcra = this.rule.gcra();
		if (!gcra.admits(Gcra.Debt.NONE, cost)) {
			// However long anybody waits
			return true;
		}
		if (now - this.pausedUntil < 0) {
			return true;
		}
		return now - this.knownUntil < 0 && !gcra.admits(debt(now), cost - live(now));
	}

	private Gcra.Debt debt(long now) {
		return this.rule.gcra().debt(this.debt.whole() - (now - this.debtAt) / 1000, this.debt.fraction());
	}

	/** Puts back what a call has taken but does not need. */
	synchronized void putBack(long permits) {
		this.held += permits;
	}

	/** What a call hears of its permits. */
	synchronized RateLimitDecision.Result result(RateLimitPermit permit, boolean denied, long now) {
		// What is held is still there for callers of this server, less what is due
		Gcra gcra = this.rule.gcra();
		Gcra.Debt owes = debt(now).minus(gcra, live(now));
		if (this.due > 0) {
			Gcra.Debt sum = owes.plus(gcra, this.due);
			owes = gcra.debt(sum.whole(), sum.fraction());
		}
		Duration pause = denied ? Duration.ofNanos(Math.max(0, this.pausedUntil - now)) : Duration.ZERO;
		return new RateLimitDecision.Result(permit.rule(), permit.cost(), denied, owes, pause);
	}

	/** Whether it is time to draw, although no call waits. */
	synchronized boolean runsLow(long now) {
		return this.batch >= 4 && this.held * 4 <= this.batch && this.flight == null && now - this.pausedUntil >= 0
				&& now - this.prefetchFrom >= 0 && now - this.expires < 0 && !refused(1 + this.held, now);
	}

	/**
	 * Queues somebody who waits for permits.
	 * @return false if this is no longer in use and a new lease is to be asked for
	 * @throws LateException if somebody has been waiting for so long that the store does
	 * not seem to answer
	 */
	synchronized boolean await(W who, long cost, long now) throws LateException {
		if (this.gone) {
			return false;
		}
		Flight current = this.flight;
		if (current != null && now - current.startedAt >= this.terms.budget().toNanos()
				&& now - current.startedAt < this.terms.giveUp().toNanos()) {
			throw new LateException();
		}
		this.waiting.add(new Waiting<>(who, cost));
		return true;
	}

	/**
	 * Starts a draw.
	 * @param prefetch whether to draw although nobody waits
	 * @param now the time
	 * @return null if there is no need, or one is under way
	 */
	synchronized @Nullable Flight start(boolean prefetch, long now) {
		Flight current = this.flight;
		if (this.gone || (current != null && now - current.startedAt < this.terms.giveUp().toNanos())) {
			return null;
		}
		if (!prefetch && this.waiting.isEmpty()) {
			return null;
		}
		long returned = (now - this.expires >= 0) ? this.held : 0;
		this.held -= returned;
		long sum = 0;
		long least = Long.MAX_VALUE;
		for (Waiting<W> each : this.waiting) {
			sum = Math.min(sum + each.cost, LeasablePermits.MAX_BATCH);
			least = Math.min(least, each.cost);
		}
		long must = Math.min(Math.max(0, sum + this.due - this.held), LeasablePermits.MAX_BATCH);
		least = (this.due > 0 || this.waiting.isEmpty()) ? 1
				: Math.max(0, Math.min(least, LeasablePermits.MAX_BATCH) - this.held);
		adapt(now);
		long want = Math.max(0, this.batch - this.held);
		Flight started = new Flight(new Draw(this.rule, this.key, least, must, want,
				Math.min(returned, LeasablePermits.MAX_BATCH), unheard(now)), this.untold, now);
		this.untold = null;
		this.flight = started;
		return started;
	}

	private OutageDebt unheard(long now) {
		Untold kept = this.untold;
		return (kept != null) ? kept.at(now) : OutageDebt.NONE;
	}

	/** Hands over what the store has not heard of to somebody who tells it. */
	synchronized OutageDebt takeUntold(long now) {
		OutageDebt taken = unheard(now);
		this.untold = null;
		return taken;
	}

	/** A batch is to last for a quarter of a lease. */
	private void adapt(long now) {
		long target = this.terms.ttl().toNanos() / 4;
		long lasted = now - this.drawnAt;
		if (this.drawnBefore) {
			if (lasted < target) {
				this.batch = Math.min(2 * this.batch, this.maxBatch);
			}
			else if (lasted > 2 * target) {
				this.batch = Math.max(1, (long) (this.batch * (double) target / lasted));
			}
		}
		this.drawnAt = now;
		this.drawnBefore = true;
	}

	/**
	 * Ends a draw.
	 * @param ended the draw
	 * @param grant what came of it; null if it failed
	 * @param now the time
	 * @return those who waited for it
	 */
	synchronized List<W> land(Flight ended, @Nullable Grant grant, long now) {
		if (grant != null) {
			this.held += worth(grant.permits(), ended.draw.rule().gcra(), this.rule.gcra());
			long paid = Math.min(this.due, this.held);
			this.held -= paid;
			this.due -= paid;
			// What was asked for on behalf of calls that another count has charged for
			// since then is not for others: the next draw gives it back
			boolean charged = ended.startedAt - this.countedAt < 0;
			this.expires = charged ? now : now + this.terms.ttl().toNanos();
			this.debt = grant.debt();
			this.debtAt = now;
			boolean batches = this.maxBatch > 1;
			Duration known = batches ? this.terms.ttl() : this.terms.memory();
			this.knownUntil = charged ? now : now + known.toNanos();
			boolean exhausted = !this.rule.gcra().admits(this.debt, 1);
			boolean shrunk = grant.permits() < Math.max(ended.draw.want(), ended.draw.must());
			this.shrunk = shrunk ? this.shrunk + 1 : 0;
			if (shrunk) {
				// A call that finds nothing asks; until then the others may have it
				this.prefetchFrom = now + this.terms.pause().toNanos();
			}
			// Few are left and everybody wants them, even if there is always one
			boolean contended = this.shrunk > this.halvings;
			if (exhausted || contended || (shrunk && now - this.scarceUntil < 0)) {
				this.pausedUntil = now + this.pauseNanos;
				this.scarceUntil = now + this.terms.ttl().toNanos();
			}
		}
		else {
			this.prefetchFrom = now + this.terms.pause().toNanos();
			this.untold = (this.untold != null) ? this.untold : ended.untold;
		}
		if (this.flight != ended) {
			// It was given up; whoever waits now waits for another one
			return List.of();
		}
		this.flight = null;
		if (this.waiting.isEmpty()) {
			return List.of();
		}
		List<W> woken = this.waiting.stream().map((each) -> each.who).toList();
		this.waiting = new ArrayList<>();
		return woken;
	}

	/** Permits were handed out although the store had not granted them. */
	synchronized void overdraw(long permits, long now) {
		long paid = Math.min(permits, live(now));
		this.held -= paid;
		// Nobody is locked out for longer than a full burst does
		this.due = Math.min(this.due + permits - paid, this.rule.gcra().burst());
	}

	/**
	 * Takes what a draw brought and nobody may keep, because calls that waited for it are
	 * gone, or needed more: beyond a batch it is to be left to other servers.
	 */
	synchronized @Nullable Draw excess(long now) {
		long keep = (this.maxBatch > 1) ? this.maxBatch : 0;
		if (this.flight != null || !this.waiting.isEmpty() || this.held <= keep) {
			return null;
		}
		return giveBack(this.held - keep, now);
	}

	/** By the numbers that they were taken by, which may be others in a moment. */
	private Draw giveBack(long permits, long now) {
		long left = Math.min(permits, LeasablePermits.MAX_BATCH);
		this.held -= left;
		// What the key owed when it had been granted is not what it owes without it
		this.knownUntil = now;
		return new Draw(this.rule, this.key, 0, 0, 0, left);
	}

	/** Permits were handed out in another way, which says what the key owes. */
	synchronized void owes(OutageDebt other, long now) {
		this.untold = new Untold(other, now);
		this.countedAt = now;
		// That count has charged for all that was handed out, this as well
		this.due = 0;
	}

	/** How many permits are held. */
	synchronized long held() {
		return this.held;
	}

	/** Takes all permits that nobody seems to need any more. */
	synchronized @Nullable Draw unused(boolean all, long now) {
		boolean idle = now - this.used >= this.terms.ttl().toNanos() / 2;
		if (this.held <= 0 || (!all && !idle && now - this.expires < 0)) {
			return null;
		}
		return giveBack(this.held, now);
	}

	/**
	 * Ends the use of this lease if nothing would be lost with it.
	 * @return whether to forget it
	 */
	synchronized boolean retire(long now) {
		// What is due is forgotten when it would have been paid by time
		long unpaid = (this.due > 0) ? this.rule.gcra().price(this.due).whole() * 1000 : 0;
		if (this.held > 0 || this.flight != null || !this.waiting.isEmpty() || !unheard(now).paid()
				|| now - this.used < unpaid || now - this.used < this.terms.ttl().toNanos() || refused(1, now)) {
			return false;
		}
		this.gone = true;
		return true;
	}

	/** What can be said without asking. */
	enum Answer {

		/** The permits were there, and are taken. */
		TAKEN,

		/** There are none, and will not be for a while. */
		REFUSED

	}

	/** A draw that is under way. */
	static final class Flight {

		private final Draw draw;

		private final @Nullable Untold untold;

		private final long startedAt;

		Flight(Draw draw, @Nullable Untold untold, long startedAt) {
			this.draw = draw;
			this.untold = untold;
			this.startedAt = startedAt;
		}

		Draw draw() {
			return this.draw;
		}

	}

	private record Waiting<W>(W who, long cost) {
	}

	/** What the store has not heard of, as it was at a time. */
	private record Untold(OutageDebt debt, long since) {

		OutageDebt at(long now) {
			return this.debt.after((now - this.since) / 1000);
		}

	}

	/** The store has not answered for longer than anybody may wait. */
	static final class LateException extends Exception {

		private static final long serialVersionUID = 1L;

	}

	/**
	 * How permits are leased.
	 *
	 * @param ttl how long unused ones are kept
	 * @param maxShare which part of a limit one server holds at most
	 * @param budget how long a call waits at most
	 * @param pause how long a server that got less than it wants leaves a key to others
	 * @param memory how long a refusal is remembered where there are no batches
	 * @param giveUp when a draw is taken for lost
	 */
	record Terms(Duration ttl, double maxShare, Duration budget, Duration pause, Duration memory, Duration giveUp) {

	}

}
