package io.github.grpcsecurity.ratelimit;

import java.util.Collection;
import java.util.List;
import java.util.function.Predicate;
import java.util.stream.Collectors;

import io.github.grpcsecurity.server.CallStage;
import io.github.grpcsecurity.server.MethodPattern;
import io.github.grpcsecurity.server.MethodPlan;
import io.github.grpcsecurity.server.SecuredMethod;
import io.github.grpcsecurity.server.SecurityStage;

/**
 * Refuses calls while too many are in flight.
 * <p>
 * There is one for the rules that need no identity and one for the others. Each belongs
 * before the rate limits of the same stage, so that what it refuses takes no permits.
 *
 * @since 0.1.0
 */
public final class ConcurrencyStage implements CallStage {

	private final SecurityStage stage;

	private final Predicate<ConcurrencyRule> mine;

	private final ConcurrencyLimiter limiter;

	private final RateLimitObserver observer;

	private ConcurrencyStage(SecurityStage stage, Predicate<ConcurrencyRule> mine, ConcurrencyLimiter limiter,
			RateLimitObserver observer) {
		this.stage = stage;
		this.mine = mine;
		this.limiter = limiter;
		this.observer = observer;
	}

	/**
	 * Creates the stage for the rules that need no identity.
	 * @param limiter counts the calls; the changes of its rules count as soon as plans
	 * are compiled anew, and its other rules are left to the other stage
	 * @param observer learns what the rules do
	 * @return a stage before authentication
	 */
	public static ConcurrencyStage beforeAuthentication(ConcurrencyLimiter limiter, RateLimitObserver observer) {
		return new ConcurrencyStage(SecurityStage.PEER_LIMITS, (rule) -> !rule.needsIdentity(), limiter, observer);
	}

	/**
	 * Creates the stage for the rules that need to know who calls.
	 * @param limiter counts the calls; the changes of its rules count as soon as plans
	 * are compiled anew, and its other rules are left to the other stage
	 * @param observer learns what the rules do
	 * @return a stage after authentication
	 */
	public static ConcurrencyStage afterAuthentication(ConcurrencyLimiter limiter, RateLimitObserver observer) {
		return new ConcurrencyStage(SecurityStage.PRINCIPAL_LIMITS, ConcurrencyRule::needsIdentity, limiter, observer);
	}

	@Override
	public SecurityStage stage() {
		return this.stage;
	}

	@Override
	public void plan(SecuredMethod method, MethodPlan.Builder plan) {
		List<ConcurrencyCheck.Limit> limits = rules().stream()
			.filter((rule) -> matches(rule.methods(), method))
			.map((rule) -> new ConcurrencyCheck.Limit(rule, rule.key().resolver(method),
					rule.reserved() != null && matches(rule.reserved().methods(), method)))
			.toList();
		if (!limits.isEmpty()) {
			plan.check(limits.stream().map(ConcurrencyCheck.Limit::toString).collect(Collectors.joining("; ")),
					new ConcurrencyCheck(limits, this.limiter, this.observer));
		}
	}

	private List<ConcurrencyRule> rules() {
		return this.limiter.rules().stream().filter(this.mine).toList();
	}

	private static boolean matches(List<MethodPattern> patterns, SecuredMethod method) {
		return patterns.stream().anyMatch((pattern) -> pattern.matches(method));
	}

	@Override
	public void planned(Collection<SecuredMethod> methods) {
		for (ConcurrencyRule rule : rules()) {
			LimitCheck.validate(rule.name(), rule.methods(), methods);
			if (rule.reserved() != null) {
				LimitCheck.validate(rule.name(), rule.reserved().methods(), methods);
			}
		}
	}

}
