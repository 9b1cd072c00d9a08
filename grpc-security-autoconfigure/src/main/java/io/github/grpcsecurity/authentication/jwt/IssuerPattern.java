package io.github.grpcsecurity.authentication.jwt;

/**
 * Names of issuers with one variable part. It is no regular expression: callers choose
 * what it is compared with, and must not choose how long that takes.
 *
 * @param prefix what stands in front of the variable part
 * @param suffix what follows it
 */
record IssuerPattern(String prefix, String suffix) {

	private static final int MAX_LENGTH = 128;

	/**
	 * Reads a pattern.
	 * @throws IllegalArgumentException if it has not one {@code *}, or callers could
	 * choose a host of theirs
	 */
	static IssuerPattern parse(String pattern) {
		int star = pattern.indexOf('*');
		if (star <= 0 || star != pattern.lastIndexOf('*')) {
			throw new IllegalArgumentException("issuer pattern '" + pattern + "' must have one '*'");
		}
		String prefix = pattern.substring(0, star);
		String suffix = pattern.substring(star + 1);
		int host = pattern.indexOf("://");
		if (host <= 0 || star < host) {
			throw new IllegalArgumentException("issuer pattern '" + pattern + "' must begin with https://");
		}
		boolean inPath = prefix.indexOf('/', host + 3) > 0;
		boolean inFrontOfDomain = prefix.length() == host + 3
				&& suffix.matches("(\\.[A-Za-z0-9-]+){2,}(:[0-9]+)?(/.*)?");
		if (!inPath && !inFrontOfDomain) {
			throw new IllegalArgumentException("issuer pattern '" + pattern
					+ "' would match hosts of others: put the '*' into the path, or in front of a domain");
		}
		return new IssuerPattern(prefix, suffix);
	}

	boolean matches(String issuer) {
		int length = issuer.length() - this.prefix.length() - this.suffix.length();
		if (length < 1 || length > MAX_LENGTH || !issuer.startsWith(this.prefix) || !issuer.endsWith(this.suffix)) {
			return false;
		}
		boolean dotsOnly = true;
		for (int i = this.prefix.length(); i < this.prefix.length() + length; i++) {
			char c = issuer.charAt(i);
			if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_'
					|| c == '~' || c == '.')) {
				return false;
			}
			dotsOnly &= c == '.';
		}
		return !dotsOnly;
	}

}
