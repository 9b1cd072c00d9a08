package io.github.grpcsecurity.tls;

import java.net.InetAddress;
import java.net.InetSocketAddress;

import io.grpc.ServerBuilder;

/** The two packagings of Netty that gRPC servers run on. */
enum NettyFlavour {

	PLAIN {
		@Override
		ServerBuilder<?> builder() {
			return io.grpc.netty.NettyServerBuilder.forAddress(ANY_PORT);
		}
	},
	SHADED {
		@Override
		ServerBuilder<?> builder() {
			return io.grpc.netty.shaded.io.grpc.netty.NettyServerBuilder.forAddress(ANY_PORT);
		}
	};

	private static final InetSocketAddress ANY_PORT = new InetSocketAddress(InetAddress.getLoopbackAddress(), 0);

	abstract ServerBuilder<?> builder();

}
