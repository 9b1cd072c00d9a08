package io.github.grpcsecurity.authentication.jwt;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.time.Instant;
import java.time.InstantSource;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;

import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import io.github.grpcsecurity.authentication.AuthenticationStage;
import io.github.grpcsecurity.server.GrpcSecurityThreads;
import io.github.grpcsecurity.server.GrpcServerSecurity;
import io.github.grpcsecurity.server.SecuredService;
import io.github.grpcsecurity.testing.CallType;
import io.github.grpcsecurity.testing.EchoService;
import io.github.grpcsecurity.testing.TestServer;
import io.grpc.Channel;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.Server;
import io.grpc.Status.Code;
import io.grpc.inprocess.InProcessChannelBuilder;
import io.grpc.inprocess.InProcessServerBuilder;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;

class JwtKeyServerIT {

	private final GrpcSecurityThreads threads = new GrpcSecurityThreads();

	private final ExecutorService httpThreads = Executors.newCachedThreadPool();

	private final AtomicInteger requests = new AtomicInteger();

	private final CountDownLatch release = new CountDownLatch(1);

	private volatile Instant now = TestTokens.NOW;

	private volatile Handler handler = answer(TestTokens.jwkSet());

	private HttpServer http;

	private JwtCredentialAuthenticator authenticator;

	@BeforeEach
	void startKeyServer() throws IOException {
		this.http = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
		this.http.setExecutor(this.httpThreads);
		this.http.createContext("/", (exchange) -> {
			this.requests.incrementAndGet();
			try (exchange) {
				this.handler.handle(exchange);
			}
			catch (InterruptedException ex) {
				Thread.currentThread().interrupt();
			}
		});
		this.http.start();
	}

	@AfterEach
	void stop() {
		this.release.countDown();
		if (this.authenticator != null) {
			this.authenticator.close();
		}
		this.threads.close();
		this.http.stop(0);
		this.httpThreads.shutdownNow();
	}

	private interface Handler {

		void handle(HttpExchange exchange) throws IOException, InterruptedException;

	}

	private static Handler answer(String body) {
		return answer(200, body.getBytes(StandardCharsets.UTF_8));
	}

	private static Handler answer(int status, byte[] body) {
		return (exchange) -> {
			exchange.sendResponseHeaders(status, (body.length > 0) ? body.length : -1);
			exchange.getResponseBody().write(body);
		};
	}

	private URI keyServer() {
		return URI.create("http://127.0.0.1:" + this.http.getAddress().getPort() + "/jwks");
	}

	private TestServer serve(JwtIssuer issuer) {
		this.authenticator = JwtCredentialAuthenticator.builder(this.threads)
			.clock((InstantSource) () -> this.now)
			.issuers(List.of(issuer))
			.build();
		return TestServer.inProcess(new EchoService(),
				List.of(AuthenticationStage.builder().authenticators(List.of(this.authenticator)).build()));
	}

	private JwtIssuer published() {
		return TestTokens.issuer().jwkSetUri(keyServer()).build();
	}

	private static CallType.Outcome call(TestServer server, TestTokens.Token token) {
		return call(server.channel(), token);
	}

	private static CallType.Outcome call(Channel channel, TestTokens.Token token) {
		return CallType.UNARY.call(channel, TestTokens.bearer(token.sign()), "x");
	}

	@ParameterizedTest
	@EnumSource
	void callWhenKeysHaveToBeFetchedThenItWaitsForThem(CallType type) {
		try (TestServer server = serve(published())) {
			Metadata headers = TestTokens.bearer(TestTokens.token().sign());

			assertThat(type.call(server.channel(), headers, "x").code()).isEqualTo(Code.OK);
			assertThat(type.call(server.channel(), headers, "x").code()).isEqualTo(Code.OK);
			assertThat(this.requests).hasValue(1);
			assertThat(type.call(server.channel(), TestTokens.bearer(TestTokens.token().claim("exp", 1).sign()), "x")
				.code()).isEqualTo(Code.UNAUTHENTICATED);
		}
	}

	@ParameterizedTest
	@EnumSource
	void callWhenKeysWereNeverFetchedThenItIsUnavailable(CallType type) {
		this.handler = answer(500, new byte[0]);
		try (TestServer server = serve(published())) {
			assertThat(type.call(server.channel(), TestTokens.bearer(TestTokens.token().sign()), "x").code())
				.isEqualTo(Code.UNAVAILABLE);

			this.handler = answer(TestTokens.jwkSet());
			this.now = this.now.plusSeconds(1);
			assertThat(type.call(server.channel(), TestTokens.bearer(TestTokens.token().sign()), "x").code())
				.isEqualTo(Code.OK);
		}
	}

	@ParameterizedTest
	@ValueSource(strings = { "500", "redirect", "garbage", "empty", "symmetric", "large", "hang", "drip", "refuse" })
	void callWhenKeyServerMisbehavesThenLastGoodKeysStay(String fault) {
		try (TestServer server = serve(published())) {
			assertThat(call(server, TestTokens.token()).code()).isEqualTo(Code.OK);
			this.handler = fault(fault);
			this.now = this.now.plusSeconds(31);
			TestTokens.Token unknown = TestTokens.token()
				.signedBy("RS256", "rotated", TestTokens.OTHER_RSA.getPrivate());

			assertThat(call(server, unknown).code()).isEqualTo(Code.UNAVAILABLE);
			assertThat(this.requests).hasValueGreaterThanOrEqualTo(2);
			assertThat(call(server, TestTokens.token()).code()).isEqualTo(Code.OK);
			this.handler = answer(TestTokens.jwkSet(TestTokens.rsa(TestTokens.OTHER_RSA, "rotated")));
			this.now = this.now.plusSeconds(31);
			assertThat(call(server, unknown).code()).isEqualTo(Code.OK);
			assertThat(call(server, TestTokens.token()).code()).isEqualTo(Code.UNAUTHENTICATED);
		}
	}

	private Handler fault(String name) {
		return switch (name) {
			case "500" -> answer(500, TestTokens.jwkSet().getBytes(StandardCharsets.UTF_8));
			case "redirect" -> (exchange) -> {
				boolean redirected = exchange.getRequestURI().getPath().equals("/elsewhere");
				exchange.getResponseHeaders().add("location", "/elsewhere");
				answer(redirected ? 200 : 302, TestTokens.jwkSet(TestTokens.rsa(TestTokens.OTHER_RSA, "rotated"))
					.getBytes(StandardCharsets.UTF_8)).handle(exchange);
			};
			case "garbage" -> answer("<html>maintenance</html>");
			case "empty" -> answer("{\"keys\":[]}");
			case "symmetric" -> answer("{\"keys\":[{\"kty\":\"oct\",\"kid\":\"rotated\",\"k\":\"c2VjcmV0\"}]}");
			case "large" -> answer(200, new byte[10 * 1024 * 1024]);
			case "hang" -> (exchange) -> this.release.await(20, TimeUnit.SECONDS);
			case "drip" -> (exchange) -> {
				exchange.sendResponseHeaders(200, 0);
				do {
					exchange.getResponseBody().write(' ');
					exchange.getResponseBody().flush();
				}
				while (!this.release.await(100, TimeUnit.MILLISECONDS));
			};
			case "refuse" -> (exchange) -> exchange.close();
			default -> throw new IllegalArgumentException(name);
		};
	}

	@Test
	void callWhenManyTokensNameUnknownKeysThenServerIsAskedOnce() {
		try (TestServer server = serve(published())) {
			assertThat(call(server, TestTokens.token()).code()).isEqualTo(Code.OK);
			for (int i = 0; i < 50; i++) {
				assertThat(call(server, TestTokens.token().header("kid", "unknown" + i)).code())
					.isEqualTo(Code.UNAUTHENTICATED);
			}
			assertThat(this.requests).hasValue(2);
		}
	}

	@Test
	void callWhenIssuersAreUnknownThenNothingIsFetched() {
		try (TestServer server = serve(published())) {
			for (int i = 0; i < 200; i++) {
				assertThat(call(server, TestTokens.token().claim("iss", keyServer() + "/" + i)).code())
					.isEqualTo(Code.UNAUTHENTICATED);
			}
			assertThat(this.requests).hasValue(0);
		}
	}

	@Test
	void callWhenManyWaitForTheFirstKeysThenTheyAreFetchedOnce() throws Exception {
		this.handler = (exchange) -> {
			this.release.await(20, TimeUnit.SECONDS);
			answer(TestTokens.jwkSet()).handle(exchange);
		};
		try (TestServer server = serve(published())) {
			List<CompletableFuture<Code>> calls = new ArrayList<>();
			for (int i = 0; i < 20; i++) {
				calls.add(
						CompletableFuture.supplyAsync(() -> call(server, TestTokens.token()).code(), this.httpThreads));
			}
			while (this.requests.get() == 0) {
				Thread.onSpinWait();
			}
			this.release.countDown();

			assertThat(calls).allSatisfy((call) -> assertThat(call.get(20, TimeUnit.SECONDS)).isEqualTo(Code.OK));
			assertThat(this.requests).hasValue(1);
		}
	}

	@Test
	void callWhenKeyServerHangsThenOtherCallsDoNotWait() throws Exception {
		this.handler = fault("hang");
		JwtIssuer other = JwtIssuer.of("other")
			.audiences(List.of(TestTokens.AUDIENCE))
			.publicKeys(TestTokens.file(TestTokens.jwkSet()))
			.build();
		this.authenticator = JwtCredentialAuthenticator.builder(this.threads)
			.clock((InstantSource) () -> this.now)
			.issuers(List.of(published(), other))
			.build();
		GrpcServerSecurity security = GrpcServerSecurity.builder()
			.executor(this.threads.executor())
			.stages(List.of(AuthenticationStage.builder().authenticators(List.of(this.authenticator)).build()))
			.build();
		ExecutorService single = Executors.newSingleThreadExecutor();
		EchoService service = new EchoService();
		InProcessServerBuilder builder = InProcessServerBuilder.forName("single").executor(single);
		security.install(builder, List.of(new SecuredService(service.bindService(), service, "echoService")));
		Server server = builder.build().start();
		ManagedChannel channel = InProcessChannelBuilder.forName("single").build();
		try {
			Metadata others = TestTokens.bearer(TestTokens.token().claim("iss", "other").sign());
			assertThat(CallType.UNARY.call(channel, others, "x").code()).isEqualTo(Code.OK);
			CompletableFuture<Code> waiting = CompletableFuture
				.supplyAsync(() -> call(channel, TestTokens.token()).code(), this.httpThreads);
			while (this.requests.get() == 0) {
				Thread.onSpinWait();
			}
			for (int i = 0; i < 3; i++) {
				assertThat(CallType.UNARY.call(channel, others, "x").code()).isEqualTo(Code.OK);
			}

			assertThat(waiting).isNotDone();
			assertThat(waiting.get(20, TimeUnit.SECONDS)).isEqualTo(Code.UNAVAILABLE);
		}
		finally {
			channel.shutdownNow();
			server.shutdownNow();
			single.shutdownNow();
		}
	}

	@Test
	void startWhenServerAnswersThenFirstCallFindsTheKeys() {
		try (TestServer server = serve(published())) {
			this.authenticator.start();

			assertThat(call(server, TestTokens.token()).code()).isEqualTo(Code.OK);
			assertThat(this.requests).hasValue(1);
		}
	}

	@Test
	void callWhenKeysAreDiscoveredThenDocumentMustNameTheIssuer() {
		String base = keyServer().resolve("/").toString();
		String issuer = base + "realms/bank";
		JwtIssuer description = JwtIssuer.of(issuer).audiences(List.of(TestTokens.AUDIENCE)).build();
		this.handler = discovery(issuer + "/", keyServer().toString());
		try (TestServer server = serve(description)) {
			TestTokens.Token token = TestTokens.token().claim("iss", issuer);
			assertThat(call(server, token).code()).isEqualTo(Code.UNAVAILABLE);
			assertThat(this.requests).hasValue(1);

			this.now = this.now.plusSeconds(1);
			this.handler = discovery(issuer, "http://keys.example/jwks");
			assertThat(call(server, token).code()).isEqualTo(Code.UNAVAILABLE);
			assertThat(this.requests).hasValue(2);

			this.now = this.now.plusSeconds(2);
			this.handler = discovery(issuer, keyServer().toString());
			assertThat(call(server, token).code()).isEqualTo(Code.OK);
			assertThat(this.requests).hasValue(4);
		}
	}

	/** Or an issuer could have this server send requests to what listens next to it. */
	@ParameterizedTest
	@ValueSource(strings = { "http://127.0.0.1:6379/", "http://localhost:8080/actuator/shutdown", "http://[::1]/",
			"HTTP://127.0.0.1/", "https://a@127.0.0.1/", "file:///etc/passwd", "jar:https://keys.example/a.jar!/k" })
	void callWhenDiscoveryLeadsAwayFromHttpsThenNothingIsFetchedFromThere(String jwkSetUri) {
		String issuer = "https://idp.example";
		String document = "{\"issuer\":\"https://idp.example\",\"jwks_uri\":\"%s\"}";
		assertThat(KeyServer.jwkSetUri(issuer, document.formatted("https://keys.example/jwks")))
			.hasToString("https://keys.example/jwks");

		assertThatExceptionOfType(CompletionException.class)
			.isThrownBy(() -> KeyServer.jwkSetUri(issuer, document.formatted(jwkSetUri)));
	}

	private static Handler discovery(String issuer, String jwkSetUri) {
		return (exchange) -> {
			String path = exchange.getRequestURI().getPath();
			if (path.equals("/realms/bank/.well-known/openid-configuration")) {
				answer("{\"issuer\":\"" + issuer + "\",\"jwks_uri\":\"" + jwkSetUri + "\"}").handle(exchange);
			}
			else if (path.equals("/jwks")) {
				answer(TestTokens.jwkSet()).handle(exchange);
			}
			else {
				throw new UncheckedIOException(new IOException(path));
			}
		};
	}

}
