package io.github.grpcsecurity.autoconfigure;

import io.github.grpcsecurity.authentication.jwt.JwtCredentialAuthenticator;
import io.github.grpcsecurity.authentication.jwt.JwtKeysHealthIndicator;

import org.springframework.boot.autoconfigure.AutoConfiguration;
import org.springframework.boot.autoconfigure.condition.ConditionalOnBean;
import org.springframework.boot.autoconfigure.condition.ConditionalOnBooleanProperty;
import org.springframework.boot.autoconfigure.condition.ConditionalOnClass;
import org.springframework.boot.autoconfigure.condition.ConditionalOnMissingBean;
import org.springframework.boot.health.autoconfigure.contributor.ConditionalOnEnabledHealthIndicator;
import org.springframework.boot.health.contributor.HealthIndicator;
import org.springframework.context.annotation.Bean;

/**
 * Auto-configuration for the health contributor {@code grpcJwtKeys}.
 *
 * @since 0.1.0
 */
@AutoConfiguration(after = GrpcJwtAutoConfiguration.class)
@ConditionalOnBooleanProperty(name = "grpc.security.enabled", matchIfMissing = true)
@ConditionalOnClass({ HealthIndicator.class, ConditionalOnEnabledHealthIndicator.class })
@ConditionalOnBean(JwtCredentialAuthenticator.class)
public final class GrpcJwtHealthAutoConfiguration {

	@Bean
	@ConditionalOnEnabledHealthIndicator("grpcjwtkeys")
	@ConditionalOnMissingBean(name = "grpcJwtKeysHealthIndicator")
	JwtKeysHealthIndicator grpcJwtKeysHealthIndicator(JwtCredentialAuthenticator authenticator) {
		return new JwtKeysHealthIndicator(authenticator);
	}

}
