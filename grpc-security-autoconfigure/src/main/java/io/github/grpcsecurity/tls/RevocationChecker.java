package io.github.grpcsecurity.tls;

import java.security.GeneralSecurityException;
import java.security.cert.X509Certificate;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.Deque;
import java.util.HashSet;
import java.util.List;
import java.util.Set;

/**
 * Refuses chains of certificates in which one is revoked: the first of them, or any of
 * the intermediates. Authorities that are trusted themselves are not asked about.
 *
 * @since 0.1.0
 */
public final class RevocationChecker {

	private final CertificateRevocationLists lists;

	private final Undetermined undetermined;

	/**
	 * Creates a checker.
	 * @param lists say what is revoked
	 * @param undetermined what happens to certificates about which they say nothing
	 */
	public RevocationChecker(CertificateRevocationLists lists, Undetermined undetermined) {
		this.lists = lists;
		this.undetermined = undetermined;
	}

	/**
	 * The lists that say what is revoked.
	 * @return the lists
	 */
	public CertificateRevocationLists lists() {
		return this.lists;
	}

	/**
	 * Checks a chain that is trusted otherwise.
	 * @throws RevocationException if one of its certificates is revoked, or is
	 * undetermined and that is not allowed
	 */
	void check(X509Certificate[] chain, X509Certificate[] anchors) throws RevocationException {
		Set<X509Certificate> trusted = new HashSet<>(Arrays.asList(anchors));
		Set<X509Certificate> seen = new HashSet<>();
		Deque<X509Certificate> open = new ArrayDeque<>();
		X509Certificate unknown = null;
		open.add(chain[0]);
		while (!open.isEmpty()) {
			X509Certificate certificate = open.remove();
			if (trusted.contains(certificate) || !seen.add(certificate)) {
				continue;
			}
			List<X509Certificate> issuers = issuers(certificate, trusted);
			if (issuers.isEmpty()) {
				// Which way a chain was verified is not known. Going all ways leaves none
				// on which a peer could hide what is revoked
				issuers = issuers(certificate, Arrays.asList(chain));
				open.addAll(issuers);
			}
			if (status(certificate, issuers) == RevocationStatus.UNDETERMINED) {
				unknown = certificate;
			}
		}
		if (unknown != null && this.undetermined == Undetermined.DENY) {
			throw new RevocationException(RevocationStatus.UNDETERMINED,
					"revocation undetermined (" + PeerDescription.of(unknown) + ")");
		}
	}

	private RevocationStatus status(X509Certificate certificate, List<X509Certificate> issuers)
			throws RevocationException {
		RevocationStatus result = issuers.isEmpty() ? RevocationStatus.UNDETERMINED : RevocationStatus.UNREVOKED;
		for (X509Certificate issuer : issuers) {
			RevocationStatus status = this.lists.status(certificate, issuer);
			if (status == RevocationStatus.REVOKED) {
				throw new RevocationException(status, "revoked (" + PeerDescription.of(certificate) + ")");
			}
			if (status == RevocationStatus.UNDETERMINED) {
				result = status;
			}
		}
		return result;
	}

	private static List<X509Certificate> issuers(X509Certificate certificate, Collection<X509Certificate> candidates) {
		List<X509Certificate> issuers = new ArrayList<>(1);
		for (X509Certificate candidate : candidates) {
			if (!candidate.equals(certificate)
					&& candidate.getSubjectX500Principal().equals(certificate.getIssuerX500Principal())
					&& signed(certificate, candidate)) {
				issuers.add(candidate);
			}
		}
		return issuers;
	}

	private static boolean signed(X509Certificate certificate, X509Certificate issuer) {
		try {
			certificate.verify(issuer.getPublicKey());
			return true;
		}
		catch (GeneralSecurityException ex) {
			return false;
		}
	}

	/** What happens to a certificate for which there is no usable list. */
	public enum Undetermined {

		/** It is refused. */
		DENY,

		/** It is taken as not revoked. */
		ALLOW

	}

}
