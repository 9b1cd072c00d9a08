package io.github.grpcsecurity.ratelimit;

import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;

import org.jspecify.annotations.Nullable;

/**
 * What was decided about the permits of a call. Immutable.
 *
 * @since 0.1.0
 */
public final class RateLimitDecision {

	private static final RateLimitDecision NOTHING_ASKED = new RateLimitDecision(List.of(), true, false, null);

	private final List<Result> results;

	private final boolean permitted;

	private final boolean fallback;

	private final @Nullable RateLimitRule undecided;

	private RateLimitDecision(List<Result> results, boolean permitted, boolean fallback,
			@Nullable RateLimitRule undecided) {
		this.results = Collections.unmodifiableList(results);
		this.permitted = permitted;
		this.fallback = fallback;
		this.undecided = undecided;
	}

	/**
	 * Decides from what the keys owe. The caller sees to it that nobody else changes the
	 * debts in between, and stores what {@link Result#debt()} says of each result.
	 * @param permits what the call asks for
	 * @param debts what each of the keys owes, in the same order
	 * @return permitted if all rules that are not in the shadow admit the call
	 */
	public static RateLimitDecision of(List<RateLimitPermit> permits, List<Gcra.Debt> debts) {
		if (permits.isEmpty()) {
			return NOTHING_ASKED;
		}
		boolean permitted = true;
		for (int i = 0; i < permits.size(); i++) {
			RateLimitRule rule = permits.get(i).rule();
			permitted = permitted && (rule.shadow() || rule.gcra().admits(debts.get(i), permits.get(i).cost()));
		}
		List<Result> results = new ArrayList<>(permits.size());
		for (int i = 0; i < permits.size(); i++) {
			RateLimitRule rule = permits.get(i).rule();
			Gcra.Debt before = debts.get(i);
			long cost = permits.get(i).cost();
			boolean denied = !rule.gcra().admits(before, cost);
			Gcra.Debt after = (permitted && !denied) ? before.plus(rule.gcra(), cost) : before;
			results.add(new Result(rule, cost, denied, after, Duration.ZERO));
		}
		return new RateLimitDecision(results, permitted, false, null);
	}

	/** A decision that somebody else has come to. */
	static RateLimitDecision of(List<Result> results, boolean permitted) {
		return new RateLimitDecision(results, permitted, false, null);
	}

	/** This decision and another one about the same call, which permits it. */
	RateLimitDecision with(RateLimitDecision other) {
		List<Result> both = new ArrayList<>(this.results);
		both.addAll(other.results);
		return new RateLimitDecision(both, other.permitted, this.fallback || other.fallback, other.undecided);
	}

	/** A decision that was made without the store of permits. */
	RateLimitDecision asFallback() {
		return new RateLimitDecision(this.results.stream().map(Result::asFallback).toList(), this.permitted, true,
				null);
	}

	/** Nothing could be decided, and the rule wants such calls refused. */
	static RateLimitDecision undecided(RateLimitRule rule) {
		return new RateLimitDecision(List.of(), false, true, rule);
	}

	/**
	 * Whether the call may go on.
	 * @return whether its permits were taken
	 */
	public boolean permitted() {
		return this.permitted;
	}

	/**
	 * What each rule said. While the store of permits cannot be asked, rules that do not
	 * count then are left out.
	 * @return the results, in the order of the permits; if only a part of the store could
	 * be asked, what was decided without it comes first
	 */
	public List<Result> results() {
		return this.results;
	}

	/**
	 * Whether the store of permits could not be asked, at least for some rules.
	 * @return whether some rules did what their {@link RateLimitRule#onFailure()} says
	 */
	public boolean fallback() {
		return this.fallback;
	}

	/**
	 * Whether a rule that the call had to be admitted by was not counted in the store.
	 */
	boolean withoutStore(RateLimitRule rule) {
		for (Result result : this.results) {
			if (result.rule.name().equals(rule.name())) {
				return result.fallback;
			}
		}
		// Passed uncounted, or refused the call; the others were not asked any more
		return this.fallback && rule.onFailure() != RateLimitRule.OnFailure.LOCAL;
	}

	/** The rule that refuses calls which nobody can decide about. */
	@Nullable RateLimitRule undecided() {
		return this.undecided;
	}

	/** The denial that lasts longest: only when it is over can the call be admitted. */
	@Nullable Result denial() {
		if (this.permitted) {
			return null;
		}
		Result longest = null;
		for (Result result : this.results) {
			if (result.denied && !result.rule.shadow() && (longest == null || result.outlasts(longest))) {
				longest = result;
			}
		}
		return longest;
	}

	/** What one rule said. Immutable. */
	public static final class Result {

		private final RateLimitRule rule;

		private final long cost;

		private final boolean denied;

		private final Gcra.Debt debt;

		/** The least time to wait, whatever the debt says. */
		private final Duration leastWait;

		private final boolean fallback;

		Result(RateLimitRule rule, long cost, boolean denied, Gcra.Debt debt, Duration leastWait) {
			this(rule, cost, denied, debt, leastWait, false);
		}

		private Result(RateLimitRule rule, long cost, boolean denied, Gcra.Debt debt, Duration leastWait,
				boolean fallback) {
			this.rule = rule;
			this.cost = cost;
			this.denied = denied;
			this.debt = debt;
			this.leastWait = leastWait;
			this.fallback = fallback;
		}

		private Result asFallback() {
			return new Result(this.rule, this.cost, this.denied, this.debt, this.leastWait, true);
		}

		/**
		 * The rule.
		 * @return the rule
		 */
		public RateLimitRule rule() {
			return this.rule;
		}

		/**
		 * Whether the rule denies the call, or would if it were not in the shadow.
		 * @return whether the permits do not suffice
		 */
		public boolean denied() {
			return this.denied;
		}

		/**
		 * Whether the store of permits could not be asked for this rule.
		 * @return whether this server counted by itself
		 */
		public boolean fallback() {
			return this.fallback;
		}

		/**
		 * What the key owes after the decision.
		 * @return the debt
		 */
		public Gcra.Debt debt() {
			return this.debt;
		}

		/**
		 * How many permits are left.
		 * @return the number of permits that can be taken now
		 */
		public long remaining() {
			return this.rule.gcra().remaining(this.debt);
		}

		/**
		 * When a call that was denied can be admitted.
		 * @return the time to wait, rounded up to microseconds; zero if the rule did not
		 * deny, {@code null} if such a call can never be admitted
		 */
		public @Nullable Duration retryAfter() {
			if (!this.denied) {
				return Duration.ZERO;
			}
			Duration retry = this.rule.gcra().retryAfter(this.debt, this.cost);
			return (retry != null && retry.compareTo(this.leastWait) < 0) ? this.leastWait : retry;
		}

		/**
		 * When all permits are back, if nothing more is taken.
		 * @return the time to wait
		 */
		public Duration resetAfter() {
			return Gcra.resetAfter(this.debt);
		}

		private boolean outlasts(Result other) {
			Duration mine = retryAfter();
			Duration others = other.retryAfter();
			return others != null && (mine == null || mine.compareTo(others) > 0);
		}

	}

}
