package io.github.grpcsecurity.autoconfigure;

import java.time.InstantSource;

import io.github.grpcsecurity.server.GrpcSecurityThreads;
import io.github.grpcsecurity.tls.PeerTrust;
import io.github.grpcsecurity.tls.RevocationReload;
import io.github.grpcsecurity.tls.RevocationReloadObserver;
import io.github.grpcsecurity.tls.TransportConfigurer;

import org.springframework.beans.factory.ObjectProvider;
import org.springframework.boot.autoconfigure.AutoConfiguration;
import org.springframework.boot.autoconfigure.condition.ConditionalOnBean;
import org.springframework.boot.autoconfigure.condition.ConditionalOnBooleanProperty;
import org.springframework.boot.autoconfigure.condition.ConditionalOnMissingBean;
import org.springframework.context.annotation.Bean;

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
			GrpcTlsProperties properties, ObjectProvider<RevocationReloadObserver> observers) {
		return new RevocationReload(transport.credentials(), threads,
				GrpcTlsReloadAutoConfiguration.interval(properties), observers.orderedStream().toList());
	}

}
