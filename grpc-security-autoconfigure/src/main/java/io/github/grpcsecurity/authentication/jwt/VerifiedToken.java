package io.github.grpcsecurity.authentication.jwt;

import java.security.Key;
import java.time.Instant;
import java.util.List;

import com.nimbusds.jose.JWSHeader;
import io.github.grpcsecurity.authentication.CertificateConfirmation;
import io.github.grpcsecurity.server.PeerIdentity;
import io.github.grpcsecurity.server.VerifiedCredential;
import io.github.grpcsecurity.server.VerifiedCredential.Subject;
import org.jspecify.annotations.Nullable;

import org.springframework.security.core.Authentication;
import org.springframework.security.oauth2.jwt.Jwt;
import org.springframework.security.oauth2.jwt.JwtClaimNames;

/**
 * A token that was found good: by which keys, and from when until when that holds.
 */
final class VerifiedToken {

	private final TokenIssuer issuer;

	private final JWSHeader header;

	private final Jwt jwt;

	private final List<Key> candidates;

	private final @Nullable String issuerName;

	private final @Nullable String id;

	private final @Nullable Instant issuedAt;

	private final @Nullable Instant expiresAt;

	private final long goodFrom;

	private final long goodUntil;

	// Another set of keys with the same candidates takes the place of this one
	private volatile VerificationKeys keys;

	VerifiedToken(TokenIssuer issuer, JWSHeader header, VerificationKeys keys, Jwt jwt, long skewMillis) {
		this.issuer = issuer;
		this.header = header;
		this.keys = keys;
		this.candidates = keys.select(header);
		this.jwt = jwt;
		this.issuerName = jwt.getClaimAsString(JwtClaimNames.ISS);
		this.id = jwt.getId();
		this.issuedAt = jwt.getIssuedAt();
		this.expiresAt = jwt.getExpiresAt();
		Instant notBefore = jwt.getNotBefore();
		this.goodFrom = (notBefore != null) ? notBefore.toEpochMilli() - skewMillis : Long.MIN_VALUE;
		this.goodUntil = (this.expiresAt != null) ? this.expiresAt.toEpochMilli() + skewMillis : Long.MIN_VALUE;
	}

	TokenIssuer issuer() {
		return this.issuer;
	}

	Jwt jwt() {
		return this.jwt;
	}

	/**
	 * Whether it would be found good again at this time: neither too early nor run out,
	 * and each key that could have signed it is still there, and none besides.
	 */
	boolean good(long now) {
		return now >= this.goodFrom && now < this.goodUntil && !this.issuer.retired() && keysInForce();
	}

	private boolean keysInForce() {
		VerificationKeys current = this.issuer.keys().current();
		if (current == null) {
			return false;
		}
		if (current != this.keys) {
			if (!current.select(this.header).equals(this.candidates)) {
				return false;
			}
			this.keys = current;
		}
		return true;
	}

	/**
	 * Compares it with the certificate of whoever presents it.
	 * @return why it must not be taken from there; {@code null} when it may
	 */
	@Nullable String violation(@Nullable PeerIdentity caller) {
		return CertificateConfirmation.violation(this.jwt.getClaims(),
				this.issuer.description().requiresCertificateBinding(), caller);
	}

	/** Whether it matters who presents it. */
	boolean bound() {
		return this.issuer.description().requiresCertificateBinding()
				|| CertificateConfirmation.bound(this.jwt.getClaims());
	}

	VerifiedCredential credential(Authentication authentication) {
		return VerifiedCredential.builder(VerifiedCredential.JWT, Subject.USER, authentication)
			.issuer(this.issuerName)
			.id(this.id)
			.keyId(this.header.getKeyID())
			.issuedAt(this.issuedAt)
			.expiresAt(this.expiresAt)
			.claims(this.jwt.getClaims())
			.build();
	}

	@Override
	public String toString() {
		return "VerifiedToken[PROTECTED]";
	}

}
