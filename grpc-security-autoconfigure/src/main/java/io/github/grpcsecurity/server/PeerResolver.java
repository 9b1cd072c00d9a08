package io.github.grpcsecurity.server;

import org.jspecify.annotations.Nullable;

/**
 * Finds out on whose behalf the peer of a connection speaks, and takes out headers by
 * which only some peers may say so.
 * <p>
 * It sees each call before everything else does: before the stages, the interceptors and
 * the handler. It is called by many threads at once and must not block. One that throws
 * refuses the call with {@code UNAVAILABLE}.
 *
 * @since 0.1.0
 */
@FunctionalInterface
public interface PeerResolver {

	/**
	 * Looks at a call that starts; may change its headers and call
	 * {@link SecuredCall#forwarded(ForwardedPeer)}.
	 * @param call the call, without an identity yet
	 * @return why to refuse the call; {@code null} to go on
	 */
	@Nullable Refusal resolve(SecuredCall call);

}
