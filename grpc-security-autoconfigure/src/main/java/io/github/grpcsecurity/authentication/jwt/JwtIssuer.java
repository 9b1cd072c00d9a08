package io.github.grpcsecurity.authentication.jwt;

import java.net.URI;
import java.time.Duration;
import java.util.Collection;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;
import java.util.Set;

import com.nimbusds.jose.JWSAlgorithm;
import io.github.grpcsecurity.authentication.AuthoritiesClaim;
import io.github.grpcsecurity.remote.RemoteHttp;
import org.jspecify.annotations.Nullable;

import org.springframework.core.io.Resource;
import org.springframework.util.Assert;
import org.springframework.util.StringUtils;

/**
 * Whose tokens are trusted, and what they must look like.
 * <p>
 * Beans of this type are added to the issuers in
 * {@code grpc.security.authentication.jwt.issuers}. Instances are immutable.
 *
 * @since 0.1.0
 */
public final class JwtIssuer {

	/** The algorithms that are accepted unless others are named. */
	public static final Set<String> DEFAULT_ALGORITHMS = ordered("RS256", "PS256", "ES256", "EdDSA");

	/**
	 * The longest time between issue and expiry that is accepted unless another is set.
	 */
	public static final Duration DEFAULT_MAX_LIFETIME = Duration.ofHours(24);

	private static final Map<String, Set<JWSAlgorithm>> ALGORITHMS = algorithmsByName();

	private final String issuer;

	private final @Nullable URI jwkSetUri;

	private final @Nullable VerificationKeys keys;

	// Empty: any
	private final Set<String> audiences;

	private final Set<JWSAlgorithm> algorithms;

	private final String principalClaim;

	private final List<AuthoritiesClaim> authorities;

	private final @Nullable JwtProfile profile;

	private final boolean certificateBinding;

	private final Duration maxLifetime;

	private JwtIssuer(Builder builder) {
		this.issuer = builder.issuer;
		this.jwkSetUri = builder.jwkSetUri;
		this.keys = builder.keys;
		this.audiences = Set.copyOf(Objects.requireNonNull(builder.audiences));
		this.algorithms = Set.copyOf(builder.algorithms);
		this.principalClaim = builder.principalClaim;
		this.authorities = List.copyOf(builder.authorities);
		this.profile = builder.profile;
		this.certificateBinding = builder.certificateBinding;
		this.maxLifetime = builder.maxLifetime;
	}

	private static Set<String> ordered(String... names) {
		return Collections.unmodifiableSet(new LinkedHashSet<>(List.of(names)));
	}

	private static Map<String, Set<JWSAlgorithm>> algorithmsByName() {
		Map<String, Set<JWSAlgorithm>> algorithms = new LinkedHashMap<>();
		for (JWSAlgorithm algorithm : List.of(JWSAlgorithm.RS256, JWSAlgorithm.RS384, JWSAlgorithm.RS512,
				JWSAlgorithm.PS256, JWSAlgorithm.PS384, JWSAlgorithm.PS512, JWSAlgorithm.ES256, JWSAlgorithm.ES384,
				JWSAlgorithm.ES512)) {
			algorithms.put(algorithm.getName(), Set.of(algorithm));
		}
		// RFC 9864 renames it; the signature is the same
		algorithms.put("EdDSA", Ed25519JwsVerifier.ALGORITHMS);
		return algorithms;
	}

	/**
	 * Starts to describe an issuer.
	 * @param issuer the {@code iss} of its tokens, compared exactly. Its keys are
	 * discovered from here unless the builder is told where they are.
	 * @return a builder
	 */
	public static Builder of(String issuer) {
		return new Builder(issuer);
	}

	/**
	 * The issuer's name.
	 * @return the {@code iss} of its tokens
	 */
	public String issuer() {
		return this.issuer;
	}

	/**
	 * Whether tokens for any audience are taken.
	 * @return {@code true} when nobody looks at {@code aud}
	 */
	public boolean anyAudience() {
		return this.audiences.isEmpty();
	}

	@Nullable URI jwkSetUri() {
		return this.jwkSetUri;
	}

	@Nullable VerificationKeys keys() {
		return this.keys;
	}

	Set<String> audiences() {
		return this.audiences;
	}

	Set<JWSAlgorithm> algorithms() {
		return this.algorithms;
	}

	String principalClaim() {
		return this.principalClaim;
	}

	List<AuthoritiesClaim> authorities() {
		return this.authorities;
	}

	@Nullable JwtProfile profile() {
		return this.profile;
	}

	boolean requiresCertificateBinding() {
		return this.certificateBinding;
	}

	/** Zero: no limit. */
	Duration maxLifetime() {
		return this.maxLifetime;
	}

	@Override
	public String toString() {
		return "JwtIssuer " + this.issuer;
	}

	/** Collects what is known about an issuer. Not thread-safe. */
	public static final class Builder {

		private final String issuer;

		private @Nullable URI jwkSetUri;

		private @Nullable VerificationKeys keys;

		private @Nullable Set<String> audiences;

		private Set<JWSAlgorithm> algorithms = new LinkedHashSet<>();

		private String principalClaim = "sub";

		private List<AuthoritiesClaim> authorities = AuthoritiesClaim.DEFAULTS;

		private @Nullable JwtProfile profile;

		private boolean certificateBinding;

		private Duration maxLifetime = DEFAULT_MAX_LIFETIME;

		private Builder(String issuer) {
			Assert.hasText(issuer, "it is empty, but every token must name its issuer");
			this.issuer = issuer;
			algorithms(DEFAULT_ALGORITHMS);
		}

		/**
		 * Sets where the issuer publishes its keys.
		 * @param uri an HTTPS address, or an HTTP one on this machine
		 * @return this builder
		 * @throws IllegalArgumentException if it is neither
		 */
		public Builder jwkSetUri(URI uri) {
			RemoteHttp.requireSecure(uri);
			this.jwkSetUri = uri;
			return this;
		}

		/**
		 * Reads the issuer's public keys from a file, now and never again.
		 * @param file a JWK set, or PEM with public keys or one certificate
		 * @return this builder
		 * @throws IllegalArgumentException if the file has no good public key, or a
		 * private one; the message says what is wrong
		 */
		public Builder publicKeys(Resource file) {
			this.keys = KeyFile.read(file);
			return this;
		}

		/**
		 * Sets the audiences this server belongs to. A token must be meant for one of
		 * them.
		 * @param audiences the values of {@code aud}, at least one
		 * @return this builder
		 */
		public Builder audiences(Collection<String> audiences) {
			Assert.notEmpty(audiences, "there are none, but a token for somebody else must not be taken");
			Assert.isTrue(audiences.stream().allMatch(StringUtils::hasText), "one of the audiences is empty");
			this.audiences = new LinkedHashSet<>(audiences);
			return this;
		}

		/**
		 * Takes tokens whatever their audience: only for issuers whose tokens are all
		 * meant for this server.
		 * @return this builder
		 */
		public Builder anyAudience() {
			this.audiences = Set.of();
			return this;
		}

		/**
		 * Sets the algorithms that tokens may be signed with.
		 * @param names names of asymmetric algorithms, at least one
		 * @return this builder
		 * @throws IllegalArgumentException if one of them is symmetric or unknown
		 */
		public Builder algorithms(Collection<String> names) {
			Set<JWSAlgorithm> accepted = new LinkedHashSet<>();
			for (String name : names) {
				accepted.addAll(algorithm(name));
			}
			Assert.notEmpty(accepted, "it is empty: name at least one of " + ALGORITHMS.keySet());
			this.algorithms = accepted;
			return this;
		}

		private static Set<JWSAlgorithm> algorithm(String name) {
			Set<JWSAlgorithm> algorithm = ALGORITHMS.get(name);
			if (algorithm != null) {
				return algorithm;
			}
			if (name.toUpperCase(Locale.ROOT).startsWith("HS")) {
				throw new IllegalArgumentException("'" + name + "' is symmetric: whoever can verify a token could sign"
						+ " one, too. Use one of " + ALGORITHMS.keySet());
			}
			if (name.equalsIgnoreCase("none")) {
				throw new IllegalArgumentException(
						"'" + name + "' means that anybody can write a token. Use one of " + ALGORITHMS.keySet());
			}
			throw new IllegalArgumentException("'" + name + "' is unknown. Use one of " + ALGORITHMS.keySet());
		}

		/**
		 * Sets the claim that becomes the name of the principal.
		 * @param claim name of the claim; tokens without it are refused
		 * @return this builder
		 */
		public Builder principalClaim(String claim) {
			Assert.hasText(claim, "it names no claim");
			this.principalClaim = claim;
			return this;
		}

		/**
		 * Sets the claims that become authorities.
		 * @param authorities the claims, in order; none for principals without
		 * authorities
		 * @return this builder
		 */
		public Builder authorities(List<AuthoritiesClaim> authorities) {
			this.authorities = authorities;
			return this;
		}

		/**
		 * Sets the profile that tokens must follow.
		 * @param profile the profile; {@code null} for tokens of any type that access
		 * tokens have in practice
		 * @return this builder
		 */
		public Builder profile(@Nullable JwtProfile profile) {
			this.profile = profile;
			return this;
		}

		/**
		 * Sets whether tokens must be bound to the certificate of their caller (RFC 8705
		 * 3). The binding of those that are is checked in any case.
		 * @param required whether others are refused; they are not unless set
		 * @return this builder
		 */
		public Builder requireCertificateBinding(boolean required) {
			this.certificateBinding = required;
			return this;
		}

		/**
		 * Sets for how long a token may be good in all: from {@code iat}, or from now if
		 * it does not say when it was issued, to {@code exp}.
		 * @param maxLifetime the longest time; zero for no limit
		 * @return this builder
		 */
		public Builder maxLifetime(Duration maxLifetime) {
			Assert.isTrue(!maxLifetime.isNegative(),
					"it is negative: set it to a duration such as 24h, or to 0 for no limit");
			this.maxLifetime = maxLifetime;
			return this;
		}

		/**
		 * Puts everything together.
		 * @return the issuer
		 * @throws IllegalArgumentException if something is missing or does not fit
		 */
		public JwtIssuer build() {
			Assert.isTrue(this.audiences != null, () -> "issuer '" + this.issuer
					+ "' has no audiences, but a token for somebody else must not be taken");
			Assert.isTrue(this.jwkSetUri == null || this.keys == null,
					() -> "issuer '" + this.issuer + "' has keys in a file and on a server: one of them must go");
			if (this.keys != null) {
				Assert.isTrue(this.keys.fits(this.algorithms),
						() -> "issuer '" + this.issuer + "' has no key in its file that fits one of its algorithms");
			}
			else if (this.jwkSetUri == null) {
				requireDiscoverable();
			}
			return new JwtIssuer(this);
		}

		private void requireDiscoverable() {
			try {
				RemoteHttp.requireSecure(KeyServer.discoveryUri(this.issuer));
			}
			catch (IllegalArgumentException ex) {
				throw new IllegalArgumentException(
						"the keys of issuer '" + this.issuer + "' cannot be discovered from its name ("
								+ ex.getMessage() + "): say where they are, with a JWK set or a file",
						ex);
			}
		}

	}

}
