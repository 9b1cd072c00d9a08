package io.github.grpcsecurity.authorization.policy;

import java.util.List;

/**
 * One rule, ready to be asked.
 *
 * @param decision what it means if the rule matches
 * @param principals of which one must match; empty for anybody
 * @param paths of which one must match; empty for any method
 * @param headers all of which must match
 */
record PolicyRule(PolicyDecision decision, List<StringMatcher> principals, List<StringMatcher> paths,
		List<HeaderMatcher> headers) {

	boolean about(String path) {
		return this.paths.isEmpty() || this.paths.stream().anyMatch((matcher) -> matcher.matches(path));
	}

	/** Whether everything but the path matches. */
	boolean matches(CallFacts facts) {
		if (!this.principals.isEmpty() && !matchesPrincipal(facts.principals())) {
			return false;
		}
		for (HeaderMatcher header : this.headers) {
			if (!header.matches(facts)) {
				return false;
			}
		}
		return true;
	}

	private boolean matchesPrincipal(List<String> names) {
		for (StringMatcher matcher : this.principals) {
			for (String name : names) {
				if (matcher.matches(name)) {
					return true;
				}
			}
		}
		return false;
	}

}
