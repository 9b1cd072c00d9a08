package io.github.grpcsecurity.tls;

import java.security.cert.CertificateException;
import java.security.cert.CertificateParsingException;
import java.security.cert.X509Certificate;
import java.util.Collection;
import java.util.List;
import java.util.regex.Pattern;

/**
 * A name out of a trust domain, as the SPIFFE standard writes it:
 * {@code spiffe://example.org/teller}.
 *
 * @param trustDomain who vouches for it
 * @param path what it is called there; may be empty
 */
record SpiffeId(String trustDomain, String path) {

	private static final String SCHEME = "spiffe://";

	private static final int MAX_LENGTH = 2048;

	private static final Pattern TRUST_DOMAIN = Pattern.compile("[a-z0-9._-]{1,255}");

	private static final Pattern SEGMENT = Pattern.compile("[a-zA-Z0-9._-]+");

	private static final int URI_NAME = 6;

	/**
	 * Reads an ID.
	 * @throws IllegalArgumentException if it is none; the message says why
	 */
	static SpiffeId parse(String text) {
		if (text.length() > MAX_LENGTH) {
			throw new IllegalArgumentException("it is longer than " + MAX_LENGTH + " characters");
		}
		if (!text.startsWith(SCHEME)) {
			throw new IllegalArgumentException("it does not begin with " + SCHEME);
		}
		int slash = text.indexOf('/', SCHEME.length());
		String trustDomain = text.substring(SCHEME.length(), (slash < 0) ? text.length() : slash);
		if (!isTrustDomain(trustDomain)) {
			throw new IllegalArgumentException(
					"its trust domain is not made of a-z, 0-9, dots, dashes and underscores");
		}
		String path = (slash < 0) ? "" : text.substring(slash);
		checkPath(path);
		return new SpiffeId(trustDomain, path);
	}

	static boolean isTrustDomain(String text) {
		return TRUST_DOMAIN.matcher(text).matches();
	}

	private static void checkPath(String path) {
		if (path.isEmpty()) {
			return;
		}
		for (String segment : path.substring(1).split("/", -1)) {
			if (!SEGMENT.matcher(segment).matches() || segment.equals(".") || segment.equals("..")) {
				throw new IllegalArgumentException(
						"its path has a segment that is empty, a dot, two dots or not made of letters, digits, dots, "
								+ "dashes and underscores");
			}
		}
	}

	/** The ID in the certificate of a peer, which must have exactly one URI. */
	static SpiffeId of(X509Certificate certificate) throws CertificateException {
		String uri = null;
		Collection<List<?>> names = names(certificate);
		for (List<?> name : names) {
			if (name.get(0).equals(URI_NAME)) {
				if (uri != null) {
					throw new CertificateException("The certificate has more than one URI, so it is no SPIFFE SVID");
				}
				uri = String.valueOf(name.get(1));
			}
		}
		if (uri == null) {
			throw new CertificateException("The certificate has no URI, so it is no SPIFFE SVID");
		}
		SpiffeId id;
		try {
			id = parse(uri);
		}
		catch (IllegalArgumentException ex) {
			throw new CertificateException("The URI in the certificate is no SPIFFE ID: " + ex.getMessage(), ex);
		}
		if (id.path().isEmpty()) {
			// X509-SVID 5.2
			throw new CertificateException("The SPIFFE ID in the certificate names a trust domain, not a peer");
		}
		return id;
	}

	private static Collection<List<?>> names(X509Certificate certificate) throws CertificateParsingException {
		Collection<List<?>> names = certificate.getSubjectAlternativeNames();
		return (names != null) ? names : List.of();
	}

	@Override
	public String toString() {
		return SCHEME + this.trustDomain + this.path;
	}

}
