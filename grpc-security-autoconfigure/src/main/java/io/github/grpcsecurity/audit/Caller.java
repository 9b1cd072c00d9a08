package io.github.grpcsecurity.audit;

import java.security.Principal;
import java.security.cert.X509Certificate;
import java.util.Locale;
import java.util.Map;

import org.jspecify.annotations.Nullable;

import org.springframework.security.authentication.AnonymousAuthenticationToken;
import org.springframework.security.core.AuthenticatedPrincipal;
import org.springframework.security.core.Authentication;
import org.springframework.security.core.userdetails.UserDetails;
import org.springframework.security.oauth2.core.ClaimAccessor;
import org.springframework.security.oauth2.core.OAuth2AuthenticatedPrincipal;
import org.springframework.util.ClassUtils;

/**
 * What may be told about a caller: never its credentials, nor anything that might hold
 * them, as {@code toString} does in many an {@link Authentication}.
 *
 * @param name its name; {@code null} when it has none that may be shown
 * @param kind how it was authenticated
 * @param issuer who vouches for it, where that is known
 */
record Caller(@Nullable String name, String kind, @Nullable String issuer) {

	private static final boolean OAUTH2 = ClassUtils.isPresent("org.springframework.security.oauth2.core.ClaimAccessor",
			Caller.class.getClassLoader());

	private static final ClassValue<String> KINDS = new ClassValue<>() {
		@Override
		protected String computeValue(Class<?> type) {
			return kind(type.getSimpleName());
		}
	};

	static Caller of(Authentication authentication) {
		if (authentication instanceof AnonymousAuthenticationToken) {
			return new Caller(authentication.getName(), "anonymous", null);
		}
		String kind = KINDS.get(authentication.getClass());
		try {
			return new Caller(name(authentication),
					(authentication.getCredentials() instanceof X509Certificate) ? "certificate" : kind,
					OAUTH2 ? OAuth2.issuer(authentication.getPrincipal()) : null);
		}
		catch (RuntimeException ex) {
			// A caller that cannot be described must not go unrecorded
			return new Caller(null, kind, null);
		}
	}

	private static @Nullable String name(Authentication authentication) {
		String name = authentication.getName();
		Object principal = authentication.getPrincipal();
		Object credentials = authentication.getCredentials();
		if (name == null || name.equals(credentials)) {
			return null;
		}
		boolean named = principal instanceof String || principal instanceof UserDetails
				|| principal instanceof AuthenticatedPrincipal || principal instanceof Principal;
		// Spring's tokens fall back to toString, and who knows what that shows
		return (named || principal == null || !name.equals(principal.toString())) ? name : null;
	}

	/** {@code JwtAuthenticationToken} is a {@code jwt}. */
	private static String kind(String className) {
		String name = className;
		for (String suffix : new String[] { "Token", "Authentication" }) {
			if (name.endsWith(suffix) && name.length() > suffix.length()) {
				name = name.substring(0, name.length() - suffix.length());
			}
		}
		return name.replaceAll("(?<=[a-z0-9])(?=[A-Z])", "-").toLowerCase(Locale.ROOT);
	}

	/** Apart, because OAuth2 may not be on the class path. */
	private static final class OAuth2 {

		private OAuth2() {
		}

		static @Nullable String issuer(@Nullable Object principal) {
			Map<String, Object> claims = Map.of();
			if (principal instanceof ClaimAccessor accessor) {
				claims = accessor.getClaims();
			}
			else if (principal instanceof OAuth2AuthenticatedPrincipal oauth2) {
				claims = oauth2.getAttributes();
			}
			Object issuer = claims.get("iss");
			return (issuer != null) ? issuer.toString() : null;
		}

	}

}
