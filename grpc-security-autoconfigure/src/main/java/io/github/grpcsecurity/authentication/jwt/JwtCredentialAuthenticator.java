package io.github.grpcsecurity.authentication.jwt;

import java.time.Duration;
import java.time.Instant;
import java.time.InstantSource;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.function.BiPredicate;
import java.util.stream.Collectors;

import com.nimbusds.jose.proc.BadJWSException;
import io.github.grpcsecurity.authentication.AuthoritiesClaim;
import io.github.grpcsecurity.authentication.AuthorizationHeader;
import io.github.grpcsecurity.authentication.CertificateConfirmation;
import io.github.grpcsecurity.authentication.CredentialAuthenticator;
import io.github.grpcsecurity.authentication.CredentialResult;
import io.github.grpcsecurity.authentication.GrpcAuthenticationDetails;
import io.github.grpcsecurity.authentication.jwt.InspectedToken.MalformedTokenException;
import io.github.grpcsecurity.authentication.jwt.TokenClaims.UnacceptableClaimException;
import io.github.grpcsecurity.remote.RemoteHttp;
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
import org.springframework.security.oauth2.jwt.JwtException;
import org.springframework.security.oauth2.jwt.JwtValidationException;
import org.springframework.security.oauth2.server.resource.authentication.AbstractOAuth2TokenAuthenticationToken;
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
 * <p>
 * A token that was found good is known again by its hash for a short while. Its times,
 * its issuer's keys and the certificate it may be bound to are looked at in each call all
 * the same, and each call gets an {@code Authentication} of its own.
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

	private final @Nullable ResolvedIssuers resolvedIssuers;

	private final @Nullable VerifiedTokenCache cache;

	private final long clockSkewMillis;

	private final @Nullable UserProviders userProviders;

	private final @Nullable UserProviders userDetails;

	private JwtCredentialAuthenticator(Builder builder) {
		this.threads = builder.threads;
		this.maxTokenSize = builder.maxTokenSize;
		this.issuers = builder.tokenIssuers();
		JwtIssuerResolver resolver = builder.resolver;
		this.resolvedIssuers = (resolver != null)
				? new ResolvedIssuers(resolver, builder.maxResolvedIssuers, builder::tokenIssuer) : null;
		boolean verifies = !this.issuers.isEmpty() || resolver != null;
		this.cache = (!verifies || builder.cacheTtl.isZero()) ? null : new VerifiedTokenCache(builder.maxCachedTokens,
				builder.cacheTtl, builder.maxTokenSize, builder.clock);
		this.clockSkewMillis = builder.clockSkew.toMillis();
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

	/**
	 * Starts to fetch the keys of issuers that publish them, in the background. Without
	 * it they are fetched when the first token needs them.
	 */
	public void start() {
		for (TokenIssuer issuer : this.issuers.values()) {
			CompletableFuture<Boolean> unused = issuer.keys().start();
		}
	}

	/**
	 * Starts to fetch the keys of issuers that publish them, and waits for it.
	 * @param timeout how long to wait at most
	 * @return the issuers that there are no keys of; empty if all is well
	 */
	public List<String> startAndWait(Duration timeout) {
		Map<String, CompletableFuture<Boolean>> fetches = new LinkedHashMap<>();
		this.issuers.forEach((name, issuer) -> fetches.put(name, issuer.keys().start()));
		CompletableFuture<Void> all = CompletableFuture.allOf(fetches.values().toArray(new CompletableFuture<?>[0]));
		try {
			all.get(timeout.toMillis(), TimeUnit.MILLISECONDS);
		}
		catch (InterruptedException ex) {
			Thread.currentThread().interrupt();
		}
		catch (ExecutionException | TimeoutException ex) {
			// Those that are not done have no keys
		}
		return fetches.entrySet()
			.stream()
			.filter((fetch) -> !fetch.getValue().getNow(false))
			.map(Map.Entry::getKey)
			.sorted()
			.toList();
	}

	@Override
	public void close() {
		this.issuers.values().forEach((issuer) -> issuer.keys().close());
		if (this.resolvedIssuers != null) {
			this.resolvedIssuers.close();
		}
	}

	/**
	 * Forgets verified tokens, so that the next call with one of them has it verified
	 * anew. That by itself revokes nothing: a token that is still good is found good
	 * again. Calls that are being authenticated meanwhile may miss it.
	 * @param condition looks at the issuer and the claims of a token and says whether it
	 * is forgotten
	 */
	public void evict(BiPredicate<String, Map<String, Object>> condition) {
		if (this.cache != null) {
			this.cache.evict((token) -> condition.test(token.issuer().description().issuer(), token.jwt().getClaims()));
		}
	}

	/**
	 * Forgets what the {@link JwtIssuerResolver} said about an issuer, with its keys and
	 * verified tokens. The next token of the issuer has it asked again.
	 * @param issuer the {@code iss}; nothing happens for those that are configured
	 */
	public void forget(String issuer) {
		if (this.resolvedIssuers != null) {
			this.resolvedIssuers.forget(issuer);
		}
	}

	/** Keys of the configured issuers that publish them, by issuer. */
	Map<String, RemoteKeys> remoteKeys() {
		Map<String, RemoteKeys> remote = new TreeMap<>();
		this.issuers.forEach((name, issuer) -> {
			RemoteKeys keys = issuer.keys().remote();
			if (keys != null) {
				remote.put(name, keys);
			}
		});
		return remote;
	}

	@Nullable VerifiedTokenCache cache() {
		return this.cache;
	}

	int resolvedIssuers() {
		return (this.resolvedIssuers != null) ? this.resolvedIssuers.size() : 0;
	}

	@Override
	public Set<String> kinds() {
		return idle() ? Set.of() : Set.of(VerifiedCredential.JWT, BEARER);
	}

	/** Whether it is here for a provider of the application that is about no tokens. */
	private boolean idle() {
		return this.issuers.isEmpty() && this.resolvedIssuers == null && this.userProviders == null;
	}

	@Override
	public boolean supports(AuthorizationHeader authorization) {
		return !idle() && authorization.hasScheme(SCHEME);
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
		if (!authorization.wellFormedToken()) {
			return refused("bearer token is malformed");
		}
		VerifiedTokenCache.Entry known = (this.cache != null) ? this.cache.find(token) : null;
		if (known != null) {
			return acceptAgain(call, known);
		}
		BearerTokenAuthenticationToken request = new BearerTokenAuthenticationToken(token);
		request.setDetails(GrpcAuthenticationDetails.of(call));
		if (this.issuers.isEmpty() && this.resolvedIssuers == null) {
			return askUserProviders(call, request, "no issuer is configured");
		}
		return authenticate(call, request);
	}

	private CredentialResult authenticate(SecuredCall call, BearerTokenAuthenticationToken request) {
		InspectedToken token;
		try {
			token = InspectedToken.inspect(request.getToken());
		}
		catch (MalformedTokenException ex) {
			return askUserProviders(call, request, ex.reason());
		}
		TokenIssuer issuer = issuer(token.issuer());
		if (issuer == null) {
			return askUserProviders(call, request, "token of an unknown issuer");
		}
		if (!issuer.accepts(token.header().getAlgorithm())) {
			return askUserProviders(call, request, "token is signed with an algorithm that is not accepted");
		}
		VerificationKeys keys = issuer.keys().current();
		if (keys != null && keys.has(token.header())) {
			return verify(call, request, token, issuer, keys);
		}
		CompletableFuture<Boolean> refreshed = issuer.keys().refresh();
		if (refreshed.isDone()) {
			return verifyWithNewKeys(call, request, token, issuer, refreshed.getNow(false));
		}
		return CredentialResult.pending(refreshed.thenApplyAsync(
				(answered) -> verifyWithNewKeys(call, request, token, issuer, answered), this.threads.executor()));
	}

	private @Nullable TokenIssuer issuer(String name) {
		TokenIssuer configured = this.issuers.get(name);
		return (configured != null || this.resolvedIssuers == null) ? configured : this.resolvedIssuers.find(name);
	}

	private CredentialResult verifyWithNewKeys(SecuredCall call, BearerTokenAuthenticationToken request,
			InspectedToken token, TokenIssuer issuer, boolean answered) {
		VerificationKeys keys = issuer.keys().current();
		if (keys != null && keys.has(token.header())) {
			return verify(call, request, token, issuer, keys);
		}
		if (keys == null || !answered) {
			return CredentialResult.refused(Refusal.unavailable("keys of the issuer cannot be fetched"));
		}
		return askUserProviders(call, request, "token names no key of its issuer");
	}

	private CredentialResult verify(SecuredCall call, BearerTokenAuthenticationToken request, InspectedToken inspected,
			TokenIssuer issuer, VerificationKeys keys) {
		if (call.cancelledMeanwhile()) {
			return CredentialResult.cancelled();
		}
		VerifiedToken token;
		Authentication authentication;
		try {
			Jwt jwt = issuer.verify(request.getToken());
			token = new VerifiedToken(issuer, inspected.header(), keys, jwt, this.clockSkewMillis);
			authentication = issuer.convert(jwt, Objects.requireNonNull(request.getDetails()));
		}
		catch (JwtException | AuthenticationException ex) {
			return askUserProviders(call, request, "token was refused: " + reason(ex));
		}
		if (this.cache != null && authentication.isAuthenticated()) {
			this.cache.put(request.getToken(), token, authentication);
		}
		return accept(call, token, authentication);
	}

	/** Takes a token that is known to be good. */
	private CredentialResult acceptAgain(SecuredCall call, VerifiedTokenCache.Entry known) {
		VerifiedToken token = known.token();
		Authentication authentication;
		try {
			authentication = token.issuer()
				.convertAgain(token.jwt(), known.authentication(), GrpcAuthenticationDetails.of(call));
		}
		catch (AuthenticationException ex) {
			return refused("token was refused: " + reason(ex));
		}
		return accept(call, token, authentication);
	}

	private CredentialResult accept(SecuredCall call, VerifiedToken token, Authentication authentication) {
		if (!authentication.isAuthenticated()) {
			return refused("token was not authenticated");
		}
		String violation = token.bound() ? token.violation(call.peerIdentity()) : null;
		if (violation != null) {
			return refused(violation);
		}
		if (this.userDetails != null) {
			return this.userDetails.authenticate(authentication, (user) -> user.isAuthenticated()
					? CredentialResult.authenticated(token.credential(user)) : refused("token was not authenticated"));
		}
		return CredentialResult.authenticated(token.credential(authentication));
	}

	// Other messages may quote the token
	private static String reason(RuntimeException ex) {
		for (Throwable cause = ex; cause != null; cause = cause.getCause()) {
			if (cause instanceof JwtValidationException validation) {
				return validation.getErrors()
					.stream()
					.map((error) -> String.valueOf(error.getDescription()))
					.collect(Collectors.joining(", "));
			}
			if (cause instanceof UnacceptableClaimException unacceptable) {
				return unacceptable.reason();
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
		Jwt jwt = jwt(authentication);
		Map<String, Object> claims = (jwt != null) ? jwt.getClaims() : attributes(authentication);
		String violation = CertificateConfirmation.violation(claims, false, call.peerIdentity());
		if (violation != null) {
			return refused(violation);
		}
		if (jwt == null) {
			return CredentialResult.authenticated(VerifiedCredential.builder(BEARER, Subject.USER, authentication)
				.expiresAt(expiresAt(authentication))
				.claims(claims)
				.build());
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

	static @Nullable Jwt jwt(Authentication authentication) {
		if (authentication.getCredentials() instanceof Jwt jwt) {
			return jwt;
		}
		return (authentication.getPrincipal() instanceof Jwt jwt) ? jwt : null;
	}

	/** What an application's provider found out about a token that is none of ours. */
	private static Map<String, Object> attributes(Authentication authentication) {
		return (authentication instanceof AbstractOAuth2TokenAuthenticationToken<?> token)
				? Collections.unmodifiableMap(token.getTokenAttributes()) : Map.of();
	}

	private static @Nullable Instant expiresAt(Authentication authentication) {
		return (authentication instanceof AbstractOAuth2TokenAuthenticationToken<?> token)
				? token.getToken().getExpiresAt() : null;
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

		private Duration cacheTtl = Duration.ofSeconds(60);

		private int maxCachedTokens = 10_000;

		private Duration outageTolerance = Duration.ofHours(4);

		private @Nullable JwtIssuerResolver resolver;

		private int maxResolvedIssuers = 100;

		private @Nullable ScheduledExecutorService scheduler;

		private @Nullable RemoteHttp http;

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
		 * Sets a decoder of the application. It is used only if there are neither issuers
		 * nor a resolver.
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
		 * Sets for how long a verified token is known again without its signature being
		 * verified.
		 * @param ttl zero, for no time at all, to one hour; never beyond the expiry of
		 * the token
		 * @param maxEntries how many tokens are known at a time
		 * @return this builder
		 */
		public Builder cache(Duration ttl, int maxEntries) {
			Assert.isTrue(!ttl.isNegative() && ttl.compareTo(Duration.ofHours(1)) <= 0,
					"it must be between 0, which switches the cache off, and 1h");
			Assert.isTrue(maxEntries > 0, "it must be more than zero: to switch the cache off, set its ttl to 0");
			this.cacheTtl = ttl;
			this.maxCachedTokens = maxEntries;
			return this;
		}

		/**
		 * Sets for how long the last good keys of an issuer stay in force when no others
		 * can be fetched.
		 * @param outageTolerance five minutes to 24 hours
		 * @return this builder
		 */
		public Builder outageTolerance(Duration outageTolerance) {
			Assert.isTrue(
					outageTolerance.compareTo(Duration.ofMinutes(5)) >= 0
							&& outageTolerance.compareTo(Duration.ofHours(24)) <= 0,
					"it must be between 5m, because keys are fetched about that often, and 24h, because a withdrawn key"
							+ " must not be trusted any longer");
			this.outageTolerance = outageTolerance;
			return this;
		}

		/**
		 * Sets who says whether issuers that were not added are trusted.
		 * @param resolver the resolver; nobody unless set
		 * @param maxIssuers how many issuers are remembered at a time
		 * @return this builder
		 * @throws IllegalArgumentException if a pattern of the resolver is bad
		 */
		public Builder resolver(@Nullable JwtIssuerResolver resolver, int maxIssuers) {
			Assert.isTrue(maxIssuers > 0 && maxIssuers <= 10_000, "it must be between 1 and 10000");
			this.resolver = resolver;
			this.maxResolvedIssuers = maxIssuers;
			return this;
		}

		/** Sets what runs the next fetch of keys, for tests. */
		Builder scheduler(ScheduledExecutorService scheduler) {
			this.scheduler = scheduler;
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
				TokenIssuer tokenIssuer = tokenIssuer(issuer);
				if (tokenIssuers.put(issuer.issuer(), tokenIssuer) != null) {
					throw new IllegalArgumentException(
							"two issuers are named '" + issuer.issuer() + "': merge them into one");
				}
			}
			return Map.copyOf(tokenIssuers);
		}

		private TokenIssuer tokenIssuer(JwtIssuer issuer) {
			return new TokenIssuer(issuer, keys(issuer), this.clockSkew, this.clock, this.converter);
		}

		// Issuers are also resolved later, by calls
		private synchronized IssuerKeys keys(JwtIssuer issuer) {
			VerificationKeys keys = issuer.keys();
			if (keys != null) {
				return IssuerKeys.fixed(keys);
			}
			if (this.http == null) {
				this.http = KeyServer.http(this.threads.executor());
			}
			KeyServer server = new KeyServer(issuer.issuer(), issuer.jwkSetUri(), this.http);
			return new RemoteKeys(issuer.issuer(), server::fetch,
					(this.scheduler != null) ? this.scheduler : this.threads.scheduler(), this.clock,
					this.outageTolerance);
		}

		private List<AuthenticationProvider> userProviders() {
			List<AuthenticationProvider> all = new ArrayList<>();
			if (this.decoder != null && this.issuers.isEmpty() && this.resolver == null) {
				JwtAuthenticationProvider provider = new JwtAuthenticationProvider(this.decoder);
				provider.setJwtAuthenticationConverter((this.converter != null) ? this.converter
						: new ClaimsAuthenticationConverter("sub", AuthoritiesClaim.DEFAULTS));
				all.add((this.users != null) ? new UserDetailsAuthenticationProvider(this.users).after(provider)
						: provider);
			}
			all.addAll(this.providers);
			return all;
		}

	}

}
