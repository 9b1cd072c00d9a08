package io.github.grpcsecurity.authentication;

import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.util.Base64;
import java.util.Map;

import io.github.grpcsecurity.server.PeerIdentity;
import org.jspecify.annotations.Nullable;

/**
 * Compares a token that is bound to a certificate with the certificate of its caller (RFC
 * 8705 3). A token that is bound to something else, such as a DPoP key, is never taken: a
 * bearer cannot prove it.
 *
 * @since 0.1.0
 */
public final class CertificateConfirmation {

	private static final String CONFIRMATION = "cnf";

	private static final String THUMBPRINT = "x5t#S256";

	private CertificateConfirmation() {
	}

	/**
	 * Compares a token with its caller.
	 * @param claims all claims of the token, or of the answer about it
	 * @param required whether a token that is bound to nothing must not be taken
	 * @param caller whose certificate was verified; {@code null} if there was none
	 * @return why the token must not be taken; {@code null} when it may
	 */
	public static @Nullable String violation(Map<String, Object> claims, boolean required,
			@Nullable PeerIdentity caller) {
		Object confirmation = claims.get(CONFIRMATION);
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

	/**
	 * Whether not everybody may present a token.
	 * @param claims all claims of the token
	 * @return whether it is bound to anything
	 */
	public static boolean bound(Map<String, Object> claims) {
		return claims.get(CONFIRMATION) != null;
	}

	private static byte @Nullable [] thumbprint(@Nullable PeerIdentity caller) {
		byte[] digest = (caller != null) ? caller.certificateSha256() : null;
		return (digest != null) ? Base64.getUrlEncoder().withoutPadding().encode(digest) : null;
	}

}
