package io.github.grpcsecurity.authentication.alts;

import java.util.List;
import java.util.Set;
import java.util.function.Function;

import io.github.grpcsecurity.authentication.AuthorizationHeader;
import io.github.grpcsecurity.authentication.CredentialAuthenticator;
import io.github.grpcsecurity.authentication.CredentialResult;
import io.github.grpcsecurity.authentication.GrpcAuthenticationDetails;
import io.github.grpcsecurity.server.SecuredCall;
import io.github.grpcsecurity.server.VerifiedCredential;
import io.github.grpcsecurity.server.VerifiedCredential.Subject;
import org.jspecify.annotations.Nullable;

import org.springframework.security.authentication.UsernamePasswordAuthenticationToken;

/**
 * Identifies the workload at the other end by the service account that it has proved with
 * ALTS.
 * <p>
 * It grants no authorities, because a service account has none: rules name the principal.
 * Thread-safe.
 *
 * @since 0.1.0
 */
public final class AltsCredentialAuthenticator implements CredentialAuthenticator {

	private final Function<SecuredCall, @Nullable String> identities;

	/**
	 * Creates the authenticator.
	 * @param identities finds the verified name of the peer, such as
	 * {@code alts:teller@bank.iam.gserviceaccount.com}; {@code null} if the connection
	 * does not speak ALTS or its peer has no name
	 */
	public AltsCredentialAuthenticator(Function<SecuredCall, @Nullable String> identities) {
		this.identities = identities;
	}

	@Override
	public Set<String> kinds() {
		return Set.of(VerifiedCredential.ALTS);
	}

	@Override
	public CredentialResult authenticate(SecuredCall call, @Nullable AuthorizationHeader authorization) {
		String identity = this.identities.apply(call);
		if (identity == null) {
			return CredentialResult.absent();
		}
		UsernamePasswordAuthenticationToken authentication = UsernamePasswordAuthenticationToken.authenticated(identity,
				null, List.of());
		authentication.setDetails(GrpcAuthenticationDetails.of(call));
		return CredentialResult.authenticated(
				VerifiedCredential.builder(VerifiedCredential.ALTS, Subject.WORKLOAD, authentication).build());
	}

}
