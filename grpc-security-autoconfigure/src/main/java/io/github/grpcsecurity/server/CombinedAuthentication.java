package io.github.grpcsecurity.server;

import java.util.Collection;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Objects;
import java.util.Set;

import io.github.grpcsecurity.server.VerifiedCredential.Subject;
import org.jspecify.annotations.Nullable;

import org.springframework.security.authentication.AbstractAuthenticationToken;
import org.springframework.security.core.Authentication;
import org.springframework.security.core.GrantedAuthority;

/**
 * The identity of a caller with several credentials.
 * <p>
 * Name, principal and details are those of the user, else of the application, else of the
 * workload. The authorities are those of all of them together, so that a rule can ask for
 * one of the user and one of the workload; a rule that means one of them alone asks it:
 * {@code authentication.workload.name}. Immutable.
 *
 * @since 0.1.0
 */
public final class CombinedAuthentication extends AbstractAuthenticationToken {

	private static final long serialVersionUID = 1L;

	private final Authentication primary;

	private final @Nullable Authentication user;

	private final @Nullable Authentication application;

	private final @Nullable Authentication workload;

	/**
	 * Combines credentials.
	 * @param credentials at least one, that which the caller is named after first
	 */
	CombinedAuthentication(List<VerifiedCredential> credentials) {
		super(authorities(credentials));
		this.primary = credentials.get(0).authentication();
		this.user = first(credentials, Subject.USER);
		this.application = first(credentials, Subject.APPLICATION);
		this.workload = first(credentials, Subject.WORKLOAD);
		super.setAuthenticated(true);
		super.setDetails(this.primary.getDetails());
	}

	private static Collection<GrantedAuthority> authorities(List<VerifiedCredential> credentials) {
		Set<GrantedAuthority> authorities = new LinkedHashSet<>();
		for (VerifiedCredential credential : credentials) {
			authorities.addAll(credential.authentication().getAuthorities());
		}
		return authorities;
	}

	private static @Nullable Authentication first(List<VerifiedCredential> credentials, Subject subject) {
		for (VerifiedCredential credential : credentials) {
			if (credential.subject() == subject) {
				return credential.authentication();
			}
		}
		return null;
	}

	/**
	 * Whom the call is made for.
	 * @return {@code null} if that is not known
	 */
	public @Nullable Authentication getUser() {
		return this.user;
	}

	/**
	 * Which application asks.
	 * @return {@code null} if that is not known
	 */
	public @Nullable Authentication getApplication() {
		return this.application;
	}

	/**
	 * Which process is at the other end of the connection.
	 * @return {@code null} if that is not known
	 */
	public @Nullable Authentication getWorkload() {
		return this.workload;
	}

	@Override
	public @Nullable Object getPrincipal() {
		return this.primary.getPrincipal();
	}

	@Override
	public @Nullable Object getCredentials() {
		return this.primary.getCredentials();
	}

	@Override
	public String getName() {
		return this.primary.getName();
	}

	@Override
	public boolean equals(@Nullable Object other) {
		return other instanceof CombinedAuthentication that && this.primary.equals(that.primary)
				&& Objects.equals(this.user, that.user) && Objects.equals(this.application, that.application)
				&& Objects.equals(this.workload, that.workload) && super.equals(other);
	}

	@Override
	public int hashCode() {
		return Objects.hash(this.primary, this.application, this.workload);
	}

}
