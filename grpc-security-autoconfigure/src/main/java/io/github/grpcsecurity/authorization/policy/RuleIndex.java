package io.github.grpcsecurity.authorization.policy;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

import org.jspecify.annotations.Nullable;

/**
 * The rules of one list that are about one method. Finds the first that matches without
 * looking at those that are for other principals. Immutable.
 */
final class RuleIndex {

	private final List<PolicyRule> rules;

	private final Map<String, List<Integer>> byPrincipal = new HashMap<>();

	private final List<Integer> others = new ArrayList<>();

	RuleIndex(List<PolicyRule> rules) {
		this.rules = List.copyOf(rules);
		for (int i = 0; i < rules.size(); i++) {
			List<StringMatcher> principals = rules.get(i).principals();
			if (!principals.isEmpty() && principals.stream().allMatch(StringMatcher::exact)) {
				for (StringMatcher principal : principals) {
					this.byPrincipal.computeIfAbsent(principal.text(), (name) -> new ArrayList<>()).add(i);
				}
			}
			else {
				this.others.add(i);
			}
		}
	}

	boolean isEmpty() {
		return this.rules.isEmpty();
	}

	@Nullable PolicyRule firstMatch(CallFacts facts) {
		int first = this.rules.size();
		for (String name : facts.principals()) {
			List<Integer> named = this.byPrincipal.get(name);
			if (named != null) {
				first = firstMatch(named, facts, first);
			}
		}
		first = firstMatch(this.others, facts, first);
		return (first < this.rules.size()) ? this.rules.get(first) : null;
	}

	/** The first of these that matches and comes before the one that is known to. */
	private int firstMatch(List<Integer> candidates, CallFacts facts, int known) {
		for (int i = 0; i < candidates.size(); i++) {
			int candidate = candidates.get(i);
			if (candidate >= known) {
				break;
			}
			if (this.rules.get(candidate).matches(facts)) {
				return candidate;
			}
		}
		return known;
	}

}
