package io.github.grpcsecurity.tls;

import java.nio.charset.StandardCharsets;
import java.security.PrivateKey;
import java.security.cert.X509Certificate;
import java.util.List;
import java.util.Objects;

import org.jspecify.annotations.Nullable;

import org.springframework.boot.ssl.pem.PemContent;
import org.springframework.util.StringUtils;

/** Reads keys and certificates from PEM files. */
final class PemReader {

	private static final String CERTIFICATES = "a PEM file with certificates";

	private static final String KEY = "a PEM file with a private key";

	private PemReader() {
	}

	static KeyAndChain keyAndChain(TlsLocation chain, TlsLocation key, @Nullable String password) {
		List<X509Certificate> certificates = certificates(chain);
		PrivateKey privateKey = privateKey(key, password);
		key.warnIfWorldReadable();
		return new KeyAndChain(chain.property(), privateKey, certificates);
	}

	static List<X509Certificate> certificates(TlsLocation location) {
		String text = text(location, CERTIFICATES);
		try {
			List<X509Certificate> found = pem(text).getCertificates();
			if (!found.isEmpty()) {
				return found;
			}
		}
		catch (RuntimeException ex) {
			throw noCertificate(location, ex);
		}
		throw noCertificate(location, null);
	}

	// A parser would skip what has no end: an intermediate or an authority would be
	// missing
	private static String text(TlsLocation location, String expected) {
		String text = new String(location.read(expected), StandardCharsets.US_ASCII);
		if (StringUtils.countOccurrencesOf(text, "-----BEGIN ") != StringUtils.countOccurrencesOf(text, "-----END ")) {
			throw new TlsConfigurationException(
					location + " but that file is cut off: a BEGIN line lacks its END line.",
					"Write the file again, best under another name that is then renamed.");
		}
		return text;
	}

	private static TlsConfigurationException noCertificate(TlsLocation location, @Nullable Exception cause) {
		return new TlsConfigurationException(location + " but no certificate in it can be read.",
				"Let " + location.property() + " name " + CERTIFICATES + " (BEGIN CERTIFICATE).", cause);
	}

	private static PrivateKey privateKey(TlsLocation location, @Nullable String password) {
		String text = text(location, KEY);
		boolean encrypted = text.contains("BEGIN ENCRYPTED PRIVATE KEY");
		if (text.contains("Proc-Type: 4,ENCRYPTED")) {
			throw new TlsConfigurationException(
					location + " whose key is encrypted in OpenSSL's old format, which is not supported.",
					"Convert it: openssl pkcs8 -topk8 -v2 aes-256-cbc -in old.pem -out new.pem.");
		}
		if (encrypted && password == null) {
			throw new TlsConfigurationException(location + " whose key is encrypted, and there is no password for it.",
					"Set grpc.security.tls.private-key-password.");
		}
		PrivateKey key;
		try {
			key = encrypted ? pem(text).getPrivateKey(password) : pem(text).getPrivateKey();
		}
		catch (RuntimeException ex) {
			throw encrypted ? new TlsConfigurationException(location + " whose key the password does not open.",
					"Correct grpc.security.tls.private-key-password.", ex) : noKey(location, ex);
		}
		if (key == null) {
			throw noKey(location, null);
		}
		return key;
	}

	private static TlsConfigurationException noKey(TlsLocation location, @Nullable Exception cause) {
		return new TlsConfigurationException(location + " but no private key in it can be read.", "Let "
				+ location.property() + " name " + KEY + " (BEGIN PRIVATE KEY, RSA PRIVATE KEY or EC PRIVATE KEY).",
				cause);
	}

	private static PemContent pem(String text) {
		return Objects.requireNonNull(PemContent.of(text));
	}

}
