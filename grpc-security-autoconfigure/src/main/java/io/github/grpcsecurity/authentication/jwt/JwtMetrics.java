package io.github.grpcsecurity.authentication.jwt;

import java.util.function.ToDoubleFunction;

import io.micrometer.core.instrument.FunctionCounter;
import io.micrometer.core.instrument.Gauge;
import io.micrometer.core.instrument.MeterRegistry;
import io.micrometer.core.instrument.binder.MeterBinder;

/**
 * Shows how the keys of issuers are fetched and how often a verified token is known
 * again. Only configured issuers have meters of their own, so callers cannot make up
 * labels.
 *
 * @since 0.1.0
 */
public final class JwtMetrics implements MeterBinder {

	/** Counts fetches of keys; its tags are {@code issuer} and {@code outcome}. */
	public static final String FETCHES = "grpc.security.jwt.keys.fetches";

	/** Seconds since the keys in force were fetched; its tag is {@code issuer}. */
	public static final String AGE = "grpc.security.jwt.keys.age";

	/** Counts tokens by whether they were known; its tag is {@code result}. */
	public static final String CACHE = "grpc.security.jwt.cache";

	/** Verified tokens that are known. */
	public static final String CACHE_SIZE = "grpc.security.jwt.cache.size";

	/** Issuers that a {@link JwtIssuerResolver} named and that are remembered. */
	public static final String RESOLVED = "grpc.security.jwt.issuers.resolved";

	private final JwtCredentialAuthenticator authenticator;

	/**
	 * Creates meters.
	 * @param authenticator what they show
	 */
	public JwtMetrics(JwtCredentialAuthenticator authenticator) {
		this.authenticator = authenticator;
	}

	@Override
	public void bindTo(MeterRegistry registry) {
		this.authenticator.remoteKeys().forEach((issuer, keys) -> {
			fetches(registry, issuer, "success", keys, RemoteKeys::successes);
			fetches(registry, issuer, "failure", keys, RemoteKeys::failures);
			Gauge.builder(AGE, keys, RemoteKeys::ageInSeconds)
				.description("Time since the keys in force were fetched")
				.baseUnit("seconds")
				.tag("issuer", issuer)
				.register(registry);
		});
		VerifiedTokenCache cache = this.authenticator.cache();
		if (cache != null) {
			tokens(registry, "hit", cache, VerifiedTokenCache::hits);
			tokens(registry, "miss", cache, VerifiedTokenCache::misses);
			Gauge.builder(CACHE_SIZE, cache, VerifiedTokenCache::size)
				.description("Verified tokens that are known")
				.register(registry);
		}
		Gauge.builder(RESOLVED, this.authenticator, JwtCredentialAuthenticator::resolvedIssuers)
			.description("Issuers that were resolved and are remembered")
			.register(registry);
	}

	private static void fetches(MeterRegistry registry, String issuer, String outcome, RemoteKeys keys,
			ToDoubleFunction<RemoteKeys> count) {
		FunctionCounter.builder(FETCHES, keys, count)
			.description("Fetches of an issuer's keys")
			.tags("issuer", issuer, "outcome", outcome)
			.register(registry);
	}

	private static void tokens(MeterRegistry registry, String result, VerifiedTokenCache cache,
			ToDoubleFunction<VerifiedTokenCache> count) {
		FunctionCounter.builder(CACHE, cache, count)
			.description("Tokens by whether they were known to be good")
			.tag("result", result)
			.register(registry);
	}

}
