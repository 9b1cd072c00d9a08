package io.github.grpcsecurity.authentication;

import java.util.List;
import java.util.Set;
import java.util.concurrent.ConcurrentLinkedQueue;

import io.github.grpcsecurity.server.CombinedAuthentication;
import io.github.grpcsecurity.server.GrpcCaller;
import io.github.grpcsecurity.server.Refusal;
import io.github.grpcsecurity.server.SecuredCall;
import io.github.grpcsecurity.server.VerifiedCredential;
import io.github.grpcsecurity.server.VerifiedCredential.Subject;
import io.github.grpcsecurity.testing.CallType;
import io.github.grpcsecurity.testing.EchoService;
import io.github.grpcsecurity.testing.TestServer;
import io.grpc.Metadata;
import io.grpc.ServerCall;
import io.grpc.ServerCallHandler;
import io.grpc.ServerInterceptor;
import io.grpc.ServerInterceptors;
import io.grpc.Status.Code;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;

import org.springframework.security.authentication.UsernamePasswordAuthenticationToken;
import org.springframework.security.core.GrantedAuthority;
import org.springframework.security.core.authority.AuthorityUtils;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatIllegalArgumentException;

/** Several credentials on one call, and methods that ask for some of them. */
class CombinedCredentialsIT {

	private static final Metadata.Key<String> KEY = key("x-key");

	private static final Metadata.Key<String> WORKLOAD = key("x-workload");

	private static final Metadata.Key<String> OTHER = key("x-other");

	private final ConcurrentLinkedQueue<GrpcCaller> callers = new ConcurrentLinkedQueue<>();

	private final ConcurrentLinkedQueue<Set<String>> seen = new ConcurrentLinkedQueue<>();

	private static Metadata.Key<String> key(String name) {
		return Metadata.Key.of(name, Metadata.ASCII_STRING_MARSHALLER);
	}

	private AuthenticationStage.Builder stage() {
		return AuthenticationStage.builder()
			.authenticators(List.of(new HeaderAuthenticator("certificate", Subject.WORKLOAD, WORKLOAD),
					new HeaderAuthenticator("api-key", Subject.APPLICATION, KEY),
					new HeaderAuthenticator("jwt", Subject.USER, null)));
	}

	private TestServer serve(AuthenticationStage stage) {
		ServerInterceptor headers = new ServerInterceptor() {
			@Override
			public <Q, R> ServerCall.Listener<Q> interceptCall(ServerCall<Q, R> call, Metadata headers,
					ServerCallHandler<Q, R> next) {
				CombinedCredentialsIT.this.seen.add(headers.keys());
				CombinedCredentialsIT.this.callers.add(GrpcCaller.current());
				return next.startCall(call, headers);
			}
		};
		EchoService service = new EchoService();
		return TestServer.inProcess(() -> ServerInterceptors.intercept(service, headers), List.of(stage));
	}

	private static Metadata headers(@Nullable String token, @Nullable String key, @Nullable String workload) {
		Metadata headers = new Metadata();
		put(headers, AuthorizationHeader.KEY, (token != null) ? "Bearer " + token : null);
		put(headers, KEY, key);
		put(headers, WORKLOAD, workload);
		headers.put(OTHER, "stays");
		return headers;
	}

	private static void put(Metadata headers, Metadata.Key<String> key, @Nullable String value) {
		if (value != null) {
			headers.put(key, value);
		}
	}

	@ParameterizedTest
	@EnumSource
	void callWhenAllKindsArePresentedThenOneIdentityTellsAll(CallType type) {
		try (TestServer server = serve(stage().build())) {
			assertThat(type.call(server.channel(), headers("alice", "partner", "teller"), "x").code())
				.isEqualTo(Code.OK);

			GrpcCaller caller = this.callers.remove();
			assertThat(caller.name()).isEqualTo("alice");
			assertThat(caller.user()).extracting("name").isEqualTo("alice");
			assertThat(caller.application()).extracting("name").isEqualTo("partner");
			assertThat(caller.workload()).extracting("name").isEqualTo("teller");
			assertThat(caller.credentials()).extracting(VerifiedCredential::kind)
				.containsExactly("jwt", "api-key", "certificate");
			assertThat(caller.authentication()).isInstanceOfSatisfying(CombinedAuthentication.class, (combined) -> {
				assertThat(combined.isAuthenticated()).isTrue();
				assertThat(combined.getAuthorities()).extracting(GrantedAuthority::getAuthority)
					.containsExactlyInAnyOrder("A_alice", "A_partner", "A_teller");
				assertThat(combined.getUser()).isSameAs(caller.user());
				assertThat(combined.getApplication()).isSameAs(caller.application());
				assertThat(combined.getWorkload()).isSameAs(caller.workload());
			});
		}
	}

	@Test
	void callWhenOneCredentialThenItsOwnIdentityStands() {
		try (TestServer server = serve(stage().build())) {
			CallType.UNARY.call(server.channel(), headers(null, "partner", null), "x");

			assertThat(this.callers.remove().authentication()).isInstanceOf(UsernamePasswordAuthenticationToken.class)
				.extracting("name")
				.isEqualTo("partner");
		}
	}

	@ParameterizedTest
	@EnumSource
	void callThenHandlerSeesNoCredentials(CallType type) {
		try (TestServer server = serve(stage().build())) {
			assertThat(type.call(server.channel(), headers("alice", "partner", "teller"), "x").code())
				.isEqualTo(Code.OK);

			assertThat(this.seen.remove()).contains("x-other").doesNotContain("authorization", "x-key", "x-workload");
		}
	}

	@Test
	void callWhenCredentialsAreForwardedThenHandlerSeesThem() {
		try (TestServer server = serve(stage().forwardCredentials(true).build())) {
			CallType.UNARY.call(server.channel(), headers("alice", "partner", null), "x");

			assertThat(this.seen.remove()).contains("authorization", "x-key");
		}
	}

	@ParameterizedTest
	@CsvSource({ "any-of, , , , UNAUTHENTICATED", "any-of, alice, , , OK", "any-of, , partner, , OK",
			"any-of, , , teller, UNAUTHENTICATED", "all-of, alice, , , UNAUTHENTICATED", "all-of, alice, , teller, OK",
			"all-of, , , teller, UNAUTHENTICATED", "both, alice, , , UNAUTHENTICATED",
			"both, alice, partner, , UNAUTHENTICATED", "both, alice, , teller, OK", "both, , partner, teller, OK",
			"all-of, alice, bad, teller, UNAUTHENTICATED" })
	void callWhenCredentialsAreRequiredThenNothingLessPasses(String requirement, String token, String key,
			String workload, Code code) {
		List<String> anyOf = requirement.equals("all-of") ? List.of() : List.of("jwt", "api-key");
		List<String> allOf = switch (requirement) {
			case "any-of" -> List.of();
			case "all-of" -> List.of("jwt", "certificate");
			default -> List.of("certificate");
		};
		try (TestServer server = serve(
				stage().requirements(List.of(new CredentialRequirement(List.of("testing.*/*"), anyOf, allOf),
						new CredentialRequirement(List.of("**"), List.of("api-key"), List.of())))
					.build())) {
			for (CallType type : CallType.values()) {
				assertThat(type.call(server.channel(), headers(token, key, workload), "x").code()).isEqualTo(code);
			}
		}
	}

	@Test
	void buildWhenRequirementAsksForWhatNobodyVerifiesThenSaysSo() {
		AuthenticationStage.Builder builder = stage()
			.requirements(List.of(new CredentialRequirement(List.of("**"), List.of("jwt", "basic"), List.of())));

		assertThatIllegalArgumentException().isThrownBy(builder::build)
			.withMessage("grpc.security.authentication.requirements asks for 'basic', which nothing here verifies."
					+ " Kinds that can be had are [api-key, certificate, jwt]: configure this one, or ask for another");
	}

	@Test
	void serveWhenRequirementMatchesNoMethodThenSaysSo() {
		AuthenticationStage stage = stage()
			.requirements(List.of(new CredentialRequirement(List.of("testing.Ecco/*"), List.of("jwt"), List.of())))
			.build();

		assertThatIllegalArgumentException().isThrownBy(() -> serve(stage))
			.withMessageContaining("has the pattern 'testing.Ecco/*', which matches no method of this server");
	}

	@Test
	void requirementWhenEmptyThenSaysWhatIsMissing() {
		assertThatIllegalArgumentException()
			.isThrownBy(() -> new CredentialRequirement(List.of(), List.of("jwt"), List.of()))
			.withMessageContaining("at least one method pattern");
		assertThatIllegalArgumentException()
			.isThrownBy(() -> new CredentialRequirement(List.of("**"), List.of(), List.of()))
			.withMessageContaining("requires nothing");
	}

	/** Takes the value of a header as the name of the caller, unless it is bad. */
	private record HeaderAuthenticator(String kind, Subject subject,
			Metadata.@Nullable Key<String> key) implements CredentialAuthenticator {

		@Override
		public Set<String> kinds() {
			return Set.of(this.kind);
		}

		@Override
		public Set<String> headers() {
			return (this.key != null) ? Set.of(this.key.name()) : Set.of();
		}

		@Override
		public boolean supports(AuthorizationHeader authorization) {
			return this.key == null;
		}

		@Override
		public CredentialResult authenticate(SecuredCall call, @Nullable AuthorizationHeader authorization) {
			String name = (this.key != null) ? call.headers().get(this.key)
					: ((authorization != null) ? authorization.credentials() : null);
			if (name == null) {
				return CredentialResult.absent();
			}
			if (name.equals("bad")) {
				return CredentialResult.refused(Refusal.unauthenticated("bad"));
			}
			return CredentialResult.authenticated(
					VerifiedCredential
						.builder(this.kind, this.subject,
								UsernamePasswordAuthenticationToken.authenticated(name, null,
										AuthorityUtils.createAuthorityList("A_" + name)))
						.build());
		}

	}

}
