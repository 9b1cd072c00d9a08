package io.github.grpcsecurity.tls;

/**
 * Reads the key, the certificates and the trust anchors of a server. A bean of this type
 * takes the place of {@code grpc.security.tls.*} locations, for material that is neither
 * in files nor in an SSL bundle.
 *
 * @since 0.1.0
 */
@FunctionalInterface
public interface TlsMaterialSource {

	/**
	 * Reads everything anew.
	 * @return what is in force now
	 * @throws TlsConfigurationException if it cannot be read
	 */
	TlsMaterial load();

}
