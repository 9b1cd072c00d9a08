package io.github.grpcsecurity.authentication.basic;

import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.util.Base64;

import org.jspecify.annotations.Nullable;

/**
 * The user-id and the password of a call (RFC 7617).
 *
 * @param name what stands before the first colon
 * @param password what follows it, further colons included
 */
record UserPassword(String name, String password) {

	/**
	 * Takes credentials apart. Strict, as whatever two parsers read differently lets a
	 * proxy and this server see two different users.
	 * @param credentials Base64 of UTF-8
	 * @return {@code null} if they are malformed
	 */
	static @Nullable UserPassword parse(String credentials) {
		String text;
		try {
			byte[] bytes = Base64.getDecoder().decode(credentials);
			if (!Base64.getEncoder().encodeToString(bytes).equals(credentials)) {
				return null;
			}
			text = StandardCharsets.UTF_8.newDecoder().decode(ByteBuffer.wrap(bytes)).toString();
		}
		catch (IllegalArgumentException | CharacterCodingException ex) {
			return null;
		}
		int colon = text.indexOf(':');
		if (colon <= 0 || text.chars().anyMatch(Character::isISOControl)) {
			return null;
		}
		return new UserPassword(text.substring(0, colon), text.substring(colon + 1));
	}

	@Override
	public String toString() {
		return "UserPassword[PROTECTED]";
	}

}
