package io.github.grpcsecurity.autoconfigure;

import java.time.Duration;
import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.function.Supplier;
import java.util.regex.Pattern;

import io.github.grpcsecurity.autoconfigure.GrpcRateLimitProperties.Cost;
import io.github.grpcsecurity.autoconfigure.GrpcRateLimitProperties.Rule;
import io.github.grpcsecurity.ratelimit.ConcurrencyRule;
import io.github.grpcsecurity.ratelimit.Gcra;
import io.github.grpcsecurity.ratelimit.InvalidRateLimitRuleException;
import io.github.grpcsecurity.ratelimit.RateLimitKey;
import io.github.grpcsecurity.ratelimit.RateLimitRule;
import io.github.grpcsecurity.ratelimit.RateLimitRule.OnExceed;
import io.github.grpcsecurity.ratelimit.RateLimitRule.MethodCost;
import io.github.grpcsecurity.ratelimit.RateLimitRules;
import io.github.grpcsecurity.server.MethodPattern;
import org.jspecify.annotations.Nullable;

import org.springframework.boot.context.properties.source.InvalidConfigurationPropertyValueException;

/**
 * The rules that {@link GrpcRateLimitProperties} ask for, checked.
 *
 * @param rules the rules that count calls or messages per period, in their order
 * @param concurrency the rules that count calls in flight, in their order
 */
record GrpcRateLimitRules(List<RateLimitRule> rules, List<ConcurrencyRule> concurrency) {

	private static final String PREFIX = "grpc.security.rate-limit.";

	// A part of Redis keys and of metrics
	private static final Pattern NAME = Pattern.compile("[A-Za-z0-9._-]{1,64}");

	private static final Duration PERIOD = Duration.ofSeconds(1);

	// More than any burst, so that it is refused as such
	private static final long MAX_COST = 1_000_000_000;

	private static final Duration MIN_TTL = Duration.ofMillis(10);

	private static final Duration MAX_TTL = Duration.ofMinutes(1);

	GrpcRateLimitRules {
		rules = List.copyOf(rules);
		concurrency = List.copyOf(concurrency);
	}

	static GrpcRateLimitRules of(GrpcRateLimitProperties properties, RateLimitKeys keys,
			@Nullable ClassLoader classLoader) {
		if (properties.expectedInstances() < 1) {
			throw invalid(PREFIX + "expected-instances", properties.expectedInstances(), "It must be at least 1.");
		}
		if (properties.redis().timeout().isNegative() || properties.redis().timeout().isZero()) {
			throw invalid(PREFIX + "redis.timeout", properties.redis().timeout(), "It must be longer than zero.");
		}
		if (properties.redis().keyPrefix().isBlank() || properties.redis().keyPrefix().contains("{}")) {
			throw invalid(PREFIX + "redis.key-prefix", properties.redis().keyPrefix(),
					"It must have text in it, and no empty hash tag '{}'.");
		}
		Duration ttl = properties.lease().ttl();
		if (ttl.compareTo(MIN_TTL) < 0 || ttl.compareTo(MAX_TTL) > 0) {
			throw invalid(PREFIX + "lease.ttl", ttl, "It must be from 10 milliseconds to one minute; "
					+ "to ask Redis for each call, set grpc.security.rate-limit.lease.enabled=false.");
		}
		double maxShare = properties.lease().maxShare();
		if (!(maxShare > 0 && maxShare <= 1)) {
			throw invalid(PREFIX + "lease.max-share", maxShare, "It must be above 0 and not above 1; "
					+ "to ask Redis for each call, set grpc.security.rate-limit.lease.enabled=false.");
		}
		List<RateLimitRule> rules = new ArrayList<>();
		List<ConcurrencyRule> concurrency = new ArrayList<>();
		List<Integer> places = new ArrayList<>();
		List<Integer> concurrencyPlaces = new ArrayList<>();
		for (int i = 0; i < properties.rules().size(); i++) {
			String property = PREFIX + "rules[" + i + "].";
			Rule asked = properties.rules().get(i);
			String name = name(property, asked);
			if (asked.concurrency() != null || asked.adaptive() != null) {
				concurrency.add(ConfiguredConcurrencyRule.of(property, asked, name, key(property, asked, keys),
						methods(property + "methods", asked.methods()), classLoader));
				concurrencyPlaces.add(i);
			}
			else {
				rules.add(rule(property, asked, name, keys));
				places.add(i);
			}
		}
		places.addAll(concurrencyPlaces);
		check(rules, concurrency, places);
		// Last, as a share has to hold the dearest call
		for (int i = 0; i < rules.size(); i++) {
			RateLimitRule rule = rules.get(i);
			int place = places.get(i);
			numbers(PREFIX + "rules[" + place + "].", properties.rules().get(place),
					() -> rule.share(properties.expectedInstances()));
		}
		return new GrpcRateLimitRules(rules, concurrency);
	}

	private static void check(List<RateLimitRule> rules, List<ConcurrencyRule> concurrency, List<Integer> places) {
		try {
			RateLimitRules.check(rules, concurrency);
		}
		catch (InvalidRateLimitRuleException ex) {
			String property = PREFIX + "rules[" + places.get(ex.rule()) + "]." + ex.property();
			Object value = (ex.rule() < rules.size()) ? value(rules.get(ex.rule()), ex.property())
					: value(concurrency.get(ex.rule() - rules.size()), ex.property());
			throw invalid(property, value, String.valueOf(ex.getMessage()));
		}
	}

	private static Object value(RateLimitRule rule, String property) {
		return switch (property) {
			case "name" -> rule.name();
			case "key" -> rule.key();
			case "on-failure" -> rule.onFailure();
			case "replaces" -> rule.replaces();
			case "cost" -> rule.gcra().cost();
			default -> rule.costs();
		};
	}

	private static Object value(ConcurrencyRule rule, String property) {
		return property.equals("name") ? rule.name() : rule.key();
	}

	private static String name(String property, Rule rule) {
		String name = required(property + "name", rule.name(), "Each rule needs a name, such as 'per-peer'.");
		if (!NAME.matcher(name).matches()) {
			throw invalid(property + "name", name,
					"A name consists of at most 64 letters, digits, dots, hyphens and underscores.");
		}
		return name;
	}

	private static RateLimitKey key(String property, Rule rule, RateLimitKeys keys) {
		String keyText = required(property + "key", rule.key(),
				"Each rule needs a key; use peer, principal, issuer, api-key, method, service, global, call or header:<name>.");
		return parsed(property + "key", keyText, () -> keys.key(keyText));
	}

	static List<MethodPattern> methods(String property, List<String> patterns) {
		if (patterns.isEmpty()) {
			throw invalid(property, "", "A rule is for one method at least; use ** for all of them.");
		}
		List<MethodPattern> methods = new ArrayList<>();
		for (int i = 0; i < patterns.size(); i++) {
			String pattern = patterns.get(i);
			methods.add(parsed(property + "[" + i + "]", pattern, () -> MethodPattern.parse(pattern)));
		}
		return methods;
	}

	private static RateLimitRule rule(String property, Rule rule, String name, RateLimitKeys keys) {
		if (rule.reserved() != null) {
			throw invalid(property + "reserved", rule.reserved(), "Only calls in flight have a share that can be"
					+ " reserved. Set concurrency or adaptive instead of a limit, or remove this.");
		}
		if (rule.messages() && rule.bytes()) {
			throw invalid(property + "messages", true,
					"The rule counts bytes, which are those of messages. Remove this,"
							+ " or make two rules, one for messages and one for bytes.");
		}
		boolean counted = rule.messages() || rule.bytes();
		if (rule.onExceed() != null && !counted) {
			throw invalid(property + "on-exceed", rule.onExceed(),
					"It is for messages: a call over the limit is always refused. Set messages=true to count"
							+ " messages, bytes=true to count their bytes, or remove this.");
		}
		OnExceed onExceed = (counted && rule.onExceed() == null) ? OnExceed.REJECT : rule.onExceed();
		RateLimitKey key = key(property, rule, keys);
		List<MethodPattern> methods = methods(property + "methods", rule.methods());
		Gcra gcra = numbers(property, rule, () -> gcra(property, rule));
		return new RateLimitRule(name, key, methods, gcra, rule.shadow(), rule.onFailure(),
				rule.responseStatus().code(), new LinkedHashSet<>(rule.replaces()),
				costs(property + "costs", rule.costs()), onExceed, rule.bytes());
	}

	private static List<MethodCost> costs(String property, List<Cost> costs) {
		List<MethodCost> parsed = new ArrayList<>();
		for (int i = 0; i < costs.size(); i++) {
			Cost cost = costs.get(i);
			String element = property + "[" + i + "].";
			if (cost.methods().isEmpty()) {
				throw invalid(element + "methods", "", "A cost is for one method at least.");
			}
			if (cost.cost() < 1) {
				throw invalid(element + "cost", cost.cost(), "It must be at least 1.");
			}
			parsed.add(new MethodCost(methods(element + "methods", cost.methods()), Math.min(cost.cost(), MAX_COST)));
		}
		return parsed;
	}

	private static Gcra gcra(String property, Rule rule) {
		long limit = required(property + "limit", rule.limit(), "Each rule needs a limit, the permits per period.");
		Duration period = (rule.period() != null) ? rule.period() : PERIOD;
		long burst = (rule.burst() != null) ? rule.burst() : limit;
		if (limit < 1) {
			throw invalid(property + "limit", limit, "It must be at least 1.");
		}
		if (burst < 1) {
			throw invalid(property + "burst", burst, "It must be at least 1.");
		}
		if (rule.cost() < 1) {
			throw invalid(property + "cost", rule.cost(), "It must be at least 1.");
		}
		return new Gcra(limit, period, burst, rule.cost());
	}

	/** Says which number is at fault if they do not fit together. */
	private static <T> T numbers(String property, Rule rule, Supplier<T> made) {
		try {
			return made.get();
		}
		catch (IllegalArgumentException ex) {
			String message = String.valueOf(ex.getMessage());
			String name = message.substring(0, message.indexOf(' ')).replace(",", "");
			Object value = switch (name) {
				case "limit" -> rule.limit();
				case "burst" -> (rule.burst() != null) ? rule.burst() : rule.limit();
				case "cost" -> rule.cost();
				default -> (rule.period() != null) ? rule.period() : PERIOD;
			};
			throw invalid(property + name, value, "The " + message + ".");
		}
	}

	private static <T> T required(String property, @Nullable T value, String reason) {
		if (value == null) {
			throw invalid(property, null, reason);
		}
		return value;
	}

	private static <T> T parsed(String property, String value, Supplier<T> parser) {
		try {
			return parser.get();
		}
		catch (IllegalArgumentException ex) {
			String message = String.valueOf(ex.getMessage());
			throw invalid(property, value, Character.toUpperCase(message.charAt(0)) + message.substring(1)
					+ (message.endsWith(".") ? "" : "."));
		}
	}

	static InvalidConfigurationPropertyValueException invalid(String property, @Nullable Object value, String reason) {
		return new InvalidConfigurationPropertyValueException(property, value, reason);
	}

}
