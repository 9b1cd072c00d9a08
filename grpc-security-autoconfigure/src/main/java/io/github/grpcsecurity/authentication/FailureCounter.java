package io.github.grpcsecurity.authentication;

import java.time.Duration;

import io.github.grpcsecurity.server.SecuredCall;
import org.jspecify.annotations.Nullable;

/**
 * Counts the failed attempts of each peer to authenticate. Called by many threads at
 * once; must not block.
 *
 * @since 0.1.0
 */
public interface FailureCounter {

	/**
	 * Whether the peer of a call has failed too often. Asking counts nothing.
	 * @param call the call
	 * @return after what time it may try again; {@code null} if it may now
	 */
	@Nullable Duration retryAfter(SecuredCall call);

	/**
	 * The peer of a call has failed once more.
	 * @param call the call
	 */
	void failed(SecuredCall call);

}
