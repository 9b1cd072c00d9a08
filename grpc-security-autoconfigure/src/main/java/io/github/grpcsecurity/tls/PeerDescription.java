package io.github.grpcsecurity.tls;

import java.security.cert.X509Certificate;

/** Names certificates of peers for logs and audit: subject and serial, nothing more. */
final class PeerDescription {

	private static final int MAX_SUBJECT = 200;

	private PeerDescription() {
	}

	static String of(X509Certificate certificate) {
		String subject = certificate.getSubjectX500Principal().getName();
		if (subject.length() > MAX_SUBJECT) {
			subject = subject.substring(0, MAX_SUBJECT) + "...";
		}
		// A name may hold line breaks, with which a peer could forge lines of a log
		return subject.replaceAll("\\p{Cntrl}", "?") + ", serial " + certificate.getSerialNumber().toString(16);
	}

}
