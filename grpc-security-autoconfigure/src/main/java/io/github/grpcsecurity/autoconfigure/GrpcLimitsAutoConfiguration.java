package io.github.grpcsecurity.autoconfigure;

import io.github.grpcsecurity.hardening.ConnectionLimits;
import io.github.grpcsecurity.hardening.ConnectionLimitsConfigurer;

import org.springframework.boot.autoconfigure.AutoConfiguration;
import org.springframework.boot.autoconfigure.condition.ConditionalOnBooleanProperty;
import org.springframework.boot.autoconfigure.condition.ConditionalOnMissingBean;
import org.springframework.boot.context.properties.EnableConfigurationProperties;
import org.springframework.context.annotation.Bean;
import org.springframework.core.env.Environment;

/**
 * Limits what a client may do with a connection.
 *
 * @since 0.1.0
 */
@AutoConfiguration
@ConditionalOnBooleanProperty(name = "grpc.security.enabled", matchIfMissing = true)
@EnableConfigurationProperties(GrpcLimitsProperties.class)
public final class GrpcLimitsAutoConfiguration {

	@Bean
	@ConditionalOnMissingBean
	ConnectionLimits grpcConnectionLimits(GrpcLimitsProperties properties, Environment environment) {
		return new LimitsSetup(properties, environment).limits();
	}

	@Bean
	@ConditionalOnMissingBean
	ConnectionLimitsConfigurer grpcConnectionLimitsConfigurer(ConnectionLimits limits) {
		return new ConnectionLimitsConfigurer(limits);
	}

}
