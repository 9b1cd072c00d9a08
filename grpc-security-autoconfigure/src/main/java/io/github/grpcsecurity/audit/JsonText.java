package io.github.grpcsecurity.audit;

/**
 * Writes strings as JSON in plain printable ASCII.
 * <p>
 * Everything else is escaped. So no value can end a line, colour a terminal, turn its
 * text around or depend on the character set of whatever the line is written to, and a
 * character more is a byte more.
 */
final class JsonText {

	private static final char[] HEX = "0123456789abcdef".toCharArray();

	private JsonText() {
	}

	/** Appends a value with its quotes. */
	static void quote(String value, StringBuilder out) {
		out.append('"');
		escape(value, out);
		out.append('"');
	}

	/** Appends a value without quotes. */
	static void escape(String value, StringBuilder out) {
		int written = 0;
		int length = value.length();
		for (int i = 0; i < length; i++) {
			char c = value.charAt(i);
			if (plain(c)) {
				continue;
			}
			out.append(value, written, i);
			written = i + 1;
			escape(c, out);
		}
		out.append(value, written, length);
	}

	private static void escape(char c, StringBuilder out) {
		out.append('\\');
		switch (c) {
			case '"', '\\' -> out.append(c);
			case '\n' -> out.append('n');
			case '\r' -> out.append('r');
			case '\t' -> out.append('t');
			default -> out.append('u')
				.append(HEX[c >>> 12])
				.append(HEX[(c >>> 8) & 0xf])
				.append(HEX[(c >>> 4) & 0xf])
				.append(HEX[c & 0xf]);
		}
	}

	private static boolean plain(char c) {
		return c >= ' ' && c < 0x7f && c != '"' && c != '\\';
	}

	private static int length(char c) {
		if (plain(c)) {
			return 1;
		}
		return (c == '"' || c == '\\' || c == '\n' || c == '\r' || c == '\t') ? 2 : 6;
	}

	/** How long a value is once it is escaped. */
	static int length(String value) {
		int length = 0;
		for (int i = 0; i < value.length(); i++) {
			length += length(value.charAt(i));
		}
		return length;
	}

	/**
	 * The longest beginning of a value that is not longer than this once it is escaped.
	 */
	static String limit(String value, int limit) {
		if (value.length() <= limit / 6) {
			return value;
		}
		int length = 0;
		for (int i = 0; i < value.length(); i++) {
			length += length(value.charAt(i));
			if (length > limit) {
				boolean pair = i > 0 && Character.isSurrogatePair(value.charAt(i - 1), value.charAt(i));
				return value.substring(0, pair ? i - 1 : i);
			}
		}
		return value;
	}

	/** The value as it would stand in JSON; itself when nothing in it needs escaping. */
	static String visible(String value) {
		if (length(value) == value.length()) {
			return value;
		}
		StringBuilder out = new StringBuilder(value.length() + 16);
		escape(value, out);
		return out.toString();
	}

}
