package io.github.grpcsecurity.tls;

import java.time.Duration;
import java.util.concurrent.TimeUnit;

import io.github.grpcsecurity.server.ServerBuilderConfigurer;
import io.grpc.ServerBuilder;
import org.jspecify.annotations.Nullable;

/**
 * Puts TLS on the builder of a network server; in-process servers are left alone.
 *
 * @since 0.1.0
 */
public final class TransportConfigurer implements ServerBuilderConfigurer {

	private static final String NETTY = "io.grpc.netty.NettyServerBuilder";

	private static final String SHADED_NETTY = "io.grpc.netty.shaded.io.grpc.netty.NettyServerBuilder";

	private static final String IN_PROCESS = "io.grpc.inprocess.InProcessServerBuilder";

	private final @Nullable TlsCredentials credentials;

	private final @Nullable TlsSettings settings;

	private final Duration handshakeTimeout;

	private TransportConfigurer(@Nullable TlsCredentials credentials, @Nullable TlsSettings settings,
			Duration handshakeTimeout) {
		this.credentials = credentials;
		this.settings = settings;
		this.handshakeTimeout = handshakeTimeout;
	}

	/**
	 * Serves TLS.
	 * @param credentials key, certificates and trust anchors
	 * @param settings how TLS is spoken
	 * @return a configurer
	 */
	public static TransportConfigurer tls(TlsCredentials credentials, TlsSettings settings) {
		return new TransportConfigurer(credentials, settings, settings.handshakeTimeout());
	}

	/**
	 * Leaves it to the server whether it serves TLS, and only bounds how long a client
	 * may take to connect.
	 * @param handshakeTimeout how long a client may take until it is connected
	 * @return a configurer
	 */
	public static TransportConfigurer asConfiguredByServer(Duration handshakeTimeout) {
		return new TransportConfigurer(null, null, handshakeTimeout);
	}

	/**
	 * The credentials that this library serves TLS with.
	 * @return {@code null} if the server has its own, or none
	 */
	public @Nullable TlsCredentials credentials() {
		return this.credentials;
	}

	@Override
	public void configure(ServerBuilder<?> builder) {
		// By name: each Netty is optional, and the class of an absent one must not load
		String type = builder.getClass().getName();
		if (type.equals(IN_PROCESS)) {
			return;
		}
		boolean netty = type.equals(NETTY);
		boolean shaded = type.equals(SHADED_NETTY);
		TlsCredentials tls = this.credentials;
		TlsSettings how = this.settings;
		if (tls != null && how != null) {
			if (netty) {
				NettyTls.configure(builder, tls, how);
			}
			else if (shaded) {
				ShadedNettyTls.configure(builder, tls, how);
			}
			else {
				throw new TlsConfigurationException(
						"The gRPC server is built with " + type + ", on which TLS cannot be set up.",
						"Use a server on io.grpc:grpc-netty or io.grpc:grpc-netty-shaded. If TLS ends elsewhere, "
								+ "set grpc.security.transport=plaintext and listen on a loopback address.");
			}
		}
		if (netty || shaded) {
			builder.handshakeTimeout(this.handshakeTimeout.toMillis(), TimeUnit.MILLISECONDS);
		}
	}

	static TlsConfigurationException refused(Exception cause) {
		return new TlsConfigurationException("Netty refuses the settings of TLS: " + cause.getMessage(),
				"Review grpc.security.tls.*. If the server has TLS settings of its own, use one of the two.", cause);
	}

}
