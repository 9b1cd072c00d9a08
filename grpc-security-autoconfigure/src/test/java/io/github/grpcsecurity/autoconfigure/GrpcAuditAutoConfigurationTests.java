package io.github.grpcsecurity.autoconfigure;

import java.util.List;
import java.util.Map;
import java.util.concurrent.CopyOnWriteArrayList;

import io.github.grpcsecurity.audit.ApplicationEventAuditSink;
import io.github.grpcsecurity.audit.AuditLog;
import io.github.grpcsecurity.audit.AuditRuleStage;
import io.github.grpcsecurity.audit.AuditSink;
import io.github.grpcsecurity.audit.GrpcAuditRecord;
import io.github.grpcsecurity.audit.LoggerAuditSink;
import io.github.grpcsecurity.server.CallObserver;
import io.github.grpcsecurity.server.CallStage;
import io.github.grpcsecurity.testing.CallType;
import io.github.grpcsecurity.testing.EchoService;
import io.github.grpcsecurity.testing.TestServer;
import io.micrometer.core.instrument.binder.MeterBinder;
import io.micrometer.core.instrument.simple.SimpleMeterRegistry;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

import org.springframework.boot.actuate.audit.AuditEvent;
import org.springframework.boot.actuate.audit.AuditEventRepository;
import org.springframework.boot.actuate.audit.InMemoryAuditEventRepository;
import org.springframework.boot.actuate.autoconfigure.audit.AuditAutoConfiguration;
import org.springframework.boot.autoconfigure.AutoConfigurations;
import org.springframework.boot.context.properties.bind.UnboundConfigurationPropertiesException;
import org.springframework.boot.context.properties.source.InvalidConfigurationPropertyValueException;
import org.springframework.boot.diagnostics.FailureAnalysis;
import org.springframework.boot.diagnostics.FailureAnalyzer;
import org.springframework.boot.test.context.FilteredClassLoader;
import org.springframework.boot.test.context.assertj.AssertableApplicationContext;
import org.springframework.boot.test.context.runner.ApplicationContextRunner;
import org.springframework.boot.test.system.CapturedOutput;
import org.springframework.boot.test.system.OutputCaptureExtension;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

@ExtendWith(OutputCaptureExtension.class)
class GrpcAuditAutoConfigurationTests {

	private final ApplicationContextRunner runner = new ApplicationContextRunner()
		.withConfiguration(AutoConfigurations.of(GrpcAuditAutoConfiguration.class));

	@Test
	void auditWhenNothingIsSetThenOn() {
		this.runner.run((context) -> {
			assertThat(context).hasSingleBean(AuditLog.class)
				.hasSingleBean(CallObserver.class)
				.hasSingleBean(AuditRuleStage.class)
				.hasSingleBean(CallStage.class)
				.hasSingleBean(LoggerAuditSink.class)
				.hasSingleBean(ApplicationEventAuditSink.class);
			assertThat(context.getBean(AuditLog.class).isRunning()).isTrue();
		});
	}

	@Test
	void auditWhenSwitchedOffThenNoneAndSaysSo(CapturedOutput output) {
		this.runner.withPropertyValues("grpc.security.audit.enabled=false")
			.run((context) -> assertThat(context).doesNotHaveBean(AuditLog.class).doesNotHaveBean(AuditSink.class));

		assertThat(output).contains("gRPC calls are not audited, because grpc.security.audit.enabled is false");
	}

	@Test
	void auditWhenSecurityIsOffThenNone(CapturedOutput output) {
		this.runner.withPropertyValues("grpc.security.enabled=false")
			.run((context) -> assertThat(context).doesNotHaveBean(AuditLog.class));

		assertThat(output).doesNotContain("not audited");
	}

	@Test
	void auditWhenActuatorAndMicrometerAreMissingThenWorksWithoutThem() {
		this.runner.withClassLoader(new FilteredClassLoader("org.springframework.boot.actuate", "io.micrometer"))
			.run((context) -> assertThat(context).hasNotFailed()
				.hasSingleBean(AuditLog.class)
				.hasSingleBean(LoggerAuditSink.class)
				.doesNotHaveBean("grpcAuditApplicationEventSink")
				.doesNotHaveBean("grpcAuditMetrics"));
	}

	@Test
	void auditWhenUserHasOwnBeansThenBacksOff() {
		this.runner.withBean("ownSink", LoggerAuditSink.class, LoggerAuditSink::new)
			.withBean("ownRules", AuditRuleStage.class, () -> new AuditRuleStage(List.of()))
			.run((context) -> assertThat(context).hasSingleBean(LoggerAuditSink.class)
				.hasBean("ownSink")
				.hasSingleBean(AuditRuleStage.class)
				.hasBean("ownRules"));
	}

	@Test
	void auditWhenThereIsNoSinkThenSaysSo(CapturedOutput output) {
		this.runner
			.withPropertyValues("grpc.security.audit.log.enabled=false", "grpc.security.audit.application-events=false")
			.run((context) -> assertThat(context).hasSingleBean(AuditLog.class).doesNotHaveBean(AuditSink.class));

		assertThat(output).contains("gRPC calls are not audited: there is no sink.");
	}

	@Test
	void callThenUserSinkLoggerAndEventRepositoryGetIt(CapturedOutput output) {
		List<GrpcAuditRecord> records = new CopyOnWriteArrayList<>();
		this.runner.withConfiguration(AutoConfigurations.of(AuditAutoConfiguration.class))
			.withBean(AuditEventRepository.class, InMemoryAuditEventRepository::new)
			.withBean(AuditSink.class, () -> records::add)
			.run((context) -> {
				call(context, CallType.UNARY);
				AuditEventRepository repository = context.getBean(AuditEventRepository.class);
				await().until(() -> repository.find(null, null, null).size() == 2);

				AuditEvent event = repository.find("anonymous", null, "grpc_call_permit").get(0);
				assertThat(event.getTimestamp()).isEqualTo(records.get(0).time());
				assertThat(event.getData()).isEqualTo(records.get(0).fields())
					.containsAllEntriesOf(Map.of("rpc.method", "Unary", "decision.outcome", "permit"));
				assertThat(repository.find(null, null, "grpc_call_end")).hasSize(1);
				assertThat(records).hasSize(2)
					.allSatisfy(
							(record) -> assertThat(output).contains("grpc.security.audit").contains(record.toJson()));
			});
	}

	@Test
	void callWhenApplicationEventsAreOffThenNone() {
		List<GrpcAuditRecord> records = new CopyOnWriteArrayList<>();
		this.runner.withConfiguration(AutoConfigurations.of(AuditAutoConfiguration.class))
			.withPropertyValues("grpc.security.audit.application-events=false")
			.withBean(AuditEventRepository.class, InMemoryAuditEventRepository::new)
			.withBean(AuditSink.class, () -> records::add)
			.run((context) -> {
				call(context, CallType.UNARY);
				await().until(() -> records.size() == 2);
				assertThat(context.getBean(AuditEventRepository.class).find(null, null, null)).isEmpty();
			});
	}

	@Test
	void callWhenRulesAreSetThenTheyHold() {
		List<GrpcAuditRecord> records = new CopyOnWriteArrayList<>();
		this.runner.withPropertyValues("grpc.security.audit.rules[0].methods=testing.Echo/Unary",
				"grpc.security.audit.rules[0].level=none", "grpc.security.audit.rules[1].methods[0]=testing.Echo/Bidi",
				"grpc.security.audit.rules[1].outcome=denied")
			.withBean(AuditSink.class, () -> records::add)
			.run((context) -> {
				call(context, CallType.UNARY);
				call(context, CallType.BIDI);
				call(context, CallType.CLIENT_STREAM);
				await().until(() -> records.size() == 2);
			});

		assertThat(records).extracting((record) -> record.fields().get("rpc.method"))
			.containsExactly("ClientStream", "ClientStream");
	}

	@Test
	void closeThenRecordsAreWrittenBeforeTheContextIsGone() {
		List<GrpcAuditRecord> records = new CopyOnWriteArrayList<>();
		this.runner.withBean(AuditSink.class, () -> records::add).run((context) -> {
			for (int i = 0; i < 20; i++) {
				call(context, CallType.UNARY);
			}
		});

		assertThat(records).hasSize(40);
	}

	@Test
	void metricsWhenRecordsAreDroppedThenCounted() {
		this.runner.withPropertyValues("grpc.security.audit.queue-capacity=1").run((context) -> {
			SimpleMeterRegistry registry = new SimpleMeterRegistry();
			context.getBean(MeterBinder.class).bindTo(registry);
			context.getBean(AuditLog.class).close();
			call(context, CallType.UNARY);

			assertThat(registry.get("grpc.security.audit.dropped").tag("denied", "false").functionCounter().count())
				.isEqualTo(2);
			assertThat(registry.get("grpc.security.audit.dropped").tag("denied", "true").functionCounter().count())
				.isZero();
			assertThat(registry.get("grpc.security.audit.failed").functionCounter().count()).isZero();
		});
	}

	@ParameterizedTest
	@CsvSource(delimiter = '|', textBlock = """
			queue-capacity=0          | grpc.security.audit.queue-capacity | At least one record must be able to wait.
			rules[0].level=none       | grpc.security.audit.rules[0].methods | A rule needs the methods it is for
			rules[0].methods[0]=bank  | grpc.security.audit.rules[0].methods[0] | is not a method pattern
			""")
	void startWhenValueIsBadThenFailsAndNamesTheProperty(String property, String name, String reason) {
		this.runner.withPropertyValues("grpc.security.audit." + property).run((context) -> {
			assertThat(context).hasFailed();
			assertThat(context.getStartupFailure()).rootCause()
				.isInstanceOfSatisfying(InvalidConfigurationPropertyValueException.class, (ex) -> {
					assertThat(ex.getName()).isEqualTo(name);
					assertThat(ex.getReason()).contains(reason);
				});
		});
	}

	@Test
	void startWhenLevelIsNotThereThenFailsAndNamesTheOnesThatAre() throws Exception {
		this.runner
			.withPropertyValues("grpc.security.audit.rules[0].methods=**", "grpc.security.audit.rules[0].level=request")
			.run((context) -> {
				FailureAnalysis analysis = analyze(context);

				assertThat(analysis.getDescription()).contains("grpc.security.audit.rules[0].level", "\"request\"");
				assertThat(analysis.getAction()).contains("METADATA", "NONE");
			});
	}

	@Test
	void startWhenPropertyIsUnknownThenFailsAndNamesIt() {
		this.runner.withPropertyValues("grpc.security.audit.mode=strict").run((context) -> {
			assertThat(context).hasFailed();
			assertThat(context.getStartupFailure()).rootCause()
				.isInstanceOfSatisfying(UnboundConfigurationPropertiesException.class,
						(ex) -> assertThat(ex.getUnboundProperties())
							.extracting((property) -> property.getName().toString())
							.containsExactly("grpc.security.audit.mode"));
		});
	}

	private static FailureAnalysis analyze(AssertableApplicationContext context) throws Exception {
		assertThat(context).hasFailed();
		var analyzer = Class.forName("org.springframework.boot.diagnostics.analyzer.BindFailureAnalyzer")
			.getDeclaredConstructor();
		analyzer.setAccessible(true);
		return ((FailureAnalyzer) analyzer.newInstance()).analyze(context.getStartupFailure());
	}

	private static void call(AssertableApplicationContext context, CallType type) {
		List<CallStage> stages = context.getBeanProvider(CallStage.class).orderedStream().toList();
		CallObserver[] observers = context.getBeanProvider(CallObserver.class)
			.orderedStream()
			.toArray(CallObserver[]::new);
		try (TestServer server = TestServer.network(new EchoService(), stages, observers)) {
			type.call(server.channel());
		}
	}

}
