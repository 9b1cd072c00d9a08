package io.github.grpcsecurity.server;

/**
 * Names one or more methods the way settings do: {@code bank.Accounts/Get},
 * {@code bank.Accounts/*}, {@code bank.*}{@code /Get*}, or {@code **}.
 * <p>
 * A {@code *} stands for any run of characters but {@code /}, dots included, before or
 * after the slash. {@code **} stands alone and matches every method; it is the only
 * pattern that also matches the methods which the server does not have. Letter case
 * counts, as it does for gRPC. Instances are immutable.
 *
 * @since 0.1.0
 */
public final class MethodPattern {

	private static final String EVERYTHING = "**";

	private final String pattern;

	private final boolean everything;

	private final String service;

	private final String method;

	private MethodPattern(String pattern, boolean everything, String service, String method) {
		this.pattern = pattern;
		this.everything = everything;
		this.service = service;
		this.method = method;
	}

	/**
	 * Reads a pattern.
	 * @param pattern the pattern, as users write it
	 * @return the pattern
	 * @throws IllegalArgumentException if it cannot match any method as it is written;
	 * the message is a sentence that says why
	 */
	public static MethodPattern parse(String pattern) {
		if (pattern.equals(EVERYTHING)) {
			return new MethodPattern(pattern, true, "", "");
		}
		if (pattern.isEmpty()) {
			throw new IllegalArgumentException(
					"A method pattern is empty: write package.Service/Method, or ** for all");
		}
		if (pattern.contains(EVERYTHING)) {
			throw bad(pattern, "** stands alone; inside a name a single * is meant");
		}
		int slash = pattern.indexOf('/');
		if (slash < 0) {
			throw bad(pattern, "it has no slash; write package.Service/Method, package.Service/* or **");
		}
		if (slash == 0) {
			throw bad(pattern,
					"there is no service before its slash; write package.Service/Method without a leading /");
		}
		if (slash == pattern.length() - 1) {
			throw bad(pattern, "there is no method after its slash; write " + pattern + "* for all of them");
		}
		if (pattern.indexOf('/', slash + 1) >= 0) {
			throw bad(pattern, "it has more than one slash");
		}
		for (int i = 0; i < pattern.length(); i++) {
			char c = pattern.charAt(i);
			if (i != slash && c != '*' && c != '.' && c != '-' && !Character.isJavaIdentifierPart(c)) {
				throw bad(pattern, "'" + c + "' is not part of any method name; only * is a wildcard");
			}
		}
		return new MethodPattern(pattern, false, pattern.substring(0, slash), pattern.substring(slash + 1));
	}

	private static IllegalArgumentException bad(String pattern, String why) {
		return new IllegalArgumentException("'" + pattern + "' is not a method pattern: " + why);
	}

	/**
	 * Whether this names the method. Methods that the server does not have are matched by
	 * {@code **} alone.
	 * @param method a method, or the stand-in for unknown ones
	 * @return whether it matches
	 */
	public boolean matches(SecuredMethod method) {
		return this.everything || (!method.unknown() && matches(method.fullName()));
	}

	/**
	 * Whether this names the method.
	 * @param fullMethodName {@code package.Service/Method}, without a leading slash
	 * @return whether it matches
	 */
	public boolean matches(String fullMethodName) {
		if (this.everything) {
			return true;
		}
		int slash = fullMethodName.indexOf('/');
		return slash > 0 && fullMethodName.indexOf('/', slash + 1) < 0
				&& matches(this.service, fullMethodName, 0, slash)
				&& matches(this.method, fullMethodName, slash + 1, fullMethodName.length());
	}

	/** Goes back to the last wildcard only, so the time is bounded by a product. */
	private static boolean matches(String glob, String text, int start, int end) {
		int g = 0;
		int t = start;
		int star = -1;
		int resume = start;
		while (t < end) {
			if (g < glob.length() && glob.charAt(g) == '*') {
				star = g++;
				resume = t;
			}
			else if (g < glob.length() && glob.charAt(g) == text.charAt(t)) {
				g++;
				t++;
			}
			else if (star >= 0) {
				g = star + 1;
				t = ++resume;
			}
			else {
				return false;
			}
		}
		while (g < glob.length() && glob.charAt(g) == '*') {
			g++;
		}
		return g == glob.length();
	}

	@Override
	public boolean equals(Object other) {
		return other instanceof MethodPattern that && this.pattern.equals(that.pattern);
	}

	@Override
	public int hashCode() {
		return this.pattern.hashCode();
	}

	/** The pattern as it was written. */
	@Override
	public String toString() {
		return this.pattern;
	}

}
