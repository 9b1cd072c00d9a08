package io.github.grpcsecurity.autoconfigure;

import java.util.List;

import org.springframework.boot.context.properties.ConfigurationProperties;
import org.springframework.boot.context.properties.bind.DefaultValue;

/**
 * Settings for gRPC servers behind proxies and service meshes.
 *
 * @param trusted Proxies that may say for which client they speak: IP addresses, blocks
 * of them such as 10.0.0.0/8, and URIs in the certificates of proxies.
 * @param clientCertificateHeader Header in which trusted proxies forward the certificate
 * of their client. 'client-cert' is read as RFC 9440 says, others as Envoy writes them.
 * @param forwardedForHeader Header in which trusted proxies forward the address of their
 * client.
 * @param forwardedForHops Number of proxies between clients and the server, each of which
 * adds an address to the header; 0 to pass over all that are trusted by address instead.
 * @since 0.1.0
 */
@ConfigurationProperties(prefix = "grpc.security.proxy", ignoreUnknownFields = false)
public record GrpcProxyProperties(@DefaultValue List<String> trusted,
		@DefaultValue("x-forwarded-client-cert") String clientCertificateHeader,
		@DefaultValue("x-forwarded-for") String forwardedForHeader, @DefaultValue("0") int forwardedForHops) {

}
