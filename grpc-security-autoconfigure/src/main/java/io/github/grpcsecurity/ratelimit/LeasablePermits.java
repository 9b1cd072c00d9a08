package io.github.grpcsecurity.ratelimit;

import java.util.List;
import java.util.concurrent.CompletionStage;

/**
 * Shared permits that a server may also take in advance, before calls ask for them.
 * <p>
 * {@link LeasingPermits} deals with those; an implementation keeps nothing of them. Like
 * every {@link RateLimiter} it is called by many threads at once and must not block.
 *
 * @since 0.1.0
 */
public interface LeasablePermits extends SharedPermits {

	/** The largest number of permits in one draw, so that all products are exact. */
	long MAX_BATCH = 1_000_000;

	/**
	 * Takes permits of several keys, of each what it has, and gives others back.
	 * @param draws what is asked for, each key once
	 * @return for each draw, in the same order, what was granted. A draw that fails may
	 * have been carried out nevertheless; it is not repeated.
	 */
	List<? extends CompletionStage<Grant>> draw(List<Draw> draws);

	/**
	 * What a server asks for in advance.
	 *
	 * @param rule the rule
	 * @param key whose permits they are
	 * @param least fewer than this are of no use: rather none
	 * @param must how many calls are waiting for; granted as far as they are there
	 * @param want how many are to be at hand for calls to come; beyond {@code must} no
	 * more than half of what is there is granted, so that other servers find some too
	 * @param giveBack how many that were granted before have not been used
	 * @param untold what the key owes that the store has not heard of
	 */
	record Draw(RateLimitRule rule, String key, long least, long must, long want, long giveBack, OutageDebt untold) {

		/**
		 * A draw of a key that owes nothing which the store has not heard of.
		 * @param rule the rule
		 * @param key whose permits they are
		 * @param least fewer than this are of no use
		 * @param must how many calls are waiting for
		 * @param want how many are to be at hand for calls to come
		 * @param giveBack how many that were granted before have not been used
		 */
		public Draw(RateLimitRule rule, String key, long least, long must, long want, long giveBack) {
			this(rule, key, least, must, want, giveBack, OutageDebt.NONE);
		}

		/**
		 * Carries the draw out.
		 * @param stored what the key owes by the store
		 * @return how many permits are granted, and what the key owes then
		 */
		public Grant from(Gcra.Debt stored) {
			Gcra gcra = this.rule.gcra();
			Gcra.Debt debt = this.untold.addedTo(gcra, stored).minus(gcra, this.giveBack);
			long free = Math.min(gcra.remaining(debt), MAX_BATCH);
			long granted = (free < this.least) ? 0 : Math.min(free, Math.max(this.must, Math.min(this.want, free / 2)));
			return new Grant(granted, debt.plus(gcra, granted));
		}

	}

	/**
	 * What a server got.
	 *
	 * @param permits how many permits
	 * @param debt what the key owes now
	 */
	record Grant(long permits, Gcra.Debt debt) {

	}

}
