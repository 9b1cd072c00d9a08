package io.github.grpcsecurity.tls;

import java.security.cert.CertificateException;

/** A certificate is revoked, or it cannot be found out whether it is. */
final class RevocationException extends CertificateException {

	private static final long serialVersionUID = 1L;

	private final RevocationStatus status;

	RevocationException(RevocationStatus status, String message) {
		super(message);
		this.status = status;
	}

	RevocationStatus status() {
		return this.status;
	}

}
