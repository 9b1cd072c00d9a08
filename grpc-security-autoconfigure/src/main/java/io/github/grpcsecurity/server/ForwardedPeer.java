package io.github.grpcsecurity.server;

import java.net.SocketAddress;

import org.jspecify.annotations.Nullable;

/**
 * The client of a call as a trusted proxy describes it: it takes the place of the peer of
 * the connection, who is only the proxy.
 *
 * @param address where the client calls from; {@code null} if the proxy does not tell
 * @param identity whose certificate the proxy has verified; {@code null} if the client
 * showed none
 * @since 0.1.0
 */
public record ForwardedPeer(@Nullable SocketAddress address, @Nullable PeerIdentity identity) {

}
