package io.github.grpcsecurity.authentication;

import io.github.grpcsecurity.server.Refusal;
import io.github.grpcsecurity.server.SecuredCall;
import org.jspecify.annotations.Nullable;

/**
 * Decides whether credentials are looked at at all, so that whoever tries them out pays
 * before crypto is spent on it.
 * <p>
 * Called by many threads at once; must not block.
 *
 * @since 0.1.0
 */
@FunctionalInterface
public interface AuthenticationGate {

	/**
	 * Asked once for each call that presents credentials in a header.
	 * @param call the call, still anonymous
	 * @return why its credentials are not looked at; {@code null} when they may be
	 */
	@Nullable Refusal check(SecuredCall call);

}
