package io.github.grpcsecurity.authentication.apikey;

import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.time.Duration;
import java.time.Instant;
import java.time.InstantSource;
import java.util.Collection;
import java.util.Iterator;
import java.util.List;
import java.util.Locale;
import java.util.Objects;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.TimeUnit;

import io.github.grpcsecurity.authentication.AuthorizationHeader;
import io.github.grpcsecurity.authentication.CredentialAuthenticator;
import io.github.grpcsecurity.authentication.CredentialResult;
import io.github.grpcsecurity.authentication.GrpcAuthenticationDetails;
import io.github.grpcsecurity.server.MethodPlan;
import io.github.grpcsecurity.server.Refusal;
import io.github.grpcsecurity.server.SecuredCall;
import io.github.grpcsecurity.server.VerifiedCredential;
import io.github.grpcsecurity.server.VerifiedCredential.Subject;
import io.grpc.Metadata;
import org.apache.commons.logging.Log;
import org.apache.commons.logging.LogFactory;
import org.jspecify.annotations.Nullable;

/**
 * Verifies API keys.
 * <p>
 * A caller sends {@code <id>.<secret>} in one header. The key is looked up by its id, and
 * the hash of all that was sent is compared in constant time; for an id that nobody knows
 * a hash is compared all the same, so that neither bytes nor time tell which ids there
 * are. Only who has the secret learns that a key is not good for a method or an address.
 * <p>
 * Keys are taken from confidential calls alone. Thread-safe; no thread waits for a source
 * that answers later.
 *
 * @since 0.1.0
 */
public final class ApiKeyAuthenticator implements CredentialAuthenticator {

	/** Longer values are refused unread. */
	private static final int MAX_LENGTH = 512;

	private static final Log logger = LogFactory.getLog(ApiKeyAuthenticator.class);

	private static final CredentialResult SEVERAL = refused("several API keys");

	private static final CredentialResult INSECURE = refused("API key over a connection without encryption");

	private static final CredentialResult MALFORMED = refused("malformed API key");

	private static final CredentialResult UNKNOWN = refused("API key with an unknown id");

	private static final CredentialResult WRONG = refused("API key with a wrong secret");

	private static final CredentialResult DISABLED = refused("API key is disabled");

	private static final CredentialResult EXPIRED = refused("API key has run out");

	private static final CredentialResult OTHER_METHOD = CredentialResult
		.refused(Refusal.accessDenied("API key is not good for this method"));

	private static final CredentialResult OTHER_ADDRESS = CredentialResult
		.refused(Refusal.accessDenied("API key is not good for this address"));

	private static final CredentialResult UNAVAILABLE = CredentialResult
		.refused(Refusal.unavailable("API keys cannot be looked up"));

	private final Metadata.Key<String> header;

	private final List<ApiKeySource> sources;

	private final Duration timeout;

	private final InstantSource clock;

	/**
	 * Creates an authenticator.
	 * @param header name of the header that carries the key
	 * @param sources know the keys; the first that knows an id decides
	 * @param timeout how long a call waits at most for a source that answers later
	 * @param clock tells which keys have run out
	 * @throws IllegalArgumentException if no header can have this name or another kind of
	 * credential has it
	 */
	public ApiKeyAuthenticator(String header, Collection<? extends ApiKeySource> sources, Duration timeout,
			InstantSource clock) {
		String name = header.toLowerCase(Locale.ROOT);
		if (name.equals("authorization")) {
			throw new IllegalArgumentException(
					"the authorization header is for tokens and passwords: choose another, such as x-api-key");
		}
		if (name.endsWith(Metadata.BINARY_HEADER_SUFFIX) || name.startsWith("grpc-")) {
			throw new IllegalArgumentException(
					"'" + name + "' is binary or belongs to gRPC: choose another, such as x-api-key");
		}
		try {
			this.header = Metadata.Key.of(name, Metadata.ASCII_STRING_MARSHALLER);
		}
		catch (IllegalArgumentException ex) {
			throw new IllegalArgumentException("'" + name + "' is not the name of a header", ex);
		}
		this.sources = List.copyOf(sources);
		this.timeout = timeout;
		this.clock = clock;
	}

	private static CredentialResult refused(String reason) {
		return CredentialResult.refused(Refusal.unauthenticated(reason));
	}

	/**
	 * Registers who wants to hear of keys that are withdrawn, with all sources.
	 * @param listener is told of each change
	 */
	public void addListener(ApiKeyListener listener) {
		this.sources.forEach((source) -> source.addListener(listener));
	}

	@Override
	public Set<String> kinds() {
		return Set.of(VerifiedCredential.API_KEY);
	}

	@Override
	public Set<String> headers() {
		return Set.of(this.header.name());
	}

	@Override
	public CredentialResult authenticate(SecuredCall call, @Nullable AuthorizationHeader authorization) {
		Iterable<String> entries = call.headers().getAll(this.header);
		if (entries == null) {
			return CredentialResult.absent();
		}
		Iterator<String> iterator = entries.iterator();
		String key = iterator.next();
		if (iterator.hasNext()) {
			return SEVERAL;
		}
		if (!call.confidential()) {
			return INSECURE;
		}
		int dot = key.indexOf('.');
		if (key.length() > MAX_LENGTH || dot < 0 || dot == key.length() - 1 || !visible(key)) {
			return MALFORMED;
		}
		String id = key.substring(0, dot);
		if (!ApiKey.isId(id)) {
			return MALFORMED;
		}
		return find(call, id, ApiKeyHash.of(key), 0);
	}

	// What proxies join with a comma may be two keys
	private static boolean visible(String key) {
		for (int i = 0; i < key.length(); i++) {
			char character = key.charAt(i);
			if (character <= ' ' || character >= 0x7f || character == ',') {
				return false;
			}
		}
		return true;
	}

	/** Asks the sources from {@code index} on. */
	private CredentialResult find(SecuredCall call, String id, ApiKeyHash presented, int index) {
		for (int i = index; i < this.sources.size(); i++) {
			CompletableFuture<Optional<ApiKey>> answer;
			try {
				answer = this.sources.get(i).find(id).toCompletableFuture();
			}
			catch (RuntimeException ex) {
				return unavailable(ex);
			}
			if (!answer.isDone()) {
				return later(call, id, presented, i, answer);
			}
			if (answer.isCompletedExceptionally()) {
				return unavailable(answer.handle((found, failure) -> failure).join());
			}
			Optional<ApiKey> found = answer.join();
			if (found.isPresent()) {
				return verify(call, id, found.get(), presented);
			}
		}
		return verify(call, id, null, presented);
	}

	private CredentialResult later(SecuredCall call, String id, ApiKeyHash presented, int index,
			CompletionStage<Optional<ApiKey>> answer) {
		// A copy: to end the wait is not to end the answer, which others may wait for
		return CredentialResult.pending(answer.thenApply((found) -> found)
			.toCompletableFuture()
			.orTimeout(this.timeout.toNanos(), TimeUnit.NANOSECONDS)
			.handle((found, failure) -> {
				if (failure != null) {
					return unavailable(failure);
				}
				return found.isPresent() ? verify(call, id, found.get(), presented)
						: find(call, id, presented, index + 1);
			}));
	}

	private static CredentialResult unavailable(Throwable failure) {
		logger.debug("API keys cannot be looked up", failure);
		return UNAVAILABLE;
	}

	private CredentialResult verify(SecuredCall call, String id, @Nullable ApiKey key, ApiKeyHash presented) {
		if (key == null || !key.id().equals(id)) {
			// The result does not matter, the time does
			return ApiKeyHash.OF_NOBODY.equals(presented) ? WRONG : UNKNOWN;
		}
		if (!key.matches(presented)) {
			return WRONG;
		}
		Instant now = this.clock.instant();
		if (!key.enabled()) {
			return DISABLED;
		}
		if (key.expired(now)) {
			return EXPIRED;
		}
		MethodPlan plan = Objects.requireNonNull(call.plan(), "plan");
		if (!key.allows(plan.method())) {
			return OTHER_METHOD;
		}
		if (!key.allows(address(call))) {
			return OTHER_ADDRESS;
		}
		ApiKeyAuthenticationToken authentication = new ApiKeyAuthenticationToken(key);
		authentication.setDetails(GrpcAuthenticationDetails.of(call));
		return CredentialResult
			.authenticated(VerifiedCredential.builder(VerifiedCredential.API_KEY, Subject.APPLICATION, authentication)
				.id(key.id())
				.expiresAt(key.expiresAt())
				.build());
	}

	private static @Nullable InetAddress address(SecuredCall call) {
		return (call.peerAddress() instanceof InetSocketAddress inet) ? inet.getAddress() : null;
	}

}
