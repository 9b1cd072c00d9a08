package io.github.grpcsecurity.authorization.opa;

import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicReference;
import java.util.function.Consumer;
import java.util.stream.Stream;

import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import com.google.protobuf.Any;
import io.github.grpcsecurity.authorization.AuthorizationExplainer;
import io.github.grpcsecurity.authorization.AuthorizationExplanation;
import io.github.grpcsecurity.authorization.AuthorizationExplanation.Decision;
import io.github.grpcsecurity.authorization.AuthorizationStage;
import io.github.grpcsecurity.authorization.CallDescription;
import io.github.grpcsecurity.authorization.opa.FakeOpa.Answer;
import io.github.grpcsecurity.authorization.opa.FakeOpa.Question;
import io.github.grpcsecurity.authorization.opa.OpaObserver.Outcome;
import io.github.grpcsecurity.server.CallStage;
import io.github.grpcsecurity.server.GrpcServerSecurity;
import io.github.grpcsecurity.server.MethodPattern;
import io.github.grpcsecurity.server.Refusal;
import io.github.grpcsecurity.server.SecurityStage;
import io.github.grpcsecurity.server.Verdict;
import io.github.grpcsecurity.server.VerifiedCredential;
import io.github.grpcsecurity.server.VerifiedCredential.Subject;
import io.github.grpcsecurity.testing.CallType;
import io.github.grpcsecurity.testing.EchoService;
import io.github.grpcsecurity.testing.RecordingObserver;
import io.github.grpcsecurity.testing.TestServer;
import io.github.grpcsecurity.testing.TestStage;
import io.grpc.BindableService;
import io.grpc.CallOptions;
import io.grpc.Channel;
import io.grpc.ClientInterceptors;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.ServerServiceDefinition;
import io.grpc.Status.Code;
import io.grpc.StatusRuntimeException;
import io.grpc.health.v1.HealthCheckRequest;
import io.grpc.health.v1.HealthGrpc;
import io.grpc.protobuf.ProtoUtils;
import io.grpc.protobuf.services.HealthStatusManager;
import io.grpc.stub.ClientCalls;
import io.grpc.stub.MetadataUtils;
import io.grpc.stub.ServerCalls;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.MethodSource;

import org.springframework.boot.context.properties.source.InvalidConfigurationPropertyValueException;
import org.springframework.boot.test.system.CapturedOutput;
import org.springframework.boot.test.system.OutputCaptureExtension;
import org.springframework.security.authentication.TestingAuthenticationToken;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;

/**
 * Tests for {@link OpaPolicy}, through the pipeline and over HTTP.
 */
@ExtendWith(OutputCaptureExtension.class)
class OpaPolicyIT {

	private static final Metadata.Key<String> AUTHORIZATION = key("authorization");

	private static final Metadata.Key<String> API_KEY = key("x-api-key");

	private static final Metadata.Key<String> COOKIE = key("cookie");

	private final FakeOpa opa = new FakeOpa();

	private final EchoService service = new EchoService();

	private final RecordingObserver observer = new RecordingObserver();

	private final AtomicReference<Instant> now = new AtomicReference<>(Instant.parse("2026-01-01T00:00:00Z"));

	private final ExecutorService executor = Executors.newCachedThreadPool();

	private final List<String> answers = new ArrayList<>();

	@AfterEach
	void close() {
		this.opa.close();
		this.executor.shutdownNow();
	}

	static Stream<Arguments> recorded() {
		return Stream.of(Arguments.of("true", FakeOpa.TRUE, Code.OK),
				Arguments.of("false", FakeOpa.FALSE, Code.PERMISSION_DENIED),
				Arguments.of("allowed", new Answer(200, "{\"result\":{\"allowed\":true,\"headers\":{\"x\":\"y\"}}}"),
						Code.OK),
				Arguments.of("text", new Answer(200, "{\"result\":{\"allowed\":\"true\"}}"), Code.PERMISSION_DENIED),
				Arguments.of("empty", new Answer(200, "{\"result\":{}}"), Code.PERMISSION_DENIED),
				Arguments.of("undefined", new Answer(200, "{\"decision_id\":\"3393eebe\"}"), Code.PERMISSION_DENIED),
				Arguments.of("null", new Answer(200, "{\"result\":null}"), Code.PERMISSION_DENIED),
				Arguments.of("error",
						new Answer(500, "{\"code\":\"internal_error\",\"message\":\"error(s) occurred\"}"),
						Code.UNAVAILABLE),
				Arguments.of("slow", FakeOpa.SILENCE, Code.UNAVAILABLE),
				Arguments.of("garbage", new Answer(200, "\u0000\u0001{{true"), Code.UNAVAILABLE),
				Arguments.of("redirect", new Answer(307, ""), Code.UNAVAILABLE),
				Arguments.of("huge", new Answer(200, "{\"x\":\"" + "y".repeat(100_000) + "\",\"result\":true}"),
						Code.UNAVAILABLE),
				Arguments.of("no content", new Answer(204, ""), Code.UNAVAILABLE),
				Arguments.of("bad request", new Answer(400, "{\"code\":\"invalid_parameter\"}"), Code.UNAVAILABLE));
	}

	@ParameterizedTest(name = "{0}")
	@MethodSource("recorded")
	void callWhenOpaAnswersThenOnlyAClearYesLetsItPass(String name, Answer answer, Code expected) {
		this.opa.policy = (input) -> answer;
		try (TestServer server = serve((builder) -> builder.timeout(patience(answer)))) {
			for (CallType type : CallType.values()) {
				assertThat(type.call(server.channel(), TestStage.user("alice"), "hello").code()).isEqualTo(expected);
			}
			assertThat(this.service.entered).hasValue((expected == Code.OK) ? 4 : 0);
			assertThat(this.opa.questions).hasSize(4)
				.allSatisfy((question) -> assertThat(question.path()).isEqualTo("/v1/data/envoy/authz/allow"));
		}
	}

	@ParameterizedTest(name = "{0}")
	@MethodSource("recorded")
	void messageWhenOpaAnswersThenOnlyAClearYesLetsItPass(String name, Answer answer, Code expected) {
		this.opa.policy = (input) -> answer;
		try (TestServer server = serve((builder) -> builder.includeMessage(true).timeout(patience(answer)))) {
			for (CallType type : CallType.values()) {
				assertThat(type.call(server.channel(), TestStage.user("alice"), "hello").code()).isEqualTo(expected);
			}
			assertThat(this.service.entered).hasValue((expected == Code.OK) ? 4 : 0);
		}
	}

	/** To find out that there is no answer need not take as long as one may take. */
	private static Duration patience(Answer answer) {
		return answer.equals(FakeOpa.SILENCE) ? Duration.ofMillis(300) : Duration.ofSeconds(2);
	}

	@ParameterizedTest(name = "{0}")
	@MethodSource("recorded")
	void callWhenFailuresAllowThenOnlyFailuresPass(String name, Answer answer, Code expected, CapturedOutput output) {
		this.opa.policy = (input) -> answer;
		// OPA is there, and what callers send may be why it has no answer
		boolean turnedDown = answer.status() == 400 || answer.status() == 500;
		try (TestServer server = serve((builder) -> builder.allowOnFailure(true).timeout(patience(answer)))) {
			for (CallType type : CallType.values()) {
				assertThat(type.call(server.channel(), TestStage.user("alice"), "hello").code())
					.isEqualTo((expected == Code.UNAVAILABLE && !turnedDown) ? Code.OK : expected);
			}
			assertThat(output).contains("grpc.security.authorization.opa.on-failure=allow");
			if (expected == Code.UNAVAILABLE) {
				assertThat(this.observer.decided.get(0).call().notes()).containsEntry("opa.outcome", "failure");
				assertThat(output.getOut().lines().filter((line) -> line.contains("Calls pass without it")))
					.hasSize(turnedDown ? 0 : 1);
			}
		}
	}

	@ParameterizedTest
	@CsvSource({ "401,UNAUTHENTICATED,UNAUTHENTICATED", "403,PERMISSION_DENIED,PERMISSION_DENIED",
			"404,NOT_FOUND,NOT_FOUND", "429,RESOURCE_EXHAUSTED,RESOURCE_EXHAUSTED",
			"200,PERMISSION_DENIED,PERMISSION_DENIED", "0,PERMISSION_DENIED,UNAUTHENTICATED" })
	void callWhenPolicyNamesStatusThenItsCounterpartCounts(int status, Code known, Code anonymous) {
		this.opa.policy = (input) -> new Answer(200, "{\"result\":{\"allowed\":false,\"body\":\"c4n4ry\",\"headers\":"
				+ "{\"x-why\":\"c4n4ry\"},\"http_status\":" + status + "}}");
		try (TestServer server = serve((builder) -> {
		})) {
			for (CallType type : CallType.values()) {
				CallType.Outcome outcome = type.call(server.channel(), TestStage.user("alice"), "hello");
				assertThat(outcome.code()).isEqualTo(known);
				assertThat(outcome.status().toString() + outcome.trailers()).doesNotContain("c4n4ry");
				assertThat(type.call(server.channel()).code()).isEqualTo(anonymous);
			}
		}
	}

	@Test
	void callWhenOpaAnswersThenAuditFindsTheDecision() {
		this.opa.policy = (input) -> FakeOpa.FALSE;
		try (TestServer server = serve((builder) -> {
		})) {
			CallType.UNARY.call(server.channel(), TestStage.user("alice"), "hello");

			RecordingObserver.Decided decided = this.observer.decided.get(0);
			assertThat(decided.call().notes()).containsEntry("opa.outcome", "deny")
				.containsEntry("opa.decision_id", "27e2fe1d-bb1a-4010-8bf3-ecf89a8f644f");
			Refusal refusal = decided.decision().refusal();
			assertThat(refusal).isNotNull();
			assertThat(refusal.reason()).isEqualTo("denied by OPA's envoy/authz/allow");
			assertThat(this.answers).containsExactly("DENY false false");
		}
	}

	@Test
	void inputWhenCallIsAskedAboutThenHasTheShapeOfThePlugin() {
		try (TestServer server = network((builder) -> builder.credentialHeader("X-Api-Key"))) {
			Metadata headers = TestStage.user("alice:ROLE_TELLER");
			headers.put(AUTHORIZATION, "Bearer c4n4ry");
			headers.put(API_KEY, "c4n4ry");
			headers.put(COOKIE, "session=c4n4ry");
			headers.put(key("x-two"), "a");
			headers.put(key("x-two"), "b");
			headers.put(Metadata.Key.of("x-raw-bin", Metadata.BINARY_BYTE_MARSHALLER), new byte[] { 1, 2 });
			CallType.BIDI.call(server.channel(), headers, "hello");

			JsonObject input = this.opa.questions.get(0).input();
			assertThat(input.keySet()).containsExactlyInAnyOrder("attributes", "parsed_path", "parsed_query",
					"parsed_body", "truncated_body", "version");
			assertThat(input.get("parsed_path")).hasToString("[\"testing.Echo\",\"Bidi\"]");
			assertThat(input.get("parsed_query")).hasToString("{}");
			assertThat(input.get("parsed_body").isJsonNull()).isTrue();
			assertThat(input.get("truncated_body").getAsBoolean()).isFalse();
			assertThat(input.get("version")).hasToString("{\"ext_authz\":\"v3\",\"encoding\":\"protojson\"}");
			JsonObject attributes = input.getAsJsonObject("attributes");
			assertThat(attributes.keySet()).containsExactlyInAnyOrder("source", "destination", "request",
					"contextExtensions", "metadataContext");
			JsonObject source = attributes.getAsJsonObject("source")
				.getAsJsonObject("address")
				.getAsJsonObject("socketAddress");
			assertThat(source.get("address").getAsString()).isEqualTo("127.0.0.1");
			assertThat(source.get("portValue").getAsInt()).isPositive().isNotEqualTo(server.port());
			assertThat(attributes.getAsJsonObject("destination")
				.getAsJsonObject("address")
				.getAsJsonObject("socketAddress")
				.get("portValue")
				.getAsInt()).isEqualTo(server.port());
			JsonObject request = attributes.getAsJsonObject("request");
			assertThat(request.getAsJsonObject("time").get("seconds").getAsLong()).isPositive();
			JsonObject http = request.getAsJsonObject("http");
			assertThat(http.get("id").getAsString()).hasSize(32);
			assertThat(http.get("method").getAsString()).isEqualTo("POST");
			assertThat(http.get("path").getAsString()).isEqualTo("/testing.Echo/Bidi");
			assertThat(http.get("host").getAsString()).isEqualTo("127.0.0.1:" + server.port());
			assertThat(http.get("protocol").getAsString()).isEqualTo("HTTP/2");
			assertThat(http.get("size").getAsInt()).isEqualTo(-1);
			JsonObject sent = http.getAsJsonObject("headers");
			assertThat(sent.get(":authority")).isEqualTo(http.get("host"));
			assertThat(sent.get(":path")).isEqualTo(http.get("path"));
			assertThat(sent.get(":method").getAsString()).isEqualTo("POST");
			assertThat(sent.get("content-type").getAsString()).isEqualTo("application/grpc");
			assertThat(sent.get("x-two").getAsString()).isEqualTo("a,b");
			assertThat(sent.get("x-raw-bin").getAsString()).isEqualTo("AQI");
			assertThat(input.toString()).doesNotContain("c4n4ry");
			JsonObject caller = attributes.getAsJsonObject("metadataContext")
				.getAsJsonObject("filterMetadata")
				.getAsJsonObject("grpc-security");
			assertThat(caller).hasToString("{\"authenticated\":true,\"principal\":\"alice\",\"kinds\":[\"test\"],"
					+ "\"authorities\":[\"ROLE_TELLER\"]}");
		}
	}

	@Test
	void inputWhenCallerHasTokenThenVerifiedClaimsArePartOfIt() {
		CallStage authentication = TestStage.check(SecurityStage.AUTHENTICATION, (call) -> {
			call.authenticated(VerifiedCredential
				.builder(VerifiedCredential.JWT, Subject.USER, new TestingAuthenticationToken("alice", null, "SCOPE_a"))
				.issuer("https://idp.example")
				.claims(Map.of("sub", "alice", "exp", Instant.ofEpochSecond(1_800_000_000L), "tenant",
						Map.of("id", 7, "tags", List.of("x", true))))
				.build());
			return Verdict.proceed();
		});
		try (TestServer server = TestServer.inProcess(this.service,
				List.of(authentication, stage(policy(this.opa, (builder) -> {
				}))), this.observer)) {
			CallType.UNARY.call(server.channel());

			JsonObject caller = this.opa.questions.get(0)
				.input()
				.getAsJsonObject("attributes")
				.getAsJsonObject("metadataContext")
				.getAsJsonObject("filterMetadata")
				.getAsJsonObject("grpc-security");
			assertThat(caller.get("issuer").getAsString()).isEqualTo("https://idp.example");
			assertThat(caller.get("claims")).isEqualTo(JsonParser
				.parseString("{\"sub\":\"alice\",\"exp\":1800000000,\"tenant\":{\"id\":7,\"tags\":[\"x\",true]}}"));
		}
	}

	@Test
	void inputWhenCredentialsAreForwardedThenWarnsAtStart(CapturedOutput output) {
		try (TestServer server = serve((builder) -> builder.forwardCredentials(true))) {
			Metadata headers = TestStage.user("alice");
			headers.put(AUTHORIZATION, "Bearer token");
			CallType.UNARY.call(server.channel(), headers, "hello");

			assertThat(headers(this.opa.questions.get(0)).get("authorization").getAsString()).isEqualTo("Bearer token");
			assertThat(output).contains("grpc.security.authorization.opa.forward-credentials=true");
		}
	}

	@ParameterizedTest
	@EnumSource
	void messageWhenItIsPartOfTheQuestionThenAskedAboutEach(CallType type) {
		try (TestServer server = serve((builder) -> builder.includeMessage(true))) {
			CallType.Outcome outcome = type.call(server.channel(), TestStage.user("alice"), "one", "two", "three");

			boolean streams = type == CallType.CLIENT_STREAM || type == CallType.BIDI;
			assertThat(outcome.code()).isEqualTo(Code.OK);
			assertThat(this.opa.questions.stream().map((question) -> question.input().get("parsed_body").toString()))
				.containsExactlyElementsOf(
						streams ? List.of("{\"text\":\"one\"}", "{\"text\":\"two\"}", "{\"text\":\"three\"}")
								: List.of("{\"text\":\"one\"}"));
		}
	}

	@ParameterizedTest
	@EnumSource(names = { "CLIENT_STREAM", "BIDI" })
	void messageWhenThirdIsDeniedThenHandlerHasSeenTwo(CallType type) {
		this.opa.policy = (input) -> input.get("parsed_body").toString().contains("bad") ? FakeOpa.FALSE : FakeOpa.TRUE;
		try (TestServer server = serve((builder) -> builder.includeMessage(true))) {
			CallType.Outcome outcome = type.call(server.channel(), TestStage.user("alice"), "one", "two", "bad",
					"four");

			assertThat(outcome.code()).isEqualTo(Code.PERMISSION_DENIED);
			assertThat(this.service.messages).hasValue(2);
		}
	}

	@ParameterizedTest
	@EnumSource
	void messageWhenFirstIsDeniedThenHandlerDoesNotStart(CallType type) {
		this.opa.policy = (input) -> input.get("parsed_body").toString().contains("bad") ? FakeOpa.FALSE : FakeOpa.TRUE;
		try (TestServer server = serve((builder) -> builder.includeMessage(true))) {
			assertThat(type.call(server.channel(), TestStage.user("alice"), "bad").code())
				.isEqualTo(Code.PERMISSION_DENIED);
			assertThat(this.service.entered).hasValue(0);
		}
	}

	@Test
	void messageWhenStreamHasNoneThenAskedAboutNoBody() {
		try (TestServer server = serve((builder) -> builder.includeMessage(true))) {
			assertThat(CallType.BIDI.call(server.channel(), TestStage.user("alice")).code()).isEqualTo(Code.OK);
			assertThat(this.opa.questions).singleElement()
				.satisfies((question) -> assertThat(question.input().get("parsed_body").isJsonNull()).isTrue());
		}
	}

	@ParameterizedTest
	@EnumSource
	void messageWhenTooLargeThenRefusedWithoutAsking(CallType type) {
		try (TestServer server = serve((builder) -> builder.includeMessage(true).maxMessageSize(100))) {
			assertThat(type.call(server.channel(), TestStage.user("alice"), "x".repeat(200)).code())
				.isEqualTo(Code.RESOURCE_EXHAUSTED);
			assertThat(this.opa.questions).isEmpty();
		}
	}

	@Test
	void messageWhenItHasNoJsonFormThenRefusedWithoutAsking() {
		AuthorizationStage stage = stage(policy(this.opa, (builder) -> builder.includeMessage(true)));
		MethodDescriptor<Any, Any> method = MethodDescriptor.<Any, Any>newBuilder()
			.setType(MethodDescriptor.MethodType.UNARY)
			.setFullMethodName("testing.Anything/Send")
			.setRequestMarshaller(ProtoUtils.marshaller(Any.getDefaultInstance()))
			.setResponseMarshaller(ProtoUtils.marshaller(Any.getDefaultInstance()))
			.build();
		BindableService anything = () -> ServerServiceDefinition.builder("testing.Anything")
			.addMethod(method, ServerCalls.asyncUnaryCall((request, replies) -> {
				this.service.entered.incrementAndGet();
				replies.onNext(request);
				replies.onCompleted();
			}))
			.build();
		try (TestServer server = TestServer.inProcess(anything, List.of(TestStage.authentication(), stage))) {
			Channel channel = ClientInterceptors.intercept(server.channel(),
					MetadataUtils.newAttachHeadersInterceptor(TestStage.user("alice")));
			assertThatExceptionOfType(StatusRuntimeException.class)
				.isThrownBy(() -> ClientCalls.blockingUnaryCall(channel, method, CallOptions.DEFAULT,
						Any.newBuilder().setTypeUrl("type.example/no.Such").build()))
				.satisfies((ex) -> assertThat(ex.getStatus().getCode()).isEqualTo(Code.PERMISSION_DENIED));
			assertThat(this.service.entered).hasValue(0);
			assertThat(this.opa.questions).isEmpty();
		}
	}

	@ParameterizedTest
	@EnumSource
	void callWhenRuleDeniesThenOpaIsNotBothered(CallType type) {
		OpaPolicy policy = policy(this.opa, (builder) -> {
		});
		AuthorizationStage stage = AuthorizationStage.builder()
			.rule("**", "hasRole('TELLER')")
			.policies(List.of(policy))
			.build();
		try (TestServer server = TestServer.inProcess(this.service, List.of(TestStage.authentication(), stage))) {
			assertThat(type.call(server.channel(), TestStage.user("bob"), "x").code())
				.isEqualTo(Code.PERMISSION_DENIED);
			assertThat(this.opa.questions).isEmpty();
			assertThat(type.call(server.channel(), TestStage.user("bob:ROLE_TELLER"), "x").code()).isEqualTo(Code.OK);
			this.opa.policy = (input) -> FakeOpa.FALSE;
			assertThat(type.call(server.channel(), TestStage.user("bob:ROLE_TELLER"), "x").code())
				.isEqualTo(Code.PERMISSION_DENIED);
		}
	}

	@Test
	void callWhenMethodIsNotCoveredThenDefaultDecides() {
		try (TestServer server = serve(
				(builder) -> builder.methods(List.of(MethodPattern.parse("testing.Echo/Unary"))))) {
			assertThat(CallType.UNARY.call(server.channel(), TestStage.user("alice"), "x").code()).isEqualTo(Code.OK);
			assertThat(CallType.BIDI.call(server.channel(), TestStage.user("alice"), "x").code())
				.isEqualTo(Code.PERMISSION_DENIED);
			assertThat(this.opa.questions).hasSize(1);
		}
	}

	@Test
	void startWhenPatternMatchesNothingThenFails() {
		assertThatExceptionOfType(InvalidConfigurationPropertyValueException.class)
			.isThrownBy(() -> serve((builder) -> builder.methods(List.of(MethodPattern.parse("bank.Accounts/*")))))
			.satisfies((ex) -> {
				assertThat(ex.getName()).isEqualTo("grpc.security.authorization.opa.methods[0]");
				assertThat(ex.getReason()).contains("matches no method", "testing.Echo/Unary");
			});
	}

	@Test
	void healthWhenNotSpelledOutThenOpaIsNotAsked() {
		BindableService health = new HealthStatusManager().getHealthService();
		this.opa.policy = (input) -> FakeOpa.FALSE;
		try (TestServer server = TestServer.inProcess(health, List.of(stage(policy(this.opa, (builder) -> {
		}))))) {
			HealthGrpc.newBlockingStub(server.channel()).check(HealthCheckRequest.getDefaultInstance());
			assertThat(this.opa.questions).isEmpty();
		}
		OpaPolicy named = policy(this.opa,
				(builder) -> builder.methods(List.of(MethodPattern.parse("grpc.health.v1.Health/*"))));
		try (TestServer server = TestServer.inProcess(health, List.of(stage(named)))) {
			assertThatExceptionOfType(StatusRuntimeException.class).isThrownBy(
					() -> HealthGrpc.newBlockingStub(server.channel()).check(HealthCheckRequest.getDefaultInstance()))
				.satisfies((ex) -> assertThat(ex.getStatus().getCode()).isEqualTo(Code.UNAUTHENTICATED));
		}
	}

	@ParameterizedTest
	@EnumSource
	void callWhenInShadowThenNeitherRefusedNorHeldUp(CallType type) throws Exception {
		CountDownLatch answered = new CountDownLatch(1);
		this.opa.policy = (input) -> FakeOpa.FALSE;
		OpaPolicy policy = policy(this.opa,
				(builder) -> builder.shadow(true).observers(List.of((outcome, shadow, remembered, elapsed) -> {
					this.answers.add(outcome + " " + shadow);
					answered.countDown();
				})));
		AuthorizationStage stage = AuthorizationStage.builder()
			.rule("**", "authenticated")
			.policies(List.of(policy))
			.build();
		try (TestServer server = TestServer.inProcess(this.service, List.of(TestStage.authentication(), stage),
				this.observer)) {
			assertThat(type.call(server.channel(), TestStage.user("alice"), "x").code()).isEqualTo(Code.OK);
			assertThat(answered.await(10, TimeUnit.SECONDS)).isTrue();
			assertThat(this.answers).containsExactly("DENY true");
			assertThat(this.observer.decided.get(0).call().notes()).containsEntry("opa.shadow_decision", "deny")
				.containsKey("opa.decision_id")
				.doesNotContainKey("opa.outcome");
		}
	}

	@Test
	void callWhenOnlyShadowIsThereThenMethodIsNotCovered() {
		try (TestServer server = serve((builder) -> builder.shadow(true))) {
			assertThat(CallType.UNARY.call(server.channel(), TestStage.user("alice"), "x").code())
				.isEqualTo(Code.PERMISSION_DENIED);
		}
	}

	@Test
	void decisionWhenRememberedThenOpaIsAskedOnceForEachQuestion() {
		try (TestServer server = network((builder) -> builder.cacheTtl(Duration.ofSeconds(10)))) {
			for (int i = 0; i < 3; i++) {
				assertThat(CallType.UNARY.call(server.channel(), TestStage.user("alice"), "x").code())
					.isEqualTo(Code.OK);
			}
			assertThat(this.opa.questions).hasSize(1);
			assertThat(this.answers).containsExactly("ALLOW false false", "ALLOW false true", "ALLOW false true");
			CallType.UNARY.call(server.channel(), TestStage.user("bob"), "x");
			CallType.BIDI.call(server.channel(), TestStage.user("alice"), "x");
			assertThat(this.opa.questions).hasSize(3);
			this.opa.policy = (input) -> FakeOpa.FALSE;
			this.now.updateAndGet((time) -> time.plusSeconds(11));
			assertThat(CallType.UNARY.call(server.channel(), TestStage.user("alice"), "x").code())
				.isEqualTo(Code.PERMISSION_DENIED);
			JsonObject request = this.opa.questions.get(0)
				.input()
				.getAsJsonObject("attributes")
				.getAsJsonObject("request");
			assertThat(request.has("time")).isFalse();
			assertThat(request.getAsJsonObject("http").has("id")).isFalse();
		}
	}

	@ParameterizedTest
	@CsvSource({ "false, false", "true, false", "false, true", "true, true" })
	void explanationWhenAskedThenNothingIsCountedOrRemembered(boolean shadow, boolean messages) {
		this.opa.policy = (input) -> FakeOpa.FALSE;
		OpaPolicy policy = policy(this.opa,
				(builder) -> builder.methods(List.of(MethodPattern.parse("grpc.health.v1.Health/*")))
					.shadow(shadow)
					.includeMessage(messages)
					.cacheTtl(Duration.ofSeconds(10)));
		try (TestServer server = TestServer.inProcess(new HealthStatusManager().getHealthService(),
				List.of(TestStage.authentication(), stage(policy)))) {
			AuthorizationExplainer explainer = new AuthorizationExplainer(server::security);
			for (int i = 0; i < 2; i++) {
				AuthorizationExplanation explanation = explainer.explain(
						HealthGrpc.getCheckMethod().getFullMethodName(),
						CallDescription.user("alice").message(HealthCheckRequest.getDefaultInstance()));
				assertThat(explanation).isNotNull();
				assertThat(explanation.decision()).isEqualTo(shadow ? Decision.ALLOWED : Decision.DENIED);
			}
			assertThat(this.opa.questions).hasSize(shadow ? 0 : 2);
			assertThat(this.answers).isEmpty();
		}
	}

	@Test
	void decisionWhenThereIsNoneThenNotRemembered() {
		this.opa.policy = (input) -> new Answer(200, "{}");
		try (TestServer server = serve((builder) -> builder.cacheTtl(Duration.ofSeconds(10)))) {
			assertThat(CallType.UNARY.call(server.channel(), TestStage.user("alice"), "x").code())
				.isEqualTo(Code.PERMISSION_DENIED);
			this.opa.policy = (input) -> FakeOpa.TRUE;
			assertThat(CallType.UNARY.call(server.channel(), TestStage.user("alice"), "x").code()).isEqualTo(Code.OK);
		}
	}

	@Test
	void decisionWhenManyAskTheSameAtOnceThenOpaIsAskedOnce() throws Exception {
		CountDownLatch release = new CountDownLatch(1);
		CountDownLatch asked = new CountDownLatch(1);
		this.opa.policy = (input) -> {
			asked.countDown();
			await(release);
			return FakeOpa.TRUE;
		};
		CountDownLatch reached = new CountDownLatch(20);
		CallStage counting = TestStage.check(SecurityStage.PRINCIPAL_LIMITS, (call) -> {
			reached.countDown();
			return Verdict.proceed();
		});
		OpaPolicy policy = policy(this.opa,
				(builder) -> builder.cacheTtl(Duration.ofSeconds(10)).timeout(Duration.ofSeconds(20)));
		try (TestServer server = TestServer.inProcess(this.service,
				List.of(TestStage.authentication(), counting, stage(policy)))) {
			List<CompletableFuture<Code>> calls = new ArrayList<>();
			for (int i = 0; i < 20; i++) {
				calls.add(CompletableFuture.supplyAsync(
						() -> CallType.UNARY.call(server.channel(), TestStage.user("alice"), "x").code(),
						this.executor));
			}
			await(asked);
			await(reached);
			release.countDown();

			for (CompletableFuture<Code> call : calls) {
				assertThat(call.get(20, TimeUnit.SECONDS)).isEqualTo(Code.OK);
			}
			assertThat(this.opa.questions).hasSize(1);
		}
	}

	@Test
	void callWhenTooMuchIsAskedAtOnceThenUnavailable() throws Exception {
		CountDownLatch release = new CountDownLatch(1);
		CountDownLatch asked = new CountDownLatch(2);
		this.opa.policy = (input) -> {
			asked.countDown();
			await(release);
			return FakeOpa.TRUE;
		};
		try (TestServer server = serve((builder) -> builder.maxConcurrent(2).timeout(Duration.ofSeconds(20)))) {
			List<CompletableFuture<Code>> calls = new ArrayList<>();
			for (int i = 0; i < 2; i++) {
				calls.add(CompletableFuture.supplyAsync(
						() -> CallType.UNARY.call(server.channel(), TestStage.user("alice"), "x").code(),
						this.executor));
			}
			await(asked);

			assertThat(CallType.UNARY.call(server.channel(), TestStage.user("alice"), "x").code())
				.isEqualTo(Code.UNAVAILABLE);
			release.countDown();
			for (CompletableFuture<Code> call : calls) {
				assertThat(call.get(20, TimeUnit.SECONDS)).isEqualTo(Code.OK);
			}
		}
	}

	/** One thread carries all calls: were it to wait, nothing could end in time. */
	@Test
	void callWhenOpaHangsUnderLoadThenNoThreadWaitsAndItRecovers(CapturedOutput output) throws Exception {
		this.opa.policy = (input) -> FakeOpa.SILENCE;
		Set<String> threads = ConcurrentHashMap.newKeySet();
		CallStage watching = TestStage.check(SecurityStage.PRINCIPAL_LIMITS, (call) -> {
			threads.add(Thread.currentThread().getName());
			return Verdict.proceed();
		});
		OpaPolicy policy = policy(this.opa, (builder) -> builder.timeout(Duration.ofMillis(300)));
		ExecutorService single = Executors.newSingleThreadExecutor((task) -> new Thread(task, "the-one"));
		Consumer<GrpcServerSecurity.Builder> security = (builder) -> builder
			.stages(List.of(TestStage.authentication(), watching, stage(policy)));
		try (TestServer server = TestServer.network(this.service, security, (builder) -> builder.executor(single))) {
			long start = System.nanoTime();
			List<CompletableFuture<Code>> calls = new ArrayList<>();
			for (int i = 0; i < 40; i++) {
				CallType type = CallType.values()[i % 4];
				calls.add(CompletableFuture.supplyAsync(
						() -> type.call(server.channel(), TestStage.user("alice"), "x").code(), this.executor));
			}
			for (CompletableFuture<Code> call : calls) {
				assertThat(call.get(20, TimeUnit.SECONDS)).isEqualTo(Code.UNAVAILABLE);
			}
			// One after the other they would have taken twelve seconds
			assertThat(Duration.ofNanos(System.nanoTime() - start)).isLessThan(Duration.ofSeconds(10));
			assertThat(threads).containsExactly("the-one");
			this.now.updateAndGet((time) -> time.plusSeconds(1));
			CallType.UNARY.call(server.channel(), TestStage.user("alice"), "x");
			assertThat(output).contains("is not asked for now", "it did not answer in time");
			int asked = this.opa.questions.size();
			assertThat(CallType.UNARY.call(server.channel(), TestStage.user("alice"), "x").code())
				.isEqualTo(Code.UNAVAILABLE);
			assertThat(this.opa.questions).hasSize(asked);

			this.opa.policy = (input) -> FakeOpa.TRUE;
			this.now.updateAndGet((time) -> time.plusSeconds(2));
			assertThat(CallType.UNARY.call(server.channel(), TestStage.user("alice"), "x").code()).isEqualTo(Code.OK);
			assertThat(output).contains("answers again");
			assertThat(this.service.entered).hasValue(1);
		}
		finally {
			single.shutdownNow();
		}
	}

	@Test
	void callWhenOpaIsKilledThenUnavailableUntilItIsBack() {
		FakeOpa first = new FakeOpa();
		int port = first.port();
		try (TestServer server = TestServer.inProcess(this.service,
				List.of(TestStage.authentication(), stage(policy(first, (builder) -> {
				}))))) {
			assertThat(CallType.UNARY.call(server.channel(), TestStage.user("alice"), "x").code()).isEqualTo(Code.OK);
			first.close();
			for (CallType type : CallType.values()) {
				assertThat(type.call(server.channel(), TestStage.user("alice"), "x").code())
					.isEqualTo(Code.UNAVAILABLE);
			}
			assertThat(this.service.entered).hasValue(1);
			try (FakeOpa second = new FakeOpa(port)) {
				for (CallType type : CallType.values()) {
					assertThat(type.call(server.channel(), TestStage.user("alice"), "x").code()).isEqualTo(Code.OK);
				}
			}
		}
	}

	@Test
	void callWhenPolicyFailsThenOthersAreStillAskedAbout() {
		AtomicInteger count = new AtomicInteger();
		this.opa.policy = (input) -> {
			count.incrementAndGet();
			return new Answer(500, "{\"code\":\"internal_error\"}");
		};
		try (TestServer server = serve((builder) -> {
		})) {
			for (int i = 0; i < 10; i++) {
				this.now.updateAndGet((time) -> time.plusSeconds(1));
				CallType.UNARY.call(server.channel(), TestStage.user("mallory"), "x");
			}
			assertThat(count).hasValue(10);
		}
	}

	private static JsonObject headers(Question question) {
		return question.input()
			.getAsJsonObject("attributes")
			.getAsJsonObject("request")
			.getAsJsonObject("http")
			.getAsJsonObject("headers");
	}

	private static Metadata.Key<String> key(String name) {
		return Metadata.Key.of(name, Metadata.ASCII_STRING_MARSHALLER);
	}

	private static void await(CountDownLatch latch) {
		try {
			assertThat(latch.await(20, TimeUnit.SECONDS)).isTrue();
		}
		catch (InterruptedException ex) {
			throw new AssertionError(ex);
		}
	}

	private OpaPolicy policy(FakeOpa opa, Consumer<OpaPolicy.Builder> customizer) {
		OpaPolicy.Builder builder = OpaPolicy.builder(opa.uri(), this.executor)
			.timeout(Duration.ofSeconds(2))
			.clock(this.now::get)
			.observers(List.of(this::answered));
		customizer.accept(builder);
		return builder.build();
	}

	private synchronized void answered(Outcome outcome, boolean shadow, boolean remembered, Duration elapsed) {
		assertThat(elapsed.isNegative()).isFalse();
		this.answers.add(outcome + " " + shadow + " " + remembered);
	}

	private static AuthorizationStage stage(OpaPolicy policy) {
		return AuthorizationStage.builder().policies(List.of(policy)).build();
	}

	private TestServer serve(Consumer<OpaPolicy.Builder> customizer) {
		return TestServer.inProcess(this.service,
				List.of(TestStage.authentication(), stage(policy(this.opa, customizer))), this.observer);
	}

	private TestServer network(Consumer<OpaPolicy.Builder> customizer) {
		return TestServer.network(this.service,
				List.of(TestStage.authentication(), stage(policy(this.opa, customizer))), this.observer);
	}

}
