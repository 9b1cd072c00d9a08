package io.github.grpcsecurity.authorization;

import org.jspecify.annotations.Nullable;

/**
 * A security annotation on a service would not do what it says, so the server does not
 * start.
 *
 * @since 0.1.0
 */
public final class UnenforceableAnnotationException extends RuntimeException {

	private static final long serialVersionUID = 1L;

	private final String action;

	UnenforceableAnnotationException(String description, String action) {
		this(description, action, null);
	}

	UnenforceableAnnotationException(String description, String action, @Nullable Throwable cause) {
		super(description, cause);
		this.action = action;
	}

	/**
	 * What can be done about it.
	 * @return a sentence for the operator
	 */
	public String action() {
		return this.action;
	}

}
