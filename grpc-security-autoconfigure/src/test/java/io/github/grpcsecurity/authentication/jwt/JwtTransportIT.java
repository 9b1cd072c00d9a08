package io.github.grpcsecurity.authentication.jwt;

import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.security.MessageDigest;
import java.security.cert.X509Certificate;
import java.time.InstantSource;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;

import io.github.grpcsecurity.authentication.AuthenticationStage;
import io.github.grpcsecurity.proxy.ProxyHeaders;
import io.github.grpcsecurity.proxy.TrustedProxies;
import io.github.grpcsecurity.server.GrpcSecurityThreads;
import io.github.grpcsecurity.server.GrpcServerSecurity;
import io.github.grpcsecurity.server.SecuredService;
import io.github.grpcsecurity.testing.AltsHandshaker;
import io.github.grpcsecurity.testing.CallType;
import io.github.grpcsecurity.testing.EchoService;
import io.github.grpcsecurity.testing.TestServer;
import io.github.grpcsecurity.tls.AltsTransport;
import io.grpc.Grpc;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.Server;
import io.grpc.Status.Code;
import io.grpc.netty.GrpcSslContexts;
import io.grpc.netty.NettyChannelBuilder;
import io.grpc.netty.NettyServerBuilder;
import io.netty.handler.ssl.ClientAuth;
import io.netty.handler.ssl.SslContext;
import io.netty.handler.ssl.SslContextBuilder;
import io.netty.handler.ssl.SslProvider;
import io.netty.pkitesting.CertificateBuilder;
import io.netty.pkitesting.X509Bundle;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

import static org.assertj.core.api.Assertions.assertThat;

class JwtTransportIT {

	private final GrpcSecurityThreads threads = new GrpcSecurityThreads();

	private final AuthenticationStage stage = AuthenticationStage.builder()
		.authenticators(List.of(JwtCredentialAuthenticator.builder(this.threads)
			.clock(InstantSource.fixed(TestTokens.NOW))
			.issuers(List.of(TestTokens.issuerWithKeys()))
			.build()))
		.build();

	private final EchoService service = new EchoService();

	@AfterEach
	void stopThreads() {
		this.threads.close();
	}

	@ParameterizedTest
	@EnumSource
	void callWhenConnectionIsPlaintextThenEvenAGoodTokenIsRefused(CallType type) {
		try (TestServer server = TestServer.network(this.service, List.of(this.stage))) {
			CallType.Outcome outcome = type.call(server.channel(), TestTokens.bearer(TestTokens.token().sign()), "x");

			assertThat(outcome.code()).isEqualTo(Code.UNAUTHENTICATED);
			assertThat(outcome.status().getDescription()).isEqualTo("authentication failed");
			assertThat(this.service.entered).hasValue(0);
			assertThat(type.call(server.channel()).code()).isEqualTo(Code.OK);
		}
	}

	@Test
	void callWhenConnectionIsTlsThenTokenIsVerifiedAndItsCertificateCompared() throws Exception {
		X509Bundle ca = builder("ca").setIsCertificateAuthority(true).buildSelfSigned();
		X509Bundle serverKey = builder("server").addSanIpAddress("127.0.0.1").buildIssuedBy(ca);
		X509Bundle alice = builder("alice").buildIssuedBy(ca);
		X509Bundle mallory = builder("mallory").buildIssuedBy(ca);
		SslContext serverTls = GrpcSslContexts
			.configure(SslContextBuilder.forServer(serverKey.getKeyPair().getPrivate(), serverKey.getCertificate()),
					SslProvider.JDK)
			.trustManager(ca.getCertificate())
			.clientAuth(ClientAuth.OPTIONAL)
			.build();
		TestTokens.Token bound = TestTokens.token()
			.claim("cnf", Map.of("x5t#S256", thumbprint(alice.getCertificate())));
		try (TestServer server = TestServer.network(this.service, (security) -> security.stages(List.of(this.stage)),
				(builder) -> ((NettyServerBuilder) builder).sslContext(serverTls))) {
			for (CallType type : CallType.values()) {
				assertThat(call(server, ca, null, type, TestTokens.token())).isEqualTo(Code.OK);
				assertThat(call(server, ca, null, type, TestTokens.token().claim("aud", "x")))
					.isEqualTo(Code.UNAUTHENTICATED);
			}
			for (CallType type : CallType.values()) {
				// Known from now on: it must not be less well guarded for that
				assertThat(call(server, ca, alice, type, bound)).isEqualTo(Code.OK);
				assertThat(call(server, ca, mallory, type, bound)).isEqualTo(Code.UNAUTHENTICATED);
				assertThat(call(server, ca, null, type, bound)).isEqualTo(Code.UNAUTHENTICATED);
				assertThat(call(server, ca, alice, type, bound)).isEqualTo(Code.OK);
			}
		}
	}

	@Test
	void callWhenBindingIsRequiredThenUnboundTokensAreRefused() throws Exception {
		X509Bundle ca = builder("ca").setIsCertificateAuthority(true).buildSelfSigned();
		X509Bundle alice = builder("alice").buildIssuedBy(ca);
		X509Bundle mallory = builder("mallory").buildIssuedBy(ca);
		AuthenticationStage binding = bindingStage();
		try (TestServer server = TestServer.network(this.service, (security) -> security.stages(List.of(binding)),
				(builder) -> ((NettyServerBuilder) builder).sslContext(serverTls(ca)))) {
			for (CallType type : CallType.values()) {
				assertThat(call(server, ca, alice, type, bound(alice))).isEqualTo(Code.OK);
				assertThat(call(server, ca, alice, type, TestTokens.token())).isEqualTo(Code.UNAUTHENTICATED);
				assertThat(call(server, ca, null, type, TestTokens.token())).isEqualTo(Code.UNAUTHENTICATED);
				assertThat(call(server, ca, mallory, type, bound(alice))).isEqualTo(Code.UNAUTHENTICATED);
			}
		}
	}

	@Test
	void callWhenItComesThroughATrustedProxyThenItsClientCountsAndNotTheProxy() throws Exception {
		X509Bundle ca = builder("ca").setIsCertificateAuthority(true).buildSelfSigned();
		X509Bundle proxy = builder("proxy").buildIssuedBy(ca);
		X509Bundle alice = builder("alice").buildIssuedBy(ca);
		X509Bundle mallory = builder("mallory").buildIssuedBy(ca);
		AuthenticationStage binding = bindingStage();
		ProxyHeaders trusted = new ProxyHeaders(TrustedProxies.parse(List.of("127.0.0.0/8")), "x-forwarded-client-cert",
				"x-forwarded-for");
		try (TestServer server = TestServer.network(this.service,
				(security) -> security.stages(List.of(binding)).peerResolvers(List.of(trusted)),
				(builder) -> ((NettyServerBuilder) builder).sslContext(serverTls(ca)))) {
			for (CallType type : CallType.values()) {
				assertThat(forwarded(server, ca, proxy, alice, type, bound(alice))).isEqualTo(Code.OK);
				assertThat(forwarded(server, ca, proxy, mallory, type, bound(alice))).isEqualTo(Code.UNAUTHENTICATED);
				assertThat(forwarded(server, ca, proxy, alice, type, bound(proxy))).isEqualTo(Code.UNAUTHENTICATED);
			}
		}
	}

	private AuthenticationStage bindingStage() {
		JwtIssuer issuer = TestTokens.issuer()
			.publicKeys(TestTokens.file(TestTokens.jwkSet()))
			.requireCertificateBinding(true)
			.build();
		return AuthenticationStage.builder()
			.authenticators(List.of(JwtCredentialAuthenticator.builder(this.threads)
				.clock(InstantSource.fixed(TestTokens.NOW))
				.issuers(List.of(issuer))
				.build()))
			.build();
	}

	private static SslContext serverTls(X509Bundle ca) {
		try {
			X509Bundle key = builder("server").addSanIpAddress("127.0.0.1").buildIssuedBy(ca);
			return GrpcSslContexts
				.configure(SslContextBuilder.forServer(key.getKeyPair().getPrivate(), key.getCertificate()),
						SslProvider.JDK)
				.trustManager(ca.getCertificate())
				.clientAuth(ClientAuth.OPTIONAL)
				.build();
		}
		catch (Exception ex) {
			throw new IllegalStateException(ex);
		}
	}

	private static TestTokens.Token bound(X509Bundle client) throws Exception {
		return TestTokens.token().claim("cnf", Map.of("x5t#S256", thumbprint(client.getCertificate())));
	}

	@ParameterizedTest
	@EnumSource
	void callWhenItStaysInTheProcessThenTokenIsVerified(CallType type) {
		try (TestServer server = TestServer.inProcess(this.service, List.of(this.stage))) {
			assertThat(type.call(server.channel(), TestTokens.bearer(TestTokens.token().sign()), "x").code())
				.isEqualTo(Code.OK);
		}
	}

	@ParameterizedTest
	@EnumSource
	void callWhenConnectionIsAltsThenTokenIsVerified(CallType type) throws Exception {
		try (AltsHandshaker handshaker = new AltsHandshaker("client", "server")) {
			io.grpc.netty.shaded.io.grpc.netty.NettyServerBuilder builder = new AltsTransport(
					handshaker.serverCredentials())
				.newServerBuilder(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0));
			GrpcServerSecurity.builder()
				.executor(this.threads.executor())
				.stages(List.of(this.stage))
				.build()
				.install(builder, List.of(new SecuredService(this.service.bindService(), this.service, "echo")));
			Server server = builder.build().start();
			ManagedChannel channel = Grpc
				.newChannelBuilderForAddress("127.0.0.1", server.getPort(), handshaker.channelCredentials())
				.build();
			try {
				assertThat(type.call(channel, TestTokens.bearer(TestTokens.token().sign()), "x").code())
					.isEqualTo(Code.OK);
				assertThat(
						type.call(channel, TestTokens.bearer(TestTokens.token().claim("aud", "x").sign()), "x").code())
					.isEqualTo(Code.UNAUTHENTICATED);
			}
			finally {
				channel.shutdownNow();
				server.shutdownNow();
			}
		}
	}

	private static CertificateBuilder builder(String name) {
		return new CertificateBuilder().algorithm(CertificateBuilder.Algorithm.ecp256).subject("CN=" + name);
	}

	private static String thumbprint(X509Certificate certificate) throws Exception {
		return TestTokens.encode(MessageDigest.getInstance("SHA-256").digest(certificate.getEncoded()));
	}

	private static Code call(TestServer server, X509Bundle ca, X509Bundle client, CallType type, TestTokens.Token token)
			throws Exception {
		return call(server, ca, client, type, TestTokens.bearer(token.sign()));
	}

	/** A call of a client that a proxy with a certificate of its own speaks for. */
	private static Code forwarded(TestServer server, X509Bundle ca, X509Bundle proxy, X509Bundle client, CallType type,
			TestTokens.Token token) throws Exception {
		Metadata headers = TestTokens.bearer(token.sign());
		headers.put(Metadata.Key.of("x-forwarded-client-cert", Metadata.ASCII_STRING_MARSHALLER),
				"Hash=" + HexFormat.of()
					.formatHex(MessageDigest.getInstance("SHA-256").digest(client.getCertificate().getEncoded()))
						+ ";Subject=\"CN=whoever\"");
		return call(server, ca, proxy, type, headers);
	}

	private static Code call(TestServer server, X509Bundle ca, X509Bundle client, CallType type, Metadata headers)
			throws Exception {
		SslContextBuilder tls = GrpcSslContexts.configure(SslContextBuilder.forClient(), SslProvider.JDK)
			.trustManager(ca.getCertificate());
		if (client != null) {
			tls.keyManager(client.getKeyPair().getPrivate(), client.getCertificate());
		}
		ManagedChannel channel = NettyChannelBuilder.forAddress("127.0.0.1", server.port())
			.sslContext(tls.build())
			.build();
		try {
			return type.call(channel, headers, "x").code();
		}
		finally {
			channel.shutdownNow();
			channel.awaitTermination(5, TimeUnit.SECONDS);
		}
	}

}
