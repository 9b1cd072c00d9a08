package io.github.grpcsecurity.autoconfigure;

import io.github.grpcsecurity.metrics.AuthenticationMetrics;
import io.github.grpcsecurity.metrics.CallMetrics;
import io.github.grpcsecurity.metrics.HandshakeMetrics;
import io.github.grpcsecurity.tls.TlsHandshakeListener;
import io.micrometer.core.instrument.MeterRegistry;

import org.springframework.boot.autoconfigure.AutoConfiguration;
import org.springframework.boot.autoconfigure.condition.ConditionalOnBean;
import org.springframework.boot.autoconfigure.condition.ConditionalOnBooleanProperty;
import org.springframework.boot.autoconfigure.condition.ConditionalOnClass;
import org.springframework.boot.autoconfigure.condition.ConditionalOnMissingBean;
import org.springframework.context.annotation.Bean;

/**
 * Auto-configuration for the metrics of calls and of the handshakes before them.
 *
 * @since 0.1.0
 */
@AutoConfiguration(
		afterName = "org.springframework.boot.micrometer.metrics.autoconfigure.CompositeMeterRegistryAutoConfiguration")
@ConditionalOnBooleanProperty(name = "grpc.security.enabled", matchIfMissing = true)
@ConditionalOnClass(MeterRegistry.class)
@ConditionalOnBean(MeterRegistry.class)
public final class GrpcSecurityMetricsAutoConfiguration {

	@Bean
	@ConditionalOnMissingBean
	CallMetrics grpcCallMetrics(MeterRegistry registry) {
		return new CallMetrics(registry);
	}

	@Bean
	@ConditionalOnMissingBean
	AuthenticationMetrics grpcAuthenticationMetrics(MeterRegistry registry) {
		return new AuthenticationMetrics(registry);
	}

	@Bean
	@ConditionalOnMissingBean
	HandshakeMetrics grpcHandshakeMetrics(MeterRegistry registry) {
		return new HandshakeMetrics(registry);
	}

	@Bean
	TlsHandshakeListener grpcHandshakeMetricsListener(HandshakeMetrics metrics) {
		return (result) -> metrics.completed(result.name());
	}

}
