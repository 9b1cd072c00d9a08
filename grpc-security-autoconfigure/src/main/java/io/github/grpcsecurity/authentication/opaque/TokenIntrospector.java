package io.github.grpcsecurity.authentication.opaque;

import java.util.concurrent.CompletionStage;

import org.springframework.security.oauth2.core.OAuth2AuthenticatedPrincipal;

/**
 * Finds out whether a token is active and whose it is.
 * <p>
 * Called by many threads at once; must not block.
 *
 * @since 0.1.0
 */
@FunctionalInterface
public interface TokenIntrospector {

	/**
	 * Asks about a token.
	 * @param token the token, not longer than the largest that is taken
	 * @return completes with the owner of the token and its attributes; exceptionally
	 * with {@link InactiveTokenException} if the token must not be taken, and with
	 * anything else if nobody can tell now
	 */
	CompletionStage<OAuth2AuthenticatedPrincipal> introspect(String token);

}
