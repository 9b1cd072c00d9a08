package io.github.grpcsecurity.autoconfigure;

import java.time.InstantSource;
import java.util.List;
import java.util.Set;
import java.util.function.ToDoubleFunction;

import io.github.grpcsecurity.authentication.CredentialCheck;
import io.github.grpcsecurity.authentication.apikey.ApiKeyAuthenticator;
import io.github.grpcsecurity.authentication.live.LiveCredentials;
import io.github.grpcsecurity.authentication.revocation.CredentialRevocations;
import io.github.grpcsecurity.autoconfigure.GrpcAuthenticationProperties.OnCredentialExpiry;
import io.github.grpcsecurity.server.GrpcSecurityThreads;
import io.github.grpcsecurity.server.VerifiedCredential;
import io.micrometer.core.instrument.FunctionCounter;
import io.micrometer.core.instrument.Gauge;
import io.micrometer.core.instrument.MeterRegistry;
import io.micrometer.core.instrument.binder.MeterBinder;
import org.apache.commons.logging.Log;
import org.apache.commons.logging.LogFactory;

import org.springframework.beans.factory.ObjectProvider;
import org.springframework.boot.autoconfigure.AutoConfiguration;
import org.springframework.boot.autoconfigure.condition.ConditionalOnBooleanProperty;
import org.springframework.boot.autoconfigure.condition.ConditionalOnClass;
import org.springframework.boot.autoconfigure.condition.ConditionalOnMissingBean;
import org.springframework.boot.context.properties.EnableConfigurationProperties;
import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Configuration;

/**
 * Ends calls when the credentials they were started with run out or are revoked. After
 * authentication, so that in its stage it comes last.
 *
 * @since 0.1.0
 */
@AutoConfiguration(after = { GrpcAuthenticationAutoConfiguration.class, GrpcRevocationAutoConfiguration.class })
@ConditionalOnBooleanProperty(name = "grpc.security.enabled", matchIfMissing = true)
@EnableConfigurationProperties({ GrpcAuthenticationProperties.class, GrpcJwtProperties.class })
public final class GrpcLiveCredentialsAutoConfiguration {

	private static final Log logger = LogFactory.getLog(GrpcLiveCredentialsAutoConfiguration.class);

	@Bean
	@ConditionalOnMissingBean
	LiveCredentials grpcLiveCredentials(GrpcAuthenticationProperties properties, GrpcJwtProperties jwt,
			GrpcSecurityThreads threads, ObjectProvider<CredentialCheck> checks,
			ObjectProvider<CredentialRevocations> revocations, ObjectProvider<ApiKeyAuthenticator> apiKeys) {
		boolean close = properties.onCredentialExpiry() == OnCredentialExpiry.CLOSE;
		if (!close) {
			logger.warn("Calls go on after their credentials have run out "
					+ "(grpc.security.authentication.on-credential-expiry is 'ignore')");
		}
		List<CredentialCheck> all = checks.orderedStream().toList();
		LiveCredentials live = new LiveCredentials(close, jwt.clockSkew(), all, threads, InstantSource.system());
		revocations.orderedStream().forEach((one) -> one.onRevoked(live::recheck));
		apiKeys.orderedStream().forEach((one) -> one.addListener((ids) -> endCallsOf(ids, live)));
		return live;
	}

	/** Ends the open calls of API keys that are not what they were. */
	private static void endCallsOf(Set<String> apiKeys, LiveCredentials live) {
		live.endIf(
				(credential) -> credential.kind().equals(VerifiedCredential.API_KEY)
						&& apiKeys.contains(String.valueOf(credential.id())),
				LiveCredentials.revoked("the API key was removed, disabled or changed"));
	}

	@Configuration(proxyBeanMethods = false)
	@ConditionalOnClass(MeterRegistry.class)
	static class MetricsConfiguration {

		@Bean
		MeterBinder grpcLiveCredentialsMetrics(ObjectProvider<LiveCredentials> provider) {
			return (registry) -> provider.ifUnique((live) -> {
				Gauge.builder("grpc.security.credentials.watched", live, LiveCredentials::watched)
					.description("Open calls whose credentials are watched")
					.register(registry);
				counter(registry, live, "expired", LiveCredentials::endedByExpiry);
				counter(registry, live, "revoked", LiveCredentials::endedByRevocation);
			});
		}

		private static void counter(MeterRegistry registry, LiveCredentials live, String cause,
				ToDoubleFunction<LiveCredentials> count) {
			FunctionCounter.builder("grpc.security.credentials.ended", live, count)
				.description("Open calls that were ended because of their credentials")
				.tag("cause", cause)
				.register(registry);
		}

	}

}
