package io.github.grpcsecurity.audit;

import java.security.cert.X509Certificate;
import java.time.Instant;
import java.util.List;
import java.util.Map;

import io.netty.pkitesting.CertificateBuilder;
import org.junit.jupiter.api.Test;

import org.springframework.security.authentication.AnonymousAuthenticationToken;
import org.springframework.security.authentication.TestingAuthenticationToken;
import org.springframework.security.authentication.UsernamePasswordAuthenticationToken;
import org.springframework.security.core.Authentication;
import org.springframework.security.core.authority.AuthorityUtils;
import org.springframework.security.core.userdetails.User;
import org.springframework.security.oauth2.core.DefaultOAuth2AuthenticatedPrincipal;
import org.springframework.security.oauth2.core.OAuth2AccessToken;
import org.springframework.security.oauth2.jwt.Jwt;
import org.springframework.security.oauth2.server.resource.authentication.BearerTokenAuthentication;
import org.springframework.security.oauth2.server.resource.authentication.BearerTokenAuthenticationToken;
import org.springframework.security.oauth2.server.resource.authentication.JwtAuthenticationToken;
import org.springframework.security.web.authentication.preauth.PreAuthenticatedAuthenticationToken;

import static org.assertj.core.api.Assertions.assertThat;

class CallerTests {

	private static final String SECRET = "eyJ.top.secret";

	@Test
	void ofWhenAnonymousThenSaysSo() {
		Caller caller = Caller
			.of(new AnonymousAuthenticationToken("key", "anonymous", AuthorityUtils.createAuthorityList("ROLE_X")));

		assertThat(caller).isEqualTo(new Caller("anonymous", "anonymous", null));
	}

	@Test
	void ofWhenJwtThenNameAndIssuer() {
		Jwt jwt = Jwt.withTokenValue(SECRET).header("alg", "RS256").subject("alice").issuer("https://idp").build();

		assertThat(Caller.of(new JwtAuthenticationToken(jwt, List.of())))
			.isEqualTo(new Caller("alice", "jwt", "https://idp"));
	}

	@Test
	void ofWhenIssuerIsNoUrlThenAsItIs() {
		Jwt jwt = Jwt.withTokenValue(SECRET).header("alg", "RS256").subject("alice").claim("iss", "not a url").build();

		assertThat(Caller.of(new JwtAuthenticationToken(jwt, List.of())).issuer()).isEqualTo("not a url");
	}

	@Test
	void ofWhenOpaqueTokenThenNameAndIssuer() {
		OAuth2AccessToken token = new OAuth2AccessToken(OAuth2AccessToken.TokenType.BEARER, SECRET, Instant.EPOCH,
				Instant.MAX);

		assertThat(Caller.of(new BearerTokenAuthentication(
				new DefaultOAuth2AuthenticatedPrincipal("bob", Map.of("iss", "https://idp"), List.of()), token,
				List.of())))
			.isEqualTo(new Caller("bob", "bearer-token", "https://idp"));
	}

	@Test
	void ofWhenNameIsTheCredentialThenNoName() {
		assertThat(Caller.of(new BearerTokenAuthenticationToken(SECRET)).name()).isNull();
	}

	@Test
	void ofWhenNameIsOnlyToStringThenNoName() {
		record Partner(String id, String key) {
		}

		assertThat(Caller.of(new TestingAuthenticationToken(new Partner("p", SECRET), "x")).name()).isNull();
	}

	@Test
	void ofWhenUserDetailsThenUsername() {
		assertThat(Caller.of(new UsernamePasswordAuthenticationToken(
				User.withUsername("carol").password(SECRET).authorities("A").build(), SECRET)))
			.isEqualTo(new Caller("carol", "username-password", null));
	}

	@Test
	void ofWhenCredentialsAreACertificateThenSaysSo() throws Exception {
		X509Certificate certificate = new CertificateBuilder().subject("CN=client")
			.setIsCertificateAuthority(true)
			.buildSelfSigned()
			.getCertificate();

		assertThat(Caller.of(new PreAuthenticatedAuthenticationToken("CN=client", certificate)))
			.isEqualTo(new Caller("CN=client", "certificate", null));
	}

	@Test
	void ofWhenAuthenticationThrowsThenKindAlone() {
		Authentication broken = new TestingAuthenticationToken("alice", "x") {
			@Override
			public String getName() {
				throw new IllegalStateException();
			}
		};

		assertThat(Caller.of(broken)).extracting(Caller::name, Caller::issuer).containsOnlyNulls();
	}

}
