package io.github.grpcsecurity.authorization;

import java.util.List;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.Consumer;

import io.github.grpcsecurity.testing.CallType;
import io.github.grpcsecurity.testing.EchoGrpc;
import io.github.grpcsecurity.testing.EchoReply;
import io.github.grpcsecurity.testing.EchoRequest;
import io.github.grpcsecurity.testing.EchoService;
import io.github.grpcsecurity.testing.TestServer;
import io.grpc.BindableService;
import io.grpc.Metadata;
import io.grpc.ServerServiceDefinition;
import io.grpc.Status.Code;
import io.grpc.stub.ServerCalls;
import io.grpc.stub.StreamObserver;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

import org.springframework.boot.test.system.CapturedOutput;
import org.springframework.boot.test.system.OutputCaptureExtension;
import org.springframework.aop.framework.ProxyFactory;
import org.springframework.context.support.StaticApplicationContext;
import org.springframework.security.access.PermissionEvaluator;
import org.springframework.security.access.expression.method.DefaultMethodSecurityExpressionHandler;
import org.springframework.security.access.hierarchicalroles.RoleHierarchyImpl;
import org.springframework.security.core.parameters.P;
import org.springframework.security.access.prepost.PostAuthorize;
import org.springframework.security.access.prepost.PreAuthorize;
import org.springframework.security.access.prepost.PreFilter;
import org.springframework.security.authorization.AuthorizationDecision;
import org.springframework.security.authorization.AuthorizationResult;
import org.springframework.security.core.Authentication;
import org.springframework.security.core.context.SecurityContextHolder;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;

/**
 * Tests for annotations on services, through the pipeline.
 */
@ExtendWith(OutputCaptureExtension.class)
class AnnotatedServiceTests {

	@ParameterizedTest
	@EnumSource
	void callWhenCallerIsAnonymousThenUnauthenticatedAndHandlerHasRunNothing(CallType type) {
		EchoService service = new Services.Annotated();
		try (TestServer server = serve(service)) {
			CallType.Outcome outcome = type.call(server.channel());

			assertThat(outcome.code()).isEqualTo(Code.UNAUTHENTICATED);
			assertThat(outcome.status().getDescription()).isEqualTo("authentication failed");
			assertThat(outcome.replies()).isEmpty();
			assertThat(service.entered).hasValue(0);
		}
	}

	@ParameterizedTest
	@EnumSource
	void callWhenRoleIsMissingThenAccessDeniedAndHandlerHasRunNothing(CallType type) {
		EchoService service = new Services.Annotated();
		try (TestServer server = serve(service)) {
			CallType.Outcome outcome = type.call(server.channel(), Caller.with("ROLE_GUEST"), "hello");

			assertThat(outcome.code()).isEqualTo(Code.PERMISSION_DENIED);
			assertThat(outcome.status().getDescription()).isEqualTo("access denied");
			assertThat(outcome.replies()).isEmpty();
			assertThat(service.entered).hasValue(0);
		}
	}

	@ParameterizedTest
	@EnumSource
	void callWhenRoleIsPresentThenHandlerAnswers(CallType type) {
		EchoService service = new Services.Annotated();
		try (TestServer server = serve(service)) {
			CallType.Outcome outcome = type.call(server.channel(), Caller.with("ROLE_TELLER"), "hello");

			assertThat(outcome.code()).isEqualTo(Code.OK);
			assertThat(service.entered).hasValue(1);
		}
	}

	@Test
	void callWhenServiceIsBehindJdkProxyThenAnnotationHolds() {
		ProxyFactory factory = new ProxyFactory(new Services.InterfaceBased());
		factory.setInterfaces(Services.EchoOperations.class);
		BindableService proxy = (BindableService) factory.getProxy();

		assertThat(proxy).isNotInstanceOf(Services.InterfaceBased.class);
		assertOnlyTellersMay(proxy, CallType.UNARY);
	}

	@Test
	void callWhenServiceIsBehindSeveralProxiesThenAnnotationHolds() {
		ProxyFactory inner = new ProxyFactory(new Services.InterfaceBased());
		ProxyFactory outer = new ProxyFactory(inner.getProxy());
		outer.setProxyTargetClass(false);

		assertOnlyTellersMay((BindableService) outer.getProxy(), CallType.UNARY);
	}

	@Test
	void callWhenServiceIsBehindClassProxyThenAnnotationHolds() {
		ProxyFactory factory = new ProxyFactory(new Services.Annotated());
		factory.setProxyTargetClass(true);

		assertOnlyTellersMay((BindableService) factory.getProxy(), CallType.UNARY);
	}

	@Test
	void callWhenMethodIsFinalThenAnnotationHolds() {
		assertOnlyTellersMay(new Services.FinalMethod(), CallType.UNARY);
	}

	@Test
	void callWhenBindServiceIsWrittenByHandThenAnnotationHolds() {
		assertOnlyTellersMay(new Services.HandWritten(), CallType.UNARY);
	}

	@Test
	void callWhenServiceWrittenByHandHasNoSuchMethodThenAnnotationOfClassHolds() {
		assertOnlyTellersMay(new Services.HandWrittenWithClassAnnotation(), CallType.UNARY);
	}

	@Test
	void serveWhenHandWrittenServiceBindsAnotherMethodThanAnnotatedThenDoesNotStart() {
		for (BindableService service : List.of(new Services.HandWrittenWithSubstitute(),
				new Services.HandWrittenWithPrivate())) {
			assertThatExceptionOfType(UnenforceableAnnotationException.class).isThrownBy(() -> serve(service))
				.withMessageContaining("but no RPC is known to run it");
		}
	}

	@Test
	void serveWhenServiceBindsMethodsOfAnotherClassThenLogSaysThatOnlyRulesCount(CapturedOutput output) {
		serve(new Services.Facade()).close();

		assertThat(output.getOut()).contains("annotations on another class do not count, only rules do");
	}

	@Test
	void startWhenAnnotatedMethodBelongsToNoRpcThenFails() {
		assertThatExceptionOfType(UnenforceableAnnotationException.class)
			.isThrownBy(() -> serve(new Services.HandWrittenWithLostAnnotation()))
			.withMessageContaining("HandWrittenWithLostAnnotation.answer(EchoRequest, StreamObserver<EchoReply>)")
			.withMessageContaining("testing.Echo/Unary")
			.satisfies((ex) -> assertThat(ex.action()).contains("Name the method unary"));
	}

	@ParameterizedTest
	@EnumSource(names = "UNARY", mode = EnumSource.Mode.EXCLUDE)
	void callWhenAnnotationIsOnClassThenHoldsForInheritedMethods(CallType type) {
		assertOnlyTellersMay(new Services.ClassLevel(), type);
	}

	@Test
	void callWhenAnnotationIsOnMethodAndClassThenThatOfMethodHolds() {
		try (TestServer server = serve(new Services.ClassLevel())) {
			assertThat(code(server, CallType.UNARY, "ROLE_TELLER")).isEqualTo(Code.PERMISSION_DENIED);
			assertThat(code(server, CallType.UNARY, "ROLE_MANAGER")).isEqualTo(Code.OK);
		}
	}

	@ParameterizedTest
	@EnumSource
	void callWhenAnnotationIsOnOverriddenMethodThenHolds(CallType type) {
		assertOnlyTellersMay(new Services.InheritsMethodAnnotations(), type);
	}

	@Test
	void callWhenClassesOfServiceAreAnnotatedThenThatOfServiceCounts() {
		@PreAuthorize("hasRole('GUEST')")
		class Base extends EchoService {

			@Override
			public void unary(EchoRequest request, StreamObserver<EchoReply> replies) {
				super.unary(request, replies);
			}

		}
		@PreAuthorize("hasRole('TELLER')")
		class Service extends Base {

		}

		assertOnlyTellersMay(new Service(), CallType.UNARY);
		assertOnlyTellersMay(new Service(), CallType.BIDI);
	}

	@Test
	void callWhenAnnotationIsOnInterfaceThenHolds() {
		interface Guarded extends BindableService {

			@PreAuthorize("hasRole('TELLER')")
			void unary(EchoRequest request, StreamObserver<EchoReply> replies);

		}
		class Service extends EchoService implements Guarded {

		}

		assertOnlyTellersMay(new Service(), CallType.UNARY);
	}

	@Test
	void callWhenMetaAnnotationHasPlaceholderThenItIsFilledIn() {
		try (TestServer server = serve(new Services.Template())) {
			assertThat(code(server, CallType.UNARY, "ROLE_TELLER")).isEqualTo(Code.OK);
			assertThat(code(server, CallType.UNARY, "ROLE_AUDITOR")).isEqualTo(Code.PERMISSION_DENIED);
			assertThat(code(server, CallType.BIDI, "ROLE_AUDITOR")).isEqualTo(Code.OK);
			assertThat(code(server, CallType.BIDI, "ROLE_TELLER")).isEqualTo(Code.PERMISSION_DENIED);
		}
	}

	@Test
	void callWhenSecuredOrJsr250AnnotationsThenTheyHold() {
		try (TestServer server = serve(new Services.OtherAnnotations())) {
			for (CallType type : List.of(CallType.UNARY, CallType.SERVER_STREAM)) {
				assertThat(type.call(server.channel()).code()).isEqualTo(Code.UNAUTHENTICATED);
				assertThat(code(server, type, "ROLE_GUEST")).isEqualTo(Code.PERMISSION_DENIED);
				assertThat(code(server, type, "ROLE_TELLER")).isEqualTo(Code.OK);
			}
			assertThat(CallType.CLIENT_STREAM.call(server.channel()).code()).isEqualTo(Code.OK);
			assertThat(CallType.BIDI.call(server.channel()).code()).isEqualTo(Code.UNAUTHENTICATED);
			assertThat(code(server, CallType.BIDI, "ROLE_TELLER")).isEqualTo(Code.PERMISSION_DENIED);
		}
	}

	@Test
	void callWhenTwoKindsOfAnnotationsThenBothMustAllow() {
		try (TestServer server = serve(new Services.TwoKinds())) {
			assertThat(code(server, CallType.UNARY, "ROLE_TELLER")).isEqualTo(Code.PERMISSION_DENIED);
			assertThat(code(server, CallType.UNARY, "SCOPE_write")).isEqualTo(Code.PERMISSION_DENIED);
			assertThat(code(server, CallType.UNARY, "SCOPE_write", "ROLE_TELLER")).isEqualTo(Code.OK);
		}
	}

	@Test
	void callWhenRolesFormHierarchyThenItIsHonoured() {
		Consumer<AuthorizationStage.Builder> hierarchy = (builder) -> builder
			.roleHierarchy(RoleHierarchyImpl.fromHierarchy("ROLE_MANAGER > ROLE_TELLER"));
		try (TestServer server = serve(new Services.Annotated(), hierarchy)) {
			assertThat(code(server, CallType.UNARY, "ROLE_MANAGER")).isEqualTo(Code.OK);
		}
		try (TestServer server = serve(new Services.OtherAnnotations(), hierarchy)) {
			assertThat(code(server, CallType.UNARY, "ROLE_MANAGER")).isEqualTo(Code.OK);
			assertThat(code(server, CallType.SERVER_STREAM, "ROLE_MANAGER")).isEqualTo(Code.OK);
		}
	}

	@Test
	void callWhenRolePrefixIsSetThenItIsHonoured() {
		Consumer<AuthorizationStage.Builder> prefix = (builder) -> builder.rolePrefix("R-");
		try (TestServer server = serve(new Services.Annotated(), prefix)) {
			assertThat(code(server, CallType.UNARY, "R-TELLER")).isEqualTo(Code.OK);
			assertThat(code(server, CallType.UNARY, "ROLE_TELLER")).isEqualTo(Code.PERMISSION_DENIED);
		}
		try (TestServer server = serve(new Services.OtherAnnotations(), prefix)) {
			assertThat(code(server, CallType.SERVER_STREAM, "R-TELLER")).isEqualTo(Code.OK);
		}
	}

	@Test
	void callWhenExpressionAsksBeanThenBeanDecides() {
		class Service extends EchoService {

			@Override
			@PreAuthorize("@bank.open(authentication, #request.text)")
			public void unary(EchoRequest request, StreamObserver<EchoReply> replies) {
				super.unary(request, replies);
			}

			@Override
			@PreAuthorize("@bank.decide(#root)")
			public void serverStream(EchoRequest request, StreamObserver<EchoReply> replies) {
				super.serverStream(request, replies);
			}

		}
		StaticApplicationContext context = new StaticApplicationContext();
		context.getBeanFactory().registerSingleton("bank", new Bank());
		try (TestServer server = serve(new Service(), (builder) -> builder.applicationContext(context))) {
			assertThat(call(server, CallType.UNARY, "hello", "ROLE_A")).isEqualTo(Code.OK);
			assertThat(call(server, CallType.UNARY, "closed", "ROLE_A")).isEqualTo(Code.PERMISSION_DENIED);
			assertThat(call(server, CallType.SERVER_STREAM, "hello", "ROLE_A")).isEqualTo(Code.OK);
			assertThat(CallType.SERVER_STREAM.call(server.channel()).code()).isEqualTo(Code.UNAUTHENTICATED);
		}
	}

	@Test
	void callWhenExpressionAsksPermissionEvaluatorThenItDecides() {
		class Service extends EchoService {

			@Override
			@PreAuthorize("hasPermission(#request, 'send')")
			public void unary(EchoRequest request, StreamObserver<EchoReply> replies) {
				super.unary(request, replies);
			}

		}
		PermissionEvaluator evaluator = new PermissionEvaluator() {
			@Override
			public boolean hasPermission(Authentication authentication, Object target, Object permission) {
				return target instanceof EchoRequest request && request.getText().equals(permission);
			}

			@Override
			public boolean hasPermission(Authentication authentication, java.io.Serializable id, String type,
					Object permission) {
				return false;
			}
		};
		try (TestServer server = serve(new Service(), (builder) -> builder.permissionEvaluator(evaluator))) {
			assertThat(call(server, CallType.UNARY, "send", "ROLE_A")).isEqualTo(Code.OK);
			assertThat(call(server, CallType.UNARY, "other", "ROLE_A")).isEqualTo(Code.PERMISSION_DENIED);
		}
	}

	@Test
	void callWhenExpressionIsEvaluatedThenSecurityContextHoldsTheCaller() {
		class Service extends EchoService {

			@Override
			@PreAuthorize("T(org.springframework.security.core.context.SecurityContextHolder).context.authentication"
					+ ".name == 'alice'")
			public void unary(EchoRequest request, StreamObserver<EchoReply> replies) {
				super.unary(request, replies);
			}

		}
		try (TestServer server = serve(new Service())) {
			assertThat(code(server, CallType.UNARY, "ROLE_A")).isEqualTo(Code.OK);
			assertThat(CallType.UNARY.call(server.channel()).code()).isEqualTo(Code.UNAUTHENTICATED);
		}
		assertThat(SecurityContextHolder.getContext().getAuthentication()).isNull();
	}

	@ParameterizedTest
	@EnumSource
	void callWhenFirstMessageIsForbiddenThenHandlerNeverStarts(CallType type) {
		EchoService service = new Services.AnnotatedMessages();
		try (TestServer server = serve(service)) {
			assertThat(type.call(server.channel(), Caller.with("ROLE_A"), amounts(5)).code()).isEqualTo(Code.OK);
			assertThat(service.entered).hasValue(1);

			CallType.Outcome outcome = type.call(server.channel(), Caller.with("ROLE_A"), amounts(11));

			assertThat(outcome.code()).isEqualTo(Code.PERMISSION_DENIED);
			assertThat(service.entered).hasValue(1);
		}
	}

	@ParameterizedTest
	@EnumSource(names = { "CLIENT_STREAM", "BIDI" })
	void callWhenThirdMessageIsForbiddenThenHandlerHasSeenTwo(CallType type) {
		EchoService service = new Services.AnnotatedMessages();
		try (TestServer server = serve(service)) {
			CallType.Outcome outcome = type.call(server.channel(), Caller.with("ROLE_A"), amounts(1, 2, 99, 3));

			assertThat(outcome.code()).isEqualTo(Code.PERMISSION_DENIED);
			assertThat(service.messages).hasValue(2);
		}
	}

	@ParameterizedTest
	@EnumSource(names = { "CLIENT_STREAM", "BIDI" })
	void callWhenStreamEndsWithoutMessageThenExpressionFailsAndDenies(CallType type) {
		EchoService service = new Services.AnnotatedMessages();
		try (TestServer server = serve(service)) {
			CallType.Outcome outcome = type.call(server.channel(), Caller.with("ROLE_A"), List.of());

			assertThat(outcome.code()).isEqualTo(Code.PERMISSION_DENIED);
			assertThat(service.entered).hasValue(0);
		}
	}

	@Test
	void callWhenStreamEndsWithoutMessageThenExpressionSeesNull() {
		class Service extends EchoService {

			@Override
			@PreAuthorize("#request == null or #request.amount > 0")
			public StreamObserver<EchoRequest> clientStream(StreamObserver<EchoReply> replies) {
				return super.clientStream(replies);
			}

		}
		try (TestServer server = serve(new Service())) {
			assertThat(CallType.CLIENT_STREAM.call(server.channel(), Caller.anonymous(), List.of()).code())
				.isEqualTo(Code.OK);
			assertThat(CallType.CLIENT_STREAM.call(server.channel(), Caller.anonymous(), amounts(0)).code())
				.isEqualTo(Code.UNAUTHENTICATED);
		}
	}

	@Test
	void callWhenExpressionFailsThenDenied() {
		class Service extends EchoService {

			@Override
			@PreAuthorize("#request.text.substring(3) != null")
			public void unary(EchoRequest request, StreamObserver<EchoReply> replies) {
				super.unary(request, replies);
			}

			@Override
			@PreAuthorize("authentication.details.missing")
			public void serverStream(EchoRequest request, StreamObserver<EchoReply> replies) {
				super.serverStream(request, replies);
			}

			@Override
			@PreAuthorize("authentication.details")
			public StreamObserver<EchoRequest> clientStream(StreamObserver<EchoReply> replies) {
				return super.clientStream(replies);
			}

			@Override
			@PreAuthorize("'true'")
			public StreamObserver<EchoRequest> bidi(StreamObserver<EchoReply> replies) {
				return super.bidi(replies);
			}

		}
		EchoService service = new Service();
		try (TestServer server = serve(service)) {
			for (CallType type : CallType.values()) {
				assertThat(call(server, type, "ab", "ROLE_A")).isEqualTo(Code.PERMISSION_DENIED);
				assertThat(type.call(server.channel(), Caller.anonymous(), "ab").code())
					.isEqualTo(Code.UNAUTHENTICATED);
			}
			assertThat(service.entered).hasValue(0);
		}
	}

	@Test
	void callWhenExpressionOverflowsTheStackThenDenied() {
		class Service extends EchoService {

			@Override
			@PreAuthorize("#request.text matches '(a|b)*'")
			public void unary(EchoRequest request, StreamObserver<EchoReply> replies) {
				super.unary(request, replies);
			}

		}
		try (TestServer server = serve(new Service())) {
			assertThat(call(server, CallType.UNARY, "abba", "ROLE_A")).isEqualTo(Code.OK);
			assertThat(call(server, CallType.UNARY, "ab".repeat(100_000), "ROLE_A")).isEqualTo(Code.PERMISSION_DENIED);
		}
	}

	@Test
	void callWhenProxyCannotBeLookedThroughThenAnnotationsOfItsInterfacesHold() {
		EchoService echo = new EchoService();
		BindableService proxy = (BindableService) java.lang.reflect.Proxy.newProxyInstance(getClass().getClassLoader(),
				new Class<?>[] { GuardedOperations.class }, (self, method, arguments) -> {
					if (method.getName().equals("bindService")) {
						return ServerServiceDefinition.builder(EchoGrpc.SERVICE_NAME)
							.addMethod(EchoGrpc.getUnaryMethod(), ServerCalls.asyncUnaryCall(echo::unary))
							.build();
					}
					return method.invoke(this, arguments);
				});

		assertOnlyTellersMay(proxy, CallType.UNARY);
	}

	@Test
	void callWhenParameterIsNamedByAnnotationThenNameMeansTheMessage() {
		class Service extends EchoService {

			@Override
			@PreAuthorize("#transfer.amount < 10")
			public void unary(@P("transfer") EchoRequest request, StreamObserver<EchoReply> replies) {
				super.unary(request, replies);
			}

		}
		try (TestServer server = serve(new Service())) {
			assertThat(CallType.UNARY.call(server.channel(), Caller.with("A"), amounts(9)).code()).isEqualTo(Code.OK);
			assertThat(CallType.UNARY.call(server.channel(), Caller.with("A"), amounts(10)).code())
				.isEqualTo(Code.PERMISSION_DENIED);
		}
	}

	@Test
	void callWhenHandlerIsTheUsersOwnThenItsVariablesAndMethodsAreKnown() {
		class Service extends EchoService {

			@Override
			@PreAuthorize("#limit >= #request.amount")
			public void unary(EchoRequest request, StreamObserver<EchoReply> replies) {
				super.unary(request, replies);
			}

		}
		AtomicInteger contexts = new AtomicInteger();
		DefaultMethodSecurityExpressionHandler handler = new DefaultMethodSecurityExpressionHandler() {
			@Override
			public org.springframework.expression.EvaluationContext createEvaluationContext(
					java.util.function.Supplier<? extends Authentication> authentication,
					org.aopalliance.intercept.MethodInvocation invocation) {
				contexts.incrementAndGet();
				var context = super.createEvaluationContext(authentication, invocation);
				context.setVariable("limit", 10);
				return context;
			}
		};
		try (TestServer server = serve(new Service(), (builder) -> builder.expressionHandler(handler))) {
			assertThat(CallType.UNARY.call(server.channel(), Caller.with("A"), amounts(9)).code()).isEqualTo(Code.OK);
			assertThat(CallType.UNARY.call(server.channel(), Caller.with("A"), amounts(11)).code())
				.isEqualTo(Code.PERMISSION_DENIED);
		}
		assertThat(contexts).hasPositiveValue();
	}

	@Test
	void startWhenVariableIsUnknownThenFails() {
		class Service extends EchoService {

			@Override
			@PreAuthorize("#reqest == null or #reqest.amount < 3")
			public void unary(EchoRequest request, StreamObserver<EchoReply> replies) {
				super.unary(request, replies);
			}

		}

		assertFails(new Service(), "refers to #reqest, but nothing of this name is known", "#request");
	}

	@ParameterizedTest
	@ValueSource(strings = { "p0", "a0" })
	void startWhenVariableNamesTheResponseObserverThenFails(String name) {
		class P0 extends EchoService {

			@Override
			@PreAuthorize("#p0 != null")
			public StreamObserver<EchoRequest> bidi(StreamObserver<EchoReply> replies) {
				return super.bidi(replies);
			}

		}
		class A0 extends EchoService {

			@Override
			@PreAuthorize("#a0 != null")
			public StreamObserver<EchoRequest> bidi(StreamObserver<EchoReply> replies) {
				return super.bidi(replies);
			}

		}

		assertFails(name.equals("p0") ? new P0() : new A0(),
				"refers to #" + name + ", a parameter that has no value yet when the call is authorized", "#request");
	}

	@Test
	void startWhenExpressionHasSyntaxErrorThenFails() {
		class Service extends EchoService {

			@Override
			@PreAuthorize("hasRole('A'")
			public void unary(EchoRequest request, StreamObserver<EchoReply> replies) {
				super.unary(request, replies);
			}

		}

		assertFails(new Service(), "is not an expression", "testing.Echo/Unary");
	}

	@Test
	void startWhenExpressionCallsWhatDoesNotExistThenFails() {
		class Method extends EchoService {

			@Override
			@PreAuthorize("hasRoll('A')")
			public void unary(EchoRequest request, StreamObserver<EchoReply> replies) {
				super.unary(request, replies);
			}

		}
		class Bean extends EchoService {

			@Override
			@PreAuthorize("@bank.open()")
			public void unary(EchoRequest request, StreamObserver<EchoReply> replies) {
				super.unary(request, replies);
			}

		}
		class Property extends EchoService {

			@Override
			@PreAuthorize("request.amount < 3")
			public void unary(EchoRequest request, StreamObserver<EchoReply> replies) {
				super.unary(request, replies);
			}

		}

		assertFails(new Method(), "calls hasRoll(…), which does not exist", "Correct the name");
		assertFails(new Bean(), "refers to @bank, but there is no bean of this name", "add the bean");
		assertFails(new Property(), "refers to request, which does not exist", "#request");
	}

	@Test
	void startWhenAnnotationCannotBeEnforcedThenFails() {
		class OnMethod extends EchoService {

			@Override
			@PostAuthorize("returnObject != null")
			public void unary(EchoRequest request, StreamObserver<EchoReply> replies) {
				super.unary(request, replies);
			}

		}
		@PreFilter("filterObject != null")
		class OnClass extends EchoService {

		}

		assertFails(new OnMethod(),
				"@PostAuthorize applies to " + OnMethod.class.getName()
						+ ".unary(EchoRequest, StreamObserver<EchoReply>), which implements testing.Echo/Unary",
				"Use @PreAuthorize");
		assertFails(new OnClass(), "@PreFilter applies to " + OnClass.class.getName(), "Use @PreAuthorize");
	}

	@Test
	void startWhenAnnotationsOfInterfacesCompeteThenFails() {
		interface One {

			@PreAuthorize("hasRole('A')")
			void unary(EchoRequest request, StreamObserver<EchoReply> replies);

		}
		interface Two {

			@PreAuthorize("hasRole('B')")
			void unary(EchoRequest request, StreamObserver<EchoReply> replies);

		}
		class Service extends EchoService implements One, Two {

			@Override
			public void unary(EchoRequest request, StreamObserver<EchoReply> replies) {
				super.unary(request, replies);
			}

		}

		assertFails(new Service(), "It is not clear which security annotation applies", "on the method itself");
	}

	private static void assertOnlyTellersMay(BindableService service, CallType type) {
		try (TestServer server = serve(service)) {
			assertThat(type.call(server.channel()).code()).isEqualTo(Code.UNAUTHENTICATED);
			assertThat(code(server, type, "ROLE_GUEST")).isEqualTo(Code.PERMISSION_DENIED);
			assertThat(code(server, type, "ROLE_TELLER")).isEqualTo(Code.OK);
		}
	}

	private static void assertFails(BindableService service, String description, String actionOrDescription) {
		assertThatExceptionOfType(UnenforceableAnnotationException.class).isThrownBy(() -> serve(service).close())
			.withMessageContaining(description)
			.satisfies((ex) -> assertThat(ex.getMessage() + ex.action()).contains(actionOrDescription));
	}

	private static Code code(TestServer server, CallType type, String... authorities) {
		return type.call(server.channel(), Caller.with(authorities), "hello").code();
	}

	private static Code call(TestServer server, CallType type, String text, String authority) {
		Metadata headers = Caller.with(authority);
		return type.call(server.channel(), headers, text).code();
	}

	private static List<EchoRequest> amounts(int... amounts) {
		return java.util.Arrays.stream(amounts)
			.mapToObj((amount) -> EchoRequest.newBuilder().setAmount(amount).build())
			.toList();
	}

	private static TestServer serve(BindableService service) {
		return serve(service, (builder) -> {
		});
	}

	private static TestServer serve(BindableService service, Consumer<AuthorizationStage.Builder> customizer) {
		AuthorizationStage.Builder builder = AuthorizationStage.builder();
		customizer.accept(builder);
		return TestServer.inProcess(service, List.of(Caller.authentication(), builder.build()));
	}

	interface GuardedOperations extends BindableService {

		@PreAuthorize("hasRole('TELLER')")
		void unary(EchoRequest request, StreamObserver<EchoReply> replies);

	}

	static class Bank {

		public boolean open(Authentication caller, String text) {
			return !text.equals("closed");
		}

		public AuthorizationResult decide(
				org.springframework.security.access.expression.SecurityExpressionOperations root) {
			return new AuthorizationDecision(root.isAuthenticated());
		}

	}

}
