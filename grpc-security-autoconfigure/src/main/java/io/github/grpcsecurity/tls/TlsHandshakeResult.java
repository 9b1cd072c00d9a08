package io.github.grpcsecurity.tls;

import java.security.cert.CertPathBuilderException;
import java.security.cert.CertPathValidatorException;
import java.security.cert.CertPathValidatorException.BasicReason;
import java.security.cert.CertificateException;
import java.security.cert.CertificateExpiredException;
import java.security.cert.CertificateNotYetValidException;
import java.security.cert.CertificateParsingException;
import java.security.cert.CertificateRevokedException;
import java.security.cert.PKIXReason;

import org.jspecify.annotations.Nullable;

/**
 * How a handshake ended, in the words of gRFC A118. Those of its words that a server
 * cannot tell apart are left out.
 *
 * @since 0.1.0
 */
public enum TlsHandshakeResult {

	/** The connection is up. */
	SUCCESS,

	/** The certificate of the client was refused for a reason without a word. */
	CERTIFICATE_VERIFICATION_FAILED,

	/** The certificate of the client, or one above it, has been revoked. */
	CERTIFICATE_REVOKED,

	/** The certificate of the client, or one above it, has expired. */
	CERTIFICATE_EXPIRED,

	/** The certificate of the client, or one above it, is not valid yet. */
	CERTIFICATE_NOT_YET_VALID,

	/** The certificate of the client does not come from a trusted authority. */
	CERTIFICATE_AUTHORITY_INVALID,

	/** The certificate of the client cannot be read. */
	CERTIFICATE_MALFORMED,

	/**
	 * The connection ended before it was up: nothing in common, no certificate where one
	 * is required, silence, or a client that went away.
	 */
	UNKNOWN_FAILURE;

	private static final int MAX_CAUSES = 16;

	/** What it means that the certificate of a client was refused like this. */
	static TlsHandshakeResult of(CertificateException refusal) {
		TlsHandshakeResult found = CERTIFICATE_VERIFICATION_FAILED;
		Throwable cause = refusal;
		for (int i = 0; cause != null && i < MAX_CAUSES; i++) {
			TlsHandshakeResult result = one(cause);
			// "No path to an authority" is often only the summary of what follows
			if (result != null
					&& (found == CERTIFICATE_VERIFICATION_FAILED || found == CERTIFICATE_AUTHORITY_INVALID)) {
				found = result;
			}
			cause = cause.getCause();
		}
		return found;
	}

	private static @Nullable TlsHandshakeResult one(Throwable cause) {
		if (cause instanceof CertificateRevokedException) {
			return CERTIFICATE_REVOKED;
		}
		if (cause instanceof CertificateExpiredException) {
			return CERTIFICATE_EXPIRED;
		}
		if (cause instanceof CertificateNotYetValidException) {
			return CERTIFICATE_NOT_YET_VALID;
		}
		if (cause instanceof CertificateParsingException) {
			return CERTIFICATE_MALFORMED;
		}
		if (cause instanceof CertPathValidatorException invalid) {
			return reason(invalid.getReason());
		}
		return (cause instanceof CertPathBuilderException) ? CERTIFICATE_AUTHORITY_INVALID : null;
	}

	private static @Nullable TlsHandshakeResult reason(CertPathValidatorException.Reason reason) {
		if (reason == BasicReason.REVOKED) {
			return CERTIFICATE_REVOKED;
		}
		if (reason == BasicReason.EXPIRED) {
			return CERTIFICATE_EXPIRED;
		}
		if (reason == BasicReason.NOT_YET_VALID) {
			return CERTIFICATE_NOT_YET_VALID;
		}
		// An authority that only has the name of a trusted one is another authority
		return (reason == BasicReason.INVALID_SIGNATURE || reason == PKIXReason.NO_TRUST_ANCHOR)
				? CERTIFICATE_AUTHORITY_INVALID : null;
	}

}
