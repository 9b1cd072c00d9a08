package io.github.grpcsecurity.ratelimit;

import java.util.Collection;
import java.util.List;
import java.util.TreeSet;

/**
 * A rule names methods that the server does not have.
 *
 * @since 0.1.0
 */
public final class UnmatchedMethodPatternException extends IllegalStateException {

	private static final long serialVersionUID = 1L;

	private final String[] methods;

	UnmatchedMethodPatternException(String rule, String pattern, Collection<String> methods) {
		super("grpc.security.rate-limit.rules: the rule '" + rule + "' is for methods '" + pattern
				+ "', but this server has no such method.");
		this.methods = new TreeSet<>(methods).toArray(String[]::new);
	}

	/**
	 * The methods that the server has.
	 * @return their full names, sorted
	 */
	public List<String> methods() {
		return List.of(this.methods);
	}

}
