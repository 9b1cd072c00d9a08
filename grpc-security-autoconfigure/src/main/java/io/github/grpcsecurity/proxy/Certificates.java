package io.github.grpcsecurity.proxy;

import java.io.ByteArrayInputStream;
import java.security.cert.CertificateException;
import java.security.cert.CertificateFactory;
import java.security.cert.X509Certificate;

/** Reads certificates out of headers. */
final class Certificates {

	private static final int SEQUENCE = 0x30;

	private Certificates() {
	}

	static X509Certificate der(byte[] content) throws MalformedHeaderException {
		// Java's factory would take PEM as well
		if (content.length > 0 && content[0] == SEQUENCE) {
			try {
				ByteArrayInputStream in = new ByteArrayInputStream(content);
				if (CertificateFactory.getInstance("X.509").generateCertificate(in) instanceof X509Certificate found
						&& in.available() == 0) {
					return found;
				}
			}
			catch (CertificateException ex) {
				throw new MalformedHeaderException("the forwarded certificate cannot be read");
			}
		}
		throw new MalformedHeaderException("the forwarded certificate cannot be read");
	}

}
