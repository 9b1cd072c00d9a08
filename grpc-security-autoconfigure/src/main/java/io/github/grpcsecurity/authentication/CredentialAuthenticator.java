package io.github.grpcsecurity.authentication;

import java.util.Set;

import io.github.grpcsecurity.server.SecuredCall;
import io.github.grpcsecurity.server.VerifiedCredential;
import org.jspecify.annotations.Nullable;

/**
 * Verifies one kind of credential, such as bearer tokens or API keys.
 * <p>
 * A bean of this type takes part in the authentication of every call. All of them are
 * asked, in the order of their beans: every good credential adds to the caller, and one
 * bad credential fails the call, however good the others are. It is called by many
 * threads at once and must not block: what has to ask over the network answers
 * {@link CredentialResult#pending}. Secrets outside the {@code authorization} entry must
 * only be taken from {@linkplain SecuredCall#confidential() confidential} calls.
 *
 * @since 0.1.0
 */
public interface CredentialAuthenticator {

	/**
	 * The kinds of credential that this one verifies, by which requirements ask for them.
	 * @return every {@link VerifiedCredential#kind()} that it may answer with
	 */
	Set<String> kinds();

	/**
	 * The headers, other than {@code authorization}, that carry this kind of credential.
	 * They are hidden from handlers.
	 * @return names of headers in lower case; empty unless overridden
	 */
	default Set<String> headers() {
		return Set.of();
	}

	/**
	 * Whether the credentials in the {@code authorization} header are of this kind. A
	 * call whose header no authenticator supports is refused.
	 * @param authorization the one {@code authorization} entry of the call
	 * @return {@code true} to answer for it in {@link #authenticate}; never for kinds
	 * that come from elsewhere, such as certificates
	 */
	default boolean supports(AuthorizationHeader authorization) {
		return false;
	}

	/**
	 * Looks for credentials of this kind and verifies them.
	 * @param call the call
	 * @param authorization the {@code authorization} entry of the call when this
	 * authenticator {@linkplain #supports supports} it, {@code null} otherwise
	 * @return what was found; {@link CredentialResult#absent()} when the call carries no
	 * credentials of this kind
	 */
	CredentialResult authenticate(SecuredCall call, @Nullable AuthorizationHeader authorization);

}
