package io.github.grpcsecurity.authentication.certificate;

import java.util.Collection;
import java.util.Objects;

import io.github.grpcsecurity.server.PeerIdentity;
import org.jspecify.annotations.Nullable;

import org.springframework.security.authentication.AbstractAuthenticationToken;
import org.springframework.security.core.GrantedAuthority;

/**
 * The identity of a workload that showed a client certificate. The principal is its name,
 * a {@link String}. Immutable but for the details.
 *
 * @since 0.1.0
 */
public final class CertificateAuthenticationToken extends AbstractAuthenticationToken {

	private static final long serialVersionUID = 1L;

	private final String principal;

	private final transient @Nullable PeerIdentity peerIdentity;

	/**
	 * Creates an identity that is authenticated.
	 * @param principal the name of the workload
	 * @param peerIdentity the names in its certificate
	 * @param authorities what it may do
	 */
	public CertificateAuthenticationToken(String principal, PeerIdentity peerIdentity,
			Collection<? extends GrantedAuthority> authorities) {
		super(authorities);
		this.principal = Objects.requireNonNull(principal, "principal");
		this.peerIdentity = Objects.requireNonNull(peerIdentity, "peerIdentity");
		super.setAuthenticated(true);
	}

	@Override
	public String getPrincipal() {
		return this.principal;
	}

	/**
	 * Has none: the private key stays with its owner.
	 * @return an empty text
	 */
	@Override
	public Object getCredentials() {
		return "";
	}

	/**
	 * The names in the certificate.
	 * @return the identity; {@code null} only after deserialization
	 */
	public @Nullable PeerIdentity getPeerIdentity() {
		return this.peerIdentity;
	}

	@Override
	public boolean equals(@Nullable Object other) {
		return other instanceof CertificateAuthenticationToken that && this.principal.equals(that.principal)
				&& super.equals(other);
	}

	@Override
	public int hashCode() {
		return 31 * this.principal.hashCode() + getAuthorities().hashCode();
	}

}
