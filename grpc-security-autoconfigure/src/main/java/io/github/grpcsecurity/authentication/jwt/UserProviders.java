package io.github.grpcsecurity.authentication.jwt;

import java.time.Duration;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Executor;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import java.util.function.Function;

import io.github.grpcsecurity.authentication.CredentialResult;
import io.github.grpcsecurity.server.Refusal;

import org.springframework.security.authentication.AuthenticationManager;
import org.springframework.security.authentication.AuthenticationProvider;
import org.springframework.security.authentication.AuthenticationServiceException;
import org.springframework.security.authentication.ProviderManager;
import org.springframework.security.core.Authentication;
import org.springframework.security.core.AuthenticationException;

/**
 * Asks the application's own authentication providers, each of which may block: never on
 * a thread that carries calls, not on more than a fixed number of others, and not for
 * longer than ten seconds.
 */
final class UserProviders {

	static final int MAX_CONCURRENT = 64;

	private static final Duration TIMEOUT = Duration.ofSeconds(10);

	private final AuthenticationManager manager;

	private final Executor executor;

	private final Semaphore permits = new Semaphore(MAX_CONCURRENT);

	UserProviders(List<AuthenticationProvider> providers, Executor executor) {
		this.manager = new ProviderManager(providers);
		this.executor = executor;
	}

	CredentialResult authenticate(Authentication request, Function<Authentication, CredentialResult> onSuccess) {
		if (!this.permits.tryAcquire()) {
			return CredentialResult
				.refused(Refusal.unavailable("authentication providers of the application are busy"));
		}
		CompletableFuture<CredentialResult> answer = new CompletableFuture<>();
		try {
			this.executor.execute(() -> {
				try {
					answer.complete(ask(request, onSuccess));
				}
				catch (Throwable ex) {
					answer.completeExceptionally(ex);
				}
				finally {
					this.permits.release();
				}
			});
		}
		catch (RuntimeException ex) {
			this.permits.release();
			throw ex;
		}
		return CredentialResult.pending(answer.completeOnTimeout(
				CredentialResult
					.refused(Refusal.unavailable("an authentication provider of the application does not answer")),
				TIMEOUT.toMillis(), TimeUnit.MILLISECONDS));
	}

	private CredentialResult ask(Authentication request, Function<Authentication, CredentialResult> onSuccess) {
		try {
			return onSuccess.apply(this.manager.authenticate(request));
		}
		catch (AuthenticationServiceException ex) {
			return CredentialResult
				.refused(Refusal.unavailable("an authentication provider of the application failed"));
		}
		catch (AuthenticationException ex) {
			// Its message may quote the token
			return CredentialResult
				.refused(Refusal.unauthenticated("token was refused with " + ex.getClass().getSimpleName()));
		}
	}

}
