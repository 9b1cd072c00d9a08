package io.github.grpcsecurity.authentication.jwt;

import java.security.GeneralSecurityException;
import java.security.PublicKey;
import java.security.Signature;
import java.security.SignatureException;
import java.util.Set;

import com.nimbusds.jose.JOSEException;
import com.nimbusds.jose.JWSAlgorithm;
import com.nimbusds.jose.JWSHeader;
import com.nimbusds.jose.JWSVerifier;
import com.nimbusds.jose.jca.JCAContext;
import com.nimbusds.jose.util.Base64URL;

/**
 * Verifies Ed25519 signatures with the JDK. Nimbus would need Tink for it.
 */
final class Ed25519JwsVerifier implements JWSVerifier {

	static final Set<JWSAlgorithm> ALGORITHMS = Set.of(JWSAlgorithm.EdDSA, JWSAlgorithm.Ed25519);

	private static final int SIGNATURE_LENGTH = 64;

	private final PublicKey key;

	private final JCAContext jcaContext = new JCAContext();

	Ed25519JwsVerifier(PublicKey key) {
		this.key = key;
	}

	@Override
	public boolean verify(JWSHeader header, byte[] signingInput, Base64URL signature) throws JOSEException {
		byte[] bytes = signature.decode();
		if (!ALGORITHMS.contains(header.getAlgorithm()) || bytes.length != SIGNATURE_LENGTH) {
			return false;
		}
		try {
			Signature verifier = Signature.getInstance("Ed25519");
			verifier.initVerify(this.key);
			verifier.update(signingInput);
			return verifier.verify(bytes);
		}
		catch (SignatureException ex) {
			return false;
		}
		catch (GeneralSecurityException ex) {
			throw new JOSEException("No Ed25519 in this Java", ex);
		}
	}

	@Override
	public Set<JWSAlgorithm> supportedJWSAlgorithms() {
		return ALGORITHMS;
	}

	@Override
	public JCAContext getJCAContext() {
		return this.jcaContext;
	}

}
