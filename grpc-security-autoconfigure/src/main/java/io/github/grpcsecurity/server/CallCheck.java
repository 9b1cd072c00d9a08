package io.github.grpcsecurity.server;

/**
 * Looks at a call that starts and decides whether it may go on.
 * <p>
 * A check decides; it does not act: it never closes the call. It is called by many
 * threads at once, must not block, and keeps what belongs to one call in that
 * {@link SecuredCall}. A check that throws refuses the call with {@code UNAVAILABLE},
 * except for Spring Security's own exceptions, which keep their meaning.
 *
 * @since 0.1.0
 */
@FunctionalInterface
public interface CallCheck {

	/**
	 * Decides about a call whose handler has not started.
	 * @param call the call
	 * @return the verdict
	 */
	Verdict check(SecuredCall call);

}
