package io.github.grpcsecurity.hardening;

import io.grpc.ServerBuilder;
import io.grpc.netty.shaded.io.grpc.netty.NettyServerBuilder;

/** Limits that only a server on shaded Netty knows. Loaded only if that is there. */
final class ShadedNettyLimits {

	private ShadedNettyLimits() {
	}

	static void configure(ServerBuilder<?> builder, ConnectionLimits limits) {
		NettyServerBuilder netty = (NettyServerBuilder) builder;
		netty.maxConcurrentCallsPerConnection(limits.maxConcurrentCallsPerConnection());
		netty.maxRstFramesPerWindow(limits.maxResetFrames(), (int) limits.maxResetFramesPeriod().toSeconds());
		int soft = limits.maxInboundMetadataSize();
		if (limits.hardInboundMetadataSize() > soft) {
			netty.maxInboundMetadataSize(soft, limits.hardInboundMetadataSize());
		}
		else {
			netty.maxInboundMetadataSize(soft);
		}
	}

}
