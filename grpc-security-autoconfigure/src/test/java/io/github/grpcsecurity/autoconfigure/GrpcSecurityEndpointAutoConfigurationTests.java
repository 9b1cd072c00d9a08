package io.github.grpcsecurity.autoconfigure;

import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;

import io.github.grpcsecurity.audit.AuditRuleStage;
import io.github.grpcsecurity.authorization.AuthorizationExplainer;
import io.github.grpcsecurity.authorization.AuthorizationExplanation;
import io.github.grpcsecurity.authorization.AuthorizationExplanation.Decision;
import io.github.grpcsecurity.authorization.AuthorizationRule;
import io.github.grpcsecurity.authorization.AuthorizationStage;
import io.github.grpcsecurity.authorization.cel.CelConditionCompiler;
import io.github.grpcsecurity.autoconfigure.GrpcSecurityEndpoint.LimitDescriptor;
import io.github.grpcsecurity.autoconfigure.GrpcSecurityEndpoint.MethodDescriptor;
import io.github.grpcsecurity.autoconfigure.GrpcSecurityEndpoint.SecurityDescriptor;
import io.github.grpcsecurity.autoconfigure.GrpcSecurityEndpoint.StageDescriptor;
import io.github.grpcsecurity.ratelimit.ConcurrencyRule;
import io.github.grpcsecurity.ratelimit.RateLimitObserver;
import io.github.grpcsecurity.ratelimit.RateLimitRule;
import io.github.grpcsecurity.ratelimit.RateLimitRules;
import io.github.grpcsecurity.ratelimit.RecentRateLimits;
import io.github.grpcsecurity.server.CallStage;
import io.github.grpcsecurity.server.GrpcSecurityThreads;
import io.github.grpcsecurity.server.GrpcServerSecurity;
import io.github.grpcsecurity.server.MethodPlan;
import io.github.grpcsecurity.server.SecuredMethod;
import io.github.grpcsecurity.server.SecurityStage;
import io.github.grpcsecurity.server.Verdict;
import io.github.grpcsecurity.testing.EchoService;
import io.github.grpcsecurity.testing.TestServer;
import io.grpc.Status.Code;
import org.junit.jupiter.api.Test;
import tools.jackson.databind.json.JsonMapper;

import org.springframework.boot.actuate.endpoint.InvalidEndpointRequestException;
import org.springframework.boot.actuate.endpoint.InvocationContext;
import org.springframework.boot.actuate.endpoint.SecurityContext;
import org.springframework.boot.actuate.endpoint.invoke.convert.ConversionServiceParameterValueMapper;
import org.springframework.boot.actuate.endpoint.web.EndpointMediaTypes;
import org.springframework.boot.actuate.endpoint.web.WebEndpointHttpMethod;
import org.springframework.boot.actuate.endpoint.web.WebOperation;
import org.springframework.boot.actuate.endpoint.web.annotation.WebEndpointDiscoverer;
import org.springframework.boot.autoconfigure.AutoConfigurations;
import org.springframework.boot.test.context.FilteredClassLoader;
import org.springframework.boot.test.context.runner.ApplicationContextRunner;
import org.springframework.context.ApplicationContext;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;

class GrpcSecurityEndpointAutoConfigurationTests {

	private final ApplicationContextRunner runner = new ApplicationContextRunner()
		.withConfiguration(AutoConfigurations.of(GrpcSecurityEndpointAutoConfiguration.class));

	private final ApplicationContextRunner exposed = this.runner
		.withPropertyValues("management.endpoints.web.exposure.include=grpcsecurity");

	@Test
	void endpointWhenExposedThenShowsStagesAndPlans() {
		try (TestServer server = TestServer.inProcess(new EchoService(),
				List.of(new DenyStage(), new AuditRuleStage(List.of())))) {
			this.exposed.withBean(GrpcServerSecurity.class, server::security).run((context) -> {
				SecurityDescriptor descriptor = context.getBean(GrpcSecurityEndpoint.class).security();

				assertThat(descriptor.stages()).containsExactly(
						new StageDescriptor(SecurityStage.ADMISSION, AuditRuleStage.class.getName()),
						new StageDescriptor(SecurityStage.AUTHORIZATION, DenyStage.class.getName()));
				assertThat(descriptor.methods()).hasSize(5)
					.contains(new MethodDescriptor("testing.Echo/Unary", "UNARY", "echoService",
							List.of(new MethodPlan.StepDescription(SecurityStage.AUTHORIZATION, "call", "nobody"),
									new MethodPlan.StepDescription(SecurityStage.AUTHORIZATION, "message", "nothing")),
							Map.of("audit", "metadata", "cost", 3, "rule", "an object of testing.Echo/Unary")));
				assertThat(descriptor.methods().get(4).method()).isEqualTo("(unknown service)/(unknown method)");
			});
		}
	}

	@Test
	void endpointWhenThereIsNoServerThenEmpty() {
		this.exposed.run((context) -> assertThat(context.getBean(GrpcSecurityEndpoint.class).security())
			.isEqualTo(new SecurityDescriptor(List.of(), List.of(), List.of())));
	}

	@Test
	void endpointWhenThereAreLimitsThenShowsWhatTheyDidOfLate() {
		this.exposed.withConfiguration(AutoConfigurations.of(GrpcRateLimitAutoConfiguration.class))
			.withBean(GrpcSecurityThreads.class)
			.withPropertyValues("grpc.security.rate-limit.rules[0].name=per-peer",
					"grpc.security.rate-limit.rules[0].key=peer", "grpc.security.rate-limit.rules[0].limit=10",
					"grpc.security.rate-limit.store=memory")
			.run((context) -> {
				RateLimitRule rule = context.getBean(RateLimitRules.class).all().get(0);
				RecentRateLimits recent = context.getBean(RecentRateLimits.class);
				recent.applied(rule, RateLimitObserver.Outcome.ALLOWED);
				recent.applied(rule, RateLimitObserver.Outcome.ALLOWED);
				recent.applied(rule, RateLimitObserver.Outcome.DENIED);

				assertThat(context.getBean(GrpcSecurityEndpoint.class).security().limits()).singleElement()
					.satisfies((limit) -> {
						assertThat(limit.name()).isEqualTo("per-peer");
						assertThat(limit.key()).isEqualTo("peer");
						assertThat(limit.methods()).containsExactly("**");
						assertThat(limit.limit()).isEqualTo("10 per PT1S, burst 10, cost 1");
						assertThat(limit.onFailure()).isEqualTo("local");
						assertThat(limit.lastMinute()).isEqualTo(Map.of("allowed", 2L, "denied", 1L, "shadow_denied",
								0L, "fallback", 0L, "delayed", 0L, "near_limit", 0L));
					});
			});
		this.runner.withConfiguration(AutoConfigurations.of(GrpcRateLimitAutoConfiguration.class))
			.withBean(GrpcSecurityThreads.class)
			.run((context) -> assertThat(context).doesNotHaveBean(RecentRateLimits.class));
	}

	@Test
	void endpointWhenCallsInFlightAreLimitedThenShowsTheRulesInForce() {
		this.exposed
			.withConfiguration(
					AutoConfigurations.of(GrpcRateLimitAutoConfiguration.class, GrpcFlowLimitAutoConfiguration.class))
			.withBean(GrpcSecurityThreads.class)
			.withPropertyValues("grpc.security.rate-limit.rules[0].name=server",
					"grpc.security.rate-limit.rules[0].key=global", "grpc.security.rate-limit.rules[0].concurrency=10",
					"grpc.security.rate-limit.store=memory")
			.run((context) -> {
				GrpcSecurityEndpoint endpoint = context.getBean(GrpcSecurityEndpoint.class);
				RateLimitRules rules = context.getBean(RateLimitRules.class);
				ConcurrencyRule fixed = rules.concurrency().get(0);
				context.getBean(RecentRateLimits.class).applied(fixed, RateLimitObserver.Outcome.DENIED);

				assertThat(endpoint.security().limits())
					.containsExactly(new LimitDescriptor("server", "global", List.of("**"), "10 in flight", false, null,
							Set.of(), Map.of("allowed", 0L, "denied", 1L, "shadow_denied", 0L)));
				rules.update(List.of(), List.of(new ConcurrencyRule("server", fixed.key(), fixed.methods(), 20,
						new ConcurrencyRule.Adaptive(5, 50), null, true, fixed.code())));
				assertThat(endpoint.security().limits()).singleElement().satisfies((limit) -> {
					assertThat(limit.limit()).isEqualTo("from 5 to 50 in flight, now 20");
					assertThat(limit.shadow()).isTrue();
					assertThat(limit.lastMinute()).containsEntry("denied", 1L);
				});
			});
	}

	@Test
	void endpointWhenNotExposedThenNone() {
		this.runner.run((context) -> assertThat(context).doesNotHaveBean(GrpcSecurityEndpoint.class));
	}

	@Test
	void endpointWhenAccessIsNoneThenNone() {
		this.exposed.withPropertyValues("management.endpoint.grpcsecurity.access=NONE")
			.run((context) -> assertThat(context).doesNotHaveBean(GrpcSecurityEndpoint.class));
	}

	@Test
	void endpointWhenSecurityIsOffThenNone() {
		this.exposed.withPropertyValues("grpc.security.enabled=false")
			.run((context) -> assertThat(context).doesNotHaveBean(GrpcSecurityEndpoint.class));
	}

	@Test
	void endpointWhenActuatorIsMissingThenNone() {
		this.exposed.withClassLoader(new FilteredClassLoader("org.springframework.boot.actuate"))
			.run((context) -> assertThat(context).hasNotFailed().doesNotHaveBean("grpcSecurityEndpoint"));
	}

	@Test
	void endpointWhenUserHasOwnThenBacksOff() {
		this.exposed
			.withBean("own", GrpcSecurityEndpoint.class,
					() -> new GrpcSecurityEndpoint(() -> null, new AuthorizationExplainer(() -> null), List::of))
			.run((context) -> assertThat(context).hasSingleBean(GrpcSecurityEndpoint.class).hasBean("own"));
	}

	@Test
	void explainWhenAskedOverTheWebThenSaysWhoDecides() {
		AuthorizationStage stage = AuthorizationStage.builder()
			.conditions(new CelConditionCompiler())
			.rules(List.of(new AuthorizationRule(List.of("testing.Echo/Unary"), "hasRole('TELLER')",
					"request.headers['x-tenant'] == 'blue' && inRange(source.address, '10.0.0.0/8')"
							+ " && connection.uri_san_peer_certificate == 'spiffe://bank/teller'",
					"transfers", false, true, false), new AuthorizationRule(List.of("**"), "deny")))
			.build();
		try (TestServer server = TestServer.inProcess(new EchoService(), List.of(stage))) {
			this.exposed.withBean(GrpcServerSecurity.class, server::security).run((context) -> {
				WebOperation operation = operation(context);
				Map<String, Object> good = Map.of("method", new String[] { "testing.Echo", "Unary" }, "principal",
						"alice", "authorities", "ROLE_TELLER,ROLE_B", "headers", "x-tenant:blue", "address", "10.1.2.3",
						"certificate", "spiffe://bank/teller");

				assertThat(operation.getRequestPredicate().getPath()).isEqualTo("grpcsecurity/{*method}");
				assertThat(operation.getRequestPredicate().getHttpMethod()).isEqualTo(WebEndpointHttpMethod.GET);
				AuthorizationExplanation explanation = explain(operation, good);
				assertThat(explanation.decision()).isEqualTo(Decision.ALLOWED);
				assertThat(explanation.caller()).isEqualTo("alice with jwt [ROLE_B, ROLE_TELLER]");
				assertThat(explain(operation, with(good, "address", "11.1.2.3")).status())
					.isEqualTo(Code.PERMISSION_DENIED);
				assertThat(explain(operation, with(good, "kind", "api-key")).status())
					.isEqualTo(Code.PERMISSION_DENIED);
				explanation = explain(operation, Map.of("method", new String[] { "testing.Echo", "Bidi" }));
				assertThat(explanation.status()).isEqualTo(Code.UNAUTHENTICATED);
				assertThat(explanation.decidedBy()).isEqualTo("deny by rule 1 for **");
				assertThat(explain(operation, Map.of("method", new String[] { "testing.Echo", "Nope" }))).isNull();
				for (Map<String, Object> bad : List.of(with(good, "address", "localhost"), with(good, "headers", "x"),
						with(good, "headers", "x-bin:y"),
						Map.<String, Object>of("method", new String[] { "testing.Echo", "Unary" }, "kind", "jwt"))) {
					assertThatExceptionOfType(InvalidEndpointRequestException.class)
						.isThrownBy(() -> explain(operation, bad));
				}
				// As the web layer writes it
				assertThat(JsonMapper.builder().build().writeValueAsString(explain(operation, good)))
					.contains("\"decision\":\"ALLOWED\"", "\"id\":\"transfers\"")
					.doesNotContain("blue\"", "10.1.2.3");
			});
		}
	}

	private static Map<String, Object> with(Map<String, Object> arguments, String name, String value) {
		Map<String, Object> changed = new HashMap<>(arguments);
		changed.put(name, value);
		return changed;
	}

	private static AuthorizationExplanation explain(WebOperation operation, Map<String, Object> arguments) {
		return (AuthorizationExplanation) operation.invoke(new InvocationContext(SecurityContext.NONE, arguments));
	}

	private static WebOperation operation(ApplicationContext context) {
		WebEndpointDiscoverer discoverer = new WebEndpointDiscoverer(context,
				new ConversionServiceParameterValueMapper(), EndpointMediaTypes.DEFAULT, List.of(), List.of(),
				List.of(), List.of(), List.of());
		return discoverer.getEndpoints()
			.iterator()
			.next()
			.getOperations()
			.stream()
			.filter((operation) -> operation.getRequestPredicate().getPath().contains("{"))
			.findFirst()
			.orElseThrow();
	}

	private static final class DenyStage implements CallStage {

		@Override
		public SecurityStage stage() {
			return SecurityStage.AUTHORIZATION;
		}

		@Override
		public void plan(SecuredMethod method, MethodPlan.Builder plan) {
			plan.check("nobody", (call) -> Verdict.proceed())
				.checkMessages("nothing", (call, message) -> Verdict.proceed())
				.detail("cost", 3)
				.detail("rule", new Object() {
					@Override
					public String toString() {
						return "an object of " + method.fullName();
					}
				});
		}

	}

}
