package io.github.grpcsecurity.authentication.jwt;

import org.jspecify.annotations.Nullable;

import org.springframework.security.authentication.AccountStatusUserDetailsChecker;
import org.springframework.security.authentication.AuthenticationProvider;
import org.springframework.security.core.Authentication;
import org.springframework.security.core.userdetails.UserDetails;
import org.springframework.security.core.userdetails.UserDetailsChecker;
import org.springframework.security.core.userdetails.UserDetailsService;
import org.springframework.security.oauth2.jwt.Jwt;
import org.springframework.security.oauth2.server.resource.authentication.JwtAuthenticationToken;

/**
 * Gives the principal of a verified token the authorities that the application's users
 * have, and refuses it when there is no such user, or one that is locked or disabled.
 */
final class UserDetailsAuthenticationProvider implements AuthenticationProvider {

	private final UserDetailsService users;

	private final UserDetailsChecker status = new AccountStatusUserDetailsChecker();

	UserDetailsAuthenticationProvider(UserDetailsService users) {
		this.users = users;
	}

	@Override
	public @Nullable Authentication authenticate(Authentication verified) {
		Jwt jwt = JwtCredentialAuthenticator.jwt(verified);
		if (jwt == null || !verified.isAuthenticated()) {
			return null;
		}
		UserDetails user = this.users.loadUserByUsername(verified.getName());
		this.status.check(user);
		JwtAuthenticationToken authentication = new JwtAuthenticationToken(jwt, user.getAuthorities(),
				user.getUsername());
		authentication.setDetails(verified.getDetails());
		return authentication;
	}

	/** A provider that lets another one verify the token first. */
	AuthenticationProvider after(AuthenticationProvider provider) {
		return new AuthenticationProvider() {
			@Override
			public @Nullable Authentication authenticate(Authentication request) {
				Authentication verified = provider.authenticate(request);
				return (verified != null) ? UserDetailsAuthenticationProvider.this.authenticate(verified) : null;
			}

			@Override
			public boolean supports(Class<?> authentication) {
				return provider.supports(authentication);
			}
		};
	}

	@Override
	public boolean supports(Class<?> authentication) {
		return true;
	}

}
