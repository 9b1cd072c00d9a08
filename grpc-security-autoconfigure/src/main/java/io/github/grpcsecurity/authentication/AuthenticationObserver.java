package io.github.grpcsecurity.authentication;

import io.github.grpcsecurity.server.Refusal;
import io.github.grpcsecurity.server.SecuredCall;

/**
 * Hears how the authentication of each call ends.
 * <p>
 * Called by many threads at once, on the thread of the call, before the call goes on;
 * must neither block nor throw. Calls that an {@link AuthenticationGate} refused are not
 * reported.
 *
 * @since 0.1.0
 */
public interface AuthenticationObserver {

	/**
	 * All credentials of a call were good, or there were none.
	 * @param call the call; it knows its caller
	 */
	void authenticated(SecuredCall call);

	/**
	 * A credential was bad, or could not be verified.
	 * @param call the call
	 * @param refusal why it is refused
	 */
	void refused(SecuredCall call, Refusal refusal);

}
