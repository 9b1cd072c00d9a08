package io.github.grpcsecurity.authorization;

import java.net.InetAddress;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.function.Consumer;

import io.github.grpcsecurity.authorization.AuthorizationExplanation.Decision;
import io.github.grpcsecurity.authorization.AuthorizationExplanation.StatedOpinion;
import io.github.grpcsecurity.authorization.cel.CelConditionCompiler;
import io.github.grpcsecurity.server.CallStage;
import io.github.grpcsecurity.server.GrpcCaller;
import io.github.grpcsecurity.server.MethodPlan;
import io.github.grpcsecurity.server.SecuredCall;
import io.github.grpcsecurity.server.SecuredMethod;
import io.github.grpcsecurity.server.SecurityStage;
import io.github.grpcsecurity.server.Verdict;
import io.github.grpcsecurity.server.VerifiedCredential;
import io.github.grpcsecurity.testing.CallType;
import io.github.grpcsecurity.testing.EchoReply;
import io.github.grpcsecurity.testing.EchoRequest;
import io.github.grpcsecurity.testing.EchoService;
import io.github.grpcsecurity.testing.RecordingObserver;
import io.github.grpcsecurity.testing.TestServer;
import io.grpc.Metadata;
import io.grpc.Status.Code;
import io.grpc.stub.StreamObserver;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

import org.springframework.context.support.StaticApplicationContext;
import org.springframework.security.access.AccessDeniedException;
import org.springframework.security.access.annotation.Secured;
import org.springframework.security.access.prepost.PreAuthorize;
import org.springframework.security.core.context.SecurityContextHolder;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatIllegalArgumentException;

/**
 * Tests for {@link AuthorizationExplainer}: it says what calls get, and nobody notices.
 */
class AuthorizationExplainerTests {

	private static final String METHOD = "testing.Echo/Unary";

	private static final EchoRequest MESSAGE = EchoRequest.newBuilder().setAmount(7).setText("hello").build();

	private final List<String> decisions = new CopyOnWriteArrayList<>();

	@ParameterizedTest
	@ValueSource(strings = { "permit", "deny", "authenticated", "hasRole('A')", "hasRole('B')", "hasRole('A') && true",
			"isAnonymous()", "@guard.open(authentication)", "@guard.broken()", "@guard.refusing()",
			"@guard.seesCaller()", "principal.nope" })
	void explainWhenRuleDecidesThenSaysWhatCallsGet(String access) {
		StaticApplicationContext context = new StaticApplicationContext();
		context.registerBean("guard", Guard.class);
		context.refresh();
		for (String when : new String[] { null, "message.amount <= 10", "message.amount > 10",
				"auth.principal == 'alice'", "auth.claims.nope == 1",
				"'ROLE_A' in auth.authorities && message.text.startsWith('h')" }) {
			for (boolean hidden : new boolean[] { false, true }) {
				AuthorizationRule rule = new AuthorizationRule(List.of("**"), access, when, "one", hidden, hidden,
						false);
				assertSame(new EchoService(), (builder) -> builder.applicationContext(context).rules(List.of(rule)));
			}
		}
	}

	@Test
	void explainWhenAnnotationsDecideThenSaysWhatCallsGet() {
		assertSame(new Annotated(), (builder) -> {
		});
		assertSame(new Annotated(), (builder) -> builder.rule("**", "hasRole('A')"));
		assertSame(new EchoService(), (builder) -> {
		});
		assertSame(new EchoService(), (builder) -> builder.defaultAccess(Access.AUTHENTICATED));
	}

	/** Whatever is explained has to be what a call gets. */
	private void assertSame(EchoService service, Consumer<AuthorizationStage.Builder> customizer) {
		try (TestServer server = serve(service, customizer)) {
			AuthorizationExplainer explainer = new AuthorizationExplainer(server::security);
			for (CallType type : CallType.values()) {
				for (String authority : new String[] { null, "ROLE_A", "ROLE_B" }) {
					Metadata headers = (authority != null) ? Caller.with(authority) : Caller.anonymous();
					CallDescription call = (authority != null) ? CallDescription.credential("test", "alice", authority)
							: CallDescription.anonymous();
					String method = type.method();

					AuthorizationExplanation explanation = explainer.explain(method, call.message(MESSAGE));
					Code code = type.call(server.channel(), headers, List.of(MESSAGE)).code();

					assertThat(explanation).as("%s as %s", type, authority).isNotNull();
					assertThat((explanation.status() != null) ? explanation.status() : Code.OK)
						.as("%s as %s: %s", type, authority, explanation)
						.isEqualTo(code);
					assertThat(explanation.decision()).isIn(Decision.ALLOWED, Decision.DENIED);
				}
			}
		}
	}

	@ParameterizedTest
	@EnumSource
	void explainWhenAskedThenNobodyHears(CallType type) {
		RecordingObserver observer = new RecordingObserver();
		AuthorizationRule live = new AuthorizationRule(List.of("**"), "authenticated", "message.amount < 5", "live",
				false, false, false);
		AuthorizationRule shadow = new AuthorizationRule(List.of("**"), "hasRole('B')", null, "next", false, false,
				true);
		List<SecuredCall> asked = new ArrayList<>();
		try (TestServer server = TestServer.inProcess(new EchoService(), List.of(Caller.authentication(),
				stage((builder) -> builder.rules(List.of(shadow, live)).policies(List.of(policy((call) -> {
					asked.add(call);
					return Verdict.proceed();
				}))))), observer)) {
			AuthorizationExplanation explanation = new AuthorizationExplainer(server::security).explain(type.method(),
					CallDescription.user("alice", "ROLE_A").message(MESSAGE));

			assertThat(explanation.decision()).isEqualTo(Decision.DENIED);
			assertThat(explanation.decidedBy()).contains("rule live");
			assertThat(explanation.caller()).isEqualTo("alice with jwt [ROLE_A]");
			assertThat(explanation.opinions())
				.extracting(StatedOpinion::id, StatedOpinion::shadow, StatedOpinion::decision)
				.containsExactly(org.assertj.core.groups.Tuple.tuple("next", true, Decision.DENIED),
						org.assertj.core.groups.Tuple.tuple("own", false, Decision.ALLOWED),
						org.assertj.core.groups.Tuple.tuple("live", false, Decision.DENIED));
			assertThat(this.decisions).isEmpty();
			assertThat(observer.decided).isEmpty();
			SecuredCall call = asked.get(0);
			assertThat(call.hypothetical()).isTrue();
			assertThat(call.notes()).isEmpty();
			assertThat(call.decision()).isNull();
			List<String> closed = new ArrayList<>();
			call.onClosed((status) -> closed.add("at once"));
			assertThat(closed).containsExactly("at once");
			assertThat(call.end(io.github.grpcsecurity.server.Refusal.accessDenied("no"))).isFalse();
		}
	}

	@Test
	void explainWhenDecisionDependsOnMessageThenSaysSo() {
		AuthorizationRule rule = new AuthorizationRule(List.of("**"), "hasRole('A')", "message.amount < 5", null, false,
				false, false);
		try (TestServer server = serve(new EchoService(), (builder) -> builder.rules(List.of(rule)))) {
			AuthorizationExplainer explainer = new AuthorizationExplainer(server::security);

			assertThat(explainer.explain(METHOD, CallDescription.user("alice", "ROLE_A")).decision())
				.isEqualTo(Decision.NEEDS_MESSAGE);
			assertThat(explainer.explain(METHOD, CallDescription.user("alice", "ROLE_B")).decision())
				.isEqualTo(Decision.DENIED);
			assertThat(explainer
				.explain(METHOD, CallDescription.user("alice", "ROLE_A").message(EchoRequest.getDefaultInstance()))
				.decision()).isEqualTo(Decision.ALLOWED);
			assertThatIllegalArgumentException()
				.isThrownBy(() -> explainer.explain(METHOD,
						CallDescription.anonymous().message(EchoReply.getDefaultInstance())))
				.withMessage("testing.Echo/Unary takes io.github.grpcsecurity.testing.EchoRequest, not"
						+ " io.github.grpcsecurity.testing.EchoReply");
		}
	}

	@Test
	void explainWhenConditionReadsTheCallThenSeesTheDescription() throws Exception {
		AuthorizationRule rule = new AuthorizationRule(List.of("**"), "authenticated",
				"inRange(source.address, '10.0.0.0/8') && request.headers['x-tenant'] == 'blue'"
						+ " && request.time.getHours() >= 8 && request.time.getHours() < 18 && auth.claims.level == 7"
						+ " && request.host == 'api.bank' && grpc.deadline > request.time"
						+ " && connection.uri_san_peer_certificate == 'spiffe://bank/teller'",
				null, false, false, false);
		CallDescription good = CallDescription.anonymous()
			.with(VerifiedCredential
				.builder("jwt", VerifiedCredential.Subject.USER,
						new org.springframework.security.authentication.TestingAuthenticationToken("alice", null,
								"ROLE_A"))
				.claims(java.util.Map.of("level", 7))
				.build())
			.from(InetAddress.getByName("10.1.2.3"))
			.header("X-Tenant", "blue")
			.authority("api.bank")
			.deadline(Duration.ofSeconds(3))
			.certificate(io.github.grpcsecurity.server.PeerIdentity.of(List.of("spiffe://bank/teller"), List.of(), null,
					null))
			.at(Instant.parse("2026-01-02T12:00:00Z"));
		try (TestServer server = serve(new EchoService(), (builder) -> builder.rules(List.of(rule)))) {
			AuthorizationExplainer explainer = new AuthorizationExplainer(server::security);

			assertThat(explainer.explain(METHOD, good).decision()).isEqualTo(Decision.ALLOWED);
			assertThat(explainer.explain(METHOD, good.at(Instant.parse("2026-01-02T18:00:00Z"))).decision())
				.isEqualTo(Decision.DENIED);
			assertThat(explainer.explain(METHOD, good.from(InetAddress.getByName("11.1.2.3"))).decision())
				.isEqualTo(Decision.DENIED);
			assertThat(explainer.explain(METHOD, CallDescription.user("alice")).opinions().get(0).reason())
				.endsWith(", which could not be evaluated");
		}
	}

	@Test
	void explainWhenPolicyAnswersLaterThenWaitsForAWhile() {
		CompletableFuture<Verdict> never = new CompletableFuture<>();
		assertThat(explain(Verdict.pending(never))).isEqualTo("UNDECIDED null no answer within 1 ms");
		assertThat(explain(Verdict.pending(CompletableFuture.completedFuture(Verdict.proceed()))))
			.isEqualTo("ALLOWED null null");
		assertThat(explain(Verdict.pending(CompletableFuture.failedFuture(new IllegalStateException()))))
			.isEqualTo("DENIED UNAVAILABLE a check failed: java.lang.IllegalStateException");
		assertThat(explain(Verdict.pending(CompletableFuture.completedFuture((Verdict) null))))
			.isEqualTo("DENIED UNAVAILABLE a check failed: java.lang.NullPointerException");
	}

	private static String explain(Verdict verdict) {
		try (TestServer server = TestServer.inProcess(new EchoService(),
				List.of(stageOf((builder) -> builder.policies(List.of(policy((call) -> verdict))))))) {
			AuthorizationExplanation explanation = new AuthorizationExplainer(server::security, Duration.ofMillis(1))
				.explain(METHOD, CallDescription.anonymous());
			StatedOpinion opinion = explanation.opinions().get(0);
			assertThat(explanation.decision()).isEqualTo(opinion.decision());
			return opinion.decision() + " " + opinion.status() + " " + opinion.reason();
		}
	}

	@Test
	void explainWhenAnotherStageDecidesAsWellThenUndecided() {
		CallStage other = new CallStage() {
			@Override
			public SecurityStage stage() {
				return SecurityStage.AUTHORIZATION;
			}

			@Override
			public void plan(SecuredMethod method, MethodPlan.Builder plan) {
				plan.check("moon phase", (call) -> Verdict.proceed());
			}
		};
		try (TestServer server = TestServer.inProcess(new EchoService(),
				List.of(other, stageOf((builder) -> builder.rule("**", "permit"))))) {
			AuthorizationExplanation explanation = new AuthorizationExplainer(server::security).explain(METHOD,
					CallDescription.anonymous());

			assertThat(explanation.decision()).isEqualTo(Decision.UNDECIDED);
			assertThat(explanation.decidedBy()).isEqualTo("moon phase");
		}
	}

	@Test
	void explainWhenThereIsNoSuchMethodThenNull() {
		try (TestServer server = serve(new EchoService(), (builder) -> builder.rule("**", "permit"))) {
			AuthorizationExplainer explainer = new AuthorizationExplainer(server::security);

			assertThat(explainer.explain("testing.Echo/Nope", CallDescription.anonymous())).isNull();
			assertThat(explainer.explain("(unknown service)/(unknown method)", CallDescription.anonymous())).isNull();
			assertThat(explainer.methods()).hasSize(4).contains(METHOD);
		}
		AuthorizationExplainer nowhere = new AuthorizationExplainer(() -> null);
		assertThat(nowhere.explain(METHOD, CallDescription.anonymous())).isNull();
		assertThat(nowhere.methods()).isEmpty();
	}

	private TestServer serve(EchoService service, Consumer<AuthorizationStage.Builder> customizer) {
		return TestServer.inProcess(service, List.of(Caller.authentication(), stage(customizer)));
	}

	private AuthorizationStage stage(Consumer<AuthorizationStage.Builder> customizer) {
		return stageOf((builder) -> customizer
			.accept(builder.observer((rule, outcome) -> this.decisions.add(rule + " " + outcome))));
	}

	private static AuthorizationStage stageOf(Consumer<AuthorizationStage.Builder> customizer) {
		AuthorizationStage.Builder builder = AuthorizationStage.builder().conditions(new CelConditionCompiler());
		customizer.accept(builder);
		return builder.build();
	}

	private static CallPolicy policy(io.github.grpcsecurity.server.CallCheck check) {
		return new CallPolicy() {
			@Override
			public String id() {
				return "own";
			}

			@Override
			public String description() {
				return "own policy";
			}

			@Override
			public Verdict check(SecuredCall call) {
				return check.check(call);
			}
		};
	}

	static class Guard {

		public boolean open(org.springframework.security.core.Authentication authentication) {
			return authentication.getName().equals("alice");
		}

		public boolean broken() {
			throw new IllegalStateException("database is down");
		}

		public boolean refusing() {
			throw new AccessDeniedException("no");
		}

		public boolean seesCaller() {
			return SecurityContextHolder.getContext().getAuthentication() == GrpcCaller.current().authentication()
					&& !GrpcCaller.current().anonymous();
		}

	}

	static class Annotated extends EchoService {

		@Override
		@Secured("ROLE_A")
		public void unary(EchoRequest request, StreamObserver<EchoReply> replies) {
			super.unary(request, replies);
		}

		@Override
		@PreAuthorize("hasRole('A') and #request.amount > 10")
		public void serverStream(EchoRequest request, StreamObserver<EchoReply> replies) {
			super.serverStream(request, replies);
		}

		@Override
		@PreAuthorize("hasRole('A') and #request.amount <= 10")
		public StreamObserver<EchoRequest> clientStream(StreamObserver<EchoReply> replies) {
			return super.clientStream(replies);
		}

		@Override
		@SensitiveMethod
		@PreAuthorize("authenticated")
		public StreamObserver<EchoRequest> bidi(StreamObserver<EchoReply> replies) {
			return super.bidi(replies);
		}

	}

}
