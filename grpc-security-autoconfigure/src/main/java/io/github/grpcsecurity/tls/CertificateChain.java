package io.github.grpcsecurity.tls;

import java.security.GeneralSecurityException;
import java.security.NoSuchAlgorithmException;
import java.security.cert.X509Certificate;
import java.util.List;

/** Finds out whether each certificate of a chain was issued by the next one. */
final class CertificateChain {

	private CertificateChain() {
	}

	static void check(TlsMaterial material) {
		List<X509Certificate> chain = material.chain();
		for (int i = 1; i < chain.size(); i++) {
			if (!issued(chain.get(i), chain.get(i - 1))) {
				throw new TlsConfigurationException(
						"In the chain from " + material.origin() + ", certificate " + (i + 1) + " ("
								+ chain.get(i).getSubjectX500Principal() + ") did not issue certificate " + i + " ("
								+ chain.get(i - 1).getSubjectX500Principal() + ").",
						"Put the certificate of the server first, then the one that issued it, and so on, and nothing "
								+ "else.");
			}
		}
	}

	// The name alone would let the old issuer of a renewed certificate pass
	private static boolean issued(X509Certificate issuer, X509Certificate certificate) {
		if (issuer.equals(certificate)
				|| !issuer.getSubjectX500Principal().equals(certificate.getIssuerX500Principal())) {
			return false;
		}
		try {
			certificate.verify(issuer.getPublicKey());
			return true;
		}
		catch (NoSuchAlgorithmException ex) {
			// Clients may know more algorithms than Java does
			return true;
		}
		catch (GeneralSecurityException ex) {
			return false;
		}
	}

}
