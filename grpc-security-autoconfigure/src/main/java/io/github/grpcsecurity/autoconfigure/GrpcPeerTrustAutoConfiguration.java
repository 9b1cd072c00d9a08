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

	@Bean
	@ConditionalOnMissingBean
	PeerTrust grpcPeerTrust(TransportConfigurer transport, GrpcSecurityThreads threads) {
		return new PeerTrust(transport.credentials(), threads, InstantSource.system());
	}

	@Bean
	@ConditionalOnMissingBean
	RevocationReload grpcRevocationReload(TransportConfigurer transport, GrpcSecurityThreads threads,
			Environment environment) {
		String interval = environment.getProperty("grpc.security.tls.reload-interval", "10s");
		return new RevocationReload(transport.credentials(), threads, duration(interval));
	}

	private static Duration duration(String interval) {
		return DurationStyle.detectAndParse(interval, ChronoUnit.SECONDS);
	}

}
