package io.github.grpcsecurity.autoconfigure;

import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;

import io.github.grpcsecurity.authorization.AuthorizationObserver;
import io.github.grpcsecurity.authorization.AuthorizationStage;
import io.github.grpcsecurity.authorization.ConditionCompiler;
import io.github.grpcsecurity.authorization.cel.CelConditionCompiler;
import io.github.grpcsecurity.server.CallStage;
import io.github.grpcsecurity.server.MethodPlan;
import io.github.grpcsecurity.server.SecuredMethod;
import io.github.grpcsecurity.server.SecurityStage;
import io.github.grpcsecurity.server.Verdict;
import io.github.grpcsecurity.server.VerifiedCredential;
import io.github.grpcsecurity.testing.CallType;
import io.github.grpcsecurity.testing.EchoReply;
import io.github.grpcsecurity.testing.EchoRequest;
import io.github.grpcsecurity.testing.EchoService;
import io.github.grpcsecurity.testing.TestServer;
import io.grpc.BindableService;
import io.grpc.Status.Code;
import io.grpc.protobuf.services.HealthStatusManager;
import io.grpc.protobuf.services.ProtoReflectionServiceV1;
import io.grpc.stub.StreamObserver;
import io.micrometer.core.instrument.MeterRegistry;
import io.micrometer.core.instrument.simple.SimpleMeterRegistry;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;

import org.springframework.aop.support.AopUtils;
import org.springframework.boot.autoconfigure.AutoConfigurations;
import org.springframework.boot.context.properties.source.InvalidConfigurationPropertyValueException;
import org.springframework.boot.diagnostics.FailureAnalysis;
import org.springframework.boot.test.context.FilteredClassLoader;
import org.springframework.boot.test.context.runner.ApplicationContextRunner;
import org.springframework.boot.test.system.CapturedOutput;
import org.springframework.boot.test.system.OutputCaptureExtension;
import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Configuration;
import org.springframework.security.access.expression.method.DefaultMethodSecurityExpressionHandler;
import org.springframework.security.access.expression.method.MethodSecurityExpressionHandler;
import org.springframework.security.access.hierarchicalroles.RoleHierarchy;
import org.springframework.security.access.hierarchicalroles.RoleHierarchyImpl;
import org.springframework.security.access.prepost.PreAuthorize;
import org.springframework.security.authentication.TestingAuthenticationToken;
import org.springframework.security.authorization.AuthorizationManagerFactory;
import org.springframework.security.authorization.DefaultAuthorizationManagerFactory;
import org.springframework.security.config.annotation.method.configuration.EnableMethodSecurity;
import org.springframework.security.config.core.GrantedAuthorityDefaults;
import org.springframework.security.core.authority.AuthorityUtils;
import org.springframework.security.core.parameters.P;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;

/**
 * Tests for {@link GrpcAuthorizationAutoConfiguration}.
 */
@ExtendWith(OutputCaptureExtension.class)
class GrpcAuthorizationAutoConfigurationTests {

	private final ApplicationContextRunner runner = new ApplicationContextRunner()
		.withConfiguration(AutoConfigurations.of(GrpcAuthorizationAutoConfiguration.class));

	@Test
	void stageWhenNothingIsSetThenDeniesAllButHealth() {
		this.runner.run((context) -> {
			assertThat(context).hasSingleBean(AuthorizationStage.class);
			assertThat(context.getBean(CallStage.class).stage()).isEqualTo(SecurityStage.AUTHORIZATION);
			AuthorizationStage stage = context.getBean(AuthorizationStage.class);
			assertThat(code(stage, new EchoService(), "ROLE_ANY")).isEqualTo(Code.PERMISSION_DENIED);
			assertThat(plans(stage, new HealthStatusManager().getHealthService())).contains("permit by health-access");
			assertThat(plans(stage, ProtoReflectionServiceV1.newInstance()))
				.contains("hidden by grpc.security.reflection.access");
		});
	}

	@Test
	void stageWhenSecurityIsSwitchedOffThenMissing() {
		this.runner.withPropertyValues("grpc.security.enabled=false")
			.run((context) -> assertThat(context).doesNotHaveBean(AuthorizationStage.class));
	}

	@Test
	void stageWhenUserHasOneThenBacksOff() {
		AuthorizationStage own = AuthorizationStage.builder().build();
		this.runner.withBean("own", AuthorizationStage.class, () -> own)
			.run((context) -> assertThat(context.getBean(AuthorizationStage.class)).isSameAs(own));
	}

	@Test
	void stageWhenSecurityConfigIsMissingThenUsesUsualRolePrefix() {
		this.runner.withClassLoader(new FilteredClassLoader(GrantedAuthorityDefaults.class))
			.withPropertyValues("grpc.security.authorization.rules[0].methods=**",
					"grpc.security.authorization.rules[0].access=hasRole('A')")
			.run((context) -> assertThat(code(context.getBean(AuthorizationStage.class), new EchoService(), "ROLE_A"))
				.isEqualTo(Code.OK));
	}

	@Test
	void ruleWhenAllItsPropertiesAreSetThenEffective() {
		this.runner.withBean(SimpleMeterRegistry.class)
			.withPropertyValues("grpc.security.authorization.rules[0].methods=testing.Echo/*",
					"grpc.security.authorization.rules[0].access=deny",
					"grpc.security.authorization.rules[0].name=candidate",
					"grpc.security.authorization.rules[0].shadow=true",
					"grpc.security.authorization.rules[1].methods=testing.Echo/Bidi",
					"grpc.security.authorization.rules[1].access=permit",
					"grpc.security.authorization.rules[1].hide-existence=true",
					"grpc.security.authorization.rules[1].when='ROLE_A' in auth.authorities",
					"grpc.security.authorization.rules[2].methods=testing.Echo/*",
					"grpc.security.authorization.rules[2].access=authenticated",
					"grpc.security.authorization.rules[2].name=small-amounts",
					"grpc.security.authorization.rules[2].sensitive=true",
					"grpc.security.authorization.rules[2].when=message.amount <= 10 && auth.kind == 'test'")
			.run((context) -> {
				AuthorizationStage stage = context.getBean(AuthorizationStage.class);
				assertThat(code(stage, new EchoService(), "ROLE_A")).isEqualTo(Code.OK);
				assertThat(plans(stage, new EchoService())).contains("shadow: deny by rule candidate",
						"authenticated by rule small-amounts for testing.Echo/*, more than an API key, when message");
				MeterRegistry registry = context.getBean(MeterRegistry.class);
				assertThat(count(registry, "candidate", "shadow_denied")).isOne();
				assertThat(count(registry, "small-amounts", "allowed")).isOne();
				assertThat(count(registry, "small-amounts", "denied")).isZero();
				assertThat(count(registry, "small-amounts", "error")).isZero();
			});
	}

	private static double count(MeterRegistry registry, String rule, String outcome) {
		return registry.get("grpc.security.authorization").tags("rule", rule, "outcome", outcome).counter().count();
	}

	@Test
	void ruleWhenItHasConditionAndCelIsMissingThenStartFailsWithTheWayOut() {
		ApplicationContextRunner withoutCel = this.runner
			.withClassLoader(new FilteredClassLoader("dev.cel", "com.google.re2j"))
			.withPropertyValues("grpc.security.authorization.rules[0].methods=**",
					"grpc.security.authorization.rules[0].access=permit");
		withoutCel.run((context) -> assertThat(context).hasNotFailed().doesNotHaveBean(ConditionCompiler.class));
		withoutCel.withPropertyValues("grpc.security.authorization.rules[0].when=true")
			.run((context) -> assertThat(context.getStartupFailure()).rootCause()
				.isInstanceOfSatisfying(InvalidConfigurationPropertyValueException.class, (ex) -> {
					assertThat(ex.getName()).isEqualTo("grpc.security.authorization.rules[0].when");
					assertThat(ex.getReason()).contains("CEL is not on the class path. Add the dependency dev.cel:cel");
				}));
	}

	@Test
	void ruleWhenUserHasCompilerAndObserverThenTheyAreUsed() {
		List<String> decisions = new CopyOnWriteArrayList<>();
		ConditionCompiler own = new CelConditionCompiler();
		this.runner.withBean("own", ConditionCompiler.class, () -> own)
			.withBean(SimpleMeterRegistry.class)
			.withBean(AuthorizationObserver.class, () -> (rule, outcome) -> decisions.add(rule + " " + outcome))
			.withPropertyValues("grpc.security.authorization.rules[0].methods=**",
					"grpc.security.authorization.rules[0].access=permit",
					"grpc.security.authorization.rules[0].when=1 < 2")
			.run((context) -> {
				assertThat(context.getBean(ConditionCompiler.class)).isSameAs(own);
				assertThat(code(context.getBean(AuthorizationStage.class), new EchoService(), "ROLE_A"))
					.isEqualTo(Code.OK);
				assertThat(decisions).containsExactly("rules[0] ALLOWED");
			});
	}

	@Test
	void ruleWhenKeyIsMisspeltThenStartFails() {
		this.runner.withPropertyValues("grpc.security.authorization.rules[0].methods=**",
				"grpc.security.authorization.rules[0].access=permit", "grpc.security.authorization.rules[0].whem=true")
			.run((context) -> assertThat(context.getStartupFailure()).rootCause()
				.isInstanceOfSatisfying(UnsupportedSettingException.class,
						(ex) -> assertThat(ex.property()).isEqualTo("grpc.security.authorization.rules[0].whem")));
	}

	@Test
	void stageWhenPropertiesAreSetThenEffective() {
		this.runner
			.withPropertyValues("grpc.security.authorization.default-access=authenticated",
					"grpc.security.authorization.health-access=authenticated", "grpc.security.reflection.access=permit",
					"grpc.security.authorization.rules[0].methods[0]=testing.Echo/Un*",
					"grpc.security.authorization.rules[0].methods[1]=testing.Echo/Bidi",
					"grpc.security.authorization.rules[0].access=hasAuthority('SCOPE_read')",
					"grpc.security.authorization.rules[1].methods=testing.Echo/ServerStream",
					"grpc.security.authorization.rules[1].access=deny")
			.run((context) -> {
				AuthorizationStage stage = context.getBean(AuthorizationStage.class);
				assertThat(plans(stage, new EchoService())).contains("hasAuthority('SCOPE_read') by rule 0",
						"deny by rule 1", "authenticated by default-access");
			});
		this.runner
			.withPropertyValues("grpc.security.authorization.health-access=authenticated",
					"grpc.security.reflection.access=permit")
			.run((context) -> {
				AuthorizationStage stage = context.getBean(AuthorizationStage.class);
				assertThat(plans(stage, new HealthStatusManager().getHealthService()))
					.contains("authenticated by health-access");
				assertThat(plans(stage, ProtoReflectionServiceV1.newInstance()))
					.contains("permit by grpc.security.reflection.access");
			});
	}

	@Test
	void stageWhenHierarchyAndPrefixBeansThenHonoured() {
		this.runner.withBean(RoleHierarchy.class, () -> RoleHierarchyImpl.fromHierarchy("R-MANAGER > R-TELLER"))
			.withBean(GrantedAuthorityDefaults.class, () -> new GrantedAuthorityDefaults("R-"))
			.withPropertyValues("grpc.security.authorization.rules[0].methods=testing.Echo/Unary",
					"grpc.security.authorization.rules[0].access=hasRole('TELLER')")
			.run((context) -> {
				AuthorizationStage stage = context.getBean(AuthorizationStage.class);
				assertThat(code(stage, new Tellers(), "R-MANAGER")).isEqualTo(Code.OK);
				assertThat(code(stage, new Tellers(), "ROLE_TELLER")).isEqualTo(Code.PERMISSION_DENIED);
			});
	}

	@Test
	void stageWhenAuthorizationManagerFactoryBeanThenHonoured() {
		this.runner.withUserConfiguration(Managers.class)
			.withPropertyValues("grpc.security.authorization.rules[0].methods=testing.Echo/Unary",
					"grpc.security.authorization.rules[0].access=hasRole('TELLER')")
			.run((context) -> {
				AuthorizationStage stage = context.getBean(AuthorizationStage.class);
				assertThat(code(stage, new Tellers(), "X-TELLER")).isEqualTo(Code.OK);
				assertThat(code(stage, new Tellers(), "ROLE_TELLER")).isEqualTo(Code.PERMISSION_DENIED);
			});
	}

	@Test
	void stageWhenExpressionHandlerBeanThenHonoured() {
		DefaultMethodSecurityExpressionHandler handler = new DefaultMethodSecurityExpressionHandler() {
			@Override
			public org.springframework.expression.EvaluationContext createEvaluationContext(
					java.util.function.Supplier<? extends org.springframework.security.core.Authentication> caller,
					org.aopalliance.intercept.MethodInvocation invocation) {
				return super.createEvaluationContext(() -> new TestingAuthenticationToken("bob", null, "ROLE_TELLER"),
						invocation);
			}
		};
		this.runner.withBean(MethodSecurityExpressionHandler.class, () -> handler)
			.run((context) -> assertThat(code(context.getBean(AuthorizationStage.class), new Tellers(), "ROLE_NOBODY"))
				.isEqualTo(Code.OK));
	}

	@Test
	void stageWhenExpressionNamesBeanThenLooksInContext() {
		this.runner.withBean("gate", Gate.class)
			.withPropertyValues("grpc.security.authorization.rules[0].methods=**",
					"grpc.security.authorization.rules[0].access=@gate.open()")
			.run((context) -> assertThat(code(context.getBean(AuthorizationStage.class), new EchoService(), "A"))
				.isEqualTo(Code.OK));
	}

	@Test
	void startWhenMethodSecurityEvaluatesMessageExpressionAgainThenWarns(CapturedOutput output) {
		this.runner.withUserConfiguration(MethodSecurity.class)
			.withBean("echoService", Limited.class)
			.withPropertyValues("grpc.security.authorization.default-access=authenticated")
			.run((context) -> {
				Limited service = context.getBean(Limited.class);
				assertThat(AopUtils.isCglibProxy(service)).isTrue();
				try (TestServer server = serve(context.getBean(AuthorizationStage.class), service, "ROLE_A")) {
					assertThat(CallType.BIDI.call(server.channel()).code()).isEqualTo(Code.OK);
					assertThat(CallType.UNARY.call(server.channel()).code()).isEqualTo(Code.OK);
				}
				assertThat(output.getOut().lines().filter((line) -> line.contains("evaluated a second time")))
					.singleElement()
					.asString()
					.contains("bidi(StreamObserver<EchoReply>)", "#request is null");
			});
	}

	@Test
	void startWhenAccessIsNoExpressionThenFailureNamesTheProperty() {
		this.runner
			.withPropertyValues("grpc.security.authorization.rules[0].methods=**",
					"grpc.security.authorization.rules[0].access=hasRole('A'")
			.run((context) -> assertThat(context).getFailure()
				.rootCause()
				.isInstanceOf(InvalidConfigurationPropertyValueException.class)
				.hasMessageContaining("grpc.security.authorization.rules[0].access"));
	}

	@Test
	void startWhenRuleHasNoAccessThenFailureNamesTheProperty() {
		this.runner.withPropertyValues("grpc.security.authorization.rules[0].methods=**")
			.run((context) -> assertThat(context).getFailure()
				.rootCause()
				.hasMessageContaining("grpc.security.authorization.rules[0].access"));
	}

	@Test
	void startWhenValueIsUnknownThenFails() {
		for (String property : List.of("grpc.security.authorization.default-access=permit",
				"grpc.security.authorization.health-access=open", "grpc.security.reflection.access=on")) {
			this.runner.withPropertyValues(property).run((context) -> assertThat(context).hasFailed());
		}
	}

	@Test
	void startWhenKeyIsUnknownThenFailureNamesIt() {
		assertUnknown("grpc.security.authorization.rules[0].unless", "message.amount < 3");
		assertUnknown("grpc.security.authorization.rules[0].hide", "true");
		assertUnknown("grpc.security.authorization.policy-files", "file:policy.json");
	}

	private void assertUnknown(String name, String value) {
		this.runner
			.withPropertyValues("grpc.security.authorization.rules[0].methods[0]=**",
					"grpc.security.authorization.rules[0].access=authenticated", name + "=" + value)
			.run((context) -> assertThat(context).getFailure()
				.rootCause()
				.isInstanceOfSatisfying(UnsupportedSettingException.class, (ex) -> {
					assertThat(name).startsWith(ex.property());
					assertThat(ex).hasMessageContaining("not supported by this version");
				}));
	}

	@Test
	void startWhenPropertiesComeFromEnvironmentVariablesThenBound() {
		this.runner.withInitializer((context) -> context.getEnvironment()
			.getPropertySources()
			.addFirst(new org.springframework.core.env.SystemEnvironmentPropertySource("systemEnvironment",
					java.util.Map.of("GRPC_SECURITY_AUTHORIZATION_DEFAULTACCESS", "authenticated",
							"GRPC_SECURITY_AUTHORIZATION_HEALTH_ACCESS", "deny",
							"GRPC_SECURITY_AUTHORIZATION_RULES_0_METHODS_0", "**",
							"GRPC_SECURITY_AUTHORIZATION_RULES_0_ACCESS", "permit"))))
			.run((context) -> {
				assertThat(context).hasNotFailed();
				GrpcAuthorizationProperties properties = context.getBean(GrpcAuthorizationProperties.class);
				assertThat(properties.rules()).hasSize(1);
				assertThat(properties.defaultAccess())
					.isEqualTo(GrpcAuthorizationProperties.DefaultAccess.AUTHENTICATED);
				assertThat(properties.healthAccess()).isEqualTo(GrpcAuthorizationProperties.HealthAccess.DENY);
			});
	}

	@Test
	void analyzeWhenAnnotationCannotBeEnforcedThenSaysWhatToDo() {
		class Typo extends EchoService {

			@Override
			@PreAuthorize("#reqest != null")
			public void unary(EchoRequest request, StreamObserver<EchoReply> replies) {
				super.unary(request, replies);
			}

		}
		AuthorizationStage stage = AuthorizationStage.builder().build();

		assertThatExceptionOfType(RuntimeException.class).isThrownBy(() -> serve(stage, new Typo(), "A"))
			.satisfies((ex) -> {
				FailureAnalysis analysis = new GrpcAuthorizationFailureAnalyzer()
					.analyze(new IllegalStateException(ex));
				assertThat(analysis.getDescription())
					.isEqualTo("@PreAuthorize(\"#reqest != null\") on " + Typo.class.getName()
							+ ".unary(EchoRequest, StreamObserver<EchoReply>) refers to #reqest, but nothing of this"
							+ " name is known.");
				assertThat(analysis.getAction()).isEqualTo("Refer to the message of the call as #request, name the"
						+ " parameter with @P(\"reqest\"), or compile with -parameters.");
			});
	}

	private static Code code(AuthorizationStage stage, BindableService service, String authority) {
		try (TestServer server = serve(stage, service, authority)) {
			return CallType.UNARY.call(server.channel()).code();
		}
	}

	private static String plans(AuthorizationStage stage, BindableService service) {
		try (TestServer server = serve(stage, service, "A")) {
			return server.security().plans().stream().map((plan) -> plan.details().toString()).toList().toString();
		}
	}

	private static TestServer serve(AuthorizationStage stage, BindableService service, String authority) {
		CallStage authentication = new CallStage() {
			@Override
			public SecurityStage stage() {
				return SecurityStage.AUTHENTICATION;
			}

			@Override
			public void plan(SecuredMethod method, MethodPlan.Builder plan) {
				plan.check("test", (call) -> {
					call.authenticated(VerifiedCredential.of("test", new TestingAuthenticationToken("alice", null,
							AuthorityUtils.createAuthorityList(authority))));
					return Verdict.proceed();
				});
			}
		};
		return TestServer.inProcess(service, List.of(authentication, stage));
	}

	static class Tellers extends EchoService {

		@Override
		@PreAuthorize("hasRole('TELLER')")
		public void unary(EchoRequest request, StreamObserver<EchoReply> replies) {
			super.unary(request, replies);
		}

	}

	@Configuration(proxyBeanMethods = false)
	@EnableMethodSecurity(proxyTargetClass = true)
	static class MethodSecurity {

	}

	static class Limited extends EchoService {

		@Override
		@PreAuthorize("#request.amount < 10")
		public void unary(@P("request") EchoRequest request, StreamObserver<EchoReply> replies) {
			super.unary(request, replies);
		}

		@Override
		@PreAuthorize("#request == null or #request.amount < 10")
		public StreamObserver<EchoRequest> bidi(StreamObserver<EchoReply> replies) {
			return super.bidi(replies);
		}

	}

	@Configuration(proxyBeanMethods = false)
	static class Managers {

		@Bean
		AuthorizationManagerFactory<Object> managers() {
			DefaultAuthorizationManagerFactory<Object> managers = new DefaultAuthorizationManagerFactory<>();
			managers.setRolePrefix("X-");
			return managers;
		}

	}

	public static class Gate {

		public boolean open() {
			return true;
		}

	}

}
