package io.github.grpcsecurity.authentication.basic;

import java.net.Inet6Address;
import java.net.InetSocketAddress;
import java.nio.ByteBuffer;
import java.time.Duration;
import java.time.InstantSource;
import java.util.Objects;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentMap;
import java.util.concurrent.Executor;

import io.github.grpcsecurity.authentication.AuthorizationHeader;
import io.github.grpcsecurity.authentication.CredentialAuthenticator;
import io.github.grpcsecurity.authentication.CredentialResult;
import io.github.grpcsecurity.authentication.GrpcAuthenticationDetails;
import io.github.grpcsecurity.server.Refusal;
import io.github.grpcsecurity.server.SecuredCall;
import io.github.grpcsecurity.server.VerifiedCredential;
import org.apache.commons.logging.Log;
import org.apache.commons.logging.LogFactory;
import org.jspecify.annotations.Nullable;

import org.springframework.security.authentication.AuthenticationProvider;
import org.springframework.security.authentication.AuthenticationServiceException;
import org.springframework.security.authentication.UsernamePasswordAuthenticationToken;
import org.springframework.security.core.Authentication;
import org.springframework.security.core.AuthenticationException;
import org.springframework.security.core.CredentialsContainer;

/**
 * Verifies user names with passwords (HTTP Basic, RFC 7617), which the
 * {@link AuthenticationProvider} of the application knows.
 * <p>
 * Passwords are checked on threads of their own, a few at a time: what a password hash
 * costs on purpose must not take all processors. A password that was found good is
 * remembered for a short time, and calls that bring the same one while it is being
 * checked wait for that one check. Basic is taken from confidential calls alone.
 * Thread-safe; no thread of gRPC waits.
 *
 * @since 0.1.0
 */
public final class BasicAuthenticator implements CredentialAuthenticator {

	private static final Log logger = LogFactory.getLog(BasicAuthenticator.class);

	private static final String SCHEME = "Basic";

	/** Longer credentials are refused unread. */
	private static final int MAX_LENGTH = 1024;

	private static final int MAX_WAITING = 100;

	private static final int MAX_REMEMBERED = 10_000;

	private static final CredentialResult MALFORMED = refused("user name and password are malformed");

	private static final CredentialResult INSECURE = refused("password over a connection without encryption");

	private static final CredentialResult BAD = refused("user name or password is bad, or the account is not in use");

	private static final CredentialResult UNAVAILABLE = CredentialResult
		.refused(Refusal.unavailable("passwords cannot be checked"));

	private static final CredentialResult BUSY = CredentialResult
		.refused(Refusal.unavailable("too many passwords wait to be checked"));

	private final AuthenticationProvider provider;

	private final VerifiedPasswords verified;

	private final PasswordChecks checks;

	private final ConcurrentMap<ByteBuffer, CompletableFuture<Outcome>> running = new ConcurrentHashMap<>();

	/**
	 * Creates an authenticator.
	 * @param provider checks one user name and password, and the account; may block
	 * @param cacheTtl how long a good password is remembered; zero for not at all
	 * @param maxConcurrentChecks how many passwords are checked at a time
	 * @param executor where they are
	 * @param clock tells what has to be forgotten
	 */
	public BasicAuthenticator(AuthenticationProvider provider, Duration cacheTtl, int maxConcurrentChecks,
			Executor executor, InstantSource clock) {
		this.provider = provider;
		this.verified = new VerifiedPasswords(cacheTtl, MAX_REMEMBERED, clock);
		this.checks = new PasswordChecks(executor, maxConcurrentChecks, MAX_WAITING);
	}

	private static CredentialResult refused(String reason) {
		return CredentialResult.refused(Refusal.unauthenticated(reason));
	}

	@Override
	public Set<String> kinds() {
		return Set.of(VerifiedCredential.BASIC);
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
		if (!call.confidential()) {
			return INSECURE;
		}
		if (authorization.credentials().length() > MAX_LENGTH) {
			return MALFORMED;
		}
		UserPassword user = UserPassword.parse(authorization.credentials());
		if (user == null) {
			return MALFORMED;
		}
		ByteBuffer name = this.verified.name(user);
		Authentication known = this.verified.get(name);
		if (known != null) {
			return result(call, new Outcome(known, BAD));
		}
		if (call.cancelledMeanwhile()) {
			return CredentialResult.cancelled();
		}
		CompletableFuture<Outcome> outcome = check(peer(call), name, user);
		return CredentialResult.pending(outcome.thenApply((answer) -> result(call, answer)));
	}

	/** As with the limit for bad credentials, a client has a whole IPv6 /64. */
	private static Object peer(SecuredCall call) {
		if (call.peerAddress() instanceof InetSocketAddress inet && inet.getAddress() instanceof Inet6Address ip) {
			return ByteBuffer.wrap(ip.getAddress(), 0, 8).slice();
		}
		return call.peer();
	}

	private CompletableFuture<Outcome> check(Object peer, ByteBuffer name, UserPassword user) {
		CompletableFuture<Outcome> mine = new CompletableFuture<>();
		CompletableFuture<Outcome> others = this.running.putIfAbsent(name, mine);
		if (others != null) {
			return others;
		}
		this.checks.run(peer, () -> {
			Outcome outcome = check(user);
			Authentication authentication = outcome.authentication();
			if (authentication != null) {
				this.verified.put(name, authentication);
			}
			this.running.remove(name);
			mine.complete(outcome);
		}, () -> {
			this.running.remove(name);
			mine.complete(new Outcome(null, BUSY));
		});
		return mine;
	}

	private Outcome check(UserPassword user) {
		try {
			Authentication authentication = this.provider
				.authenticate(UsernamePasswordAuthenticationToken.unauthenticated(user.name(), user.password()));
			if (authentication == null || !authentication.isAuthenticated() || authentication.getPrincipal() == null) {
				return new Outcome(null, BAD);
			}
			if (authentication instanceof CredentialsContainer container) {
				container.eraseCredentials();
			}
			return new Outcome(authentication, BAD);
		}
		catch (AuthenticationServiceException ex) {
			return unavailable(ex);
		}
		catch (AuthenticationException ex) {
			return new Outcome(null, BAD);
		}
		catch (RuntimeException | Error ex) {
			return unavailable(ex);
		}
	}

	private static Outcome unavailable(Throwable failure) {
		logger.debug("A password could not be checked", failure);
		return new Outcome(null, UNAVAILABLE);
	}

	private static CredentialResult result(SecuredCall call, Outcome outcome) {
		Authentication verified = outcome.authentication();
		if (verified == null) {
			return outcome.refusal();
		}
		// A copy for this call: the one that is remembered belongs to many
		UsernamePasswordAuthenticationToken authentication = UsernamePasswordAuthenticationToken
			.authenticated(Objects.requireNonNull(verified.getPrincipal()), null, verified.getAuthorities());
		authentication.setDetails(GrpcAuthenticationDetails.of(call));
		return CredentialResult.authenticated(VerifiedCredential.of(VerifiedCredential.BASIC, authentication));
	}

	/**
	 * How a check ended.
	 *
	 * @param authentication who it is; {@code null} if the password is not good
	 * @param refusal what the call ends with in that case
	 */
	private record Outcome(@Nullable Authentication authentication, CredentialResult refusal) {

	}

}
