package io.github.grpcsecurity.server;

import io.grpc.Status;

/**
 * Hears when the handler of a call has all that it waits for, and when it has answered:
 * what lies between is the handler's time, which no client can stretch by sending or
 * reading slowly. Called at most once each, on the threads that carry the call; must not
 * block.
 *
 * @since 0.1.0
 */
public interface HandlerObserver {

	/** The client has sent everything, and the handler is about to hear of it. */
	void requested();

	/**
	 * The handler has closed the call, whether its client reads that or not.
	 * @param status what the client gets
	 */
	void answered(Status status);

}
