package io.github.grpcsecurity.authorization;

import io.github.grpcsecurity.server.SecuredCall;
import org.jspecify.annotations.Nullable;

/**
 * The condition of a rule, compiled for one method. It is asked after the access of the
 * rule has allowed a call, so it never lets pass what that refuses.
 * <p>
 * Implementations are thread-safe, do not block and do not throw.
 *
 * @since 0.1.0
 */
public interface RuleCondition {

	/**
	 * Decides what can be decided when a call starts.
	 * @param call the call
	 * @return {@link Answer#TRUE} if nothing speaks against it so far
	 */
	Answer ask(SecuredCall call);

	/**
	 * Whether part of the condition is about the message.
	 * @return whether {@link #ask(SecuredCall, Object)} is asked as well
	 */
	boolean looksAtMessages();

	/**
	 * Decides about one message.
	 * @param call the call
	 * @param message the message; {@code null} if the client ends its stream without one
	 * @return whether the message may reach the handler
	 */
	Answer ask(SecuredCall call, @Nullable Object message);

	/** What a condition can say. Only {@link #TRUE} lets a call go on. */
	enum Answer {

		/** It holds. */
		TRUE,

		/** It does not hold. */
		FALSE,

		/** It cannot be evaluated, as when it reads a key that is not there. */
		FAILED

	}

}
