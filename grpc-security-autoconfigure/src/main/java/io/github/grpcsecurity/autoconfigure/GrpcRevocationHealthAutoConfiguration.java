package io.github.grpcsecurity.autoconfigure;

import io.github.grpcsecurity.authentication.revocation.CredentialRevocations;
import io.github.grpcsecurity.authentication.revocation.RevocationHealthIndicator;

import org.springframework.boot.autoconfigure.AutoConfiguration;
import org.springframework.boot.autoconfigure.condition.ConditionalOnBean;
import org.springframework.boot.autoconfigure.condition.ConditionalOnBooleanProperty;
import org.springframework.boot.autoconfigure.condition.ConditionalOnClass;
import org.springframework.boot.autoconfigure.condition.ConditionalOnMissingBean;
import org.springframework.boot.health.autoconfigure.contributor.ConditionalOnEnabledHealthIndicator;
import org.springframework.boot.health.contributor.HealthIndicator;
import org.springframework.context.annotation.Bean;

/**
 * Auto-configuration for the health contributor {@code grpcRevocations}.
 *
 * @since 0.1.0
 */
@AutoConfiguration(after = GrpcRevocationAutoConfiguration.class)
@ConditionalOnBooleanProperty(name = "grpc.security.enabled", matchIfMissing = true)
@ConditionalOnClass({ HealthIndicator.class, ConditionalOnEnabledHealthIndicator.class })
@ConditionalOnBean(CredentialRevocations.class)
public final class GrpcRevocationHealthAutoConfiguration {

	@Bean
	@ConditionalOnEnabledHealthIndicator("grpcrevocations")
	@ConditionalOnMissingBean(name = "grpcRevocationsHealthIndicator")
	RevocationHealthIndicator grpcRevocationsHealthIndicator(CredentialRevocations revocations) {
		return new RevocationHealthIndicator(revocations);
	}

}
