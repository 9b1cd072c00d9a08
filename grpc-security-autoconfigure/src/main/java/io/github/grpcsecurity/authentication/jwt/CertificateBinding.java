package io.github.grpcsecurity.authentication.jwt;

import java.nio.charset.StandardCharsets;
import java.security.GeneralSecurityException;
import java.security.MessageDigest;
import java.util.Base64;
import java.util.Map;

import javax.net.ssl.SSLPeerUnverifiedException;
import javax.net.ssl.SSLSession;

import org.jspecify.annotations.Nullable;

import org.springframework.security.core.Authentication;
import org.springframework.security.oauth2.jwt.Jwt;

/**
 * Refuses a token that is bound to a certificate other than the one of the connection
 * (RFC 8705 3), or to something that a bearer token cannot prove, such as a DPoP key.
 */
final class CertificateBinding {

	private static final String CONFIRMATION = "cnf";

	private static final String THUMBPRINT = "x5t#S256";

	private CertificateBinding() {
	}

	/**
	 * Compares a token with its connection.
	 * @return why the token must not be taken here; {@code null} when it may
	 */
	static @Nullable String violation(Authentication authentication, @Nullable SSLSession session) {
		Jwt jwt = jwt(authentication);
		Object confirmation = (jwt != null) ? jwt.getClaims().get(CONFIRMATION) : null;
		if (confirmation == null) {
			return null;
		}
		if (!(confirmation instanceof Map<?, ?> members) || members.size() != 1
				|| !(members.get(THUMBPRINT) instanceof String expected)) {
			return "token is bound to something that cannot be verified here";
		}
		byte[] actual = thumbprint(session);
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

	private static byte @Nullable [] thumbprint(@Nullable SSLSession session) {
		if (session == null) {
			return null;
		}
		try {
			byte[] leaf = session.getPeerCertificates()[0].getEncoded();
			byte[] digest = MessageDigest.getInstance("SHA-256").digest(leaf);
			return Base64.getUrlEncoder().withoutPadding().encode(digest);
		}
		catch (SSLPeerUnverifiedException ex) {
			return null;
		}
		catch (GeneralSecurityException ex) {
			throw new IllegalStateException("Cannot hash a certificate", ex);
		}
	}

}
