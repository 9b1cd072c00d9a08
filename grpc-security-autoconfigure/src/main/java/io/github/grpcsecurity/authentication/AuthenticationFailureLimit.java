package io.github.grpcsecurity.authentication;

import java.time.Duration;

import io.github.grpcsecurity.server.Refusal;
import io.github.grpcsecurity.server.Refusal.Kind;
import io.github.grpcsecurity.server.SecuredCall;
import org.jspecify.annotations.Nullable;

/**
 * Refuses to look at the credentials of a peer that has presented too many bad ones.
 * <p>
 * Only credentials that turned out bad count: neither success, nor missing credentials,
 * nor such that could not be verified. A call that was cancelled counts if its
 * credentials were looked at all the same, or hanging up would make attempts free.
 * Success resets nothing either, or one good credential would pay for any number of
 * guesses. Attempts that are under way when the limit is reached are still finished, and
 * count. Thread-safe.
 *
 * @since 0.1.0
 */
public final class AuthenticationFailureLimit implements AuthenticationGate, AuthenticationObserver {

	/** What audit and clients read of the limit. */
	private static final String QUOTA = "authentication-failures";

	private final FailureCounter failures;

	/**
	 * Creates a limit.
	 * @param failures counts for each peer
	 */
	public AuthenticationFailureLimit(FailureCounter failures) {
		this.failures = failures;
	}

	@Override
	public @Nullable Refusal check(SecuredCall call) {
		Duration retryAfter = this.failures.retryAfter(call);
		return (retryAfter != null) ? Refusal.overLimit(QUOTA, retryAfter) : null;
	}

	@Override
	public void authenticated(SecuredCall call) {
		// Nothing is paid and nothing is given back
	}

	@Override
	public void refused(SecuredCall call, Refusal refusal) {
		if (refusal.kind() == Kind.UNAUTHENTICATED) {
			this.failures.failed(call);
		}
	}

}
