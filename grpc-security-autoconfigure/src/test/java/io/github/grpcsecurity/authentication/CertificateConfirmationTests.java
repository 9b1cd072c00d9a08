package io.github.grpcsecurity.authentication;

import java.util.Base64;
import java.util.List;
import java.util.Map;

import io.github.grpcsecurity.server.PeerIdentity;
import org.junit.jupiter.api.Test;

import static org.assertj.core.api.Assertions.assertThat;

class CertificateConfirmationTests {

	private static final byte[] DIGEST = new byte[32];

	@Test
	void violationWhenProxyForwardsDigestThenTokenIsBoundToClientOfProxy() {
		Map<String, Object> token = token(DIGEST);

		assertThat(CertificateConfirmation.violation(token, false, identity(DIGEST))).isNull();
		assertThat(CertificateConfirmation.violation(token, false, identity(new byte[] { 1 })))
			.isEqualTo("token is bound to another certificate");
	}

	@Test
	void violationWhenDigestIsUnknownThenTokenIsRefused() {
		assertThat(CertificateConfirmation.violation(token(DIGEST), false, identity(null)))
			.isEqualTo("token is bound to a certificate, and the caller has none");
		assertThat(CertificateConfirmation.violation(token(DIGEST), false, null))
			.isEqualTo("token is bound to a certificate, and the caller has none");
	}

	private static PeerIdentity identity(byte[] sha256) {
		return PeerIdentity.of(List.of("spiffe://bank/teller"), List.of(), null, sha256);
	}

	private static Map<String, Object> token(byte[] digest) {
		return Map.of("cnf", Map.of("x5t#S256", Base64.getUrlEncoder().withoutPadding().encodeToString(digest)));
	}

}
