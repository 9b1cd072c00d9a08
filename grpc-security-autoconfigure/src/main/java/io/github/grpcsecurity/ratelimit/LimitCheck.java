package io.github.grpcsecurity.ratelimit;

import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionStage;
import java.util.stream.Collectors;
import java.util.stream.IntStream;

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

	private final List<Limit> limits;

	private final RateLimiter limiter;

	private final RateLimitObserver observer;

	private LimitCheck(List<Limit> limits, RateLimiter limiter, RateLimitObserver observer) {
		this.limits = limits;
		this.limiter = limiter;
		this.observer = observer;
	}

	static void validate(Collection<RateLimitRule> rules, Collection<SecuredMethod> methods) {
		rules.forEach((rule) -> validate(rule.name(), rule.patterns(), methods));
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
		List<RateLimitRule> applied = rules.stream().filter((rule) -> rule.appliesTo(method)).toList();
		List<Limit> limits = applied.stream().map((rule) -> limit(rule, applied, method)).toList();
		if (!limits.isEmpty()) {
			plan.check(limits.stream().map(Limit::toString).collect(Collectors.joining("; ")),
					new LimitCheck(limits, limiter, observer));
		}
	}

	private static Limit limit(RateLimitRule rule, List<RateLimitRule> applied, SecuredMethod method) {
		int[] replacedBy = IntStream.range(0, applied.size()).filter((i) -> {
			RateLimitRule other = applied.get(i);
			// What only watches must not switch off what counts
			return other.replaces().contains(rule.name()) && (rule.shadow() || !other.shadow());
		}).toArray();
		return new Limit(rule, rule.key().resolver(method), rule.cost(method), replacedBy,
				IntStream.of(replacedBy).mapToObj((i) -> applied.get(i).name()).toList());
	}

	@Override
	public Verdict check(SecuredCall call) {
		int size = this.limits.size();
		@Nullable String[] keys = new @Nullable String[size];
		for (int i = 0; i < size; i++) {
			keys[i] = this.limits.get(i).resolver.resolve(call);
		}
		List<RateLimitPermit> permits = new ArrayList<>(size);
		for (int i = 0; i < size; i++) {
			Limit limit = this.limits.get(i);
			String key = keys[i];
			if (key != null && !replaced(i, keys)) {
				permits.add(new RateLimitPermit(limit.rule, key, limit.cost));
			}
		}
		if (permits.isEmpty()) {
			return Verdict.proceed();
		}
		CompletionStage<RateLimitDecision> answer = this.limiter.tryAcquire(permits, LimitWait.of(call));
		if (answer instanceof CompletableFuture<RateLimitDecision> future && future.isDone()) {
			return verdict(call, permits, future.join(), this.observer);
		}
		Runnable waited = LimitWait.start(call);
		return Verdict.pending(answer.thenApply((decision) -> {
			waited.run();
			return verdict(call, permits, decision, this.observer);
		}));
	}

	/** Whether another rule, which has a key for this call, counts it instead. */
	private boolean replaced(int limit, @Nullable String[] keys) {
		for (int other : this.limits.get(limit).replacedBy) {
			if (keys[other] != null && !replaced(other, keys)) {
				return true;
			}
		}
		return false;
	}

	/** Tells everybody what was decided, for calls and for messages alike. */
	static Verdict verdict(SecuredCall call, List<RateLimitPermit> permits, RateLimitDecision decision,
			RateLimitObserver observer) {
		if (decision.fallback()) {
			for (RateLimitPermit permit : permits) {
				if (decision.withoutStore(permit.rule())) {
					observer.applied(permit.rule(), Outcome.FALLBACK);
				}
			}
			LimitNotes.fallback(call);
		}
		RateLimitRule undecided = decision.undecided();
		if (undecided != null) {
			observer.applied(undecided, Outcome.DENIED);
			LimitNotes.refused(call, undecided.name());
			return Verdict.refuse(Refusal.unavailable("limit " + undecided.name() + " cannot be counted"));
		}
		report(call, decision, observer);
		RateLimitDecision.Result denial = decision.denial();
		if (denial == null) {
			return Verdict.proceed();
		}
		RateLimitRule rule = denial.rule();
		LimitNotes.refused(call, rule.name());
		return Verdict.refuse(Refusal.overLimit(rule.name(), denial.retryAfter()).withCode(rule.code()));
	}

	private static void report(SecuredCall call, RateLimitDecision decision, RateLimitObserver observer) {
		for (RateLimitDecision.Result result : decision.results()) {
			if (result.denied()) {
				boolean shadow = result.rule().shadow();
				observer.applied(result.rule(), shadow ? Outcome.SHADOW_DENIED : Outcome.DENIED);
				if (shadow) {
					LimitNotes.shadow(call, result.rule().name());
				}
			}
			else if (decision.permitted()) {
				observer.applied(result.rule(), Outcome.ALLOWED);
				if (result.rule().gcra().near(result.debt())) {
					observer.applied(result.rule(), Outcome.NEAR_LIMIT);
				}
			}
		}
	}

	/** A rule as it counts calls to one method. */
	private static final class Limit {

		private final RateLimitRule rule;

		private final RateLimitKey.Resolver resolver;

		private final long cost;

		private final int[] replacedBy;

		private final List<String> replacedByNames;

		Limit(RateLimitRule rule, RateLimitKey.Resolver resolver, long cost, int[] replacedBy,
				List<String> replacedByNames) {
			this.rule = rule;
			this.resolver = resolver;
			this.cost = cost;
			this.replacedBy = replacedBy;
			this.replacedByNames = replacedByNames;
		}

		@Override
		public String toString() {
			Gcra gcra = this.rule.gcra();
			return "limit " + this.rule.name() + " by " + this.rule.key() + ": "
					+ new Gcra(gcra.limit(), gcra.period(), gcra.burst(), this.cost)
					+ (this.replacedByNames.isEmpty() ? ""
							: ", unless " + String.join(" or ", this.replacedByNames) + " counts")
					+ (this.rule.shadow() ? ", only watching" : "");
		}

	}

}
