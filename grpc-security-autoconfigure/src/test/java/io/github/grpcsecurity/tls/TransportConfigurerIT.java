package io.github.grpcsecurity.tls;

import java.io.IOException;
import java.net.Socket;
import java.net.SocketTimeoutException;
import java.nio.file.Path;
import java.security.cert.X509Certificate;
import java.time.Duration;
import java.time.InstantSource;
import java.util.List;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;

import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLException;
import javax.net.ssl.SSLPeerUnverifiedException;
import javax.net.ssl.SSLSession;
import javax.net.ssl.SSLSocket;
import javax.net.ssl.TrustManager;

import io.github.grpcsecurity.testing.CallType;
import io.github.grpcsecurity.testing.EchoService;
import io.github.grpcsecurity.testing.TestCertificates;
import io.grpc.Grpc;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.Server;
import io.grpc.ServerBuilder;
import io.grpc.ServerCall;
import io.grpc.ServerCallHandler;
import io.grpc.ServerInterceptor;
import io.grpc.Status;
import io.grpc.inprocess.InProcessServerBuilder;
import io.grpc.netty.GrpcSslContexts;
import io.grpc.netty.NettyChannelBuilder;
import io.netty.handler.ssl.SslContextBuilder;
import io.netty.handler.ssl.SslProvider;
import io.netty.pkitesting.X509Bundle;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

import org.springframework.boot.test.system.CapturedOutput;
import org.springframework.boot.test.system.OutputCaptureExtension;
import org.springframework.core.io.FileSystemResource;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;
import static org.assertj.core.api.Assertions.assertThatNoException;

@ExtendWith(OutputCaptureExtension.class)
class TransportConfigurerIT {

	@TempDir
	Path directory;

	private TestCertificates certificates;

	private final BlockingQueue<String> peers = new LinkedBlockingQueue<>();

	private @Nullable Server server;

	@BeforeEach
	void makeCertificates() {
		this.certificates = TestCertificates.in(this.directory);
	}

	@AfterEach
	void stop() throws InterruptedException {
		if (this.server != null) {
			this.server.shutdownNow();
			this.server.awaitTermination(10, TimeUnit.SECONDS);
		}
	}

	@ParameterizedTest
	@EnumSource
	void configureWhenClientTrustsServerThenAllCallTypesSucceedOverTls13(NettyFlavour flavour) throws Exception {
		start(flavour, settings(ClientAuth.NONE));

		for (CallType type : CallType.values()) {
			assertThat(call(client(null), type).code()).isEqualTo(Status.Code.OK);
			assertThat(this.peers.poll()).isEqualTo("TLSv1.3 anonymous");
		}
	}

	@ParameterizedTest
	@EnumSource
	void configureWhenClientTrustsAnotherAuthorityThenNoCallArrives(NettyFlavour flavour) throws Exception {
		start(flavour, settings(ClientAuth.NONE));
		SslContextBuilder stranger = GrpcSslContexts.forClient()
			.trustManager(TestCertificates.create().ca().getCertificate());

		assertThat(call(stranger, CallType.UNARY).code()).isEqualTo(Status.Code.UNAVAILABLE);
		assertThat(this.peers).isEmpty();
	}

	@ParameterizedTest
	@EnumSource
	void configureWhenCertificateIsRequiredThenTrustedClientIsKnown(NettyFlavour flavour) throws Exception {
		start(flavour, settings(ClientAuth.REQUIRE));

		assertThat(call(client(this.certificates.client()), CallType.UNARY).code()).isEqualTo(Status.Code.OK);
		assertThat(this.peers.poll()).isEqualTo("TLSv1.3 CN=Test client");
	}

	@ParameterizedTest
	@EnumSource
	void configureWhenCertificateIsRequiredThenClientWithoutOneIsTurnedAway(NettyFlavour flavour) throws Exception {
		start(flavour, settings(ClientAuth.REQUIRE));

		assertThat(call(client(null), CallType.UNARY).code()).isEqualTo(Status.Code.UNAVAILABLE);
		assertThat(this.peers).isEmpty();
	}

	@ParameterizedTest
	@EnumSource
	void configureWhenClientCertificateIsFromAnotherAuthorityThenItIsTurnedAway(NettyFlavour flavour) throws Exception {
		start(flavour, settings(ClientAuth.OPTIONAL));

		assertThat(call(client(TestCertificates.create().client()), CallType.UNARY).code())
			.isEqualTo(Status.Code.UNAVAILABLE);
		assertThat(this.peers).isEmpty();
	}

	@ParameterizedTest
	@EnumSource
	void configureWhenCertificateIsOptionalThenClientWithoutOneIsAnonymous(NettyFlavour flavour, CapturedOutput output)
			throws Exception {
		start(flavour, settings(ClientAuth.OPTIONAL));

		for (CallType type : CallType.values()) {
			assertThat(call(client(null), type).code()).isEqualTo(Status.Code.OK);
			assertThat(this.peers.poll()).isEqualTo("TLSv1.3 anonymous");
		}
		assertThat(output).doesNotContain("SSLPeerUnverifiedException");
		assertThat(call(client(this.certificates.client()), CallType.UNARY).code()).isEqualTo(Status.Code.OK);
		assertThat(this.peers.poll()).isEqualTo("TLSv1.3 CN=Test client");
	}

	@ParameterizedTest
	@EnumSource
	void configureWhenClientSpeaksTls12ThenItIsTurnedAwayByDefault(NettyFlavour flavour) throws Exception {
		start(flavour, settings(ClientAuth.NONE));

		assertThat(call(client(null).protocols("TLSv1.2"), CallType.UNARY).code()).isEqualTo(Status.Code.UNAVAILABLE);
		assertThat(this.peers).isEmpty();
	}

	@ParameterizedTest
	@EnumSource
	void configureWhenTls12IsConfiguredThenBothVersionsAreServed(NettyFlavour flavour) throws Exception {
		start(flavour,
				new TlsSettings(ClientAuth.NONE, List.of("TLSv1.3", "TLSv1.2"), List.of(), Duration.ofSeconds(10)));

		assertThat(call(client(null).protocols("TLSv1.2"), CallType.UNARY).code()).isEqualTo(Status.Code.OK);
		assertThat(this.peers.poll()).isEqualTo("TLSv1.2 anonymous");
		assertThat(call(client(null), CallType.UNARY).code()).isEqualTo(Status.Code.OK);
		assertThat(this.peers.poll()).isEqualTo("TLSv1.3 anonymous");
	}

	@ParameterizedTest
	@EnumSource
	void configureWhenCiphersAreConfiguredThenOthersAreTurnedAway(NettyFlavour flavour) throws Exception {
		start(flavour, new TlsSettings(ClientAuth.NONE, List.of("TLSv1.3"), List.of("TLS_AES_256_GCM_SHA384"),
				Duration.ofSeconds(10)));

		assertThat(call(jdkClient("TLS_AES_256_GCM_SHA384"), CallType.UNARY).code()).isEqualTo(Status.Code.OK);
		assertThat(call(jdkClient("TLS_AES_128_GCM_SHA256"), CallType.UNARY).code()).isEqualTo(Status.Code.UNAVAILABLE);
	}

	@ParameterizedTest
	@EnumSource
	void configureWhenClientStaysSilentThenHandshakeTimeoutDropsIt(NettyFlavour flavour) throws Exception {
		start(flavour, new TlsSettings(ClientAuth.NONE, List.of("TLSv1.3"), List.of(), Duration.ofMillis(200)));

		try (Socket socket = new Socket("127.0.0.1", port())) {
			socket.setSoTimeout(10_000);
			long begin = System.nanoTime();

			assertThat(socket.getInputStream().read()).isEqualTo(-1);
			assertThat(Duration.ofNanos(System.nanoTime() - begin)).isLessThan(Duration.ofSeconds(5));
		}
	}

	@ParameterizedTest
	@EnumSource
	void configureWhenClientDoesNotOfferHttp2ThenItIsTurnedAway(NettyFlavour flavour) throws Exception {
		start(flavour, settings(ClientAuth.NONE));
		SSLContext context = SSLContext.getInstance("TLS");
		context.init(null, new TrustManager[] { this.certificates.ca().toTrustManager() }, null);

		try (SSLSocket socket = (SSLSocket) context.getSocketFactory().createSocket("127.0.0.1", port())) {
			socket.setSoTimeout(10_000);

			// No bytes of HTTP/2, which a server sends first, but the end
			assertThat(readOrEnd(socket)).isEqualTo(-1);
		}
	}

	private static int readOrEnd(SSLSocket socket) {
		try {
			return socket.getInputStream().read();
		}
		catch (SocketTimeoutException ex) {
			throw new AssertionError("The connection stays open", ex);
		}
		catch (IOException ex) {
			return -1;
		}
	}

	@ParameterizedTest
	@EnumSource
	void replaceWhenServerRunsThenNewConnectionsSeeNewMaterial(NettyFlavour flavour) throws Exception {
		TlsCredentials credentials = start(flavour, settings(ClientAuth.REQUIRE));
		TestCertificates others = TestCertificates.create();

		credentials.replace(material(others));

		SslContextBuilder other = GrpcSslContexts.forClient()
			.trustManager(others.ca().getCertificate())
			.keyManager(others.client().getKeyPair().getPrivate(), others.client().getCertificatePath());
		assertThat(call(other, CallType.UNARY).code()).isEqualTo(Status.Code.OK);
		assertThat(call(client(this.certificates.client()), CallType.UNARY).code()).isEqualTo(Status.Code.UNAVAILABLE);
	}

	@ParameterizedTest
	@EnumSource
	void configureWhenMaterialIsInFilesThenEveryFormatServes(NettyFlavour flavour) throws Exception {
		List<ConfiguredTlsMaterial> formats = List.of(
				ConfiguredTlsMaterial.pem(location(this.certificates.serverPem()),
						location(this.certificates.serverKeyPem()), null),
				ConfiguredTlsMaterial.pem(location(this.certificates.serverPem()),
						location(this.certificates.encryptedServerKeyPem("secret")), "secret"),
				ConfiguredTlsMaterial.keyStore(store("PKCS12"), null, null),
				ConfiguredTlsMaterial.keyStore(store("JKS"), "server", null));
		for (ConfiguredTlsMaterial format : formats) {
			start(flavour, settings(ClientAuth.REQUIRE), format.trusting(location(this.certificates.caPem())));

			assertThat(call(client(this.certificates.client()), CallType.UNARY).code()).isEqualTo(Status.Code.OK);
			stop();
		}
	}

	@Test
	void configureWhenServerIsInProcessThenItIsLeftAlone() {
		TlsCredentials credentials = credentials(settings(ClientAuth.NONE));

		assertThatNoException().isThrownBy(() -> TransportConfigurer.tls(credentials, settings(ClientAuth.NONE))
			.configure(InProcessServerBuilder.forName("tls")));
	}

	@Test
	void configureWhenTransportIsUnknownThenFailsAndSaysWhatToUse() {
		TransportConfigurer configurer = TransportConfigurer.tls(credentials(settings(ClientAuth.NONE)),
				settings(ClientAuth.NONE));

		assertThatExceptionOfType(TlsConfigurationException.class)
			.isThrownBy(() -> configurer.configure(new OtherServerBuilder()))
			.withMessage("The gRPC server is built with " + OtherServerBuilder.class.getName()
					+ ", on which TLS cannot be set up.")
			.satisfies((ex) -> assertThat(ex.wayOut()).contains("io.grpc:grpc-netty-shaded"));
	}

	@Test
	void configureWhenServerHasItsOwnTlsThenOtherTransportsPass() {
		assertThatNoException().isThrownBy(() -> TransportConfigurer.asConfiguredByServer(Duration.ofSeconds(1))
			.configure(new OtherServerBuilder()));
	}

	private TlsStore store(String type) {
		return new TlsStore(location(this.certificates.serverKeyStore(type, "secret")), type, "secret");
	}

	private static TlsLocation location(Path file) {
		return new TlsLocation("test", file.toString(), new FileSystemResource(file));
	}

	private TlsSettings settings(ClientAuth clientAuth) {
		return new TlsSettings(clientAuth, List.of("TLSv1.3"), List.of(), Duration.ofSeconds(10));
	}

	private TlsMaterial material(TestCertificates certificates) {
		return new TlsMaterial("test", certificates.server().getKeyPair().getPrivate(),
				List.of(certificates.server().getCertificatePath()), List.of(certificates.ca().getCertificate()));
	}

	private TlsCredentials credentials(TlsSettings settings) {
		return new TlsCredentials(() -> material(this.certificates), settings.clientAuth(), InstantSource.system());
	}

	private TlsCredentials start(NettyFlavour flavour, TlsSettings settings) throws IOException {
		return start(flavour, settings, () -> material(this.certificates));
	}

	private TlsCredentials start(NettyFlavour flavour, TlsSettings settings, TlsMaterialSource source)
			throws IOException {
		TlsCredentials credentials = new TlsCredentials(source, settings.clientAuth(), InstantSource.system());
		ServerBuilder<?> builder = flavour.builder()
			.addService(new EchoService())
			.intercept(new PeerRecorder(this.peers));
		TransportConfigurer.tls(credentials, settings).configure(builder);
		this.server = builder.build().start();
		return credentials;
	}

	private int port() {
		return (this.server != null) ? this.server.getPort() : -1;
	}

	private SslContextBuilder client(@Nullable X509Bundle certificate) {
		SslContextBuilder context = GrpcSslContexts.forClient().trustManager(this.certificates.ca().getCertificate());
		return (certificate != null)
				? context.keyManager(certificate.getKeyPair().getPrivate(), certificate.getCertificatePath()) : context;
	}

	// BoringSSL would offer all suites of TLS 1.3
	private SslContextBuilder jdkClient(String cipher) {
		return GrpcSslContexts.configure(client(null), SslProvider.JDK).ciphers(List.of(cipher));
	}

	private CallType.Outcome call(SslContextBuilder context, CallType type) throws SSLException {
		ManagedChannel channel = NettyChannelBuilder.forAddress("127.0.0.1", port())
			.sslContext(context.build())
			.build();
		try {
			return type.call(channel);
		}
		finally {
			channel.shutdownNow();
		}
	}

	/** Says with which protocol and as whom a call arrived. */
	private record PeerRecorder(BlockingQueue<String> peers) implements ServerInterceptor {

		@Override
		public <ReqT, RespT> ServerCall.Listener<ReqT> interceptCall(ServerCall<ReqT, RespT> call, Metadata headers,
				ServerCallHandler<ReqT, RespT> next) {
			SSLSession session = call.getAttributes().get(Grpc.TRANSPORT_ATTR_SSL_SESSION);
			this.peers.add(session.getProtocol() + " " + peer(session));
			return next.startCall(call, headers);
		}

		private static String peer(SSLSession session) {
			try {
				return ((X509Certificate) session.getPeerCertificates()[0]).getSubjectX500Principal().getName();
			}
			catch (SSLPeerUnverifiedException ex) {
				return "anonymous";
			}
		}

	}

}
