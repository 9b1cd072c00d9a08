package io.github.grpcsecurity.tls;

import java.security.cert.X509Certificate;
import java.time.Duration;
import java.time.InstantSource;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;

import javax.net.ssl.SNIHostName;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLParameters;
import javax.net.ssl.SSLSocket;
import javax.net.ssl.TrustManager;

import io.github.grpcsecurity.testing.CallType;
import io.github.grpcsecurity.testing.EchoService;
import io.github.grpcsecurity.testing.TestCertificates;
import io.grpc.ManagedChannel;
import io.grpc.Server;
import io.grpc.ServerBuilder;
import io.grpc.Status;
import io.grpc.netty.GrpcSslContexts;
import io.grpc.netty.NettyChannelBuilder;
import io.netty.pkitesting.CertificateBuilder.Algorithm;
import io.netty.pkitesting.X509Bundle;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.MethodSource;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.params.provider.Arguments.arguments;

/** Which certificate clients see that ask for a host. */
class SniIT {

	private final TestCertificates certificates = TestCertificates.create();

	private final TlsCredentials api = credentials("api.bank.example", Algorithm.ecp256);

	private Server server;

	@AfterEach
	void stop() throws InterruptedException {
		this.server.shutdownNow();
		this.server.awaitTermination(10, TimeUnit.SECONDS);
	}

	static Stream<Arguments> servers() {
		// With ciphers of one's own, shaded Netty does without BoringSSL
		List<String> jdk = List.of("TLS_AES_256_GCM_SHA384", "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
				"TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256");
		return Stream.of(arguments(NettyFlavour.PLAIN, List.of(), "TLSv1.3"),
				arguments(NettyFlavour.PLAIN, List.of(), "TLSv1.2"),
				arguments(NettyFlavour.SHADED, List.of(), "TLSv1.3"),
				arguments(NettyFlavour.SHADED, List.of(), "TLSv1.2"), arguments(NettyFlavour.SHADED, jdk, "TLSv1.3"),
				arguments(NettyFlavour.SHADED, jdk, "TLSv1.2"));
	}

	@ParameterizedTest
	@MethodSource("servers")
	void handshakeWhenHostIsAskedForThenItsCertificateIsShown(NettyFlavour flavour, List<String> ciphers,
			String protocol) throws Exception {
		start(flavour, ciphers);

		assertThat(shown("api.bank.example", protocol)).isEqualTo("CN=api.bank.example");
		assertThat(shown("API.bank.example", protocol)).isEqualTo("CN=api.bank.example");
		assertThat(shown("www.bank.example", protocol)).isEqualTo("CN=*.bank.example");
		assertThat(shown("a.b.bank.example", protocol)).isEqualTo("CN=Test server");
		assertThat(shown("localhost", protocol)).isEqualTo("CN=Test server");
		assertThat(shown(null, protocol)).isEqualTo("CN=Test server");
	}

	@ParameterizedTest
	@MethodSource("servers")
	void replaceWhenServerRunsThenNewConnectionsSeeNewCertificate(NettyFlavour flavour, List<String> ciphers,
			String protocol) throws Exception {
		start(flavour, ciphers);

		this.api.replace(material("renewed.bank.example", Algorithm.ecp256));

		assertThat(shown("api.bank.example", protocol)).isEqualTo("CN=renewed.bank.example");
		assertThat(shown("localhost", protocol)).isEqualTo("CN=Test server");
	}

	@ParameterizedTest
	@EnumSource
	void callWhenAuthorityHasItsOwnCertificateThenAllCallTypesSucceed(NettyFlavour flavour) throws Exception {
		start(flavour, List.of());

		for (CallType type : CallType.values()) {
			for (String host : List.of("api.bank.example", "www.bank.example", "localhost")) {
				assertThat(call(host, type)).isEqualTo(Status.Code.OK);
			}
			assertThat(call("bank.example", type)).isEqualTo(Status.Code.UNAVAILABLE);
		}
	}

	private Status.Code call(String host, CallType type) throws Exception {
		ManagedChannel channel = NettyChannelBuilder.forAddress("127.0.0.1", this.server.getPort())
			.overrideAuthority(host)
			.sslContext(GrpcSslContexts.forClient().trustManager(this.certificates.ca().getCertificate()).build())
			.build();
		try {
			return type.call(channel).code();
		}
		finally {
			channel.shutdownNow();
		}
	}

	private String shown(String host, String protocol) throws Exception {
		SSLContext context = SSLContext.getInstance("TLS");
		context.init(null, new TrustManager[] { this.certificates.ca().toTrustManager() }, null);
		try (SSLSocket socket = (SSLSocket) context.getSocketFactory()
			.createSocket("127.0.0.1", this.server.getPort())) {
			socket.setSoTimeout(10_000);
			SSLParameters parameters = socket.getSSLParameters();
			parameters.setApplicationProtocols(new String[] { "h2" });
			parameters.setProtocols(new String[] { protocol });
			if (host != null) {
				parameters.setServerNames(List.of(new SNIHostName(host)));
			}
			socket.setSSLParameters(parameters);
			socket.startHandshake();
			assertThat(socket.getSession().getProtocol()).isEqualTo(protocol);
			return ((X509Certificate) socket.getSession().getPeerCertificates()[0]).getSubjectX500Principal().getName();
		}
	}

	private void start(NettyFlavour flavour, List<String> ciphers) throws Exception {
		TlsSettings settings = new TlsSettings(ClientAuth.NONE, List.of("TLSv1.3", "TLSv1.2"), ciphers,
				Duration.ofSeconds(10));
		Map<String, TlsCredentials> hosts = new LinkedHashMap<>();
		// The other kind of key than the server's own
		hosts.put("*.bank.example", credentials("*.bank.example", Algorithm.rsa2048));
		hosts.put("api.bank.example", this.api);
		TlsMaterial own = material(this.certificates.server());
		ServerBuilder<?> builder = flavour.builder().addService(new EchoService());
		TransportConfigurer
			.tls(new TlsCredentials(() -> own, ClientAuth.NONE, InstantSource.system()), settings,
					new SniCertificates(hosts), List.of())
			.configure(builder);
		this.server = builder.build().start();
	}

	private TlsCredentials credentials(String host, Algorithm algorithm) {
		TlsMaterial material = material(host, algorithm);
		return new TlsCredentials(() -> material, ClientAuth.NONE, InstantSource.system());
	}

	private TlsMaterial material(String host, Algorithm algorithm) {
		return material(this.certificates.issue((builder) -> builder.algorithm(algorithm)
			.subject("CN=" + host)
			.addSanDnsName(host.replace("*", "www"))));
	}

	private static TlsMaterial material(X509Bundle bundle) {
		return new TlsMaterial("test", bundle.getKeyPair().getPrivate(), List.of(bundle.getCertificatePath()),
				List.of());
	}

}
