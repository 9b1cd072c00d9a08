package io.github.grpcsecurity.authorization;

/**
 * The condition of a rule cannot be compiled.
 *
 * @since 0.1.0
 */
public final class InvalidConditionException extends RuntimeException {

	private static final long serialVersionUID = 1L;

	/**
	 * Creates an exception.
	 * @param message sentences that say what is wrong and how to put it right
	 */
	public InvalidConditionException(String message) {
		super(message);
	}

}
