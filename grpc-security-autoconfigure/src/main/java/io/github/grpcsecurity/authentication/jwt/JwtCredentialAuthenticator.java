package io.github.grpcsecurity.authentication.jwt;

import java.time.Duration;
import java.time.InstantSource;
import java.util.ArrayList;
import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.stream.Collectors;

import com.nimbusds.jose.proc.BadJWSException;
import io.github.grpcsecurity.authentication.AuthorizationHeader;
import io.github.grpcsecurity.authentication.CredentialAuthenticator;
import io.github.grpcsecurity.authentication.CredentialResult;
import io.github.grpcsecurity.authentication.GrpcAuthenticationDetails;
import io.github.grpcsecurity.authentication.jwt.InspectedToken.MalformedTokenException;
import io.github.grpcsecurity.server.GrpcSecurityThreads;
import io.github.grpcsecurity.server.Refusal;
import io.github.grpcsecurity.server.SecuredCall;
import io.github.grpcsecurity.server.VerifiedCredential;
import io.github.grpcsecurity.server.VerifiedCredential.Subject;
import org.jspecify.annotations.Nullable;

import org.springframework.core.convert.converter.Converter;
import org.springframework.security.authentication.AbstractAuthenticationToken;
import org.springframework.security.authentication.AuthenticationProvider;
import org.springframework.security.core.Authentication;
import org.springframework.security.core.AuthenticationException;
import org.springframework.security.core.userdetails.UserDetailsService;
import org.springframework.security.oauth2.jwt.Jwt;
import org.springframework.security.oauth2.jwt.JwtClaimNames;
import org.springframework.security.oauth2.jwt.JwtDecoder;
import org.springframework.security.oauth2.jwt.JwtValidationException;
import org.springframework.security.oauth2.server.resource.authentication.BearerTokenAuthenticationToken;
import org.springframework.security.oauth2.server.resource.authentication.JwtAuthenticationProvider;
import org.springframework.util.Assert;

/**
 * Verifies bearer tokens: those of the configured issuers itself, and whatever else the
 * application's own providers understand.
 * <p>
 * The issuer is found by the exact {@code iss} of the token before anything is computed
 * or fetched for it. With the issuer's keys at hand a token is verified on the thread of
 * the call; the call waits, and no thread with it, only while keys have to be fetched or
 * a provider of the application, which may block, is asked.
 *
 * @since 0.1.0
 */
public final class JwtCredentialAuthenticator implements CredentialAuthenticator, AutoCloseable {

	private static final String SCHEME = "Bearer";

	/** The kind of a token that only a provider of the application understood. */
	private static final String BEARER = "bearer";

	private final GrpcSecurityThreads threads;

	private final int maxTokenSize;

	private final Map<String, TokenIssuer> issuers;

	private final @Nullable UserProviders userProviders;

	private final @Nullable UserProviders userDetails;

	private JwtCredentialAuthenticator(Builder builder) {
		this.threads = builder.threads;
		this.maxTokenSize = builder.maxTokenSize;
		this.issuers = builder.tokenIssuers();
		List<AuthenticationProvider> providers = builder.userProviders();
		this.userProviders = providers.isEmpty() ? null : new UserProviders(providers, this.threads.executor());
		UserDetailsService users = builder.users;
		this.userDetails = (users != null)
				? new UserProviders(List.of(new UserDetailsAuthenticationProvider(users)), this.threads.executor())
				: null;
	}

	/**
	 * Starts to put together an authenticator.
	 * @param threads where keys are fetched, and calls go on that waited for them
	 * @return a builder that trusts nobody yet
	 */
	public static Builder builder(GrpcSecurityThreads threads) {
		return new Builder(threads);
	}

	/** Starts to fetch the keys of issuers that publish them, in the background. */
	public void start() {
		this.issuers.values().forEach((issuer) -> issuer.keys().start());
	}

	@Override
	public void close() {
		this.issuers.values().forEach((issuer) -> issuer.keys().close());
	}

	@Override
	public Set<String> kinds() {
		return Set.of(VerifiedCredential.JWT, BEARER);
	}

	@Override
	public boolean supports(AuthorizationHeader authorization) {
		return authorization.hasScheme(SCHEME);
	}

	@Override
	public CredentialResult authenticate(SecuredCall call, @Nullable AuthorizationHeader authorization) {
		if (authorization == null) {
			return CredentialResult.absent();
		}
		String token = authorization.credentials();
		if (token.length() > this.maxTokenSize) {
			return refused("token is too large");
		}
		if (!wellFormed(token)) {
			return refused("bearer token is malformed");
		}
		BearerTokenAuthenticationToken request = new BearerTokenAuthenticationToken(token);
		request.setDetails(GrpcAuthenticationDetails.of(call));
		if (this.issuers.isEmpty()) {
			return askUserProviders(call, request, "no issuer is configured");
		}
		return authenticate(call, request);
	}

	/** Whether a token is a {@code b64token} (RFC 6750 2.1). */
	private static boolean wellFormed(String token) {
		int end = token.length();
		while (end > 0 && token.charAt(end - 1) == '=') {
			end--;
		}
		for (int i = 0; i < end; i++) {
			char c = token.charAt(i);
			boolean allowed = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9')
					|| "-._~+/".indexOf(c) >= 0;
			if (!allowed) {
				return false;
			}
		}
		return end > 0;
	}

	private CredentialResult authenticate(SecuredCall call, BearerTokenAuthenticationToken request) {
		InspectedToken token;
		try {
			token = InspectedToken.inspect(request.getToken());
		}
		catch (MalformedTokenException ex) {
			return askUserProviders(call, request, ex.reason());
		}
		TokenIssuer issuer = this.issuers.get(token.issuer());
		if (issuer == null) {
			return askUserProviders(call, request, "token of an unknown issuer");
		}
		if (!issuer.accepts(token.header().getAlgorithm())) {
			return askUserProviders(call, request, "token is signed with an algorithm that is not accepted");
		}
		VerificationKeys keys = issuer.keys().current();
		if (keys != null && keys.has(token.header())) {
			return verify(call, request, issuer);
		}
		CompletableFuture<Boolean> refreshed = issuer.keys().refresh();
		if (refreshed.isDone()) {
			return verifyWithNewKeys(call, request, token, issuer, refreshed.getNow(false));
		}
		return CredentialResult.pending(refreshed.thenApplyAsync(
				(answered) -> verifyWithNewKeys(call, request, token, issuer, answered), this.threads.executor()));
	}

	private CredentialResult verifyWithNewKeys(SecuredCall call, BearerTokenAuthenticationToken request,
			InspectedToken token, TokenIssuer issuer, boolean answered) {
		VerificationKeys keys = issuer.keys().current();
		if (keys != null && keys.has(token.header())) {
			return verify(call, request, issuer);
		}
		if (keys == null || !answered) {
			return CredentialResult.refused(Refusal.unavailable("keys of the issuer cannot be fetched"));
		}
		return askUserProviders(call, request, "token names no key of its issuer");
	}

	private CredentialResult verify(SecuredCall call, BearerTokenAuthenticationToken request, TokenIssuer issuer) {
		if (call.cancelledMeanwhile()) {
			return refused("call was cancelled before authentication");
		}
		Authentication authentication;
		try {
			authentication = issuer.provider().authenticate(request);
		}
		catch (AuthenticationException ex) {
			return askUserProviders(call, request, "token was refused: " + reason(ex));
		}
		if (authentication == null) {
			return refused("token was not authenticated");
		}
		CredentialResult result = complete(call, authentication);
		return (this.userDetails != null && result instanceof CredentialResult.Authenticated)
				? this.userDetails.authenticate(authentication, (user) -> complete(call, user)) : result;
	}

	// Other messages may quote the token
	private static String reason(AuthenticationException ex) {
		for (Throwable cause = ex; cause != null; cause = cause.getCause()) {
			if (cause instanceof JwtValidationException validation) {
				return validation.getErrors()
					.stream()
					.map((error) -> String.valueOf(error.getDescription()))
					.collect(Collectors.joining(", "));
			}
			if (cause instanceof BadJWSException) {
				return "its signature is wrong or its key unknown";
			}
		}
		return "its type or one of its claims is not acceptable";
	}

	private CredentialResult askUserProviders(SecuredCall call, BearerTokenAuthenticationToken request, String reason) {
		if (this.userProviders == null) {
			return refused(reason);
		}
		return this.userProviders.authenticate(request, (authentication) -> complete(call, authentication));
	}

	private static CredentialResult complete(SecuredCall call, Authentication authentication) {
		if (!authentication.isAuthenticated()) {
			return refused("token was not authenticated");
		}
		String violation = CertificateBinding.violation(authentication, call.peerIdentity());
		if (violation != null) {
			return refused(violation);
		}
		Jwt jwt = CertificateBinding.jwt(authentication);
		if (jwt == null) {
			return CredentialResult.authenticated(VerifiedCredential.of(BEARER, authentication));
		}
		return CredentialResult
			.authenticated(VerifiedCredential.builder(VerifiedCredential.JWT, Subject.USER, authentication)
				.issuer(jwt.getClaimAsString(JwtClaimNames.ISS))
				.id(jwt.getId())
				.keyId((jwt.getHeaders().get("kid") instanceof String kid) ? kid : null)
				.issuedAt(jwt.getIssuedAt())
				.expiresAt(jwt.getExpiresAt())
				.claims(jwt.getClaims())
				.build());
	}

	private static CredentialResult refused(String reason) {
		return CredentialResult.refused(Refusal.unauthenticated(reason));
	}

	/** Collects whom to trust. Not thread-safe. */
	public static final class Builder {

		private final GrpcSecurityThreads threads;

		private final List<JwtIssuer> issuers = new ArrayList<>();

		private final List<AuthenticationProvider> providers = new ArrayList<>();

		private @Nullable Converter<Jwt, ? extends AbstractAuthenticationToken> converter;

		private @Nullable JwtDecoder decoder;

		private @Nullable UserDetailsService users;

		private Duration clockSkew = Duration.ofSeconds(30);

		private int maxTokenSize = 8 * 1024;

		private InstantSource clock = InstantSource.system();

		private Builder(GrpcSecurityThreads threads) {
			this.threads = threads;
		}

		/**
		 * Adds issuers whose tokens are trusted.
		 * @param issuers the issuers
		 * @return this builder
		 */
		public Builder issuers(Collection<JwtIssuer> issuers) {
			this.issuers.addAll(issuers);
			return this;
		}

		/**
		 * Sets what turns a verified token into an identity, instead of the claims that
		 * the issuers name.
		 * @param converter the converter of the application
		 * @return this builder
		 */
		public Builder converter(@Nullable Converter<Jwt, ? extends AbstractAuthenticationToken> converter) {
			this.converter = converter;
			return this;
		}

		/**
		 * Sets a decoder of the application. It is used only if there are no issuers.
		 * @param decoder the decoder; may block
		 * @return this builder
		 */
		public Builder decoder(@Nullable JwtDecoder decoder) {
			this.decoder = decoder;
			return this;
		}

		/**
		 * Adds providers of the application. They are asked about tokens that are not
		 * good by themselves, as a {@code ProviderManager} does.
		 * @param providers the providers; may block; those that do not support bearer
		 * tokens are left out
		 * @return this builder
		 */
		public Builder providers(Collection<? extends AuthenticationProvider> providers) {
			for (AuthenticationProvider provider : providers) {
				if (provider.supports(BearerTokenAuthenticationToken.class)) {
					this.providers.add(provider);
				}
			}
			return this;
		}

		/**
		 * Sets the users whose authorities the principals of verified tokens get, instead
		 * of those from claims. A principal that is no user, or a locked or disabled one,
		 * is refused.
		 * @param users finds users by the name of the principal; may block
		 * @return this builder
		 */
		public Builder users(@Nullable UserDetailsService users) {
			this.users = users;
			return this;
		}

		/**
		 * Sets how far the clocks of issuers may be off.
		 * @param clockSkew zero to five minutes
		 * @return this builder
		 */
		public Builder clockSkew(Duration clockSkew) {
			Assert.isTrue(!clockSkew.isNegative() && clockSkew.compareTo(Duration.ofMinutes(5)) <= 0,
					"it must be between 0 and 5m: set the clocks instead of accepting tokens that have run out");
			this.clockSkew = clockSkew;
			return this;
		}

		/**
		 * Sets how large a token may be.
		 * @param maxTokenSize the limit in bytes, checked before anything else
		 * @return this builder
		 */
		public Builder maxTokenSize(int maxTokenSize) {
			Assert.isTrue(maxTokenSize > 0, "it must be more than zero");
			this.maxTokenSize = maxTokenSize;
			return this;
		}

		/**
		 * Sets the clock that tokens are compared with.
		 * @param clock the clock; the system's unless set
		 * @return this builder
		 */
		public Builder clock(InstantSource clock) {
			this.clock = clock;
			return this;
		}

		/**
		 * Puts everything together.
		 * @return the authenticator, not started
		 * @throws IllegalArgumentException if two issuers have the same name
		 */
		public JwtCredentialAuthenticator build() {
			return new JwtCredentialAuthenticator(this);
		}

		private Map<String, TokenIssuer> tokenIssuers() {
			Map<String, TokenIssuer> tokenIssuers = new LinkedHashMap<>();
			for (JwtIssuer issuer : this.issuers) {
				TokenIssuer tokenIssuer = new TokenIssuer(issuer, keys(issuer), this.clockSkew, this.clock,
						this.converter);
				if (tokenIssuers.put(issuer.issuer(), tokenIssuer) != null) {
					throw new IllegalArgumentException(
							"two issuers are named '" + issuer.issuer() + "': merge them into one");
				}
			}
			return Map.copyOf(tokenIssuers);
		}

		private IssuerKeys keys(JwtIssuer issuer) {
			VerificationKeys keys = issuer.keys();
			if (keys != null) {
				return IssuerKeys.fixed(keys);
			}
			KeyServer server = new KeyServer(issuer.issuer(), issuer.jwkSetUri(), this.threads.executor());
			return new RemoteKeys(issuer.issuer(), server::fetch, this.threads.scheduler(), this.clock);
		}

		private List<AuthenticationProvider> userProviders() {
			List<AuthenticationProvider> all = new ArrayList<>();
			if (this.decoder != null && this.issuers.isEmpty()) {
				JwtAuthenticationProvider provider = new JwtAuthenticationProvider(this.decoder);
				provider.setJwtAuthenticationConverter((this.converter != null) ? this.converter
						: new ClaimsAuthenticationConverter("sub", JwtIssuer.DEFAULT_AUTHORITIES));
				all.add((this.users != null) ? new UserDetailsAuthenticationProvider(this.users).after(provider)
						: provider);
			}
			all.addAll(this.providers);
			return all;
		}

	}

}
