package io.github.grpcsecurity.authentication.jwt;

import java.security.Key;
import java.security.PublicKey;
import java.time.Duration;
import java.time.InstantSource;
import java.time.ZoneOffset;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Collections;
import java.util.List;
import java.util.Objects;
import java.util.Set;

import com.nimbusds.jose.JOSEException;
import com.nimbusds.jose.JOSEObjectType;
import com.nimbusds.jose.JWSAlgorithm;
import com.nimbusds.jose.JWSHeader;
import com.nimbusds.jose.JWSVerifier;
import com.nimbusds.jose.crypto.factories.DefaultJWSVerifierFactory;
import com.nimbusds.jose.proc.DefaultJOSEObjectTypeVerifier;
import com.nimbusds.jose.proc.SecurityContext;
import com.nimbusds.jwt.proc.DefaultJWTProcessor;
import org.jspecify.annotations.Nullable;

import org.springframework.core.convert.converter.Converter;
import org.springframework.security.authentication.AbstractAuthenticationToken;
import org.springframework.security.core.Authentication;
import org.springframework.security.core.AuthenticationException;
import org.springframework.security.oauth2.core.DelegatingOAuth2TokenValidator;
import org.springframework.security.oauth2.core.OAuth2TokenValidator;
import org.springframework.security.oauth2.jwt.Jwt;
import org.springframework.security.oauth2.jwt.JwtClaimNames;
import org.springframework.security.oauth2.jwt.JwtClaimValidator;
import org.springframework.security.oauth2.jwt.JwtDecoder;
import org.springframework.security.oauth2.jwt.JwtException;
import org.springframework.security.oauth2.jwt.JwtIssuerValidator;
import org.springframework.security.oauth2.jwt.JwtTimestampValidator;
import org.springframework.security.oauth2.jwt.NimbusJwtDecoder;
import org.springframework.security.oauth2.server.resource.InvalidBearerTokenException;
import org.springframework.security.oauth2.server.resource.authentication.JwtAuthenticationToken;

/**
 * An issuer at work: its keys, and Spring Security's decoder and converter for its
 * tokens.
 */
final class TokenIssuer {

	/** RFC 9068 2.1 and RFC 7519 5.1; a media type may be written in full. */
	private static final DefaultJOSEObjectTypeVerifier<SecurityContext> TYPES = new DefaultJOSEObjectTypeVerifier<>(
			new JOSEObjectType("at+jwt"), new JOSEObjectType("application/at+jwt"), JOSEObjectType.JWT,
			new JOSEObjectType("application/jwt"), null);

	private static final DefaultJOSEObjectTypeVerifier<SecurityContext> ACCESS_TOKEN = new DefaultJOSEObjectTypeVerifier<>(
			new JOSEObjectType("at+jwt"), new JOSEObjectType("application/at+jwt"));

	private final JwtIssuer description;

	private final IssuerKeys keys;

	private final JwtDecoder decoder;

	private final Converter<Jwt, ? extends AbstractAuthenticationToken> converter;

	private final boolean convertsAlways;

	private final InstantSource clock;

	private volatile long lastVerified;

	private volatile boolean retired;

	TokenIssuer(JwtIssuer description, IssuerKeys keys, Duration clockSkew, InstantSource clock,
			@Nullable Converter<Jwt, ? extends AbstractAuthenticationToken> converter) {
		this.description = description;
		this.keys = keys;
		this.clock = clock;
		this.decoder = decoder(clockSkew);
		this.convertsAlways = converter != null;
		this.converter = (converter != null) ? converter
				: new ClaimsAuthenticationConverter(description.principalClaim(), description.authorities());
	}

	private JwtDecoder decoder(Duration clockSkew) {
		TokenClaims claims = new TokenClaims(this.description, clockSkew, this.clock);
		DefaultJWTProcessor<SecurityContext> processor = new DefaultJWTProcessor<>();
		processor.setJWSTypeVerifier((this.description.profile() == JwtProfile.RFC9068) ? ACCESS_TOKEN : TYPES);
		processor.setJWSKeySelector((header, context) -> select(header));
		processor.setJWSVerifierFactory(new VerifierFactory());
		// Here and not among the validators: Spring makes up an "iat" where there is none
		processor.setJWTClaimsSetVerifier((set, context) -> claims.verify(set));
		NimbusJwtDecoder nimbus = new NimbusJwtDecoder(processor);
		JwtTimestampValidator timestamps = new JwtTimestampValidator(clockSkew);
		timestamps.setAllowEmptyExpiryClaim(false);
		timestamps.setClock(this.clock.withZone(ZoneOffset.UTC));
		List<OAuth2TokenValidator<Jwt>> validators = new ArrayList<>();
		validators.add(timestamps);
		validators.add(new JwtIssuerValidator(this.description.issuer()));
		if (!this.description.anyAudience()) {
			Set<String> audiences = this.description.audiences();
			validators.add(new JwtClaimValidator<Collection<String>>(JwtClaimNames.AUD,
					(values) -> values != null && !Collections.disjoint(values, audiences)));
		}
		nimbus.setJwtValidator(new DelegatingOAuth2TokenValidator<>(validators));
		return nimbus;
	}

	private List<Key> select(JWSHeader header) {
		VerificationKeys current = this.keys.current();
		return (current != null && accepts(header.getAlgorithm())) ? current.select(header) : List.of();
	}

	boolean accepts(JWSAlgorithm algorithm) {
		return this.description.algorithms().contains(algorithm);
	}

	IssuerKeys keys() {
		return this.keys;
	}

	JwtIssuer description() {
		return this.description;
	}

	/**
	 * Verifies a token with the keys that are there.
	 * @throws JwtException if it is not good
	 */
	Jwt verify(String token) {
		Jwt jwt = this.decoder.decode(token);
		this.lastVerified = this.clock.millis();
		return jwt;
	}

	/**
	 * Turns a verified token into an identity.
	 * @throws AuthenticationException if it identifies nobody
	 */
	Authentication convert(Jwt jwt, Object details) {
		AbstractAuthenticationToken authentication = this.converter.convert(jwt);
		if (authentication == null) {
			throw new InvalidBearerTokenException("token identifies nobody");
		}
		if (authentication.getDetails() == null) {
			authentication.setDetails(details);
		}
		return authentication;
	}

	/**
	 * Makes the identity of another call with the same token. An identity can be changed,
	 * so each call has its own; a converter of the application is asked each time,
	 * because its answer may depend on more than the token.
	 */
	Authentication convertAgain(Jwt jwt, Authentication first, Object details) {
		if (this.convertsAlways) {
			return convert(jwt, details);
		}
		JwtAuthenticationToken authentication = new JwtAuthenticationToken(jwt,
				Objects.requireNonNull(first.getPrincipal()), first.getAuthorities());
		authentication.setDetails(details);
		return authentication;
	}

	/** When a token of it was found good the last time; 0 if that never was. */
	long lastVerified() {
		return this.lastVerified;
	}

	boolean retired() {
		return this.retired;
	}

	/** Its tokens count no more. */
	void retire() {
		this.retired = true;
		this.keys.close();
	}

	private static final class VerifierFactory extends DefaultJWSVerifierFactory {

		@Override
		public JWSVerifier createJWSVerifier(JWSHeader header, Key key) throws JOSEException {
			if (Ed25519JwsVerifier.ALGORITHMS.contains(header.getAlgorithm()) && key instanceof PublicKey publicKey) {
				return new Ed25519JwsVerifier(publicKey);
			}
			return super.createJWSVerifier(header, key);
		}

	}

}
