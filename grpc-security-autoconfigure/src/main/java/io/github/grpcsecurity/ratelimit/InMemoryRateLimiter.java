package io.github.grpcsecurity.ratelimit;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.locks.ReentrantLock;
import java.util.function.LongSupplier;
import java.util.function.UnaryOperator;

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
	private final int seed = ThreadLocalRandom.current().nextInt();

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
			List<RunningDebt> entries = new ArrayList<>(permits.size());
			List<Gcra.Debt> debts = new ArrayList<>(permits.size());
			for (RateLimitPermit permit : permits) {
				RunningDebt entry = stripe(permit).entry(permit, now);
				entries.add(entry);
				debts.add(entry.debt(permit.rule().gcra(), now));
			}
			RateLimitDecision decision = RateLimitDecision.of(permits, debts);
			if (take && decision.permitted()) {
				for (int i = 0; i < entries.size(); i++) {
					RateLimitDecision.Result result = decision.results().get(i);
					if (!result.denied()) {
						entries.get(i).owes(result.debt(), now);
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
		permits.forEach((permit) -> charge(permit, Gcra.Debt.NONE));
	}

	/**
	 * Takes permits that somebody else has granted, as far as they are there.
	 * @param permit what was granted
	 * @param least what the key owes at least, by what that somebody says
	 */
	void charge(RateLimitPermit permit, Gcra.Debt least) {
		Gcra gcra = permit.rule().gcra();
		change(permit, (debt) -> {
			Gcra.Debt sum = debt.plus(gcra, permit.cost());
			Gcra.Debt more = (sum.whole() < least.whole()) ? least : sum;
			return gcra.debt(more.whole(), more.fraction());
		});
	}

	private void change(RateLimitPermit permit, UnaryOperator<Gcra.Debt> change) {
		Stripe stripe = stripe(permit);
		stripe.lock.lock();
		try {
			long now = now();
			RunningDebt entry = stripe.entry(permit, now);
			entry.owes(change.apply(entry.debt(permit.rule().gcra(), now)), now);
		}
		finally {
			stripe.lock.unlock();
		}
	}

	/** Gives back permits that were taken for a call which somebody else has refused. */
	void giveBack(List<RateLimitPermit> permits) {
		for (RateLimitPermit permit : permits) {
			change(permit, (debt) -> debt.minus(permit.rule().gcra(), permit.cost()));
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
		int hash = ((permit.key().hashCode() * 31 + permit.rule().name().hashCode()) ^ this.seed) * 0x9E3779B9;
		return Math.floorMod(hash ^ (hash >>> 15), this.stripes.length);
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

	/** A part of the keys of all rules. */
	private static final class Stripe {

		private final ReentrantLock lock = new ReentrantLock();

		private final int maxEntries;

		// By name of rule, so that a flood of keys of one leaves the others alone
		private final Map<String, Table> tables = new HashMap<>();

		Stripe(int maxEntries) {
			this.maxEntries = maxEntries;
		}

		RunningDebt entry(RateLimitPermit permit, long now) {
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

		private final Map<String, RunningDebt> entries = new HashMap<>();

		private @Nullable RunningDebt overflow;

		private long nextSweep;

		Table(int maxEntries) {
			this.maxEntries = maxEntries;
		}

		RunningDebt entry(String key, long now) {
			RunningDebt entry = this.entries.get(key);
			if (entry != null) {
				return entry;
			}
			RunningDebt shared = this.overflow;
			if (this.entries.size() >= this.maxEntries && !sweep(now)) {
				if (shared == null) {
					shared = new RunningDebt();
					this.overflow = shared;
				}
				return shared;
			}
			RunningDebt fresh = new RunningDebt();
			// What the key may have taken while it shared one is not forgotten either
			if (shared != null && shared.end() >= now) {
				fresh.owes(shared);
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
			Iterator<RunningDebt> iterator = this.entries.values().iterator();
			while (iterator.hasNext()) {
				RunningDebt entry = iterator.next();
				if (entry.end() < now) {
					iterator.remove();
				}
				else {
					earliest = Math.min(earliest, entry.end());
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
