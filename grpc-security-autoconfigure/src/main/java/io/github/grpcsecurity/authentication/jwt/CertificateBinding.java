package io.github.grpcsecurity.authentication.jwt;

import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.util.Base64;
import java.util.Map;

import io.github.grpcsecurity.server.PeerIdentity;
import org.jspecify.annotations.Nullable;

import org.springframework.security.core.Authentication;
import org.springframework.security.oauth2.jwt.Jwt;

/**
 * Refuses a token that is bound to a certificate other than the one of the caller (RFC
 * 8705 3), or to something that a bearer token cannot prove, such as a DPoP key.
 */
final class CertificateBinding {

	private static final String CONFIRMATION = "cnf";

	private static final String THUMBPRINT = "x5t#S256";

	private CertificateBinding() {
	}

	/**
	 * Compares a token with the certificate of its caller.
	 * @return why the token must not be taken here; {@code null} when it may
	 */
	static @Nullable String violation(Authentication authentication, @Nullable PeerIdentity caller) {
		Jwt jwt = jwt(authentication);
		return (jwt != null) ? violation(jwt, false, caller) : null;
	}

	/** Whether a token says that not everybody may present it. */
	static boolean bound(Jwt jwt) {
		return jwt.getClaims().get(CONFIRMATION) != null;
	}

	/**
	 * Compares a token with the certificate of its caller.
	 * @param required whether a token that is bound to nothing is a violation, too
	 * @return why the token must not be taken here; {@code null} when it may
	 */
	static @Nullable String violation(Jwt jwt, boolean required, @Nullable PeerIdentity caller) {
		Object confirmation = jwt.getClaims().get(CONFIRMATION);
		if (confirmation == null) {
			return required ? "token is bound to no certificate" : null;
		}
		if (!(confirmation instanceof Map<?, ?> members) || members.size() != 1
				|| !(members.get(THUMBPRINT) instanceof String expected)) {
			return "token is bound to something that cannot be verified here";
		}
		byte[] actual = thumbprint(caller);
		if (actual == null) {
			return "token is bound to a certificate, and the caller has none";
		}
		return MessageDigest.isEqual(actual, expected.getBytes(StandardCharsets.UTF_8)) ? null
				: "token is bound to another certificate";
	}

	static @Nullable Jwt jwt(Authentication authentication) {
		if (authentication.getCredentials() instanceof Jwt jwt) {
			return jwt;
		}
		return (authentication.getPrincipal() instanceof Jwt jwt) ? jwt : null;
	}

	private static byte @Nullable [] thumbprint(@Nullable PeerIdentity caller) {
		byte[] digest = (caller != null) ? caller.certificateSha256() : null;
		return (digest != null) ? Base64.getUrlEncoder().withoutPadding().encode(digest) : null;
	}

}
