package io.github.grpcsecurity.autoconfigure;

import io.github.grpcsecurity.authorization.policy.MicrometerPolicyObserver;
import io.micrometer.core.instrument.MeterRegistry;

import org.springframework.boot.autoconfigure.AutoConfiguration;
import org.springframework.boot.autoconfigure.condition.ConditionalOnBean;
import org.springframework.boot.autoconfigure.condition.ConditionalOnBooleanProperty;
import org.springframework.boot.autoconfigure.condition.ConditionalOnClass;
import org.springframework.boot.autoconfigure.condition.ConditionalOnMissingBean;
import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Conditional;

/**
 * Auto-configuration for the metrics of policy files.
 *
 * @since 0.1.0
 */
@AutoConfiguration(before = GrpcPolicyAutoConfiguration.class,
		afterName = "org.springframework.boot.micrometer.metrics.autoconfigure.CompositeMeterRegistryAutoConfiguration")
@ConditionalOnBooleanProperty(name = "grpc.security.enabled", matchIfMissing = true)
@ConditionalOnClass(MeterRegistry.class)
@ConditionalOnBean(MeterRegistry.class)
@Conditional(GrpcPolicyAutoConfiguration.OnPolicyFile.class)
public final class GrpcPolicyMetricsAutoConfiguration {

	@Bean
	@ConditionalOnMissingBean
	MicrometerPolicyObserver grpcPolicyObserver(MeterRegistry registry) {
		return new MicrometerPolicyObserver(registry);
	}

}
