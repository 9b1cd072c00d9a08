package io.github.grpcsecurity.autoconfigure;

import io.github.grpcsecurity.authorization.policy.FilePolicy;
import io.github.grpcsecurity.authorization.policy.PolicyHealthIndicator;

import org.springframework.boot.autoconfigure.AutoConfiguration;
import org.springframework.boot.autoconfigure.condition.ConditionalOnBean;
import org.springframework.boot.autoconfigure.condition.ConditionalOnBooleanProperty;
import org.springframework.boot.autoconfigure.condition.ConditionalOnClass;
import org.springframework.boot.autoconfigure.condition.ConditionalOnMissingBean;
import org.springframework.boot.health.autoconfigure.contributor.ConditionalOnEnabledHealthIndicator;
import org.springframework.boot.health.contributor.HealthIndicator;
import org.springframework.context.annotation.Bean;

/**
 * Auto-configuration for the health contributor {@code grpcPolicy}.
 *
 * @since 0.1.0
 */
@AutoConfiguration(after = GrpcPolicyAutoConfiguration.class)
@ConditionalOnBooleanProperty(name = "grpc.security.enabled", matchIfMissing = true)
@ConditionalOnClass({ HealthIndicator.class, ConditionalOnEnabledHealthIndicator.class })
@ConditionalOnBean(FilePolicy.class)
public final class GrpcPolicyHealthAutoConfiguration {

	@Bean
	@ConditionalOnEnabledHealthIndicator("grpcpolicy")
	@ConditionalOnMissingBean(name = "grpcPolicyHealthIndicator")
	PolicyHealthIndicator grpcPolicyHealthIndicator(FilePolicy policy) {
		return new PolicyHealthIndicator(policy);
	}

}
