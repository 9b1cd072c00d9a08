package io.github.grpcsecurity.server;

import java.time.Instant;
import java.util.ArrayList;
import java.util.List;

import io.github.grpcsecurity.server.VerifiedCredential.Subject;
import org.jspecify.annotations.Nullable;

import org.springframework.security.authentication.AnonymousAuthenticationToken;
import org.springframework.security.core.Authentication;
import org.springframework.security.core.authority.AuthorityUtils;

/**
 * Who makes a call: the user it is made for, the application that asks, and the workload
 * at the other end of the connection, as far as they presented credentials.
 * <p>
 * A handler asks for {@link #current()}, from whichever thread the gRPC {@code Context}
 * of its call has been taken to. Immutable.
 *
 * @since 0.1.0
 */
public final class GrpcCaller {

	/** The caller that presented no credentials. */
	static final GrpcCaller ANONYMOUS = new GrpcCaller(List.of(), new AnonymousAuthenticationToken("grpc-security",
			"anonymous", AuthorityUtils.createAuthorityList("ROLE_ANONYMOUS")));

	private final List<VerifiedCredential> credentials;

	private final Authentication authentication;

	private GrpcCaller(List<VerifiedCredential> credentials, Authentication authentication) {
		this.credentials = credentials;
		this.authentication = authentication;
	}

	/**
	 * The caller of the call that the current gRPC {@code Context} belongs to.
	 * @return the caller; an anonymous one outside of calls and where the server is not
	 * secured
	 */
	public static GrpcCaller current() {
		SecuredCall call = SecuredCall.current();
		return (call != null) ? call.caller() : ANONYMOUS;
	}

	/**
	 * This caller with one more credential.
	 * @param credential a credential that was found good
	 * @return another caller
	 */
	GrpcCaller with(VerifiedCredential credential) {
		List<VerifiedCredential> all = new ArrayList<>(this.credentials.size() + 1);
		int index = 0;
		while (index < this.credentials.size()
				&& this.credentials.get(index).subject().compareTo(credential.subject()) <= 0) {
			index++;
		}
		all.addAll(this.credentials);
		all.add(index, credential);
		return new GrpcCaller(List.copyOf(all),
				(all.size() == 1) ? credential.authentication() : new CombinedAuthentication(all));
	}

	/**
	 * Whether nobody is known to call.
	 * @return whether there are no credentials
	 */
	public boolean anonymous() {
		return this.credentials.isEmpty();
	}

	/**
	 * The name of the caller: that of the user, else of the application, else of the
	 * workload.
	 * @return the name; {@code anonymous} if nobody is known
	 */
	public String name() {
		return this.authentication.getName();
	}

	/**
	 * The one identity that stands for all credentials, as in Spring's
	 * {@code SecurityContext}. With a single credential it is that of the credential, and
	 * with several a {@link CombinedAuthentication}.
	 * @return the identity, never {@code null}
	 */
	public Authentication authentication() {
		return this.authentication;
	}

	/**
	 * The credentials, that which the call is named after first.
	 * @return an unmodifiable list, empty for an anonymous caller
	 */
	public List<VerifiedCredential> credentials() {
		return this.credentials;
	}

	/**
	 * The credential of one kind.
	 * @param kind the kind, such as {@link VerifiedCredential#API_KEY}
	 * @return the credential; {@code null} if the caller presented none of this kind
	 */
	public @Nullable VerifiedCredential credential(String kind) {
		for (VerifiedCredential credential : this.credentials) {
			if (credential.kind().equals(kind)) {
				return credential;
			}
		}
		return null;
	}

	/**
	 * Whom the call is made for.
	 * @return who that is by a token or a password; {@code null} if there is neither
	 */
	public @Nullable Authentication user() {
		return by(Subject.USER);
	}

	/**
	 * Which application asks.
	 * @return who that is by an API key; {@code null} if there is none
	 */
	public @Nullable Authentication application() {
		return by(Subject.APPLICATION);
	}

	/**
	 * Which process is at the other end of the connection.
	 * @return who that is by a client certificate; {@code null} if there is none, or
	 * certificates do not count as credentials
	 */
	public @Nullable Authentication workload() {
		return by(Subject.WORKLOAD);
	}

	private @Nullable Authentication by(Subject subject) {
		for (VerifiedCredential credential : this.credentials) {
			if (credential.subject() == subject) {
				return credential.authentication();
			}
		}
		return null;
	}

	/**
	 * When the first of the credentials runs out.
	 * @return the instant; {@code null} if none of them is known to
	 */
	public @Nullable Instant expiresAt() {
		Instant first = null;
		for (VerifiedCredential credential : this.credentials) {
			Instant expiresAt = credential.expiresAt();
			if (expiresAt != null && (first == null || expiresAt.isBefore(first))) {
				first = expiresAt;
			}
		}
		return first;
	}

	@Override
	public String toString() {
		return "GrpcCaller " + this.credentials;
	}

}
