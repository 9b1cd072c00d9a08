package io.github.grpcsecurity.ratelimit;

import io.github.grpcsecurity.server.SecuredCall;

/**
 * What the audit events of a call say about limits.
 */
final class LimitNotes {

	private static final String RULE = "rate_limit.rule";

	private static final String SHADOW = "rate_limit.shadow";

	private static final String FALLBACK = "rate_limit.fallback";

	private LimitNotes() {
	}

	/** A rule refused the call or a message of it. */
	static void refused(SecuredCall call, String rule) {
		call.note(RULE, rule);
	}

	/** A rule would have refused it: there may be several, of several stages. */
	static void shadow(SecuredCall call, String rule) {
		call.noteAlso(SHADOW, rule);
	}

	/** It was decided without the store of permits. */
	static void fallback(SecuredCall call) {
		call.note(FALLBACK, "true");
	}

}
