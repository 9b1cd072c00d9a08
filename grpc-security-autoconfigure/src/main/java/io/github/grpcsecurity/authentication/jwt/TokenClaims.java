package io.github.grpcsecurity.authentication.jwt;

import java.text.ParseException;
import java.time.Duration;
import java.time.Instant;
import java.time.InstantSource;
import java.util.Date;

import com.nimbusds.jwt.JWTClaimsSet;
import com.nimbusds.jwt.proc.BadJWTException;
import org.jspecify.annotations.Nullable;

import org.springframework.util.StringUtils;

/**
 * What the claims of an issuer's tokens must look like, besides what Spring Security
 * checks. They are looked at after the signature.
 */
final class TokenClaims {

	private final @Nullable JwtProfile profile;

	private final Duration maxLifetime;

	private final Duration clockSkew;

	private final InstantSource clock;

	TokenClaims(JwtIssuer issuer, Duration clockSkew, InstantSource clock) {
		this.profile = issuer.profile();
		this.maxLifetime = issuer.maxLifetime();
		this.clockSkew = clockSkew;
		this.clock = clock;
	}

	void verify(JWTClaimsSet claims) throws BadJWTException {
		// OpenID Connect Core 3.1.3.6, 3.3.2.11: nothing but an ID token has these
		if (claims.getClaim("at_hash") != null || claims.getClaim("c_hash") != null) {
			throw new UnacceptableClaimException("it is an ID token");
		}
		if (this.profile == JwtProfile.RFC9068) {
			verifyAccessToken(claims);
		}
		verifyTimes(claims);
	}

	private static void verifyAccessToken(JWTClaimsSet claims) throws BadJWTException {
		if (claims.getClaim("nonce") != null) {
			throw new UnacceptableClaimException("it is an ID token");
		}
		// RFC 9068 2.2; issuer and audience are compared later
		if (claims.getExpirationTime() == null || claims.getIssueTime() == null || claims.getAudience().isEmpty()
				|| !StringUtils.hasText(claims.getSubject()) || !StringUtils.hasText(claims.getJWTID())
				|| !hasClientId(claims)) {
			throw new UnacceptableClaimException("it lacks a claim of RFC 9068");
		}
	}

	private static boolean hasClientId(JWTClaimsSet claims) {
		try {
			return StringUtils.hasText(claims.getStringClaim("client_id"));
		}
		catch (ParseException ex) {
			return false;
		}
	}

	private void verifyTimes(JWTClaimsSet claims) throws BadJWTException {
		Instant now = this.clock.instant();
		Date issued = claims.getIssueTime();
		if (issued != null && issued.toInstant().isAfter(now.plus(this.clockSkew))) {
			throw new UnacceptableClaimException("it was issued in the future");
		}
		Date expires = claims.getExpirationTime();
		if (expires != null && !this.maxLifetime.isZero()) {
			Instant start = (issued != null) ? issued.toInstant() : now;
			if (expires.toInstant().isAfter(start.plus(this.maxLifetime))) {
				throw new UnacceptableClaimException("its lifetime is too long");
			}
		}
	}

	/** Says what is wrong without quoting the token. */
	static final class UnacceptableClaimException extends BadJWTException {

		private static final long serialVersionUID = 1L;

		UnacceptableClaimException(String message) {
			super(message);
		}

		String reason() {
			return String.valueOf(getMessage());
		}

	}

}
