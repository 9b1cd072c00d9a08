package io.github.grpcsecurity.autoconfigure;

import java.time.Duration;
import java.time.temporal.ChronoUnit;
import java.util.List;

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
 * @since 0.1.0
 */
@ConfigurationProperties(prefix = "grpc.security.authentication.jwt", ignoreUnknownFields = false)
public record GrpcJwtProperties(@DefaultValue List<Issuer> issuers,
		@DefaultValue("30s") @DurationUnit(ChronoUnit.SECONDS) Duration clockSkew,
		@DefaultValue("8KB") DataSize maxTokenSize, @DefaultValue("claims") AuthoritiesFrom authoritiesFrom) {

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
	 */
	public record Issuer(@Nullable String issuerUri, @Nullable String jwkSetUri, @Nullable String publicKeyLocation,
			@DefaultValue List<String> audiences, @DefaultValue( {
					"RS256", "PS256", "ES256", "EdDSA" }) List<String> algorithms,
			@DefaultValue("sub") String principalClaim, @Nullable List<Authorities> authorities){
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
