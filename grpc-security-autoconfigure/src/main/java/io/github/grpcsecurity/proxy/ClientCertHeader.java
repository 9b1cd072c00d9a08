package io.github.grpcsecurity.proxy;

import java.security.cert.X509Certificate;
import java.util.Base64;

import io.github.grpcsecurity.server.PeerIdentity;

/**
 * The headers of RFC 9440: certificates as byte sequences, which are base64 between
 * colons (RFC 8941 3.3.5).
 */
final class ClientCertHeader implements ForwardedCertificate {

	static final String NAME = "client-cert";

	static final String CHAIN_NAME = "client-cert-chain";

	@Override
	public PeerIdentity read(String header) throws MalformedHeaderException {
		X509Certificate certificate = certificate(header.strip());
		return PeerIdentity.of(certificate);
	}

	/** The chain adds nothing to the identity, but it must be what it says it is. */
	static void checkChain(String header) throws MalformedHeaderException {
		for (String member : header.split(",", -1)) {
			certificate(member.strip());
		}
	}

	private static X509Certificate certificate(String text) throws MalformedHeaderException {
		if (text.length() < 2 || text.charAt(0) != ':' || text.indexOf(':', 1) != text.length() - 1) {
			throw new MalformedHeaderException("the forwarded certificate is no byte sequence");
		}
		try {
			return Certificates.der(Base64.getDecoder().decode(text.substring(1, text.length() - 1)));
		}
		catch (IllegalArgumentException ex) {
			throw new MalformedHeaderException("the forwarded certificate is not base64");
		}
	}

}
