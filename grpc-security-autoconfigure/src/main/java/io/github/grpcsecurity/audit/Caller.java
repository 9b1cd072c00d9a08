package io.github.grpcsecurity.audit;

import java.security.Principal;
import java.util.List;
import java.util.stream.Collectors;

import io.github.grpcsecurity.server.GrpcCaller;
import io.github.grpcsecurity.server.VerifiedCredential;
import org.jspecify.annotations.Nullable;

import org.springframework.security.core.AuthenticatedPrincipal;
import org.springframework.security.core.Authentication;
import org.springframework.security.core.userdetails.UserDetails;

/**
 * What may be told about a caller: never its credentials, nor anything that might hold
 * them, as {@code toString} does in many an {@link Authentication}.
 */
final class Caller {

	private Caller() {
	}

	/** Name of an identity; {@code null} when it has none that may be shown. */
	static @Nullable String name(@Nullable Authentication authentication) {
		if (authentication == null) {
			return null;
		}
		try {
			return shownName(authentication);
		}
		catch (RuntimeException ex) {
			// A caller that cannot be described must not go unrecorded
			return null;
		}
	}

	private static @Nullable String shownName(Authentication authentication) {
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

	/** How the caller was authenticated, in the order of its credentials. */
	static String kinds(GrpcCaller caller) {
		List<VerifiedCredential> credentials = caller.credentials();
		return switch (credentials.size()) {
			case 0 -> "anonymous";
			case 1 -> credentials.get(0).kind();
			default -> credentials.stream().map(VerifiedCredential::kind).collect(Collectors.joining(","));
		};
	}

	/** Who vouches for the first credential that somebody vouches for. */
	static @Nullable String issuer(GrpcCaller caller) {
		for (VerifiedCredential credential : caller.credentials()) {
			if (credential.issuer() != null) {
				return credential.issuer();
			}
		}
		return null;
	}

	/** By which name the first credential that has one can be revoked. */
	static @Nullable String credentialId(GrpcCaller caller) {
		for (VerifiedCredential credential : caller.credentials()) {
			if (credential.id() != null) {
				return credential.id();
			}
		}
		return null;
	}

}
