package io.github.grpcsecurity.authentication;

import java.util.Iterator;

import io.grpc.Metadata;
import org.jspecify.annotations.Nullable;

/**
 * The one {@code authorization} entry of a call, taken apart.
 * <p>
 * Parsing is strict, because whatever two parsers read differently lets a proxy and this
 * server see two different callers: one entry, one space, no comma, no white space around
 * it.
 *
 * @param scheme the authentication scheme as the client wrote it
 * @param credentials what follows the scheme; visible ASCII without spaces and commas
 * @since 0.1.0
 */
public record AuthorizationHeader(String scheme, String credentials) {

	static final Metadata.Key<String> KEY = Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER);

	/**
	 * Reads the entry of a call.
	 * @return the entry; {@code null} when there is none
	 * @throws IllegalArgumentException if there are several or it is malformed; the
	 * message quotes nothing of it
	 */
	static @Nullable AuthorizationHeader read(Metadata headers) {
		Iterable<String> entries = headers.getAll(KEY);
		if (entries == null) {
			return null;
		}
		Iterator<String> iterator = entries.iterator();
		String entry = iterator.next();
		if (iterator.hasNext()) {
			throw new IllegalArgumentException("several authorization entries");
		}
		return parse(entry);
	}

	private static AuthorizationHeader parse(String entry) {
		int space = entry.indexOf(' ');
		if (space <= 0 || space == entry.length() - 1) {
			throw new IllegalArgumentException("authorization entry without scheme or credentials");
		}
		for (int i = 0; i < entry.length(); i++) {
			char character = entry.charAt(i);
			if (i != space && (character <= ' ' || character >= 0x7f || character == ',')) {
				throw new IllegalArgumentException("malformed authorization entry");
			}
		}
		return new AuthorizationHeader(entry.substring(0, space), entry.substring(space + 1));
	}

	/**
	 * Whether the entry has this scheme.
	 * @param name name of the scheme, such as {@code Bearer}
	 * @return whether it is the same; case is ignored (RFC 9110 11.1)
	 */
	public boolean hasScheme(String name) {
		return this.scheme.equalsIgnoreCase(name);
	}

	/**
	 * Whether the credentials are a {@code b64token} (RFC 6750 2.1).
	 * @return whether they could be a bearer token
	 */
	public boolean wellFormedToken() {
		int end = this.credentials.length();
		while (end > 0 && this.credentials.charAt(end - 1) == '=') {
			end--;
		}
		for (int i = 0; i < end; i++) {
			char c = this.credentials.charAt(i);
			boolean allowed = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9')
					|| "-._~+/".indexOf(c) >= 0;
			if (!allowed) {
				return false;
			}
		}
		return end > 0;
	}

	@Override
	public String toString() {
		return "AuthorizationHeader[credentials=[PROTECTED]]";
	}

}
