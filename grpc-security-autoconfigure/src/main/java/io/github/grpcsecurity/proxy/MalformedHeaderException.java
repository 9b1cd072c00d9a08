package io.github.grpcsecurity.proxy;

/** A header of a trusted proxy does not say what it should. */
final class MalformedHeaderException extends Exception {

	private static final long serialVersionUID = 1L;

	/** The message goes to audit, so it quotes nothing of the header. */
	MalformedHeaderException(String message) {
		super(message, null, false, false);
	}

}
