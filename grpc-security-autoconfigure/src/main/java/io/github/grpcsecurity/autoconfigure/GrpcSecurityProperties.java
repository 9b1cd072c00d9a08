package io.github.grpcsecurity.autoconfigure;

import org.springframework.boot.context.properties.ConfigurationProperties;
import org.springframework.boot.context.properties.bind.DefaultValue;

/**
 * Settings for the security of gRPC servers as a whole.
 *
 * @param enabled Whether to secure gRPC servers.
 * @param transport How calls reach the server. Plaintext is for loopback addresses,
 * unless insecure settings are allowed.
 * @param allowInsecure Whether to serve plaintext on addresses that other machines can
 * reach.
 * @since 0.1.0
 */
@ConfigurationProperties("grpc.security")
public record GrpcSecurityProperties(@DefaultValue("true") boolean enabled, @DefaultValue("tls") Transport transport,
		@DefaultValue("false") boolean allowInsecure) {

	/** How calls reach the server. */
	public enum Transport {

		/** Encrypted, with a certificate of the server. */
		TLS,

		/** Encrypted by Google Cloud, which vouches for both sides. */
		ALTS,

		/** Readable by everybody on the way. */
		PLAINTEXT

	}

}
