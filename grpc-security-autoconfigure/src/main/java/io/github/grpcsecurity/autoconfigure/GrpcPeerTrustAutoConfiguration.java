package io.github.grpcsecurity.autoconfigure;

import java.time.Duration;
import java.time.InstantSource;
import java.time.temporal.ChronoUnit;

import io.github.grpcsecurity.server.GrpcSecurityThreads;
import io.github.grpcsecurity.tls.PeerTrust;
import io.github.grpcsecurity.tls.RevocationReload;
import io.github.grpcsecurity.tls.TransportConfigurer;

import org.springframework.boot.autoconfigure.AutoConfiguration;
import org.springframework.boot.autoconfigure.condition.ConditionalOnBean;
import org.springframework.boot.autoconfigure.condition.ConditionalOnBooleanProperty;
import org.springframework.boot.autoconfigure.condition.ConditionalOnMissingBean;
import org.springframework.boot.context.properties.source.InvalidConfigurationPropertyValueException;
import org.springframework.boot.convert.DurationStyle;
import org.springframework.context.annotation.Bean;
import org.springframework.core.env.Environment;

/**
 * Goes on asking whether clients are trusted after their handshake, and reloads what says
 * that they are not.
 *
 * @since 0.1.0
 */
@AutoConfiguration(after = { GrpcSecurityAutoConfiguration.class, GrpcTransportAutoConfiguration.class })
@ConditionalOnBooleanProperty(name = "grpc.security.enabled", matchIfMissing = true)
@ConditionalOnBean({ GrpcSecurityThreads.class, TransportConfigurer.class })
public final class GrpcPeerTrustAutoConfiguration {

	private static final String RELOAD_INTERVAL = "grpc.security.tls.reload-interval";

	@Bean
	@ConditionalOnMissingBean
	PeerTrust grpcPeerTrust(TransportConfigurer transport, GrpcSecurityThreads threads) {
		return new PeerTrust(transport.credentials(), threads, InstantSource.system());
	}

	@Bean
	@ConditionalOnMissingBean
	RevocationReload grpcRevocationReload(TransportConfigurer transport, GrpcSecurityThreads threads,
			Environment environment) {
		return new RevocationReload(transport.credentials(), threads,
				interval(environment.getProperty(RELOAD_INTERVAL, "10s")));
	}

	private static Duration interval(String value) {
		String problem = "Use a duration such as 10s, or 0 for never.";
		try {
			Duration interval = DurationStyle.detectAndParse(value, ChronoUnit.SECONDS);
			if (!interval.isNegative()) {
				return interval;
			}
		}
		catch (IllegalArgumentException ex) {
			problem = "It is no duration. " + problem;
		}
		throw new InvalidConfigurationPropertyValueException(RELOAD_INTERVAL, value, problem);
	}

}
