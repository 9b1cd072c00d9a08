package io.github.grpcsecurity.autoconfigure;

import java.time.Duration;
import java.time.InstantSource;

import io.github.grpcsecurity.tls.CertificateHealthIndicator;
import io.github.grpcsecurity.tls.TransportConfigurer;

import org.springframework.beans.factory.ObjectProvider;
import org.springframework.boot.autoconfigure.AutoConfiguration;
import org.springframework.boot.autoconfigure.condition.ConditionalOnBean;
import org.springframework.boot.autoconfigure.condition.ConditionalOnBooleanProperty;
import org.springframework.boot.autoconfigure.condition.ConditionalOnClass;
import org.springframework.boot.autoconfigure.condition.ConditionalOnMissingBean;
import org.springframework.boot.context.properties.source.InvalidConfigurationPropertyValueException;
import org.springframework.boot.health.autoconfigure.contributor.ConditionalOnEnabledHealthIndicator;
import org.springframework.boot.health.contributor.HealthIndicator;
import org.springframework.context.annotation.Bean;

/**
 * Auto-configuration for the health contributor {@code grpcCertificates}.
 *
 * @since 0.1.0
 */
@AutoConfiguration(after = GrpcTransportAutoConfiguration.class)
@ConditionalOnBooleanProperty(name = "grpc.security.enabled", matchIfMissing = true)
@ConditionalOnClass({ HealthIndicator.class, ConditionalOnEnabledHealthIndicator.class })
@ConditionalOnBean(TransportConfigurer.class)
public final class GrpcCertificateHealthAutoConfiguration {

	@Bean
	@ConditionalOnEnabledHealthIndicator("grpccertificates")
	@ConditionalOnMissingBean(name = "grpcCertificatesHealthIndicator")
	CertificateHealthIndicator grpcCertificatesHealthIndicator(TransportConfigurer transport,
			GrpcTlsProperties properties, ObjectProvider<InstantSource> clock) {
		Duration warning = properties.expiryWarning();
		if (warning.isNegative()) {
			throw new InvalidConfigurationPropertyValueException("grpc.security.tls.expiry-warning", warning,
					"A warning cannot come after the certificate has expired. Set it to a duration such as 14d, or to "
							+ "0 for no warning");
		}
		return new CertificateHealthIndicator(transport.credentials(), transport.sniCertificates(), warning,
				clock.getIfUnique(InstantSource::system));
	}

}
