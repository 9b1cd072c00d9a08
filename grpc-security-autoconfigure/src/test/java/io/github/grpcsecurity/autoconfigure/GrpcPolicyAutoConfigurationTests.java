package io.github.grpcsecurity.autoconfigure;

import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Instant;
import java.time.InstantSource;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicReference;
import java.util.function.Consumer;

import io.github.grpcsecurity.authorization.AuthorizationStage;
import io.github.grpcsecurity.authorization.CallPolicy;
import io.github.grpcsecurity.authorization.policy.FilePolicy;
import io.github.grpcsecurity.authorization.policy.MicrometerPolicyObserver;
import io.github.grpcsecurity.authorization.policy.PolicyAuditEvent;
import io.github.grpcsecurity.authorization.policy.PolicyAuditLogger;
import io.github.grpcsecurity.authorization.policy.PolicyAuditLoggerFactory;
import io.github.grpcsecurity.authorization.policy.PolicyAuditLoggers;
import io.github.grpcsecurity.authorization.policy.PolicyFile;
import io.github.grpcsecurity.authorization.policy.PolicyHealthIndicator;
import io.github.grpcsecurity.authorization.policy.PolicyObserver;
import io.github.grpcsecurity.authorization.policy.PolicyReloader;
import io.github.grpcsecurity.server.GrpcServerSecurity;
import io.github.grpcsecurity.server.Refusal;
import io.github.grpcsecurity.server.SecuredCall;
import io.github.grpcsecurity.server.Verdict;
import io.github.grpcsecurity.testing.CallType;
import io.github.grpcsecurity.testing.EchoService;
import io.github.grpcsecurity.testing.TestServer;
import io.github.grpcsecurity.testing.TestStage;
import io.grpc.BindableService;
import io.grpc.Status.Code;
import io.grpc.protobuf.services.HealthStatusManager;
import io.grpc.protobuf.services.ProtoReflectionServiceV1;
import io.micrometer.core.instrument.MeterRegistry;
import io.micrometer.core.instrument.simple.SimpleMeterRegistry;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

import org.springframework.boot.autoconfigure.AutoConfigurations;
import org.springframework.boot.context.properties.source.InvalidConfigurationPropertyValueException;
import org.springframework.boot.health.contributor.Health;
import org.springframework.boot.health.contributor.Status;
import org.springframework.boot.test.context.FilteredClassLoader;
import org.springframework.boot.test.context.assertj.AssertableApplicationContext;
import org.springframework.boot.test.context.runner.ApplicationContextRunner;

import static org.assertj.core.api.Assertions.assertThat;

/** Tests for {@link GrpcPolicyAutoConfiguration} and its metrics and health. */
class GrpcPolicyAutoConfigurationTests {

	private static final String FILE = "grpc.security.authorization.policy-file=";

	private static final String SHADOW = "grpc.security.authorization.shadow-policy-file=";

	@TempDir
	Path directory;

	private Path path;

	private final AtomicReference<Instant> now = new AtomicReference<>(Instant.parse("2026-01-01T00:00:00Z"));

	private final ApplicationContextRunner runner = new ApplicationContextRunner()
		.withConfiguration(AutoConfigurations.of(GrpcPolicyAutoConfiguration.class,
				GrpcPolicyMetricsAutoConfiguration.class, GrpcPolicyHealthAutoConfiguration.class,
				GrpcAuthorizationAutoConfiguration.class, GrpcSecurityAutoConfiguration.class))
		.withBean(InstantSource.class, () -> this.now::get);

	@BeforeEach
	void write() throws Exception {
		this.path = this.directory.resolve("policy.json");
		write("live", "/testing.Echo/Unary");
	}

	private void write(String name, String path) throws Exception {
		Files.writeString(this.path, policy(name, path));
	}

	private static String policy(String name, String path) {
		return ("{'name': '" + name + "', 'allow_rules': [{'name': 'allow', 'request': {'paths': ['" + path + "']}}]}")
			.replace('\'', '"');
	}

	@Test
	void policyWhenNoFileIsSetThenMissing() {
		this.runner.run((context) -> assertThat(context).doesNotHaveBean(CallPolicy.class)
			.doesNotHaveBean(PolicyReloader.class)
			.doesNotHaveBean(PolicyHealthIndicator.class)
			.doesNotHaveBean(PolicyObserver.class)
			.hasSingleBean(AuthorizationStage.class));
	}

	@Test
	void policyWhenSecurityIsSwitchedOffThenMissing() {
		this.runner.withPropertyValues(FILE + this.path, "grpc.security.enabled=false")
			.run((context) -> assertThat(context).doesNotHaveBean(CallPolicy.class));
	}

	@ParameterizedTest
	@ValueSource(strings = { "", "file:" })
	void policyWhenFileIsSetThenDecides(String prefix) {
		this.runner.withPropertyValues(FILE + prefix + this.path).run((context) -> {
			assertThat(code(context, CallType.UNARY)).isEqualTo(Code.OK);
			assertThat(code(context, CallType.BIDI)).isEqualTo(Code.UNAUTHENTICATED);
		});
	}

	@Test
	void policyWhenOnClassPathThenDecides() {
		this.runner.withPropertyValues(FILE + "classpath:policies/echo.json").run((context) -> {
			assertThat(context.getBean(FilePolicy.class).files().get(0).policy().name()).isEqualTo("echo-policy");
			// In-process is no TLS
			assertThat(code(context, CallType.UNARY)).isEqualTo(Code.UNAUTHENTICATED);
		});
	}

	@Test
	void policyWhenWrittenInCamelCaseThenDecides() {
		this.runner.withPropertyValues("grpc.security.authorization.policyFile=" + this.path)
			.run((context) -> assertThat(context).hasSingleBean(FilePolicy.class));
	}

	@Test
	void policyWhenPlannedThenIsAskedFirstAndAboutHealthToo() throws Exception {
		this.runner
			.withPropertyValues(FILE + this.path, "grpc.security.authorization.rules[0].methods=testing.Echo/Unary",
					"grpc.security.authorization.rules[0].access=authenticated")
			.run((context) -> assertThat(plans(context, new EchoService())).contains(
					"[policy file " + this.path + ", authenticated by rule 0 for testing.Echo/Unary]",
					"[policy file " + this.path + "]"));
		this.runner.withPropertyValues(FILE + this.path).run((context) -> {
			assertThat(plans(context, new HealthStatusManager().getHealthService()))
				.contains("[policy file " + this.path + ", permit by health-access]");
			assertThat(plans(context, ProtoReflectionServiceV1.newInstance()))
				.contains("[hidden by grpc.security.reflection.access]");
		});
	}

	@Test
	void policyWhenUserHasOneThenBacksOff() {
		PolicyAuditLoggers loggers = new PolicyAuditLoggers(List.of(), Runnable::run, List.of());
		FilePolicy own = new FilePolicy(null, null, true, loggers, InstantSource.system(), List.of());
		this.runner.withPropertyValues(FILE + this.path)
			.withBean("own", FilePolicy.class, () -> own)
			.run((context) -> assertThat(context.getBean(FilePolicy.class)).isSameAs(own));
	}

	@Test
	void policyWhenUserAddsAnotherThenBothMustAllow() {
		this.runner.withPropertyValues(FILE + this.path).withBean("other", CallPolicy.class, () -> new CallPolicy() {
			@Override
			public String id() {
				return "other";
			}

			@Override
			public String description() {
				return "other";
			}

			@Override
			public Verdict check(SecuredCall call) {
				return Verdict.refuse(Refusal.unavailable("other"));
			}
		}).run((context) -> assertThat(code(context, CallType.UNARY)).isEqualTo(Code.UNAVAILABLE));
	}

	@ParameterizedTest
	@ValueSource(strings = { "policy-file", "shadow-policy-file" })
	void startWhenFileIsMissingThenFailsAndSaysWhatToDo(String property) {
		String name = "grpc.security.authorization." + property;
		this.runner.withPropertyValues(name + "=/nowhere/policy.json")
			.run((context) -> failsWith(context, name, "The file is no usable policy. The policy: It cannot be read "
					+ "(FileNotFoundException). Let the property name a file that the server may read, as a path, file: "
					+ "or classpath: location."));
	}

	@Test
	void startWhenPolicyIsBadThenFailsWithPointer() throws Exception {
		Files.writeString(this.path, policy("live", "*a*"));
		this.runner.withPropertyValues(FILE + this.path)
			.run((context) -> failsWith(context, "grpc.security.authorization.policy-file",
					"The file is no usable policy. /allow_rules/0/request/paths/0: '*a*' has a star at both ends"));
	}

	@Test
	void startWhenNameIsNoFileThenFailsInsteadOfEnforcingNothing() {
		this.runner.withPropertyValues(FILE + "false").run((context) -> assertThat(context).hasFailed());
	}

	@Test
	void startWhenNameIsWrittenDownWithoutAValueThenThereIsNoPolicy() {
		this.runner.withPropertyValues(FILE, SHADOW)
			.run((context) -> assertThat(context).hasNotFailed().doesNotHaveBean(FilePolicy.class));
	}

	@Test
	void startWhenLoggerIsUnknownThenFailsUnlessOptional() throws Exception {
		String audit = "],\"audit_logging_options\": {\"audit_loggers\": [{\"name\": \"nobody\", \"is_optional\": %s}]}}";
		Files.writeString(this.path, policy("live", "*").replace("]}}]}", "]}}" + audit.formatted("false")));
		this.runner.withPropertyValues(FILE + this.path)
			.run((context) -> failsWith(context, "grpc.security.authorization.policy-file",
					"/audit_logging_options/audit_loggers/0/name: There is no audit logger 'nobody'."));
		Files.writeString(this.path, policy("live", "*").replace("]}}]}", "]}}" + audit.formatted("true")));
		this.runner.withPropertyValues(FILE + this.path).run((context) -> assertThat(context).hasNotFailed());
	}

	@Test
	void startWhenJacksonIsMissingThenFails() {
		this.runner.withClassLoader(new FilteredClassLoader("tools.jackson"))
			.withPropertyValues(FILE + this.path)
			.run((context) -> failsWith(context, "grpc.security.authorization.policy-file", "Jackson"));
	}

	@ParameterizedTest
	@ValueSource(
			strings = { "grpc.security.authorization.policy-reload-interval", "grpc.security.tls.reload-interval" })
	void startWhenIntervalIsTooShortThenFails(String property) {
		for (String interval : new String[] { "99ms", "-1s" }) {
			this.runner.withPropertyValues(FILE + this.path, property + "=" + interval)
				.run((context) -> failsWith(context, property, "looked at every 100ms at most"));
		}
	}

	@Test
	void startWhenKeyIsMisspelledThenFails() {
		this.runner.withPropertyValues("grpc.security.authorization.policy-files=x")
			.run((context) -> assertThat(context).hasFailed());
	}

	@Test
	void reloaderWhenFileChangesThenAdoptsWithinTheInterval() throws Exception {
		CountDownLatch adopted = new CountDownLatch(2);
		this.runner
			.withPropertyValues(FILE + this.path, "grpc.security.authorization.policy-reload-interval=100ms",
					"grpc.security.tls.reload-interval=0")
			.withBean(PolicyObserver.class, () -> new PolicyObserver() {
				@Override
				public void adopted(PolicyFile file) {
					adopted.countDown();
				}
			})
			.run((context) -> {
				write("second", "/testing.Echo/Bidi");

				assertThat(adopted.await(30, TimeUnit.SECONDS)).isTrue();
				assertThat(code(context, CallType.UNARY)).isEqualTo(Code.UNAUTHENTICATED);
				assertThat(code(context, CallType.BIDI)).isEqualTo(Code.OK);
			});
	}

	@Test
	void reevaluateWhenSwitchedOffThenBound() {
		this.runner.withPropertyValues(FILE + this.path, "grpc.security.authorization.reevaluate-streams=false")
			.run((context) -> assertThat(context.getBean(GrpcPolicyProperties.class).reevaluateStreams()).isFalse());
		this.runner.withPropertyValues(FILE + this.path)
			.run((context) -> assertThat(context.getBean(GrpcPolicyProperties.class).reevaluateStreams()).isTrue());
	}

	@Test
	void auditWhenUserHasALoggerThenItGetsEvents() throws Exception {
		Files.writeString(this.path, policy("live", "/testing.Echo/Unary").replace("]}}]}",
				"]}}], \"audit_logging_options\": {\"audit_condition\": \"ON_DENY_AND_ALLOW\", \"audit_loggers\": "
						+ "[{\"name\": \"own\", \"config\": {\"to\": \"here\"}}]}}"));
		List<Object> events = new CopyOnWriteArrayList<>();
		CountDownLatch logged = new CountDownLatch(2);
		this.runner.withPropertyValues(FILE + this.path)
			.withBean(PolicyAuditLoggerFactory.class, () -> new PolicyAuditLoggerFactory() {
				@Override
				public String name() {
					return "own";
				}

				@Override
				public PolicyAuditLogger create(Map<String, Object> config) {
					events.add(config);
					return (event) -> {
						events.add(event);
						logged.countDown();
					};
				}
			})
			.run((context) -> {
				code(context, CallType.UNARY);
				code(context, CallType.BIDI);

				assertThat(logged.await(20, TimeUnit.SECONDS)).isTrue();
			});
		assertThat(events).containsExactly(Map.of("to", "here"),
				new PolicyAuditEvent("/testing.Echo/Unary", "", "live", "live_allow", true, this.now.get()),
				new PolicyAuditEvent("/testing.Echo/Bidi", "", "live", "", false, this.now.get()));
	}

	@Test
	void metricsWhenThereIsARegistryThenShowPolicyAndDecisions() throws Exception {
		Path shadow = Files.writeString(this.directory.resolve("next.json"), policy("next", "/testing.Echo/*"));
		withMetrics().withPropertyValues(FILE + this.path, SHADOW + shadow).run((context) -> {
			code(context, CallType.UNARY);
			code(context, CallType.BIDI);
			this.now.set(this.now.get().plusSeconds(7));
			MeterRegistry registry = context.getBean(MeterRegistry.class);
			PolicyFile file = context.getBean(FilePolicy.class).files().get(0);

			assertThat(registry.get(MicrometerPolicyObserver.DECISIONS)
				.tags("policy", "live", "rule", "live_allow", "decision", "allow")
				.counter()
				.count()).isOne();
			assertThat(registry.get(MicrometerPolicyObserver.DECISIONS)
				.tags("policy", "live", "rule", "none", "decision", "deny")
				.counter()
				.count()).isOne();
			assertThat(registry.get(MicrometerPolicyObserver.SHADOW)
				.tags("enforced", "deny", "candidate", "allow")
				.counter()
				.count()).isOne();
			assertThat(registry.get(MicrometerPolicyObserver.INFO)
				.tags("role", "live", "policy", "live", "hash", file.policy().hash())
				.gauge()
				.value()).isOne();
			assertThat(registry.get(MicrometerPolicyObserver.AGE).tag("role", "live").timeGauge().value()).isEqualTo(7);
			assertThat(registry.get(MicrometerPolicyObserver.FAILING).tag("role", "live").gauge().value()).isZero();

			write("second", "/testing.Echo/Unary");
			file.reload();
			Files.writeString(this.path, "{}");
			file.reload();
			assertThat(registry.get(MicrometerPolicyObserver.FAILING).tag("role", "live").gauge().value()).isOne();
			assertThat(reloads(registry, "success")).isOne();
			assertThat(reloads(registry, "failure")).isOne();
			assertThat(registry.get(MicrometerPolicyObserver.INFO).tag("role", "live").gauges()).singleElement()
				.satisfies((gauge) -> assertThat(gauge.getId().getTag("policy")).isEqualTo("second"));
			assertThat(registry.get(MicrometerPolicyObserver.ENDED).counter().count()).isZero();
			assertThat(registry.get(MicrometerPolicyObserver.DROPPED).counter().count()).isZero();
		});
	}

	private static double reloads(MeterRegistry registry, String result) {
		return registry.get(MicrometerPolicyObserver.RELOAD).tags("role", "live", "result", result).counter().count();
	}

	@Test
	void metricsWhenMicrometerIsMissingThenNone() {
		this.runner.withClassLoader(new FilteredClassLoader("io.micrometer"))
			.withPropertyValues(FILE + this.path)
			.run((context) -> assertThat(context).hasNotFailed().doesNotHaveBean(MicrometerPolicyObserver.class));
	}

	@Test
	void healthWhenFileIsGoodOrBadThenUpOrWarns() throws Exception {
		this.runner.withPropertyValues(FILE + this.path).run((context) -> {
			PolicyHealthIndicator indicator = context.getBean(PolicyHealthIndicator.class);
			PolicyFile file = context.getBean(FilePolicy.class).files().get(0);
			this.now.set(this.now.get().plusSeconds(3));
			assertThat(health(indicator).getStatus()).isEqualTo(Status.UP);
			assertThat(health(indicator).getDetails().toString()).isEqualTo("{live={policy=live, hash="
					+ file.policy().hash() + ", rules=1, since=2026-01-01T00:00:00Z, ageSeconds=3}}");
			Files.writeString(this.path, "{}");
			file.reload();

			assertThat(health(indicator).getStatus()).isEqualTo(PolicyHealthIndicator.WARNING);
			assertThat(health(indicator).getDetails().get("live").toString()).contains("policy=live",
					"lastError=/name: There is no name.", "failingSince=2026-01-01T00:00:03Z");
		});
	}

	private static Health health(PolicyHealthIndicator indicator) {
		return Objects.requireNonNull(indicator.health());
	}

	@Test
	void healthWhenSwitchedOffOrMissingThenNone() {
		this.runner.withPropertyValues(FILE + this.path, "management.health.grpc-policy.enabled=false")
			.run((context) -> assertThat(context).doesNotHaveBean(PolicyHealthIndicator.class));
		this.runner.withClassLoader(new FilteredClassLoader("org.springframework.boot.health"))
			.withPropertyValues(FILE + this.path)
			.run((context) -> assertThat(context).hasNotFailed().doesNotHaveBean(PolicyHealthIndicator.class));
	}

	private ApplicationContextRunner withMetrics() {
		return this.runner.withBean(MeterRegistry.class, SimpleMeterRegistry::new);
	}

	private static void failsWith(AssertableApplicationContext context, String property, String reason) {
		assertThat(context).getFailure()
			.rootCause()
			.isInstanceOfSatisfying(InvalidConfigurationPropertyValueException.class, (ex) -> {
				assertThat(ex.getName()).isEqualTo(property);
				assertThat(ex.getReason()).contains(reason);
			});
	}

	private static Code code(AssertableApplicationContext context, CallType type) {
		try (TestServer server = server(context, new EchoService())) {
			return type.call(server.channel()).code();
		}
	}

	private static List<String> plans(AssertableApplicationContext context, BindableService service) {
		try (TestServer server = server(context, service)) {
			return server.security()
				.plans()
				.stream()
				.map((plan) -> String.valueOf(plan.details().get("authorization")))
				.toList();
		}
	}

	private static TestServer server(AssertableApplicationContext context, BindableService service) {
		Consumer<GrpcServerSecurity.Builder> stages = (security) -> security
			.stages(List.of(TestStage.authentication(), context.getBean(AuthorizationStage.class)));
		return TestServer.inProcess(service, stages);
	}

}
