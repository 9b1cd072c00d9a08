package io.github.grpcsecurity.autoconfigure;

/**
 * There is a setting that nothing reads. Unlike the exceptions of Spring Boot, whose
 * analyzers show the value of the property, this one shows none: what is misspelt may be
 * the name of a secret.
 */
final class UnsupportedSettingException extends IllegalArgumentException {

	private static final long serialVersionUID = 1L;

	private final String property;

	UnsupportedSettingException(String property) {
		super(property + " is not supported by this version, and to ignore it might let calls pass that it is meant"
				+ " to refuse.");
		this.property = property;
	}

	/** Which property to remove. */
	String property() {
		return this.property;
	}

}
