package io.github.grpcsecurity.autoconfigure;

import java.util.List;

import org.springframework.boot.context.properties.ConfigurationProperties;
import org.springframework.boot.context.properties.bind.DefaultValue;

/**
 * Settings for taking the certificate of a client for its identity.
 *
 * @param enabled Whether the owner of a client certificate is a known caller.
 * @param mappings What owners of certificates may do. One that no mapping names is known,
 * but has no authorities.
 * @since 0.1.0
 */
@ConfigurationProperties(prefix = "grpc.security.authentication.client-certificate", ignoreUnknownFields = false)
public record GrpcClientCertificateProperties(@DefaultValue("false") boolean enabled,
		@DefaultValue List<Mapping> mappings) {

	/**
	 * What the owner of a certificate may do.
	 *
	 * @param principal Name in the certificate: a URI such as spiffe://bank/teller, a DNS
	 * name, or a subject such as CN=teller,O=Bank. A URI may end with /* and a DNS name
	 * begin with *. to stand for several.
	 * @param authorities Authorities of the owner, such as ROLE_TELLER.
	 */
	public record Mapping(@DefaultValue("") String principal, @DefaultValue List<String> authorities) {

	}

}
