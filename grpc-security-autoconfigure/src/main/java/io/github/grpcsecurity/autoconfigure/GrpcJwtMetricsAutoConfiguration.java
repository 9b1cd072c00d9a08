package io.github.grpcsecurity.autoconfigure;

import io.github.grpcsecurity.authentication.jwt.JwtCredentialAuthenticator;
import io.github.grpcsecurity.authentication.jwt.JwtMetrics;
import io.micrometer.core.instrument.MeterRegistry;

import org.springframework.boot.autoconfigure.AutoConfiguration;
import org.springframework.boot.autoconfigure.condition.ConditionalOnBean;
import org.springframework.boot.autoconfigure.condition.ConditionalOnBooleanProperty;
import org.springframework.boot.autoconfigure.condition.ConditionalOnClass;
import org.springframework.boot.autoconfigure.condition.ConditionalOnMissingBean;
import org.springframework.context.annotation.Bean;

/**
 * Auto-configuration for the metrics of tokens and of the keys that verify them.
 *
 * @since 0.1.0
 */
@AutoConfiguration(after = GrpcJwtAutoConfiguration.class,
		afterName = "org.springframework.boot.micrometer.metrics.autoconfigure.CompositeMeterRegistryAutoConfiguration")
@ConditionalOnBooleanProperty(name = "grpc.security.enabled", matchIfMissing = true)
@ConditionalOnClass(MeterRegistry.class)
@ConditionalOnBean({ MeterRegistry.class, JwtCredentialAuthenticator.class })
public final class GrpcJwtMetricsAutoConfiguration {

	@Bean
	@ConditionalOnMissingBean
	JwtMetrics grpcJwtMetrics(JwtCredentialAuthenticator authenticator) {
		return new JwtMetrics(authenticator);
	}

}
