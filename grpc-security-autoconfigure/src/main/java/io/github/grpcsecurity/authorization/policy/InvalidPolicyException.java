package io.github.grpcsecurity.authorization.policy;

import org.jspecify.annotations.Nullable;

/**
 * A policy that cannot be used as it is.
 *
 * @since 0.1.0
 */
@SuppressWarnings("serial")
public final class InvalidPolicyException extends RuntimeException {

	private final String pointer;

	private final String problem;

	private final String wayOut;

	InvalidPolicyException(String pointer, String problem, String wayOut) {
		this(pointer, problem, wayOut, null);
	}

	InvalidPolicyException(String pointer, String problem, String wayOut, @Nullable Throwable cause) {
		super((pointer.isEmpty() ? "The policy: " : pointer + ": ") + problem + " " + wayOut, cause);
		this.pointer = pointer;
		this.problem = problem;
		this.wayOut = wayOut;
	}

	/**
	 * Where in the policy the problem is.
	 * @return a JSON pointer (RFC 6901); empty for the policy as a whole
	 */
	public String pointer() {
		return this.pointer;
	}

	/**
	 * What is wrong.
	 * @return a sentence
	 */
	public String problem() {
		return this.problem;
	}

	/**
	 * What to do about it.
	 * @return a sentence
	 */
	public String wayOut() {
		return this.wayOut;
	}

}
