package io.github.grpcsecurity.authentication;

import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;

import io.github.grpcsecurity.server.CallDecision;
import io.github.grpcsecurity.server.CallObserver;
import io.github.grpcsecurity.server.Refusal;
import io.github.grpcsecurity.server.SecuredCall;
import io.github.grpcsecurity.server.VerifiedCredential;
import io.github.grpcsecurity.testing.CallType;
import io.github.grpcsecurity.testing.EchoService;
import io.github.grpcsecurity.testing.TestServer;
import io.grpc.Metadata;
import io.grpc.Status.Code;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;

import org.springframework.security.authentication.TestingAuthenticationToken;
import org.springframework.security.authentication.UsernamePasswordAuthenticationToken;

import static org.assertj.core.api.Assertions.assertThat;

class AuthenticationStageTests {

	private static final Metadata.Key<String> KEY = Metadata.Key.of("x-key", Metadata.ASCII_STRING_MARSHALLER);

	private final ConcurrentLinkedQueue<String> callers = new ConcurrentLinkedQueue<>();

	private TestServer serve(CredentialAuthenticator... authenticators) {
		return TestServer.inProcess(new EchoService(),
				List.of(AuthenticationStage.builder().authenticators(List.of(authenticators)).build()),
				new CallObserver() {
					@Override
					public void decided(SecuredCall call, CallDecision decision) {
						AuthenticationStageTests.this.callers.add(call.caller().name() + call.caller().credentials());
					}
				});
	}

	private static Metadata headers(String authorization, String key) {
		Metadata headers = new Metadata();
		if (authorization != null) {
			headers.put(AuthorizationHeader.KEY, authorization);
		}
		if (key != null) {
			headers.put(KEY, key);
		}
		return headers;
	}

	/** Takes {@code Token good}, or {@code x-key: good}. */
	private static CredentialAuthenticator authenticator(String kind, boolean byHeader) {
		return new CredentialAuthenticator() {
			@Override
			public java.util.Set<String> kinds() {
				return java.util.Set.of("token");
			}

			@Override
			public boolean supports(AuthorizationHeader authorization) {
				return !byHeader && authorization.hasScheme("token");
			}

			@Override
			public CredentialResult authenticate(SecuredCall call, AuthorizationHeader authorization) {
				String credentials = byHeader ? call.headers().get(KEY)
						: ((authorization != null) ? authorization.credentials() : null);
				if (credentials == null) {
					return CredentialResult.absent();
				}
				return switch (credentials) {
					case "good" -> CredentialResult.authenticated(VerifiedCredential.of(kind,
							UsernamePasswordAuthenticationToken.authenticated(kind, null, List.of())));
					case "unauthenticated" -> CredentialResult
						.authenticated(VerifiedCredential.of(kind, new TestingAuthenticationToken(kind, "x")));
					case "down" -> CredentialResult.refused(Refusal.unavailable("down"));
					default -> CredentialResult.refused(Refusal.unauthenticated("bad"));
				};
			}
		};
	}

	private static CredentialAuthenticator later(CredentialAuthenticator delegate, ScheduledExecutorService timer) {
		return new CredentialAuthenticator() {
			@Override
			public java.util.Set<String> kinds() {
				return java.util.Set.of("token");
			}

			@Override
			public boolean supports(AuthorizationHeader authorization) {
				return delegate.supports(authorization);
			}

			@Override
			public CredentialResult authenticate(SecuredCall call, AuthorizationHeader authorization) {
				CredentialResult result = delegate.authenticate(call, authorization);
				CompletableFuture<CredentialResult> answer = new CompletableFuture<>();
				timer.schedule(() -> answer.complete(result), 20, TimeUnit.MILLISECONDS);
				return CredentialResult.pending(answer);
			}
		};
	}

	@ParameterizedTest
	@CsvSource({ "Token good, , OK, token", "Token bad, , UNAUTHENTICATED, anonymous", ", good, OK, key",
			", bad, UNAUTHENTICATED, anonymous", "Token good, good, OK, token", "Token bad, good, UNAUTHENTICATED, key",
			"Token good, bad, UNAUTHENTICATED, token", "Other good, good, UNAUTHENTICATED, key", ", , OK, anonymous",
			"Token down, , UNAVAILABLE, anonymous", "Token unauthenticated, , UNAUTHENTICATED, anonymous" })
	void callWhenSeveralKindsArePresentedThenEachMustBeGood(String authorization, String key, Code code,
			String caller) {
		ScheduledExecutorService timer = Executors.newSingleThreadScheduledExecutor();
		for (boolean async : new boolean[] { false, true }) {
			CredentialAuthenticator token = authenticator("token", false);
			CredentialAuthenticator other = authenticator("key", true);
			// The order of the answers changes what is asked, never what is decided
			try (TestServer server = async ? serve(later(token, timer), later(other, timer)) : serve(token, other)) {
				CallType.Outcome outcome = CallType.UNARY.call(server.channel(), headers(authorization, key), "x");

				assertThat(outcome.code()).isEqualTo(code);
				if (code == Code.OK) {
					assertThat(this.callers.poll()).startsWith(caller);
				}
			}
		}
		timer.shutdownNow();
	}

	@ParameterizedTest
	@EnumSource
	void callWhenAnswerComesLaterThenCallTypeMakesNoDifference(CallType type) {
		ScheduledExecutorService timer = Executors.newSingleThreadScheduledExecutor();
		try (TestServer server = serve(later(authenticator("token", false), timer))) {
			assertThat(type.call(server.channel(), headers("token good", null), "x").code()).isEqualTo(Code.OK);
			assertThat(this.callers.poll()).isEqualTo("token[token of USER]");
			assertThat(type.call(server.channel(), headers("token bad", null), "x").code())
				.isEqualTo(Code.UNAUTHENTICATED);
		}
		timer.shutdownNow();
	}

	@Test
	void callWhenTwoVerifyOneSchemeThenSecondIsAskedIfFirstKnowsNothing() {
		CredentialAuthenticator ignorant = new CredentialAuthenticator() {
			@Override
			public java.util.Set<String> kinds() {
				return java.util.Set.of("token");
			}

			@Override
			public boolean supports(AuthorizationHeader authorization) {
				return true;
			}

			@Override
			public CredentialResult authenticate(SecuredCall call, AuthorizationHeader authorization) {
				return CredentialResult.absent();
			}
		};
		try (TestServer server = serve(ignorant, authenticator("token", false))) {
			assertThat(CallType.UNARY.call(server.channel(), headers("Token good", null), "x").code())
				.isEqualTo(Code.OK);
			assertThat(CallType.UNARY.call(server.channel(), headers("Other good", null), "x").code())
				.isEqualTo(Code.UNAUTHENTICATED);
		}
	}

	@Test
	void callWhenNothingCanVerifyCredentialsThenStageChecksNothing() {
		try (TestServer server = serve()) {
			assertThat(CallType.UNARY.call(server.channel(), headers("Token good", null), "x").code())
				.isEqualTo(Code.OK);
			assertThat(this.callers.poll()).startsWith("anonymous");
		}
	}

}
