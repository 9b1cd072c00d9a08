package io.github.grpcsecurity.audit;

import java.util.List;

import org.junit.jupiter.api.Test;

import org.springframework.security.authentication.TestingAuthenticationToken;
import org.springframework.security.authentication.UsernamePasswordAuthenticationToken;
import org.springframework.security.core.Authentication;
import org.springframework.security.core.userdetails.User;
import org.springframework.security.oauth2.jwt.Jwt;
import org.springframework.security.oauth2.server.resource.authentication.BearerTokenAuthenticationToken;
import org.springframework.security.oauth2.server.resource.authentication.JwtAuthenticationToken;

import static org.assertj.core.api.Assertions.assertThat;

class CallerTests {

	private static final String SECRET = "eyJ.top.secret";

	@Test
	void nameWhenJwtThenSubject() {
		Jwt jwt = Jwt.withTokenValue(SECRET).header("alg", "RS256").subject("alice").issuer("https://idp").build();

		assertThat(Caller.name(new JwtAuthenticationToken(jwt, List.of()))).isEqualTo("alice");
	}

	@Test
	void nameWhenNobodyThenNone() {
		assertThat(Caller.name(null)).isNull();
	}

	@Test
	void nameWhenItIsTheCredentialThenNone() {
		assertThat(Caller.name(new BearerTokenAuthenticationToken(SECRET))).isNull();
	}

	@Test
	void nameWhenOnlyToStringThenNone() {
		record Partner(String id, String key) {
		}

		assertThat(Caller.name(new TestingAuthenticationToken(new Partner("p", SECRET), "x"))).isNull();
	}

	@Test
	void nameWhenUserDetailsThenUsername() {
		assertThat(Caller.name(new UsernamePasswordAuthenticationToken(
				User.withUsername("carol").password(SECRET).authorities("A").build(), SECRET)))
			.isEqualTo("carol");
	}

	@Test
	void nameWhenAuthenticationThrowsThenNone() {
		Authentication broken = new TestingAuthenticationToken("alice", "x") {
			@Override
			public String getName() {
				throw new IllegalStateException();
			}
		};

		assertThat(Caller.name(broken)).isNull();
	}

}
