package io.github.grpcsecurity.sample.tour;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.security.KeyFactory;
import java.security.PrivateKey;
import java.security.spec.PKCS8EncodedKeySpec;
import java.text.ParseException;
import java.time.Instant;
import java.util.Base64;
import java.util.Date;
import java.util.List;
import java.util.function.Consumer;

import com.nimbusds.jose.JOSEException;
import com.nimbusds.jose.JWSAlgorithm;
import com.nimbusds.jose.JWSHeader;
import com.nimbusds.jose.JWSSigner;
import com.nimbusds.jose.crypto.ECDSASigner;
import com.nimbusds.jose.crypto.MACSigner;
import com.nimbusds.jose.crypto.RSASSASigner;
import com.nimbusds.jose.jwk.AsymmetricJWK;
import com.nimbusds.jose.jwk.Curve;
import com.nimbusds.jose.jwk.ECKey;
import com.nimbusds.jose.jwk.JWK;
import com.nimbusds.jose.jwk.JWKSet;
import com.nimbusds.jwt.JWTClaimsSet;
import com.nimbusds.jwt.PlainJWT;
import com.nimbusds.jwt.SignedJWT;

/** Makes good and bad tokens with the signing key of the dev mode. */
final class TourTokens {

	private final JWK publicKey;

	private final PrivateKey privateKey;

	private final String issuer;

	private final String audience;

	TourTokens(Path jwks, Path privateKey, String issuer, String audience) {
		try {
			this.publicKey = JWKSet.load(jwks.toFile()).getKeys().get(0);
			this.privateKey = read(privateKey, (this.publicKey instanceof ECKey) ? "EC" : "RSA");
		}
		catch (IOException | ParseException | GeneralSecurityException ex) {
			throw new IllegalStateException("The signing key of the dev mode cannot be read", ex);
		}
		this.issuer = issuer;
		this.audience = audience;
	}

	private static PrivateKey read(Path file, String algorithm) throws IOException, GeneralSecurityException {
		String pem = Files.readString(file, StandardCharsets.US_ASCII);
		byte[] der = Base64.getMimeDecoder().decode(pem.replaceAll("-----[A-Z ]+-----", ""));
		return KeyFactory.getInstance(algorithm).generatePrivate(new PKCS8EncodedKeySpec(der));
	}

	/** A good token for one hour. */
	String token(String subject, List<String> roles, String... scopes) {
		return token(subject, roles, (claims) -> {
		}, scopes);
	}

	/** A token that is good but for what {@code spoiler} changes in it. */
	String token(String subject, List<String> roles, Consumer<JWTClaimsSet.Builder> spoiler, String... scopes) {
		JWTClaimsSet claims = claims(subject, roles, spoiler, scopes);
		try {
			boolean elliptic = this.privateKey.getAlgorithm().equals("EC");
			JWSSigner signer = elliptic ? new ECDSASigner(this.privateKey, Curve.P_256)
					: new RSASSASigner(this.privateKey);
			SignedJWT jwt = new SignedJWT(new JWSHeader.Builder(elliptic ? JWSAlgorithm.ES256 : JWSAlgorithm.RS256)
				.keyID(this.publicKey.getKeyID())
				.build(), claims);
			jwt.sign(signer);
			return jwt.serialize();
		}
		catch (JOSEException ex) {
			throw new IllegalStateException("No token could be made", ex);
		}
	}

	/** An unsigned token. */
	String unsigned(String subject, List<String> roles, String... scopes) {
		return new PlainJWT(claims(subject, roles, (claims) -> {
		}, scopes)).serialize();
	}

	/** A token signed with the public key, as if it were a shared secret. */
	String signedWithPublicKey(String subject, List<String> roles, String... scopes) {
		try {
			byte[] secret = ((AsymmetricJWK) this.publicKey).toPublicKey().getEncoded();
			SignedJWT jwt = new SignedJWT(
					new JWSHeader.Builder(JWSAlgorithm.HS256).keyID(this.publicKey.getKeyID()).build(),
					claims(subject, roles, (claims) -> {
					}, scopes));
			jwt.sign(new MACSigner(secret));
			return jwt.serialize();
		}
		catch (JOSEException ex) {
			throw new IllegalStateException("No token could be made", ex);
		}
	}

	private JWTClaimsSet claims(String subject, List<String> roles, Consumer<JWTClaimsSet.Builder> spoiler,
			String... scopes) {
		Instant now = Instant.now();
		JWTClaimsSet.Builder claims = new JWTClaimsSet.Builder().issuer(this.issuer)
			.audience(this.audience)
			.subject(subject)
			.issueTime(Date.from(now))
			.expirationTime(Date.from(now.plusSeconds(3600)))
			.claim("scope", String.join(" ", scopes))
			.claim("roles", roles);
		spoiler.accept(claims);
		return claims.build();
	}

}
