package io.github.grpcsecurity.authentication.opaque;

/**
 * A token is not active, or not meant for this server.
 *
 * @since 0.1.0
 */
public final class InactiveTokenException extends RuntimeException {

	private static final long serialVersionUID = 1L;

	/**
	 * Creates an exception without a stack trace: callers can bring it about at will.
	 * @param reason why, for audit and logs; quotes nothing of the token
	 */
	public InactiveTokenException(String reason) {
		super(reason, null, false, false);
	}

}
