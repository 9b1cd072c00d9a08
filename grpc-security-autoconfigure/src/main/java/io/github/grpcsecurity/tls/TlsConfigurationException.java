package io.github.grpcsecurity.tls;

import org.jspecify.annotations.Nullable;

/**
 * TLS cannot be set up as configured. Says what is wrong and how to put it right, and
 * holds no secret.
 *
 * @since 0.1.0
 */
public final class TlsConfigurationException extends RuntimeException {

	private static final long serialVersionUID = 1L;

	private final String wayOut;

	/**
	 * Creates an exception without a cause.
	 * @param problem a sentence that says what is wrong and names the property
	 * @param wayOut what the reader can do about it
	 */
	public TlsConfigurationException(String problem, String wayOut) {
		this(problem, wayOut, null);
	}

	/**
	 * Creates an exception.
	 * @param problem a sentence that says what is wrong and names the property
	 * @param wayOut what the reader can do about it
	 * @param cause what led to it, if anything
	 */
	public TlsConfigurationException(String problem, String wayOut, @Nullable Throwable cause) {
		super(problem, cause);
		this.wayOut = wayOut;
	}

	/**
	 * How to put it right.
	 * @return one or more sentences
	 */
	public String wayOut() {
		return this.wayOut;
	}

}
