package io.github.grpcsecurity.server;

import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.security.cert.Certificate;
import java.security.cert.CertificateEncodingException;
import java.security.cert.CertificateParsingException;
import java.security.cert.X509Certificate;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HexFormat;
import java.util.List;

import javax.net.ssl.SSLPeerUnverifiedException;
import javax.net.ssl.SSLSession;
import javax.security.auth.x500.X500Principal;

import org.jspecify.annotations.Nullable;

/**
 * Who a peer is by its certificate: the URIs among its subject alternative names, else
 * the DNS names among them, else its subject. A certificate with a URI never goes by one
 * of its other names.
 * <p>
 * This says whose certificate was verified, by the server or by a proxy it trusts; it
 * authenticates nobody by itself. Immutable.
 *
 * @since 0.1.0
 */
public final class PeerIdentity {

	private static final String SESSION_KEY = PeerIdentity.class.getName();

	private static final Object NOBODY = new Object();

	private static final String SUBJECT_ALTERNATIVE_NAME = "2.5.29.17";

	private static final int DNS_NAME = 2;

	private static final int URI_NAME = 6;

	private final Kind kind;

	private final List<String> names;

	private final byte @Nullable [] sha256;

	private final @Nullable Instant expiresAt;

	private PeerIdentity(Kind kind, List<String> names, byte @Nullable [] sha256, @Nullable Instant expiresAt) {
		this.kind = kind;
		this.names = List.copyOf(names);
		this.sha256 = sha256;
		this.expiresAt = expiresAt;
	}

	/**
	 * The identity that a verified certificate gives to its owner.
	 * @param certificate the certificate, without its chain
	 * @return the identity
	 */
	public static PeerIdentity of(X509Certificate certificate) {
		PeerIdentity named = named(certificate);
		return new PeerIdentity(named.kind, named.names, named.sha256, certificate.getNotAfter().toInstant());
	}

	private static PeerIdentity named(X509Certificate certificate) {
		byte[] sha256 = sha256(certificate);
		List<String> uris = new ArrayList<>();
		List<String> dnsNames = new ArrayList<>();
		try {
			Collection<List<?>> names = certificate.getSubjectAlternativeNames();
			if (names == null && certificate.getExtensionValue(SUBJECT_ALTERNATIVE_NAME) != null) {
				// There may be a URI that Java cannot read, so the subject must not count
				return fingerprint(sha256);
			}
			for (List<?> name : (names != null) ? names : List.<List<?>>of()) {
				if (name.get(1) instanceof String text && !text.isEmpty()) {
					switch ((Integer) name.get(0)) {
						case URI_NAME -> uris.add(text);
						case DNS_NAME -> dnsNames.add(text);
						default -> {
						}
					}
				}
			}
		}
		catch (CertificateParsingException ex) {
			return fingerprint(sha256);
		}
		PeerIdentity identity = of(uris, dnsNames, certificate.getSubjectX500Principal().getName(X500Principal.RFC2253),
				sha256);
		return (identity != null) ? identity : fingerprint(sha256);
	}

	/**
	 * The identity that somebody else has read out of a certificate.
	 * @param uris URIs among the subject alternative names
	 * @param dnsNames DNS names among the subject alternative names
	 * @param subject the subject as RFC 2253 writes it
	 * @param sha256 digest of the certificate
	 * @return the identity; {@code null} if nothing is known
	 */
	public static @Nullable PeerIdentity of(List<String> uris, List<String> dnsNames, @Nullable String subject,
			byte @Nullable [] sha256) {
		byte[] digest = (sha256 != null) ? sha256.clone() : null;
		if (!uris.isEmpty()) {
			return new PeerIdentity(Kind.URI, uris, digest, null);
		}
		if (!dnsNames.isEmpty()) {
			return new PeerIdentity(Kind.DNS, dnsNames, digest, null);
		}
		if (subject != null && !subject.isEmpty()) {
			return new PeerIdentity(Kind.SUBJECT, List.of(subject), digest, null);
		}
		return (digest != null) ? fingerprint(digest) : null;
	}

	/**
	 * The identity of the peer of a connection, found out once for each session.
	 * @return {@code null} if the peer showed no certificate
	 */
	static @Nullable PeerIdentity of(SSLSession session) {
		Object known = session.getValue(SESSION_KEY);
		if (known == null) {
			known = read(session);
			session.putValue(SESSION_KEY, known);
		}
		return (known instanceof PeerIdentity identity) ? identity : null;
	}

	private static Object read(SSLSession session) {
		try {
			Certificate[] chain = session.getPeerCertificates();
			return (chain.length > 0 && chain[0] instanceof X509Certificate leaf) ? of(leaf) : NOBODY;
		}
		catch (SSLPeerUnverifiedException ex) {
			return NOBODY;
		}
	}

	private static PeerIdentity fingerprint(byte[] sha256) {
		return new PeerIdentity(Kind.FINGERPRINT, List.of(HexFormat.of().formatHex(sha256)), sha256, null);
	}

	private static byte[] sha256(X509Certificate certificate) {
		try {
			return MessageDigest.getInstance("SHA-256").digest(certificate.getEncoded());
		}
		catch (NoSuchAlgorithmException | CertificateEncodingException ex) {
			throw new IllegalStateException("Cannot hash a certificate", ex);
		}
	}

	/**
	 * What kind of name the identity is made of.
	 * @return the kind of all its names
	 */
	public Kind kind() {
		return this.kind;
	}

	/**
	 * The name to call the peer by.
	 * @return the first of its names
	 */
	public String name() {
		return this.names.get(0);
	}

	/**
	 * All names of this kind, in the order of the certificate.
	 * @return at least one
	 */
	public List<String> names() {
		return this.names;
	}

	/**
	 * The SHA-256 digest of the certificate, by which tokens can be bound to it.
	 * @return a copy; {@code null} if a proxy that vouches for the peer did not tell
	 */
	public byte @Nullable [] certificateSha256() {
		return (this.sha256 != null) ? this.sha256.clone() : null;
	}

	/**
	 * When the certificate runs out.
	 * @return its {@code notAfter}; {@code null} if a proxy that vouches for the peer did
	 * not show the certificate
	 */
	public @Nullable Instant expiresAt() {
		return this.expiresAt;
	}

	/** The first name. */
	@Override
	public String toString() {
		return name();
	}

	/** The kinds of name by which a peer can go, in their order of preference. */
	public enum Kind {

		/** A URI, such as a SPIFFE ID. */
		URI,

		/** A DNS name. */
		DNS,

		/** The subject, as RFC 2253 writes it. */
		SUBJECT,

		/** SHA-256 of the certificate in hexadecimal, where nothing else is known. */
		FINGERPRINT

	}

}
