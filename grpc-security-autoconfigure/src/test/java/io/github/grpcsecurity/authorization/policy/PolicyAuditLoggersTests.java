package io.github.grpcsecurity.authorization.policy;

import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.time.Instant;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Queue;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.atomic.AtomicInteger;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;

import org.springframework.boot.test.system.CapturedOutput;
import org.springframework.boot.test.system.OutputCaptureExtension;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;
import static org.assertj.core.api.Assertions.assertThatIllegalStateException;

/** How audit events get to their loggers. */
@ExtendWith(OutputCaptureExtension.class)
class PolicyAuditLoggersTests {

	private static final PolicyAuditEvent EVENT = new PolicyAuditEvent("/helloworld.Greeter/SayHello",
			"spiffe://example.org/ns/default/sa/default/backend", "example-policy", "example-policy_dev-access", true,
			Instant.parse("2026-01-02T03:04:05.123456789Z"));

	private final Queue<Runnable> executor = new ArrayDeque<>();

	private final List<Object> logged = new ArrayList<>();

	private final AtomicInteger dropped = new AtomicInteger();

	@Test
	void stdoutWhenDecisionThenWritesOneLineAsGoDoes() {
		ByteArrayOutputStream bytes = new ByteArrayOutputStream();
		PrintStream out = new PrintStream(bytes, true, StandardCharsets.UTF_8);

		new StdoutAuditLoggerFactory(() -> out).create(Map.of()).log(EVENT);

		assertThat(bytes.toString(StandardCharsets.UTF_8).lines())
			.containsExactly("{\"grpc_audit_log\":{\"rpc_method\":\"/helloworld.Greeter/SayHello\","
					+ "\"principal\":\"spiffe://example.org/ns/default/sa/default/backend\","
					+ "\"policy_name\":\"example-policy\",\"matched_rule\":\"example-policy_dev-access\","
					+ "\"authorized\":true,\"timestamp\":\"2026-01-02T03:04:05.123456789Z\"}}");
	}

	@Test
	void stdoutWhenValuesAreHostileThenStillOneLineOfAscii() {
		String json = StdoutAuditLoggerFactory
			.json(new PolicyAuditEvent("/a\"\\\n\u001b\u2028ä/B", "", "p", "", false, Instant.EPOCH));

		assertThat(json).contains("/a\\\"\\\\\\u000a\\u001b\\u2028\\u00e4/B")
			.contains("\"authorized\":false,\"timestamp\":\"1970-01-01T00:00:00Z\"");
	}

	@Test
	void createWhenStdoutHasSettingsThenIgnoresThemAndSaysSo(CapturedOutput output) {
		new StdoutAuditLoggerFactory(() -> System.out).create(Map.of("a", 1));

		assertThat(output).contains("takes no settings");
	}

	@Test
	void createWhenPolicyNamesLoggersThenMakesThem() {
		assertThat(loggers(factory("own")).create(policy("{'name': 'own'}, {'name': 'stdout_logger'}"))).hasSize(2);
	}

	@Test
	void createWhenLoggerIsUnknownThenThrowsUnlessOptional() {
		assertThat(loggers().create(policy("{'name': 'own', 'is_optional': true}, {'name': 'stdout_logger'}")))
			.hasSize(1);
		assertThatExceptionOfType(InvalidPolicyException.class)
			.isThrownBy(() -> loggers(factory("other")).create(policy("{'name': 'own'}")))
			.withMessage("/audit_logging_options/audit_loggers/0/name: There is no audit logger 'own'. Add a bean of "
					+ "type PolicyAuditLoggerFactory with this name, use one of [other, stdout_logger], or set "
					+ "\"is_optional\".");
	}

	@Test
	void createWhenLoggerRefusesItsSettingsThenThrowsUnlessOptional() {
		assertThat(loggers(factory("own")).create(policy("{'name': 'own', 'config': {'bad': 1}, 'is_optional': true}")))
			.isEmpty();
		assertThatExceptionOfType(InvalidPolicyException.class)
			.isThrownBy(() -> loggers(factory("own")).create(policy("{'name': 'own', 'config': {'bad': 1}}")))
			.satisfies((ex) -> assertThat(ex.pointer()).isEqualTo("/audit_logging_options/audit_loggers/0/config"));
	}

	@Test
	void newWhenTwoFactoriesHaveOneNameThenThrows() {
		assertThatIllegalStateException().isThrownBy(() -> loggers(factory("own"), factory("own")))
			.withMessageContaining("'own'");
		assertThat(loggers(factory("stdout_logger")).create(policy("{'name': 'stdout_logger'}"))).hasSize(1);
	}

	@Test
	void logWhenCalledThenRunsLaterAndInOrder() {
		PolicyAuditLoggers loggers = loggers();
		List<PolicyAuditLogger> targets = List.of((event) -> this.logged.add(event.matchedRule()));
		for (int i = 0; i < 5; i++) {
			loggers.log(event("" + i), targets);
		}

		assertThat(this.logged).isEmpty();
		assertThat(this.executor).hasSize(1);
		this.executor.remove().run();
		assertThat(this.logged).containsExactly("0", "1", "2", "3", "4");
	}

	@Test
	void logWhenOneLoggerThrowsThenOthersGetTheEvent(CapturedOutput output) {
		PolicyAuditLoggers loggers = loggers();
		List<PolicyAuditLogger> targets = List.of((event) -> {
			throw new IllegalArgumentException("broken");
		}, this.logged::add);
		loggers.log(event("0"), targets);
		this.executor.remove().run();

		assertThat(this.logged).hasSize(1);
		assertThat(output).contains("An audit logger of the policy failed");
	}

	@Test
	void logWhenLoggersAreTooSlowThenDropsAndRecovers(CapturedOutput output) {
		PolicyAuditLoggers loggers = loggers();
		List<PolicyAuditLogger> targets = List.of(this.logged::add);
		for (int i = 0; i < 10_003; i++) {
			loggers.log(EVENT, targets);
		}
		this.executor.remove().run();

		assertThat(this.logged).hasSize(10_000);
		assertThat(this.dropped).hasValue(3);
		assertThat(output).containsOnlyOnce("too slow");
		loggers.log(EVENT, targets);
		this.executor.remove().run();
		assertThat(this.logged).hasSize(10_001);
	}

	@Test
	void closeWhenExecutorIsGoneThenWritesWhatWaits() {
		PolicyAuditLoggers loggers = new PolicyAuditLoggers(List.of(), (task) -> {
			throw new RejectedExecutionException();
		}, List.of());
		loggers.log(EVENT, List.of(this.logged::add));
		assertThat(this.logged).isEmpty();

		loggers.close();

		assertThat(this.logged).containsExactly(EVENT);
	}

	private static PolicyAuditEvent event(String rule) {
		return new PolicyAuditEvent("/a/B", "", "p", rule, false, Instant.EPOCH);
	}

	private PolicyAuditLoggers loggers(PolicyAuditLoggerFactory... factories) {
		return new PolicyAuditLoggers(List.of(factories), this.executor::add, List.of(new PolicyObserver() {
			@Override
			public void auditEventDropped() {
				PolicyAuditLoggersTests.this.dropped.incrementAndGet();
			}
		}));
	}

	private PolicyAuditLoggerFactory factory(String name) {
		return new PolicyAuditLoggerFactory() {
			@Override
			public String name() {
				return name;
			}

			@Override
			public PolicyAuditLogger create(Map<String, Object> config) {
				if (config.containsKey("bad")) {
					throw new IllegalArgumentException("bad");
				}
				return PolicyAuditLoggersTests.this.logged::add;
			}
		};
	}

	private static AuthorizationPolicy policy(String loggers) {
		return Policies
			.parse("{'name': 'p', 'allow_rules': [{'name': 'a'}], 'audit_logging_options': {'audit_loggers': ["
					+ loggers + "]}}");
	}

}
