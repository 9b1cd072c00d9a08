package io.github.grpcsecurity.proxy;

import java.io.ByteArrayOutputStream;
import java.nio.charset.StandardCharsets;
import java.security.cert.X509Certificate;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Base64;
import java.util.HexFormat;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;

import javax.security.auth.x500.X500Principal;

import io.github.grpcsecurity.server.PeerIdentity;
import org.jspecify.annotations.Nullable;

/**
 * Envoy's {@code x-forwarded-client-cert}: elements between commas, one for each proxy,
 * made of {@code key=value} pairs between semicolons. Only the last element counts, which
 * is what the proxy at the other end of the connection has added itself.
 */
final class XfccHeader implements ForwardedCertificate {

	static final String NAME = "x-forwarded-client-cert";

	private static final Set<String> SEVERAL = Set.of("by", "uri", "dns");

	private static final String BEGIN = "-----BEGIN CERTIFICATE-----";

	private static final String END = "-----END CERTIFICATE-----";

	private static final int SHA256_BYTES = 32;

	@Override
	public PeerIdentity read(String header) throws MalformedHeaderException {
		Map<String, List<String>> element = new Parser(header).lastElement();
		byte[] hash = hash(single(element, "hash"));
		String certificate = single(element, "cert");
		if (certificate != null) {
			return identity(pem(decode(certificate)), hash);
		}
		String chain = single(element, "chain");
		if (chain != null) {
			String certificates = decode(chain);
			int endOfLeaf = certificates.indexOf(END) + END.length();
			return identity(pem(certificates.substring(0, Math.min(endOfLeaf, certificates.length()))), hash);
		}
		List<String> uris = values(element, "uri");
		List<String> dnsNames = values(element, "dns");
		String subject = (uris.isEmpty() && dnsNames.isEmpty()) ? subject(single(element, "subject")) : null;
		PeerIdentity identity = PeerIdentity.of(uris, dnsNames, subject, hash);
		if (identity == null) {
			throw malformed("tells nothing about the client");
		}
		return identity;
	}

	private static PeerIdentity identity(X509Certificate certificate, byte @Nullable [] hash)
			throws MalformedHeaderException {
		PeerIdentity identity = PeerIdentity.of(certificate);
		if (hash != null && !Arrays.equals(hash, identity.certificateSha256())) {
			throw malformed("has a hash of another certificate");
		}
		return identity;
	}

	private static @Nullable String single(Map<String, List<String>> element, String key) {
		List<String> values = values(element, key);
		return values.isEmpty() ? null : values.get(0);
	}

	/** Envoy writes some keys without a value, when the certificate has none. */
	private static List<String> values(Map<String, List<String>> element, String key) {
		return element.getOrDefault(key, List.of()).stream().filter((value) -> !value.isEmpty()).toList();
	}

	private static byte @Nullable [] hash(@Nullable String text) throws MalformedHeaderException {
		if (text == null) {
			return null;
		}
		try {
			byte[] hash = HexFormat.of().parseHex(text);
			if (hash.length == SHA256_BYTES) {
				return hash;
			}
		}
		catch (IllegalArgumentException ex) {
			throw malformed("has a hash that is not SHA-256");
		}
		throw malformed("has a hash that is not SHA-256");
	}

	/** As Java writes it, so that it is the same as over a connection of its own. */
	private static @Nullable String subject(@Nullable String text) throws MalformedHeaderException {
		if (text == null) {
			return null;
		}
		try {
			return new X500Principal(text).getName(X500Principal.RFC2253);
		}
		catch (IllegalArgumentException ex) {
			throw malformed("has a subject that cannot be read");
		}
	}

	private static String decode(String text) throws MalformedHeaderException {
		ByteArrayOutputStream out = new ByteArrayOutputStream(text.length());
		for (int i = 0; i < text.length(); i++) {
			char c = text.charAt(i);
			if (c == '%') {
				int high = (i + 2 < text.length()) ? Character.digit(text.charAt(i + 1), 16) : -1;
				int low = (i + 2 < text.length()) ? Character.digit(text.charAt(i + 2), 16) : -1;
				if (high < 0 || low < 0) {
					throw malformed("has a certificate that is not URL-encoded");
				}
				out.write(high * 16 + low);
				i += 2;
			}
			else {
				out.write(c);
			}
		}
		return out.toString(StandardCharsets.US_ASCII);
	}

	private static X509Certificate pem(String text) throws MalformedHeaderException {
		String stripped = text.strip();
		if (!stripped.startsWith(BEGIN) || !stripped.endsWith(END)) {
			throw malformed("has a certificate that is not PEM");
		}
		String content = stripped.substring(BEGIN.length(), stripped.length() - END.length());
		try {
			return Certificates.der(Base64.getDecoder().decode(content.replaceAll("[\r\n]", "")));
		}
		catch (IllegalArgumentException ex) {
			throw malformed("has a certificate that is not PEM");
		}
	}

	private static MalformedHeaderException malformed(String problem) {
		return new MalformedHeaderException(NAME + " " + problem);
	}

	/** Reads the whole header, because only that tells where its last element begins. */
	private static final class Parser {

		private final String text;

		private int position;

		Parser(String text) {
			this.text = text;
		}

		Map<String, List<String>> lastElement() throws MalformedHeaderException {
			Map<String, List<String>> element = element();
			while (this.position < this.text.length()) {
				// The comma
				this.position++;
				element = element();
			}
			return element;
		}

		private Map<String, List<String>> element() throws MalformedHeaderException {
			Map<String, List<String>> pairs = new TreeMap<>();
			pair(pairs);
			while (at(';')) {
				this.position++;
				if (this.position == this.text.length() || at(',')) {
					// A semicolon at the end
					break;
				}
				pair(pairs);
			}
			return pairs;
		}

		private void pair(Map<String, List<String>> pairs) throws MalformedHeaderException {
			skipSpace();
			String key = key().toLowerCase(Locale.ROOT);
			String value = at('"') ? quoted(key.equals("subject")) : plain();
			skipSpace();
			if (this.position < this.text.length() && !at(';') && !at(',')) {
				throw malformed("has something after the end of a value");
			}
			List<String> values = pairs.computeIfAbsent(key, (name) -> new ArrayList<>(1));
			values.add(value);
			if (values.size() > 1 && !SEVERAL.contains(key)) {
				throw malformed("has a key twice in one element");
			}
		}

		private String key() throws MalformedHeaderException {
			int start = this.position;
			while (this.position < this.text.length() && isLetterOrDigit(this.text.charAt(this.position))) {
				this.position++;
			}
			if (this.position == start || !at('=')) {
				throw malformed("has an element that is not made of keys and values");
			}
			String key = this.text.substring(start, this.position);
			this.position++;
			return key;
		}

		private static boolean isLetterOrDigit(char c) {
			return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
		}

		private String plain() throws MalformedHeaderException {
			int start = this.position;
			while (this.position < this.text.length() && !at(';') && !at(',')) {
				char c = this.text.charAt(this.position++);
				if (c == '"' || c < ' ' || c > '~') {
					throw malformed("has a character in a value that must be quoted");
				}
			}
			return this.text.substring(start, this.position).strip();
		}

		/**
		 * A backslash takes the quote after it into the value. A subject is itself full
		 * of backslashes, which belong to it.
		 */
		private String quoted(boolean keepBackslashes) throws MalformedHeaderException {
			StringBuilder value = new StringBuilder();
			for (this.position++; this.position < this.text.length(); this.position++) {
				char c = this.text.charAt(this.position);
				if (c == '"') {
					this.position++;
					return value.toString();
				}
				if (c == '\\' && this.position + 1 < this.text.length()) {
					char next = this.text.charAt(++this.position);
					if (keepBackslashes || next != '"') {
						value.append(c);
					}
					c = next;
				}
				if (c < ' ' || c > '~') {
					throw malformed("has a character that is not printable");
				}
				value.append(c);
			}
			throw malformed("has a quote without an end");
		}

		private boolean at(char c) {
			return this.position < this.text.length() && this.text.charAt(this.position) == c;
		}

		private void skipSpace() {
			while (at(' ') || at('\t')) {
				this.position++;
			}
		}

	}

}
