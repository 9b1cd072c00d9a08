package io.github.grpcsecurity.authentication.apikey;

import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.regex.Pattern;

/**
 * What is known of a key: the SHA-256 of all that its owner sends. A plain hash does,
 * because a key is random and too long to be guessed.
 */
final class ApiKeyHash {

	private static final String PREFIX = "sha256:";

	private static final Pattern HASH = Pattern.compile("sha256:[0-9a-f]{64}");

	/**
	 * Equals the hash of no key that anybody has: whoever is unknown is compared to it.
	 */
	static final ApiKeyHash OF_NOBODY = new ApiKeyHash(new byte[32]);

	private final byte[] digest;

	private ApiKeyHash(byte[] digest) {
		this.digest = digest;
	}

	/**
	 * Reads a hash.
	 * @throws IllegalArgumentException if it is none; the message does not quote it, for
	 * it may be a key that was written here by mistake
	 */
	static ApiKeyHash parse(String text) {
		if (!HASH.matcher(text).matches()) {
			throw new IllegalArgumentException("hash is not 'sha256:' followed by 64 lower-case hexadecimal digits;"
					+ " if it is the key itself, that is not secret any more: make another with ApiKeyMaker");
		}
		return new ApiKeyHash(HexFormat.of().parseHex(text, PREFIX.length(), text.length()));
	}

	/** The hash of what a caller sent, or is to send. */
	static ApiKeyHash of(String key) {
		try {
			return new ApiKeyHash(
					MessageDigest.getInstance("SHA-256").digest(key.getBytes(StandardCharsets.ISO_8859_1)));
		}
		catch (NoSuchAlgorithmException ex) {
			throw new IllegalStateException("Every Java platform has SHA-256", ex);
		}
	}

	/** Compares in a time that does not depend on where the two differ. */
	@Override
	public boolean equals(Object other) {
		return other instanceof ApiKeyHash that && MessageDigest.isEqual(this.digest, that.digest);
	}

	@Override
	public int hashCode() {
		return Arrays.hashCode(this.digest);
	}

	/** The hash as it stands in settings. */
	String text() {
		return PREFIX + HexFormat.of().formatHex(this.digest);
	}

	@Override
	public String toString() {
		return "[PROTECTED]";
	}

}
