package io.github.grpcsecurity.authentication.jwt;

import java.nio.charset.StandardCharsets;
import java.security.GeneralSecurityException;
import java.security.KeyPair;
import java.security.KeyPairGenerator;
import java.security.PrivateKey;
import java.security.Signature;
import java.security.interfaces.ECPublicKey;
import java.security.interfaces.RSAPublicKey;
import java.security.spec.ECGenParameterSpec;
import java.security.spec.MGF1ParameterSpec;
import java.security.spec.PSSParameterSpec;
import java.time.Instant;
import java.util.Base64;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Consumer;

import com.nimbusds.jose.jwk.Curve;
import com.nimbusds.jose.jwk.ECKey;
import com.nimbusds.jose.jwk.JWK;
import com.nimbusds.jose.jwk.JWKSet;
import com.nimbusds.jose.jwk.KeyUse;
import com.nimbusds.jose.jwk.RSAKey;
import com.nimbusds.jose.util.JSONObjectUtils;
import io.grpc.Metadata;

import org.springframework.core.io.ByteArrayResource;
import org.springframework.core.io.Resource;

/**
 * Keys, and tokens that are good unless a test says how not. Tokens are put together by
 * hand, because a library would refuse to write most of the bad ones.
 */
final class TestTokens {

	static final Metadata.Key<String> AUTHORIZATION = Metadata.Key.of("authorization",
			Metadata.ASCII_STRING_MARSHALLER);

	static final String ISSUER = "https://idp.example/realms/bank";

	static final String AUDIENCE = "bank-api";

	static final Instant NOW = Instant.parse("2026-06-01T12:00:00Z");

	static final KeyPair RSA = pair("RSA", 2048);

	static final KeyPair OTHER_RSA = pair("RSA", 2048);

	static final KeyPair EC = pair("EC", 256);

	static final KeyPair ED25519 = pair("Ed25519", 255);

	private TestTokens() {
	}

	static KeyPair pair(String algorithm, int size) {
		try {
			KeyPairGenerator generator = KeyPairGenerator.getInstance(algorithm);
			if (algorithm.equals("EC")) {
				generator.initialize(new ECGenParameterSpec("secp" + size + "r1"));
			}
			else {
				generator.initialize(size);
			}
			return generator.generateKeyPair();
		}
		catch (GeneralSecurityException ex) {
			throw new IllegalStateException(ex);
		}
	}

	static RSAKey rsa(KeyPair pair, String id) {
		return new RSAKey.Builder((RSAPublicKey) pair.getPublic()).keyID(id).build();
	}

	static ECKey ec(KeyPair pair, String id) {
		return new ECKey.Builder(Curve.P_256, (ECPublicKey) pair.getPublic()).keyID(id).build();
	}

	static JWK ed25519(String id) {
		Map<String, Object> jwk = VerificationKeys.ed25519(ED25519.getPublic()).toJSONObject();
		jwk.put("kid", id);
		try {
			return JWK.parse(jwk);
		}
		catch (java.text.ParseException ex) {
			throw new IllegalStateException(ex);
		}
	}

	/** All kinds of keys, and one that must not verify anything. */
	static String jwkSet() {
		return jwkSet(rsa(RSA, "rsa"), ec(EC, "ec"), ed25519("ed"));
	}

	static String jwkSet(JWK... keys) {
		return new JWKSet(List.of(keys)).toString(true);
	}

	static String publishedWithEncryptionKey() {
		return jwkSet(rsa(RSA, "rsa"),
				new RSAKey.Builder((RSAPublicKey) OTHER_RSA.getPublic()).keyID("enc")
					.keyUse(KeyUse.ENCRYPTION)
					.build());
	}

	static Resource file(String content) {
		return new ByteArrayResource(content.getBytes(StandardCharsets.UTF_8));
	}

	static JwtIssuer.Builder issuer() {
		return JwtIssuer.of(ISSUER).audiences(List.of(AUDIENCE));
	}

	static JwtIssuer issuerWithKeys() {
		return issuer().publicKeys(file(jwkSet())).build();
	}

	static Metadata bearer(String token) {
		return headers("Bearer " + token);
	}

	static Metadata headers(String... entries) {
		Metadata headers = new Metadata();
		for (String entry : entries) {
			headers.put(AUTHORIZATION, entry);
		}
		return headers;
	}

	static String pem(String label, byte[] content) {
		return "-----BEGIN " + label + "-----\n"
				+ Base64.getMimeEncoder(64, new byte[] { '\n' }).encodeToString(content) + "\n-----END " + label
				+ "-----\n";
	}

	/** A good token. */
	static Token token() {
		return new Token();
	}

	static String encode(byte[] bytes) {
		return Base64.getUrlEncoder().withoutPadding().encodeToString(bytes);
	}

	static String encode(String text) {
		return encode(text.getBytes(StandardCharsets.UTF_8));
	}

	/** A token in the making. */
	static final class Token {

		private final Map<String, Object> header = new LinkedHashMap<>(Map.of("alg", "RS256", "kid", "rsa"));

		private final Map<String, Object> claims = new LinkedHashMap<>();

		private PrivateKey key = RSA.getPrivate();

		private String signer = "RS256";

		private Token() {
			claim("iss", ISSUER).claim("sub", "alice").claim("aud", AUDIENCE);
			claim("exp", NOW.plusSeconds(300).getEpochSecond()).claim("iat", NOW.minusSeconds(600).getEpochSecond());
		}

		Token header(String name, Object value) {
			return put(this.header, name, value);
		}

		Token claim(String name, Object value) {
			return put(this.claims, name, value);
		}

		private Token put(Map<String, Object> map, String name, Object value) {
			if (value != null) {
				map.put(name, value);
			}
			else {
				map.remove(name);
			}
			return this;
		}

		Token signedBy(String algorithm, String keyId, PrivateKey key) {
			this.signer = algorithm;
			this.key = key;
			return header("alg", algorithm).header("kid", keyId);
		}

		Token with(Consumer<Token> change) {
			change.accept(this);
			return this;
		}

		String content() {
			return encode(JSONObjectUtils.toJSONString(this.header)) + "."
					+ encode(JSONObjectUtils.toJSONString(this.claims));
		}

		String sign() {
			String content = content();
			return content + "." + encode(sign(content.getBytes(StandardCharsets.US_ASCII)));
		}

		byte[] sign(byte[] content) {
			try {
				Signature signature = switch (this.signer) {
					case "RS256" -> Signature.getInstance("SHA256withRSA");
					case "RS512" -> Signature.getInstance("SHA512withRSA");
					case "PS256" -> {
						Signature pss = Signature.getInstance("RSASSA-PSS");
						pss.setParameter(new PSSParameterSpec("SHA-256", "MGF1", MGF1ParameterSpec.SHA256, 32, 1));
						yield pss;
					}
					case "ES256" -> Signature.getInstance("SHA256withECDSAinP1363Format");
					case "EdDSA", "Ed25519" -> Signature.getInstance("Ed25519");
					default -> throw new IllegalStateException(this.signer);
				};
				signature.initSign(this.key);
				signature.update(content);
				return signature.sign();
			}
			catch (GeneralSecurityException ex) {
				throw new IllegalStateException(ex);
			}
		}

	}

}
