package io.github.grpcsecurity.authentication.certificate;

import java.net.InetSocketAddress;
import java.security.cert.X509Certificate;
import java.util.List;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.TimeUnit;

import io.github.grpcsecurity.authentication.AuthenticationStage;
import io.github.grpcsecurity.server.ForwardedPeer;
import io.github.grpcsecurity.server.GrpcCaller;
import io.github.grpcsecurity.server.PeerIdentity;
import io.github.grpcsecurity.server.VerifiedCredential;
import io.github.grpcsecurity.testing.CallType;
import io.github.grpcsecurity.testing.EchoService;
import io.github.grpcsecurity.testing.TestServer;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.ServerCall;
import io.grpc.ServerCallHandler;
import io.grpc.ServerInterceptor;
import io.grpc.ServerInterceptors;
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
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

import org.springframework.security.core.GrantedAuthority;

import static org.assertj.core.api.Assertions.assertThat;

/** Clients with certificates of every shape, behind an intermediate authority. */
class CertificateAuthenticatorIT {

	private static final List<CertificateMapping> MAPPINGS = List.of(
			new CertificateMapping("spiffe://bank/tellers/*", List.of("ROLE_TELLER")),
			new CertificateMapping("spiffe://bank/tellers/alice", List.of("ROLE_CHIEF")),
			new CertificateMapping("alice.bank.example", List.of("ROLE_DNS")),
			new CertificateMapping("CN=alice", List.of("ROLE_SUBJECT")));

	private final ConcurrentLinkedQueue<GrpcCaller> callers = new ConcurrentLinkedQueue<>();

	private final X509Bundle ca = build(builder("CN=CA").setIsCertificateAuthority(true), null);

	private final X509Bundle intermediate = build(builder("CN=Intermediate").setIsCertificateAuthority(true), this.ca);

	private static CertificateBuilder builder(String subject) {
		return new CertificateBuilder().algorithm(CertificateBuilder.Algorithm.ecp256).subject(subject);
	}

	private static X509Bundle build(CertificateBuilder builder, @Nullable X509Bundle issuer) {
		try {
			return (issuer != null) ? builder.buildIssuedBy(issuer) : builder.buildSelfSigned();
		}
		catch (Exception ex) {
			throw new IllegalStateException(ex);
		}
	}

	private X509Bundle client(@Nullable String uri, @Nullable String dnsName) throws Exception {
		CertificateBuilder builder = builder("CN=alice").addExtendedKeyUsageClientAuth();
		if (uri != null) {
			builder.addSanUriName(uri);
		}
		if (dnsName != null) {
			builder.addSanDnsName(dnsName);
		}
		return build(builder, this.intermediate);
	}

	private TestServer serve(CertificateAuthenticator authenticator) throws Exception {
		X509Bundle key = build(builder("CN=server").addSanIpAddress("127.0.0.1"), this.ca);
		SslContext tls = GrpcSslContexts
			.configure(SslContextBuilder.forServer(key.getKeyPair().getPrivate(), key.getCertificate()),
					SslProvider.JDK)
			.trustManager(this.ca.getCertificate())
			.clientAuth(ClientAuth.OPTIONAL)
			.build();
		EchoService service = new EchoService();
		AuthenticationStage stage = AuthenticationStage.builder().authenticators(List.of(authenticator)).build();
		return TestServer.network(() -> ServerInterceptors.intercept(service, new CallerInterceptor()),
				(security) -> security.stages(List.of(stage)),
				(builder) -> ((NettyServerBuilder) builder).sslContext(tls));
	}

	private CallType.Outcome call(TestServer server, @Nullable X509Bundle client, CallType type) throws Exception {
		SslContextBuilder tls = GrpcSslContexts.forClient().trustManager(this.ca.getCertificate());
		if (client != null) {
			tls.keyManager(client.getKeyPair().getPrivate(),
					new X509Certificate[] { client.getCertificate(), this.intermediate.getCertificate() });
		}
		ManagedChannel channel = NettyChannelBuilder.forAddress(new InetSocketAddress("127.0.0.1", server.port()))
			.sslContext(tls.build())
			.build();
		try {
			return type.call(channel);
		}
		finally {
			channel.shutdownNow().awaitTermination(5, TimeUnit.SECONDS);
		}
	}

	@ParameterizedTest
	@EnumSource
	void callWhenLeafHasUriThenItIsThePrincipalAndMappingsGiveAuthorities(CallType type) throws Exception {
		X509Bundle client = client("spiffe://bank/tellers/alice", "alice.bank.example");
		try (TestServer server = serve(CertificateAuthenticator.of(MAPPINGS))) {
			assertThat(call(server, client, type).code()).isEqualTo(Code.OK);

			GrpcCaller caller = this.callers.remove();
			assertThat(caller.name()).isEqualTo("spiffe://bank/tellers/alice");
			assertThat(caller.workload()).isSameAs(caller.authentication());
			assertThat(caller.user()).isNull();
			assertThat(authorities(caller)).containsExactly("ROLE_TELLER", "ROLE_CHIEF");
			assertThat(caller.authentication()).isInstanceOfSatisfying(CertificateAuthenticationToken.class,
					(token) -> {
						assertThat(token.getPeerIdentity()).extracting(PeerIdentity::kind)
							.isEqualTo(PeerIdentity.Kind.URI);
						assertThat(token.getCredentials()).isEqualTo("");
						assertThat(token.getDetails()).isNotNull();
					});
			VerifiedCredential credential = caller.credential(VerifiedCredential.CERTIFICATE);
			assertThat(credential).isNotNull();
			assertThat(credential.expiresAt()).isEqualTo(client.getCertificate().getNotAfter().toInstant());
			assertThat(credential.id()).hasSize(64);
		}
	}

	@Test
	void callWhenLeafHasNoUriThenDnsNameElseSubject() throws Exception {
		try (TestServer server = serve(CertificateAuthenticator.of(MAPPINGS))) {
			call(server, client(null, "alice.bank.example"), CallType.UNARY);
			GrpcCaller byDnsName = this.callers.remove();
			assertThat(byDnsName.name()).isEqualTo("alice.bank.example");
			assertThat(authorities(byDnsName)).containsExactly("ROLE_DNS");

			call(server, client(null, null), CallType.UNARY);
			GrpcCaller bySubject = this.callers.remove();
			assertThat(bySubject.name()).isEqualTo("CN=alice");
			assertThat(authorities(bySubject)).containsExactly("ROLE_SUBJECT");
		}
	}

	@Test
	void callWhenUriIsNotMappedThenOtherNamesGiveNothing() throws Exception {
		try (TestServer server = serve(CertificateAuthenticator.of(MAPPINGS))) {
			call(server, client("spiffe://elsewhere/alice", "alice.bank.example"), CallType.UNARY);

			GrpcCaller caller = this.callers.remove();
			assertThat(caller.name()).isEqualTo("spiffe://elsewhere/alice");
			assertThat(caller.anonymous()).isFalse();
			assertThat(authorities(caller)).isEmpty();
		}
	}

	@ParameterizedTest
	@EnumSource
	void callWhenThereIsNoCertificateThenAnonymous(CallType type) throws Exception {
		try (TestServer server = serve(CertificateAuthenticator.of(MAPPINGS))) {
			assertThat(call(server, null, type).code()).isEqualTo(Code.OK);

			assertThat(this.callers.remove().anonymous()).isTrue();
		}
	}

	@ParameterizedTest
	@EnumSource
	void callWhenOwnMapperKnowsNobodyThenRefused(CallType type) throws Exception {
		CertificateAuthenticator authenticator = new CertificateAuthenticator(
				(call, identity) -> identity.name().endsWith("/bob")
						? new CertificateAuthenticationToken("bob", identity, List.of()) : null);
		try (TestServer server = serve(authenticator)) {
			assertThat(call(server, client("spiffe://bank/alice", null), type).code()).isEqualTo(Code.UNAUTHENTICATED);
			assertThat(call(server, client("spiffe://bank/bob", null), type).code()).isEqualTo(Code.OK);

			assertThat(this.callers.remove().name()).isEqualTo("bob");
		}
	}

	@Test
	void callWhenProxyVouchesThenItsClientIsTheCaller() {
		PeerIdentity client = PeerIdentity.of(List.of("spiffe://bank/tellers/alice"), List.of(), null, null);
		EchoService service = new EchoService();
		AuthenticationStage stage = AuthenticationStage.builder()
			.authenticators(List.of(CertificateAuthenticator.of(MAPPINGS)))
			.build();
		try (TestServer server = TestServer.inProcess(
				() -> ServerInterceptors.intercept(service, new CallerInterceptor()),
				(security) -> security.stages(List.of(stage)).peerResolvers(List.of((call) -> {
					call.forwarded(new ForwardedPeer(null, client));
					return null;
				})))) {
			CallType.UNARY.call(server.channel());

			GrpcCaller caller = this.callers.remove();
			assertThat(caller.name()).isEqualTo("spiffe://bank/tellers/alice");
			assertThat(authorities(caller)).containsExactly("ROLE_TELLER", "ROLE_CHIEF");
			assertThat(caller.expiresAt()).isNull();
		}
	}

	private static List<String> authorities(GrpcCaller caller) {
		return caller.authentication().getAuthorities().stream().map(GrantedAuthority::getAuthority).toList();
	}

	private final class CallerInterceptor implements ServerInterceptor {

		@Override
		public <Q, R> ServerCall.Listener<Q> interceptCall(ServerCall<Q, R> call, Metadata headers,
				ServerCallHandler<Q, R> next) {
			CertificateAuthenticatorIT.this.callers.add(GrpcCaller.current());
			return next.startCall(call, headers);
		}

	}

}
