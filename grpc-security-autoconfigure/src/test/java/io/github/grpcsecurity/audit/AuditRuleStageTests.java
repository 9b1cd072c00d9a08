package io.github.grpcsecurity.audit;

import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;

import io.github.grpcsecurity.testing.CallType;
import io.github.grpcsecurity.testing.EchoService;
import io.github.grpcsecurity.testing.TestServer;
import org.junit.jupiter.api.Test;

import org.springframework.boot.context.properties.source.InvalidConfigurationPropertyValueException;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;

class AuditRuleStageTests {

	private static final AuditRule ALL = rule(AuditLevel.METADATA, AuditOutcome.ALL, "**");

	@Test
	void planThenFirstRuleThatNamesTheMethodHolds() {
		AuditRuleStage stage = new AuditRuleStage(
				List.of(rule(AuditLevel.NONE, AuditOutcome.ALL, CallType.UNARY.method()),
						rule(AuditLevel.METADATA, AuditOutcome.DENIED, "testing.*/*"), ALL));

		assertThat(details(stage)).containsEntry(CallType.UNARY.method(), "none")
			.containsEntry(CallType.BIDI.method(), "metadata, denied calls only")
			.containsEntry("(unknown service)/(unknown method)", "metadata");
	}

	@Test
	void planWhenNoRuleNamesTheMethodThenRecordedWhole() {
		AuditRuleStage stage = new AuditRuleStage(
				List.of(rule(AuditLevel.NONE, AuditOutcome.ALL, CallType.UNARY.method())));

		assertThat(details(stage)).containsEntry(CallType.UNARY.method(), "none")
			.containsEntry(CallType.BIDI.method(), "metadata");
	}

	@Test
	void planWhenPatternMatchesNoMethodThenStartFails() {
		AuditRuleStage stage = new AuditRuleStage(
				List.of(ALL, rule(AuditLevel.NONE, AuditOutcome.ALL, "testing.*/*", "tseting.Echo/*")));

		assertThatExceptionOfType(InvalidConfigurationPropertyValueException.class).isThrownBy(() -> details(stage))
			.satisfies((ex) -> {
				assertThat(ex.getName()).isEqualTo("grpc.security.audit.rules[1].methods[1]");
				assertThat(ex.getReason())
					.isEqualTo("No method of this server matches. Correct the pattern or remove it.");
			});
	}

	@Test
	void createWhenPatternCannotBeReadThenNamesTheProperty() {
		assertThatExceptionOfType(InvalidConfigurationPropertyValueException.class)
			.isThrownBy(() -> new AuditRuleStage(List.of(rule(AuditLevel.NONE, AuditOutcome.ALL, "nonsense"))))
			.satisfies((ex) -> {
				assertThat(ex.getName()).isEqualTo("grpc.security.audit.rules[0].methods[0]");
				assertThat(ex.getReason()).startsWith("'nonsense' is not a method pattern");
			});
	}

	@Test
	void createWhenRuleHasNoMethodsThenNamesTheProperty() {
		assertThatExceptionOfType(InvalidConfigurationPropertyValueException.class)
			.isThrownBy(() -> new AuditRuleStage(List.of(rule(AuditLevel.NONE, AuditOutcome.ALL))))
			.satisfies((ex) -> assertThat(ex.getName()).isEqualTo("grpc.security.audit.rules[0].methods"));
	}

	private static AuditRule rule(AuditLevel level, AuditOutcome outcome, String... methods) {
		return new AuditRule(List.of(methods), level, outcome);
	}

	private static Map<String, String> details(AuditRuleStage stage) {
		try (TestServer server = TestServer.inProcess(new EchoService(), List.of(stage))) {
			return server.security()
				.plans()
				.stream()
				.collect(Collectors.toMap((plan) -> plan.method().fullName(),
						(plan) -> plan.details().get("audit").toString()));
		}
	}

}
