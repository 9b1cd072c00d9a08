package io.github.grpcsecurity.autoconfigure;

import java.util.List;

import io.github.grpcsecurity.ratelimit.ConcurrencyRule;
import io.github.grpcsecurity.ratelimit.RateLimitRules;

import org.springframework.boot.context.properties.bind.BindHandler;
import org.springframework.boot.context.properties.bind.Bindable;
import org.springframework.boot.context.properties.bind.Binder;
import org.springframework.boot.context.properties.bind.handler.NoUnboundElementsBindHandler;
import org.springframework.core.env.Environment;

/**
 * Reads the rules under {@code grpc.security.rate-limit.rules} anew while the server
 * runs, for applications whose properties change. Thread-safe.
 *
 * @since 0.1.0
 */
public final class GrpcRateLimitReloader {

	private static final String PREFIX = "grpc.security.rate-limit";

	private final Environment environment;

	private final RateLimitKeys keys;

	private final RateLimitRules rules;

	private final List<ConcurrencyRule> concurrency;

	GrpcRateLimitReloader(Environment environment, RateLimitKeys keys, RateLimitRules rules,
			List<ConcurrencyRule> concurrency) {
		this.environment = environment;
		this.keys = keys;
		this.rules = rules;
		this.concurrency = concurrency;
	}

	/**
	 * Puts the rules in force that the properties now ask for. What keys owe stays what
	 * it is. Other settings of rate limits count when the server starts, and only then;
	 * rules of calls in flight are among them.
	 * @throws RuntimeException if the properties are not valid, as when the server
	 * starts, or if they change a rule of calls in flight; the rules in force stay
	 */
	public void reload() {
		GrpcRateLimitProperties properties = Binder.get(this.environment)
			.bindOrCreate(PREFIX, Bindable.of(GrpcRateLimitProperties.class),
					new NoUnboundElementsBindHandler(BindHandler.DEFAULT));
		GrpcRateLimitRules asked = GrpcRateLimitRules.of(properties, this.keys);
		if (!asked.concurrency().equals(this.concurrency)) {
			throw GrpcRateLimitRules.invalid(PREFIX + ".rules", asked.concurrency(),
					"Rules of calls in flight, with concurrency or adaptive, do not change while the server runs."
							+ " Leave them as they are, or restart the server.");
		}
		this.rules.update(asked.rules());
	}

}
