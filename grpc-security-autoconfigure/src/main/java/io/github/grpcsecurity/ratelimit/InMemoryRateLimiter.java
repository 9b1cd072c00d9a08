package io.github.grpcsecurity.ratelimit;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.locks.ReentrantLock;
import java.util.function.LongSupplier;

import org.jspecify.annotations.Nullable;

/**
 * Keeps permits in this server alone.
 * <p>
 * The number of keys of each rule is bounded. Keys that owe nothing make room for new
 * ones; a key that owes something is never forgotten, or a caller could shed its debt by
 * calling under many other names. When a part of a rule's table is full of debtors, all
 * further keys that fall into that part share one key until somebody's debt runs out:
 * they are limited together, never unlimited. Thread-safe, and locks only the parts of
 * the table that a call needs.
 *
 * @since 0.1.0
 */
public final class InMemoryRateLimiter implements RateLimiter {

	/** How many keys of a rule are kept unless something else is asked for. */
	public static final int DEFAULT_MAX_KEYS = 100_000;

	private static final int MAX_STRIPES = 64;

	private final Stripe[] stripes;

	/**
	 * Nobody is to choose keys that share a part of the table with a certain other one.
	 */
	private final KeyedHash hash = new KeyedHash();

	private final LongSupplier nanoClock;

	private final long origin;

	/**
	 * Creates a limiter.
	 * @param maxKeys how many keys are kept at most for each rule, besides one in each
	 * part of its table
	 * @param nanoClock a clock that never goes back, such as {@link System#nanoTime()}
	 */
	public InMemoryRateLimiter(int maxKeys, LongSupplier nanoClock) {
		if (maxKeys < 1) {
			throw new IllegalArgumentException("maxKeys must be at least 1");
		}
		this.stripes = new Stripe[Math.min(MAX_STRIPES, maxKeys)];
		for (int i = 0; i < this.stripes.length; i++) {
			this.stripes[i] = new Stripe(maxKeys / this.stripes.length);
		}
		this.nanoClock = nanoClock;
		this.origin = nanoClock.getAsLong();
	}

	@Override
	public CompletionStage<RateLimitDecision> tryAcquire(List<RateLimitPermit> permits) {
		return CompletableFuture.completedFuture(decide(permits));
	}

	RateLimitDecision decide(List<RateLimitPermit> permits) {
		return decide(permits, true);
	}

	/** Says what would be decided, and takes nothing. */
	RateLimitDecision look(List<RateLimitPermit> permits) {
		return decide(permits, false);
	}

	private RateLimitDecision decide(List<RateLimitPermit> permits, boolean take) {
		int[] places = lock(permits);
		try {
			long now = now();
			List<Entry> entries = new ArrayList<>(permits.size());
			List<Gcra.Debt> debts = new ArrayList<>(permits.size());
			for (RateLimitPermit permit : permits) {
				Entry entry = stripe(permit).entry(permit, now);
				entries.add(entry);
				debts.add(entry.debt.debt(permit.rule().gcra(), now));
			}
			RateLimitDecision decision = RateLimitDecision.of(permits, debts);
			if (take && decision.permitted()) {
				for (int i = 0; i < entries.size(); i++) {
					RateLimitDecision.Result result = decision.results().get(i);
					if (!result.denied()) {
						entries.get(i).debt.owes(result.debt(), now);
					}
				}
			}
			return decision;
		}
		finally {
			unlock(places);
		}
	}

	/** Takes permits that somebody else has granted, as far as they are there. */
	void charge(List<RateLimitPermit> permits) {
		for (RateLimitPermit permit : permits) {
			Gcra gcra = permit.rule().gcra();
			change(permit, (entry, now) -> {
				Gcra.Debt sum = entry.debt.debt(gcra, now).plus(gcra, permit.cost());
				entry.debt.owes(gcra.debt(sum.whole(), sum.fraction()), now);
			});
		}
	}

	/**
	 * Takes over what a key owes by the word of a store that all servers share.
	 * @param permit whose key it is
	 * @param share this server's share of the limit
	 * @param debt what the key owes there
	 */
	void follow(RateLimitPermit permit, Gcra share, Gcra.Debt debt) {
		change(permit, (entry, now) -> {
			if (!entry.shared) {
				long base = base(permit, share, debt);
				entry.debt.owes(share.debt(base, debt.fraction()), now);
				entry.base = now + base;
				entry.known = now + debt.whole();
			}
		});
	}

	/**
	 * Takes over what a key owes by the word of such a store, which does not know all
	 * that was taken here: that stays on top of it.
	 * @param permit whose key it is
	 * @param share this server's share of the limit
	 * @param debt what the key owes there
	 */
	void followAtLeast(RateLimitPermit permit, Gcra share, Gcra.Debt debt) {
		change(permit, (entry, now) -> {
			long base = base(permit, share, debt);
			long more = now + base - Math.max(now, entry.base);
			if (!entry.shared && more > 0) {
				Gcra.Debt before = entry.debt.debt(share, now);
				entry.debt.owes(share.debt(before.whole() + more, before.fraction()), now);
				entry.base = now + base;
				entry.known = now + debt.whole();
			}
		});
	}

	/**
	 * A debt by the whole limit is one by a share of it, too, for both are times. But
	 * what is left is what counts, and the burst of a share is rounded up, or kept whole
	 * for the dearest call: a key that has used up the limit has used up each share.
	 */
	private static long base(RateLimitPermit permit, Gcra share, Gcra.Debt debt) {
		long more = share.toleranceWhole() - permit.rule().gcra().toleranceWhole();
		return (debt.whole() > 0 && more > 0) ? debt.whole() + more : debt.whole();
	}

	/**
	 * What a key owes such a store for what was taken here since it had its last word.
	 * @param permit what was asked for
	 * @param share this server's share of the limit
	 * @param taken whether it was taken
	 * @param servers how many servers have such a share
	 * @return the debt
	 */
	OutageDebt outageDebt(RateLimitPermit permit, Gcra share, boolean taken, int servers) {
		Stripe stripe = stripe(permit);
		stripe.lock.lock();
		try {
			long now = now();
			Entry entry = stripe.entry(permit, now);
			if (entry.shared) {
				// Nobody knows what else of it is whose
				return taken ? new OutageDebt(0, 0, share.price(permit.cost()).whole(), servers) : OutageDebt.NONE;
			}
			return new OutageDebt(Math.max(0, entry.known - now), Math.max(0, entry.base - now),
					entry.debt.debt(share, now).whole(), servers);
		}
		finally {
			stripe.lock.unlock();
		}
	}

	/** Gives back permits that were taken for a call which somebody else has refused. */
	void giveBack(List<RateLimitPermit> permits) {
		for (RateLimitPermit permit : permits) {
			Gcra gcra = permit.rule().gcra();
			change(permit, (entry, now) -> entry.debt.owes(entry.debt.debt(gcra, now).minus(gcra, permit.cost()), now));
		}
	}

	private void change(RateLimitPermit permit, Change change) {
		Stripe stripe = stripe(permit);
		stripe.lock.lock();
		try {
			long now = now();
			change.apply(stripe.entry(permit, now), now);
		}
		finally {
			stripe.lock.unlock();
		}
	}

	/** How many keys are kept. */
	int size() {
		int size = 0;
		for (Stripe stripe : this.stripes) {
			stripe.lock.lock();
			try {
				size += stripe.size();
			}
			finally {
				stripe.lock.unlock();
			}
		}
		return size;
	}

	private long now() {
		return (this.nanoClock.getAsLong() - this.origin) / 1000;
	}

	private Stripe stripe(RateLimitPermit permit) {
		return this.stripes[place(permit)];
	}

	private int place(RateLimitPermit permit) {
		return this.hash.place(permit.rule().name(), permit.key(), this.stripes.length);
	}

	/** Always in ascending order, so that no two calls wait for each other. */
	private int[] lock(List<RateLimitPermit> permits) {
		int[] places = new int[permits.size()];
		for (int i = 0; i < places.length; i++) {
			int place = place(permits.get(i));
			int at = i;
			while (at > 0 && places[at - 1] > place) {
				places[at] = places[at - 1];
				at--;
			}
			places[at] = place;
		}
		for (int place : places) {
			this.stripes[place].lock.lock();
		}
		return places;
	}

	private void unlock(int[] places) {
		for (int place : places) {
			this.stripes[place].lock.unlock();
		}
	}

	/** What becomes of a key, at a time. */
	@FunctionalInterface
	private interface Change {

		void apply(Entry entry, long now);

	}

	/** One key, or all that found no place of their own. */
	private static final class Entry {

		private final RunningDebt debt = new RunningDebt();

		/** Until when it owes something by the last word of a store. */
		private long known = Long.MIN_VALUE / 2;

		/** Until when it owes something that is none of a store's business. */
		private long base = Long.MIN_VALUE / 2;

		private final boolean shared;

		Entry(boolean shared) {
			this.shared = shared;
		}

	}

	/** A part of the keys of all rules. */
	private static final class Stripe {

		private final ReentrantLock lock = new ReentrantLock();

		private final int maxEntries;

		// By name of rule, so that a flood of keys of one leaves the others alone
		private final Map<String, Table> tables = new HashMap<>();

		Stripe(int maxEntries) {
			this.maxEntries = maxEntries;
		}

		Entry entry(RateLimitPermit permit, long now) {
			return this.tables.computeIfAbsent(permit.rule().name(), (name) -> new Table(this.maxEntries))
				.entry(permit.key(), now);
		}

		int size() {
			return this.tables.values().stream().mapToInt((table) -> table.entries.size()).sum();
		}

	}

	/** A part of the keys of one rule. */
	private static final class Table {

		private static final long MIN_SWEEP_INTERVAL_MICROS = 1000;

		private final int maxEntries;

		private final Map<String, Entry> entries = new HashMap<>();

		private @Nullable Entry overflow;

		private long nextSweep;

		Table(int maxEntries) {
			this.maxEntries = maxEntries;
		}

		Entry entry(String key, long now) {
			Entry entry = this.entries.get(key);
			if (entry != null) {
				return entry;
			}
			Entry shared = this.overflow;
			if (this.entries.size() >= this.maxEntries && !sweep(now)) {
				if (shared == null) {
					shared = new Entry(true);
					this.overflow = shared;
				}
				return shared;
			}
			Entry fresh = new Entry(false);
			// What the key may have taken while it shared one is not forgotten either
			if (shared != null && shared.debt.end() >= now) {
				fresh.debt.owes(shared.debt);
				fresh.base = shared.debt.end();
			}
			this.entries.put(key, fresh);
			return fresh;
		}

		/** Forgets the keys that owe nothing, which is what they will owe when new. */
		private boolean sweep(long now) {
			if (now < this.nextSweep) {
				return false;
			}
			long earliest = Long.MAX_VALUE;
			Iterator<Entry> iterator = this.entries.values().iterator();
			while (iterator.hasNext()) {
				long end = iterator.next().debt.end();
				if (end < now) {
					iterator.remove();
				}
				else {
					earliest = Math.min(earliest, end);
				}
			}
			if (this.entries.size() < this.maxEntries) {
				return true;
			}
			// In a flood of new keys a sweep for each of them would be the next attack
			this.nextSweep = Math.max(earliest + 1, now + MIN_SWEEP_INTERVAL_MICROS);
			return false;
		}

	}

}
