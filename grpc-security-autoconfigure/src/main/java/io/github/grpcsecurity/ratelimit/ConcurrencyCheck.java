package io.github.grpcsecurity.ratelimit;

import java.time.Duration;
import java.util.List;
import java.util.Set;
import java.util.concurrent.ThreadLocalRandom;

import io.github.grpcsecurity.server.CallCheck;
import io.github.grpcsecurity.server.Refusal;
import io.github.grpcsecurity.server.SecuredCall;
import io.github.grpcsecurity.server.Verdict;

import org.springframework.security.core.GrantedAuthority;

/**
 * Applies the concurrency rules of one stage to the calls of one method.
 */
final class ConcurrencyCheck implements CallCheck {

	private static final int MIN_RETRY_MILLIS = 50;

	private static final int MAX_RETRY_MILLIS = 150;

	private final List<Limit> limits;

	private final ConcurrencyLimiter limiter;

	private final RateLimitObserver observer;

	ConcurrencyCheck(List<Limit> limits, ConcurrencyLimiter limiter, RateLimitObserver observer) {
		this.limits = limits;
		this.limiter = limiter;
		this.observer = observer;
	}

	@Override
	public Verdict check(SecuredCall call) {
		for (Limit limit : this.limits) {
			ConcurrencyRule rule = limit.rule;
			String key = limit.resolver.resolve(call);
			if (key == null) {
				continue;
			}
			RateLimitObserver.Outcome outcome = this.limiter.enter(rule, key, limit.privileged(call), call);
			this.observer.applied(rule, outcome);
			switch (outcome) {
				case DENIED -> {
					// The places that other rules gave go back with the refusal
					LimitNotes.refused(call, rule.name());
					return Verdict.refuse(Refusal.overLimit(rule.name(), soon()).withCode(rule.code()));
				}
				case SHADOW_DENIED -> LimitNotes.shadow(call, rule.name());
				default -> {
				}
			}
		}
		return Verdict.proceed();
	}

	/** Nobody knows when a call ends; not all are to come back at once. */
	private static Duration soon() {
		return Duration.ofMillis(ThreadLocalRandom.current().nextInt(MIN_RETRY_MILLIS, MAX_RETRY_MILLIS + 1));
	}

	/**
	 * One rule.
	 *
	 * @param rule the rule
	 * @param resolver finds whose call it is
	 * @param reservedMethod whether all calls to the method may use the reserved share
	 */
	record Limit(ConcurrencyRule rule, RateLimitKey.Resolver resolver, boolean reservedMethod) {

		boolean privileged(SecuredCall call) {
			ConcurrencyRule.Reserved reserved = this.rule.reserved();
			if (this.reservedMethod || reserved == null || reserved.authorities().isEmpty()) {
				return this.reservedMethod;
			}
			Set<String> authorities = reserved.authorities();
			for (GrantedAuthority authority : call.authentication().getAuthorities()) {
				if (authority.getAuthority() != null && authorities.contains(authority.getAuthority())) {
					return true;
				}
			}
			return false;
		}

		@Override
		public String toString() {
			ConcurrencyRule.Reserved reserved = this.rule.reserved();
			StringBuilder text = new StringBuilder("limit ").append(this.rule.name())
				.append(" by ")
				.append(this.rule.key())
				.append(": ")
				.append(this.rule.describe());
			if (reserved != null) {
				text.append(this.reservedMethod ? ", with the reserved share of " : ", without the reserved share of ")
					.append(reserved.share());
				if (!this.reservedMethod && !reserved.authorities().isEmpty()) {
					text.append(" unless the caller has one of ").append(String.join(", ", reserved.authorities()));
				}
			}
			return text.append(this.rule.shadow() ? ", only watching" : "").toString();
		}

	}

}
