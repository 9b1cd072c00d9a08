package io.github.grpcsecurity.authentication.opaque;

import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.time.Instant;
import java.time.InstantSource;
import java.util.Base64;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.Executor;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.LongAdder;

import com.github.benmanes.caffeine.cache.AsyncCache;
import com.github.benmanes.caffeine.cache.Caffeine;
import com.github.benmanes.caffeine.cache.Expiry;
import io.github.grpcsecurity.authentication.AuthorizationHeader;
import io.github.grpcsecurity.authentication.CertificateConfirmation;
import io.github.grpcsecurity.authentication.CredentialAuthenticator;
import io.github.grpcsecurity.authentication.CredentialResult;
import io.github.grpcsecurity.authentication.GrpcAuthenticationDetails;
import io.github.grpcsecurity.authentication.TokenHash;
import io.github.grpcsecurity.remote.CircuitBreaker;
import io.github.grpcsecurity.remote.HttpStatusException;
import io.github.grpcsecurity.server.Refusal;
import io.github.grpcsecurity.server.SecuredCall;
import io.github.grpcsecurity.server.VerifiedCredential;
import io.github.grpcsecurity.server.VerifiedCredential.Subject;
import org.apache.commons.logging.Log;
import org.apache.commons.logging.LogFactory;
import org.jspecify.annotations.Nullable;

import org.springframework.security.core.Authentication;
import org.springframework.security.oauth2.core.OAuth2AccessToken;
import org.springframework.security.oauth2.core.OAuth2AuthenticatedPrincipal;
import org.springframework.security.oauth2.core.OAuth2TokenIntrospectionClaimNames;
import org.springframework.security.oauth2.server.resource.authentication.BearerTokenAuthentication;
import org.springframework.security.oauth2.server.resource.introspection.OpaqueTokenAuthenticationConverter;
import org.springframework.util.Assert;

/**
 * Authenticates callers by tokens that only their authorization server can tell about.
 * <p>
 * However many calls present a token at once, the server is asked once; what it answers
 * is remembered until the token runs out, for a short time at most. While the server does
 * not answer, calls with tokens that are not remembered are refused with
 * {@code UNAVAILABLE}, after a few failures without asking. No thread waits for an
 * answer. Thread-safe.
 *
 * @since 0.1.0
 */
public final class OpaqueTokenAuthenticator implements CredentialAuthenticator {

	private static final Log logger = LogFactory.getLog(OpaqueTokenAuthenticator.class);

	private static final String SCHEME = "Bearer";

	/** For how long a token stays refused without asking again. */
	private static final Duration INACTIVE_TTL = Duration.ofSeconds(5);

	private static final int MAX_FAILURES = 5;

	private static final Duration PATIENCE = Duration.ofMillis(500);

	private static final Duration PROBE_INTERVAL = Duration.ofSeconds(1);

	private static final CredentialResult UNAVAILABLE = CredentialResult
		.refused(Refusal.unavailable("nobody can tell about the token now"));

	private final TokenIntrospector introspector;

	private final Executor executor;

	private final InstantSource clock;

	private final int maxTokenSize;

	private final TokenHash.Hasher hasher;

	private final boolean leaveJwts;

	private final int maxConcurrent;

	private final OpaqueTokenAuthenticationConverter converter;

	private final AsyncCache<TokenHash, Answer> answers;

	private final CircuitBreaker breaker;

	private final AtomicInteger asking = new AtomicInteger();

	private final LongAdder asked = new LongAdder();

	private final LongAdder failed = new LongAdder();

	private final LongAdder remembered = new LongAdder();

	private OpaqueTokenAuthenticator(Builder builder) {
		this.introspector = builder.introspector;
		this.executor = builder.executor;
		this.clock = builder.clock;
		this.maxTokenSize = builder.maxTokenSize;
		this.hasher = new TokenHash.Hasher(this.maxTokenSize);
		this.leaveJwts = builder.leaveJwts;
		this.maxConcurrent = builder.maxConcurrent;
		this.converter = builder.converter;
		this.breaker = new CircuitBreaker(true, MAX_FAILURES, PATIENCE, PROBE_INTERVAL, this::nanos);
		long ttl = builder.cacheTtl.toNanos();
		this.answers = Caffeine.newBuilder()
			.maximumSize(builder.maxEntries)
			.ticker(this::nanos)
			.executor(Runnable::run)
			.expireAfter(Expiry.creating((TokenHash key, Answer answer) -> answer.remember(this.clock.instant(), ttl)))
			.buildAsync();
	}

	/**
	 * Starts to put together an authenticator.
	 * @param introspector tells about tokens
	 * @param executor goes on with calls that had to wait
	 * @return a builder
	 */
	public static Builder builder(TokenIntrospector introspector, Executor executor) {
		return new Builder(introspector, executor);
	}

	private long nanos() {
		Instant now = this.clock.instant();
		return now.getEpochSecond() * 1_000_000_000L + now.getNano();
	}

	@Override
	public Set<String> kinds() {
		return Set.of(VerifiedCredential.OPAQUE_TOKEN);
	}

	@Override
	public boolean supports(AuthorizationHeader authorization) {
		return authorization.hasScheme(SCHEME) && !(this.leaveJwts && looksLikeJwt(authorization.credentials()));
	}

	/**
	 * Two dots part the three pieces of a signed token (RFC 7515 3.1), the first of which
	 * is an object in JSON, with space wherever JSON has it.
	 */
	private static boolean looksLikeJwt(String token) {
		int first = token.indexOf('.');
		int second = token.indexOf('.', first + 1);
		return first > 0 && second > first + 1 && token.indexOf('.', second + 1) < 0
				&& looksLikeObject(token.substring(0, first));
	}

	private static boolean looksLikeObject(String base64Url) {
		try {
			String text = new String(Base64.getUrlDecoder().decode(base64Url), StandardCharsets.UTF_8);
			// Parsers skip a byte order mark as well
			return (text.startsWith("\uFEFF") ? text.substring(1) : text).stripLeading().startsWith("{");
		}
		catch (IllegalArgumentException ex) {
			return false;
		}
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
		CompletableFuture<Answer> answer = answer(token);
		if (answer == null) {
			return UNAVAILABLE;
		}
		if (answer.isDone()) {
			return result(call, token, answer);
		}
		return CredentialResult.pending(answer.thenApplyAsync((result) -> result(call, token, answer), this.executor));
	}

	/** What is or will be known about a token; {@code null} if nobody can be asked. */
	private @Nullable CompletableFuture<Answer> answer(String token) {
		TokenHash key = this.hasher.hash(token);
		CompletableFuture<Answer> known = this.answers.getIfPresent(key);
		if (known != null) {
			this.remembered.increment();
			return known;
		}
		boolean probe = false;
		if (!this.breaker.closed()) {
			probe = this.breaker.startProbe();
			if (!probe) {
				return null;
			}
		}
		if (this.asking.incrementAndGet() > this.maxConcurrent && !probe) {
			// A flood of tokens that nobody knows must not become one of requests
			this.asking.decrementAndGet();
			return null;
		}
		boolean[] mine = { false };
		boolean probing = probe;
		CompletableFuture<Answer> answer = this.answers.get(key, (missing, ignored) -> {
			mine[0] = true;
			return ask(token, probing);
		});
		if (!mine[0]) {
			this.asking.decrementAndGet();
			this.remembered.increment();
			if (probe) {
				// Somebody else asks about the same token; let the next call probe
				this.breaker.probed(false);
			}
		}
		return answer;
	}

	private CompletableFuture<Answer> ask(String token, boolean probe) {
		this.asked.increment();
		CompletableFuture<OAuth2AuthenticatedPrincipal> told;
		try {
			told = this.introspector.introspect(token).toCompletableFuture();
		}
		catch (RuntimeException ex) {
			told = CompletableFuture.failedFuture(ex);
		}
		return told.handle((principal, failure) -> {
			this.asking.decrementAndGet();
			Throwable cause = (failure instanceof CompletionException && failure.getCause() != null)
					? failure.getCause() : failure;
			boolean success = principal != null || cause instanceof InactiveTokenException;
			// Nobody may switch off the tokens of others with one that the server hates
			boolean answered = success || (cause instanceof HttpStatusException status && status.aboutRequest());
			report(success, answered, probe, cause);
			if (principal != null) {
				return new Answer(principal, null);
			}
			return (cause instanceof InactiveTokenException inactive)
					? new Answer(null, String.valueOf(inactive.getMessage())) : Answer.UNKNOWN;
		});
	}

	private void report(boolean success, boolean answered, boolean probe, @Nullable Throwable cause) {
		if (probe) {
			this.breaker.probed(answered);
			if (answered) {
				logger.info("Tokens can be asked about again");
			}
		}
		else if (answered) {
			this.breaker.succeeded();
		}
		else if (!(cause instanceof RejectedExecutionException) && this.breaker.failed()) {
			logger.warn("Nobody can be asked about tokens (" + cause
					+ "): calls with tokens that are not remembered are refused with UNAVAILABLE");
		}
		if (!success) {
			this.failed.increment();
			logger.debug("Could not ask about a token", cause);
		}
	}

	private CredentialResult result(SecuredCall call, String token, CompletableFuture<Answer> done) {
		Answer answer = done.join();
		if (answer.unknown()) {
			return UNAVAILABLE;
		}
		OAuth2AuthenticatedPrincipal principal = answer.principal();
		if (principal == null) {
			return refused(String.valueOf(answer.reason()));
		}
		Map<String, Object> claims = principal.getAttributes();
		Instant now = this.clock.instant();
		Instant expiresAt = instant(claims, OAuth2TokenIntrospectionClaimNames.EXP);
		if (expiresAt != null && !now.isBefore(expiresAt)) {
			return refused("token has expired");
		}
		String violation = CertificateConfirmation.violation(claims, false, call.peerIdentity());
		if (violation != null) {
			return refused(violation);
		}
		Authentication authentication = this.converter.convert(token, principal);
		if (authentication == null) {
			return refused("token was not authenticated");
		}
		if (authentication instanceof BearerTokenAuthentication bearer && bearer.getDetails() == null) {
			bearer.setDetails(GrpcAuthenticationDetails.of(call));
		}
		Object issuer = claims.get(OAuth2TokenIntrospectionClaimNames.ISS);
		Object id = claims.get(OAuth2TokenIntrospectionClaimNames.JTI);
		return CredentialResult
			.authenticated(VerifiedCredential.builder(VerifiedCredential.OPAQUE_TOKEN, Subject.USER, authentication)
				.issuer((issuer != null) ? issuer.toString() : null)
				.id((id instanceof String jti) ? jti : null)
				.issuedAt(instant(claims, OAuth2TokenIntrospectionClaimNames.IAT))
				.expiresAt(expiresAt)
				.claims(claims)
				.build());
	}

	private static @Nullable Instant instant(Map<String, Object> claims, String name) {
		return (claims.get(name) instanceof Instant instant) ? instant : null;
	}

	private static CredentialResult refused(String reason) {
		return CredentialResult.refused(Refusal.unauthenticated(reason));
	}

	/**
	 * How often somebody was asked about a token.
	 * @return the number since the start
	 */
	public long asked() {
		return this.asked.sum();
	}

	/**
	 * How often nobody could tell.
	 * @return the number of failures among those {@link #asked()}
	 */
	public long failed() {
		return this.failed.sum();
	}

	/**
	 * How often nobody had to be asked.
	 * @return the number since the start
	 */
	public long remembered() {
		return this.remembered.sum();
	}

	private static Authentication bearer(String token, OAuth2AuthenticatedPrincipal principal) {
		Map<String, Object> claims = principal.getAttributes();
		Instant expiresAt = instant(claims, OAuth2TokenIntrospectionClaimNames.EXP);
		Instant issuedAt = instant(claims, OAuth2TokenIntrospectionClaimNames.IAT);
		// Spring's token does not take a life that ends before it begins
		if (issuedAt != null && expiresAt != null && !expiresAt.isAfter(issuedAt)) {
			issuedAt = null;
		}
		return new BearerTokenAuthentication(principal,
				new OAuth2AccessToken(OAuth2AccessToken.TokenType.BEARER, token, issuedAt, expiresAt),
				principal.getAuthorities());
	}

	/**
	 * What was found out about a token.
	 *
	 * @param principal its owner; {@code null} if it must not be taken
	 * @param reason why it must not be taken
	 */
	private record Answer(@Nullable OAuth2AuthenticatedPrincipal principal, @Nullable String reason) {

		/** Nobody could tell. */
		static final Answer UNKNOWN = new Answer(null, null);

		boolean unknown() {
			return this.principal == null && this.reason == null;
		}

		Duration remember(Instant now, long ttlNanos) {
			if (unknown()) {
				// The next call asks again
				return Duration.ZERO;
			}
			if (this.principal == null) {
				return INACTIVE_TTL;
			}
			Duration ttl = Duration.ofNanos(ttlNanos);
			Instant expiresAt = instant(this.principal.getAttributes(), OAuth2TokenIntrospectionClaimNames.EXP);
			if (expiresAt == null) {
				return ttl;
			}
			Duration rest = Duration.between(now, expiresAt);
			if (rest.isNegative() || rest.isZero()) {
				return INACTIVE_TTL;
			}
			return (rest.compareTo(ttl) < 0) ? rest : ttl;
		}

	}

	/** Collects how tokens are asked about. Not thread-safe. */
	public static final class Builder {

		private final TokenIntrospector introspector;

		private final Executor executor;

		private Duration cacheTtl = Duration.ofSeconds(30);

		private int maxEntries = 10_000;

		private int maxTokenSize = 8 * 1024;

		private int maxConcurrent = 256;

		private boolean leaveJwts;

		private OpaqueTokenAuthenticationConverter converter = OpaqueTokenAuthenticator::bearer;

		private InstantSource clock = InstantSource.system();

		private Builder(TokenIntrospector introspector, Executor executor) {
			this.introspector = introspector;
			this.executor = executor;
		}

		/**
		 * Sets for how long an answer is remembered at most.
		 * @param cacheTtl thirty seconds unless set; zero to ask for each call, once at a
		 * time
		 * @return this builder
		 */
		public Builder cacheTtl(Duration cacheTtl) {
			Assert.isTrue(!cacheTtl.isNegative(), "it must not be negative");
			this.cacheTtl = cacheTtl;
			return this;
		}

		/**
		 * Sets how many answers are remembered.
		 * @param maxEntries the number, more than zero
		 * @return this builder
		 */
		public Builder maxEntries(int maxEntries) {
			Assert.isTrue(maxEntries > 0, "it must be more than zero");
			this.maxEntries = maxEntries;
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
		 * Sets how many tokens may be asked about at once; calls beyond are refused with
		 * {@code UNAVAILABLE}.
		 * @param maxConcurrent the number, more than zero
		 * @return this builder
		 */
		public Builder maxConcurrent(int maxConcurrent) {
			Assert.isTrue(maxConcurrent > 0, "it must be more than zero");
			this.maxConcurrent = maxConcurrent;
			return this;
		}

		/**
		 * Sets whether tokens that look like signed ones are left to somebody else, so
		 * that nobody is shown the tokens of another issuer.
		 * @param leaveJwts whether JSON Web Tokens are verified elsewhere
		 * @return this builder
		 */
		public Builder leaveJwts(boolean leaveJwts) {
			this.leaveJwts = leaveJwts;
			return this;
		}

		/**
		 * Sets what turns an answer into an identity.
		 * @param converter the converter of the application; must not block
		 * @return this builder
		 */
		public Builder converter(OpaqueTokenAuthenticationConverter converter) {
			this.converter = converter;
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
		 * @return the authenticator
		 */
		public OpaqueTokenAuthenticator build() {
			return new OpaqueTokenAuthenticator(this);
		}

	}

}
