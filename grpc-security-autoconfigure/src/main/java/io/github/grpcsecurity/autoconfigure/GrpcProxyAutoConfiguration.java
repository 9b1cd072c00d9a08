package io.github.grpcsecurity.autoconfigure;

import io.github.grpcsecurity.proxy.ProxyHeaders;
import io.github.grpcsecurity.proxy.TrustedProxies;
import io.github.grpcsecurity.server.PeerResolver;

import org.springframework.beans.factory.ObjectProvider;
import org.springframework.boot.autoconfigure.AutoConfiguration;
import org.springframework.boot.autoconfigure.condition.ConditionalOnBooleanProperty;
import org.springframework.boot.autoconfigure.condition.ConditionalOnMissingBean;
import org.springframework.boot.context.properties.EnableConfigurationProperties;
import org.springframework.boot.context.properties.source.InvalidConfigurationPropertyValueException;
import org.springframework.context.annotation.Bean;

/**
 * Auto-configuration for gRPC servers behind proxies: without a trusted proxy, the
 * headers of proxies are taken from every caller.
 *
 * @since 0.1.0
 */
@AutoConfiguration
@ConditionalOnBooleanProperty(name = "grpc.security.enabled", matchIfMissing = true)
@EnableConfigurationProperties(GrpcProxyProperties.class)
public final class GrpcProxyAutoConfiguration {

	@Bean
	@ConditionalOnMissingBean
	ProxyHeaders grpcProxyHeaders(GrpcProxyProperties properties) {
		TrustedProxies proxies;
		try {
			proxies = TrustedProxies.parse(properties.trusted());
		}
		catch (IllegalArgumentException ex) {
			throw new InvalidConfigurationPropertyValueException("grpc.security.proxy.trusted", properties.trusted(),
					ex.getMessage() + ".", ex);
		}
		if (properties.forwardedForHops() < 0) {
			throw new InvalidConfigurationPropertyValueException("grpc.security.proxy.forwarded-for-hops",
					properties.forwardedForHops(), "It must be 0 or more.");
		}
		String certificateHeader = properties.clientCertificateHeader();
		try {
			ProxyHeaders.checkCertificateHeader(certificateHeader);
		}
		catch (IllegalArgumentException ex) {
			throw new InvalidConfigurationPropertyValueException("grpc.security.proxy.client-certificate-header",
					certificateHeader, ex.getMessage(), ex);
		}
		try {
			return new ProxyHeaders(proxies, certificateHeader, properties.forwardedForHeader(),
					properties.forwardedForHops());
		}
		catch (IllegalArgumentException ex) {
			throw new InvalidConfigurationPropertyValueException("grpc.security.proxy.forwarded-for-header",
					properties.forwardedForHeader(), ex.getMessage(), ex);
		}
	}

	@Bean
	GrpcServerSecurityCustomizer grpcPeerResolverCustomizer(ObjectProvider<PeerResolver> resolvers) {
		return (builder) -> builder.peerResolvers(resolvers.orderedStream().toList());
	}

}
