package io.github.grpcsecurity.autoconfigure;

import java.net.URI;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;

import io.github.grpcsecurity.authentication.AuthoritiesClaim;
import io.github.grpcsecurity.authentication.jwt.JwtIssuer;
import org.jspecify.annotations.Nullable;

import org.springframework.boot.context.properties.source.InvalidConfigurationPropertyValueException;
import org.springframework.core.io.ResourceLoader;
import org.springframework.util.StringUtils;

/**
 * Turns the configured issuers into {@link JwtIssuer}s, and blames the right property for
 * each that cannot be.
 */
final class ConfiguredJwtIssuers {

	static final String PREFIX = "grpc.security.authentication.jwt";

	private static final String ANY = "any";

	private final ResourceLoader resources;

	private final Set<String> names = new HashSet<>();

	ConfiguredJwtIssuers(ResourceLoader resources) {
		this.resources = resources;
	}

	List<JwtIssuer> convert(GrpcJwtProperties properties) {
		List<JwtIssuer> issuers = new ArrayList<>();
		for (int i = 0; i < properties.issuers().size(); i++) {
			issuers.add(convert(PREFIX + ".issuers[" + i + "]", properties.issuers().get(i)));
		}
		return issuers;
	}

	private JwtIssuer convert(String property, GrpcJwtProperties.Issuer issuer) {
		String name = issuer.issuerUri();
		if (!StringUtils.hasText(name)) {
			throw new InvalidConfigurationPropertyValueException(property + ".issuer-uri", name,
					"Set it to the exact 'iss' of the issuer's tokens: a token is only trusted if it names its issuer.");
		}
		String nameProperty = property + ".issuer-uri";
		if (!this.names.add(name)) {
			throw new InvalidConfigurationPropertyValueException(nameProperty, name,
					"Another issuer has the same name: merge the two.");
		}
		JwtIssuer.Builder builder = JwtIssuer.of(name);
		audiences(property, name, issuer.audiences(), builder);
		keys(property, issuer, builder);
		apply(property + ".algorithms", issuer.algorithms(), () -> builder.algorithms(issuer.algorithms()));
		apply(property + ".principal-claim", issuer.principalClaim(),
				() -> builder.principalClaim(issuer.principalClaim()));
		authorities(property, issuer.authorities(), builder);
		builder.profile(issuer.profile()).requireCertificateBinding(issuer.requireCertificateBinding());
		apply(property + ".max-lifetime", issuer.maxLifetime(), () -> builder.maxLifetime(issuer.maxLifetime()));
		return build(nameProperty, name, builder);
	}

	private static void audiences(String property, String name, List<String> audiences, JwtIssuer.Builder builder) {
		if (audiences.isEmpty()) {
			throw new InvalidConfigurationPropertyValueException(property + ".issuer-uri", name,
					"The issuer has no audiences, but a token for somebody else must not be taken: set " + property
							+ ".audiences to the audience of this server, or to [any] if all tokens of the issuer are"
							+ " meant for it.");
		}
		if (audiences.contains(ANY)) {
			if (audiences.size() > 1) {
				throw new InvalidConfigurationPropertyValueException(property + ".audiences", audiences,
						"'any' switches the check off, so the others have no effect: remove it, or them.");
			}
			builder.anyAudience();
			return;
		}
		apply(property + ".audiences", audiences, () -> builder.audiences(audiences));
	}

	private void keys(String property, GrpcJwtProperties.Issuer issuer, JwtIssuer.Builder builder) {
		String uri = issuer.jwkSetUri();
		String location = issuer.publicKeyLocation();
		if (StringUtils.hasText(uri) && StringUtils.hasText(location)) {
			throw new InvalidConfigurationPropertyValueException(property + ".jwk-set-uri", uri, "There is also "
					+ property + ".public-key-location, and keys come from one place only: remove one of the two.");
		}
		if (StringUtils.hasText(uri)) {
			apply(property + ".jwk-set-uri", uri, () -> builder.jwkSetUri(URI.create(uri)));
		}
		if (StringUtils.hasText(location)) {
			apply(property + ".public-key-location", location,
					() -> builder.publicKeys(this.resources.getResource(location)));
		}
	}

	private static void authorities(String property, @Nullable List<GrpcJwtProperties.Authorities> authorities,
			JwtIssuer.Builder builder) {
		if (authorities == null) {
			return;
		}
		List<AuthoritiesClaim> claims = new ArrayList<>();
		for (int i = 0; i < authorities.size(); i++) {
			GrpcJwtProperties.Authorities each = authorities.get(i);
			String claim = (each.claim() != null) ? each.claim() : "";
			apply(property + ".authorities[" + i + "].claim", claim,
					() -> claims.add(new AuthoritiesClaim(claim, each.prefix())));
		}
		builder.authorities(claims);
	}

	private static JwtIssuer build(String property, String name, JwtIssuer.Builder builder) {
		try {
			return builder.build();
		}
		catch (IllegalArgumentException ex) {
			throw invalid(property, name, ex);
		}
	}

	static void apply(String property, Object value, Runnable setter) {
		try {
			setter.run();
		}
		catch (IllegalArgumentException ex) {
			throw invalid(property, value, ex);
		}
	}

	private static InvalidConfigurationPropertyValueException invalid(String property, Object value,
			IllegalArgumentException ex) {
		return new InvalidConfigurationPropertyValueException(property, value,
				StringUtils.capitalize(String.valueOf(ex.getMessage())) + ".", ex);
	}

}
