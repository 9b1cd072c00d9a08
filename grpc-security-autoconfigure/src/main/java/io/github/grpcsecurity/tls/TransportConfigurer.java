package io.github.grpcsecurity.tls;

import java.time.Duration;
import java.util.List;
import java.util.concurrent.TimeUnit;

import io.github.grpcsecurity.server.ServerBuilderConfigurer;
import io.grpc.ServerBuilder;
import org.jspecify.annotations.Nullable;

/**
 * Puts TLS on the builder of a network server, or sees to it that it speaks ALTS;
 * in-process servers are left alone.
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

	private final SniCertificates sni;

	private final TlsHandshakes handshakes;

	private final @Nullable AltsTransport alts;

	private TransportConfigurer(@Nullable TlsCredentials credentials, @Nullable TlsSettings settings,
			Duration handshakeTimeout, SniCertificates sni, TlsHandshakes handshakes, @Nullable AltsTransport alts) {
		this.credentials = credentials;
		this.settings = settings;
		this.handshakeTimeout = handshakeTimeout;
		this.sni = sni;
		this.handshakes = handshakes;
		this.alts = alts;
	}

	/**
	 * Serves TLS.
	 * @param credentials key, certificates and trust anchors
	 * @param settings how TLS is spoken
	 * @return a configurer
	 */
	public static TransportConfigurer tls(TlsCredentials credentials, TlsSettings settings) {
		return tls(credentials, settings, SniCertificates.none(), List.of());
	}

	/**
	 * Serves TLS, with other certificates for certain hosts.
	 * @param credentials key, certificates and trust anchors
	 * @param settings how TLS is spoken
	 * @param sni certificates for those who ask for certain hosts
	 * @param listeners learn how handshakes end
	 * @return a configurer
	 */
	public static TransportConfigurer tls(TlsCredentials credentials, TlsSettings settings, SniCertificates sni,
			List<TlsHandshakeListener> listeners) {
		return new TransportConfigurer(credentials, settings, settings.handshakeTimeout(), sni,
				new TlsHandshakes(listeners), null);
	}

	/**
	 * Serves ALTS.
	 * @param transport made the builders of the servers; others are refused
	 * @param handshakeTimeout how long a client may take until it is connected
	 * @return a configurer
	 */
	public static TransportConfigurer alts(AltsTransport transport, Duration handshakeTimeout) {
		return new TransportConfigurer(null, null, handshakeTimeout, SniCertificates.none(),
				new TlsHandshakes(List.of()), transport);
	}

	/**
	 * Leaves it to the server whether it serves TLS, and only bounds how long a client
	 * may take to connect.
	 * @param handshakeTimeout how long a client may take until it is connected
	 * @return a configurer
	 */
	public static TransportConfigurer asConfiguredByServer(Duration handshakeTimeout) {
		return new TransportConfigurer(null, null, handshakeTimeout, SniCertificates.none(),
				new TlsHandshakes(List.of()), null);
	}

	/**
	 * The credentials that this library serves TLS with.
	 * @return {@code null} if the server has its own, or none
	 */
	public @Nullable TlsCredentials credentials() {
		return this.credentials;
	}

	/**
	 * The certificates for certain hosts.
	 * @return none unless this library serves TLS
	 */
	public SniCertificates sniCertificates() {
		return this.sni;
	}

	@Override
	public void configure(ServerBuilder<?> builder) {
		// By name: each Netty is optional, and the class of an absent one must not load
		String type = builder.getClass().getName();
		if (type.equals(IN_PROCESS)) {
			return;
		}
		if (this.alts != null && !this.alts.made(builder)) {
			throw new TlsConfigurationException(
					"grpc.security.transport is 'alts', but the gRPC server is built with a " + type
							+ " that does not speak it.",
					"Use net.devh:grpc-server-spring-boot-starter, without a GrpcServerFactory bean of your own, or take "
							+ "the builder of the server from the AltsTransport bean.");
		}
		boolean netty = type.equals(NETTY);
		boolean shaded = type.equals(SHADED_NETTY);
		TlsCredentials tls = this.credentials;
		TlsSettings how = this.settings;
		if (tls != null && how != null) {
			if (netty) {
				NettyTls.configure(builder, tls, how, this.sni, this.handshakes);
			}
			else if (shaded) {
				ShadedNettyTls.configure(builder, tls, how, this.sni, this.handshakes);
			}
			else {
				throw new TlsConfigurationException(
						"The gRPC server is built with " + type + ", on which TLS cannot be set up.",
						"Use a server on io.grpc:grpc-netty or io.grpc:grpc-netty-shaded. If TLS ends elsewhere, "
								+ "set grpc.security.transport=plaintext and listen on a loopback address.");
			}
			this.handshakes.watch(builder);
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
