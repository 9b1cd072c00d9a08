package io.github.grpcsecurity.remote;

import java.io.IOException;

/**
 * The other side answered, with another status than 200.
 *
 * @since 0.1.0
 */
public final class HttpStatusException extends IOException {

	private static final long serialVersionUID = 1L;

	private final int status;

	/**
	 * Creates an exception.
	 * @param status the status of the answer
	 */
	public HttpStatusException(int status) {
		super("HTTP status " + status);
		this.status = status;
	}

	/**
	 * The status of the answer.
	 * @return the number
	 */
	public int status() {
		return this.status;
	}

	/**
	 * Whether the service is up and only does not want what it was sent: too long, or not
	 * in the form it expects. A caller can bring that about, so it says nothing about
	 * what the service does with the requests of others.
	 * @return whether that is what the status says
	 */
	public boolean aboutRequest() {
		return switch (this.status) {
			case 400, 413, 414, 415, 422, 431 -> true;
			default -> false;
		};
	}

}
