package io.github.grpcsecurity.ratelimit;

import java.util.Collection;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.function.Consumer;

import org.jspecify.annotations.Nullable;

/**
 * The rules in force, which can be changed while the server runs.
 * <p>
 * A change is all or nothing, and takes nothing from what keys owe: permits are counted
 * as time, by the name of the rule and the key, so a caller that has used up its burst
 * has used it up by the new numbers as well. Calls in flight are counted by the same two,
 * and keep their places. Calls that have been admitted go on; their further messages are
 * counted by the new rules. Thread-safe.
 *
 * @since 0.1.0
 */
public final class RateLimitRules {

	private final List<Consumer<List<RateLimitRule>>> listeners = new CopyOnWriteArrayList<>();

	private final List<Runnable> settledListeners = new CopyOnWriteArrayList<>();

	private volatile Rules rules;

	private volatile List<RateLimitRule> settled;

	/**
	 * Puts rules in force that count calls or messages per period.
	 * @param rules the rules, in their order
	 * @throws InvalidRateLimitRuleException if they do not fit together
	 */
	public RateLimitRules(Collection<RateLimitRule> rules) {
		this(rules, List.of());
	}

	/**
	 * Puts rules in force.
	 * @param rules the rules that count calls or messages per period, in their order
	 * @param concurrency the rules that count calls in flight, in their order
	 * @throws InvalidRateLimitRuleException if they do not fit together
	 */
	public RateLimitRules(Collection<RateLimitRule> rules, Collection<ConcurrencyRule> concurrency) {
		this.rules = new Rules(List.copyOf(rules), List.copyOf(concurrency));
		this.settled = this.rules.rates();
	}

	/**
	 * The rules in force that count calls or messages per period.
	 * @return an unmodifiable list
	 */
	public List<RateLimitRule> all() {
		return this.rules.rates();
	}

	/**
	 * The rules in force that count calls in flight.
	 * @return an unmodifiable list
	 */
	public List<ConcurrencyRule> concurrency() {
		return this.rules.concurrency();
	}

	/**
	 * Replaces all rules that count calls or messages per period, and leaves those that
	 * count calls in flight as they are.
	 * @param rules the new rules, in their order
	 * @throws InvalidRateLimitRuleException if they do not fit together; the rules in
	 * force stay
	 * @throws UnmatchedMethodPatternException if a rule is for methods that the server
	 * does not have; the rules in force stay
	 */
	public synchronized void update(Collection<RateLimitRule> rules) {
		update(rules, this.rules.concurrency());
	}

	/**
	 * Replaces all rules.
	 * @param rules the new rules that count calls or messages per period, in their order
	 * @param concurrency the new rules that count calls in flight, in their order
	 * @throws InvalidRateLimitRuleException if they do not fit together; the rules in
	 * force stay
	 * @throws UnmatchedMethodPatternException if a rule is for methods that the server
	 * does not have; the rules in force stay
	 */
	public synchronized void update(Collection<RateLimitRule> rules, Collection<ConcurrencyRule> concurrency) {
		Rules before = this.rules;
		Rules after = new Rules(List.copyOf(rules), List.copyOf(concurrency));
		this.rules = after;
		try {
			this.listeners.forEach((listener) -> listener.accept(after.rates()));
		}
		catch (RuntimeException ex) {
			this.rules = before;
			for (Consumer<List<RateLimitRule>> listener : this.listeners) {
				try {
					listener.accept(before.rates());
				}
				catch (RuntimeException again) {
					ex.addSuppressed(again);
				}
			}
			throw ex;
		}
		this.settled = after.rates();
		this.settledListeners.forEach(Runnable::run);
	}

	/**
	 * The rules in force that count calls or messages per period, without a change that
	 * somebody may yet undo: what is decided by those cannot be undone.
	 */
	List<RateLimitRule> settled() {
		return this.settled;
	}

	/** Adds somebody who is told when {@link #settled()} has changed; must not throw. */
	void onSettled(Runnable listener) {
		this.settledListeners.add(listener);
	}

	/**
	 * Adds somebody who hears of each change before {@code update} returns. One that
	 * throws undoes it, and all are told once more.
	 * @param listener receives the rules now in force that count calls or messages per
	 * period; those in flight are in {@link #concurrency()}
	 */
	public void onUpdate(Consumer<List<RateLimitRule>> listener) {
		this.listeners.add(listener);
	}

	/**
	 * Checks whether rules fit together.
	 * @param all the rules that count calls or messages per period, in their order
	 * @param concurrency the rules that count calls in flight, in their order
	 * @throws InvalidRateLimitRuleException if they do not
	 */
	public static void check(List<RateLimitRule> all, List<ConcurrencyRule> concurrency) {
		check(all);
		Set<String> names = new HashSet<>();
		all.forEach((rule) -> names.add(rule.name()));
		for (int i = 0; i < concurrency.size(); i++) {
			ConcurrencyRule rule = concurrency.get(i);
			if (!names.add(rule.name())) {
				throw new InvalidRateLimitRuleException(all.size() + i, "name", "Another rule has the name '"
						+ rule.name() + "' already. Nobody could tell them apart; give one of them another name.");
			}
			checkKey(all.size() + i, rule);
		}
	}

	private static void checkKey(int place, ConcurrencyRule rule) {
		if (rule.key().ofCall()) {
			throw new InvalidRateLimitRuleException(place, "key",
					"Each call by itself is one call in flight, so that the rule would count to one. Use another key,"
							+ " or make a rule that counts the messages of each call.");
		}
		// What a key has learned is kept, so callers must not be able to make up keys
		if (rule.adaptive() != null && !rule.key().bounded()) {
			throw new InvalidRateLimitRuleException(place, "key",
					"An adaptive limit learns what this server can bear, not what a caller may take: use global,"
							+ " service or method, or a fixed concurrency.");
		}
	}

	private static void check(List<RateLimitRule> all) {
		Map<String, RateLimitRule> byName = new HashMap<>();
		for (int i = 0; i < all.size(); i++) {
			if (byName.putIfAbsent(all.get(i).name(), all.get(i)) != null) {
				throw new InvalidRateLimitRuleException(i, "name", "Another rule has the name '" + all.get(i).name()
						+ "' already. They would share their permits; give one of them another name.");
			}
		}
		for (int i = 0; i < all.size(); i++) {
			RateLimitRule rule = all.get(i);
			checkKey(i, rule);
			checkBytes(i, rule);
			checkCost(i, "cost", rule.gcra().cost(), rule);
			for (RateLimitRule.MethodCost each : rule.costs()) {
				checkCost(i, "costs", each.cost(), rule);
			}
			for (String name : rule.replaces()) {
				String wrong = wrong(rule, byName.get(name), name, byName);
				if (wrong != null) {
					throw new InvalidRateLimitRuleException(i, "replaces", wrong);
				}
			}
		}
	}

	private static void checkKey(int place, RateLimitRule rule) {
		if (!rule.key().ofCall()) {
			return;
		}
		if (!rule.countsMessages()) {
			throw new InvalidRateLimitRuleException(place, "key",
					"The key 'call' counts each call by itself, so that"
							+ " the rule would count to one. Set messages=true or bytes=true to count what each call"
							+ " sends, or use another key.");
		}
		if (rule.onFailure() != RateLimitRule.OnFailure.LOCAL) {
			throw new InvalidRateLimitRuleException(place, "on-failure", "With the key 'call' each call is counted by"
					+ " itself, in this server alone, which asks nobody. Remove this, or use another key.");
		}
	}

	private static void checkBytes(int place, RateLimitRule rule) {
		if (rule.bytes() && (rule.gcra().cost() != 1 || !rule.costs().isEmpty())) {
			throw new InvalidRateLimitRuleException(place, rule.costs().isEmpty() ? "cost" : "costs",
					"The rule counts bytes, of which a message costs as many as it has. Remove this, or count messages"
							+ " instead with messages=true.");
		}
	}

	private static void checkCost(int place, String property, long cost, RateLimitRule rule) {
		if (cost > rule.gcra().burst()) {
			throw new InvalidRateLimitRuleException(place, property,
					"A cost of " + cost + " exceeds the burst, which is " + rule.gcra().burst()
							+ ": no such call would ever be admitted. Raise the burst or lower the cost.");
		}
	}

	private static @Nullable String wrong(RateLimitRule rule, @Nullable RateLimitRule replaced, String name,
			Map<String, RateLimitRule> all) {
		if (replaced == null) {
			return "There is no rule '" + name + "' to replace.";
		}
		if (rule.countsMessages() || replaced.countsMessages()) {
			return "The rule '" + (rule.countsMessages() ? rule.name() : name)
					+ "' counts messages: such a rule replaces none, and none replaces it. Remove this, or list methods"
					+ " that do not overlap.";
		}
		if (replaced.key().needsIdentity() != rule.key().needsIdentity()) {
			return "The rule '" + name + "' counts " + (replaced.key().needsIdentity() ? "after" : "before")
					+ " authentication, and '" + rule.name() + "' the other way round. Replace it by a rule with a key"
					+ " of the same kind.";
		}
		if (reaches(replaced, rule.name(), all, new HashSet<>())) {
			return "The rules '" + name + "' and '" + rule.name()
					+ "' replace each other, so neither would count. Remove one of the two.";
		}
		return null;
	}

	private static boolean reaches(RateLimitRule from, String name, Map<String, RateLimitRule> all, Set<String> seen) {
		if (from.name().equals(name)) {
			return true;
		}
		for (String next : from.replaces()) {
			RateLimitRule rule = all.get(next);
			if (rule != null && seen.add(next) && reaches(rule, name, all, seen)) {
				return true;
			}
		}
		return false;
	}

	/** What is in force together. */
	private record Rules(List<RateLimitRule> rates, List<ConcurrencyRule> concurrency) {

		Rules {
			check(rates, concurrency);
		}

	}

}
