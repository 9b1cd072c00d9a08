package io.github.grpcsecurity.ratelimit;

import java.util.Collection;

import io.github.grpcsecurity.server.CallStage;
import io.github.grpcsecurity.server.MethodPlan;
import io.github.grpcsecurity.server.SecuredMethod;
import io.github.grpcsecurity.server.SecurityStage;

/**
 * Refuses calls over the limits that need no identity: by peer, method, service, header
 * or for all calls together. It runs before any crypto is spent on the call.
 *
 * @since 0.1.0
 */
public final class PeerLimitStage implements CallStage {

	private final CallLimits limits;

	/**
	 * Creates the stage.
	 * @param rules all rules, whose changes count as soon as plans are compiled anew;
	 * those that belong to another stage are left to it
	 * @param limiter hands out the permits
	 * @param observer learns what the rules do
	 */
	public PeerLimitStage(RateLimitRules rules, RateLimiter limiter, RateLimitObserver observer) {
		this.limits = new CallLimits((key) -> !key.needsIdentity(), rules, limiter, observer);
	}

	/**
	 * Creates a stage whose rules do not change.
	 * @param rules all rules; those that belong to another stage are left to it
	 * @param limiter hands out the permits
	 * @param observer learns what the rules do
	 */
	public PeerLimitStage(Collection<RateLimitRule> rules, RateLimiter limiter, RateLimitObserver observer) {
		this(new RateLimitRules(rules), limiter, observer);
	}

	@Override
	public SecurityStage stage() {
		return SecurityStage.PEER_LIMITS;
	}

	@Override
	public void plan(SecuredMethod method, MethodPlan.Builder plan) {
		this.limits.plan(method, plan);
	}

	@Override
	public void planned(Collection<SecuredMethod> methods) {
		this.limits.planned(methods);
	}

}
