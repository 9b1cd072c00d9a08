package io.github.grpcsecurity.proxy;

import java.security.MessageDigest;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Base64;
import java.util.List;
import java.util.Set;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;

import io.github.grpcsecurity.authentication.AuthenticationStage;
import io.github.grpcsecurity.authentication.AuthorizationHeader;
import io.github.grpcsecurity.authentication.CredentialAuthenticator;
import io.github.grpcsecurity.authentication.CredentialResult;
import io.github.grpcsecurity.ratelimit.InMemoryRateLimiter;
import io.github.grpcsecurity.ratelimit.PeerLimitStage;
import io.github.grpcsecurity.ratelimit.TestRules;
import io.github.grpcsecurity.server.CallStage;
import io.github.grpcsecurity.server.GrpcServerSecurity;
import io.github.grpcsecurity.server.SecuredCall;
import io.github.grpcsecurity.server.SecurityStage;
import io.github.grpcsecurity.server.Verdict;
import io.github.grpcsecurity.server.VerifiedCredential;
import io.github.grpcsecurity.testing.CallType;
import io.github.grpcsecurity.testing.EchoService;
import io.github.grpcsecurity.testing.RecordingObserver;
import io.github.grpcsecurity.testing.TestCertificates;
import io.github.grpcsecurity.testing.TestServer;
import io.github.grpcsecurity.testing.TestStage;
import io.grpc.Metadata;
import io.grpc.ServerCall;
import io.grpc.ServerCallHandler;
import io.grpc.ServerInterceptor;
import io.grpc.Status.Code;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

import org.springframework.security.authentication.TestingAuthenticationToken;

import static org.assertj.core.api.Assertions.assertThat;

class ProxyHeadersIT {

	private static final String XFCC = "x-forwarded-client-cert";

	private static final String HASH = "468ed33be74eee6556d90c0149c1309e9ba61d6425303443c0748a02dd8de688";

	private static final String[] ALL = { XFCC, "client-cert", "client-cert-chain", "x-forwarded-for", "forwarded" };

	private static final ProxyHeaders NOBODY = proxies("192.0.2.1");

	private static final ProxyHeaders LOCAL = proxies("127.0.0.0/8", "10.0.0.0/8");

	private final EchoService service = new EchoService();

	private final RecordingObserver observer = new RecordingObserver();

	private final LinkedBlockingQueue<Set<String>> seen = new LinkedBlockingQueue<>();

	@ParameterizedTest
	@EnumSource
	void callWhenPeerIsNotTrustedThenHeadersReachNobodyAndThatIsAudited(CallType type) throws Exception {
		List<String> atFirstStage = new ArrayList<>();
		try (TestServer server = serve(NOBODY, TestStage.check(SecurityStage.ADMISSION, (call) -> {
			atFirstStage.addAll(call.headers().keys());
			return Verdict.proceed();
		}))) {
			Metadata headers = new Metadata();
			for (String name : ALL) {
				put(headers, name, "URI=spiffe://bank/admin");
			}
			put(headers, "x-other", "stays");

			assertThat(type.call(server.channel(), headers, "hello").code()).isEqualTo(Code.OK);
			assertThat(atFirstStage).contains("x-other").doesNotContain(ALL);
			assertThat(this.seen.take()).contains("x-other").doesNotContain(ALL);
			SecuredCall call = decided();
			assertThat(call.notes()).containsEntry("proxy.headers_stripped",
					"x-forwarded-client-cert, client-cert, client-cert-chain, x-forwarded-for, forwarded");
			assertThat(call.peer()).isEqualTo("127.0.0.1");
			assertThat(call.peerIdentity()).isNull();
			assertThat(call.confidential()).isFalse();
		}
	}

	@ParameterizedTest
	@EnumSource
	void callWhenPeerIsTrustedThenItsClientIsKnown(CallType type) throws Exception {
		try (TestServer server = serve(LOCAL)) {
			Metadata headers = new Metadata();
			put(headers, XFCC, "URI=spiffe://evil/admin");
			put(headers, XFCC, "By=spiffe://bank/us;Hash=" + HASH + ";URI=spiffe://bank/teller");
			put(headers, "x-forwarded-for", "6.6.6.6, 2001:db8::7, 10.0.0.3");
			put(headers, "client-cert", "made up");
			put(headers, "forwarded", "for=6.6.6.6");

			assertThat(type.call(server.channel(), headers, "hello").code()).isEqualTo(Code.OK);
			assertThat(this.seen.take()).contains(XFCC, "x-forwarded-for").doesNotContain("client-cert", "forwarded");
			SecuredCall call = decided();
			assertThat(call.peer()).isEqualTo("2001:db8:0:0:0:0:0:7");
			assertThat(call.peerIdentity()).hasToString("spiffe://bank/teller");
			assertThat(call.notes()).containsEntry("proxy.address", "127.0.0.1")
				.containsEntry("proxy.headers_stripped", "client-cert, forwarded");
		}
	}

	@ParameterizedTest
	@EnumSource
	void callWhenHeaderOfTrustedPeerIsMalformedThenIsRefused(CallType type) throws Exception {
		try (TestServer server = serve(LOCAL)) {
			for (String[] header : new String[][] { { XFCC, "URI=\"x" }, { XFCC, "" },
					{ "x-forwarded-for", "unknown" } }) {
				Metadata headers = new Metadata();
				put(headers, header[0], header[1]);
				CallType.Outcome outcome = type.call(server.channel(), headers, "hello");

				assertThat(outcome.code()).isEqualTo(Code.INVALID_ARGUMENT);
				assertThat(outcome.status().getDescription()).isEqualTo("invalid argument");
			}
			assertThat(this.service.entered).hasValue(0);
			assertThat(this.observer.decided.get(0).decision().stage()).isEqualTo(SecurityStage.ADMISSION);
			assertThat(this.observer.decided.get(0).decision().refusal().reason()).startsWith("trusted proxy: ");
		}
	}

	@Test
	void callWhenRefusedThenHostsObserversSeeNoHeadersEither() throws Exception {
		LinkedBlockingQueue<Set<String>> observed = new LinkedBlockingQueue<>();
		try (TestServer server = TestServer.network(this.service,
				(security) -> security.peerResolvers(List.of(LOCAL)).refusalObservers(List.of(recorder(observed))))) {
			Metadata headers = new Metadata();
			put(headers, "x-forwarded-for", "unknown");
			put(headers, XFCC, "URI=spiffe://evil/admin");

			assertThat(CallType.UNARY.call(server.channel(), headers, "hello").code()).isEqualTo(Code.INVALID_ARGUMENT);
			assertThat(observed.poll(10, TimeUnit.SECONDS)).isNotEmpty().doesNotContain("x-forwarded-for", XFCC);
		}
	}

	@Test
	void callWhenResolverThrowsThenIsRefused() {
		try (TestServer server = TestServer.network(this.service,
				(security) -> security.peerResolvers(List.of((call) -> {
					throw new IllegalStateException("test");
				})))) {
			assertThat(CallType.UNARY.call(server.channel()).code()).isEqualTo(Code.UNAVAILABLE);
		}
	}

	@ParameterizedTest
	@EnumSource
	void callWhenBearerTokenComesOverPlaintextThenOnlySidecarThatVouchesBringsItIn(CallType type) {
		AuthenticationStage authentication = AuthenticationStage.builder()
			.authenticators(List.of(new CredentialAuthenticator() {
				@Override
				public java.util.Set<String> kinds() {
					return java.util.Set.of("token");
				}

				@Override
				public boolean supports(AuthorizationHeader authorization) {
					return true;
				}

				@Override
				public CredentialResult authenticate(SecuredCall call, AuthorizationHeader authorization) {
					return (authorization != null)
							? CredentialResult.authenticated(VerifiedCredential.of("test",
									new TestingAuthenticationToken("alice", null, "ROLE_A")))
							: CredentialResult.absent();
				}
			}))
			.build();
		Metadata vouched = new Metadata();
		put(vouched, "authorization", "Bearer good");
		put(vouched, XFCC, "Hash=" + HASH);
		Metadata unvouched = new Metadata();
		put(unvouched, "authorization", "Bearer good");
		put(unvouched, "x-forwarded-for", "192.0.2.7");
		try (TestServer trusting = serve(LOCAL, authentication); TestServer other = serve(NOBODY, authentication)) {
			assertThat(type.call(trusting.channel(), vouched, "hello").code()).isEqualTo(Code.OK);
			assertThat(decided().authentication().getName()).isEqualTo("alice");
			assertThat(type.call(trusting.channel(), unvouched, "hello").code()).isEqualTo(Code.UNAUTHENTICATED);
			assertThat(type.call(other.channel(), vouched, "hello").code()).isEqualTo(Code.UNAUTHENTICATED);
		}
	}

	@Test
	void callWhenClientIsInTheSameProcessThenItIsNoProxy() {
		try (TestServer server = serve(LOCAL, TestStage.check(SecurityStage.ADMISSION, (call) -> {
			assertThat(call.confidential()).isTrue();
			return Verdict.proceed();
		}));
				TestServer inProcess = TestServer.inProcess(this.service,
						(security) -> security.peerResolvers(List.of(LOCAL)).observers(List.of(this.observer)))) {
			Metadata headers = new Metadata();
			put(headers, XFCC, "Hash=" + HASH);

			assertThat(CallType.UNARY.call(server.channel(), headers, "hello").code()).isEqualTo(Code.OK);
			assertThat(CallType.UNARY.call(inProcess.channel(), headers, "hello").code()).isEqualTo(Code.OK);
			assertThat(this.observer.decided.get(1).call().peerIdentity()).isNull();
			assertThat(this.observer.decided.get(1).call().notes()).containsKey("proxy.headers_stripped");
		}
	}

	@Test
	void callWhenLimitIsByPeerThenClientsBehindProxyAreCountedApart() {
		PeerLimitStage limits = new PeerLimitStage(List.of(TestRules.rule("peer", 1, Duration.ofHours(1))),
				new InMemoryRateLimiter(100, System::nanoTime), (rule, outcome) -> {
				});
		try (TestServer server = serve(LOCAL, limits); TestServer direct = serve(NOBODY, limits)) {
			assertThat(call(server, "6.6.6.6, 198.51.100.7")).isEqualTo(Code.OK);
			assertThat(call(server, "7.7.7.7, 198.51.100.7, 10.0.0.3")).isEqualTo(Code.RESOURCE_EXHAUSTED);
			assertThat(call(server, "198.51.100.8")).isEqualTo(Code.OK);
			assertThat(call(direct, "198.51.100.9")).isEqualTo(Code.OK);
			assertThat(call(direct, "198.51.100.10")).isEqualTo(Code.RESOURCE_EXHAUSTED);
		}
	}

	@Test
	void callWhenHeaderIsOfRfc9440ThenClientIsKnownByItsCertificate() throws Exception {
		ProxyHeaders rfc9440 = new ProxyHeaders(TrustedProxies.parse(List.of("127.0.0.1", "::1")), "Client-Cert",
				"x-forwarded-for");
		byte[] der = TestCertificates.create().client().getCertificate().getEncoded();
		String value = ":" + Base64.getEncoder().encodeToString(der) + ":";
		try (TestServer server = serve(rfc9440)) {
			Metadata headers = new Metadata();
			put(headers, "client-cert", value);
			put(headers, "client-cert-chain", value);
			put(headers, XFCC, "URI=spiffe://evil/admin");
			Metadata chainOnly = new Metadata();
			put(chainOnly, "client-cert-chain", value);

			assertThat(CallType.UNARY.call(server.channel(), headers, "hello").code()).isEqualTo(Code.OK);
			assertThat(decided().peerIdentity()).hasToString(TestCertificates.CLIENT_URI);
			assertThat(decided().peerIdentity().certificateSha256())
				.isEqualTo(MessageDigest.getInstance("SHA-256").digest(der));
			assertThat(this.seen.take()).contains("client-cert", "client-cert-chain").doesNotContain(XFCC);
			assertThat(CallType.UNARY.call(server.channel(), chainOnly, "hello").code())
				.isEqualTo(Code.INVALID_ARGUMENT);
		}
	}

	private static Code call(TestServer server, String forwardedFor) {
		Metadata headers = new Metadata();
		put(headers, "x-forwarded-for", forwardedFor);
		return CallType.UNARY.call(server.channel(), headers, "hello").code();
	}

	private SecuredCall decided() {
		return this.observer.decided.get(0).call();
	}

	private TestServer serve(ProxyHeaders proxies, CallStage... stages) {
		return TestServer.network(this.service,
				(GrpcServerSecurity.Builder security) -> security.stages(List.of(stages))
					.observers(List.of(this.observer))
					.peerResolvers(List.of(proxies)),
				(builder) -> builder.intercept(recorder(this.seen)));
	}

	private static ServerInterceptor recorder(LinkedBlockingQueue<Set<String>> seen) {
		return new ServerInterceptor() {
			@Override
			public <Q, R> ServerCall.Listener<Q> interceptCall(ServerCall<Q, R> call, Metadata headers,
					ServerCallHandler<Q, R> next) {
				seen.add(Set.copyOf(headers.keys()));
				return next.startCall(call, headers);
			}
		};
	}

	@ParameterizedTest
	@EnumSource
	void callWhenProxiesAreCountedThenWhatClientsMakeUpIsNotLookedAt(CallType type) throws Exception {
		ProxyHeaders two = new ProxyHeaders(TrustedProxies.parse(List.of("127.0.0.0/8", "::1")), XFCC,
				"x-forwarded-for", 2);
		try (TestServer server = serve(two)) {
			Metadata headers = new Metadata();
			put(headers, "x-forwarded-for", "6.6.6.6, 127.0.0.1");
			put(headers, "x-forwarded-for", "192.0.2.9, 203.0.113.5");
			assertThat(type.call(server.channel(), headers, "hello").code()).isEqualTo(Code.OK);
			assertThat(decided().peer()).isEqualTo("192.0.2.9");

			Metadata tooShort = new Metadata();
			put(tooShort, "x-forwarded-for", "6.6.6.6");
			assertThat(type.call(server.channel(), tooShort, "hello").code()).isEqualTo(Code.INVALID_ARGUMENT);
		}
	}

	private static ProxyHeaders proxies(String... trusted) {
		return new ProxyHeaders(TrustedProxies.parse(List.of(trusted)), XFCC, "x-forwarded-for");
	}

	private static void put(Metadata headers, String name, String value) {
		headers.put(Metadata.Key.of(name, Metadata.ASCII_STRING_MARSHALLER), value);
	}

}
