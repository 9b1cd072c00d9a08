package io.github.grpcsecurity.proxy;

import io.github.grpcsecurity.server.PeerIdentity;

/** A way in which proxies write down the certificate of their client. */
@FunctionalInterface
interface ForwardedCertificate {

	/**
	 * Reads whose certificate the proxy has verified.
	 * @param header all values of the header, joined by commas
	 */
	PeerIdentity read(String header) throws MalformedHeaderException;

}
