package io.github.grpcsecurity.autoconfigure;

import java.util.ArrayList;
import java.util.List;
import java.util.Set;

import io.github.grpcsecurity.autoconfigure.GrpcRateLimitProperties.Adaptive;
import io.github.grpcsecurity.autoconfigure.GrpcRateLimitProperties.Reserved;
import io.github.grpcsecurity.autoconfigure.GrpcRateLimitProperties.Rule;
import io.github.grpcsecurity.ratelimit.ConcurrencyRule;
import io.github.grpcsecurity.ratelimit.RateLimitKey;
import io.github.grpcsecurity.ratelimit.RateLimitRule.OnFailure;
import io.github.grpcsecurity.server.MethodPattern;
import org.jspecify.annotations.Nullable;

import org.springframework.boot.context.properties.source.InvalidConfigurationPropertyValueException;
import org.springframework.util.ClassUtils;

/**
 * Checks what a user asks for with a rule that limits calls in flight.
 */
final class ConfiguredConcurrencyRule {

	private static final String ADAPTIVE_LIBRARY = "com.netflix.concurrency.limits.Limit";

	private ConfiguredConcurrencyRule() {
	}

	static ConcurrencyRule of(String property, Rule rule, String name, RateLimitKey key, List<MethodPattern> methods,
			@Nullable ClassLoader classLoader) {
		standsAlone(property, rule);
		Adaptive adaptive = rule.adaptive();
		Integer limit = rule.concurrency();
		if (adaptive != null && limit != null) {
			throw invalid(property + "concurrency", limit,
					"The rule has adaptive, too. A limit is fixed or adapts: keep one of the two.");
		}
		ConcurrencyRule.Adaptive bounds = null;
		if (adaptive != null) {
			bounds = bounds(property + "adaptive.", adaptive);
			if (!ClassUtils.isPresent(ADAPTIVE_LIBRARY, classLoader)) {
				throw invalid(property + "adaptive", adaptive,
						"Adaptive limits need com.netflix.concurrency-limits:concurrency-limits-core on the"
								+ " class path. Add it, or set a fixed concurrency.");
			}
		}
		else if (limit == null || limit < 1) {
			throw invalid(property + "concurrency", limit, "It must be at least 1.");
		}
		int initial = (adaptive != null) ? adaptive.initial() : limit;
		ConcurrencyRule.Reserved reserved = (rule.reserved() != null)
				? reserved(property + "reserved.", rule.reserved(), (bounds != null) ? bounds.min() : initial) : null;
		return new ConcurrencyRule(name, key, methods, initial, bounds, reserved, rule.shadow(),
				rule.responseStatus().code());
	}

	private static void standsAlone(String property, Rule rule) {
		refuse(property + "limit", rule.limit());
		refuse(property + "period", rule.period());
		refuse(property + "burst", rule.burst());
		refuse(property + "cost", (rule.cost() != 1) ? rule.cost() : null);
		refuse(property + "costs", rule.costs().isEmpty() ? null : rule.costs());
		refuse(property + "replaces", rule.replaces().isEmpty() ? null : rule.replaces());
		refuse(property + "on-exceed", rule.onExceed());
		if (rule.onFailure() != OnFailure.LOCAL) {
			throw invalid(property + "on-failure", rule.onFailure(),
					"Calls in flight are counted in this server alone, which asks nobody. Remove this.");
		}
		if (rule.messages() || rule.bytes()) {
			throw invalid(property + (rule.messages() ? "messages" : "bytes"), true,
					"The rule counts calls in flight, which messages are not."
							+ " Make another rule for the messages, with a limit per period.");
		}
	}

	private static void refuse(String property, @Nullable Object value) {
		if (value != null) {
			throw invalid(property, value, "The rule counts calls in flight, and concurrency or adaptive stands"
					+ " alone. Remove this, or make another rule for a limit per period.");
		}
	}

	private static ConcurrencyRule.Adaptive bounds(String property, Adaptive adaptive) {
		if (adaptive.min() < 1) {
			throw invalid(property + "min", adaptive.min(), "It must be at least 1.");
		}
		if (adaptive.max() < adaptive.min()) {
			throw invalid(property + "max", adaptive.max(),
					"It must be at least " + property + "min, which is " + adaptive.min() + ".");
		}
		if (adaptive.initial() < adaptive.min() || adaptive.initial() > adaptive.max()) {
			throw invalid(property + "initial", adaptive.initial(),
					"It must be from " + adaptive.min() + " to " + adaptive.max() + ", the min and max of the rule.");
		}
		return new ConcurrencyRule.Adaptive(adaptive.min(), adaptive.max());
	}

	private static ConcurrencyRule.Reserved reserved(String property, Reserved reserved, int least) {
		Double share = reserved.share();
		if (share == null || !(share > 0 && share < 1)) {
			throw invalid(property + "share", share,
					"It must be above 0 and below 1, such as 0.2 for a fifth of the limit.");
		}
		if (least - (int) Math.ceil(share * least) < 1) {
			throw invalid(property + "share", share, "It leaves nothing to other calls when " + least
					+ " may be in flight. Lower the share or raise the number of calls.");
		}
		if (reserved.methods().isEmpty() && reserved.authorities().isEmpty()) {
			throw invalid(property + "methods", "",
					"Nobody could use the share. Name methods, or set " + property + "authorities to name callers.");
		}
		List<MethodPattern> methods = reserved.methods().isEmpty() ? new ArrayList<>()
				: GrpcRateLimitRules.methods(property + "methods", reserved.methods());
		if (reserved.authorities().stream().anyMatch(String::isBlank)) {
			throw invalid(property + "authorities", reserved.authorities(), "An authority has text in it.");
		}
		return new ConcurrencyRule.Reserved(share, methods, Set.copyOf(reserved.authorities()));
	}

	private static InvalidConfigurationPropertyValueException invalid(String property, @Nullable Object value,
			String reason) {
		return GrpcRateLimitRules.invalid(property, value, reason);
	}

}
