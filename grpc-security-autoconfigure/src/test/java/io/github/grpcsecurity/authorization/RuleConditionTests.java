package io.github.grpcsecurity.authorization;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import java.util.stream.LongStream;

import io.github.grpcsecurity.authorization.cel.CelConditionCompiler;
import io.github.grpcsecurity.server.SecuredCall;
import io.github.grpcsecurity.server.SecurityStage;
import io.github.grpcsecurity.server.Verdict;
import io.github.grpcsecurity.server.VerifiedCredential;
import io.github.grpcsecurity.server.VerifiedCredential.Subject;
import io.github.grpcsecurity.testing.CallType;
import io.github.grpcsecurity.testing.EchoReply;
import io.github.grpcsecurity.testing.EchoRequest;
import io.github.grpcsecurity.testing.EchoService;
import io.github.grpcsecurity.testing.RawCall;
import io.github.grpcsecurity.testing.RecordingObserver;
import io.github.grpcsecurity.testing.TestServer;
import io.github.grpcsecurity.testing.TestStage;
import io.grpc.BindableService;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.Status;
import io.grpc.Status.Code;
import io.grpc.stub.StreamObserver;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.EnumSource.Mode;
import org.junit.jupiter.params.provider.ValueSource;

import org.springframework.boot.context.properties.source.InvalidConfigurationPropertyValueException;
import org.springframework.security.authentication.UsernamePasswordAuthenticationToken;
import org.springframework.security.core.authority.AuthorityUtils;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;

/**
 * Tests for conditions and the other settings of rules, through the pipeline of real
 * servers.
 */
class RuleConditionTests {

	private static final Metadata.Key<String> KINDS = Metadata.Key.of("x-test-kinds", Metadata.ASCII_STRING_MARSHALLER);

	private final List<String> decisions = new CopyOnWriteArrayList<>();

	private final List<Long> evaluations = new CopyOnWriteArrayList<>();

	private final RecordingObserver calls = new RecordingObserver();

	@ParameterizedTest
	@EnumSource
	void callWhenConditionIsAboutMessageThenHandlerSeesOnlyWhatItAllows(CallType type) {
		EchoService service = new EchoService();
		try (TestServer server = serve(service, when("message.amount <= 10 || 'ROLE_TELLER' in auth.authorities"))) {
			assertThat(amounts(server, type, user("ROLE_A"), 10)).isEqualTo(Code.OK);
			int entered = service.entered.get();
			assertThat(amounts(server, type, user("ROLE_A"), 11)).isEqualTo(Code.PERMISSION_DENIED);
			assertThat(service.entered).hasValue(entered);
			assertThat(amounts(server, type, user("ROLE_TELLER"), 11)).isEqualTo(Code.OK);
			assertThat(amounts(server, type, new Metadata(), 11)).isEqualTo(Code.UNAUTHENTICATED);
		}
	}

	@ParameterizedTest
	@EnumSource(mode = Mode.INCLUDE, names = { "CLIENT_STREAM", "BIDI" })
	void callWhenThirdMessageViolatesConditionThenHandlerHasSeenTwo(CallType type) {
		EchoService service = new EchoService();
		try (TestServer server = serve(service, when("message.amount <= 10"))) {
			assertThat(amounts(server, type, user("ROLE_A"), 1, 2, 30, 4)).isEqualTo(Code.PERMISSION_DENIED);
			assertThat(service.entered).hasValue(1);
			assertThat(service.messages).hasValue(2);
		}
	}

	@ParameterizedTest
	@EnumSource
	void callWhenConditionIsNotAboutMessageThenDecidedBeforeAnyMessage(CallType type) {
		EchoService service = new EchoService();
		try (TestServer server = serve(service, when("'ROLE_TELLER' in auth.authorities && message.amount <= 10"))) {
			// No message is ever sent, and none is waited for
			RawCall call = RawCall.start(server.channel(), type.method(), type.grpcType(), user("ROLE_A"));

			assertThat(call.await().status().getCode()).isEqualTo(Code.PERMISSION_DENIED);
			assertThat(service.entered).hasValue(0);
			assertThat(amounts(server, type, user("ROLE_TELLER"), 10)).isEqualTo(Code.OK);
			assertThat(amounts(server, type, user("ROLE_TELLER"), 11)).isEqualTo(Code.PERMISSION_DENIED);
		}
	}

	@ParameterizedTest
	@EnumSource
	void callWhenAccessRefusesThenConditionDoesNotWiden(CallType type) {
		try (TestServer server = serve(new EchoService(),
				(builder) -> builder.rules(List.of(rule("hasRole('TELLER')", "true"))))) {
			assertThat(amounts(server, type, user("ROLE_A"), 1)).isEqualTo(Code.PERMISSION_DENIED);
			assertThat(amounts(server, type, new Metadata(), 1)).isEqualTo(Code.UNAUTHENTICATED);
			assertThat(amounts(server, type, user("ROLE_TELLER"), 1)).isEqualTo(Code.OK);
		}
		try (TestServer server = serve(new EchoService(),
				(builder) -> builder.rules(List.of(rule("deny", "message.amount > 0"))))) {
			assertThat(amounts(server, type, user("ROLE_A"), 1)).isEqualTo(Code.PERMISSION_DENIED);
		}
	}

	@ParameterizedTest
	@ValueSource(strings = { "auth.claims.missing == 'x'", "auth.claims.admin", "auth.claims.list",
			"request.headers['x-none'] == ''", "1 / message.amount > 0 || message.amount == 1 / message.amount",
			"message.tags[3] == 'a'", "auth.issuer != 'https://evil.example'", "connection.tls_version != ''",
			"connection.uri_san_peer_certificate != 'a'", "dyn(message).nope == 1", "int(message.text) > 0",
			"!inRange(message.text, '10.0.0.0/8')", "timestamp(message.text) < request.time",
			"auth.claims.list[message.amount + 1] == 'never'" })
	void callWhenConditionCannotBeEvaluatedThenDenied(String condition) {
		EchoService service = new EchoService();
		try (TestServer server = serve(service, when(condition))) {
			for (CallType type : CallType.values()) {
				assertThat(amounts(server, type, user("ROLE_A"), 0)).as("%s", type).isEqualTo(Code.PERMISSION_DENIED);
			}
			assertThat(service.entered).hasValue(0);
			assertThat(this.decisions).containsOnly("rules[0] ERROR");
		}
	}

	@ParameterizedTest
	@ValueSource(strings = { "auth.principal == 'alice'", "auth.kind == 'test'",
			"'ROLE_A' in auth.authorities && 'SCOPE_read' in auth.authorities", "auth.scopes == ['read']",
			"auth.claims.tenant == 'blue' && auth.claims.level == 7 && auth.claims.nested.deep[0] == true",
			"!has(auth.claims.nope)", "auth.claims.nothing == null", "auth.claims.ratio > 0.4",
			"auth.claims.since < request.time", "grpc.service == 'testing.Echo'",
			"request.headers['x-twice'] == 'a,b' && 'x-twice' in request.headers && !('x-once' in request.headers)",
			"request.headers.exists(h, h == 'x-twice')", "request.path == '/testing.Echo/' + grpc.method",
			"grpc.type in ['unary', 'server_streaming', 'client_streaming', 'bidi_streaming']",
			"grpc.deadline > request.time", "source.address == '127.0.0.1' && source.port > 0", "!connection.mtls",
			"inRange(source.address, '127.0.0.0/8') && !inRange(source.address, '10.0.0.0/8')",
			"inRange(source.address, '127.0.0.1') && !inRange(source.address, '::1')",
			"request.time > timestamp('2020-01-01T00:00:00Z') && request.time.getHours('Europe/Berlin') >= 0",
			"request.host.startsWith('127.0.0.1')", "message.text.matches('^he.*o$') && message.tags.size() == 2",
			"message.tags.all(t, t.startsWith('t')) && message.tags.exists_one(t, t == 't2')",
			"message == testing.EchoRequest{text: 'hello', tags: ['t1', 't2']}" })
	void callWhenConditionReadsTheCallThenItSeesWhatIsThere(String condition) {
		Metadata headers = user("ROLE_A,SCOPE_read");
		Metadata.Key<String> twice = Metadata.Key.of("x-twice", Metadata.ASCII_STRING_MARSHALLER);
		headers.put(twice, "a");
		headers.put(twice, "b");
		EchoRequest request = EchoRequest.newBuilder().setText("hello").addTags("t1").addTags("t2").build();
		try (TestServer server = TestServer.network(new EchoService(),
				List.of(authentication(), stage(when(condition))))) {
			for (CallType type : CallType.values()) {
				assertThat(type.call(server.channel(), headers, List.of(request)).code()).as("%s", type)
					.isEqualTo(Code.OK);
			}
		}
	}

	@Test
	void callWhenHandlerChangesHeadersThenConditionStillSeesThoseOfTheClient() {
		try (TestServer server = TestServer.inProcess(new EchoService(),
				(security) -> security.stages(List.of(authentication(), new HidingStage(),
						stage(when("request.headers['x-test-kinds'] == 'test' || " + "message.amount > 100")))))) {
			assertThat(amounts(server, CallType.BIDI, user("ROLE_A", "test"), 1, 2, 3)).isEqualTo(Code.OK);
		}
	}

	@ParameterizedTest
	@EnumSource(mode = Mode.INCLUDE, names = { "CLIENT_STREAM", "BIDI" })
	void callWhenStreamEndsWithoutMessageThenConditionAboutItDenies(CallType type) {
		EchoService service = new EchoService();
		try (TestServer server = serve(service, when("message.amount <= 10"))) {
			assertThat(type.call(server.channel(), user("ROLE_A"), List.of()).code()).isEqualTo(Code.PERMISSION_DENIED);
			assertThat(service.entered).hasValue(0);
		}
	}

	@Test
	void callWhenLoopsRunTooLongThenAbortedAndDenied() {
		try (TestServer server = serve(new EchoService(),
				when("auth.claims.big.all(a, auth.claims.big.all(b, a + b >= 0))"))) {
			assertAborted(server, EchoRequest.getDefaultInstance());
		}
		EchoRequest.Builder request = EchoRequest.newBuilder();
		for (int i = 0; i < 10_000; i++) {
			request.addTags("t");
		}
		for (String condition : List.of("message.tags.all(a, message.tags.all(b, a == b))",
				"message.tags.all(a, message.tags.exists(b, a == b))",
				"message.tags.map(a, message.tags.filter(b, a == b)).size() > 0")) {
			try (TestServer server = serve(new EchoService(), when(condition))) {
				assertAborted(server, request.build());
			}
		}
		try (TestServer server = serve(new EchoService(), when("message.tags.size() > 3"))) {
			assertThat(CallType.UNARY.call(server.channel(), user("ROLE_A"), List.of(request.build())).code())
				.isEqualTo(Code.OK);
			assertThat(CallType.UNARY
				.call(server.channel(), user("ROLE_A"), List.of(request.addTags("one too many").build()))
				.code()).isEqualTo(Code.PERMISSION_DENIED);
		}
	}

	@Test
	void callWhenTextsTakeTooLongThenAbortedAndDenied() {
		EchoRequest.Builder request = EchoRequest.newBuilder().setText("a".repeat(1 << 20));
		for (int i = 0; i < 500; i++) {
			request.addTags("a".repeat(1000) + "b");
		}
		for (String condition : List.of("message.tags.all(t, message.text.contains(t) || true)",
				"message.tags.all(t, message.text.startsWith(t) || message.text != t)",
				"message.text.contains(message.tags[0]) || true")) {
			try (TestServer server = serve(new EchoService(), when(condition))) {
				assertAborted(server, request.build());
				assertThat(CallType.UNARY
					.call(server.channel(), user("ROLE_A"),
							List.of(EchoRequest.newBuilder().setText("a".repeat(2000)).addTags("b").build()))
					.code()).isEqualTo(Code.OK);
			}
		}
		try (TestServer server = serve(new EchoService(),
				when("message.text.contains('b') || auth.authorities.exists(a, a.contains('ROLE'))"))) {
			assertThat(CallType.UNARY.call(server.channel(), user("ROLE_A"), List.of(request.build())).code())
				.isEqualTo(Code.OK);
		}
	}

	@Test
	void callWhenConditionWritesHeadersInAnyCaseThenSameBeforeAndWithMessages() {
		for (String condition : List.of("request.headers['X-Test-Kinds'] == 'test'",
				"'X-Test-Kinds' in request.headers && !('X-None' in request.headers)",
				"message.amount > 100 || request.headers['X-Test-Kinds'] == 'test'")) {
			try (TestServer server = serve(new EchoService(), when(condition))) {
				assertThat(amounts(server, CallType.BIDI, user("ROLE_A", "test"), 1)).isEqualTo(Code.OK);
			}
		}
		try (TestServer server = serve(new EchoService(),
				when("message.amount > 100 || !('X-Test-Kinds' in request.headers)"))) {
			assertThat(amounts(server, CallType.BIDI, user("ROLE_A", "test"), 1)).isEqualTo(Code.PERMISSION_DENIED);
		}
	}

	/** The fastest of many, so that a busy machine does not decide. */
	private void assertAborted(TestServer server, EchoRequest request) {
		this.evaluations.clear();
		for (int i = 0; i < 40; i++) {
			assertThat(CallType.UNARY.call(server.channel(), user("ROLE_A"), List.of(request)).code())
				.isEqualTo(Code.PERMISSION_DENIED);
		}
		assertThat(Collections.min(this.evaluations)).isLessThan(TimeUnit.MILLISECONDS.toNanos(10));
	}

	/** Measures how long conditions take. */
	private final class Timed implements ConditionCompiler {

		private final ConditionCompiler compiler = new CelConditionCompiler();

		@Override
		public void check(String condition) {
			this.compiler.check(condition);
		}

		@Override
		public RuleCondition compile(String condition, MethodDescriptor<?, ?> method) {
			RuleCondition compiled = this.compiler.compile(condition, method);
			return new RuleCondition() {
				@Override
				public Answer ask(SecuredCall call) {
					long start = System.nanoTime();
					Answer answer = compiled.ask(call);
					if (!compiled.looksAtMessages()) {
						RuleConditionTests.this.evaluations.add(System.nanoTime() - start);
					}
					return answer;
				}

				@Override
				public boolean looksAtMessages() {
					return compiled.looksAtMessages();
				}

				@Override
				public Answer ask(SecuredCall call, Object message) {
					long start = System.nanoTime();
					Answer answer = compiled.ask(call, message);
					RuleConditionTests.this.evaluations.add(System.nanoTime() - start);
					return answer;
				}
			};
		}

	}

	@Test
	void serveWhenConditionDoesNotFitThenStartFailsAndNamesTheProperty() {
		assertThatExceptionOfType(InvalidConfigurationPropertyValueException.class)
			.isThrownBy(() -> serve(new EchoService(), when("message.amout <= 10")))
			.satisfies((ex) -> {
				assertThat(ex.getName()).isEqualTo("grpc.security.authorization.rules[0].when");
				assertThat(ex.getValue()).isEqualTo("message.amout <= 10");
				assertThat(ex.getReason()).contains("undefined field 'amout'",
						"The fields of testing.EchoRequest are text, amount, tags.");
			});
	}

	@ParameterizedTest
	@CsvSource(delimiter = '|',
			value = { "message.amount <=|when|It is not a condition in CEL", "''|when|It is empty." })
	void buildWhenConditionIsNoneThenFails(String condition, String property, String reason) {
		assertThatExceptionOfType(InvalidConfigurationPropertyValueException.class)
			.isThrownBy(() -> stage(when(condition)))
			.satisfies((ex) -> {
				assertThat(ex.getName()).isEqualTo("grpc.security.authorization.rules[0]." + property);
				assertThat(ex.getReason()).contains(reason);
			});
	}

	@Test
	void buildWhenThereIsNoCelThenFailsWithTheWayOut() {
		assertThatExceptionOfType(InvalidConfigurationPropertyValueException.class)
			.isThrownBy(() -> AuthorizationStage.builder().rules(List.of(rule("permit", "true"))).build())
			.satisfies((ex) -> {
				assertThat(ex.getName()).isEqualTo("grpc.security.authorization.rules[0].when");
				assertThat(ex.getReason()).isEqualTo("It is a condition in CEL, but CEL is not on the class path. Add"
						+ " the dependency dev.cel:cel, or use grpc-security-starter, which brings it; or remove the"
						+ " rule.");
			});
	}

	@Test
	void buildWhenNamesAreBadThenFails() {
		assertThatExceptionOfType(InvalidConfigurationPropertyValueException.class)
			.isThrownBy(() -> AuthorizationStage.builder().rules(List.of(named("a", false), named("a", false))).build())
			.satisfies((ex) -> {
				assertThat(ex.getName()).isEqualTo("grpc.security.authorization.rules[1].name");
				assertThat(ex.getReason()).startsWith("grpc.security.authorization.rules[0] has the same name");
			});
		assertThatExceptionOfType(InvalidConfigurationPropertyValueException.class)
			.isThrownBy(() -> AuthorizationStage.builder().rules(List.of(named("a b", false))).build())
			.satisfies((ex) -> {
				assertThat(ex.getName()).isEqualTo("grpc.security.authorization.rules[0].name");
				assertThat(ex.getReason()).startsWith("A name has at most 64 letters");
			});
	}

	@ParameterizedTest
	@EnumSource
	void callWhenExistenceIsHiddenThenSameBytesAsFromHandler(CallType type) {
		BindableService handler = new NotFoundService();
		AuthorizationRule hidden = new AuthorizationRule(List.of("**"), "hasRole('A')", "message.amount <= 10", null,
				true, false, false);
		try (TestServer refusing = TestServer.network(new EchoService(),
				List.of(authentication(), stage((builder) -> builder.rules(List.of(hidden)))));
				TestServer answering = TestServer.network(handler,
						List.of(authentication(), stage((builder) -> builder.rule("**", "permit"))))) {
			String expected = bytes(type.call(answering.channel(), user("ROLE_A"), amounts(11)));

			assertThat(expected).startsWith("NOT_FOUND");
			assertThat(bytes(type.call(refusing.channel(), user("ROLE_A"), amounts(11)))).isEqualTo(expected);
			assertThat(bytes(type.call(refusing.channel(), user("ROLE_B"), amounts(1)))).isEqualTo(expected);
			assertThat(amounts(refusing, type, new Metadata(), 11)).isEqualTo(Code.UNAUTHENTICATED);
			assertThat(amounts(refusing, type, user("ROLE_A"), 10)).isEqualTo(Code.OK);
		}
	}

	private static String bytes(CallType.Outcome outcome) {
		Metadata trailers = new Metadata();
		trailers.merge(outcome.trailers());
		return outcome.code() + "|" + outcome.status().getDescription() + "|" + trailers + "|" + outcome.replies();
	}

	@Test
	void callWhenExistenceIsHiddenThenAnonymousCallersSeeNoDifferenceEither() {
		AuthorizationRule hidden = new AuthorizationRule(List.of("**"), "permit", "message.amount != 7", null, true,
				false, false);
		try (TestServer server = serve(new EchoService(), (builder) -> builder.rules(List.of(hidden)))) {
			assertThat(amounts(server, CallType.UNARY, new Metadata(), 7)).isEqualTo(Code.NOT_FOUND);
			assertThat(amounts(server, CallType.UNARY, new Metadata(), 8)).isEqualTo(Code.OK);
		}
	}

	@ParameterizedTest
	@EnumSource
	void callWhenRuleIsSensitiveThenApiKeyAloneIsNotEnough(CallType type) {
		AuthorizationRule sensitive = new AuthorizationRule(List.of("**"), "authenticated", null, null, false, true,
				false);
		EchoService service = new EchoService();
		try (TestServer server = serve(service, (builder) -> builder.rules(List.of(sensitive)))) {
			assertSensitive(server, type, service);
		}
	}

	@ParameterizedTest
	@EnumSource
	void callWhenMethodOrClassIsSensitiveThenApiKeyAloneIsNotEnough(CallType type) {
		@SensitiveMethod
		class OnClass extends EchoService {

		}
		for (EchoService service : List.of(new OnClass(), new Sensitive())) {
			try (TestServer server = serve(service, (builder) -> builder.rule("**", "authenticated"))) {
				assertSensitive(server, type, service);
			}
			try (TestServer server = serve(service, (builder) -> {
			})) {
				// It grants nothing: what nobody permits stays closed
				assertThat(amounts(server, type, user("ROLE_A", "jwt"), 1)).isEqualTo(Code.PERMISSION_DENIED);
			}
		}
	}

	private void assertSensitive(TestServer server, CallType type, EchoService service) {
		service.entered.set(0);
		assertThat(amounts(server, type, user("ROLE_A", "api-key"), 1)).isEqualTo(Code.PERMISSION_DENIED);
		assertThat(amounts(server, type, user("ROLE_A", "api-key,api-key"), 1)).isEqualTo(Code.PERMISSION_DENIED);
		assertThat(amounts(server, type, new Metadata(), 1)).isEqualTo(Code.UNAUTHENTICATED);
		assertThat(service.entered).hasValue(0);
		assertThat(amounts(server, type, user("ROLE_A", "api-key,jwt"), 1)).isEqualTo(Code.OK);
		assertThat(amounts(server, type, user("ROLE_A", "certificate"), 1)).isEqualTo(Code.OK);
	}

	@ParameterizedTest
	@EnumSource
	void callWhenRuleIsInShadowThenItBlocksNothingAndCountsAsIfItDid(CallType type) {
		AuthorizationRule live = named("live", false);
		for (String when : Arrays.asList("'ROLE_TELLER' in auth.authorities", "message.amount <= 10",
				"'ROLE_TELLER' in auth.authorities && message.amount <= 10", "auth.claims.missing == 1", null)) {
			List<String> shadow = decisions(type, List.of(candidate(when, true), live));
			List<String> enforced = decisions(type, List.of(candidate(when, false), live));

			assertThat(shadow.stream()
				.filter((decision) -> decision.startsWith("candidate"))
				.map((decision) -> decision.replace("SHADOW_", ""))).containsExactlyElementsOf(enforced);
			assertThat(shadow).filteredOn((decision) -> decision.startsWith("live"))
				.containsExactly("live ALLOWED", "live ALLOWED", "live ALLOWED");
		}
	}

	private static AuthorizationRule candidate(String when, boolean shadow) {
		return new AuthorizationRule(List.of("**"), (when != null) ? "permit" : "hasRole('TELLER')", when, "candidate",
				false, false, shadow);
	}

	private List<String> decisions(CallType type, List<AuthorizationRule> rules) {
		this.decisions.clear();
		this.calls.closed.clear();
		boolean shadow = rules.get(0).shadow();
		try (TestServer server = serve(new EchoService(), (builder) -> builder.rules(rules))) {
			for (Metadata headers : List.of(user("ROLE_A"), user("ROLE_TELLER"))) {
				Code code = amounts(server, type, headers, 1, 2, 30, 40);
				assertThat(code).satisfies((value) -> {
					if (shadow) {
						assertThat(value).isEqualTo(Code.OK);
					}
				});
			}
			Code third = amounts(server, type, user("ROLE_TELLER"), 99, 1);
			if (shadow) {
				assertThat(third).isEqualTo(Code.OK);
			}
		}
		List<String> all = new ArrayList<>(this.decisions);
		if (shadow) {
			assertThat(this.calls.closed).hasSize(3);
			assertThat(this.calls.closed.stream()
				.filter((closed) -> "candidate".equals(closed.call().notes().get("authorization.shadow")))
				.count())
				.isEqualTo(all.stream()
					.filter((one) -> one.equals("candidate SHADOW_DENIED") || one.equals("candidate ERROR"))
					.count());
		}
		return all;
	}

	@Test
	void callWhenShadowRuleLooksAtMessagesThenHandlerIsNotHeldBack() {
		EchoService service = new Services.Annotated();
		AuthorizationRule shadow = candidate("message.amount <= 10", true);
		try (TestServer server = serve(service, (builder) -> builder.rules(List.of(shadow)))) {
			assertThat(server.security().plans()).filteredOn((plan) -> !plan.method().unknown())
				.allSatisfy((plan) -> assertThat(plan.toString()).contains("shadow: permit by rule candidate"));
			CallType.Outcome outcome = CallType.BIDI.call(server.channel(), user("ROLE_TELLER"), List.of());

			assertThat(outcome.code()).isEqualTo(Code.OK);
			assertThat(outcome.replies()).hasSize(1);
		}
	}

	@Test
	void callWhenOnlyShadowRulesMatchThenMethodIsNotCovered() {
		try (TestServer server = serve(new EchoService(),
				(builder) -> builder.rules(List.of(candidate("true", true))))) {
			assertThat(amounts(server, CallType.UNARY, user("ROLE_TELLER"), 1)).isEqualTo(Code.PERMISSION_DENIED);
		}
	}

	@Test
	void callWhenDecidedThenAuditAndMetricsKnowByWhom() {
		AuthorizationRule rule = named("tellers", false);
		try (TestServer server = serve(new Services.Annotated(), (builder) -> builder.rules(List.of(rule)))) {
			amounts(server, CallType.UNARY, user("ROLE_A"), 1);
			amounts(server, CallType.UNARY, user("ROLE_TELLER"), 1);
		}
		assertThat(this.decisions).containsExactly("tellers ALLOWED", "@PreAuthorize DENIED", "tellers ALLOWED",
				"@PreAuthorize ALLOWED");
		assertThat(this.calls.closed).extracting((closed) -> closed.call().notes().get("authorization.rule"))
			.containsExactly("@PreAuthorize", "tellers");
	}

	@Test
	void callWhenNothingCoversMethodThenDefaultIsNamed() {
		try (TestServer server = serve(new EchoService(), (builder) -> {
		})) {
			amounts(server, CallType.UNARY, user("ROLE_A"), 1);
		}
		assertThat(this.decisions).containsExactly("default-access DENIED");
		assertThat(this.calls.closed.get(0).call().notes()).containsEntry("authorization.rule", "default-access");
	}

	private static AuthorizationRule named(String name, boolean shadow) {
		return new AuthorizationRule(List.of("**"), "permit", null, name, false, false, shadow);
	}

	private static AuthorizationRule rule(String access, String when) {
		return new AuthorizationRule(List.of("**"), access, when, null, false, false, false);
	}

	private static Consumer<AuthorizationStage.Builder> when(String condition) {
		return (builder) -> builder.rules(List.of(rule("permit", condition)));
	}

	private static List<EchoRequest> amounts(int... amounts) {
		return Arrays.stream(amounts).mapToObj((amount) -> EchoRequest.newBuilder().setAmount(amount).build()).toList();
	}

	private static Code amounts(TestServer server, CallType type, Metadata headers, int... amounts) {
		return type.call(server.channel(), headers, amounts(amounts)).code();
	}

	private static Metadata user(String authorities) {
		return user(authorities, "test");
	}

	private static Metadata user(String authorities, String kinds) {
		Metadata headers = Caller.with(authorities);
		headers.put(KINDS, kinds);
		return headers;
	}

	private TestServer serve(BindableService service, Consumer<AuthorizationStage.Builder> customizer) {
		return TestServer.inProcess(service, List.of(authentication(), stage(customizer)), this.calls);
	}

	private AuthorizationStage stage(Consumer<AuthorizationStage.Builder> customizer) {
		AuthorizationStage.Builder builder = AuthorizationStage.builder()
			.conditions(new Timed())
			.observer((rule, outcome) -> this.decisions.add(rule + " " + outcome));
		customizer.accept(builder);
		return builder.build();
	}

	/** Believes whatever the headers say about the caller. */
	private static TestStage authentication() {
		return TestStage.check(SecurityStage.AUTHENTICATION, (call) -> {
			String kinds = call.headers().get(KINDS);
			if (kinds != null) {
				String authorities = call.headers()
					.get(Metadata.Key.of("x-test-authorities", Metadata.ASCII_STRING_MARSHALLER));
				Map<String, Object> claims = new java.util.HashMap<>(Map.of("tenant", "blue", "level", 7, "admin",
						"yes", "list", List.of("x"), "nested", Map.of("deep", List.of(true)), "ratio", 0.5f, "since",
						new java.util.Date(0), "big", LongStream.range(0, 9_000).boxed().toList()));
				claims.put("nothing", null);
				for (String kind : kinds.split(",")) {
					call.authenticated(VerifiedCredential
						.builder(kind, Subject.USER,
								UsernamePasswordAuthenticationToken.authenticated("alice", null,
										AuthorityUtils.commaSeparatedStringToAuthorityList(authorities)))
						.claims(claims)
						.build());
				}
			}
			return Verdict.proceed();
		});
	}

	static class Sensitive extends EchoService {

		@Override
		@SensitiveMethod
		public void unary(EchoRequest request, StreamObserver<EchoReply> replies) {
			super.unary(request, replies);
		}

		@Override
		@Guarded
		public void serverStream(EchoRequest request, StreamObserver<EchoReply> replies) {
			super.serverStream(request, replies);
		}

		@Override
		@Guarded
		public StreamObserver<EchoRequest> clientStream(StreamObserver<EchoReply> replies) {
			return super.clientStream(replies);
		}

		@Override
		@SensitiveMethod
		public StreamObserver<EchoRequest> bidi(StreamObserver<EchoReply> replies) {
			return super.bidi(replies);
		}

	}

	@java.lang.annotation.Retention(java.lang.annotation.RetentionPolicy.RUNTIME)
	@SensitiveMethod
	@interface Guarded {

	}

	/** Takes the header away that says who calls. */
	private static final class HidingStage implements io.github.grpcsecurity.server.CallStage {

		@Override
		public SecurityStage stage() {
			return SecurityStage.ADMISSION;
		}

		@Override
		public void plan(io.github.grpcsecurity.server.SecuredMethod method,
				io.github.grpcsecurity.server.MethodPlan.Builder plan) {
			plan.hide(KINDS);
		}

	}

	static class NotFoundService extends EchoService {

		@Override
		public void unary(EchoRequest request, StreamObserver<EchoReply> replies) {
			replies.onError(Status.NOT_FOUND.asRuntimeException());
		}

		@Override
		public void serverStream(EchoRequest request, StreamObserver<EchoReply> replies) {
			replies.onError(Status.NOT_FOUND.asRuntimeException());
		}

		@Override
		public StreamObserver<EchoRequest> clientStream(StreamObserver<EchoReply> replies) {
			replies.onError(Status.NOT_FOUND.asRuntimeException());
			return super.clientStream(replies);
		}

		@Override
		public StreamObserver<EchoRequest> bidi(StreamObserver<EchoReply> replies) {
			replies.onError(Status.NOT_FOUND.asRuntimeException());
			return super.bidi(replies);
		}

	}

}
