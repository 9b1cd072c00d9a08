package io.github.grpcsecurity.authentication;

import io.github.grpcsecurity.server.Refusal;
import io.github.grpcsecurity.server.VerifiedCredential;
import org.jspecify.annotations.Nullable;

/**
 * Has a say about credentials that are good by themselves, such as whether they have been
 * revoked.
 * <p>
 * A bean of this type is asked about each credential of each call, also when the
 * credential was verified for an earlier call and kept, and again about those of open
 * calls when something has changed. Called by many threads at once; must not block. One
 * that throws refuses the call that starts, and leaves alone the calls that are open.
 *
 * @since 0.1.0
 */
@FunctionalInterface
public interface CredentialCheck {

	/**
	 * Decides about one credential.
	 * @param credential a credential that was found good
	 * @return why its calls are refused; {@code null} when they are not. Calls that are
	 * open end only if the kind of the refusal is {@link Refusal.Kind#UNAUTHENTICATED}:
	 * not being able to decide ends none.
	 */
	@Nullable Refusal check(VerifiedCredential credential);

}
