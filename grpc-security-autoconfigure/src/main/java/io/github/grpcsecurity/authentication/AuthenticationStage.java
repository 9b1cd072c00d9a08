package io.github.grpcsecurity.authentication;

import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.CompletionStage;

import io.github.grpcsecurity.server.CallStage;
import io.github.grpcsecurity.server.MethodPlan;
import io.github.grpcsecurity.server.Refusal;
import io.github.grpcsecurity.server.SecuredCall;
import io.github.grpcsecurity.server.SecuredMethod;
import io.github.grpcsecurity.server.SecurityStage;
import io.github.grpcsecurity.server.Verdict;
import io.grpc.Metadata;
import org.jspecify.annotations.Nullable;

/**
 * Finds out who calls.
 * <p>
 * A call without credentials goes on as anonymous: whether that is enough, authorization
 * decides, unless a {@link CredentialRequirement} does. Credentials that are presented
 * but bad always fail the call, even where none are needed and however good the others
 * are, and so does an {@code authorization} entry that nobody here can verify or that
 * came over a connection without encryption. Plaintext from a trusted proxy on the same
 * machine, which vouches for the certificate of its client, is as good as encrypted.
 * <p>
 * Handlers do not see the headers that carry credentials, unless they are forwarded.
 *
 * @since 0.1.0
 */
public final class AuthenticationStage implements CallStage {

	private static final Verdict CANCELLED = refuse("call was cancelled before authentication");

	private static final Verdict INSECURE = refuse("credentials over a connection without encryption");

	private static final Verdict UNSUPPORTED = refuse("authorization scheme that nothing here verifies");

	/** Names, in audit events and for metrics, the kind of a credential that was bad. */
	private static final String REFUSED_KIND = "auth.refused_kind";

	private final CredentialAuthenticator[] authenticators;

	private final List<CredentialRequirement> requirements;

	private final AuthenticationGate[] gates;

	private final AuthenticationObserver[] observers;

	private final List<Metadata.Key<String>> headers;

	private final boolean forwardCredentials;

	private AuthenticationStage(Builder builder) {
		this.authenticators = builder.authenticators.toArray(new CredentialAuthenticator[0]);
		this.requirements = List.copyOf(builder.requirements);
		this.gates = builder.gates.toArray(new AuthenticationGate[0]);
		this.observers = builder.observers.toArray(new AuthenticationObserver[0]);
		this.forwardCredentials = builder.forwardCredentials;
		this.headers = builder.authenticators.stream()
			.flatMap((authenticator) -> authenticator.headers().stream())
			.map((name) -> Metadata.Key.of(name, Metadata.ASCII_STRING_MARSHALLER))
			.toList();
		Set<String> kinds = new TreeSet<>();
		builder.authenticators.forEach((authenticator) -> kinds.addAll(authenticator.kinds()));
		this.requirements.forEach((requirement) -> requirement.requireKinds(kinds));
	}

	/**
	 * Starts to put together a stage.
	 * @return a builder for a stage that knows no credentials
	 */
	public static Builder builder() {
		return new Builder();
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
		CredentialRequirement requirement = CredentialRequirement.first(this.requirements, method);
		if (requirement != null) {
			plan.check(requirement.toString(), requirement::check);
		}
		if (!this.forwardCredentials && this.authenticators.length > 0) {
			plan.hide(AuthorizationHeader.KEY);
			this.headers.forEach(plan::hide);
		}
	}

	@Override
	public void planned(Collection<SecuredMethod> methods) {
		if (!methods.isEmpty()) {
			this.requirements.forEach((requirement) -> requirement.requireMatches(methods));
		}
	}

	private Verdict check(SecuredCall call) {
		AuthorizationHeader authorization;
		try {
			authorization = AuthorizationHeader.read(call.headers());
		}
		catch (IllegalArgumentException ex) {
			return settled(call, refuse(String.valueOf(ex.getMessage())));
		}
		if (authorization != null && !call.confidential()) {
			return settled(call, INSECURE);
		}
		if (call.cancelled()) {
			return CANCELLED;
		}
		if (this.gates.length > 0 && presented(call, authorization)) {
			for (AuthenticationGate gate : this.gates) {
				Refusal refusal = gate.check(call);
				if (refusal != null) {
					// Not reported: a gate must not hear of what it refused itself
					return Verdict.refuse(refusal);
				}
			}
		}
		return check(call, authorization, 0, authorization == null);
	}

	private boolean presented(SecuredCall call, @Nullable AuthorizationHeader authorization) {
		if (authorization != null) {
			return true;
		}
		for (Metadata.Key<String> header : this.headers) {
			if (call.headers().containsKey(header)) {
				return true;
			}
		}
		return false;
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
				return refused(call, authenticator, result);
			}
			verified |= supported != null && !(result instanceof CredentialResult.Absent);
		}
		return settled(call, verified ? Verdict.proceed() : UNSUPPORTED);
	}

	private Verdict later(SecuredCall call, @Nullable AuthorizationHeader authorization, int index, boolean verified,
			boolean supported, CompletionStage<? extends CredentialResult> answer) {
		return Verdict.pending(answer.thenApply((result) -> {
			if (result instanceof CredentialResult.Pending pending) {
				return later(call, authorization, index, verified, supported, pending.answer());
			}
			if (!accept(call, result)) {
				return refused(call, this.authenticators[index], result);
			}
			return check(call, authorization, index + 1,
					verified || (supported && !(result instanceof CredentialResult.Absent)));
		}));
	}

	private static boolean accept(SecuredCall call, CredentialResult result) {
		if (result instanceof CredentialResult.Authenticated authenticated) {
			if (!authenticated.credential().authentication().isAuthenticated()) {
				return false;
			}
			call.authenticated(authenticated.credential());
			return true;
		}
		return result instanceof CredentialResult.Absent;
	}

	/** Notes which kind of credential it was, of which the call has none to show. */
	private Verdict refused(SecuredCall call, CredentialAuthenticator authenticator, CredentialResult result) {
		if (result instanceof CredentialResult.Cancelled) {
			// Not reported: nothing was tried
			return CANCELLED;
		}
		call.note(REFUSED_KIND, String.join("+", new TreeSet<>(authenticator.kinds())));
		return settled(call, refusal(result));
	}

	private static Verdict refusal(CredentialResult result) {
		return (result instanceof CredentialResult.Refused refused) ? Verdict.refuse(refused.refusal())
				: refuse("credentials were not authenticated");
	}

	/** Tells the observers how it ended. */
	private Verdict settled(SecuredCall call, Verdict verdict) {
		for (AuthenticationObserver observer : this.observers) {
			if (verdict instanceof Verdict.Refuse refused) {
				observer.refused(call, refused.refusal());
			}
			else {
				observer.authenticated(call);
			}
		}
		return verdict;
	}

	/** Collects how callers are authenticated. Not thread-safe. */
	public static final class Builder {

		private final List<CredentialAuthenticator> authenticators = new ArrayList<>();

		private final List<CredentialRequirement> requirements = new ArrayList<>();

		private final List<AuthenticationGate> gates = new ArrayList<>();

		private final List<AuthenticationObserver> observers = new ArrayList<>();

		private boolean forwardCredentials;

		private Builder() {
		}

		/**
		 * Adds authenticators. Without any, the stage checks nothing.
		 * @param authenticators verify the kinds of credential that callers may present,
		 * in order
		 * @return this builder
		 */
		public Builder authenticators(Collection<? extends CredentialAuthenticator> authenticators) {
			this.authenticators.addAll(authenticators);
			return this;
		}

		/**
		 * Adds requirements. The first one that matches a method counts.
		 * @param requirements which credentials a call needs
		 * @return this builder
		 */
		public Builder requirements(Collection<CredentialRequirement> requirements) {
			this.requirements.addAll(requirements);
			return this;
		}

		/**
		 * Adds gates, which are asked before credentials are looked at.
		 * @param gates the gates, in order
		 * @return this builder
		 */
		public Builder gates(Collection<? extends AuthenticationGate> gates) {
			this.gates.addAll(gates);
			return this;
		}

		/**
		 * Adds observers.
		 * @param observers hear how the authentication of calls ends
		 * @return this builder
		 */
		public Builder observers(Collection<? extends AuthenticationObserver> observers) {
			this.observers.addAll(observers);
			return this;
		}

		/**
		 * Sets whether handlers see the headers that carry credentials.
		 * @param forwardCredentials whether they do; not unless set
		 * @return this builder
		 */
		public Builder forwardCredentials(boolean forwardCredentials) {
			this.forwardCredentials = forwardCredentials;
			return this;
		}

		/**
		 * Puts everything together.
		 * @return the stage
		 * @throws IllegalArgumentException if a requirement names a kind of credential
		 * that no authenticator verifies
		 */
		public AuthenticationStage build() {
			return new AuthenticationStage(this);
		}

	}

}
