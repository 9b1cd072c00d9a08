package io.github.grpcsecurity.autoconfigure;

import io.github.grpcsecurity.ratelimit.RateLimitRules;

import org.springframework.boot.context.properties.bind.BindHandler;
import org.springframework.boot.context.properties.bind.Bindable;
import org.springframework.boot.context.properties.bind.Binder;
import org.springframework.boot.context.properties.bind.handler.NoUnboundElementsBindHandler;
import org.springframework.boot.context.properties.source.UnboundElementsSourceFilter;
import org.springframework.core.env.Environment;
import org.springframework.core.io.ResourceLoader;

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

	private final ResourceLoader resources;

	GrpcRateLimitReloader(Environment environment, RateLimitKeys keys, RateLimitRules rules, ResourceLoader resources) {
		this.environment = environment;
		this.keys = keys;
		this.rules = rules;
		this.resources = resources;
	}

	/**
	 * Puts the rules in force that the properties now ask for. What keys owe stays what
	 * it is, and calls in flight keep their places. Other settings of rate limits count
	 * when the server starts, and only then.
	 * @throws RuntimeException if the properties are not valid, as when the server
	 * starts; the rules in force stay
	 */
	public void reload() {
		GrpcRateLimitProperties properties = Binder.get(this.environment)
			.bindOrCreate(PREFIX, Bindable.of(GrpcRateLimitProperties.class),
					new NoUnboundElementsBindHandler(BindHandler.DEFAULT, new UnboundElementsSourceFilter()));
		GrpcRateLimitRules asked = GrpcRateLimitRules.of(properties, this.keys, this.resources.getClassLoader());
		this.rules.update(asked.rules(), asked.concurrency());
	}

}
