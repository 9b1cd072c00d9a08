package io.github.grpcsecurity.ratelimit;

import java.util.Objects;

/**
 * What one call asks for in one rule.
 *
 * @param rule the rule
 * @param key whose permits they are; short and printable, whatever the caller sent
 * @param cost how many permits, from 0, which only looks, to 1000000000. More than the
 * burst of the rule are never there.
 * @since 0.1.0
 */
public record RateLimitPermit(RateLimitRule rule, String key, long cost) {

	public RateLimitPermit {
		Objects.requireNonNull(rule, "rule");
		Objects.requireNonNull(key, "key");
		if (cost < 0 || cost > Gcra.MAX_PERMITS) {
			throw new IllegalArgumentException("cost must be from 0 to 1000000000");
		}
	}

	/**
	 * Asks for what one call costs by the rule.
	 * @param rule the rule
	 * @param key whose permits they are
	 */
	public RateLimitPermit(RateLimitRule rule, String key) {
		this(rule, key, rule.gcra().cost());
	}

}
