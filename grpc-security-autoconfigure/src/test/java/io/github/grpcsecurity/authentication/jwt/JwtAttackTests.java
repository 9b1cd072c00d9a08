package io.github.grpcsecurity.authentication.jwt;

import java.io.ByteArrayOutputStream;
import java.math.BigInteger;
import java.nio.charset.StandardCharsets;
import java.security.GeneralSecurityException;
import java.security.KeyPair;
import java.time.InstantSource;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Base64;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.function.Consumer;

import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;

import com.nimbusds.jose.EncryptionMethod;
import com.nimbusds.jose.JWEAlgorithm;
import com.nimbusds.jose.JWEHeader;
import com.nimbusds.jose.JWEObject;
import com.nimbusds.jose.Payload;
import com.nimbusds.jose.crypto.RSAEncrypter;
import io.github.grpcsecurity.authentication.AuthenticationStage;
import io.github.grpcsecurity.authentication.jwt.TestTokens.Token;
import io.github.grpcsecurity.server.CallDecision;
import io.github.grpcsecurity.server.CallObserver;
import io.github.grpcsecurity.server.GrpcSecurityThreads;
import io.github.grpcsecurity.server.SecuredCall;
import io.github.grpcsecurity.testing.CallType;
import io.github.grpcsecurity.testing.EchoService;
import io.github.grpcsecurity.testing.TestServer;
import io.grpc.Metadata;
import io.grpc.Status.Code;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

import static org.assertj.core.api.Assertions.assertThat;

/**
 * What callers may try. All of it must be refused, and no answer may tell why.
 */
class JwtAttackTests {

	private static final KeyPair WEAK_RSA = TestTokens.pair("RSA", 1024);

	private static final KeyPair OTHER_EC = TestTokens.pair("EC", 256);

	private static final KeyPair P384 = TestTokens.pair("EC", 384);

	private static final long NOW = TestTokens.NOW.getEpochSecond();

	private static final BigInteger ORDER = new BigInteger(
			"ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551", 16);

	private static Map<String, Metadata> attacks;

	private final GrpcSecurityThreads threads = new GrpcSecurityThreads();

	private final EchoService service = new EchoService();

	private final ConcurrentLinkedQueue<String> reasons = new ConcurrentLinkedQueue<>();

	@BeforeAll
	static void make() throws Exception {
		attacks = attacks();
	}

	@AfterAll
	static void clear() {
		attacks = null;
	}

	private TestServer serve(JwtIssuer... issuers) {
		JwtCredentialAuthenticator authenticator = JwtCredentialAuthenticator.builder(this.threads)
			.clock(InstantSource.fixed(TestTokens.NOW))
			.issuers(List.of(issuers))
			.build();
		return TestServer.inProcess(this.service,
				List.of(AuthenticationStage.builder().authenticators(List.of(authenticator)).build()),
				new CallObserver() {
					@Override
					public void decided(SecuredCall call, CallDecision decision) {
						if (decision.refusal() != null) {
							JwtAttackTests.this.reasons.add(decision.refusal().reason());
						}
					}
				});
	}

	@ParameterizedTest
	@EnumSource
	void callWhenTokenIsForgedOrMalformedThenItIsRefusedAndEveryCauseLooksTheSame(CallType type) {
		Map<String, List<String>> names = new LinkedHashMap<>();
		try (TestServer server = serve(TestTokens.issuerWithKeys())) {
			// A token that is known must not open the door to others
			String good = TestTokens.token().sign();
			assertThat(type.call(server.channel(), TestTokens.bearer(good), "x").code()).isEqualTo(Code.OK);
			int entered = this.service.entered.get();
			attacks.forEach((name, headers) -> names
				.computeIfAbsent(describe(type.call(server.channel(), headers, "x")), (answer) -> new ArrayList<>())
				.add(name));

			assertThat(names.entrySet()).as("%s", names)
				.filteredOn((entry) -> entry.getKey().startsWith("OK"))
				.isEmpty();
			assertThat(this.service.entered).hasValue(entered);
			assertThat(type.call(server.channel(), TestTokens.bearer(good), "x").code()).isEqualTo(Code.OK);
		}

		assertThat(attacks).hasSizeGreaterThan(300);
		assertThat(names).hasSize(1);
		assertThat(names.keySet().iterator().next()).startsWith("UNAUTHENTICATED authentication failed")
			.contains("www-authenticate=");
		assertThat(this.reasons).hasSameSizeAs(attacks.keySet())
			.allSatisfy((reason) -> assertThat(reason).doesNotContain("evil").hasSizeLessThan(200));
	}

	@Test
	void callWhenProfileIsOnThenOnlyAccessTokensAreTaken() {
		JwtIssuer issuer = TestTokens.issuer()
			.publicKeys(TestTokens.file(TestTokens.jwkSet()))
			.profile(JwtProfile.RFC9068)
			.build();
		Map<String, Consumer<Token>> bad = new LinkedHashMap<>();
		bad.put("no typ", (token) -> token.header("typ", null));
		bad.put("JWT", (token) -> token.header("typ", "JWT"));
		bad.put("application/jwt", (token) -> token.header("typ", "application/jwt"));
		for (String claim : List.of("iss", "aud", "exp", "sub", "client_id", "iat", "jti")) {
			bad.put("no " + claim, (token) -> token.claim(claim, null));
			bad.put("empty " + claim, (token) -> token.claim(claim, ""));
			bad.put("wrong type of " + claim, (token) -> token.claim(claim, Map.of("a", 1)));
		}
		for (String claim : List.of("nonce", "at_hash", "c_hash")) {
			bad.put(claim, (token) -> token.claim(claim, "n-0S6_WzA2Mj"));
		}
		try (TestServer server = serve(issuer)) {
			for (String type : List.of("at+jwt", "AT+JWT", "application/at+jwt")) {
				assertThat(code(server, accessToken().header("typ", type))).isEqualTo(Code.OK);
			}
			bad.forEach((name, change) -> assertThat(code(server, accessToken().with(change))).as(name)
				.isEqualTo(Code.UNAUTHENTICATED));
		}
	}

	private static Token accessToken() {
		return TestTokens.token().header("typ", "at+jwt").claim("client_id", "app").claim("jti", "1");
	}

	@Test
	void callWhenTokenIsGoodForLongerThanAllowedThenItIsRefused() {
		long day = 24 * 3600;
		try (TestServer server = serve(TestTokens.issuerWithKeys())) {
			assertThat(code(server, times(NOW, NOW + day))).isEqualTo(Code.OK);
			assertThat(code(server, times(NOW, NOW + day + 1))).isEqualTo(Code.UNAUTHENTICATED);
			assertThat(code(server, times(NOW - 600, NOW - 599 + day))).isEqualTo(Code.UNAUTHENTICATED);
			assertThat(code(server, times(null, NOW + day))).isEqualTo(Code.OK);
			assertThat(code(server, times(null, NOW + day + 1))).isEqualTo(Code.UNAUTHENTICATED);
		}
		JwtIssuer unlimited = TestTokens.issuer()
			.publicKeys(TestTokens.file(TestTokens.jwkSet()))
			.maxLifetime(java.time.Duration.ZERO)
			.build();
		try (TestServer server = serve(unlimited)) {
			assertThat(code(server, times(NOW, NOW + 365 * day))).isEqualTo(Code.OK);
		}
	}

	private static Token times(Long issued, long expires) {
		return TestTokens.token().claim("iat", issued).claim("exp", expires);
	}

	private static Code code(TestServer server, Token token) {
		return CallType.UNARY.call(server.channel(), TestTokens.bearer(token.sign()), "x").code();
	}

	private static String describe(CallType.Outcome outcome) {
		Map<String, List<String>> trailers = new TreeMap<>();
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
		return outcome.code() + " " + outcome.status().getDescription() + " " + trailers + " "
				+ outcome.replies().size();
	}

	private static Map<String, Metadata> attacks() throws Exception {
		Map<String, Metadata> all = new LinkedHashMap<>();
		unsigned(all);
		symmetric(all);
		keysOfTheirOwn(all);
		names(all);
		algorithms(all);
		signatures(all);
		tampered(all);
		claims(all);
		json(all);
		encoding(all);
		entries(all);
		return all;
	}

	private static void put(Map<String, Metadata> all, String name, String token) {
		Metadata before = all.put(name, TestTokens.bearer(token));
		assertThat(before).as(name).isNull();
	}

	private static void put(Map<String, Metadata> all, String name, Consumer<Token> change) {
		put(all, name, TestTokens.token().with(change).sign());
	}

	private static void unsigned(Map<String, Metadata> all) {
		for (String none : List.of("none", "NONE", "nOnE", "None", "none ", "", "null")) {
			Token token = TestTokens.token().header("alg", none);
			put(all, "alg '" + none + "', no signature", token.content() + ".");
			put(all, "alg '" + none + "', one part less", token.content());
			put(all, "alg '" + none + "', signed", token.sign());
			put(all, "alg '" + none + "', no kid", token.header("kid", null).content() + ".AA");
		}
		put(all, "alg null", raw("{\"alg\":null,\"kid\":\"rsa\"}", claims()));
		put(all, "alg is a list", raw("{\"alg\":[\"RS256\"],\"kid\":\"rsa\"}", claims()));
		put(all, "alg is a number", raw("{\"alg\":256,\"kid\":\"rsa\"}", claims()));
		put(all, "alg escaped none", raw("{\"alg\":\"\\u006eone\"}", claims()));
		put(all, "no alg", (token) -> token.header("alg", null));
	}

	private static void symmetric(Map<String, Metadata> all) throws GeneralSecurityException {
		Map<String, byte[]> secrets = new LinkedHashMap<>();
		for (Map.Entry<String, KeyPair> pair : Map
			.of("rsa", TestTokens.RSA, "ec", TestTokens.EC, "ed", TestTokens.ED25519)
			.entrySet()) {
			byte[] der = pair.getValue().getPublic().getEncoded();
			String pem = TestTokens.pem("PUBLIC KEY", der);
			secrets.put(pair.getKey() + " DER", der);
			secrets.put(pair.getKey() + " PEM", pem.getBytes(StandardCharsets.UTF_8));
			secrets.put(pair.getKey() + " PEM without end", pem.strip().getBytes(StandardCharsets.UTF_8));
			secrets.put(pair.getKey() + " Base64",
					Base64.getEncoder().encodeToString(der).getBytes(StandardCharsets.UTF_8));
		}
		secrets.put("rsa JWK", TestTokens.rsa(TestTokens.RSA, "rsa").toJSONString().getBytes(StandardCharsets.UTF_8));
		secrets.put("ec JWK", TestTokens.ec(TestTokens.EC, "ec").toJSONString().getBytes(StandardCharsets.UTF_8));
		secrets.put("JWK set", TestTokens.jwkSet().getBytes(StandardCharsets.UTF_8));
		secrets.put("modulus", TestTokens.rsa(TestTokens.RSA, "rsa").getModulus().decode());
		secrets.put("zeros", new byte[64]);
		secrets.put("'secret'", "secret".getBytes(StandardCharsets.UTF_8));
		for (Map.Entry<String, byte[]> secret : secrets.entrySet()) {
			for (String bits : List.of("256", "384", "512")) {
				Mac mac = Mac.getInstance("HmacSHA" + bits);
				mac.init(new SecretKeySpec(secret.getValue(), "Hmac"));
				String content = TestTokens.token()
					.header("alg", "HS" + bits)
					.header("kid", secret.getKey().split(" ")[0])
					.content();
				put(all, "HS" + bits + " with " + secret.getKey(),
						content + "." + TestTokens.encode(mac.doFinal(content.getBytes(StandardCharsets.US_ASCII))));
			}
		}
	}

	private static void keysOfTheirOwn(Map<String, Metadata> all) {
		KeyPair evil = TestTokens.OTHER_RSA;
		Map<String, Object> jwk = TestTokens.rsa(evil, "rsa").toJSONObject();
		for (boolean forged : new boolean[] { true, false }) {
			KeyPair signer = forged ? evil : TestTokens.RSA;
			Map<String, Object> headers = new LinkedHashMap<>();
			headers.put("jwk", forged ? jwk : TestTokens.rsa(TestTokens.RSA, "rsa").toJSONObject());
			headers.put("jku", forged ? "https://evil.example/jwks.json" : TestTokens.ISSUER + "/jwks");
			headers.put("x5u", forged ? "https://evil.example/cert.pem" : TestTokens.ISSUER + "/cert.pem");
			headers.put("x5c", List.of("MIIB"));
			headers.forEach((name, value) -> {
				put(all, name + (forged ? "" : " and a good signature"),
						(token) -> token.signedBy("RS256", "rsa", signer.getPrivate()).header(name, value));
				put(all, name + " without kid" + (forged ? "" : " and a good signature"),
						(token) -> token.signedBy("RS256", null, signer.getPrivate()).header(name, value));
			});
		}
		for (String uri : List.of("file:///etc/passwd", "http://169.254.169.254/", "//evil.example", "not a uri", "")) {
			put(all, "jku " + uri, (token) -> token.header("jku", uri));
			put(all, "x5u " + uri, (token) -> token.header("x5u", uri));
		}
		put(all, "other key", (token) -> token.signedBy("RS256", "rsa", evil.getPrivate()));
		put(all, "other key, no kid", (token) -> token.signedBy("RS256", null, evil.getPrivate()));
		put(all, "other EC key", (token) -> token.signedBy("ES256", "ec", OTHER_EC.getPrivate()));
		put(all, "RSA key of 1024 bits", (token) -> token.signedBy("RS256", "rsa", WEAK_RSA.getPrivate()));
		put(all, "embedded RSA key of 1024 bits", (token) -> token.signedBy("RS256", "weak", WEAK_RSA.getPrivate())
			.header("jwk", TestTokens.rsa(WEAK_RSA, "weak").toJSONObject()));
	}

	private static void names(Map<String, Metadata> all) {
		for (String kid : List.of("../../../../dev/null", "/dev/null", "..\\..\\nul", "x' UNION SELECT 'key",
				"'; DROP TABLE keys; --", "rsa\u0000", "\u0000", "rsa ", " rsa", "RSA", "rsa,ec", "*", "", "rsa/../rsa",
				"file:///proc/self/environ", "https://evil.example/jwks.json", "$(id)", "`id`", "${jndi:ldap://evil/a}",
				"rsa\r\nalg: none", "\u202easr", "r\u0455a", "k".repeat(2000))) {
			put(all, "kid " + kid, (token) -> token.header("kid", kid));
		}
		put(all, "kid is a number", (token) -> token.header("kid", 7));
		put(all, "kid is a list", (token) -> token.header("kid", List.of("rsa")));
		put(all, "kid is an object", (token) -> token.header("kid", Map.of("rsa", "rsa")));
		put(all, "kid of an EC key", (token) -> token.header("kid", "ec"));
		put(all, "kid of an Ed25519 key", (token) -> token.header("kid", "ed"));
	}

	private static void algorithms(Map<String, Metadata> all) throws Exception {
		put(all, "RS512 is not accepted", (token) -> token.signedBy("RS512", "rsa", TestTokens.RSA.getPrivate()));
		for (String name : List.of("rs256", "RS256 ", "RS1", "RSA1_5", "dir", "ES256K", "ES384", "ES512", "PS256",
				"PS384", "EdDSA", "Ed448", "SHA256withRSA", "HS256", "A128KW")) {
			put(all, "alg " + name + " over an RS256 signature", (token) -> token.header("alg", name));
		}
		put(all, "ES256 with an Ed25519 key", (token) -> token.signedBy("ES256", "ed", TestTokens.EC.getPrivate()));
		put(all, "EdDSA with an EC key", (token) -> token.signedBy("EdDSA", "ec", TestTokens.ED25519.getPrivate()));
		put(all, "ES256 with a P-384 key", (token) -> token.signedBy("ES256", "ec", P384.getPrivate()));
		for (String type : List.of("dpop+jwt", "logout+jwt", "secevent+jwt", "id_token+jwt", "JWE", "JOSE", "",
				"jwt+at", "application/logout+jwt", "text/plain")) {
			put(all, "typ " + type, (token) -> token.header("typ", type));
		}
		put(all, "typ is a number", (token) -> token.header("typ", 1));
		put(all, "crit unknown", (token) -> token.header("crit", List.of("exp")).header("exp", 1));
		put(all, "crit of what is not there", (token) -> token.header("crit", List.of("nothing")));
		put(all, "crit of a known name", (token) -> token.header("crit", List.of("alg")));
		put(all, "crit empty", (token) -> token.header("crit", List.of()));
		put(all, "crit is a text", (token) -> token.header("crit", "exp"));
		put(all, "crit of numbers", (token) -> token.header("crit", List.of(1)));
		put(all, "b64 false", (token) -> token.header("b64", false).header("crit", List.of("b64")));
		put(all, "b64 false, not critical", (token) -> token.header("b64", false));
		put(all, "b64 true, critical", (token) -> token.header("b64", true).header("crit", List.of("b64")));
		put(all, "b64 is a text", (token) -> token.header("b64", "false"));
		put(all, "zip", raw("{\"alg\":\"RS256\",\"kid\":\"rsa\",\"zip\":\"DEF\",\"crit\":[\"zip\"]}", claims()));
		JWEObject encrypted = new JWEObject(
				new JWEHeader.Builder(JWEAlgorithm.RSA_OAEP_256, EncryptionMethod.A128GCM).contentType("JWT").build(),
				new Payload(TestTokens.token().sign()));
		encrypted.encrypt(new RSAEncrypter(TestTokens.rsa(TestTokens.RSA, "rsa")));
		put(all, "JWE around a good token", encrypted.serialize());
		String good = TestTokens.token().sign();
		put(all, "good token inside a token of others",
				signedContent(TestTokens.encode("{\"alg\":\"RS256\",\"kid\":\"rsa\",\"cty\":\"JWT\"}") + "."
						+ TestTokens.encode(good)));
		put(all, "good token as payload, unsigned",
				TestTokens.encode("{\"alg\":\"none\",\"cty\":\"JWT\"}") + "." + TestTokens.encode(good) + ".");
	}

	private static void signatures(Map<String, Metadata> all) throws GeneralSecurityException {
		String content = TestTokens.token().signedBy("ES256", "ec", TestTokens.EC.getPrivate()).content();
		BigInteger one = BigInteger.ONE;
		Map<String, BigInteger> values = new LinkedHashMap<>();
		values.put("0", BigInteger.ZERO);
		values.put("1", one);
		values.put("n-1", ORDER.subtract(one));
		values.put("n", ORDER);
		values.put("n+1", ORDER.add(one));
		values.put("max", one.shiftLeft(256).subtract(one));
		values.forEach((r, first) -> values.forEach((s, second) -> put(all, "ES256 r=" + r + " s=" + s,
				content + "." + TestTokens.encode(concat(fixed(first), fixed(second))))));
		byte[] good = decode(
				TestTokens.token().signedBy("ES256", "ec", TestTokens.EC.getPrivate()).sign().split("\\.")[2]);
		java.security.Signature der = java.security.Signature.getInstance("SHA256withECDSA");
		der.initSign(TestTokens.EC.getPrivate());
		der.update(content.getBytes(StandardCharsets.US_ASCII));
		put(all, "ES256 as DER", content + "." + TestTokens.encode(der.sign()));
		put(all, "ES256 zeros as DER", content + "." + TestTokens.encode(new byte[] { 0x30, 6, 2, 1, 0, 2, 1, 0 }));
		for (int length : new int[] { 1, 8, 32, 63, 65, 96, 128 }) {
			put(all, "ES256 cut or stretched to " + length,
					content + "." + TestTokens.encode(Arrays.copyOf(good, length)));
			put(all, "ES256 zeros of " + length, content + "." + TestTokens.encode(new byte[length]));
		}
		String ed = TestTokens.token().signedBy("EdDSA", "ed", TestTokens.ED25519.getPrivate()).content();
		for (int length : new int[] { 1, 32, 63, 64, 65 }) {
			put(all, "EdDSA zeros of " + length, ed + "." + TestTokens.encode(new byte[length]));
		}
		byte[] identity = new byte[64];
		identity[0] = 1;
		put(all, "EdDSA identity point", ed + "." + TestTokens.encode(identity));
		String rsa = TestTokens.token().content();
		for (int length : new int[] { 1, 128, 255, 256, 257, 512 }) {
			put(all, "RS256 zeros of " + length, rsa + "." + TestTokens.encode(new byte[length]));
		}
		byte[] unit = new byte[256];
		unit[255] = 1;
		put(all, "RS256 of one", rsa + "." + TestTokens.encode(unit));
		put(all, "RS256 the modulus",
				rsa + "." + TestTokens.encode(TestTokens.rsa(TestTokens.RSA, "rsa").getModulus().decode()));
	}

	private static void tampered(Map<String, Metadata> all) {
		for (Token signer : List.of(TestTokens.token(),
				TestTokens.token().signedBy("ES256", "ec", TestTokens.EC.getPrivate()),
				TestTokens.token().signedBy("EdDSA", "ed", TestTokens.ED25519.getPrivate()))) {
			String[] parts = signer.sign().split("\\.");
			String algorithm = new String(decode(parts[0]), StandardCharsets.US_ASCII).replaceAll(".*(.S256|EdDSA).*",
					"$1");
			for (int part = 0; part < 3; part++) {
				byte[] bytes = decode(parts[part]);
				for (int region = 0; region < 8; region++) {
					byte[] changed = bytes.clone();
					int index = Math.min(bytes.length - 1, region * bytes.length / 7);
					changed[index] ^= (byte) (1 << region);
					String[] copy = parts.clone();
					copy[part] = TestTokens.encode(changed);
					put(all, algorithm + " part " + part + " byte " + index, String.join(".", copy));
				}
			}
			put(all, algorithm + " signature of nothing", parts[0] + "." + parts[1] + ".");
			put(all, algorithm + " without signature", parts[0] + "." + parts[1]);
			put(all, algorithm + " other payload", parts[0] + "."
					+ TestTokens.token().claim("sub", "root").content().split("\\.")[1] + "." + parts[2]);
			put(all, algorithm + " other header",
					TestTokens.encode("{\"alg\":\"" + algorithm + "\"}") + "." + parts[1] + "." + parts[2]);
			put(all, algorithm + " parts in another order", parts[1] + "." + parts[0] + "." + parts[2]);
		}
	}

	private static void claims(Map<String, Metadata> all) {
		put(all, "expired", (token) -> token.claim("exp", NOW - 31));
		put(all, "expired long ago", (token) -> token.claim("exp", 0));
		put(all, "exp negative", (token) -> token.claim("exp", -1));
		put(all, "exp very negative", (token) -> token.claim("exp", Long.MIN_VALUE));
		put(all, "exp huge", (token) -> token.claim("exp", Long.MAX_VALUE));
		put(all, "exp in milliseconds", (token) -> token.claim("exp", (NOW + 300) * 1000));
		put(all, "exp in the year 9999", (token) -> token.claim("exp", 253402300799L));
		put(all, "exp a fraction in the past", (token) -> token.claim("exp", NOW - 31.5));
		put(all, "no exp", (token) -> token.claim("exp", null));
		for (Object exp : List.of("tomorrow", "", String.valueOf(NOW + 300), true, List.of(NOW + 300),
				Map.of("a", 1))) {
			put(all, "exp is " + exp, (token) -> token.claim("exp", exp));
			put(all, "nbf is " + exp, (token) -> token.claim("nbf", exp));
			put(all, "iat is " + exp, (token) -> token.claim("iat", exp));
		}
		for (String number : List.of("1e400", "NaN", "Infinity", "-1e400", "0x7fffffff",
				"99999999999999999999999999")) {
			put(all, "exp " + number, signed("{\"alg\":\"RS256\",\"kid\":\"rsa\"}",
					claims().replaceAll("\"exp\":\\d+", "\"exp\":" + number)));
		}
		put(all, "exp null",
				signed("{\"alg\":\"RS256\",\"kid\":\"rsa\"}", claims().replaceAll("\"exp\":\\d+", "\"exp\":null")));
		put(all, "not yet valid", (token) -> token.claim("nbf", NOW + 31));
		put(all, "nbf huge", (token) -> token.claim("nbf", 253402300799L));
		put(all, "issued in the future", (token) -> token.claim("iat", NOW + 31));
		put(all, "lifetime of 25 hours", (token) -> token.claim("exp", NOW + 25 * 3600));
		for (Object audience : List.of("other", "BANK-API", "bank-api other", "bank-ap", "bank-api ", "", List.of(),
				List.of("other", "another"), List.of(""), List.of(List.of("bank-api")), Map.of("bank-api", true), 1,
				"bank-api\u0000", "*", "any")) {
			put(all, "aud " + audience + " " + audience.getClass().getSimpleName(),
					(token) -> token.claim("aud", audience));
		}
		put(all, "no aud", (token) -> token.claim("aud", null));
		String issuer = TestTokens.ISSUER;
		for (String name : List.of(issuer + "/", issuer.replace("idp", "IDP"), issuer.replace("https", "HTTPS"),
				issuer.replace("https", "http"), issuer + "?", issuer + "#", issuer + "/../bank", issuer + "%20",
				issuer + " ", " " + issuer, issuer + "\u0000", issuer.replace("idp.example", "idp.example:443"),
				issuer.replace("idp.example", "idp.example."),
				issuer.replace("idp.example", "idp.example@evil.example"), issuer.replace("bank", "Bank"),
				issuer.replace("bank", "%62ank"), "https://evil.example", "", "null")) {
			put(all, "iss '" + name + "'", (token) -> token.claim("iss", name));
		}
		put(all, "no iss", (token) -> token.claim("iss", null));
		put(all, "iss is a list", (token) -> token.claim("iss", List.of(issuer)));
		put(all, "iss is an object", (token) -> token.claim("iss", Map.of("iss", issuer)));
		put(all, "no sub", (token) -> token.claim("sub", null));
		put(all, "blank sub", (token) -> token.claim("sub", " "));
		put(all, "sub is a list", (token) -> token.claim("sub", List.of("alice")));
		put(all, "ID token: at_hash", (token) -> token.claim("at_hash", "77QmUPtjPfzWtF2AnpK9RQ"));
		put(all, "ID token: c_hash", (token) -> token.claim("c_hash", "77QmUPtjPfzWtF2AnpK9RQ"));
		put(all, "ID token: for the client", (token) -> token.claim("aud", "client").claim("nonce", "n-0S6_WzA2Mj"));
		for (Object bound : List.of("yes", 1, List.of(), Map.of(), Map.of("jkt", "A".repeat(43)),
				Map.of("jwk", Map.of()), Map.of("x5t#S256", "A".repeat(43)), Map.of("x5t#S256", ""),
				Map.of("x5t#S256", 1), Map.of("x5t#S256", List.of("A".repeat(43))), Map.of("kid", "rsa"),
				new TreeMap<>(Map.of("jkt", "a", "x5t#S256", "b")))) {
			put(all, "cnf " + bound, (token) -> token.claim("cnf", bound));
		}
	}

	private static void json(Map<String, Metadata> all) {
		String header = "{\"alg\":\"RS256\",\"kid\":\"rsa\"}";
		String claims = claims();
		put(all, "alg twice", signed("{\"alg\":\"none\",\"alg\":\"RS256\",\"kid\":\"rsa\"}", claims));
		put(all, "alg twice, none last", signed("{\"alg\":\"RS256\",\"kid\":\"rsa\",\"alg\":\"none\"}", claims));
		put(all, "alg twice, once escaped",
				signed("{\"alg\":\"none\",\"\\u0061lg\":\"RS256\",\"kid\":\"rsa\"}", claims));
		put(all, "kid twice", signed("{\"alg\":\"RS256\",\"kid\":\"ec\",\"kid\":\"rsa\"}", claims));
		for (String member : List.of("\"sub\":\"root\"", "\"iss\":\"https://evil.example\"", "\"aud\":\"other\"",
				"\"exp\":1", "\"s\\u0075b\":\"root\"")) {
			put(all, "twice in front: " + member, signed(header, "{" + member + "," + claims.substring(1)));
			put(all, "twice at the end: " + member,
					signed(header, claims.substring(0, claims.length() - 1) + "," + member + "}"));
		}
		for (String text : List.of("", " ", "null", "true", "1", "\"\"", "[]", "{", "}", "{}", "[" + claims + "]",
				claims + claims, claims + "x", "x" + claims, claims.substring(0, claims.length() - 1), claims + "/*",
				"{\"a\":" + "[".repeat(3000), "[".repeat(3000), "{\"a\":".repeat(900),
				"{\"a\":" + "[".repeat(2500) + "]".repeat(2500) + "," + claims.substring(1),
				claims.replace('"', '\''))) {
			String name = (text.length() > 40) ? text.substring(0, 40) + text.length() + text.charAt(text.length() - 1)
					: text;
			put(all, "payload " + name, signed(header, text));
			put(all, "header " + name, signed(text.replace(claims, header), claims));
		}
		put(all, "payload is no UTF-8", signedContent(TestTokens.encode(header) + "."
				+ TestTokens.encode(new byte[] { '{', '"', (byte) 0xc3, (byte) 0x28, '"', ':', '1', '}' })));
		put(all, "payload in UTF-16", signedContent(
				TestTokens.encode(header) + "." + TestTokens.encode(claims.getBytes(StandardCharsets.UTF_16))));
		put(all, "null claims", signed(header, "{\"iss\":null,\"sub\":null,\"aud\":null,\"exp\":null}"));
		put(all, "header without anything", signed("{}", claims));
	}

	private static void encoding(Map<String, Metadata> all) {
		String good = TestTokens.token().sign();
		String[] parts = good.split("\\.");
		for (String filler : List.of("=", "==", "~", "+", "/", "%3D", "-", "_", "A", "AA")) {
			put(all, "end " + filler, good + filler);
			put(all, "in the signature " + filler,
					parts[0] + "." + parts[1] + "." + parts[2].substring(0, 8) + filler + parts[2].substring(8));
			put(all, "after the header " + filler, parts[0] + filler + "." + parts[1] + "." + parts[2]);
			put(all, "after the payload " + filler, parts[0] + "." + parts[1] + filler + "." + parts[2]);
		}
		// The last character of 256 bytes has bits that mean nothing
		char last = good.charAt(good.length() - 1);
		put(all, "other bits behind the signature", good.substring(0, good.length() - 1) + (char) (last + 1));
		put(all, "standard Base64", good.replace('-', '+').replace('_', '/') + "+");
		put(all, "four parts", good + "." + parts[2]);
		put(all, "five parts", good + "." + parts[1] + "." + parts[2]);
		put(all, "dot in front", "." + good);
		put(all, "dot at the end", good + ".");
		put(all, "two dots", good.replaceFirst("\\.", ".."));
		put(all, "dots only", "..");
		put(all, "no parts", "...");
		put(all, "a.b.c", "a.b.c");
		put(all, "opaque", "0123456789abcdef");
		put(all, "two tokens", good + good);
		put(all, "JSON serialization", TestTokens.encode("{\"payload\":\"" + parts[1] + "\",\"protected\":\"" + parts[0]
				+ "\",\"signature\":\"" + parts[2] + "\"}"));
		put(all, "too large", (token) -> token.claim("filler", "x".repeat(8192)));
		put(all, "1 MB", "x".repeat(1024 * 1024));
		put(all, "1 MB of a token", parts[0] + "." + "A".repeat(1024 * 1024) + "." + parts[2]);
	}

	private static void entries(Map<String, Metadata> all) {
		String good = TestTokens.token().sign();
		String other = TestTokens.token().claim("sub", "bob").sign();
		Map<String, String[]> entries = new LinkedHashMap<>();
		entries.put("both good", new String[] { "Bearer " + good, "Bearer " + other });
		entries.put("twice the same", new String[] { "Bearer " + good, "Bearer " + good });
		entries.put("good and empty", new String[] { "Bearer " + good, "" });
		entries.put("empty and good", new String[] { "", "Bearer " + good });
		entries.put("bad and good", new String[] { "Bearer x", "Bearer " + good });
		entries.put("good and Basic", new String[] { "Bearer " + good, "Basic YWxpY2U6c2VjcmV0" });
		entries.put("three", new String[] { "Bearer " + good, "Bearer " + good, "Bearer " + good });
		for (String entry : List.of("Bearer " + good + ",Bearer " + other, "Bearer " + good + ", Bearer " + other,
				"Bearer " + good + ",", "Bearer ," + good, "Bearer  " + good, "Bearer\t" + good, " Bearer " + good,
				"Bearer " + good + " ", "Bearer " + good + " " + other, "Bearer:" + good, "Bearer=" + good,
				"Bearer \"" + good + "\"", "Bearer token=" + good, "Bearer " + good + ";", good, "Bearer", "Bearer ",
				"", " ", "Bearer ==", "Basic YWxpY2U6c2VjcmV0", "DPoP " + good, "Token " + good, "JWT " + good,
				"Bearer Bearer " + good, "BearerBearer " + good, "Negotiate " + good, "Bearer " + good + "\u007f")) {
			entries.put("entry " + entry.replace(good, "GOOD").replace(other, "OTHER"), new String[] { entry });
		}
		entries.forEach((name, values) -> all.put(name, TestTokens.headers(values)));
	}

	private static String claims() {
		return "{\"iss\":\"" + TestTokens.ISSUER + "\",\"sub\":\"alice\",\"aud\":\"" + TestTokens.AUDIENCE
				+ "\",\"exp\":" + (NOW + 300) + ",\"iat\":" + (NOW - 600) + "}";
	}

	private static String raw(String header, String claims) {
		return TestTokens.encode(header) + "." + TestTokens.encode(claims) + ".AA";
	}

	/** Signed with the right key, so that nothing but its form can be wrong. */
	private static String signed(String header, String claims) {
		return signedContent(TestTokens.encode(header) + "." + TestTokens.encode(claims));
	}

	private static String signedContent(String content) {
		return content + "." + TestTokens.encode(TestTokens.token().sign(content.getBytes(StandardCharsets.US_ASCII)));
	}

	@Test
	void signedWhenFormIsRightThenTokenIsGood() {
		try (TestServer server = serve(TestTokens.issuerWithKeys())) {
			String token = signed("{\"alg\":\"RS256\",\"kid\":\"rsa\"}", claims());

			assertThat(CallType.UNARY.call(server.channel(), TestTokens.bearer(token), "x").code()).isEqualTo(Code.OK);
		}
	}

	private static byte[] decode(String text) {
		return Base64.getUrlDecoder().decode(text);
	}

	private static byte[] fixed(BigInteger value) {
		byte[] bytes = new byte[32];
		byte[] all = value.toByteArray();
		int length = Math.min(32, all.length);
		System.arraycopy(all, all.length - length, bytes, 32 - length, length);
		return bytes;
	}

	private static byte[] concat(byte[] first, byte[] second) {
		ByteArrayOutputStream both = new ByteArrayOutputStream();
		both.writeBytes(first);
		both.writeBytes(second);
		return both.toByteArray();
	}

}
