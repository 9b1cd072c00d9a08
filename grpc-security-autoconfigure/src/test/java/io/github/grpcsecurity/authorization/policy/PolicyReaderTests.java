package io.github.grpcsecurity.authorization.policy;

import java.nio.charset.StandardCharsets;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

import static io.github.grpcsecurity.authorization.policy.Policies.parse;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;

/** What is refused when a policy is loaded, and what is not. */
class PolicyReaderTests {

	private static final String ALLOW = "'allow_rules': [{'name': 'a', 'source': {'principals': ['*', '']}}]";

	private static final String DENY = "'deny_rules': [{'name': 'd', 'source': {'principals': ['spiffe://foo.abc']}}]";

	@ParameterizedTest
	@CsvSource(delimiter = '|', quoteCharacter = '`', value = {
			// Those that grpc-go and grpc-java refuse as well
			"{'random': 123} | /random | not known", "{} | /name | no name", "{'name': 123} | /name | wrong type",
			"{'name': ['abc']} | /name | wrong type", "{'name': ''} | /name | no name",
			"{'name': 'p'} | /allow_rules | no allow rules",
			"{'name': 'p', 'allow_rules': []} | /allow_rules | no allow",
			"{'name': 'p', 'allow_rules': {}} | /allow_rules | wrong type",
			"{'name': 'p', 'allow_rules': [{}]} | /allow_rules/0/name | no name",
			"{'name': 'p', 'allow_rules': ['a']} | /allow_rules/0 | wrong type",
			"{'name': 'p', 'allow_rules': [{'name': 'a', 'x': 1}]} | /allow_rules/0/x | not known",
			"{'name': 'p', 'allow_rules': [{'name': 'a', 'source': {'x': 1}}]} | /allow_rules/0/source/x | not known",
			"{'name': 'p', 'allow_rules': [{'name': 'a', 'request': {'x': 1}}]} | /allow_rules/0/request/x | not known",
			"{'name': 'p', 'Allow_rules': [{'name': 'a'}]} | /Allow_rules | not known",
			// Stricter than both
			"{'name': 'p', 'allow_rules': [{'name': 'a'}, {'name': 'a'}]} | /allow_rules/1/name | called 'a' too",
			"{'name': 'p', 'allow_rules': [{'name': 'a'}], 'deny_rules': [{'name': 'd'}, {'name': 'd'}]} | /deny_rules/1/name | called 'd' too",
			"{'name': 'p', 'name': 'q'} | /name | there twice",
			"{'name': 'p', 'allow_rules': [{'name': 'a', 'name': 'b'}]} | /allow_rules/0/name | there twice",
			"{'name': 'p', 'allow_rules': [{'name': 'a', 'source': {'principals': ['*a*']}}]} | /allow_rules/0/source/principals/0 | star at both ends",
			"{'name': 'p', 'allow_rules': [{'name': 'a', 'request': {'paths': ['*', '**']}}]} | /allow_rules/0/request/paths/1 | star at both ends",
			"{'name': 'p', 'allow_rules': [{'name': 'a', 'request': {'paths': ['']}}]} | /allow_rules/0/request/paths/0 | is empty",
			"{'name': 'p', 'allow_rules': [{'name': 'a', 'source': {'principals': []}}]} | /allow_rules/0/source/principals | is empty",
			"{'name': 'p', 'allow_rules': [{'name': 'a', 'source': {'principals': [null]}}]} | /allow_rules/0/source/principals/0 | no value",
			"{'name': 'p', 'allow_rules': [{'name': 'a', 'source': null}]} | /allow_rules/0/source | no value",
			"{'name': 'p', 'allow_rules': [{'name': 'a', 'source': {'principals': 'x'}}]} | /allow_rules/0/source/principals | wrong type",
			"{'name': 'p', 'allow_rules': [{'name': 'a', 'request': {'paths': [1]}}]} | /allow_rules/0/request/paths/0 | wrong type",
			"{'a/b~c': 1} | /a~1b~0c | not known", "[] | `` | wrong type", "1 | `` | wrong type",
			"{ 'name': 'abc',, } | /name | no JSON", "{'name': 'p' | /name | no JSON" })
	void readWhenPolicyIsNotCertainThenRefusesWithPointer(String json, String pointer, String problem) {
		assertThatExceptionOfType(InvalidPolicyException.class).isThrownBy(() -> parse(json)).satisfies((ex) -> {
			assertThat(ex.pointer()).isEqualTo(pointer);
			assertThat(ex.problem()).contains(problem);
			assertThat(ex.wayOut()).isNotEmpty();
			assertThat(ex)
				.hasMessage((pointer.isEmpty() ? "The policy" : pointer) + ": " + ex.problem() + " " + ex.wayOut());
		});
	}

	@ParameterizedTest
	@ValueSource(strings = { "{'name': 'p', " + ALLOW + "} {}", "{'name': 'p', " + ALLOW + "} x",
			"{'name': 'p', " + ALLOW + "}}", "{'name': 'p', " + ALLOW + "} // end", "", "  \n" })
	void readWhenSomethingFollowsOrIsMissingThenRefuses(String json) {
		assertThatExceptionOfType(InvalidPolicyException.class).isThrownBy(() -> parse(json));
	}

	@ParameterizedTest
	@ValueSource(strings = { ":method", ":PATH", "grpc-xxx", "GRPC-Timeout", "Grpc-xxx", "host", "Host", "Connection",
			"keep-alive", "Proxy-Authenticate", "proxy-authorization", "TE", "trailer", "Transfer-Encoding",
			"upgrade" })
	void readWhenHeaderCannotBeMatchedThenRefusesInAnyCase(String key) {
		assertThatExceptionOfType(InvalidPolicyException.class)
			.isThrownBy(() -> header("{'key': '" + key + "', 'values': ['x']}"))
			.satisfies((ex) -> assertThat(ex.pointer()).isEqualTo("/allow_rules/0/request/headers/1/key"));
	}

	@ParameterizedTest
	@CsvSource(delimiter = '|', quoteCharacter = '`',
			value = { "{} | /key", "{'key': '', 'values': ['x']} | /key", "{'key': 'a'} | /values",
					"{'key': 'a', 'values': []} | /values", "{'key': 'a', 'values': ['']} | /values/0",
					"{'key': 'a', 'values': ['*x*']} | /values/0", "{'key': 'a', 'values': [null]} | /values/0",
					"{'key': 'ä', 'values': ['x']} | /key", "{'key': 'a b', 'values': ['x']} | /key",
					"{'key': 'a', 'values': ['x'], 'invert': true} | /invert" })
	void readWhenHeaderIsIncompleteThenRefuses(String header, String pointer) {
		assertThatExceptionOfType(InvalidPolicyException.class).isThrownBy(() -> header(header))
			.satisfies((ex) -> assertThat(ex.pointer()).isEqualTo("/allow_rules/0/request/headers/1" + pointer));
	}

	private static void header(String header) {
		parse("{'name': 'p', 'allow_rules': [{'name': 'a', 'request': {'headers': [{'key': 'key-a', 'values': ['x']}, "
				+ header + "]}}]}");
	}

	@Test
	void readWhenPolicyIsTooLargeThenRefuses() {
		byte[] large = new byte[AuthorizationPolicy.MAX_SIZE + 1];

		assertThatExceptionOfType(InvalidPolicyException.class).isThrownBy(() -> AuthorizationPolicy.parse(large))
			.withMessageContaining("larger than 1 MiB");
	}

	@Test
	void readWhenPolicyIsJustNotTooLargeThenReads() {
		String policy = Policies.allowPath("p", "*");
		byte[] content = (policy + " ".repeat(AuthorizationPolicy.MAX_SIZE - policy.length()))
			.getBytes(StandardCharsets.UTF_8);

		assertThat(AuthorizationPolicy.parse(content).name()).isEqualTo("p");
	}

	@Test
	void readWhenNotUtf8ThenRefuses() {
		byte[] content = Policies.allowPath("ä", "*").getBytes(StandardCharsets.ISO_8859_1);

		assertThatExceptionOfType(InvalidPolicyException.class).isThrownBy(() -> AuthorizationPolicy.parse(content))
			.withMessageContaining("UTF-8");
	}

	@Test
	void readWhenNestedWithoutEndThenRefuses() {
		assertThatExceptionOfType(InvalidPolicyException.class).isThrownBy(() -> parse("[".repeat(100_000)));
	}

	@ParameterizedTest
	@CsvSource({ "NONE, false, false", "ON_DENY, false, true", "ON_ALLOW, true, false",
			"ON_DENY_AND_ALLOW, true, true" })
	void readWhenAuditConditionThenCountsForTheWholePolicy(String condition, boolean onAllow, boolean onDeny) {
		AuthorizationPolicy policy = audit("'audit_condition': '" + condition
				+ "', 'audit_loggers': [{'name': 'stdout_logger', 'config': {}, 'is_optional': false}]");

		assertThat(policy.auditCondition().includes(true)).isEqualTo(onAllow);
		assertThat(policy.auditCondition().includes(false)).isEqualTo(onDeny);
		assertThat(policy.auditLoggers()).singleElement().satisfies((logger) -> {
			assertThat(logger.name()).isEqualTo("stdout_logger");
			assertThat(logger.config()).isEmpty();
			assertThat(logger.optional()).isFalse();
		});
		assertThat(policy.warnings()).isEmpty();
	}

	@Test
	void readWhenAuditHasNoConditionThenNone() {
		assertThat(audit("'audit_loggers': [{'name': 'stdout_logger'}]").auditCondition())
			.isEqualTo(AuditCondition.NONE);
		assertThat(audit("'audit_condition': 'ON_DENY'").auditLoggers()).isEmpty();
		assertThat(parse("{'name': 'p', " + ALLOW + "}").auditCondition()).isEqualTo(AuditCondition.NONE);
	}

	@Test
	void readWhenLoggerHasSettingsThenKeepsThem() {
		AuthorizationPolicy policy = audit(
				"'audit_loggers': [{'name': 'own', 'config': {'abc': 123, 'xyz': {'abc': [1.5,"
						+ " 'x', true]}}, 'is_optional': true}]");

		assertThat(policy.auditLoggers().get(0).config().toString()).isEqualTo("{abc=123, xyz={abc=[1.5, x, true]}}");
		assertThat(policy.auditLoggers().get(0).optional()).isTrue();
	}

	@Test
	void readWhenLoggersAreNamedAsInTheSchemaThenTakesThemAndWarns() {
		AuthorizationPolicy policy = audit("'audit_logger': [{'name': 'stdout_logger'}]");

		assertThat(policy.auditLoggers()).hasSize(1);
		assertThat(policy.warnings()).singleElement().asString().startsWith("/audit_logging_options/audit_logger: ");
	}

	@ParameterizedTest
	@CsvSource(delimiter = '|', quoteCharacter = '`',
			value = { "'audit_condition': 'ABC' | /audit_condition", "'audit_condition': '' | /audit_condition",
					"'audit_condition': 1 | /audit_condition",
					"'audit_loggers': [{'name': 'x', 'config': 'abc'}] | /audit_loggers/0/config",
					"'audit_loggers': [{'name': '', 'config': {}}] | /audit_loggers/0/name",
					"'audit_loggers': [{'config': {}}] | /audit_loggers/0/name",
					"'audit_loggers': [{'name': 'x', 'is_optional': 'yes'}] | /audit_loggers/0/is_optional",
					"'audit_loggers': [{'name': 'x', 'other': 1}] | /audit_loggers/0/other",
					"'audit_loggers': [{'name': 'x', 'config': {'a': 1, 'a': 2}}] | /audit_loggers/0/config/a",
					"'audit_loggers': [], 'audit_logger': [] | /audit_logger", "'other': 1 | /other" })
	void readWhenAuditIsWrongThenRefuses(String audit, String pointer) {
		assertThatExceptionOfType(InvalidPolicyException.class).isThrownBy(() -> audit(audit))
			.satisfies((ex) -> assertThat(ex.pointer()).isEqualTo("/audit_logging_options" + pointer));
	}

	private static AuthorizationPolicy audit(String audit) {
		return parse("{'name': 'authz', " + ALLOW + ", " + DENY + ", 'audit_logging_options': {" + audit + "}}");
	}

}
