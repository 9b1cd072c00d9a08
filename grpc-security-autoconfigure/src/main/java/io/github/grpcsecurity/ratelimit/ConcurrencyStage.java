package io.github.grpcsecurity.ratelimit;

import java.util.Collection;
import java.util.List;
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

	private final List<ConcurrencyRule> rules;

	private final ConcurrencyLimiter limiter;

	private ConcurrencyStage(SecurityStage stage, List<ConcurrencyRule> rules, ConcurrencyLimiter limiter) {
		this.stage = stage;
		this.rules = rules;
		this.limiter = limiter;
	}

	/**
	 * Creates the stage for the rules that need no identity.
	 * @param limiter counts the calls; its other rules are left to the other stage
	 * @return a stage before authentication
	 */
	public static ConcurrencyStage beforeAuthentication(ConcurrencyLimiter limiter) {
		return new ConcurrencyStage(SecurityStage.PEER_LIMITS,
				limiter.rules().stream().filter((rule) -> !rule.needsIdentity()).toList(), limiter);
	}

	/**
	 * Creates the stage for the rules that need to know who calls.
	 * @param limiter counts the calls; its other rules are left to the other stage
	 * @return a stage after authentication
	 */
	public static ConcurrencyStage afterAuthentication(ConcurrencyLimiter limiter) {
		return new ConcurrencyStage(SecurityStage.PRINCIPAL_LIMITS,
				limiter.rules().stream().filter(ConcurrencyRule::needsIdentity).toList(), limiter);
	}

	@Override
	public SecurityStage stage() {
		return this.stage;
	}

	@Override
	public void plan(SecuredMethod method, MethodPlan.Builder plan) {
		List<ConcurrencyCheck.Limit> limits = this.rules.stream()
			.filter((rule) -> matches(rule.methods(), method))
			.map((rule) -> new ConcurrencyCheck.Limit(rule, rule.key().resolver(method),
					rule.reserved() != null && matches(rule.reserved().methods(), method)))
			.toList();
		if (!limits.isEmpty()) {
			plan.check(limits.stream().map(ConcurrencyCheck.Limit::toString).collect(Collectors.joining("; ")),
					new ConcurrencyCheck(limits, this.limiter));
		}
	}

	private static boolean matches(List<MethodPattern> patterns, SecuredMethod method) {
		return patterns.stream().anyMatch((pattern) -> pattern.matches(method));
	}

	@Override
	public void planned(Collection<SecuredMethod> methods) {
		for (ConcurrencyRule rule : this.rules) {
			LimitCheck.validate(rule.name(), rule.methods(), methods);
			if (rule.reserved() != null) {
				LimitCheck.validate(rule.name(), rule.reserved().methods(), methods);
			}
		}
	}

}
