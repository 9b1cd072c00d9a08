package io.github.grpcsecurity.authentication.jwt;

import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.time.InstantSource;
import java.util.List;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.atomic.AtomicInteger;

import com.sun.net.httpserver.HttpServer;
import io.github.grpcsecurity.authentication.AuthenticationStage;
import io.github.grpcsecurity.server.GrpcSecurityThreads;
import io.github.grpcsecurity.testing.CallType;
import io.github.grpcsecurity.testing.EchoService;
import io.github.grpcsecurity.testing.TestServer;
import io.grpc.Status.Code;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatIllegalArgumentException;

class JwtIssuerResolverTests {

	private final GrpcSecurityThreads threads = new GrpcSecurityThreads();

	private final AtomicInteger requests = new AtomicInteger();

	private final ConcurrentLinkedQueue<String> asked = new ConcurrentLinkedQueue<>();

	private HttpServer http;

	private String base;

	private JwtCredentialAuthenticator authenticator;

	@BeforeEach
	void startKeyServer() throws Exception {
		this.http = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
		this.base = "http://127.0.0.1:" + this.http.getAddress().getPort();
		this.http.createContext("/", (exchange) -> {
			this.requests.incrementAndGet();
			String path = exchange.getRequestURI().getPath();
			String issuer = this.base + path.replace("/.well-known/openid-configuration", "");
			byte[] body = (path.endsWith("/jwks") ? TestTokens.jwkSet()
					: "{\"issuer\":\"" + issuer + "\",\"jwks_uri\":\"" + issuer + "/jwks\"}")
				.getBytes(StandardCharsets.UTF_8);
			exchange.sendResponseHeaders(200, body.length);
			exchange.getResponseBody().write(body);
			exchange.close();
		});
		this.http.start();
	}

	@AfterEach
	void stop() {
		if (this.authenticator != null) {
			this.authenticator.close();
		}
		this.threads.close();
		this.http.stop(0);
	}

	private TestServer serve(int max) {
		this.authenticator = JwtCredentialAuthenticator.builder(this.threads)
			.clock(InstantSource.fixed(TestTokens.NOW))
			.resolver(JwtIssuerResolver.of(this.base + "/realms/*", (issuer) -> {
				this.asked.add(issuer);
				return issuer.contains("/realms/tenant")
						? JwtIssuer.of(issuer).audiences(List.of(TestTokens.AUDIENCE)).build() : null;
			}), max)
			.build();
		return TestServer.inProcess(new EchoService(),
				List.of(AuthenticationStage.builder().authenticators(List.of(this.authenticator)).build()));
	}

	private Code call(TestServer server, String issuer) {
		return CallType.UNARY
			.call(server.channel(), TestTokens.bearer(TestTokens.token().claim("iss", issuer).sign()), "x")
			.code();
	}

	@Test
	void callWhenIssuerIsATenantThenItsKeysAreDiscoveredOnce() {
		try (TestServer server = serve(100)) {
			for (int i = 0; i < 3; i++) {
				assertThat(call(server, this.base + "/realms/tenant-1")).isEqualTo(Code.OK);
				assertThat(call(server, this.base + "/realms/tenant-2")).isEqualTo(Code.OK);
			}

			assertThat(this.asked).hasSize(2);
			assertThat(this.requests).hasValue(4);
			assertThat(this.authenticator.resolvedIssuers()).isEqualTo(2);
			this.authenticator.forget(this.base + "/realms/tenant-1");
			assertThat(this.authenticator.resolvedIssuers()).isEqualTo(1);
			assertThat(call(server, this.base + "/realms/tenant-1")).isEqualTo(Code.OK);
			assertThat(this.asked).hasSize(3);
		}
	}

	@Test
	void callWhenTenThousandIssuersAreUnknownThenNothingIsFetchedOrRemembered() {
		String[] parts = TestTokens.token().sign().split("\\.");
		try (TestServer server = serve(100)) {
			for (int i = 0; i < 10_000; i++) {
				// Half of them match the pattern; the signature does not matter
				String issuer = (i % 2 == 0) ? this.base + "/realms/unknown" + i
						: "http://127.0.0." + i + ":1/realms/tenant";
				String token = parts[0] + "." + TestTokens.token().claim("iss", issuer).content().split("\\.")[1] + "."
						+ parts[2];
				assertThat(CallType.UNARY.call(server.channel(), TestTokens.bearer(token), "x").code())
					.isEqualTo(Code.UNAUTHENTICATED);
			}

			assertThat(this.requests).hasValue(0);
			assertThat(this.asked).hasSize(5000);
			assertThat(this.authenticator.resolvedIssuers()).isZero();
			assertThat(this.authenticator.cache().size()).isZero();
		}
	}

	@Test
	void callWhenMoreIssuersAreNamedThanRememberedThenThoseWithoutGoodTokensGoFirst() {
		try (TestServer server = serve(3)) {
			assertThat(call(server, this.base + "/realms/tenant-1")).isEqualTo(Code.OK);
			assertThat(call(server, this.base + "/realms/tenant-2")).isEqualTo(Code.OK);
			int before = this.requests.get();
			for (int i = 0; i < 20; i++) {
				String forged = TestTokens.token()
					.claim("iss", this.base + "/realms/tenant-x" + i)
					.signedBy("RS256", "rsa", TestTokens.OTHER_RSA.getPrivate())
					.sign();
				assertThat(CallType.UNARY.call(server.channel(), TestTokens.bearer(forged), "x").code())
					.isEqualTo(Code.UNAUTHENTICATED);
				assertThat(this.authenticator.resolvedIssuers()).isLessThanOrEqualTo(3);
			}
			assertThat(this.requests).hasValue(before + 40);
			assertThat(call(server, this.base + "/realms/tenant-1")).isEqualTo(Code.OK);
			assertThat(call(server, this.base + "/realms/tenant-2")).isEqualTo(Code.OK);
			assertThat(this.requests).as("both were remembered").hasValue(before + 40);
		}
	}

	@Test
	void callWhenResolverAnswersWithAnotherIssuerThenItIsNotTrusted() {
		this.authenticator = JwtCredentialAuthenticator.builder(this.threads)
			.clock(InstantSource.fixed(TestTokens.NOW))
			.resolver(JwtIssuerResolver.of("https://idp.example/realms/*",
					(issuer) -> JwtIssuer.of("other")
						.audiences(List.of(TestTokens.AUDIENCE))
						.publicKeys(TestTokens.file(TestTokens.jwkSet()))
						.build()),
					10)
			.build();
		try (TestServer server = TestServer.inProcess(new EchoService(),
				List.of(AuthenticationStage.builder().authenticators(List.of(this.authenticator)).build()))) {
			assertThat(call(server, TestTokens.ISSUER)).isEqualTo(Code.UNAUTHENTICATED);
		}
	}

	@ParameterizedTest
	@ValueSource(strings = { "https://*", "https://*/realms/x", "https://idp.example*", "https://idp.example:*",
			"https://*example/x", "https://*.example", "https://a*.idp.example/", "*", "**",
			"https://idp.example/realms/a", "https://idp.example/*/*", "", "idp.example/*", "https://*.a@b.example*",
			"https://*.com/v2.0", "https://*.com?v2.0", "https://*.com#v2.0", "https://*.idp.example@evil.example",
			"https://*..example" })
	void parseWhenPatternIsTooWideThenItFails(String pattern) {
		assertThatIllegalArgumentException().isThrownBy(() -> IssuerPattern.parse(pattern));
	}

	@Test
	void matchesWhenIssuerIsMadeUpThenOnlyOneSegmentIsFree() {
		IssuerPattern path = IssuerPattern.parse("https://idp.example/realms/*");
		IssuerPattern host = IssuerPattern.parse("https://*.idp.example/v2");

		assertThat(List.of("https://idp.example/realms/bank", "https://idp.example/realms/a.b-c_d~E9"))
			.allMatch(path::matches);
		assertThat(List.of("https://idp.example/realms/", "https://idp.example/realms/.",
				"https://idp.example/realms/..", "https://idp.example/realms/a/b", "https://idp.example/realms/a?b",
				"https://idp.example/realms/a#b", "https://idp.example/realms/%2e", "https://idp.example/realms/a b",
				"https://idp.example/realms/a\\b", "https://idp.example/realms/" + "a".repeat(129),
				"https://idp.example.evil/realms/a", "https://evil.example/https://idp.example/realms/a",
				"https://idp.example/realms/\u0430"))
			.noneMatch(path::matches);
		assertThat(List.of("https://t1.idp.example/v2")).allMatch(host::matches);
		assertThat(List.of("https://evil.example/.idp.example/v2", "https://a@evil.idp.example/v2",
				"https://a:80.idp.example/v2", "https://.idp.example/v2"))
			.noneMatch(host::matches);
	}

}
