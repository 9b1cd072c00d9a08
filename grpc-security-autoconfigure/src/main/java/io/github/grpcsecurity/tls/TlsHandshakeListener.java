package io.github.grpcsecurity.tls;

/**
 * Learns how each handshake with the server ended. Beans of this type are all told.
 *
 * @since 0.1.0
 */
@FunctionalInterface
public interface TlsHandshakeListener {

	/**
	 * Called once for each connection, on the thread that serves it. Must not block.
	 * @param result how its handshake ended
	 */
	void completed(TlsHandshakeResult result);

}
