package io.github.grpcsecurity.metrics;

import java.util.List;
import java.util.Set;

import io.github.grpcsecurity.authentication.AuthenticationStage;
import io.github.grpcsecurity.authentication.AuthorizationHeader;
import io.github.grpcsecurity.authentication.CredentialAuthenticator;
import io.github.grpcsecurity.authentication.CredentialResult;
import io.github.grpcsecurity.server.CallStage;
import io.github.grpcsecurity.server.Refusal;
import io.github.grpcsecurity.server.SecuredCall;
import io.github.grpcsecurity.server.SecurityStage;
import io.github.grpcsecurity.server.Verdict;
import io.github.grpcsecurity.testing.CallType;
import io.github.grpcsecurity.testing.EchoService;
import io.github.grpcsecurity.testing.TestCredentials;
import io.github.grpcsecurity.testing.TestServer;
import io.github.grpcsecurity.testing.TestStage;
import io.grpc.Metadata;
import io.micrometer.core.instrument.simple.SimpleMeterRegistry;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

class AuthenticationMetricsIT {

	private final SimpleMeterRegistry registry = new SimpleMeterRegistry();

	private final AuthenticationMetrics metrics = new AuthenticationMetrics(this.registry);

	/** Takes {@code kind: good|bad|unknown} in a header of its own. */
	private record Authenticator(Set<String> kinds, String header) implements CredentialAuthenticator {

		@Override
		public Set<String> headers() {
			return Set.of(this.header);
		}

		@Override
		public boolean supports(AuthorizationHeader authorization) {
			return false;
		}

		@Override
		public CredentialResult authenticate(SecuredCall call, AuthorizationHeader authorization) {
			String value = call.headers().get(Metadata.Key.of(this.header, Metadata.ASCII_STRING_MARSHALLER));
			if (value == null) {
				return CredentialResult.absent();
			}
			return switch (value) {
				case "bad" -> CredentialResult.refused(Refusal.unauthenticated("bad"));
				case "unknown" -> CredentialResult.refused(Refusal.unavailable("unknown"));
				default -> CredentialResult
					.authenticated(TestCredentials.credential(value, null, null, "alice", null, null, null));
			};
		}

	}

	private double count(String kind, String outcome) {
		var counter = this.registry.find(AuthenticationMetrics.AUTHENTICATION)
			.tags("kind", kind, "outcome", outcome)
			.counter();
		return (counter != null) ? counter.count() : 0;
	}

	private TestServer serve(CallStage... more) {
		AuthenticationStage stage = AuthenticationStage.builder()
			.authenticators(List.of(new Authenticator(Set.of("jwt", "bearer"), "x-token"),
					new Authenticator(Set.of("api-key"), "x-key"), new Authenticator(Set.of("own"), "x-own")))
			.gates(List
				.of((call) -> call.headers().containsKey(Metadata.Key.of("x-flood", Metadata.ASCII_STRING_MARSHALLER))
						? Refusal.overLimit("failures", null) : null))
			.build();
		List<CallStage> stages = new java.util.ArrayList<>(List.of(stage));
		stages.addAll(List.of(more));
		return TestServer.inProcess(new EchoService(), stages, this.metrics);
	}

	@ParameterizedTest
	@CsvSource({ "x-token=jwt,jwt,success", "x-key=api-key,api-key,success", "x-own=evil-1,custom,success",
			"x-own=alts,alts,success", "x-token=bad,jwt,refused", "x-key=bad,api-key,refused",
			"x-own=bad,custom,refused", "x-token=unknown,jwt,unavailable", "x-token=jwt;x-key=api-key,several,success",
			"x-token=jwt;x-key=bad,api-key,refused", "x-token=jwt;x-flood=1,none,limited", "x=1,none,anonymous" })
	void callWhenItIsAuthenticatedThenCountedByKindAndOutcome(String headers, String kind, String outcome) {
		try (TestServer server = serve()) {
			for (CallType type : CallType.values()) {
				type.call(server.channel(), TestCredentials.headers(headers.split("[=;]")), "hello");
			}
			await().until(() -> count(kind, outcome) == 4);
			assertThat(this.registry.find(AuthenticationMetrics.AUTHENTICATION).counters()).hasSize(1);
		}
	}

	@Test
	void callWhenItIsRefusedLaterThenItWasAuthenticated() {
		try (TestServer server = serve(
				TestStage.check(SecurityStage.AUTHORIZATION, (call) -> Verdict.refuse(Refusal.accessDenied("no"))))) {
			CallType.UNARY.call(server.channel(), TestCredentials.headers("x-token", "jwt"), "hello");
			await().until(() -> count("jwt", "success") == 1);
		}
	}

	@Test
	void callWhenItIsRefusedBeforeThenNotCounted() {
		try (TestServer server = serve(
				TestStage.check(SecurityStage.PEER_LIMITS, (call) -> Verdict.refuse(Refusal.overLimit("x", null))))) {
			CallType.UNARY.call(server.channel(), TestCredentials.headers("x-token", "jwt"), "hello");
			assertThat(this.registry.find(AuthenticationMetrics.AUTHENTICATION).counters()).isEmpty();
		}
	}

}
