package io.github.grpcsecurity.authorization;

import java.util.List;
import java.util.function.Consumer;

import io.github.grpcsecurity.testing.CallType;
import io.github.grpcsecurity.testing.EchoService;
import io.github.grpcsecurity.testing.TestServer;
import io.grpc.BindableService;
import io.grpc.CallOptions;
import io.grpc.ClientInterceptors;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.Status.Code;
import io.grpc.StatusRuntimeException;
import io.grpc.health.v1.HealthCheckRequest;
import io.grpc.health.v1.HealthGrpc;
import io.grpc.protobuf.services.HealthStatusManager;
import io.grpc.protobuf.services.ProtoReflectionServiceV1;
import io.grpc.reflection.v1.ServerReflectionGrpc;
import io.grpc.stub.ClientCalls;
import io.grpc.stub.MetadataUtils;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;

import org.springframework.boot.context.properties.source.InvalidConfigurationPropertyValueException;
import org.springframework.boot.test.system.CapturedOutput;
import org.springframework.boot.test.system.OutputCaptureExtension;
import org.springframework.context.support.StaticApplicationContext;
import org.springframework.security.access.hierarchicalroles.RoleHierarchyImpl;
import org.springframework.security.core.Authentication;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;

/**
 * Tests for rules and defaults, through the pipeline.
 */
@ExtendWith(OutputCaptureExtension.class)
class AuthorizationRuleTests {

	@ParameterizedTest
	@EnumSource
	void callWhenNothingHasAnOpinionThenDenied(CallType type) {
		EchoService service = new EchoService();
		try (TestServer server = serve(service, (builder) -> {
		})) {
			assertThat(type.call(server.channel()).code()).isEqualTo(Code.UNAUTHENTICATED);
			assertThat(code(server, type, "ROLE_ADMIN")).isEqualTo(Code.PERMISSION_DENIED);
			assertThat(service.entered).hasValue(0);
		}
	}

	@Test
	void startWhenMethodsAreUncoveredThenNamesThemInOneWarning(CapturedOutput output) {
		try (TestServer server = serve(new EchoService(), (builder) -> builder.rule("testing.Echo/Unary", "permit"))) {
			server.security().refresh();

			assertThat(output.getOut().lines().filter((line) -> line.contains("No rule and no annotation")))
				.singleElement()
				.asString()
				.contains("testing.Echo/ServerStream", "testing.Echo/ClientStream", "testing.Echo/Bidi",
						"every call to them is refused")
				.doesNotContain("testing.Echo/Unary");
		}
	}

	@ParameterizedTest
	@EnumSource
	void callWhenDefaultIsAuthenticatedThenKnownCallersMay(CallType type) {
		try (TestServer server = serve(new EchoService(), (builder) -> builder.defaultAccess(Access.AUTHENTICATED))) {
			assertThat(type.call(server.channel()).code()).isEqualTo(Code.UNAUTHENTICATED);
			assertThat(code(server, type, "ROLE_ANY")).isEqualTo(Code.OK);
		}
	}

	@ParameterizedTest
	@CsvSource({ "permit,OK,OK,OK", "deny,UNAUTHENTICATED,PERMISSION_DENIED,PERMISSION_DENIED",
			"authenticated,UNAUTHENTICATED,OK,OK", "hasAuthority('SCOPE_read'),UNAUTHENTICATED,PERMISSION_DENIED,OK" })
	void callWhenRuleMatchesThenItsAccessCounts(String access, Code anonymous, Code guest, Code reader) {
		for (CallType type : CallType.values()) {
			try (TestServer server = serve(new EchoService(), (builder) -> builder.rule("testing.*/*", access))) {
				assertThat(type.call(server.channel()).code()).isEqualTo(anonymous);
				assertThat(code(server, type, "ROLE_GUEST")).isEqualTo(guest);
				assertThat(code(server, type, "SCOPE_read")).isEqualTo(reader);
			}
		}
	}

	@Test
	void callWhenSeveralRulesMatchThenFirstCounts(CapturedOutput output) {
		try (TestServer server = serve(new EchoService(),
				(builder) -> builder.rule("testing.Echo/Unary", "deny")
					.rule("**", "permit")
					.rule("testing.Echo/Bidi", "deny"))) {
			assertThat(CallType.UNARY.call(server.channel()).code()).isEqualTo(Code.UNAUTHENTICATED);
			assertThat(CallType.BIDI.call(server.channel()).code()).isEqualTo(Code.OK);
			assertThat(output).contains("grpc.security.authorization.rules[2] never applies");
		}
	}

	@Test
	void callWhenRulePermitsAnnotatedMethodThenAnnotationHoldsAllTheSame() {
		try (TestServer server = serve(new Services.Annotated(), (builder) -> builder.rule("**", "permit"))) {
			assertThat(CallType.UNARY.call(server.channel()).code()).isEqualTo(Code.UNAUTHENTICATED);
			assertThat(code(server, CallType.UNARY, "ROLE_GUEST")).isEqualTo(Code.PERMISSION_DENIED);
			assertThat(code(server, CallType.UNARY, "ROLE_TELLER")).isEqualTo(Code.OK);
		}
	}

	@Test
	void callWhenRuleDeniesAnnotatedMethodThenDenied() {
		try (TestServer server = serve(new Services.OtherAnnotations(), (builder) -> builder.rule("**", "deny"))) {
			assertThat(code(server, CallType.UNARY, "ROLE_TELLER")).isEqualTo(Code.PERMISSION_DENIED);
			assertThat(code(server, CallType.CLIENT_STREAM, "ROLE_TELLER")).isEqualTo(Code.PERMISSION_DENIED);
		}
	}

	@Test
	void callWhenExpressionUsesHierarchyAndBeansThenTheyAreHonoured() {
		StaticApplicationContext context = new StaticApplicationContext();
		context.getBeanFactory().registerSingleton("bank", new Bank());
		try (TestServer server = serve(new EchoService(),
				(builder) -> builder.rule("testing.Echo/Unary", "@bank.open(authentication)")
					.rule("testing.Echo/Bidi", "hasRole('TELLER')")
					.roleHierarchy(RoleHierarchyImpl.fromHierarchy("ROLE_MANAGER > ROLE_TELLER"))
					.applicationContext(context))) {
			assertThat(code(server, CallType.UNARY, "ROLE_ANY")).isEqualTo(Code.OK);
			assertThat(CallType.UNARY.call(server.channel()).code()).isEqualTo(Code.UNAUTHENTICATED);
			assertThat(code(server, CallType.BIDI, "ROLE_MANAGER")).isEqualTo(Code.OK);
			assertThat(code(server, CallType.BIDI, "ROLE_OTHER")).isEqualTo(Code.PERMISSION_DENIED);
		}
	}

	@Test
	void callWhenExpressionFailsThenDenied() {
		try (TestServer server = serve(new EchoService(),
				(builder) -> builder.rule("**", "authentication.details.missing == null"))) {
			assertThat(code(server, CallType.UNARY, "ROLE_ANY")).isEqualTo(Code.PERMISSION_DENIED);
		}
	}

	@Test
	void startWhenPatternMatchesNoMethodThenFails() {
		assertThatExceptionOfType(InvalidConfigurationPropertyValueException.class)
			.isThrownBy(() -> serve(new EchoService(),
					(builder) -> builder.rules(List.of(new AuthorizationRule(List.of("**"), "deny"),
							new AuthorizationRule(List.of("testing.Echo/*", "testing.Eco/*"), "permit")))))
			.satisfies((ex) -> {
				assertThat(ex.getName()).isEqualTo("grpc.security.authorization.rules[1].methods[1]");
				assertThat(ex.getReason()).contains("It matches no method of this server", "testing.Echo/Unary");
			});
	}

	@ParameterizedTest
	@CsvSource(delimiter = '|',
			value = { "hasRole('A'|access|not an expression either", "permitted|access|refers to permitted",
					"hasRoll('A')|access|calls hasRoll", "@bank.open()|access|refers to @bank",
					"#request.amount > 1|access|refers to #request", "''|access|A rule needs an access",
					"Permit|access|refers to Permit" })
	void buildWhenAccessIsBadThenFails(String access, String property, String reason) {
		assertThatExceptionOfType(InvalidConfigurationPropertyValueException.class)
			.isThrownBy(() -> AuthorizationStage.builder().rule("**", "deny").rule("**", access).build())
			.satisfies((ex) -> {
				assertThat(ex.getName()).isEqualTo("grpc.security.authorization.rules[1]." + property);
				assertThat(ex.getReason()).contains(reason);
			});
	}

	@Test
	void buildWhenPatternIsBadThenFails() {
		assertThatExceptionOfType(InvalidConfigurationPropertyValueException.class)
			.isThrownBy(() -> AuthorizationStage.builder().rule("/testing.Echo/Unary", "deny").build())
			.satisfies((ex) -> assertThat(ex.getName()).isEqualTo("grpc.security.authorization.rules[0].methods[0]"));
		assertThatExceptionOfType(InvalidConfigurationPropertyValueException.class)
			.isThrownBy(
					() -> AuthorizationStage.builder().rules(List.of(new AuthorizationRule(List.of(), "deny"))).build())
			.satisfies((ex) -> assertThat(ex.getName()).isEqualTo("grpc.security.authorization.rules[0].methods"));
	}

	@Test
	void callWhenHealthThenOpenUnlessSetOrNamedOtherwise() {
		assertThat(health((builder) -> builder.rule("**", "authenticated"), Caller.anonymous())).isEqualTo(Code.OK);
		assertThat(health((builder) -> builder.healthAccess(Access.AUTHENTICATED), Caller.anonymous()))
			.isEqualTo(Code.UNAUTHENTICATED);
		assertThat(health((builder) -> builder.healthAccess(Access.AUTHENTICATED), Caller.with("A")))
			.isEqualTo(Code.OK);
		assertThat(health((builder) -> builder.healthAccess(Access.DENY), Caller.with("A")))
			.isEqualTo(Code.PERMISSION_DENIED);
		assertThat(health((builder) -> builder.rule("grpc.health.v1.Health/*", "hasRole('PROBE')"), Caller.anonymous()))
			.isEqualTo(Code.UNAUTHENTICATED);
	}

	private static Code health(Consumer<AuthorizationStage.Builder> customizer, Metadata headers) {
		try (TestServer server = serve(new HealthStatusManager().getHealthService(), customizer)) {
			HealthGrpc.HealthBlockingStub stub = HealthGrpc.newBlockingStub(
					ClientInterceptors.intercept(server.channel(), MetadataUtils.newAttachHeadersInterceptor(headers)));
			stub.check(HealthCheckRequest.getDefaultInstance());
			return Code.OK;
		}
		catch (StatusRuntimeException ex) {
			return ex.getStatus().getCode();
		}
	}

	@Test
	void callWhenReflectionIsDisabledThenSameBytesAsForUnknownMethod() {
		for (Metadata headers : List.of(Caller.anonymous(), Caller.with("ROLE_ADMIN"))) {
			try (TestServer server = network(ProtoReflectionServiceV1.newInstance(), (builder) -> {
			})) {
				StatusRuntimeException reflection = raw(server, "grpc.reflection.v1.ServerReflection", headers);
				StatusRuntimeException unknown = raw(server, "grpc.reflection.v2.ServerReflection", headers);

				assertThat(reflection.getStatus().toString()).isEqualTo(unknown.getStatus().toString());
				assertThat(reflection.getTrailers().toString()).isEqualTo(unknown.getTrailers().toString());
			}
		}
	}

	@Test
	void callWhenReflectionIsDisabledThenUnimplementedForKnownCallers(CapturedOutput output) {
		try (TestServer server = serve(ProtoReflectionServiceV1.newInstance(), (builder) -> {
		})) {
			assertThat(raw(server, ServerReflectionGrpc.SERVICE_NAME, Caller.with("A")).getStatus().getCode())
				.isEqualTo(Code.UNIMPLEMENTED);
			assertThat(raw(server, ServerReflectionGrpc.SERVICE_NAME, Caller.anonymous()).getStatus().getCode())
				.isEqualTo(Code.UNAUTHENTICATED);
			assertThat(output).doesNotContain("No rule and no annotation", "reflection is open");
		}
	}

	@Test
	void callWhenReflectionIsOpenThenWarnsAndAnswers(CapturedOutput output) {
		try (TestServer server = serve(ProtoReflectionServiceV1.newInstance(),
				(builder) -> builder.reflectionAccess(Access.AUTHENTICATED))) {
			assertThat(raw(server, ServerReflectionGrpc.SERVICE_NAME, Caller.anonymous()).getStatus().getCode())
				.isEqualTo(Code.UNAUTHENTICATED);
			// Empty bytes are a reflection request without a question
			assertThat(raw(server, ServerReflectionGrpc.SERVICE_NAME, Caller.with("A"))).isNull();
			assertThat(output).contains("Server reflection is open (grpc.security.reflection.access=authenticated)");
		}
	}

	private static StatusRuntimeException raw(TestServer server, String service, Metadata headers) {
		MethodDescriptor<byte[], byte[]> method = MethodDescriptor.<byte[], byte[]>newBuilder()
			.setType(MethodDescriptor.MethodType.UNARY)
			.setFullMethodName(service + "/ServerReflectionInfo")
			.setRequestMarshaller(new Bytes())
			.setResponseMarshaller(new Bytes())
			.build();
		try {
			ClientCalls.blockingUnaryCall(
					ClientInterceptors.intercept(server.channel(), MetadataUtils.newAttachHeadersInterceptor(headers)),
					method, CallOptions.DEFAULT, new byte[0]);
			return null;
		}
		catch (StatusRuntimeException ex) {
			return ex;
		}
	}

	@Test
	void planWhenCompiledThenSaysWhatDecides() {
		try (TestServer server = serve(new Services.Annotated(),
				(builder) -> builder.rule("testing.Echo/*", "authenticated"))) {
			assertThat(server.security().plans().get(0).details().get("authorization").toString())
				.contains("authenticated by rule 0 for testing.Echo/*", "@PreAuthorize(\"hasRole('TELLER')\")");
		}
	}

	private static Code code(TestServer server, CallType type, String... authorities) {
		return type.call(server.channel(), Caller.with(authorities), "hello").code();
	}

	private static TestServer serve(BindableService service, Consumer<AuthorizationStage.Builder> customizer) {
		AuthorizationStage.Builder builder = AuthorizationStage.builder();
		customizer.accept(builder);
		return TestServer.inProcess(service, List.of(Caller.authentication(), builder.build()));
	}

	private static TestServer network(BindableService service, Consumer<AuthorizationStage.Builder> customizer) {
		AuthorizationStage.Builder builder = AuthorizationStage.builder();
		customizer.accept(builder);
		return TestServer.network(service, List.of(Caller.authentication(), builder.build()));
	}

	static class Bank {

		public boolean open(Authentication caller) {
			return caller.getName().equals("alice");
		}

	}

	private static final class Bytes implements MethodDescriptor.Marshaller<byte[]> {

		@Override
		public java.io.InputStream stream(byte[] value) {
			return new java.io.ByteArrayInputStream(value);
		}

		@Override
		public byte[] parse(java.io.InputStream stream) {
			return new byte[0];
		}

	}

}
