package io.github.grpcsecurity.ratelimit;

import java.time.Duration;
import java.util.List;

import io.github.grpcsecurity.ratelimit.RateLimitRule.OnFailure;
import io.github.grpcsecurity.server.MethodPattern;
import io.grpc.Status;

/** Rules as tests need them. */
public final class TestRules {

	private TestRules() {
	}

	public static RateLimitRule rule(String name, long limit, Duration period) {
		return rule(name, "peer", limit, period);
	}

	public static RateLimitRule rule(String name, String key, long limit, Duration period) {
		return rule(name, key, new Gcra(limit, period, limit, 1));
	}

	public static RateLimitRule rule(String name, String key, Gcra gcra) {
		return new RateLimitRule(name, RateLimitKey.parse(key), List.of(MethodPattern.parse("**")), gcra, false,
				OnFailure.LOCAL, Status.Code.RESOURCE_EXHAUSTED);
	}

	public static RateLimitRule shadow(RateLimitRule rule) {
		return new RateLimitRule(rule.name(), rule.key(), rule.methods(), rule.gcra(), true, rule.onFailure(),
				rule.code(), rule.replaces(), rule.costs(), rule.onExceed(), rule.bytes());
	}

	public static RateLimitRule onFailure(RateLimitRule rule, OnFailure onFailure) {
		return new RateLimitRule(rule.name(), rule.key(), rule.methods(), rule.gcra(), rule.shadow(), onFailure,
				rule.code(), rule.replaces(), rule.costs(), rule.onExceed(), rule.bytes());
	}

	public static RateLimitRule code(RateLimitRule rule, Status.Code code) {
		return new RateLimitRule(rule.name(), rule.key(), rule.methods(), rule.gcra(), rule.shadow(), rule.onFailure(),
				code, rule.replaces(), rule.costs(), rule.onExceed(), rule.bytes());
	}

	public static RateLimitRule methods(RateLimitRule rule, String... patterns) {
		return new RateLimitRule(rule.name(), rule.key(),
				java.util.Arrays.stream(patterns).map(MethodPattern::parse).toList(), rule.gcra(), rule.shadow(),
				rule.onFailure(), rule.code(), rule.replaces(), rule.costs(), rule.onExceed(), rule.bytes());
	}

	public static RateLimitRule replaces(RateLimitRule rule, String... names) {
		return new RateLimitRule(rule.name(), rule.key(), rule.methods(), rule.gcra(), rule.shadow(), rule.onFailure(),
				rule.code(), java.util.Set.of(names), rule.costs(), rule.onExceed(), rule.bytes());
	}

	public static RateLimitRule messages(RateLimitRule rule) {
		return messages(rule, RateLimitRule.OnExceed.REJECT);
	}

	public static RateLimitRule messages(RateLimitRule rule, RateLimitRule.OnExceed onExceed) {
		return new RateLimitRule(rule.name(), rule.key(), rule.methods(), rule.gcra(), rule.shadow(), rule.onFailure(),
				rule.code(), rule.replaces(), rule.costs(), onExceed, rule.bytes());
	}

	public static RateLimitRule bytes(RateLimitRule rule, RateLimitRule.OnExceed onExceed) {
		return new RateLimitRule(rule.name(), rule.key(), rule.methods(), rule.gcra(), rule.shadow(), rule.onFailure(),
				rule.code(), rule.replaces(), rule.costs(), onExceed, true);
	}

	public static RateLimitRule cost(RateLimitRule rule, String pattern, long cost) {
		return new RateLimitRule(rule.name(), rule.key(), rule.methods(), rule.gcra(), rule.shadow(), rule.onFailure(),
				rule.code(), rule.replaces(),
				List.of(new RateLimitRule.MethodCost(List.of(MethodPattern.parse(pattern)), cost)), rule.onExceed(),
				rule.bytes());
	}

	public static List<RateLimitPermit> permits(String key, RateLimitRule... rules) {
		return java.util.Arrays.stream(rules).map((rule) -> new RateLimitPermit(rule, key)).toList();
	}

}
