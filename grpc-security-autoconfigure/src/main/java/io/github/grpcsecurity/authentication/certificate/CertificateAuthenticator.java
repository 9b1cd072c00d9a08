package io.github.grpcsecurity.authentication.certificate;

import java.util.Collection;
import java.util.HexFormat;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;

import io.github.grpcsecurity.authentication.AuthorizationHeader;
import io.github.grpcsecurity.authentication.CredentialAuthenticator;
import io.github.grpcsecurity.authentication.CredentialResult;
import io.github.grpcsecurity.authentication.GrpcAuthenticationDetails;
import io.github.grpcsecurity.server.PeerIdentity;
import io.github.grpcsecurity.server.Refusal;
import io.github.grpcsecurity.server.SecuredCall;
import io.github.grpcsecurity.server.VerifiedCredential;
import io.github.grpcsecurity.server.VerifiedCredential.Subject;
import org.jspecify.annotations.Nullable;

import org.springframework.security.core.Authentication;
import org.springframework.security.core.GrantedAuthority;
import org.springframework.util.ConcurrentReferenceHashMap;
import org.springframework.util.ConcurrentReferenceHashMap.ReferenceType;

/**
 * Identifies the workload at the other end by its client certificate: the one of the
 * connection, or the one that a trusted proxy vouches for.
 * <p>
 * Its name is the first URI among the subject alternative names of the leaf, else the
 * first DNS name, else the subject; the other certificates of its chain do not matter. A
 * call without a certificate carries no credential of this kind. Thread-safe.
 *
 * @since 0.1.0
 */
public final class CertificateAuthenticator implements CredentialAuthenticator {

	private static final CredentialResult UNMAPPED = CredentialResult
		.refused(Refusal.unauthenticated("the certificate belongs to nobody who is known here"));

	private final CertificateIdentityMapper mapper;

	/**
	 * Creates an authenticator with a mapper of the application.
	 * @param mapper says who the owner of a certificate is
	 */
	public CertificateAuthenticator(CertificateIdentityMapper mapper) {
		this.mapper = mapper;
	}

	/**
	 * Creates an authenticator that takes the name in the certificate for the principal,
	 * with the authorities of every mapping that matches. An owner that none matches is
	 * known, but has no authorities.
	 * @param mappings the mappings
	 * @return an authenticator
	 */
	public static CertificateAuthenticator of(Collection<CertificateMapping> mappings) {
		return new CertificateAuthenticator(new Mappings(mappings));
	}

	@Override
	public Set<String> kinds() {
		return Set.of(VerifiedCredential.CERTIFICATE);
	}

	@Override
	public CredentialResult authenticate(SecuredCall call, @Nullable AuthorizationHeader authorization) {
		PeerIdentity identity = call.peerIdentity();
		if (identity == null) {
			return CredentialResult.absent();
		}
		Authentication owner = this.mapper.map(call, identity);
		if (owner == null) {
			return UNMAPPED;
		}
		byte[] sha256 = identity.certificateSha256();
		return CredentialResult
			.authenticated(VerifiedCredential.builder(VerifiedCredential.CERTIFICATE, Subject.WORKLOAD, owner)
				.id((sha256 != null) ? HexFormat.of().formatHex(sha256) : null)
				.expiresAt(identity.expiresAt())
				.build());
	}

	/** Looks up what the owner of a certificate may do, once for each connection. */
	private static final class Mappings implements CertificateIdentityMapper {

		private final List<CertificateMapping> mappings;

		// Goes by identity, and forgets connections that are gone
		private final Map<PeerIdentity, Collection<GrantedAuthority>> known = new ConcurrentReferenceHashMap<>(16,
				ReferenceType.WEAK);

		Mappings(Collection<CertificateMapping> mappings) {
			this.mappings = List.copyOf(mappings);
		}

		@Override
		public Authentication map(SecuredCall call, PeerIdentity identity) {
			// What a proxy tells is told anew with each call
			Collection<GrantedAuthority> authorities = (call.forwardedPeer() != null) ? authorities(identity)
					: this.known.computeIfAbsent(identity, this::authorities);
			CertificateAuthenticationToken token = new CertificateAuthenticationToken(identity.name(), identity,
					authorities);
			token.setDetails(GrpcAuthenticationDetails.of(call));
			return token;
		}

		private Collection<GrantedAuthority> authorities(PeerIdentity identity) {
			Set<GrantedAuthority> authorities = new LinkedHashSet<>();
			for (CertificateMapping mapping : this.mappings) {
				if (mapping.matches(identity)) {
					authorities.addAll(mapping.authorities());
				}
			}
			return List.copyOf(authorities);
		}

	}

}
