package io.github.grpcsecurity.authentication.opaque;

import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.Executor;
import java.util.concurrent.TimeUnit;

import org.springframework.security.oauth2.core.OAuth2AuthenticatedPrincipal;
import org.springframework.security.oauth2.server.resource.introspection.BadOpaqueTokenException;
import org.springframework.security.oauth2.server.resource.introspection.OpaqueTokenIntrospector;

/**
 * Asks an introspector of the application, which may block: never on a thread that
 * carries calls, and not for longer than ten seconds. Thread-safe if that is.
 *
 * @since 0.1.0
 */
public final class BlockingTokenIntrospector implements TokenIntrospector {

	private static final long TIMEOUT_SECONDS = 10;

	private final OpaqueTokenIntrospector delegate;

	private final Executor executor;

	/**
	 * Creates an introspector.
	 * @param delegate the introspector of the application
	 * @param executor runs it
	 */
	public BlockingTokenIntrospector(OpaqueTokenIntrospector delegate, Executor executor) {
		this.delegate = delegate;
		this.executor = executor;
	}

	@Override
	public CompletionStage<OAuth2AuthenticatedPrincipal> introspect(String token) {
		return CompletableFuture.supplyAsync(() -> {
			try {
				return this.delegate.introspect(token);
			}
			catch (BadOpaqueTokenException ex) {
				throw new InactiveTokenException("token is not active");
			}
		}, this.executor).orTimeout(TIMEOUT_SECONDS, TimeUnit.SECONDS);
	}

}
