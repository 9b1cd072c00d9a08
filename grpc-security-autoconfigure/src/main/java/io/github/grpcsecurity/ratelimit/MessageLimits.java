package io.github.grpcsecurity.ratelimit;

import java.util.List;
import java.util.stream.Collectors;

import io.github.grpcsecurity.ratelimit.RateLimitRule.OnExceed;
import io.github.grpcsecurity.server.SecuredMethod;

/**
 * The rules that count the messages of one method. Immutable.
 */
final class MessageLimits {

	private final List<RateLimitRule> rules;

	private final List<Limit> limits;

	private final boolean bytes;

	private MessageLimits(List<RateLimitRule> rules, List<Limit> limits) {
		this.rules = rules;
		this.limits = limits;
		this.bytes = limits.stream().anyMatch((limit) -> limit.rule.bytes());
	}

	static MessageLimits of(List<RateLimitRule> rules, SecuredMethod method) {
		return new MessageLimits(rules,
				rules.stream()
					.filter((rule) -> rule.countsMessages() && rule.appliesTo(method))
					.map((rule) -> new Limit(rule, rule.key().resolver(method), rule.cost(method)))
					.toList());
	}

	/** Whether these are the limits by these very rules. Asked for each message. */
	boolean madeOf(List<RateLimitRule> rules) {
		return this.rules == rules;
	}

	List<Limit> all() {
		return this.limits;
	}

	/** Whether some count bytes. */
	boolean countBytes() {
		return this.bytes;
	}

	/** Whether a message may have to wait: none does for a rule that only watches. */
	boolean letWait() {
		return this.limits.stream()
			.anyMatch((limit) -> !limit.rule.shadow() && limit.rule.onExceed() == OnExceed.BACKPRESSURE);
	}

	@Override
	public String toString() {
		return this.limits.stream().map(Limit::toString).collect(Collectors.joining("; "));
	}

	/**
	 * A rule as it counts the messages of one method.
	 *
	 * @param rule the rule
	 * @param resolver finds whose permits a call takes
	 * @param cost what a message costs, unless its bytes are counted
	 */
	record Limit(RateLimitRule rule, RateLimitKey.Resolver resolver, long cost) {

		@Override
		public String toString() {
			return (this.rule.bytes() ? "byte limit " : "message limit ") + this.rule.name() + " by " + this.rule.key()
					+ ": " + this.rule.numbers(this.cost)
					+ ((this.rule.onExceed() == OnExceed.BACKPRESSURE) ? ", others wait" : "")
					+ (this.rule.shadow() ? ", only watching" : "");
		}

	}

}
