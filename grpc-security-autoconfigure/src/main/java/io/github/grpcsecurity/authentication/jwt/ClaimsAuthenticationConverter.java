package io.github.grpcsecurity.authentication.jwt;

import java.util.Collection;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;

import io.github.grpcsecurity.authentication.AuthoritiesClaim;

import org.springframework.core.convert.converter.Converter;
import org.springframework.security.authentication.AbstractAuthenticationToken;
import org.springframework.security.core.GrantedAuthority;
import org.springframework.security.oauth2.jwt.Jwt;
import org.springframework.security.oauth2.server.resource.InvalidBearerTokenException;
import org.springframework.security.oauth2.server.resource.authentication.JwtAuthenticationConverter;
import org.springframework.util.StringUtils;

/**
 * Names the principal and its authorities by the claims of a token.
 */
final class ClaimsAuthenticationConverter implements Converter<Jwt, AbstractAuthenticationToken> {

	private final String principalClaim;

	private final List<AuthoritiesClaim> authorities;

	private final JwtAuthenticationConverter converter = new JwtAuthenticationConverter();

	ClaimsAuthenticationConverter(String principalClaim, List<AuthoritiesClaim> authorities) {
		this.principalClaim = principalClaim;
		this.authorities = authorities;
		this.converter.setPrincipalClaimName(principalClaim);
		this.converter.setJwtGrantedAuthoritiesConverter(this::authorities);
	}

	@Override
	public AbstractAuthenticationToken convert(Jwt jwt) {
		if (!(jwt.getClaims().get(this.principalClaim) instanceof String name) || !StringUtils.hasText(name)) {
			throw new InvalidBearerTokenException("token does not name its principal");
		}
		return this.converter.convert(jwt);
	}

	private Collection<GrantedAuthority> authorities(Jwt jwt) {
		Set<GrantedAuthority> granted = new LinkedHashSet<>();
		for (AuthoritiesClaim claim : this.authorities) {
			granted.addAll(claim.authorities(jwt.getClaims()));
		}
		return granted;
	}

}
