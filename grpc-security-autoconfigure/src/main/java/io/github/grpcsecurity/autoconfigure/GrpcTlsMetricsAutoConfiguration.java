package io.github.grpcsecurity.autoconfigure;

import java.time.InstantSource;

import io.github.grpcsecurity.tls.MicrometerRevocationReloadObserver;
import io.github.grpcsecurity.tls.MicrometerTlsReloadObserver;
import io.github.grpcsecurity.tls.TransportConfigurer;
import io.micrometer.core.instrument.MeterRegistry;

import org.springframework.beans.factory.ObjectProvider;
import org.springframework.boot.autoconfigure.AutoConfiguration;
import org.springframework.boot.autoconfigure.condition.ConditionalOnBean;
import org.springframework.boot.autoconfigure.condition.ConditionalOnBooleanProperty;
import org.springframework.boot.autoconfigure.condition.ConditionalOnClass;
import org.springframework.boot.autoconfigure.condition.ConditionalOnMissingBean;
import org.springframework.context.annotation.Bean;

/**
 * Auto-configuration for the metrics of certificates: reloads, and time until expiry.
 *
 * @since 0.1.0
 */
@AutoConfiguration(after = GrpcTransportAutoConfiguration.class, before = GrpcTlsReloadAutoConfiguration.class,
		afterName = "org.springframework.boot.micrometer.metrics.autoconfigure.CompositeMeterRegistryAutoConfiguration")
@ConditionalOnBooleanProperty(name = "grpc.security.enabled", matchIfMissing = true)
@ConditionalOnClass(MeterRegistry.class)
@ConditionalOnBean({ MeterRegistry.class, TransportConfigurer.class })
public final class GrpcTlsMetricsAutoConfiguration {

	@Bean
	@ConditionalOnMissingBean
	MicrometerTlsReloadObserver grpcTlsReloadObserver(MeterRegistry registry, TransportConfigurer transport,
			ObjectProvider<InstantSource> clock) {
		return new MicrometerTlsReloadObserver(registry, transport.credentials(), transport.sniCertificates(),
				clock.getIfUnique(InstantSource::system));
	}

	@Bean
	@ConditionalOnMissingBean
	MicrometerRevocationReloadObserver grpcRevocationReloadObserver(MeterRegistry registry) {
		return new MicrometerRevocationReloadObserver(registry);
	}

}
