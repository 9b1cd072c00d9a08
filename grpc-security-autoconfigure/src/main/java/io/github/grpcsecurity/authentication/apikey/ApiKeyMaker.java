package io.github.grpcsecurity.authentication.apikey;

import java.io.PrintStream;
import java.security.SecureRandom;
import java.util.Base64;
import java.util.Random;

/**
 * Makes an API key: prints the key, which is to be given to its client and is nowhere
 * kept, and the settings by which a server recognizes it.
 * <p>
 * A key has 256 bits of a {@link SecureRandom}.
 *
 * @since 0.1.0
 */
public final class ApiKeyMaker {

	private static final int SECRET_BYTES = 32;

	private final Random random;

	ApiKeyMaker(Random random) {
		this.random = random;
	}

	/**
	 * Makes one key and prints it.
	 * @param arguments the id of the key
	 */
	public static void main(String... arguments) {
		if (arguments.length != 1 || !ApiKey.isId(arguments[0])) {
			System.err.println("Usage: java " + ApiKeyMaker.class.getName() + " <id>");
			System.err.println("The id is 1 to 64 letters, digits, hyphens and underscores, beginning with a letter"
					+ " or digit.");
			System.exit(2);
		}
		new ApiKeyMaker(new SecureRandom()).print(arguments[0], System.out);
	}

	/**
	 * Makes one key.
	 * @param id its id: 1 to 64 letters, digits, hyphens and underscores, beginning with
	 * a letter or digit
	 * @return the key and what a server recognizes it by
	 * @throws IllegalArgumentException if the id is none
	 */
	public static MadeKey make(String id) {
		if (!ApiKey.isId(id)) {
			throw new IllegalArgumentException(
					"an id is 1 to 64 letters, digits, hyphens and underscores, beginning" + " with a letter or digit");
		}
		return new ApiKeyMaker(new SecureRandom()).next(id);
	}

	void print(String id, PrintStream out) {
		MadeKey made = next(id);
		String key = made.key();
		String hash = made.hash();
		out.println("# Give this to the client over a private channel. It is shown only now:");
		out.println(key);
		out.println();
		out.println("# Add this to the settings of the server:");
		out.println("grpc.security.authentication.api-key:");
		out.println("  keys:");
		out.println("    - id: " + id);
		out.println("      hash: \"" + hash + "\"");
	}

	private MadeKey next(String id) {
		byte[] secret = new byte[SECRET_BYTES];
		this.random.nextBytes(secret);
		String key = id + "." + Base64.getUrlEncoder().withoutPadding().encodeToString(secret);
		return new MadeKey(key, ApiKeyHash.of(key).text());
	}

	/**
	 * A new key.
	 *
	 * @param key what its client sends; secret, and kept nowhere else
	 * @param hash what a server recognizes it by
	 */
	public record MadeKey(String key, String hash) {

		@Override
		public String toString() {
			return "MadeKey[hash=" + this.hash + "]";
		}

	}

}
