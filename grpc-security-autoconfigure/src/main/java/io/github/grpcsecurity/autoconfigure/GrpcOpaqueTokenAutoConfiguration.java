package io.github.grpcsecurity.autoconfigure;

import java.net.URI;
import java.util.List;

import com.github.benmanes.caffeine.cache.Caffeine;
import com.nimbusds.jose.util.JSONObjectUtils;
import io.github.grpcsecurity.authentication.AuthoritiesClaim;
import io.github.grpcsecurity.authentication.jwt.JwtCredentialAuthenticator;
import io.github.grpcsecurity.authentication.opaque.BlockingTokenIntrospector;
import io.github.grpcsecurity.authentication.opaque.OpaqueTokenAuthenticator;
import io.github.grpcsecurity.authentication.opaque.RemoteTokenIntrospector;
import io.github.grpcsecurity.authentication.opaque.TokenIntrospector;
import io.github.grpcsecurity.server.GrpcSecurityThreads;
import io.micrometer.core.instrument.FunctionCounter;
import io.micrometer.core.instrument.MeterRegistry;
import io.micrometer.core.instrument.binder.MeterBinder;
import org.apache.commons.logging.Log;
import org.apache.commons.logging.LogFactory;
import org.jspecify.annotations.Nullable;

import org.springframework.beans.factory.ObjectProvider;
import org.springframework.boot.autoconfigure.AutoConfiguration;
import org.springframework.boot.autoconfigure.condition.AnyNestedCondition;
import org.springframework.boot.autoconfigure.condition.ConditionalOnBean;
import org.springframework.boot.autoconfigure.condition.ConditionalOnBooleanProperty;
import org.springframework.boot.autoconfigure.condition.ConditionalOnClass;
import org.springframework.boot.autoconfigure.condition.ConditionalOnMissingBean;
import org.springframework.boot.context.properties.EnableConfigurationProperties;
import org.springframework.boot.context.properties.source.InvalidConfigurationPropertyValueException;
import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Conditional;
import org.springframework.context.annotation.Configuration;
import org.springframework.core.annotation.Order;
import org.springframework.security.oauth2.server.resource.introspection.OpaqueTokenAuthenticationConverter;
import org.springframework.security.oauth2.server.resource.introspection.OpaqueTokenIntrospector;
import org.springframework.util.StringUtils;

/**
 * Asks about opaque tokens as soon as somebody can be asked: an introspection endpoint in
 * the properties, or an introspector of the application.
 *
 * @since 0.1.0
 */
@AutoConfiguration(after = { GrpcSecurityAutoConfiguration.class, GrpcJwtAutoConfiguration.class },
		before = GrpcAuthenticationAutoConfiguration.class,
		afterName = "org.springframework.boot.security.oauth2.server.resource.autoconfigure.OAuth2ResourceServerAutoConfiguration")
@ConditionalOnBooleanProperty(name = "grpc.security.enabled", matchIfMissing = true)
@ConditionalOnClass({ OpaqueTokenIntrospector.class, JSONObjectUtils.class, Caffeine.class })
@Conditional(GrpcOpaqueTokenAutoConfiguration.SomebodyCanBeAsked.class)
@EnableConfigurationProperties(GrpcOpaqueTokenProperties.class)
public final class GrpcOpaqueTokenAutoConfiguration {

	private static final Log logger = LogFactory.getLog(GrpcOpaqueTokenAutoConfiguration.class);

	private static final String PREFIX = "grpc.security.authentication.opaque-token";

	// Before the authenticator of signed tokens: what is left to that one is left by name
	@Bean
	@Order(-10)
	@ConditionalOnMissingBean
	OpaqueTokenAuthenticator grpcOpaqueTokenAuthenticator(GrpcOpaqueTokenProperties properties,
			GrpcSecurityThreads threads, ObjectProvider<TokenIntrospector> introspectors,
			ObjectProvider<OpaqueTokenIntrospector> blockingIntrospectors,
			ObjectProvider<OpaqueTokenAuthenticationConverter> converter,
			ObjectProvider<JwtCredentialAuthenticator> jwt) {
		TokenIntrospector introspector = introspector(properties, threads, introspectors, blockingIntrospectors);
		OpaqueTokenAuthenticator.Builder builder = OpaqueTokenAuthenticator.builder(introspector, threads.executor())
			.leaveJwts(jwt.stream().anyMatch((authenticator) -> !authenticator.kinds().isEmpty()));
		converter.ifUnique(builder::converter);
		apply("cache-ttl", properties.cacheTtl(), () -> builder.cacheTtl(properties.cacheTtl()));
		apply("max-entries", properties.maxEntries(), () -> builder.maxEntries(properties.maxEntries()));
		apply("max-token-size", properties.maxTokenSize(), () -> builder
			.maxTokenSize(Math.toIntExact(Math.min(properties.maxTokenSize().toBytes(), Integer.MAX_VALUE))));
		return builder.build();
	}

	private static TokenIntrospector introspector(GrpcOpaqueTokenProperties properties, GrpcSecurityThreads threads,
			ObjectProvider<TokenIntrospector> introspectors,
			ObjectProvider<OpaqueTokenIntrospector> blockingIntrospectors) {
		TokenIntrospector own = introspectors.getIfAvailable();
		if (own != null) {
			return own;
		}
		if (properties.introspectionUri() != null) {
			return remote(properties, threads);
		}
		return new BlockingTokenIntrospector(blockingIntrospectors.getObject(), threads.executor());
	}

	private static TokenIntrospector remote(GrpcOpaqueTokenProperties properties, GrpcSecurityThreads threads) {
		String clientId = required("client-id", properties.clientId());
		String secret = properties.clientSecret();
		if (!StringUtils.hasText(secret)) {
			// The value, were there one, must not be in a message
			throw new InvalidConfigurationPropertyValueException(PREFIX + ".client-secret", null,
					"Set it: without a secret of its own, anybody could try out tokens at the introspection endpoint.");
		}
		RemoteTokenIntrospector.Builder builder = endpoint(properties, clientId, secret, threads);
		apply("timeout", properties.timeout(), () -> builder.timeout(properties.timeout()));
		apply("principal-claim", properties.principalClaim(),
				() -> builder.principalClaim(properties.principalClaim()));
		List<GrpcOpaqueTokenProperties.Authorities> authorities = properties.authorities();
		if (authorities != null) {
			apply("authorities", authorities, () -> builder.authorities(
					authorities.stream().map((each) -> new AuthoritiesClaim(each.claim(), each.prefix())).toList()));
		}
		if (properties.audiences().isEmpty()) {
			logger.warn("Opaque tokens are taken whatever their audience, because " + PREFIX
					+ ".audiences is not set: every token that the authorization server calls active will do");
		}
		return builder.issuer(properties.issuer()).audiences(properties.audiences()).build();
	}

	private static RemoteTokenIntrospector.Builder endpoint(GrpcOpaqueTokenProperties properties, String clientId,
			String secret, GrpcSecurityThreads threads) {
		try {
			return RemoteTokenIntrospector.builder(URI.create(String.valueOf(properties.introspectionUri())), clientId,
					secret, threads.executor());
		}
		catch (IllegalArgumentException ex) {
			throw new InvalidConfigurationPropertyValueException(PREFIX + ".introspection-uri",
					properties.introspectionUri(), "Tokens must not be sent there: " + ex.getMessage() + ".");
		}
	}

	private static String required(String name, @Nullable String value) {
		if (StringUtils.hasText(value)) {
			return value;
		}
		throw new InvalidConfigurationPropertyValueException(PREFIX + "." + name, value,
				"Set it: this server needs a name of its own at the introspection endpoint.");
	}

	private static void apply(String name, Object value, Runnable setting) {
		ConfiguredSetting.apply(PREFIX + "." + name, value, setting);
	}

	/** Counts how tokens are found out about. */
	@Configuration(proxyBeanMethods = false)
	@ConditionalOnClass(MeterRegistry.class)
	@ConditionalOnBean(MeterRegistry.class)
	static class Metrics {

		@Bean
		MeterBinder grpcOpaqueTokenMetrics(OpaqueTokenAuthenticator authenticator) {
			return (registry) -> {
				FunctionCounter
					.builder("grpc.security.authentication.introspections", authenticator,
							OpaqueTokenAuthenticator::asked)
					.description("How often the authorization server was asked about a token")
					.register(registry);
				FunctionCounter
					.builder("grpc.security.authentication.introspections.failed", authenticator,
							OpaqueTokenAuthenticator::failed)
					.description("How often it could not be asked")
					.register(registry);
				FunctionCounter
					.builder("grpc.security.authentication.introspections.remembered", authenticator,
							OpaqueTokenAuthenticator::remembered)
					.description("How often its last answer was good enough")
					.register(registry);
			};
		}

	}

	/** There is somebody who can be asked about tokens. */
	static final class SomebodyCanBeAsked extends AnyNestedCondition {

		SomebodyCanBeAsked() {
			super(ConfigurationPhase.REGISTER_BEAN);
		}

		@ConditionalOnSetProperty(PREFIX + ".introspection-uri")
		static final class ByProperty {

		}

		@ConditionalOnBean(TokenIntrospector.class)
		static final class ByIntrospector {

		}

		@ConditionalOnBean(OpaqueTokenIntrospector.class)
		static final class ByBlockingIntrospector {

		}

	}

}
