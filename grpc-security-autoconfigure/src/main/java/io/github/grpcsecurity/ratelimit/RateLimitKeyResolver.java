package io.github.grpcsecurity.ratelimit;

import io.github.grpcsecurity.server.SecuredCall;
import org.jspecify.annotations.Nullable;

/**
 * Finds whose permits a call takes, in a way of the application's own. A bean of this
 * type is named in a rule by the name of the bean.
 * <p>
 * It is called by many threads at once and must not block. One that throws refuses the
 * call.
 *
 * @since 0.1.0
 */
@FunctionalInterface
public interface RateLimitKeyResolver {

	/**
	 * Finds whose permits a call takes.
	 * @param call the call; its identity is known if {@link #needsIdentity()} says so
	 * @return the key, which may be long, secret, or chosen by the caller: only a hash of
	 * it is kept. {@code null} if the rule does not count the call.
	 */
	@Nullable String resolve(SecuredCall call);

	/**
	 * Whether to count after authentication, so that the caller is known, or before it,
	 * so that a flood costs no crypto.
	 * @return {@code true} unless overridden; the same at every call
	 */
	default boolean needsIdentity() {
		return true;
	}

}
