package io.github.grpcsecurity.tls;

/**
 * Whether clients prove who they are with a certificate.
 *
 * @since 0.1.0
 */
public enum ClientAuth {

	/** Clients are not asked for a certificate. */
	NONE,

	/**
	 * Clients are asked. Those without a certificate stay anonymous; one that is not
	 * trusted fails the handshake.
	 */
	OPTIONAL,

	/** Clients without a trusted certificate do not get past the handshake. */
	REQUIRE

}
