package io.github.grpcsecurity.hardening;

import java.time.Duration;

/**
 * What one connection may do, as it is in force.
 *
 * @param maxConcurrentCallsPerConnection calls in flight on one connection
 * @param maxInboundMessageSize bytes of a message
 * @param maxInboundMetadataSize bytes of metadata above which calls may be refused
 * @param maxResetFrames streams that a client may reset within the period
 * @param maxResetFramesPeriod period for {@code maxResetFrames}, in whole seconds
 * @param permitKeepAliveTime shortest pause between pings of a client
 * @param permitKeepAliveWithoutCalls whether clients may ping while no call is open
 * @param maxConnectionIdle time without calls after which a connection is closed
 * @param maxConnectionAge age at which a connection is closed
 * @param maxConnectionAgeGrace time that calls get to finish on a connection that is too
 * old
 * @since 0.1.0
 */
public record ConnectionLimits(int maxConcurrentCallsPerConnection, int maxInboundMessageSize,
		int maxInboundMetadataSize, int maxResetFrames, Duration maxResetFramesPeriod, Duration permitKeepAliveTime,
		boolean permitKeepAliveWithoutCalls, Duration maxConnectionIdle, Duration maxConnectionAge,
		Duration maxConnectionAgeGrace) {

	/**
	 * Bytes of metadata above which every call is refused, with HTTP status 431 and no
	 * status of gRPC.
	 * @return twice what is asked for, so that gRPC can answer properly in between
	 */
	public int hardInboundMetadataSize() {
		return (int) Math.min(2L * this.maxInboundMetadataSize, Integer.MAX_VALUE);
	}

}
