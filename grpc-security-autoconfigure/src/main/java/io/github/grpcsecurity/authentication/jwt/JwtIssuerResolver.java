package io.github.grpcsecurity.authentication.jwt;

import java.util.Collection;
import java.util.List;
import java.util.Objects;
import java.util.function.Function;

import org.jspecify.annotations.Nullable;

/**
 * Says whether an issuer that is not configured is trusted: for applications whose
 * tenants come and go, each with an issuer of its own.
 * <p>
 * A bean of this type is asked about issuers that match one of its patterns, before
 * anything is fetched for them. Anybody can make up names that match, so it must know its
 * tenants: an answer for a name that does not exist costs a request. Answers are kept for
 * a bounded number of issuers, of which the one goes first that is longest without a good
 * token; {@link JwtCredentialAuthenticator#forget} takes one back. Called by many threads
 * at once; must not block.
 *
 * @since 0.1.0
 */
public interface JwtIssuerResolver {

	/**
	 * The issuers that {@link #resolve} is asked about at all.
	 * @return patterns such as <code>https://idp.example/realms/*</code>, each with one
	 * {@code *}, which stands for letters, digits, {@code .}, {@code _}, {@code ~} and
	 * {@code -}; read once, at startup. In the host it may only stand for whole names in
	 * front of a domain: <code>https://*.idp.example</code>.
	 */
	Collection<String> allowed();

	/**
	 * Describes an issuer.
	 * @param issuer the {@code iss} of a token that nothing is known about yet; it
	 * matches a pattern
	 * @return the issuer, of the same name; {@code null} if it is not trusted
	 */
	@Nullable JwtIssuer resolve(String issuer);

	/**
	 * A resolver with one pattern.
	 * @param pattern the pattern
	 * @param resolver describes an issuer that matches, or answers {@code null}
	 * @return the resolver
	 */
	static JwtIssuerResolver of(String pattern, Function<String, @Nullable JwtIssuer> resolver) {
		Objects.requireNonNull(pattern, "pattern");
		Objects.requireNonNull(resolver, "resolver");
		return new JwtIssuerResolver() {
			@Override
			public Collection<String> allowed() {
				return List.of(pattern);
			}

			@Override
			public @Nullable JwtIssuer resolve(String issuer) {
				return resolver.apply(issuer);
			}
		};
	}

}
