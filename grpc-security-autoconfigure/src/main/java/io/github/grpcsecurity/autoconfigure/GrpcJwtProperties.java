package io.github.grpcsecurity.autoconfigure;

import java.time.Duration;
import java.time.temporal.ChronoUnit;
import java.util.List;

import io.github.grpcsecurity.authentication.jwt.JwtProfile;
import org.jspecify.annotations.Nullable;

import org.springframework.boot.context.properties.ConfigurationProperties;
import org.springframework.boot.context.properties.bind.DefaultValue;
import org.springframework.boot.convert.DurationUnit;
import org.springframework.util.unit.DataSize;

/**
 * Settings for verifying JSON Web Tokens.
 *
 * @param issuers Issuers whose tokens are trusted.
 * @param clockSkew How far the clocks of issuers may be off, up to five minutes. Seconds
 * are used if no unit is given.
 * @param maxTokenSize Size of the largest token that is looked at.
 * @param authoritiesFrom Where the authorities of a principal come from.
 * @param cache Verified tokens that are known again.
 * @param jwks Fetching of the keys that issuers publish.
 * @param maxResolvedIssuers Issuers that a JwtIssuerResolver bean named, remembered at a
 * time.
 * @since 0.1.0
 */
@ConfigurationProperties(prefix = "grpc.security.authentication.jwt", ignoreUnknownFields = false)
public record GrpcJwtProperties(@DefaultValue List<Issuer> issuers,
		@DefaultValue("30s") @DurationUnit(ChronoUnit.SECONDS) Duration clockSkew,
		@DefaultValue("8KB") DataSize maxTokenSize, @DefaultValue("claims") AuthoritiesFrom authoritiesFrom,
		@DefaultValue Cache cache, @DefaultValue Jwks jwks, @DefaultValue("100") int maxResolvedIssuers) {

	/**
	 * Verified tokens that are known again.
	 *
	 * @param ttl For how long a verified token is known again without its signature being
	 * verified, at most until it expires; 0 to verify each time. Seconds are used if no
	 * unit is given.
	 * @param maxEntries Verified tokens that are known at a time.
	 */
	public record Cache(@DefaultValue("60s") @DurationUnit(ChronoUnit.SECONDS) Duration ttl,
			@DefaultValue("10000") int maxEntries) {
	}

	/**
	 * Fetching of the keys that issuers publish.
	 *
	 * @param startup What happens at startup.
	 * @param outageTolerance For how long the last good keys stay in force while no
	 * others can be fetched, 5m to 24h. Seconds are used if no unit is given.
	 */
	public record Jwks(@DefaultValue("eager-warn") Startup startup,
			@DefaultValue("4h") @DurationUnit(ChronoUnit.SECONDS) Duration outageTolerance) {
	}

	/** When keys are fetched first. */
	public enum Startup {

		/** When the first token needs them. */
		LAZY,

		/** At startup, in the background; a failure is a warning. */
		EAGER_WARN,

		/** At startup, which fails without them. */
		EAGER_FAIL

	}

	/** Where the authorities of a principal come from. */
	public enum AuthoritiesFrom {

		/** The claims of the token, or the application's own converter of tokens. */
		CLAIMS,

		/**
		 * The application's UserDetailsService, which must know the principal by its
		 * name.
		 */
		USER_DETAILS

	}

	/**
	 * An issuer of tokens.
	 *
	 * @param issuerUri Name of the issuer, exactly as in the 'iss' claim of its tokens.
	 * Its keys are discovered from here unless one of the next two says where they are.
	 * @param jwkSetUri Address where the issuer publishes its keys. Must be HTTPS, except
	 * on loopback.
	 * @param publicKeyLocation File with the public keys of the issuer: PEM, or a JWK
	 * set.
	 * @param audiences Audiences this server belongs to, of which a token must name one.
	 * The single value 'any' switches the check off.
	 * @param algorithms Asymmetric algorithms that tokens may be signed with.
	 * @param principalClaim Claim that names the principal.
	 * @param authorities Claims whose values become authorities.
	 * @param profile Profile that tokens must follow.
	 * @param requireCertificateBinding Whether tokens must be bound to the certificate of
	 * their caller. The binding of those that are is checked in any case.
	 * @param maxLifetime Longest time from the issue of a token to its expiry; 0 for no
	 * limit. Seconds are used if no unit is given.
	 */
	public record Issuer(@Nullable String issuerUri, @Nullable String jwkSetUri, @Nullable String publicKeyLocation,
			@DefaultValue List<String> audiences, @DefaultValue( {
					"RS256", "PS256", "ES256", "EdDSA" }) List<String> algorithms,
			@DefaultValue("sub") String principalClaim, @Nullable List<Authorities> authorities,
			@Nullable JwtProfile profile, @DefaultValue("false") boolean requireCertificateBinding,
			@DefaultValue("24h") @DurationUnit(ChronoUnit.SECONDS) Duration maxLifetime){
	}

	/**
	 * A claim whose values become authorities.
	 *
	 * @param claim Name of the claim, or a dotted path to it such as
	 * 'realm_access.roles'.
	 * @param prefix Prefix of the authorities, such as 'SCOPE_' or 'ROLE_'.
	 */
	public record Authorities(@Nullable String claim, @DefaultValue("") String prefix) {
	}

}
