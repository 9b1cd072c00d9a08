package io.github.grpcsecurity.authorization;

import java.net.InetAddress;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Objects;

import io.github.grpcsecurity.server.HypotheticalCall;
import io.github.grpcsecurity.server.PeerIdentity;
import io.github.grpcsecurity.server.VerifiedCredential;
import io.github.grpcsecurity.server.VerifiedCredential.Subject;
import io.grpc.Metadata;
import org.jspecify.annotations.Nullable;

import org.springframework.security.authentication.UsernamePasswordAuthenticationToken;
import org.springframework.security.core.authority.AuthorityUtils;

/**
 * A call that is only asked about: who makes it, with which headers and which message.
 * What is not set nobody knows, and what needs to know it denies. Immutable; each method
 * returns another description.
 *
 * @since 0.1.0
 */
public final class CallDescription {

	private static final CallDescription ANONYMOUS = new CallDescription(new Values());

	private final Values values;

	private CallDescription(Values values) {
		this.values = values;
	}

	/**
	 * A call without credentials.
	 * @return the description
	 */
	public static CallDescription anonymous() {
		return ANONYMOUS;
	}

	/**
	 * A call with a token.
	 * @param principal name of the user
	 * @param authorities authorities as Spring Security has them, such as
	 * {@code ROLE_TELLER} and {@code SCOPE_accounts.read}
	 * @return the description
	 */
	public static CallDescription user(String principal, String... authorities) {
		return credential(VerifiedCredential.JWT, principal, authorities);
	}

	/**
	 * A call with one credential.
	 * @param kind kind of the credential, such as {@link VerifiedCredential#API_KEY}
	 * @param principal name of the caller
	 * @param authorities authorities as Spring Security has them
	 * @return the description
	 */
	public static CallDescription credential(String kind, String principal, String... authorities) {
		return anonymous().with(
				VerifiedCredential
					.builder(kind, subject(kind),
							UsernamePasswordAuthenticationToken.authenticated(principal, null,
									AuthorityUtils.createAuthorityList(authorities)))
					.build());
	}

	private static Subject subject(String kind) {
		return switch (kind) {
			case VerifiedCredential.API_KEY -> Subject.APPLICATION;
			case VerifiedCredential.CERTIFICATE, VerifiedCredential.ALTS -> Subject.WORKLOAD;
			default -> Subject.USER;
		};
	}

	/**
	 * The same call with one more credential, for instance one with claims.
	 * @param credential a credential, as if it had been presented and found good
	 * @return another description
	 */
	public CallDescription with(VerifiedCredential credential) {
		Objects.requireNonNull(credential, "credential");
		Values copy = new Values(this.values);
		copy.credentials.add(credential);
		return new CallDescription(copy);
	}

	/**
	 * The same call with one more header. Headers authenticate nobody here.
	 * @param name name of the header
	 * @param value its value
	 * @return another description
	 * @throws IllegalArgumentException if it is no header that has text as its value
	 */
	public CallDescription header(String name, String value) {
		Values copy = new Values(this.values);
		copy.headers.put(Metadata.Key.of(name.toLowerCase(Locale.ROOT), Metadata.ASCII_STRING_MARSHALLER), value);
		return new CallDescription(copy);
	}

	/**
	 * The same call to this host.
	 * @param authority the {@code :authority} of the call
	 * @return another description
	 */
	public CallDescription authority(String authority) {
		Values copy = new Values(this.values);
		copy.authority = Objects.requireNonNull(authority, "authority");
		return new CallDescription(copy);
	}

	/**
	 * The same call from this address.
	 * @param address the address of the client
	 * @return another description
	 */
	public CallDescription from(InetAddress address) {
		Values copy = new Values(this.values);
		copy.address = Objects.requireNonNull(address, "address");
		return new CallDescription(copy);
	}

	/**
	 * The same call over a connection with a verified client certificate. By itself that
	 * is no credential, as in {@code grpc.security.tls.client-auth} without
	 * {@code grpc.security.authentication.client-certificate}.
	 * @param identity whose certificate it is; no more is known about the certificate
	 * @return another description
	 */
	public CallDescription certificate(PeerIdentity identity) {
		Values copy = new Values(this.values);
		copy.peerIdentity = Objects.requireNonNull(identity, "identity");
		return new CallDescription(copy);
	}

	/**
	 * The same call at this time.
	 * @param time when it arrives
	 * @return another description
	 */
	public CallDescription at(Instant time) {
		Values copy = new Values(this.values);
		copy.time = Objects.requireNonNull(time, "time");
		return new CallDescription(copy);
	}

	/**
	 * The same call with a deadline.
	 * @param deadline how long the client waits
	 * @return another description
	 */
	public CallDescription deadline(Duration deadline) {
		Values copy = new Values(this.values);
		copy.deadline = Objects.requireNonNull(deadline, "deadline");
		return new CallDescription(copy);
	}

	/**
	 * The same call with this message.
	 * @param message what the client sends, of the type that the method takes
	 * @return another description
	 */
	public CallDescription message(Object message) {
		Values copy = new Values(this.values);
		copy.message = Objects.requireNonNull(message, "message");
		return new CallDescription(copy);
	}

	/** What the client sends; {@code null} if that is left open. */
	@Nullable Object message() {
		return this.values.message;
	}

	HypotheticalCall describe(HypotheticalCall.Builder call) {
		return call.credentials(this.values.credentials)
			.headers(this.values.headers)
			.authority(this.values.authority)
			.address(this.values.address)
			.peerIdentity(this.values.peerIdentity)
			.time(this.values.time)
			.deadline(this.values.deadline)
			.build();
	}

	/** Whose call it is. */
	@Override
	public String toString() {
		if (this.values.credentials.isEmpty()) {
			return "anonymous";
		}
		return String.join(" and ",
				this.values.credentials.stream()
					.map((credential) -> credential.authentication().getName() + " with " + credential.kind() + " "
							+ AuthorityUtils.authorityListToSet(credential.authentication().getAuthorities())
								.stream()
								.sorted()
								.toList())
					.toList());
	}

	/** Changed only before a description has it. */
	private static final class Values {

		private final List<VerifiedCredential> credentials = new ArrayList<>();

		private final Metadata headers = new Metadata();

		private @Nullable String authority;

		private @Nullable InetAddress address;

		private @Nullable PeerIdentity peerIdentity;

		private @Nullable Instant time;

		private @Nullable Duration deadline;

		private @Nullable Object message;

		Values() {
		}

		Values(Values other) {
			this.credentials.addAll(other.credentials);
			this.headers.merge(other.headers);
			this.authority = other.authority;
			this.address = other.address;
			this.peerIdentity = other.peerIdentity;
			this.time = other.time;
			this.deadline = other.deadline;
			this.message = other.message;
		}

	}

}
