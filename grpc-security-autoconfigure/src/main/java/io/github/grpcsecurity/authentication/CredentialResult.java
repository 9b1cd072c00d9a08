package io.github.grpcsecurity.authentication;

import java.util.Objects;
import java.util.concurrent.CompletionStage;

import io.github.grpcsecurity.server.Refusal;
import io.github.grpcsecurity.server.VerifiedCredential;

/**
 * What a {@link CredentialAuthenticator} found out about a call.
 *
 * @since 0.1.0
 */
public sealed interface CredentialResult {

	/**
	 * The call carries no credentials of this kind.
	 * @return the one result that says so
	 */
	static CredentialResult absent() {
		return Absent.INSTANCE;
	}

	/**
	 * The credentials are good.
	 * @param credential what was verified
	 * @return a result that identifies the caller
	 */
	static CredentialResult authenticated(VerifiedCredential credential) {
		return new Authenticated(credential);
	}

	/**
	 * The credentials are bad, nobody can tell, or they are good but not here.
	 * @param refusal {@link Refusal#unauthenticated}, {@link Refusal#unavailable}, or
	 * {@link Refusal#accessDenied} for credentials that are good only elsewhere
	 * @return a result that fails the call
	 */
	static CredentialResult refused(Refusal refusal) {
		return new Refused(refusal);
	}

	/**
	 * The client has gone away, so the credentials have not been looked at. It does not
	 * count as a failed attempt; credentials that were found bad do, whether their client
	 * has gone away or not.
	 * @return the one result that says so
	 */
	static CredentialResult cancelled() {
		return Cancelled.INSTANCE;
	}

	/**
	 * The answer is on its way.
	 * @param answer completes with the result, from any thread. One that completes
	 * exceptionally fails the call with {@code UNAVAILABLE}; one that never completes
	 * holds the call until its deadline, so bring a timeout.
	 * @return a result that waits
	 */
	static CredentialResult pending(CompletionStage<? extends CredentialResult> answer) {
		return new Pending(answer);
	}

	/** No credentials of this kind. */
	enum Absent implements CredentialResult {

		/** The only instance. */
		INSTANCE

	}

	/** Nobody waits for the answer any more. */
	enum Cancelled implements CredentialResult {

		/** The only instance. */
		INSTANCE

	}

	/**
	 * Good credentials.
	 *
	 * @param credential what was verified
	 */
	record Authenticated(VerifiedCredential credential) implements CredentialResult {

		public Authenticated {
			Objects.requireNonNull(credential, "credential");
		}

	}

	/**
	 * Bad credentials, or such that cannot be verified now.
	 *
	 * @param refusal the reason and what the caller gets
	 */
	record Refused(Refusal refusal) implements CredentialResult {

		public Refused {
			Objects.requireNonNull(refusal, "refusal");
		}

	}

	/**
	 * Not known yet.
	 *
	 * @param answer the result to come
	 */
	record Pending(CompletionStage<? extends CredentialResult> answer) implements CredentialResult {

		public Pending {
			Objects.requireNonNull(answer, "answer");
		}

	}

}
