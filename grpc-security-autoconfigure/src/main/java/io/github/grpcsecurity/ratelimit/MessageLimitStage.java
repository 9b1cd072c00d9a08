package io.github.grpcsecurity.ratelimit;

import java.util.Collection;
import java.util.List;
import java.util.concurrent.ScheduledExecutorService;
import java.util.function.LongSupplier;

import io.github.grpcsecurity.server.CallStage;
import io.github.grpcsecurity.server.MethodPlan;
import io.github.grpcsecurity.server.SecuredMethod;
import io.github.grpcsecurity.server.SecurityStage;

/**
 * Limits the messages that clients send, or their bytes, in the four types of calls: the
 * only message of a unary call counts as one.
 * <p>
 * A message over a limit ends its call, or waits if all limits that it is over say so. A
 * call with a message that waits takes no thread, and its client is not asked for another
 * one. Those who wait for the same permits get them in the order in which they came. It
 * stands behind authentication: messages are only looked at once the caller is known.
 *
 * @since 0.1.0
 */
public final class MessageLimitStage implements CallStage {

	private final RateLimitRules rules;

	private final RateLimiter limiter;

	private final RateLimitObserver observer;

	private final DelayedMessages delayed;

	private final LongSupplier nanoClock;

	/**
	 * Creates the stage.
	 * @param rules all rules; those that count calls are left to other stages. A change
	 * counts from the next message on, also in calls to methods that had such a rule when
	 * the call started, and for messages that wait.
	 * @param limiter hands out the permits
	 * @param observer learns what the rules do
	 * @param timer wakes messages that wait
	 * @param nanoClock a clock that never goes back, such as {@link System#nanoTime()},
	 * for rules that count each call by itself
	 */
	public MessageLimitStage(RateLimitRules rules, RateLimiter limiter, RateLimitObserver observer,
			ScheduledExecutorService timer, LongSupplier nanoClock) {
		this.rules = rules;
		this.limiter = limiter;
		this.observer = observer;
		this.delayed = new DelayedMessages(timer);
		this.nanoClock = nanoClock;
		rules.onSettled(this.delayed::askAnew);
	}

	/**
	 * Creates a stage whose rules do not change.
	 * @param rules all rules; those that count calls are left to other stages
	 * @param limiter hands out the permits
	 * @param observer learns what the rules do
	 * @param timer wakes messages that wait
	 */
	public MessageLimitStage(Collection<RateLimitRule> rules, RateLimiter limiter, RateLimitObserver observer,
			ScheduledExecutorService timer) {
		this(new RateLimitRules(rules), limiter, observer, timer, System::nanoTime);
	}

	@Override
	public SecurityStage stage() {
		return SecurityStage.PRINCIPAL_LIMITS;
	}

	@Override
	public void plan(SecuredMethod method, MethodPlan.Builder plan) {
		if (!method.unknown()) {
			MessageLimitCheck.plan(this.rules, method, plan, this.limiter, this.observer, this.delayed, this.nanoClock);
		}
	}

	@Override
	public void planned(Collection<SecuredMethod> methods) {
		LimitCheck.validate(rules(), methods);
	}

	private List<RateLimitRule> rules() {
		return this.rules.all().stream().filter(RateLimitRule::countsMessages).toList();
	}

	/** How many messages wait. */
	int waiting() {
		return this.delayed.size();
	}

}
