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
import java.util.Set;

import com.nimbusds.jose.JOSEException;
import com.nimbusds.jose.JOSEObjectType;
import com.nimbusds.jose.JWSAlgorithm;
import com.nimbusds.jose.JWSHeader;
import com.nimbusds.jose.JWSVerifier;
import com.nimbusds.jose.crypto.factories.DefaultJWSVerifierFactory;
import com.nimbusds.jose.proc.DefaultJOSEObjectTypeVerifier;
import com.nimbusds.jose.proc.SecurityContext;
import com.nimbusds.jwt.JWTClaimsSet;
import com.nimbusds.jwt.proc.BadJWTException;
import com.nimbusds.jwt.proc.DefaultJWTProcessor;
import org.jspecify.annotations.Nullable;

import org.springframework.core.convert.converter.Converter;
import org.springframework.security.authentication.AbstractAuthenticationToken;
import org.springframework.security.authentication.AuthenticationProvider;
import org.springframework.security.oauth2.core.DelegatingOAuth2TokenValidator;
import org.springframework.security.oauth2.core.OAuth2TokenValidator;
import org.springframework.security.oauth2.jwt.Jwt;
import org.springframework.security.oauth2.jwt.JwtClaimNames;
import org.springframework.security.oauth2.jwt.JwtClaimValidator;
import org.springframework.security.oauth2.jwt.JwtIssuerValidator;
import org.springframework.security.oauth2.jwt.JwtTimestampValidator;
import org.springframework.security.oauth2.jwt.NimbusJwtDecoder;
import org.springframework.security.oauth2.server.resource.authentication.JwtAuthenticationProvider;

/**
 * An issuer at work: its keys, and Spring Security's provider for its tokens.
 */
final class TokenIssuer {

	/** RFC 9068 2.1 and RFC 7519 5.1; a media type may be written in full. */
	private static final DefaultJOSEObjectTypeVerifier<SecurityContext> TYPES = new DefaultJOSEObjectTypeVerifier<>(
			new JOSEObjectType("at+jwt"), new JOSEObjectType("application/at+jwt"), JOSEObjectType.JWT,
			new JOSEObjectType("application/jwt"), null);

	private final JwtIssuer description;

	private final IssuerKeys keys;

	private final AuthenticationProvider provider;

	TokenIssuer(JwtIssuer description, IssuerKeys keys, Duration clockSkew, InstantSource clock,
			@Nullable Converter<Jwt, ? extends AbstractAuthenticationToken> converter) {
		this.description = description;
		this.keys = keys;
		JwtAuthenticationProvider jwtProvider = new JwtAuthenticationProvider(decoder(clockSkew, clock));
		jwtProvider.setJwtAuthenticationConverter((converter != null) ? converter
				: new ClaimsAuthenticationConverter(description.principalClaim(), description.authorities()));
		this.provider = jwtProvider;
	}

	private NimbusJwtDecoder decoder(Duration clockSkew, InstantSource clock) {
		DefaultJWTProcessor<SecurityContext> processor = new DefaultJWTProcessor<>();
		processor.setJWSTypeVerifier(TYPES);
		processor.setJWSKeySelector((header, context) -> select(header));
		processor.setJWSVerifierFactory(new VerifierFactory());
		// Here and not among the validators: Spring makes up an "iat" where there is none
		processor.setJWTClaimsSetVerifier((claims, context) -> verifyIssuedAt(claims, clockSkew, clock));
		NimbusJwtDecoder decoder = new NimbusJwtDecoder(processor);
		JwtTimestampValidator timestamps = new JwtTimestampValidator(clockSkew);
		timestamps.setAllowEmptyExpiryClaim(false);
		timestamps.setClock(clock.withZone(ZoneOffset.UTC));
		List<OAuth2TokenValidator<Jwt>> validators = new ArrayList<>();
		validators.add(timestamps);
		validators.add(new JwtIssuerValidator(this.description.issuer()));
		if (!this.description.anyAudience()) {
			Set<String> audiences = this.description.audiences();
			validators.add(new JwtClaimValidator<Collection<String>>(JwtClaimNames.AUD,
					(values) -> values != null && !Collections.disjoint(values, audiences)));
		}
		decoder.setJwtValidator(new DelegatingOAuth2TokenValidator<>(validators));
		return decoder;
	}

	private static void verifyIssuedAt(JWTClaimsSet claims, Duration clockSkew, InstantSource clock)
			throws BadJWTException {
		if (claims.getIssueTime() != null
				&& claims.getIssueTime().toInstant().isAfter(clock.instant().plus(clockSkew))) {
			throw new BadJWTException("token was issued in the future");
		}
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

	/** Verifies tokens inline, with the keys that are there. */
	AuthenticationProvider provider() {
		return this.provider;
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
