package io.github.grpcsecurity.authentication.certificate;

import io.github.grpcsecurity.server.PeerIdentity;
import io.github.grpcsecurity.server.SecuredCall;
import org.jspecify.annotations.Nullable;

import org.springframework.security.core.Authentication;

/**
 * Says who the owner of a client certificate is and what it may do.
 * <p>
 * A bean of this type takes the place of
 * {@code grpc.security.authentication.client-certificate.mappings}. It is asked for each
 * call, by many threads at once, and must not block.
 *
 * @since 0.1.0
 */
@FunctionalInterface
public interface CertificateIdentityMapper {

	/**
	 * Finds the owner of a verified certificate.
	 * @param call the call, with the certificate itself in its
	 * {@linkplain SecuredCall#sslSession() session}, unless a proxy vouches for it
	 * @param identity the names in the certificate: of the leaf, whatever else is in its
	 * chain
	 * @return who it is, authenticated, such as a {@link CertificateAuthenticationToken};
	 * {@code null} to refuse the call
	 */
	@Nullable Authentication map(SecuredCall call, PeerIdentity identity);

}
