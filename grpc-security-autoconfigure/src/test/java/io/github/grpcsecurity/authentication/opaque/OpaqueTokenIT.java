package io.github.grpcsecurity.authentication.opaque;

import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.URI;
import java.net.URLDecoder;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Base64;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicReference;
import java.util.function.Consumer;

import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import io.github.grpcsecurity.authentication.AuthenticationStage;
import io.github.grpcsecurity.authentication.AuthoritiesClaim;
import io.github.grpcsecurity.server.ForwardedPeer;
import io.github.grpcsecurity.server.GrpcCaller;
import io.github.grpcsecurity.server.GrpcSecurityThreads;
import io.github.grpcsecurity.server.PeerIdentity;
import io.github.grpcsecurity.server.VerifiedCredential;
import io.github.grpcsecurity.testing.CallType;
import io.github.grpcsecurity.testing.EchoService;
import io.github.grpcsecurity.testing.RecordingObserver;
import io.github.grpcsecurity.testing.TestServer;
import io.grpc.Metadata;
import io.grpc.Status.Code;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

import org.springframework.security.core.GrantedAuthority;
import org.springframework.security.oauth2.core.DefaultOAuth2AuthenticatedPrincipal;
import org.springframework.security.oauth2.server.resource.introspection.BadOpaqueTokenException;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatIllegalArgumentException;
import static org.awaitility.Awaitility.await;

/** Tokens that an authorization server on loopback is asked about. */
@Timeout(60)
class OpaqueTokenIT {

	private static final Instant NOW = Instant.parse("2026-03-01T09:00:00Z");

	private static final String ALICE = """
			{"active":true,"sub":"alice","scope":"accounts.read accounts.write","iss":"https://idp.example",
			"aud":["bank-api","other"],"jti":"t1","iat":1772355000,"exp":1772355900,"client_id":"app"}""";

	private final GrpcSecurityThreads threads = new GrpcSecurityThreads();

	private final AtomicReference<Instant> now = new AtomicReference<>(NOW);

	private final AtomicInteger requests = new AtomicInteger();

	private final ConcurrentLinkedQueue<String> bodies = new ConcurrentLinkedQueue<>();

	private final ConcurrentLinkedQueue<String> credentials = new ConcurrentLinkedQueue<>();

	private final AtomicReference<String> answer = new AtomicReference<>(ALICE);

	private volatile int status = 200;

	private volatile @Nullable CountDownLatch hold;

	private final RecordingObserver observer = new RecordingObserver();

	private final ExecutorService serverThreads = Executors.newCachedThreadPool();

	private HttpServer authorizationServer;

	@BeforeEach
	void startAuthorizationServer() throws IOException {
		this.authorizationServer = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
		this.authorizationServer.setExecutor(this.serverThreads);
		this.authorizationServer.createContext("/introspect", this::introspect);
		this.authorizationServer.start();
	}

	@AfterEach
	void stop() {
		this.authorizationServer.stop(0);
		this.serverThreads.shutdownNow();
		this.threads.close();
	}

	private void introspect(HttpExchange exchange) throws IOException {
		this.requests.incrementAndGet();
		this.bodies.add(new String(exchange.getRequestBody().readAllBytes(), StandardCharsets.UTF_8));
		this.credentials.add(exchange.getRequestHeaders().getFirst("authorization"));
		CountDownLatch latch = this.hold;
		if (latch != null) {
			try {
				latch.await();
			}
			catch (InterruptedException ex) {
				Thread.currentThread().interrupt();
			}
		}
		byte[] body = this.answer.get().getBytes(StandardCharsets.UTF_8);
		if (this.status == 302) {
			exchange.getResponseHeaders().add("location", "http://127.0.0.1:1/elsewhere");
		}
		exchange.sendResponseHeaders(this.status, (body.length > 0) ? body.length : -1);
		exchange.getResponseBody().write(body);
		exchange.close();
	}

	private URI uri() {
		return URI.create("http://127.0.0.1:" + this.authorizationServer.getAddress().getPort() + "/introspect");
	}

	private OpaqueTokenAuthenticator authenticator(Consumer<RemoteTokenIntrospector.Builder> remote,
			Consumer<OpaqueTokenAuthenticator.Builder> customizer) {
		RemoteTokenIntrospector.Builder introspector = RemoteTokenIntrospector
			.builder(uri(), "bank api", "s3cr3t:%", this.threads.executor())
			.timeout(Duration.ofSeconds(5));
		remote.accept(introspector);
		OpaqueTokenAuthenticator.Builder builder = OpaqueTokenAuthenticator
			.builder(introspector.build(), this.threads.executor())
			.clock(this.now::get);
		customizer.accept(builder);
		return builder.build();
	}

	private OpaqueTokenAuthenticator authenticator() {
		return authenticator((remote) -> {
		}, (builder) -> {
		});
	}

	private TestServer serve(OpaqueTokenAuthenticator authenticator) {
		AuthenticationStage stage = AuthenticationStage.builder().authenticators(List.of(authenticator)).build();
		return TestServer.inProcess(new EchoService(), List.of(stage), this.observer);
	}

	private static Metadata bearer(String token) {
		Metadata headers = new Metadata();
		headers.put(Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER), "Bearer " + token);
		return headers;
	}

	private GrpcCaller lastCaller() {
		return this.observer.decided.get(this.observer.decided.size() - 1).call().caller();
	}

	private @Nullable String lastReason() {
		return this.observer.decided.get(this.observer.decided.size() - 1).decision().refusal().reason();
	}

	@ParameterizedTest
	@EnumSource
	void callWhenTokenIsActiveThenItsOwnerCalls(CallType type) {
		try (TestServer server = serve(authenticator())) {
			assertThat(type.call(server.channel(), bearer("t0ken/+="), "x").code()).isEqualTo(Code.OK);

			GrpcCaller caller = lastCaller();
			assertThat(caller.name()).isEqualTo("alice");
			assertThat(caller.authentication().getAuthorities()).extracting(GrantedAuthority::getAuthority)
				.containsExactlyInAnyOrder("SCOPE_accounts.read", "SCOPE_accounts.write");
			VerifiedCredential credential = caller.credential(VerifiedCredential.OPAQUE_TOKEN);
			assertThat(credential.issuer()).isEqualTo("https://idp.example");
			assertThat(credential.id()).isEqualTo("t1");
			assertThat(credential.issuedAt()).isEqualTo(Instant.ofEpochSecond(1772355000));
			assertThat(credential.expiresAt()).isEqualTo(Instant.ofEpochSecond(1772355900));
			assertThat(credential.claims()).containsEntry("client_id", "app");
			assertThat(URLDecoder.decode(this.bodies.remove(), StandardCharsets.UTF_8))
				.isEqualTo("token=t0ken/+=&token_type_hint=access_token");
			assertThat(new String(Base64.getDecoder().decode(this.credentials.remove().substring("Basic ".length())),
					StandardCharsets.UTF_8))
				.isEqualTo("bank+api:s3cr3t%3A%25");
		}
	}

	@Test
	void callWhenAThousandPresentOneTokenThenAskedOnce() throws Exception {
		this.hold = new CountDownLatch(1);
		OpaqueTokenAuthenticator authenticator = authenticator();
		ExecutorService callers = Executors.newFixedThreadPool(16);
		try (TestServer server = serve(authenticator)) {
			List<CompletableFuture<Code>> calls = new ArrayList<>();
			for (int i = 0; i < 1000; i++) {
				calls.add(CompletableFuture
					.supplyAsync(() -> CallType.UNARY.call(server.channel(), bearer("one"), "x").code(), callers));
			}
			await().until(() -> this.requests.get() == 1);
			this.hold.countDown();
			for (CompletableFuture<Code> call : calls) {
				assertThat(call.get(30, TimeUnit.SECONDS)).isEqualTo(Code.OK);
			}

			assertThat(this.requests).hasValue(1);
			assertThat(authenticator.asked()).isEqualTo(1);
			assertThat(authenticator.remembered()).isEqualTo(999);
		}
		finally {
			callers.shutdownNow();
		}
	}

	@Test
	void callWhenServerHangsThenNoThreadWaits() throws Exception {
		this.hold = new CountDownLatch(1);
		ExecutorService callers = Executors.newFixedThreadPool(50);
		try (TestServer server = serve(authenticator())) {
			List<CompletableFuture<Code>> calls = new ArrayList<>();
			for (int i = 0; i < 50; i++) {
				String token = "token" + i;
				calls.add(CompletableFuture
					.supplyAsync(() -> CallType.UNARY.call(server.channel(), bearer(token), "x").code(), callers));
			}
			await().until(() -> this.requests.get() == 50);
			await().untilAsserted(() -> assertThat(Thread.getAllStackTraces().values()).flatMap(List::of)
				.extracting(StackTraceElement::getClassName)
				.noneMatch((name) -> name.startsWith("io.github.grpcsecurity.authentication.opaque.Remote")
						|| name.startsWith("io.github.grpcsecurity.remote")
						|| name.startsWith("io.github.grpcsecurity.server")));
			this.hold.countDown();
			for (CompletableFuture<Code> call : calls) {
				assertThat(call.get(30, TimeUnit.SECONDS)).isEqualTo(Code.OK);
			}
		}
		finally {
			callers.shutdownNow();
		}
	}

	@ParameterizedTest
	@CsvSource(delimiter = '|', quoteCharacter = '`', value = { "{\"active\":false} | token is not active",
			"{\"active\":true,\"sub\":\"a\",\"exp\":1772355600} | token has expired",
			"{\"active\":true} | token does not name its principal",
			"{\"active\":true,\"sub\":\"\"} | token does not name its principal",
			"{\"active\":true,\"sub\":7} | token does not name its principal",
			"{\"active\":true,\"sub\":\"a\",\"cnf\":{\"jkt\":\"x\"}} | token is bound to something that cannot be verified here",
			"{\"active\":true,\"sub\":\"a\",\"cnf\":{\"x5t#S256\":\"x\"}} | token is bound to a certificate, and the caller has none" })
	void callWhenAnswerSaysNoThenUnauthenticated(String answer, String reason) {
		this.answer.set(answer);
		try (TestServer server = serve(authenticator())) {
			for (CallType type : CallType.values()) {
				CallType.Outcome outcome = type.call(server.channel(), bearer("t"), "x");

				assertThat(outcome.code()).isEqualTo(Code.UNAUTHENTICATED);
				assertThat(outcome.status().getDescription()).isEqualTo("authentication failed");
			}
			assertThat(lastReason()).isEqualTo(reason);
			assertThat(this.requests).as("remembered").hasValue(1);
		}
	}

	@ParameterizedTest
	@CsvSource(delimiter = '|', quoteCharacter = '`',
			value = { "200 | garbage", "200 | []", "200 | {}", "200 | {\"active\":\"true\"}", "200 | {\"active\":null}",
					"200 | {\"active\":true,\"sub\":\"a\",\"exp\":\"soon\"}",
					"200 | {\"active\":true,\"sub\":\"a\",\"exp\":1e300}", "401 | {\"active\":true,\"sub\":\"a\"}",
					"500 | {\"active\":true,\"sub\":\"a\"}", "302 | {\"active\":true,\"sub\":\"a\"}" })
	void callWhenNobodyCanTellThenUnavailableAndAskedAgain(int status, String answer) {
		this.status = status;
		this.answer.set(answer);
		try (TestServer server = serve(authenticator())) {
			assertThat(CallType.UNARY.call(server.channel(), bearer("t"), "x").code()).isEqualTo(Code.UNAVAILABLE);
			this.status = 200;
			this.answer.set(ALICE);

			assertThat(CallType.UNARY.call(server.channel(), bearer("t"), "x").code()).isEqualTo(Code.OK);
		}
	}

	@Test
	void callWhenAnswerIsHugeThenUnavailable() {
		this.answer.set("{\"active\":true,\"sub\":\"a\",\"x\":\"" + "x".repeat(100_000) + "\"}");
		try (TestServer server = serve(authenticator())) {
			assertThat(CallType.UNARY.call(server.channel(), bearer("t"), "x").code()).isEqualTo(Code.UNAVAILABLE);
		}
	}

	@Test
	void callWhenAnswerIsLateThenUnavailable() {
		CountDownLatch latch = new CountDownLatch(1);
		this.hold = latch;
		try (TestServer server = serve(authenticator((remote) -> remote.timeout(Duration.ofMillis(50)), (builder) -> {
		}))) {
			assertThat(CallType.UNARY.call(server.channel(), bearer("t"), "x").code()).isEqualTo(Code.UNAVAILABLE);
		}
		finally {
			latch.countDown();
		}
	}

	@Test
	void callWhenServerStaysDownThenNotAskedForEachCallAndFoundAgain() {
		this.status = 500;
		OpaqueTokenAuthenticator authenticator = authenticator();
		try (TestServer server = serve(authenticator)) {
			for (int i = 0; i < 20; i++) {
				assertThat(CallType.UNARY.call(server.channel(), bearer("t" + i), "x").code())
					.isEqualTo(Code.UNAVAILABLE);
				this.now.updateAndGet((time) -> time.plusMillis(100));
			}
			// Half a second of failures, then one probe a second
			assertThat(this.requests.get()).isBetween(6, 9);
			assertThat(authenticator.failed()).isEqualTo(authenticator.asked());
			this.status = 200;
			assertThat(CallType.UNARY.call(server.channel(), bearer("t"), "x").code()).isEqualTo(Code.UNAVAILABLE);
			this.now.updateAndGet((time) -> time.plusSeconds(1));

			assertThat(CallType.UNARY.call(server.channel(), bearer("t"), "x").code()).isEqualTo(Code.OK);
			assertThat(CallType.UNARY.call(server.channel(), bearer("t2"), "x").code()).isEqualTo(Code.OK);
		}
	}

	/** Somebody who makes up such tokens must not keep out those with good ones. */
	@ParameterizedTest
	@ValueSource(ints = { 400, 413, 414, 422, 431 })
	void callWhenServerDoesNotWantSomeTokensThenOthersAreAskedAboutAllTheSame(int status) {
		try (TestServer server = serve(authenticator())) {
			this.status = status;
			for (int i = 0; i < 20; i++) {
				assertThat(CallType.UNARY.call(server.channel(), bearer("junk" + i), "x").code())
					.isEqualTo(Code.UNAVAILABLE);
				this.now.updateAndGet((time) -> time.plusMillis(100));
			}
			this.status = 200;

			assertThat(CallType.UNARY.call(server.channel(), bearer("t"), "x").code()).isEqualTo(Code.OK);
		}
	}

	@Test
	void callWhenServerIsDownThenRememberedTokensGoOn() {
		try (TestServer server = serve(authenticator())) {
			assertThat(CallType.UNARY.call(server.channel(), bearer("t"), "x").code()).isEqualTo(Code.OK);
			this.authorizationServer.stop(0);

			assertThat(CallType.UNARY.call(server.channel(), bearer("t"), "x").code()).isEqualTo(Code.OK);
			assertThat(CallType.UNARY.call(server.channel(), bearer("other"), "x").code()).isEqualTo(Code.UNAVAILABLE);
		}
	}

	@Test
	void callWhenTimePassesThenAskedAgain() {
		try (TestServer server = serve(authenticator())) {
			CallType.UNARY.call(server.channel(), bearer("t"), "x");
			this.now.updateAndGet((time) -> time.plusSeconds(29));
			CallType.UNARY.call(server.channel(), bearer("t"), "x");
			assertThat(this.requests).hasValue(1);
			this.now.updateAndGet((time) -> time.plusSeconds(2));
			this.answer.set("{\"active\":false}");

			assertThat(CallType.UNARY.call(server.channel(), bearer("t"), "x").code()).isEqualTo(Code.UNAUTHENTICATED);
			assertThat(this.requests).hasValue(2);
			this.now.updateAndGet((time) -> time.plusSeconds(4));
			CallType.UNARY.call(server.channel(), bearer("t"), "x");
			assertThat(this.requests).hasValue(2);
			this.now.updateAndGet((time) -> time.plusSeconds(2));
			CallType.UNARY.call(server.channel(), bearer("t"), "x");
			assertThat(this.requests).hasValue(3);
		}
	}

	@Test
	void callWhenTokenRunsOutThenNotRememberedAnyLonger() {
		this.now.set(Instant.ofEpochSecond(1772355900 - 10));
		try (TestServer server = serve(authenticator())) {
			assertThat(CallType.UNARY.call(server.channel(), bearer("t"), "x").code()).isEqualTo(Code.OK);
			this.now.set(Instant.ofEpochSecond(1772355900));

			assertThat(CallType.UNARY.call(server.channel(), bearer("t"), "x").code()).isEqualTo(Code.UNAUTHENTICATED);
		}
	}

	@Test
	void callWhenMoreAreAskedAboutThanMayBeThenUnavailable() throws Exception {
		CountDownLatch latch = new CountDownLatch(1);
		this.hold = latch;
		ExecutorService callers = Executors.newFixedThreadPool(2);
		try (TestServer server = serve(authenticator((remote) -> {
		}, (builder) -> builder.maxConcurrent(2)))) {
			List<CompletableFuture<Code>> calls = new ArrayList<>();
			for (int i = 0; i < 2; i++) {
				String token = "token" + i;
				calls.add(CompletableFuture
					.supplyAsync(() -> CallType.UNARY.call(server.channel(), bearer(token), "x").code(), callers));
			}
			await().until(() -> this.requests.get() == 2);

			assertThat(CallType.UNARY.call(server.channel(), bearer("third"), "x").code()).isEqualTo(Code.UNAVAILABLE);
			latch.countDown();
			for (CompletableFuture<Code> call : calls) {
				assertThat(call.get(10, TimeUnit.SECONDS)).isEqualTo(Code.OK);
			}
			assertThat(CallType.UNARY.call(server.channel(), bearer("third"), "x").code()).isEqualTo(Code.OK);
		}
		finally {
			latch.countDown();
			callers.shutdownNow();
		}
	}

	@ParameterizedTest
	@CsvSource(nullValues = "-", value = { "-, -, OK", "https://idp.example, -, OK",
			"https://idp.example/, -, UNAUTHENTICATED", "-, bank-api, OK", "-, bank, UNAUTHENTICATED" })
	void callWhenIssuerOrAudienceIsNotOursThenRefused(String issuer, String audience, Code code) {
		try (TestServer server = serve(authenticator(
				(remote) -> remote.issuer(issuer).audiences((audience != null) ? List.of(audience) : List.of()),
				(builder) -> {
				}))) {
			assertThat(CallType.UNARY.call(server.channel(), bearer("t"), "x").code()).isEqualTo(code);
		}
	}

	@Test
	void callWhenAudienceIsMissingOrOneTextThenCompared() {
		this.answer.set("{\"active\":true,\"sub\":\"a\",\"aud\":\"bank-api\"}");
		try (TestServer server = serve(authenticator((remote) -> remote.audiences(List.of("bank-api")), (builder) -> {
		}))) {
			assertThat(CallType.UNARY.call(server.channel(), bearer("t"), "x").code()).isEqualTo(Code.OK);
			this.answer.set("{\"active\":true,\"sub\":\"a\"}");
			assertThat(CallType.UNARY.call(server.channel(), bearer("t2"), "x").code()).isEqualTo(Code.UNAUTHENTICATED);
		}
	}

	@Test
	void callWhenClaimsAreNamedThenTheyCount() {
		this.answer.set("{\"active\":true,\"username\":\"bob\",\"realm\":{\"roles\":[\"TELLER\"]}}");
		try (TestServer server = serve(authenticator((remote) -> remote.principalClaim("username")
			.authorities(List.of(new AuthoritiesClaim("realm.roles", "ROLE_"))), (builder) -> {
			}))) {
			CallType.UNARY.call(server.channel(), bearer("t"), "x");

			assertThat(lastCaller().name()).isEqualTo("bob");
			assertThat(lastCaller().authentication().getAuthorities()).extracting(GrantedAuthority::getAuthority)
				.containsExactly("ROLE_TELLER");
		}
	}

	@Test
	void callWhenTokenIsBoundThenOnlyItsCertificateMayPresentIt() {
		byte[] sha256 = new byte[32];
		sha256[0] = 1;
		String thumbprint = Base64.getUrlEncoder().withoutPadding().encodeToString(sha256);
		this.answer.set("{\"active\":true,\"sub\":\"a\",\"cnf\":{\"x5t#S256\":\"" + thumbprint + "\"}}");
		for (boolean own : new boolean[] { true, false }) {
			PeerIdentity peer = PeerIdentity.of(List.of("spiffe://bank/a"), List.of(), null,
					own ? sha256 : new byte[32]);
			AuthenticationStage stage = AuthenticationStage.builder().authenticators(List.of(authenticator())).build();
			try (TestServer server = TestServer.inProcess(new EchoService(),
					(security) -> security.stages(List.of(stage)).peerResolvers(List.of((call) -> {
						call.forwarded(new ForwardedPeer(null, peer));
						return null;
					})))) {
				assertThat(CallType.UNARY.call(server.channel(), bearer("t"), "x").code())
					.isEqualTo(own ? Code.OK : Code.UNAUTHENTICATED);
			}
		}
	}

	@ParameterizedTest
	@CsvSource({ "abc, true, true", "eyJhbGciOiJub25lIn0.e30.c2ln, true, false",
			"eyJhbGciOiJub25lIn0.e30., true, false", "eyJhbGciOiJub25lIn0.e30.c2ln, false, true", "a.b.c, true, true",
			"ewogImFsZyI6Im5vbmUifQ.e30.c2ln, true, false", "IAp7ImFsZyI6Im5vbmUifQ.e30.c2ln, true, false" })
	void callWhenTokenIsSignedThenOnlyWhoVerifiesItSeesIt(String token, boolean leaveJwts, boolean asked) {
		try (TestServer server = serve(authenticator((remote) -> {
		}, (builder) -> builder.leaveJwts(leaveJwts)))) {
			CallType.UNARY.call(server.channel(), bearer(token), "x");

			assertThat(this.requests).hasValue(asked ? 1 : 0);
		}
	}

	@Test
	void callWhenTokenIsTooLargeOrMalformedThenNobodyIsAsked() {
		try (TestServer server = serve(authenticator((remote) -> {
		}, (builder) -> builder.maxTokenSize(10)))) {
			for (String token : List.of("12345678901", "a%b", "a\"b", "===")) {
				assertThat(CallType.UNARY.call(server.channel(), bearer(token), "x").code())
					.isEqualTo(Code.UNAUTHENTICATED);
			}
			assertThat(this.requests).hasValue(0);
		}
	}

	@Test
	void callWhenApplicationAsksItselfThenItMayBlock() {
		ConcurrentLinkedQueue<String> names = new ConcurrentLinkedQueue<>();
		BlockingTokenIntrospector introspector = new BlockingTokenIntrospector((token) -> {
			names.add(Thread.currentThread().getName());
			if (token.equals("bad")) {
				throw new BadOpaqueTokenException("no");
			}
			if (token.equals("down")) {
				throw new IllegalStateException("down");
			}
			return new DefaultOAuth2AuthenticatedPrincipal("carol", Map.of("sub", "carol"), List.of());
		}, this.threads.executor());
		try (TestServer server = serve(
				OpaqueTokenAuthenticator.builder(introspector, this.threads.executor()).clock(this.now::get).build())) {
			assertThat(CallType.UNARY.call(server.channel(), bearer("good"), "x").code()).isEqualTo(Code.OK);
			assertThat(lastCaller().name()).isEqualTo("carol");
			assertThat(CallType.UNARY.call(server.channel(), bearer("bad"), "x").code())
				.isEqualTo(Code.UNAUTHENTICATED);
			assertThat(CallType.UNARY.call(server.channel(), bearer("down"), "x").code()).isEqualTo(Code.UNAVAILABLE);
			assertThat(names).hasSize(3).allMatch((name) -> name.startsWith("grpc-security"));
		}
	}

	@ParameterizedTest
	@CsvSource(delimiter = '|',
			value = { "http://idp.example/introspect | anybody on the way",
					"http://localhost.evil.example/x | anybody on the way", "ftp://idp.example/x | not an address",
					"/introspect | not an address", "https://user:pw@idp.example/x | a user or a password" })
	void builderWhenAddressIsNotSecureThenRefused(String uri, String message) {
		assertThatIllegalArgumentException()
			.isThrownBy(() -> RemoteTokenIntrospector.builder(URI.create(uri), "c", "s", this.threads.executor()))
			.withMessageContaining(message);
	}

}
