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
 * has used it up by the new numbers as well. Calls that have been admitted go on; their
 * further messages are counted by the new rules. Thread-safe.
 *
 * @since 0.1.0
 */
public final class RateLimitRules {

	private final List<Consumer<List<RateLimitRule>>> listeners = new CopyOnWriteArrayList<>();

	private final List<Runnable> settledListeners = new CopyOnWriteArrayList<>();

	private volatile List<RateLimitRule> rules;

	private volatile List<RateLimitRule> settled;

	/**
	 * Puts rules in force.
	 * @param rules the rules, in their order
	 * @throws InvalidRateLimitRuleException if they do not fit together
	 */
	public RateLimitRules(Collection<RateLimitRule> rules) {
		this.rules = checked(rules);
		this.settled = this.rules;
	}

	/**
	 * The rules in force.
	 * @return an unmodifiable list
	 */
	public List<RateLimitRule> all() {
		return this.rules;
	}

	/**
	 * Replaces all rules.
	 * @param rules the new rules, in their order
	 * @throws InvalidRateLimitRuleException if they do not fit together; the rules in
	 * force stay
	 * @throws UnmatchedMethodPatternException if a rule is for methods that the server
	 * does not have; the rules in force stay
	 */
	public synchronized void update(Collection<RateLimitRule> rules) {
		List<RateLimitRule> before = this.rules;
		List<RateLimitRule> after = checked(rules);
		this.rules = after;
		try {
			this.listeners.forEach((listener) -> listener.accept(after));
		}
		catch (RuntimeException ex) {
			this.rules = before;
			for (Consumer<List<RateLimitRule>> listener : this.listeners) {
				try {
					listener.accept(before);
				}
				catch (RuntimeException again) {
					ex.addSuppressed(again);
				}
			}
			throw ex;
		}
		this.settled = after;
		this.settledListeners.forEach(Runnable::run);
	}

	/**
	 * The rules in force without a change that somebody may yet undo: what is decided by
	 * those cannot be undone.
	 */
	List<RateLimitRule> settled() {
		return this.settled;
	}

	/** Adds somebody who is told when {@link #settled()} has changed; must not throw. */
	void onSettled(Runnable listener) {
		this.settledListeners.add(listener);
	}

	/**
	 * Adds somebody who hears of each change before {@link #update} returns. One that
	 * throws undoes it, and all are told once more.
	 * @param listener receives the rules that are now in force
	 */
	public void onUpdate(Consumer<List<RateLimitRule>> listener) {
		this.listeners.add(listener);
	}

	private static List<RateLimitRule> checked(Collection<RateLimitRule> rules) {
		List<RateLimitRule> all = List.copyOf(rules);
		check(all);
		return all;
	}

	/**
	 * Checks whether rules fit together.
	 * @param all the rules, in their order
	 * @throws InvalidRateLimitRuleException if they do not
	 */
	public static void check(List<RateLimitRule> all) {
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

}
