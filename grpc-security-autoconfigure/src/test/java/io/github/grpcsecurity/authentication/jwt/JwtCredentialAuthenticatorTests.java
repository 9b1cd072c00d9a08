package io.github.grpcsecurity.authentication.jwt;

import java.nio.charset.StandardCharsets;
import java.security.GeneralSecurityException;
import java.security.KeyPair;
import java.time.Duration;
import java.time.Instant;
import java.time.InstantSource;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.function.Consumer;
import java.util.stream.Stream;

import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;

import io.github.grpcsecurity.authentication.AuthenticationStage;
import io.github.grpcsecurity.authentication.AuthoritiesClaim;
import io.github.grpcsecurity.authentication.GrpcAuthenticationDetails;
import io.github.grpcsecurity.authentication.jwt.TestTokens.Token;
import io.github.grpcsecurity.server.CallDecision;
import io.github.grpcsecurity.server.CallObserver;
import io.github.grpcsecurity.server.GrpcCaller;
import io.github.grpcsecurity.server.GrpcSecurityThreads;
import io.github.grpcsecurity.server.SecuredCall;
import io.github.grpcsecurity.server.VerifiedCredential;
import io.github.grpcsecurity.testing.CallType;
import io.github.grpcsecurity.testing.EchoService;
import io.github.grpcsecurity.testing.TestServer;
import io.grpc.Metadata;
import io.grpc.Status.Code;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestFactory;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

import org.springframework.security.authentication.AuthenticationProvider;
import org.springframework.security.authentication.AuthenticationServiceException;
import org.springframework.security.authentication.BadCredentialsException;
import org.springframework.security.authentication.UsernamePasswordAuthenticationToken;
import org.springframework.security.core.Authentication;
import org.springframework.security.core.GrantedAuthority;
import org.springframework.security.core.authority.AuthorityUtils;
import org.springframework.security.oauth2.jwt.BadJwtException;
import org.springframework.security.oauth2.jwt.Jwt;
import org.springframework.security.oauth2.jwt.JwtDecoder;
import org.springframework.security.oauth2.jwt.JwtException;
import org.springframework.security.oauth2.server.resource.authentication.BearerTokenAuthenticationToken;
import org.springframework.security.oauth2.server.resource.authentication.JwtAuthenticationToken;
import org.springframework.security.oauth2.server.resource.authentication.OpaqueTokenAuthenticationProvider;
import org.springframework.security.oauth2.server.resource.introspection.OAuth2IntrospectionAuthenticatedPrincipal;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatIllegalArgumentException;

class JwtCredentialAuthenticatorTests {

	private final GrpcSecurityThreads threads = new GrpcSecurityThreads();

	private final EchoService service = new EchoService();

	private final ConcurrentLinkedQueue<Authentication> callers = new ConcurrentLinkedQueue<>();

	private final ConcurrentLinkedQueue<String> reasons = new ConcurrentLinkedQueue<>();

	private final ConcurrentLinkedQueue<GrpcCaller> seen = new ConcurrentLinkedQueue<>();

	private volatile Instant now = TestTokens.NOW;

	@AfterEach
	void stopThreads() {
		this.threads.close();
	}

	private JwtCredentialAuthenticator.Builder authenticator() {
		return JwtCredentialAuthenticator.builder(this.threads).clock((InstantSource) () -> this.now);
	}

	private TestServer serve(JwtCredentialAuthenticator authenticator) {
		return TestServer.inProcess(this.service,
				List.of(AuthenticationStage.builder().authenticators(List.of(authenticator)).build()),
				new CallObserver() {
					@Override
					public void decided(SecuredCall call, CallDecision decision) {
						JwtCredentialAuthenticatorTests.this.callers.add(call.authentication());
						JwtCredentialAuthenticatorTests.this.seen.add(call.caller());
						if (decision.refusal() != null) {
							JwtCredentialAuthenticatorTests.this.reasons.add(decision.refusal().reason());
						}
					}
				});
	}

	private TestServer serve() {
		return serve(authenticator().issuers(List.of(TestTokens.issuerWithKeys())).build());
	}

	private Authentication identify(TestServer server, String token) {
		CallType.Outcome outcome = CallType.UNARY.call(server.channel(), TestTokens.bearer(token), "hello");
		assertThat(outcome.code()).as("%s", this.reasons).isEqualTo(Code.OK);
		return this.callers.poll();
	}

	@ParameterizedTest
	@EnumSource
	void callWhenTokenIsGoodThenHandlerRunsAsItsPrincipal(CallType type) {
		try (TestServer server = serve()) {
			CallType.Outcome outcome = type.call(server.channel(), TestTokens.bearer(TestTokens.token().sign()),
					"hello");

			assertThat(outcome.code()).as("%s", this.reasons).isEqualTo(Code.OK);
			Authentication caller = this.callers.poll();
			assertThat(caller).isInstanceOf(JwtAuthenticationToken.class);
			assertThat(caller.getName()).isEqualTo("alice");
			assertThat(this.seen.poll().credential(VerifiedCredential.JWT)).satisfies((credential) -> {
				assertThat(credential.subject()).isEqualTo(VerifiedCredential.Subject.USER);
				assertThat(credential.issuer()).isEqualTo(credential.claims().get("iss")).isNotNull();
				assertThat(credential.expiresAt()).isNotNull();
			});
		}
	}

	@ParameterizedTest
	@EnumSource
	void callWhenThereIsNoTokenThenCallerIsAnonymous(CallType type) {
		try (TestServer server = serve()) {
			assertThat(type.call(server.channel()).code()).isEqualTo(Code.OK);
			assertThat(this.callers.poll().getName()).isEqualTo("anonymous");
		}
	}

	@ParameterizedTest
	@EnumSource
	void callWhenTokenIsBadThenHandlerNeverRuns(CallType type) {
		try (TestServer server = serve()) {
			CallType.Outcome outcome = type.call(server.channel(),
					TestTokens.bearer(TestTokens.token().claim("aud", "somebody-else").sign()), "hello");

			assertThat(outcome.code()).isEqualTo(Code.UNAUTHENTICATED);
			assertThat(outcome.status().getDescription()).isEqualTo("authentication failed");
			assertThat(this.service.entered).hasValue(0);
		}
	}

	@Test
	void authenticationWhenPrintedThenTokenIsNotInIt() {
		try (TestServer server = serve()) {
			String token = TestTokens.token().sign();
			Authentication caller = identify(server, token);

			assertThat(caller.getDetails()).isInstanceOf(GrpcAuthenticationDetails.class);
			assertThat(caller.toString() + caller.getDetails()).doesNotContain(token)
				.doesNotContain(token.substring(token.length() - 20));
		}
	}

	@TestFactory
	Stream<DynamicTest> goodTokens() {
		Map<String, Token> tokens = new LinkedHashMap<>();
		tokens.put("RS256", TestTokens.token());
		tokens.put("PS256", TestTokens.token().signedBy("PS256", "rsa", TestTokens.RSA.getPrivate()));
		tokens.put("ES256", TestTokens.token().signedBy("ES256", "ec", TestTokens.EC.getPrivate()));
		tokens.put("EdDSA", TestTokens.token().signedBy("EdDSA", "ed", TestTokens.ED25519.getPrivate()));
		tokens.put("Ed25519", TestTokens.token().signedBy("Ed25519", "ed", TestTokens.ED25519.getPrivate()));
		tokens.put("no kid", TestTokens.token().header("kid", null));
		tokens.put("typ JWT", TestTokens.token().header("typ", "JWT"));
		tokens.put("typ at+jwt", TestTokens.token().header("typ", "at+jwt"));
		tokens.put("typ application/at+jwt", TestTokens.token().header("typ", "application/at+jwt"));
		tokens.put("several audiences", TestTokens.token().claim("aud", List.of("other", TestTokens.AUDIENCE)));
		tokens.put("no iat", TestTokens.token().claim("iat", null));
		tokens.put("expired within skew",
				TestTokens.token().claim("exp", TestTokens.NOW.minusSeconds(29).getEpochSecond()));
		tokens.put("not yet valid within skew",
				TestTokens.token().claim("nbf", TestTokens.NOW.plusSeconds(29).getEpochSecond()));
		return tokens.entrySet().stream().map((entry) -> DynamicTest.dynamicTest(entry.getKey(), () -> {
			try (TestServer server = serve()) {
				assertThat(identify(server, entry.getValue().sign()).getName()).isEqualTo("alice");
			}
		}));
	}

	private static Map<String, Metadata> badCredentials() throws GeneralSecurityException {
		Map<String, Metadata> bad = new LinkedHashMap<>();
		for (String none : List.of("none", "NONE", "nOnE")) {
			String content = TestTokens.token().header("alg", none).content();
			bad.put("alg " + none + " unsigned", TestTokens.bearer(content + "."));
			bad.put("alg " + none + " signed", TestTokens.bearer(TestTokens.token().header("alg", none).sign()));
		}
		for (byte[] secret : List.of(TestTokens.RSA.getPublic().getEncoded(),
				TestTokens.pem("PUBLIC KEY", TestTokens.RSA.getPublic().getEncoded())
					.getBytes(StandardCharsets.UTF_8))) {
			Mac mac = Mac.getInstance("HmacSHA256");
			mac.init(new SecretKeySpec(secret, "HmacSHA256"));
			String content = TestTokens.token().header("alg", "HS256").content();
			bad.put("HS256 with public key of " + secret.length, TestTokens
				.bearer(content + "." + TestTokens.encode(mac.doFinal(content.getBytes(StandardCharsets.US_ASCII)))));
		}
		KeyPair attacker = TestTokens.OTHER_RSA;
		bad(bad, "other key", (token) -> token.signedBy("RS256", "rsa", attacker.getPrivate()));
		bad(bad, "other key, no kid", (token) -> token.signedBy("RS256", null, attacker.getPrivate()));
		bad(bad, "embedded jwk", (token) -> token.signedBy("RS256", "rsa", attacker.getPrivate())
			.header("jwk", TestTokens.rsa(attacker, "rsa").toJSONObject()));
		bad(bad, "embedded jwk, good signature",
				(token) -> token.header("jwk", TestTokens.rsa(TestTokens.RSA, "rsa").toJSONObject()));
		bad(bad, "jku", (token) -> token.header("jku", "https://evil.example/jwks.json"));
		bad(bad, "jku of the issuer", (token) -> token.header("jku", TestTokens.ISSUER + "/jwks"));
		bad(bad, "x5u", (token) -> token.header("x5u", "https://evil.example/cert.pem"));
		bad(bad, "x5c", (token) -> token.header("x5c", List.of("MIIB")));
		bad(bad, "kid traversal", (token) -> token.header("kid", "../../../../dev/null"));
		bad(bad, "kid injection", (token) -> token.header("kid", "x' UNION SELECT 'key"));
		bad(bad, "unknown kid", (token) -> token.header("kid", "unknown"));
		bad(bad, "kid of an EC key", (token) -> token.header("kid", "ec"));
		bad(bad, "kid is a number", (token) -> token.header("kid", 7));
		bad(bad, "RS512 is not accepted", (token) -> token.signedBy("RS512", "rsa", TestTokens.RSA.getPrivate()));
		bad(bad, "alg of another family", (token) -> token.header("alg", "ES256"));
		bad(bad, "alg of the same key, other padding", (token) -> token.header("alg", "PS256"));
		bad(bad, "EC token, Ed25519 key", (token) -> token.signedBy("ES256", "ed", TestTokens.EC.getPrivate()));
		bad(bad, "Ed25519 token, EC key", (token) -> token.signedBy("EdDSA", "ec", TestTokens.ED25519.getPrivate()));
		bad(bad, "no alg", (token) -> token.header("alg", null));
		bad(bad, "crit unknown", (token) -> token.header("crit", List.of("exp")).header("exp", 1));
		bad(bad, "crit empty", (token) -> token.header("crit", List.of()));
		bad(bad, "b64 false", (token) -> token.header("b64", false).header("crit", List.of("b64")));
		bad(bad, "b64 false, not critical", (token) -> token.header("b64", false));
		bad(bad, "typ of something else", (token) -> token.header("typ", "dpop+jwt"));
		bad(bad, "typ logout", (token) -> token.header("typ", "logout+jwt"));
		long exp = TestTokens.NOW.getEpochSecond();
		bad(bad, "expired", (token) -> token.claim("exp", exp - 31));
		bad(bad, "expired long ago", (token) -> token.claim("exp", 0));
		bad(bad, "no exp", (token) -> token.claim("exp", null));
		bad(bad, "exp is a text", (token) -> token.claim("exp", "tomorrow"));
		bad(bad, "not yet valid", (token) -> token.claim("nbf", exp + 31));
		bad(bad, "issued in the future", (token) -> token.claim("iat", exp + 31));
		bad(bad, "wrong aud", (token) -> token.claim("aud", "other"));
		bad(bad, "aud in other case", (token) -> token.claim("aud", "BANK-API"));
		bad(bad, "aud as part", (token) -> token.claim("aud", "bank-api other"));
		bad(bad, "no aud", (token) -> token.claim("aud", null));
		bad(bad, "empty aud", (token) -> token.claim("aud", List.of()));
		bad(bad, "wrong iss", (token) -> token.claim("iss", "https://evil.example"));
		bad(bad, "iss with slash", (token) -> token.claim("iss", TestTokens.ISSUER + "/"));
		bad(bad, "iss in other case", (token) -> token.claim("iss", TestTokens.ISSUER.replace("idp", "IDP")));
		bad(bad, "no iss", (token) -> token.claim("iss", null));
		bad(bad, "iss is a list", (token) -> token.claim("iss", List.of(TestTokens.ISSUER)));
		bad(bad, "no sub", (token) -> token.claim("sub", null));
		bad(bad, "empty sub", (token) -> token.claim("sub", " "));
		bad(bad, "bound to a certificate", (token) -> token.claim("cnf", Map.of("x5t#S256", "A".repeat(43))));
		bad(bad, "bound to a DPoP key", (token) -> token.claim("cnf", Map.of("jkt", "A".repeat(43))));
		bad(bad, "bound to nonsense", (token) -> token.claim("cnf", "yes"));
		bad(bad, "too large", (token) -> token.claim("filler", "x".repeat(8192)));
		String good = TestTokens.token().sign();
		String[] parts = good.split("\\.");
		bad.put("tampered payload", TestTokens.bearer(
				parts[0] + "." + TestTokens.token().claim("sub", "root").content().split("\\.")[1] + "." + parts[2]));
		bad.put("tampered header",
				TestTokens.bearer(TestTokens.token().header("typ", "JWT").content() + "." + parts[2]));
		byte[] signature = java.util.Base64.getUrlDecoder().decode(parts[2]);
		signature[signature.length / 2] ^= 1;
		bad.put("tampered signature",
				TestTokens.bearer(parts[0] + "." + parts[1] + "." + TestTokens.encode(signature)));
		bad.put("header null", TestTokens.bearer("bnVsbA.e30.AA"));
		for (String filler : List.of("=", "==", "~", "+", "/")) {
			bad.put("signature with " + filler, TestTokens.bearer(good + filler));
			bad.put("signature around " + filler, TestTokens
				.bearer(parts[0] + "." + parts[1] + "." + parts[2].substring(0, 8) + filler + parts[2].substring(8)));
		}
		bad.put("no signature", TestTokens.bearer(parts[0] + "." + parts[1] + "."));
		bad.put("two parts", TestTokens.bearer(parts[0] + "." + parts[1]));
		bad.put("four parts", TestTokens.bearer(good + "." + parts[2]));
		bad.put("five parts", TestTokens.bearer(good + "." + parts[1] + "." + parts[2]));
		String es256 = TestTokens.token().signedBy("ES256", "ec", TestTokens.EC.getPrivate()).content();
		bad.put("ES256 zero signature", TestTokens.bearer(es256 + "." + TestTokens.encode(new byte[64])));
		bad.put("ES256 short signature", TestTokens.bearer(es256 + "." + TestTokens.encode(new byte[8])));
		String ed = TestTokens.token().signedBy("EdDSA", "ed", TestTokens.ED25519.getPrivate()).content();
		bad.put("EdDSA zero signature", TestTokens.bearer(ed + "." + TestTokens.encode(new byte[64])));
		bad.put("EdDSA short signature", TestTokens.bearer(ed + "." + TestTokens.encode(new byte[63])));
		String doubled = "{\"alg\":\"RS256\",\"kid\":\"rsa\",\"alg\":\"none\"}";
		bad.put("header member twice", TestTokens.bearer(TestTokens.encode(doubled) + "." + parts[1] + "." + parts[2]));
		bad.put("not base64", TestTokens.bearer("a.b.c"));
		bad.put("opaque", TestTokens.bearer("0123456789abcdef"));
		bad.put("array payload", TestTokens.bearer(parts[0] + "." + TestTokens.encode("[]") + "." + parts[2]));
		bad.put("1 MB", TestTokens.bearer("x".repeat(1024 * 1024)));
		bad.put("deep JSON", TestTokens.bearer(TestTokens.encode("[".repeat(3000)) + "." + parts[1] + "." + parts[2]));
		bad.put("padding inside", TestTokens.bearer(parts[0] + "=." + parts[1] + "." + parts[2]));
		bad.put("doubled", TestTokens.headers("Bearer " + good, "Bearer " + good));
		bad.put("good and empty", TestTokens.headers("Bearer " + good, ""));
		bad.put("bad and good", TestTokens.headers("Bearer x", "Bearer " + good));
		bad.put("comma-joined", TestTokens.headers("Bearer " + good + ",Bearer " + good));
		bad.put("comma at the end", TestTokens.headers("Bearer " + good + ","));
		bad.put("two spaces", TestTokens.headers("Bearer  " + good));
		bad.put("tab", TestTokens.headers("Bearer\t" + good));
		bad.put("leading space", TestTokens.headers(" Bearer " + good));
		bad.put("trailing space", TestTokens.headers("Bearer " + good + " "));
		bad.put("no scheme", TestTokens.headers(good));
		bad.put("scheme only", TestTokens.headers("Bearer"));
		bad.put("scheme and space", TestTokens.headers("Bearer "));
		bad.put("empty", TestTokens.headers(""));
		bad.put("Basic", TestTokens.headers("Basic YWxpY2U6c2VjcmV0"));
		bad.put("DPoP", TestTokens.headers("DPoP " + good));
		bad.put("only padding", TestTokens.headers("Bearer =="));
		bad.put("quoted", TestTokens.headers("Bearer \"" + good + "\""));
		return bad;
	}

	private static void bad(Map<String, Metadata> bad, String name, Consumer<Token> change) {
		bad.put(name, TestTokens.bearer(TestTokens.token().with(change).sign()));
	}

	@Test
	void callWhenCredentialsAreBadThenEveryCauseLooksTheSame() throws GeneralSecurityException {
		Map<String, Metadata> bad = badCredentials();
		Map<String, String> seen = new LinkedHashMap<>();
		try (TestServer server = serve()) {
			bad.forEach(
					(name, headers) -> seen.put(name, describe(CallType.UNARY.call(server.channel(), headers, "x"))));
		}

		assertThat(bad).hasSizeGreaterThan(80);
		assertThat(Set.copyOf(seen.values())).as("%s", seen).hasSize(1);
		assertThat(seen.get("expired")).startsWith("UNAUTHENTICATED authentication failed");
		assertThat(this.service.entered).hasValue(0);
		assertThat(this.reasons).hasSameSizeAs(seen.keySet());
		String good = TestTokens.token().sign();
		assertThat(this.reasons).allSatisfy((reason) -> assertThat(reason).doesNotContain(good.substring(40, 60))
			.doesNotContain("evil")
			.hasSizeLessThan(200));
	}

	private static String describe(CallType.Outcome outcome) {
		Map<String, List<String>> trailers = new java.util.TreeMap<>();
		for (String name : outcome.trailers().keys()) {
			List<String> values = new ArrayList<>();
			if (name.endsWith("-bin")) {
				outcome.trailers()
					.getAll(Metadata.Key.of(name, Metadata.BINARY_BYTE_MARSHALLER))
					.forEach((value) -> values.add(Arrays.toString(value)));
			}
			else {
				outcome.trailers().getAll(Metadata.Key.of(name, Metadata.ASCII_STRING_MARSHALLER)).forEach(values::add);
			}
			trailers.put(name, values);
		}
		return outcome.code() + " " + outcome.status().getDescription() + " " + trailers;
	}

	@ParameterizedTest
	@ValueSource(strings = { "Bearer", "bearer", "BEARER" })
	void callWhenSchemeIsInAnyCaseThenTokenIsVerified(String scheme) {
		try (TestServer server = serve()) {
			Metadata headers = TestTokens.headers(scheme + " " + TestTokens.token().sign());

			assertThat(CallType.UNARY.call(server.channel(), headers, "x").code()).isEqualTo(Code.OK);
		}
	}

	@ParameterizedTest
	@CsvSource({ "29, OK", "30, OK", "31, UNAUTHENTICATED" })
	void callWhenTokenRanOutThenSkewDecidesToTheSecond(int secondsLate, Code code) {
		try (TestServer server = serve()) {
			String token = TestTokens.token().sign();
			this.now = TestTokens.NOW.plusSeconds(300 + secondsLate);

			assertThat(CallType.UNARY.call(server.channel(), TestTokens.bearer(token), "x").code()).isEqualTo(code);
		}
	}

	@Test
	void callWhenKeySetHasAnEncryptionKeyThenItVerifiesNothing() throws Exception {
		VerificationKeys keys = VerificationKeys.parsePublished(TestTokens.publishedWithEncryptionKey());

		assertThat(keys.size()).isEqualTo(1);
		assertThat(keys.has(com.nimbusds.jose.JWSHeader.parse("{\"alg\":\"RS256\",\"kid\":\"enc\"}"))).isFalse();
	}

	@Test
	void callWhenKeyComesFromPemThenAnyKidIsTaken() {
		String pem = TestTokens.pem("PUBLIC KEY", TestTokens.RSA.getPublic().getEncoded());
		JwtIssuer issuer = TestTokens.issuer().publicKeys(TestTokens.file(pem)).build();
		try (TestServer server = serve(authenticator().issuers(List.of(issuer)).build())) {
			assertThat(identify(server, TestTokens.token().header("kid", "whatever").sign()).getName())
				.isEqualTo("alice");
		}
	}

	@Test
	void callWhenAnyAudienceIsTakenThenNobodyLooksAtIt() {
		JwtIssuer issuer = JwtIssuer.of(TestTokens.ISSUER)
			.anyAudience()
			.publicKeys(TestTokens.file(TestTokens.jwkSet()))
			.build();
		try (TestServer server = serve(authenticator().issuers(List.of(issuer)).build())) {
			assertThat(identify(server, TestTokens.token().claim("aud", null).sign()).getName()).isEqualTo("alice");
		}
	}

	@Test
	void authoritiesWhenClaimsAreThereThenTheyComeFromAllOfThem() {
		try (TestServer server = serve()) {
			Authentication caller = identify(server,
					TestTokens.token()
						.claim("scope", "accounts.read accounts.write")
						.claim("scp", List.of("audit"))
						.claim("roles", List.of("TELLER"))
						.sign());

			assertThat(caller.getAuthorities()).extracting(GrantedAuthority::getAuthority)
				.contains("SCOPE_accounts.read", "SCOPE_accounts.write", "SCOPE_audit", "ROLE_TELLER");
		}
	}

	@Test
	void authoritiesWhenClaimsAreConfiguredThenOnlyTheyCount() {
		JwtIssuer issuer = TestTokens.issuer()
			.publicKeys(TestTokens.file(TestTokens.jwkSet()))
			.principalClaim("preferred_username")
			.authorities(List.of(new AuthoritiesClaim("realm_access.roles", "ROLE_")))
			.build();
		try (TestServer server = serve(authenticator().issuers(List.of(issuer)).build())) {
			Authentication caller = identify(server,
					TestTokens.token()
						.claim("preferred_username", "alice@bank")
						.claim("scope", "accounts.read")
						.claim("realm_access", Map.of("roles", List.of("TELLER")))
						.sign());

			assertThat(caller.getName()).isEqualTo("alice@bank");
			assertThat(caller.getAuthorities()).extracting(GrantedAuthority::getAuthority)
				.contains("ROLE_TELLER")
				.doesNotContain("SCOPE_accounts.read");
		}
	}

	@Test
	void callWhenApplicationHasAConverterThenItNamesTheCaller() {
		JwtCredentialAuthenticator authenticator = authenticator().issuers(List.of(TestTokens.issuerWithKeys()))
			.converter(
					(jwt) -> new JwtAuthenticationToken(jwt, AuthorityUtils.createAuthorityList("MINE"), "converted"))
			.build();
		try (TestServer server = serve(authenticator)) {
			assertThat(identify(server, TestTokens.token().sign()).getName()).isEqualTo("converted");
		}
	}

	@ParameterizedTest
	@EnumSource
	void callWhenApplicationHasADecoderAndNoIssuersThenItDecides(CallType type) {
		JwtDecoder decoder = (token) -> {
			if (token.equals("good")) {
				return Jwt.withTokenValue(token).header("alg", "custom").subject("bob").build();
			}
			if (token.equals("down")) {
				throw new JwtException("no keys");
			}
			throw new BadJwtException("bad " + token);
		};
		try (TestServer server = serve(authenticator().decoder(decoder).build())) {
			assertThat(type.call(server.channel(), TestTokens.bearer("good"), "x").code()).isEqualTo(Code.OK);
			assertThat(this.callers.poll().getName()).isEqualTo("bob");
			assertThat(type.call(server.channel(), TestTokens.bearer("bad"), "x").code())
				.isEqualTo(Code.UNAUTHENTICATED);
			assertThat(type.call(server.channel(), TestTokens.bearer("down"), "x").code()).isEqualTo(Code.UNAVAILABLE);
			assertThat(type.call(server.channel(), TestTokens.headers("Bearer good", "Bearer good"), "x").code())
				.isEqualTo(Code.UNAUTHENTICATED);
			assertThat(type.call(server.channel(), TestTokens.bearer("x".repeat(9000)), "x").code())
				.isEqualTo(Code.UNAUTHENTICATED);
		}
	}

	@Test
	void callWhenApplicationHasADecoderAndIssuersThenItIsNotAsked() {
		JwtDecoder decoder = (token) -> Jwt.withTokenValue(token).header("alg", "custom").subject("bob").build();
		JwtCredentialAuthenticator authenticator = authenticator().issuers(List.of(TestTokens.issuerWithKeys()))
			.decoder(decoder)
			.build();
		try (TestServer server = serve(authenticator)) {
			assertThat(CallType.UNARY.call(server.channel(), TestTokens.bearer("good"), "x").code())
				.isEqualTo(Code.UNAUTHENTICATED);
		}
	}

	@ParameterizedTest
	@EnumSource
	void callWhenApplicationHasAProviderThenItIsAskedAfterTheIssuers(CallType type) {
		ConcurrentLinkedQueue<String> asked = new ConcurrentLinkedQueue<>();
		JwtCredentialAuthenticator authenticator = authenticator().issuers(List.of(TestTokens.issuerWithKeys()))
			.providers(List.of(provider(asked)))
			.build();
		try (TestServer server = serve(authenticator)) {
			assertThat(type.call(server.channel(), TestTokens.bearer(TestTokens.token().sign()), "x").code())
				.isEqualTo(Code.OK);
			assertThat(asked).isEmpty();
			assertThat(this.callers.poll().getName()).isEqualTo("alice");
			assertThat(type.call(server.channel(), TestTokens.bearer("opaque"), "x").code()).isEqualTo(Code.OK);
			assertThat(this.callers.poll().getName()).isEqualTo("carol");
			assertThat(type.call(server.channel(), TestTokens.bearer("other"), "x").code())
				.isEqualTo(Code.UNAUTHENTICATED);
			assertThat(type.call(server.channel(), TestTokens.bearer("down"), "x").code()).isEqualTo(Code.UNAVAILABLE);
			assertThat(asked).containsExactly("opaque", "other", "down");
		}
	}

	@Test
	void callWhenProviderUnderstandsATokenThenItsExpiryAndBindingCount() {
		Instant expiresAt = Instant.now().plusSeconds(600);
		AuthenticationProvider provider = new OpaqueTokenAuthenticationProvider((token) -> {
			Map<String, Object> claims = new LinkedHashMap<>(Map.of("sub", "carol", "exp", expiresAt));
			if (token.equals("bound")) {
				claims.put("cnf", Map.of("x5t#S256", "another"));
			}
			return new OAuth2IntrospectionAuthenticatedPrincipal("carol", claims, List.of());
		});
		try (TestServer server = serve(authenticator().providers(List.of(provider)).build())) {
			assertThat(CallType.UNARY.call(server.channel(), TestTokens.bearer("opaque"), "x").code())
				.isEqualTo(Code.OK);
			assertThat(this.seen.poll().credential("bearer").expiresAt()).isEqualTo(expiresAt);
			assertThat(CallType.UNARY.call(server.channel(), TestTokens.bearer("bound"), "x").code())
				.isEqualTo(Code.UNAUTHENTICATED);
		}
	}

	private static AuthenticationProvider provider(ConcurrentLinkedQueue<String> asked) {
		return new AuthenticationProvider() {
			@Override
			public Authentication authenticate(Authentication request) {
				String token = ((BearerTokenAuthenticationToken) request).getToken();
				asked.add(token);
				return switch (token) {
					case "opaque" -> UsernamePasswordAuthenticationToken.authenticated("carol", null, List.of());
					case "down" -> throw new AuthenticationServiceException("down");
					default -> throw new BadCredentialsException("bad " + token);
				};
			}

			@Override
			public boolean supports(Class<?> type) {
				return BearerTokenAuthenticationToken.class.isAssignableFrom(type);
			}
		};
	}

	@Test
	void buildWhenTwoIssuersHaveOneNameThenItFails() {
		JwtCredentialAuthenticator.Builder builder = authenticator()
			.issuers(List.of(TestTokens.issuerWithKeys(), TestTokens.issuerWithKeys()));

		assertThatIllegalArgumentException().isThrownBy(builder::build)
			.withMessage("two issuers are named '" + TestTokens.ISSUER + "': merge them into one");
	}

	@Test
	void clockSkewWhenLongerThanFiveMinutesThenItFails() {
		assertThatIllegalArgumentException().isThrownBy(() -> authenticator().clockSkew(Duration.ofSeconds(301)));
	}

}
