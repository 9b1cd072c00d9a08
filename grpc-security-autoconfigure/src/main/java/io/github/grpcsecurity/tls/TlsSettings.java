package io.github.grpcsecurity.tls;

import java.security.NoSuchAlgorithmException;
import java.time.Duration;
import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import java.util.Set;

import javax.net.ssl.SSLContext;

/**
 * How TLS is spoken.
 *
 * @param clientAuth whether clients show certificates
 * @param protocols versions of TLS that are offered
 * @param ciphers cipher suites that are offered; empty for all that HTTP/2 deems safe
 * @param handshakeTimeout how long a client may take until it is connected
 * @since 0.1.0
 */
public record TlsSettings(ClientAuth clientAuth, List<String> protocols, List<String> ciphers,
		Duration handshakeTimeout) {

	private static final List<String> PROTOCOLS = List.of("TLSv1.3", "TLSv1.2");

	/**
	 * Checks the settings.
	 * @throws TlsConfigurationException if a protocol or cipher suite is unknown or
	 * unsafe, or nothing is left to offer
	 */
	public TlsSettings {
		protocols = List.copyOf(protocols);
		ciphers = List.copyOf(ciphers);
		checkProtocols(protocols);
		checkCiphers(ciphers, protocols);
		if (handshakeTimeout.isZero() || handshakeTimeout.isNegative()) {
			throw new TlsConfigurationException(
					"grpc.security.tls.handshake-timeout is '" + handshakeTimeout
							+ "', so that no client could ever connect.",
					"Set it to a positive duration, such as 10s.");
		}
	}

	private static void checkProtocols(List<String> protocols) {
		String wayOut = "Set grpc.security.tls.protocols to TLSv1.3, or to TLSv1.3 and TLSv1.2.";
		if (protocols.isEmpty()) {
			throw new TlsConfigurationException("grpc.security.tls.protocols is empty.", wayOut);
		}
		for (String protocol : protocols) {
			if (!PROTOCOLS.contains(protocol)) {
				boolean old = Set.of("TLSv1.1", "TLSv1", "SSLv3", "SSLv2Hello").contains(protocol);
				throw new TlsConfigurationException("grpc.security.tls.protocols has '" + protocol + "', "
						+ (old ? "which is broken and not offered." : "which is no version of TLS."), wayOut);
			}
		}
	}

	private static void checkCiphers(List<String> ciphers, List<String> protocols) {
		if (ciphers.isEmpty()) {
			return;
		}
		Set<String> known = knownCiphers();
		Set<String> usable = new HashSet<>();
		for (String cipher : ciphers) {
			if (!known.contains(cipher)) {
				throw new TlsConfigurationException(
						"grpc.security.tls.ciphers has '" + cipher + "', which is no cipher suite that Java knows.",
						"Use Java's names, such as TLS_AES_256_GCM_SHA384, or leave the property out.");
			}
			if (!isSafe(cipher)) {
				throw new TlsConfigurationException(
						"grpc.security.tls.ciphers has '" + cipher + "', which HTTP/2 forbids.",
						"Use suites of TLS 1.3, or suites with ECDHE and GCM or CHACHA20 for TLS 1.2.");
			}
			usable.add(isTls13(cipher) ? "TLSv1.3" : "TLSv1.2");
		}
		for (String protocol : protocols) {
			if (!usable.contains(protocol)) {
				throw new TlsConfigurationException(
						"grpc.security.tls.ciphers has no cipher suite for " + protocol + ".",
						"Add one, or take " + protocol + " out of grpc.security.tls.protocols.");
			}
		}
	}

	private static boolean isTls13(String cipher) {
		return !cipher.contains("_WITH_");
	}

	// RFC 9113 appendix A: neither without forward secrecy nor without authentication
	private static boolean isSafe(String cipher) {
		return isTls13(cipher) ? cipher.startsWith("TLS_AES_") || cipher.startsWith("TLS_CHACHA20_")
				: cipher.startsWith("TLS_ECDHE_") && (cipher.contains("_GCM_") || cipher.contains("_CHACHA20_"));
	}

	private static Set<String> knownCiphers() {
		try {
			return new HashSet<>(Arrays.asList(SSLContext.getDefault().getSupportedSSLParameters().getCipherSuites()));
		}
		catch (NoSuchAlgorithmException ex) {
			throw new IllegalStateException("Java has no TLS", ex);
		}
	}

}
