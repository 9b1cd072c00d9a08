package io.github.grpcsecurity.authentication;

import java.nio.ByteBuffer;
import java.security.DigestException;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.Arrays;

/**
 * SHA-256 of a whole token, by which it is known again.
 *
 * @param first the first eight bytes
 * @param second the second eight bytes
 * @param third the third eight bytes
 * @param fourth the last eight bytes
 * @since 0.1.0
 */
public record TokenHash(long first, long second, long third, long fourth) {

	@Override
	public int hashCode() {
		// Every bit of it is as good as random
		return (int) this.first;
	}

	/** Computes hashes. Thread-safe; allocates nothing but the result. */
	public static final class Hasher {

		private final ThreadLocal<Scratch> scratch;

		/**
		 * Creates a hasher.
		 * @param maxTokenSize length of the longest token that it will see
		 */
		public Hasher(int maxTokenSize) {
			this.scratch = ThreadLocal.withInitial(() -> new Scratch(Math.max(maxTokenSize, Scratch.DIGEST_LENGTH)));
		}

		/**
		 * Hashes a token.
		 * @param token ASCII, not longer than the limit
		 * @return its hash
		 */
		public TokenHash hash(String token) {
			return this.scratch.get().hash(token);
		}

	}

	private static final class Scratch {

		private static final int DIGEST_LENGTH = 32;

		private static final int INITIAL_LENGTH = 2048;

		private final int maxLength;

		private final MessageDigest digest = sha256();

		private byte[] bytes;

		private ByteBuffer buffer;

		Scratch(int maxLength) {
			this.maxLength = maxLength;
			this.bytes = new byte[Math.min(INITIAL_LENGTH, maxLength)];
			this.buffer = ByteBuffer.wrap(this.bytes);
		}

		private static MessageDigest sha256() {
			try {
				return MessageDigest.getInstance("SHA-256");
			}
			catch (NoSuchAlgorithmException ex) {
				throw new IllegalStateException("No SHA-256 in this Java", ex);
			}
		}

		// The other ways to the bytes of a string copy them twice
		@SuppressWarnings("deprecation")
		TokenHash hash(String token) {
			int length = token.length();
			if (length > this.bytes.length) {
				this.bytes = new byte[this.maxLength];
				this.buffer = ByteBuffer.wrap(this.bytes);
			}
			token.getBytes(0, length, this.bytes, 0);
			this.digest.update(this.bytes, 0, length);
			// No copy of the token stays behind
			Arrays.fill(this.bytes, 0, length, (byte) 0);
			try {
				this.digest.digest(this.bytes, 0, DIGEST_LENGTH);
			}
			catch (DigestException ex) {
				throw new IllegalStateException("Cannot hash a token", ex);
			}
			return new TokenHash(this.buffer.getLong(0), this.buffer.getLong(8), this.buffer.getLong(16),
					this.buffer.getLong(24));
		}

	}

}
