package io.github.grpcsecurity.ratelimit;

import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionStage;
import java.util.stream.Collectors;

import io.github.grpcsecurity.ratelimit.RateLimitObserver.Outcome;
import io.github.grpcsecurity.server.CallCheck;
import io.github.grpcsecurity.server.MethodPattern;
import io.github.grpcsecurity.server.MethodPlan;
import io.github.grpcsecurity.server.Refusal;
import io.github.grpcsecurity.server.SecuredCall;
import io.github.grpcsecurity.server.SecuredMethod;
import io.github.grpcsecurity.server.Verdict;
import org.jspecify.annotations.Nullable;

/**
 * Applies the rules of one stage to the calls of one method, all of them at once.
 * <p>
 * A call costs its permits when it starts, however many messages its stream carries and
 * however it ends.
 */
final class LimitCheck implements CallCheck {

	private static final String NOTE = "rate_limit.rule";

	private static final String SHADOW_NOTE = "rate_limit.shadow";

	private static final String FALLBACK_NOTE = "rate_limit.fallback";

	private final List<Limit> limits;

	private final RateLimiter limiter;

	private final RateLimitObserver observer;

	private LimitCheck(List<Limit> limits, RateLimiter limiter, RateLimitObserver observer) {
		this.limits = limits;
		this.limiter = limiter;
		this.observer = observer;
	}

	static void validate(List<RateLimitRule> rules, Collection<SecuredMethod> methods) {
		rules.forEach((rule) -> validate(rule.name(), rule.methods(), methods));
	}

	static void validate(String rule, List<MethodPattern> patterns, Collection<SecuredMethod> methods) {
		if (methods.isEmpty()) {
			// Nothing is wrong with the rules of a server that has no services yet
			return;
		}
		for (MethodPattern pattern : patterns) {
			if (!pattern.toString().equals("**") && methods.stream().noneMatch(pattern::matches)) {
				throw new UnmatchedMethodPatternException(rule, pattern.toString(),
						methods.stream().map(SecuredMethod::fullName).toList());
			}
		}
	}

	static void plan(List<RateLimitRule> rules, SecuredMethod method, MethodPlan.Builder plan, RateLimiter limiter,
			RateLimitObserver observer) {
		List<Limit> limits = rules.stream()
			.filter((rule) -> rule.methods().stream().anyMatch((pattern) -> pattern.matches(method)))
			.map((rule) -> new Limit(rule, rule.key().resolver(method)))
			.toList();
		if (!limits.isEmpty()) {
			plan.check(limits.stream().map(Limit::toString).collect(Collectors.joining("; ")),
					new LimitCheck(limits, limiter, observer));
		}
	}

	@Override
	public Verdict check(SecuredCall call) {
		List<RateLimitPermit> permits = new ArrayList<>(this.limits.size());
		for (Limit limit : this.limits) {
			String key = limit.resolver.resolve(call);
			if (key != null) {
				permits.add(new RateLimitPermit(limit.rule, key));
			}
		}
		if (permits.isEmpty()) {
			return Verdict.proceed();
		}
		CompletionStage<RateLimitDecision> answer = this.limiter.tryAcquire(permits);
		if (answer instanceof CompletableFuture<RateLimitDecision> future && future.isDone()) {
			return verdict(call, permits, future.join());
		}
		return Verdict.pending(answer.thenApply((decision) -> verdict(call, permits, decision)));
	}

	private Verdict verdict(SecuredCall call, List<RateLimitPermit> permits, RateLimitDecision decision) {
		if (decision.fallback()) {
			for (RateLimitPermit permit : permits) {
				this.observer.applied(permit.rule(), Outcome.FALLBACK);
			}
			call.note(FALLBACK_NOTE, "true");
		}
		RateLimitRule undecided = decision.undecided();
		if (undecided != null) {
			this.observer.applied(undecided, Outcome.DENIED);
			call.note(NOTE, undecided.name());
			return Verdict.refuse(Refusal.unavailable("limit " + undecided.name() + " cannot be counted"));
		}
		report(call, decision);
		RateLimitDecision.Result denial = decision.denial();
		if (denial == null) {
			return Verdict.proceed();
		}
		RateLimitRule rule = denial.rule();
		call.note(NOTE, rule.name());
		return Verdict.refuse(Refusal.overLimit(rule.name(), denial.retryAfter()).withCode(rule.code()));
	}

	private void report(SecuredCall call, RateLimitDecision decision) {
		String shadows = null;
		for (RateLimitDecision.Result result : decision.results()) {
			if (result.denied()) {
				boolean shadow = result.rule().shadow();
				this.observer.applied(result.rule(), shadow ? Outcome.SHADOW_DENIED : Outcome.DENIED);
				if (shadow) {
					shadows = join(shadows, result.rule().name());
				}
			}
			else if (decision.permitted()) {
				this.observer.applied(result.rule(), Outcome.ALLOWED);
			}
		}
		if (shadows != null) {
			call.note(SHADOW_NOTE, shadows);
		}
	}

	private static String join(@Nullable String names, String name) {
		return (names != null) ? names + "," + name : name;
	}

	private record Limit(RateLimitRule rule, RateLimitKey.Resolver resolver) {

		@Override
		public String toString() {
			return "limit " + this.rule.name() + " by " + this.rule.key() + ": " + this.rule.gcra()
					+ (this.rule.shadow() ? ", only watching" : "");
		}

	}

}
