package io.github.grpcsecurity.server;

import org.jspecify.annotations.Nullable;

/**
 * Looks at one message from the client before the handler sees it.
 * <p>
 * It is asked for every message, one after the other within a call. The same rules as for
 * {@link CallCheck} hold.
 *
 * @since 0.1.0
 */
@FunctionalInterface
public interface MessageCheck {

	/**
	 * Decides about a message. A refusal ends the call, also one whose handler runs.
	 * @param call the call
	 * @param message the message; {@code null} once, in place of the first message, when
	 * the client ends its stream without sending any
	 * @return the verdict
	 */
	Verdict check(SecuredCall call, @Nullable Object message);

}
