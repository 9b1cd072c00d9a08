package io.github.grpcsecurity.tls;

import java.security.PrivateKey;
import java.security.cert.X509Certificate;
import java.util.List;

/**
 * What one source says about the server itself.
 *
 * @param origin where the certificate came from
 * @param key private key
 * @param chain certificate of the key, then its intermediates
 */
record KeyAndChain(String origin, PrivateKey key, List<X509Certificate> chain) {

	@Override
	public String toString() {
		return "KeyAndChain[" + this.origin + "]";
	}

}
