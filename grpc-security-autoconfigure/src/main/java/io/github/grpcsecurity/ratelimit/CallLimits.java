package io.github.grpcsecurity.ratelimit;

import java.util.Collection;
import java.util.List;
import java.util.function.Predicate;

import io.github.grpcsecurity.server.MethodPlan;
import io.github.grpcsecurity.server.SecuredMethod;

/**
 * The limits of calls that one stage applies. Held by the stages rather than extended by
 * them: lists of both, in applications, must not come to have a type that they cannot
 * see.
 */
final class CallLimits {

	private final Predicate<RateLimitKey> mine;

	private final RateLimitRules rules;

	private final RateLimiter limiter;

	private final RateLimitObserver observer;

	CallLimits(Predicate<RateLimitKey> mine, RateLimitRules rules, RateLimiter limiter, RateLimitObserver observer) {
		this.mine = mine;
		this.rules = rules;
		this.limiter = limiter;
		this.observer = observer;
	}

	void plan(SecuredMethod method, MethodPlan.Builder plan) {
		LimitCheck.plan(rules(), method, plan, this.limiter, this.observer);
	}

	void planned(Collection<SecuredMethod> methods) {
		LimitCheck.validate(rules(), methods);
	}

	private List<RateLimitRule> rules() {
		return this.rules.all()
			.stream()
			.filter((rule) -> !rule.countsMessages() && this.mine.test(rule.key()))
			.toList();
	}

}
