package io.github.grpcsecurity.ratelimit;

import java.util.Objects;

/**
 * What one call asks for in one rule.
 *
 * @param rule the rule
 * @param key whose permits they are; short and printable, whatever the caller sent
 * @since 0.1.0
 */
public record RateLimitPermit(RateLimitRule rule, String key) {

	public RateLimitPermit {
		Objects.requireNonNull(rule, "rule");
		Objects.requireNonNull(key, "key");
	}

}
