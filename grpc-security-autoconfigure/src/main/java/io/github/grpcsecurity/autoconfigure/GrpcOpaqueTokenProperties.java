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
 * Settings for tokens that the authorization server is asked about.
 *
 * @param introspectionUri Address of the introspection endpoint. Must be HTTPS, except on
 * loopback.
 * @param clientId Client id of this server at the authorization server.
 * @param clientSecret Client secret of this server.
 * @param issuer Name of the authorization server. Tokens whose answer names another one
 * are refused.
 * @param audiences Audiences this server belongs to, of which an answer must name one. If
 * none is set, every token that the authorization server calls active is taken.
 * @param principalClaim Claim that names the principal.
 * @param authorities Claims whose values become authorities.
 * @param timeout How long an answer may take. Seconds are used if no unit is given.
 * @param cacheTtl For how long an answer is remembered, at most until the token runs out.
 * Seconds are used if no unit is given.
 * @param maxEntries Number of answers that are remembered.
 * @param maxTokenSize Size of the largest token that is asked about.
 * @since 0.1.0
 */
@ConfigurationProperties(prefix = "grpc.security.authentication.opaque-token", ignoreUnknownFields = false)
public record GrpcOpaqueTokenProperties(@Nullable String introspectionUri, @Nullable String clientId,
		@Nullable String clientSecret, @Nullable String issuer, @DefaultValue List<String> audiences,
		@DefaultValue("sub") String principalClaim, @Nullable List<Authorities> authorities,
		@DefaultValue("1s") @DurationUnit(ChronoUnit.SECONDS) Duration timeout,
		@DefaultValue("30s") @DurationUnit(ChronoUnit.SECONDS) Duration cacheTtl, @DefaultValue("10000") int maxEntries,
		@DefaultValue("8KB") DataSize maxTokenSize) {

	public GrpcOpaqueTokenProperties {
		introspectionUri = OnSetPropertyCondition.valueOf(introspectionUri);
		clientId = OnSetPropertyCondition.valueOf(clientId);
		clientSecret = OnSetPropertyCondition.valueOf(clientSecret);
		issuer = OnSetPropertyCondition.valueOf(issuer);
	}

	@Override
	public String toString() {
		return "GrpcOpaqueTokenProperties[introspectionUri=" + this.introspectionUri + ", clientId=" + this.clientId
				+ "]";
	}

	/**
	 * A claim whose values become authorities.
	 *
	 * @param claim Name of the claim.
	 * @param prefix Prefix of each authority.
	 */
	public record Authorities(@DefaultValue("") String claim, @DefaultValue("") String prefix) {

	}

}
