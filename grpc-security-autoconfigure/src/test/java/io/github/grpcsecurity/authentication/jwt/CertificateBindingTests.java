package io.github.grpcsecurity.authentication.jwt;

import java.util.Base64;
import java.util.List;
import java.util.Map;

import io.github.grpcsecurity.server.PeerIdentity;
import org.junit.jupiter.api.Test;

import org.springframework.security.oauth2.jwt.Jwt;
import org.springframework.security.oauth2.server.resource.authentication.JwtAuthenticationToken;

import static org.assertj.core.api.Assertions.assertThat;

class CertificateBindingTests {

	private static final byte[] DIGEST = new byte[32];

	@Test
	void violationWhenProxyForwardsDigestThenTokenIsBoundToClientOfProxy() {
		JwtAuthenticationToken token = token(DIGEST);

		assertThat(CertificateBinding.violation(token, identity(DIGEST))).isNull();
		assertThat(CertificateBinding.violation(token, identity(new byte[] { 1 })))
			.isEqualTo("token is bound to another certificate");
	}

	@Test
	void violationWhenDigestIsUnknownThenTokenIsRefused() {
		assertThat(CertificateBinding.violation(token(DIGEST), identity(null)))
			.isEqualTo("token is bound to a certificate, and the caller has none");
		assertThat(CertificateBinding.violation(token(DIGEST), null))
			.isEqualTo("token is bound to a certificate, and the caller has none");
	}

	private static PeerIdentity identity(byte[] sha256) {
		return PeerIdentity.of(List.of("spiffe://bank/teller"), List.of(), null, sha256);
	}

	private static JwtAuthenticationToken token(byte[] digest) {
		return new JwtAuthenticationToken(Jwt.withTokenValue("token")
			.header("alg", "none")
			.claim("cnf", Map.of("x5t#S256", Base64.getUrlEncoder().withoutPadding().encodeToString(digest)))
			.build());
	}

}
