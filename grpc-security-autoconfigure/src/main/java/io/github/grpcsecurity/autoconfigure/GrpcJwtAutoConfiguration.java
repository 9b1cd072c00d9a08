package io.github.grpcsecurity.autoconfigure;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

import com.nimbusds.jwt.proc.JWTProcessor;
import io.github.grpcsecurity.authentication.jwt.JwtCredentialAuthenticator;
import io.github.grpcsecurity.authentication.jwt.JwtIssuer;
import io.github.grpcsecurity.authentication.jwt.JwtIssuerResolver;
import io.github.grpcsecurity.server.GrpcSecurityThreads;
import org.apache.commons.logging.Log;
import org.apache.commons.logging.LogFactory;
import org.jspecify.annotations.Nullable;

import org.springframework.beans.factory.ObjectProvider;
import org.springframework.boot.autoconfigure.AutoConfiguration;
import org.springframework.boot.autoconfigure.condition.AnyNestedCondition;
import org.springframework.boot.autoconfigure.condition.ConditionMessage;
import org.springframework.boot.autoconfigure.condition.ConditionOutcome;
import org.springframework.boot.autoconfigure.condition.ConditionalOnBean;
import org.springframework.boot.autoconfigure.condition.ConditionalOnBooleanProperty;
import org.springframework.boot.autoconfigure.condition.ConditionalOnClass;
import org.springframework.boot.autoconfigure.condition.ConditionalOnMissingBean;
import org.springframework.boot.autoconfigure.condition.SpringBootCondition;
import org.springframework.boot.context.properties.EnableConfigurationProperties;
import org.springframework.boot.context.properties.bind.Bindable;
import org.springframework.boot.context.properties.bind.Binder;
import org.springframework.boot.context.properties.source.InvalidConfigurationPropertyValueException;
import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.ConditionContext;
import org.springframework.context.annotation.Conditional;
import org.springframework.core.ResolvableType;
import org.springframework.core.convert.converter.Converter;
import org.springframework.core.io.ResourceLoader;
import org.springframework.core.type.AnnotatedTypeMetadata;
import org.springframework.security.authentication.AbstractAuthenticationToken;
import org.springframework.security.authentication.AuthenticationProvider;
import org.springframework.security.core.userdetails.UserDetailsService;
import org.springframework.security.oauth2.jwt.Jwt;
import org.springframework.security.oauth2.jwt.JwtDecoder;
import org.springframework.security.oauth2.server.resource.authentication.BearerTokenAuthenticationToken;
import org.springframework.security.oauth2.server.resource.authentication.JwtAuthenticationConverter;

/**
 * Verifies bearer tokens as soon as somebody says whose to trust: the properties, a
 * {@link JwtIssuer} or {@link JwtIssuerResolver} bean, or a {@link JwtDecoder} or
 * {@link AuthenticationProvider} of the application.
 *
 * @since 0.1.0
 */
@AutoConfiguration(before = GrpcAuthenticationAutoConfiguration.class,
		afterName = "org.springframework.boot.security.oauth2.server.resource.autoconfigure.OAuth2ResourceServerAutoConfiguration")
@ConditionalOnBooleanProperty(name = "grpc.security.enabled", matchIfMissing = true)
@ConditionalOnClass({ BearerTokenAuthenticationToken.class, JwtDecoder.class, JWTProcessor.class })
@Conditional(GrpcJwtAutoConfiguration.SomebodyIsTrusted.class)
@EnableConfigurationProperties(GrpcJwtProperties.class)
public final class GrpcJwtAutoConfiguration {

	private static final Log logger = LogFactory.getLog(GrpcJwtAutoConfiguration.class);

	/** Two requests of two seconds each, and looking up their hosts. */
	private static final Duration STARTUP_TIMEOUT = Duration.ofSeconds(5);

	@Bean
	@ConditionalOnMissingBean
	JwtCredentialAuthenticator grpcJwtCredentialAuthenticator(GrpcJwtProperties properties, ResourceLoader resources,
			GrpcSecurityThreads threads, ObjectProvider<JwtIssuer> issuerBeans,
			ObjectProvider<JwtIssuerResolver> resolver, ObjectProvider<JwtDecoder> decoder,
			ObjectProvider<JwtAuthenticationConverter> authenticationConverter,
			ObjectProvider<Converter<Jwt, ? extends AbstractAuthenticationToken>> converter,
			ObjectProvider<AuthenticationProvider> providers, ObjectProvider<UserDetailsService> users) {
		List<JwtIssuer> issuers = new ArrayList<>(new ConfiguredJwtIssuers(resources).convert(properties));
		issuerBeans.orderedStream().forEach(issuers::add);
		warnAboutAnyAudience(issuers);
		JwtIssuerResolver issuerResolver = resolver.getIfAvailable();
		boolean ours = !issuers.isEmpty() || issuerResolver != null;
		JwtDecoder unused = ours ? decoder.getIfAvailable() : null;
		if (unused != null) {
			logger.warn("The JwtDecoder bean (" + unused.getClass().getName()
					+ ") is not used for gRPC calls, because grpc.security.authentication.jwt.issuers, or a JwtIssuer"
					+ " or JwtIssuerResolver bean, says whose tokens to trust");
		}
		JwtCredentialAuthenticator.Builder builder = JwtCredentialAuthenticator.builder(threads)
			.issuers(issuers)
			.converter(converter(authenticationConverter, converter))
			.decoder(ours ? null : decoder.getIfAvailable())
			.providers(providers.orderedStream().toList())
			.users(users(properties, users));
		ConfiguredJwtIssuers.apply(ConfiguredJwtIssuers.PREFIX + ".clock-skew", properties.clockSkew(),
				() -> builder.clockSkew(properties.clockSkew()));
		ConfiguredJwtIssuers.apply(ConfiguredJwtIssuers.PREFIX + ".max-token-size", properties.maxTokenSize(),
				() -> builder
					.maxTokenSize(Math.toIntExact(Math.min(properties.maxTokenSize().toBytes(), Integer.MAX_VALUE))));
		GrpcJwtProperties.Cache cache = properties.cache();
		ConfiguredJwtIssuers.apply(ConfiguredJwtIssuers.PREFIX + ".cache.ttl", cache.ttl(),
				() -> builder.cache(cache.ttl(), Integer.MAX_VALUE));
		ConfiguredJwtIssuers.apply(ConfiguredJwtIssuers.PREFIX + ".cache.max-entries", cache.maxEntries(),
				() -> builder.cache(cache.ttl(), cache.maxEntries()));
		ConfiguredJwtIssuers.apply(ConfiguredJwtIssuers.PREFIX + ".jwks.outage-tolerance",
				properties.jwks().outageTolerance(),
				() -> builder.outageTolerance(properties.jwks().outageTolerance()));
		ConfiguredJwtIssuers.apply(ConfiguredJwtIssuers.PREFIX + ".max-resolved-issuers",
				properties.maxResolvedIssuers(),
				() -> builder.resolver(issuerResolver, properties.maxResolvedIssuers()));
		return started(builder.build(), properties.jwks().startup());
	}

	private static JwtCredentialAuthenticator started(JwtCredentialAuthenticator authenticator,
			GrpcJwtProperties.Startup startup) {
		if (startup == GrpcJwtProperties.Startup.EAGER_WARN) {
			authenticator.start();
		}
		else if (startup == GrpcJwtProperties.Startup.EAGER_FAIL) {
			List<String> missing = authenticator.startAndWait(STARTUP_TIMEOUT);
			if (!missing.isEmpty()) {
				authenticator.close();
				throw new InvalidConfigurationPropertyValueException(ConfiguredJwtIssuers.PREFIX + ".jwks.startup",
						"eager-fail",
						"The keys of " + String.join(", ", missing)
								+ " cannot be fetched; the log says why. Make the issuer reachable, or set it to"
								+ " eager-warn, so that the server starts and refuses its tokens until they are there.");
			}
		}
		return authenticator;
	}

	private static @Nullable Converter<Jwt, ? extends AbstractAuthenticationToken> converter(
			ObjectProvider<JwtAuthenticationConverter> authenticationConverter,
			ObjectProvider<Converter<Jwt, ? extends AbstractAuthenticationToken>> converter) {
		JwtAuthenticationConverter standard = authenticationConverter.getIfAvailable();
		return (standard != null) ? standard : converter.getIfAvailable();
	}

	private static @Nullable UserDetailsService users(GrpcJwtProperties properties,
			ObjectProvider<UserDetailsService> users) {
		if (properties.authoritiesFrom() == GrpcJwtProperties.AuthoritiesFrom.CLAIMS) {
			return null;
		}
		UserDetailsService service = users.getIfAvailable();
		if (service == null) {
			throw new InvalidConfigurationPropertyValueException(ConfiguredJwtIssuers.PREFIX + ".authorities-from",
					"user-details",
					"There is no UserDetailsService bean: add one, or take the authorities from claims.");
		}
		return service;
	}

	private static void warnAboutAnyAudience(List<JwtIssuer> issuers) {
		for (JwtIssuer issuer : issuers) {
			if (issuer.anyAudience()) {
				logger.warn("Tokens of issuer " + issuer.issuer()
						+ " are taken whatever their audience (audiences: [any])");
			}
		}
	}

	/** Somebody says whose tokens to trust. */
	static final class SomebodyIsTrusted extends AnyNestedCondition {

		SomebodyIsTrusted() {
			super(ConfigurationPhase.REGISTER_BEAN);
		}

		@Conditional(IssuersCondition.class)
		static final class ByProperty {

		}

		@ConditionalOnBean(JwtIssuer.class)
		static final class ByIssuerBean {

		}

		@ConditionalOnBean(JwtIssuerResolver.class)
		static final class ByResolverBean {

		}

		@ConditionalOnBean(JwtDecoder.class)
		static final class ByDecoder {

		}

		@ConditionalOnBean(AuthenticationProvider.class)
		static final class ByProvider {

		}

	}

	/** There is at least one issuer in the properties, good or not. */
	static final class IssuersCondition extends SpringBootCondition {

		private static final Bindable<List<Map<String, Object>>> ISSUERS = Bindable
			.of(ResolvableType.forClassWithGenerics(List.class,
					ResolvableType.forClassWithGenerics(Map.class, String.class, Object.class)));

		@Override
		public ConditionOutcome getMatchOutcome(ConditionContext context, AnnotatedTypeMetadata metadata) {
			boolean bound = Binder.get(context.getEnvironment())
				.bind(ConfiguredJwtIssuers.PREFIX + ".issuers", ISSUERS)
				.isBound();
			return new ConditionOutcome(bound, ConditionMessage.forCondition("grpc.security.authentication.jwt.issuers")
				.because(bound ? "it is set" : "it is not set"));
		}

	}

}
