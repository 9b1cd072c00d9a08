package io.github.grpcsecurity.authentication.opaque;

import java.io.IOException;
import java.net.URI;
import java.net.URLEncoder;
import java.net.http.HttpRequest;
import java.nio.charset.StandardCharsets;
import java.text.ParseException;
import java.time.Duration;
import java.time.Instant;
import java.util.Base64;
import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CompletionException;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.Executor;

import com.nimbusds.jose.util.JSONObjectUtils;
import io.github.grpcsecurity.authentication.AuthoritiesClaim;
import io.github.grpcsecurity.remote.RemoteHttp;
import org.jspecify.annotations.Nullable;

import org.springframework.security.core.GrantedAuthority;
import org.springframework.security.oauth2.core.OAuth2AuthenticatedPrincipal;
import org.springframework.security.oauth2.core.OAuth2TokenIntrospectionClaimNames;
import org.springframework.security.oauth2.server.resource.introspection.OAuth2IntrospectionAuthenticatedPrincipal;
import org.springframework.util.Assert;
import org.springframework.util.StringUtils;

/**
 * Asks the introspection endpoint of an authorization server (RFC 7662).
 * <p>
 * This server identifies itself with its own client id and secret, or anybody could use
 * the endpoint to try out tokens. An answer that is no JSON object, is larger than 64 KiB
 * or does not come in time means that nobody can tell. Thread-safe.
 *
 * @since 0.1.0
 */
public final class RemoteTokenIntrospector implements TokenIntrospector {

	private static final int MAX_BYTES = 64 * 1024;

	private final RemoteHttp http;

	private final URI uri;

	private final String authorization;

	private final @Nullable String issuer;

	private final Set<String> audiences;

	private final String principalClaim;

	private final List<AuthoritiesClaim> authorities;

	private RemoteTokenIntrospector(Builder builder) {
		this.http = new RemoteHttp(builder.executor, builder.timeout, MAX_BYTES);
		this.uri = builder.uri;
		this.authorization = "Basic " + Base64.getEncoder()
			// RFC 6749 2.3.1: both are form-encoded first
			.encodeToString(
					(encode(builder.clientId) + ":" + encode(builder.clientSecret)).getBytes(StandardCharsets.UTF_8));
		this.issuer = builder.issuer;
		this.audiences = Set.copyOf(builder.audiences);
		this.principalClaim = builder.principalClaim;
		this.authorities = List.copyOf(builder.authorities);
	}

	private static String encode(String value) {
		return URLEncoder.encode(value, StandardCharsets.UTF_8);
	}

	/**
	 * Starts to describe whom to ask.
	 * @param uri the introspection endpoint, HTTPS unless on loopback
	 * @param clientId the client id of this server
	 * @param clientSecret its secret
	 * @param executor sends the requests
	 * @return a builder
	 * @throws IllegalArgumentException if the address is not secure
	 */
	public static Builder builder(URI uri, String clientId, String clientSecret, Executor executor) {
		return new Builder(uri, clientId, clientSecret, executor);
	}

	@Override
	public CompletionStage<OAuth2AuthenticatedPrincipal> introspect(String token) {
		HttpRequest.Builder request = HttpRequest.newBuilder(this.uri)
			.header("accept", "application/json")
			.header("content-type", "application/x-www-form-urlencoded")
			.header("authorization", this.authorization)
			.POST(HttpRequest.BodyPublishers.ofString("token=" + encode(token) + "&token_type_hint=access_token"));
		return this.http.send(request).thenApply(this::principal);
	}

	private OAuth2AuthenticatedPrincipal principal(String json) {
		Map<String, Object> claims;
		try {
			claims = JSONObjectUtils.parse(json);
		}
		catch (ParseException ex) {
			throw new CompletionException(new IOException("the answer is no JSON object"));
		}
		Object active = claims.get(OAuth2TokenIntrospectionClaimNames.ACTIVE);
		if (!(active instanceof Boolean told)) {
			throw new CompletionException(new IOException("the answer does not tell whether the token is active"));
		}
		if (!told) {
			throw new InactiveTokenException("token is not active");
		}
		requireIssuer(claims.get(OAuth2TokenIntrospectionClaimNames.ISS));
		requireAudience(claims.get(OAuth2TokenIntrospectionClaimNames.AUD));
		Set<GrantedAuthority> granted = new LinkedHashSet<>();
		this.authorities.forEach((claim) -> granted.addAll(claim.authorities(claims)));
		return new OAuth2IntrospectionAuthenticatedPrincipal(name(claims), attributes(claims), granted);
	}

	private void requireIssuer(@Nullable Object issuer) {
		// RFC 7662 2.2: optional in an answer, which comes from the issuer itself
		if (this.issuer != null && issuer != null && !this.issuer.equals(issuer)) {
			throw new InactiveTokenException("token is of another issuer");
		}
	}

	private void requireAudience(@Nullable Object audience) {
		if (this.audiences.isEmpty()) {
			return;
		}
		boolean meant = (audience instanceof Collection<?> several)
				? several.stream().anyMatch((value) -> value instanceof String name && this.audiences.contains(name))
				: audience instanceof String name && this.audiences.contains(name);
		if (!meant) {
			throw new InactiveTokenException("token is not meant for this server");
		}
	}

	private String name(Map<String, Object> claims) {
		if (claims.get(this.principalClaim) instanceof String name && StringUtils.hasText(name)) {
			return name;
		}
		throw new InactiveTokenException("token does not name its principal");
	}

	/** Times as instants, the way Spring has them. */
	private static Map<String, Object> attributes(Map<String, Object> claims) {
		Map<String, Object> attributes = new LinkedHashMap<>(claims);
		for (String time : List.of(OAuth2TokenIntrospectionClaimNames.EXP, OAuth2TokenIntrospectionClaimNames.IAT,
				OAuth2TokenIntrospectionClaimNames.NBF)) {
			Object value = claims.get(time);
			if (value == null) {
				continue;
			}
			if (!(value instanceof Number seconds) || Math.abs(seconds.doubleValue()) > Instant.MAX.getEpochSecond()) {
				throw new CompletionException(new IOException("the answer has no number of seconds in " + time));
			}
			attributes.put(time, Instant.ofEpochSecond(seconds.longValue()));
		}
		return attributes;
	}

	/** Describes whom to ask, and what to make of the answers. Not thread-safe. */
	public static final class Builder {

		private final URI uri;

		private final String clientId;

		private final String clientSecret;

		private final Executor executor;

		private Duration timeout = Duration.ofSeconds(1);

		private @Nullable String issuer;

		private Collection<String> audiences = Set.of();

		private String principalClaim = OAuth2TokenIntrospectionClaimNames.SUB;

		private List<AuthoritiesClaim> authorities = AuthoritiesClaim.DEFAULTS;

		private Builder(URI uri, String clientId, String clientSecret, Executor executor) {
			RemoteHttp.requireSecure(uri);
			Assert.hasText(clientId, "there is no client id");
			Assert.hasText(clientSecret, "there is no client secret");
			this.uri = uri;
			this.clientId = clientId;
			this.clientSecret = clientSecret;
			this.executor = executor;
		}

		/**
		 * Sets how long an answer may take.
		 * @param timeout more than zero; a second unless set
		 * @return this builder
		 */
		public Builder timeout(Duration timeout) {
			Assert.isTrue(timeout.toMillis() > 0, "it must be more than zero");
			this.timeout = timeout;
			return this;
		}

		/**
		 * Sets whose tokens are taken.
		 * @param issuer the {@code iss} that an answer must have, if it has one
		 * @return this builder
		 */
		public Builder issuer(@Nullable String issuer) {
			this.issuer = issuer;
			return this;
		}

		/**
		 * Sets the audiences this server belongs to.
		 * @param audiences the values of {@code aud}, of which an answer must have one;
		 * empty to take tokens for whomever the authorization server tells about
		 * @return this builder
		 */
		public Builder audiences(Collection<String> audiences) {
			this.audiences = audiences;
			return this;
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
		 * @param authorities the claims, in order
		 * @return this builder
		 */
		public Builder authorities(List<AuthoritiesClaim> authorities) {
			this.authorities = authorities;
			return this;
		}

		/**
		 * Puts everything together.
		 * @return the introspector
		 */
		public RemoteTokenIntrospector build() {
			return new RemoteTokenIntrospector(this);
		}

	}

}
