package io.github.grpcsecurity.autoconfigure.devh;

import java.net.InetSocketAddress;
import java.util.List;

import com.google.common.net.InetAddresses;
import io.github.grpcsecurity.tls.AltsTransport;
import io.grpc.netty.shaded.io.grpc.netty.NettyServerBuilder;
import net.devh.boot.grpc.server.config.GrpcServerProperties;
import net.devh.boot.grpc.server.serverfactory.GrpcServerConfigurer;
import net.devh.boot.grpc.server.serverfactory.ShadedNettyGrpcServerFactory;

/**
 * Makes servers like the usual factory does, but from builders that speak ALTS: no
 * configurer could put it on a builder later.
 */
final class AltsGrpcServerFactory extends ShadedNettyGrpcServerFactory {

	private final AltsTransport transport;

	AltsGrpcServerFactory(GrpcServerProperties properties, List<GrpcServerConfigurer> configurers,
			AltsTransport transport) {
		super(properties, configurers);
		this.transport = transport;
	}

	@Override
	protected NettyServerBuilder newServerBuilder() {
		String address = getAddress();
		if (GrpcServerProperties.ANY_IP_ADDRESS.equals(address)) {
			return this.transport.newServerBuilder(getPort());
		}
		return this.transport.newServerBuilder(new InetSocketAddress(InetAddresses.forString(address), getPort()));
	}

}
