package io.github.grpcsecurity.authentication;

import java.util.Collection;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;

import org.jspecify.annotations.Nullable;

import org.springframework.security.core.GrantedAuthority;
import org.springframework.security.core.authority.SimpleGrantedAuthority;
import org.springframework.util.Assert;
import org.springframework.util.StringUtils;

/**
 * A claim whose values become authorities.
 *
 * @param claim name of the claim, or a dotted path to it such as
 * {@code realm_access.roles}; its value is a list or a string with spaces between
 * @param prefix what is put in front of each value
 * @since 0.1.0
 */
public record AuthoritiesClaim(String claim, String prefix) {

	/** The claims that authorities come from unless others are named. */
	public static final List<AuthoritiesClaim> DEFAULTS = List.of(new AuthoritiesClaim("scope", "SCOPE_"),
			new AuthoritiesClaim("scp", "SCOPE_"), new AuthoritiesClaim("roles", "ROLE_"));

	public AuthoritiesClaim {
		Assert.hasText(claim, "it names no claim");
		Objects.requireNonNull(prefix, "prefix");
	}

	/**
	 * The authorities that this claim gives.
	 * @param claims all claims of a token
	 * @return one authority for each word of a text, or each text of a list
	 */
	public Collection<GrantedAuthority> authorities(Map<String, Object> claims) {
		Set<GrantedAuthority> granted = new LinkedHashSet<>();
		Object value = find(claims, this.claim);
		if (value instanceof String text) {
			for (String name : StringUtils.tokenizeToStringArray(text, " ")) {
				granted.add(new SimpleGrantedAuthority(this.prefix + name));
			}
		}
		else if (value instanceof Collection<?> names) {
			for (Object name : names) {
				if (name instanceof String text && StringUtils.hasText(text)) {
					granted.add(new SimpleGrantedAuthority(this.prefix + text));
				}
			}
		}
		return granted;
	}

	private static @Nullable Object find(Map<?, ?> claims, String path) {
		Object value = claims.get(path);
		int dot = path.indexOf('.');
		if (value == null && dot > 0 && claims.get(path.substring(0, dot)) instanceof Map<?, ?> nested) {
			return find(nested, path.substring(dot + 1));
		}
		return value;
	}

}
