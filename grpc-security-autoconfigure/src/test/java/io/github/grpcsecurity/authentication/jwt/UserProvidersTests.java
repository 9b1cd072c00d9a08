package io.github.grpcsecurity.authentication.jwt;

import java.util.ArrayDeque;
import java.util.Deque;
import java.util.List;
import java.util.function.Function;

import io.github.grpcsecurity.authentication.CredentialResult;
import io.github.grpcsecurity.server.VerifiedCredential;
import io.grpc.Status.Code;
import org.junit.jupiter.api.Test;

import org.springframework.security.authentication.AuthenticationProvider;
import org.springframework.security.authentication.BadCredentialsException;
import org.springframework.security.authentication.TestingAuthenticationToken;
import org.springframework.security.core.Authentication;
import org.springframework.security.oauth2.server.resource.authentication.BearerTokenAuthenticationToken;

import static org.assertj.core.api.Assertions.assertThat;

class UserProvidersTests {

	private static final Function<Authentication, CredentialResult> ACCEPT = (authentication) -> CredentialResult
		.authenticated(VerifiedCredential.of("test", authentication));

	private final Deque<Runnable> tasks = new ArrayDeque<>();

	private final UserProviders providers = new UserProviders(List.of(new TokenProvider()), this.tasks::add);

	private CredentialResult authenticate(String token) {
		return this.providers.authenticate(new BearerTokenAuthenticationToken(token), ACCEPT);
	}

	private static CredentialResult answer(CredentialResult result) {
		return ((CredentialResult.Pending) result).answer().toCompletableFuture().getNow(null);
	}

	@Test
	void authenticateWhenProviderMayBlockThenCallingThreadDoesNotAskIt() {
		CredentialResult result = authenticate("good");

		assertThat(answer(result)).isNull();
		this.tasks.remove().run();
		assertThat(answer(result)).isInstanceOf(CredentialResult.Authenticated.class);
	}

	@Test
	void authenticateWhenTooManyWaitThenItIsUnavailableUntilOneIsDone() {
		for (int i = 0; i < UserProviders.MAX_CONCURRENT; i++) {
			assertThat(authenticate("good")).isInstanceOf(CredentialResult.Pending.class);
		}

		assertThat(authenticate("good")).isInstanceOfSatisfying(CredentialResult.Refused.class,
				(refused) -> assertThat(refused.refusal().code()).isEqualTo(Code.UNAVAILABLE));
		this.tasks.remove().run();
		assertThat(authenticate("good")).isInstanceOf(CredentialResult.Pending.class);
	}

	@Test
	void authenticateWhenTokenIsBadThenReasonDoesNotQuoteIt() {
		CredentialResult result = authenticate("s3cret");
		this.tasks.remove().run();

		assertThat(answer(result)).isInstanceOfSatisfying(CredentialResult.Refused.class, (refused) -> {
			assertThat(refused.refusal().code()).isEqualTo(Code.UNAUTHENTICATED);
			assertThat(refused.refusal().reason()).isEqualTo("token was refused with BadCredentialsException");
		});
	}

	private static final class TokenProvider implements AuthenticationProvider {

		@Override
		public Authentication authenticate(Authentication request) {
			String token = ((BearerTokenAuthenticationToken) request).getToken();
			if (!token.equals("good")) {
				throw new BadCredentialsException("bad token " + token);
			}
			return new TestingAuthenticationToken("carol", null, List.of());
		}

		@Override
		public boolean supports(Class<?> type) {
			return true;
		}

	}

}
