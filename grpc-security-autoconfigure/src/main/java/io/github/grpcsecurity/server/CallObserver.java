package io.github.grpcsecurity.server;

import io.grpc.Status;

/**
 * Learns what was decided about each call and how it really ended.
 * <p>
 * For every call that reaches the server, {@link #decided} is called once and then
 * {@link #closed} once, also for calls that are refused, malformed, cancelled or to
 * unknown methods. Both are called on the threads that carry the calls, transport threads
 * among them: an observer must not block and should not throw; what it throws is logged
 * and changes nothing.
 *
 * @since 0.1.0
 */
public interface CallObserver {

	/**
	 * The call was admitted, refused, or went away before a decision was made.
	 * @param call the call
	 * @param decision the decision
	 */
	default void decided(SecuredCall call, CallDecision decision) {
	}

	/**
	 * The call is over.
	 * @param call the call
	 * @param status the status that the client got, as the transport knows it. A stream
	 * that the client resets right before its deadline counts as
	 * {@code DEADLINE_EXCEEDED}.
	 */
	default void closed(SecuredCall call, Status status) {
	}

}
