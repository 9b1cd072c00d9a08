package io.github.grpcsecurity.authorization;

/**
 * Who may call a method for which no expression decides.
 *
 * @since 0.1.0
 */
public enum Access {

	/** Nobody. */
	DENY,

	/** Every caller who is known. */
	AUTHENTICATED,

	/** Everybody, also without credentials. */
	PERMIT

}
