package io.github.grpcsecurity.authorization.policy;

/**
 * How a policy names paths, principals and header values: exactly, by a prefix, by a
 * suffix, or as anything that is not empty. A star in the middle is a star.
 *
 * @param kind how to compare
 * @param text what to compare with
 */
record StringMatcher(Kind kind, String text) {

	/** Understands a pattern that has passed the reader. */
	static StringMatcher of(String pattern) {
		if (pattern.equals("*")) {
			return new StringMatcher(Kind.PRESENT, "");
		}
		if (pattern.endsWith("*")) {
			return new StringMatcher(Kind.PREFIX, pattern.substring(0, pattern.length() - 1));
		}
		if (pattern.startsWith("*")) {
			return new StringMatcher(Kind.SUFFIX, pattern.substring(1));
		}
		return new StringMatcher(Kind.EXACT, pattern);
	}

	boolean exact() {
		return this.kind == Kind.EXACT;
	}

	boolean matches(String value) {
		return switch (this.kind) {
			case EXACT -> value.equals(this.text);
			case PREFIX -> value.startsWith(this.text);
			case SUFFIX -> value.endsWith(this.text);
			case PRESENT -> !value.isEmpty();
		};
	}

	/** Base64 is compared without padding, whichever way the policy writes it. */
	StringMatcher withoutPadding() {
		int end = this.text.length();
		while (end > 0 && this.text.charAt(end - 1) == '=') {
			end--;
		}
		return (this.kind == Kind.PREFIX) ? this : new StringMatcher(this.kind, this.text.substring(0, end));
	}

	enum Kind {

		EXACT, PREFIX, SUFFIX, PRESENT

	}

}
