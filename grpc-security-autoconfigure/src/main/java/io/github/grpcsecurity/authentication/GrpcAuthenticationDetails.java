package io.github.grpcsecurity.authentication;

import io.github.grpcsecurity.server.SecuredCall;
import org.jspecify.annotations.Nullable;

/**
 * Where the credentials of a call came from: the details of its {@code Authentication},
 * as {@code WebAuthenticationDetails} are for web requests.
 *
 * @param peer the IP address of the peer, or what else the transport calls it
 * @param authority the host that the client meant to call
 * @since 0.1.0
 */
public record GrpcAuthenticationDetails(String peer, @Nullable String authority) {

	/**
	 * The details of a call.
	 * @param call the call
	 * @return its details
	 */
	public static GrpcAuthenticationDetails of(SecuredCall call) {
		return new GrpcAuthenticationDetails(call.peer(), call.authority());
	}

}
