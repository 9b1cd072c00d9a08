package io.github.grpcsecurity.authentication;

import java.util.List;
import java.util.concurrent.CompletionStage;

import io.github.grpcsecurity.server.CallStage;
import io.github.grpcsecurity.server.MethodPlan;
import io.github.grpcsecurity.server.Refusal;
import io.github.grpcsecurity.server.SecuredCall;
import io.github.grpcsecurity.server.SecuredMethod;
import io.github.grpcsecurity.server.SecurityStage;
import io.github.grpcsecurity.server.Verdict;
import org.jspecify.annotations.Nullable;

/**
 * Finds out who calls.
 * <p>
 * A call without credentials goes on as anonymous: whether that is enough, authorization
 * decides. Credentials that are presented but bad always fail the call, even where none
 * are needed, and so does an {@code authorization} entry that nobody here can verify or
 * that came over a connection without encryption. Plaintext from a trusted proxy on the
 * same machine, which vouches for the certificate of its client, is as good as encrypted.
 *
 * @since 0.1.0
 */
public final class AuthenticationStage implements CallStage {

	/** The audit detail that names the kind of credential. */
	public static final String KIND_NOTE = "auth.kind";

	private static final Verdict CANCELLED = refuse("call was cancelled before authentication");

	private static final Verdict INSECURE = refuse("credentials over a connection without encryption");

	private static final Verdict UNSUPPORTED = refuse("authorization scheme that nothing here verifies");

	private final CredentialAuthenticator[] authenticators;

	/**
	 * Creates the stage.
	 * @param authenticators verify the kinds of credential that callers may present; with
	 * none of them the stage checks nothing
	 */
	public AuthenticationStage(List<? extends CredentialAuthenticator> authenticators) {
		this.authenticators = authenticators.toArray(new CredentialAuthenticator[0]);
	}

	private static Verdict refuse(String reason) {
		return Verdict.refuse(Refusal.unauthenticated(reason));
	}

	@Override
	public SecurityStage stage() {
		return SecurityStage.AUTHENTICATION;
	}

	@Override
	public void plan(SecuredMethod method, MethodPlan.Builder plan) {
		if (this.authenticators.length > 0) {
			plan.check("credentials, if presented, are good", this::check);
		}
	}

	private Verdict check(SecuredCall call) {
		AuthorizationHeader authorization;
		try {
			authorization = AuthorizationHeader.read(call.headers());
		}
		catch (IllegalArgumentException ex) {
			return refuse(String.valueOf(ex.getMessage()));
		}
		if (authorization != null && !call.confidential()) {
			return INSECURE;
		}
		if (call.cancelled()) {
			return CANCELLED;
		}
		return check(call, authorization, 0, authorization == null);
	}

	/**
	 * Asks the authenticators from {@code index} on.
	 * @param answered whether somebody has answered for the authorization entry
	 */
	private Verdict check(SecuredCall call, @Nullable AuthorizationHeader authorization, int index, boolean answered) {
		boolean verified = answered;
		for (int i = index; i < this.authenticators.length; i++) {
			CredentialAuthenticator authenticator = this.authenticators[i];
			// The first that answers for the entry is the only one that gets it
			AuthorizationHeader supported = (authorization != null && !verified
					&& authenticator.supports(authorization)) ? authorization : null;
			CredentialResult result = authenticator.authenticate(call, supported);
			if (result instanceof CredentialResult.Pending pending) {
				return later(call, authorization, i, verified, supported != null, pending.answer());
			}
			if (!accept(call, result)) {
				return refusal(result);
			}
			verified |= supported != null && !(result instanceof CredentialResult.Absent);
		}
		return verified ? Verdict.proceed() : UNSUPPORTED;
	}

	private Verdict later(SecuredCall call, @Nullable AuthorizationHeader authorization, int index, boolean verified,
			boolean supported, CompletionStage<? extends CredentialResult> answer) {
		return Verdict.pending(answer.thenApply((result) -> {
			if (result instanceof CredentialResult.Pending pending) {
				return later(call, authorization, index, verified, supported, pending.answer());
			}
			if (!accept(call, result)) {
				return refusal(result);
			}
			return check(call, authorization, index + 1,
					verified || (supported && !(result instanceof CredentialResult.Absent)));
		}));
	}

	private static boolean accept(SecuredCall call, CredentialResult result) {
		if (result instanceof CredentialResult.Authenticated authenticated) {
			if (!authenticated.authentication().isAuthenticated()) {
				return false;
			}
			if (call.anonymous()) {
				call.authenticated(authenticated.authentication());
				call.note(KIND_NOTE, authenticated.kind());
			}
			return true;
		}
		return result instanceof CredentialResult.Absent;
	}

	private static Verdict refusal(CredentialResult result) {
		return (result instanceof CredentialResult.Refused refused) ? Verdict.refuse(refused.refusal())
				: refuse("credentials were not authenticated");
	}

}
