package io.github.grpcsecurity.autoconfigure;

/**
 * Something about the settings of API keys is wrong. Unlike the exceptions of Spring
 * Boot, whose analyzers show the value of the property, this one shows none: what is
 * wrong may be that a key stands there in clear.
 */
final class InvalidApiKeyException extends IllegalArgumentException {

	private static final long serialVersionUID = 1L;

	private final String property;

	InvalidApiKeyException(String property, String reason) {
		super(property + ": " + reason + ".");
		this.property = property;
	}

	/** Which property to change. */
	String property() {
		return this.property;
	}

}
