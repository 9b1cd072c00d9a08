package io.github.grpcsecurity.tls;

import javax.net.ssl.SSLException;

import io.grpc.ServerBuilder;
import io.grpc.netty.shaded.io.grpc.netty.GrpcSslContexts;
import io.grpc.netty.shaded.io.grpc.netty.NettyServerBuilder;
import io.grpc.netty.shaded.io.netty.handler.ssl.SslContext;
import io.grpc.netty.shaded.io.netty.handler.ssl.SslContextBuilder;
import io.grpc.netty.shaded.io.netty.handler.ssl.SslProvider;

/** TLS for the server on shaded Netty. Loaded only if that is there. */
final class ShadedNettyTls {

	private ShadedNettyTls() {
	}

	static void configure(ServerBuilder<?> builder, TlsCredentials credentials, TlsSettings settings,
			SniCertificates sni, TlsHandshakes handshakes) {
		try {
			((NettyServerBuilder) builder).sslContext(context(credentials, settings, sni, handshakes));
		}
		catch (SSLException | IllegalArgumentException | IllegalStateException ex) {
			throw TransportConfigurer.refused(ex);
		}
	}

	private static SslContext context(TlsCredentials credentials, TlsSettings settings, SniCertificates sni,
			TlsHandshakes handshakes) throws SSLException {
		SslContextBuilder context = SslContextBuilder.forServer(sni.keyManager(credentials))
			.trustManager(handshakes.watch(credentials.trustManager()));
		if (settings.ciphers().isEmpty()) {
			GrpcSslContexts.configure(context);
		}
		else {
			// BoringSSL offers all suites of TLS 1.3 whatever it is told
			GrpcSslContexts.configure(context, SslProvider.JDK).ciphers(settings.ciphers());
		}
		return context.protocols(settings.protocols())
			.clientAuth(io.grpc.netty.shaded.io.netty.handler.ssl.ClientAuth.valueOf(settings.clientAuth().name()))
			.build();
	}

}
