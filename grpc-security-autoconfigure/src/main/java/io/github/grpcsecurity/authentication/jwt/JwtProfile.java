package io.github.grpcsecurity.authentication.jwt;

/**
 * A profile that all tokens of an issuer must follow.
 *
 * @since 0.1.0
 */
public enum JwtProfile {

	/**
	 * JWT access tokens as in RFC 9068: of type {@code at+jwt}, with the claims
	 * {@code iss}, {@code exp}, {@code aud}, {@code sub}, {@code client_id}, {@code iat}
	 * and {@code jti}. What has a {@code nonce}, as ID tokens may, is refused.
	 */
	RFC9068

}
