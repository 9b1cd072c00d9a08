package io.github.grpcsecurity.tls;

import java.net.SocketAddress;
import java.nio.file.Path;
import java.util.Collections;
import java.util.Set;
import java.util.WeakHashMap;

import io.grpc.ServerBuilder;
import io.grpc.ServerCredentials;
import io.grpc.alts.AltsServerCredentials;
import io.grpc.netty.shaded.io.grpc.netty.NettyServerBuilder;

/**
 * Makes builders of servers that speak ALTS, Google Cloud's own transport security.
 * <p>
 * Credentials cannot be put on a builder that exists already, so the builder itself has
 * to come from here; {@link TransportConfigurer} refuses any other one.
 *
 * @since 0.1.0
 */
public final class AltsTransport {

	private final ServerCredentials credentials;

	/** Builders compare by identity. */
	private final Set<ServerBuilder<?>> builders = Collections
		.synchronizedSet(Collections.newSetFromMap(new WeakHashMap<>()));

	/**
	 * Speaks ALTS with these credentials, wherever the server runs: for a handshaker
	 * service of one's own. A bean made with this takes the place of the one that looks
	 * for Google Cloud.
	 * @param credentials what {@link AltsServerCredentials} built
	 */
	public AltsTransport(ServerCredentials credentials) {
		this.credentials = credentials;
	}

	/**
	 * Speaks ALTS with the identity that Google Cloud has given to this machine.
	 * @return the transport
	 * @throws TlsConfigurationException if this is no Linux machine of Google Cloud.
	 * Without this check the server would start, and then turn every client away.
	 */
	public static AltsTransport onGoogleCloud() {
		return onGoogleCloud(GoogleCloud.PRODUCT_NAME);
	}

	static AltsTransport onGoogleCloud(Path productName) {
		if (!GoogleCloud.isHere(productName)) {
			throw new TlsConfigurationException(
					"grpc.security.transport is 'alts', but this is no Linux machine of Google Cloud (" + productName
							+ " does not say so), and ALTS works nowhere else.",
					"Run the server on Google Cloud. Elsewhere, remove grpc.security.transport and set up TLS with "
							+ "grpc.security.tls.*.");
		}
		return new AltsTransport(AltsServerCredentials.create());
	}

	/**
	 * Starts to build a server that speaks ALTS.
	 * @param address where it listens
	 * @return a new builder
	 */
	public NettyServerBuilder newServerBuilder(SocketAddress address) {
		return remember(NettyServerBuilder.forAddress(address, this.credentials));
	}

	/**
	 * Starts to build a server that speaks ALTS on all addresses of the machine.
	 * @param port where it listens
	 * @return a new builder
	 */
	public NettyServerBuilder newServerBuilder(int port) {
		return remember(NettyServerBuilder.forPort(port, this.credentials));
	}

	private NettyServerBuilder remember(NettyServerBuilder builder) {
		this.builders.add(builder);
		return builder;
	}

	boolean made(ServerBuilder<?> builder) {
		return this.builders.contains(builder);
	}

}
