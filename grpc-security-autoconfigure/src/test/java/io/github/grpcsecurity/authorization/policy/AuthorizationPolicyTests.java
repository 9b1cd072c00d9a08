package io.github.grpcsecurity.authorization.policy;

import java.nio.charset.StandardCharsets;
import java.util.List;

import io.grpc.Metadata;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

import static io.github.grpcsecurity.authorization.policy.Policies.CLIENT;
import static io.github.grpcsecurity.authorization.policy.Policies.PLAINTEXT;
import static io.github.grpcsecurity.authorization.policy.Policies.TLS;
import static io.github.grpcsecurity.authorization.policy.Policies.allow;
import static io.github.grpcsecurity.authorization.policy.Policies.call;
import static io.github.grpcsecurity.authorization.policy.Policies.parse;
import static io.github.grpcsecurity.authorization.policy.Policies.path;
import static org.assertj.core.api.Assertions.assertThat;

/** What policies mean, in the cases that grpc-go and grpc-java test as well. */
class AuthorizationPolicyTests {

	/** The example in the text of A43. */
	private static final String EXAMPLE = """
			{
				'name': 'example-policy',
				'allow_rules': [
					{
						'name': 'admin-access',
						'source': {'principals': ['spiffe://foo.com/sa/admin1', 'spiffe://foo.com/sa/admin2']},
						'request': {'paths': ['/pkg.service/*']}
					},
					{
						'name': 'dev-access',
						'source': {'principals': ['*', '']},
						'request': {
							'paths': ['/pkg.service/foo', '/pkg.service/bar'],
							'headers': [{'key': 'dev-path', 'values': ['/dev/path/*']}]
						}
					}
				],
				'deny_rules': [{'name': 'deny-access', 'request': {'paths': ['*/secret']}}]
			}
			""";

	private static final String GO = """
			{
				'name': 'authz',
				'deny_rules': [{
					'name': 'deny_policy_1',
					'source': {'principals': ['spiffe://foo.abc', 'spiffe://bar*', '*baz', 'spiffe://abc.*.com']}
				}],
				'allow_rules': [
					{
						'name': 'allow_policy_1',
						'source': {'principals': ['*']},
						'request': {'paths': ['/path-foo*']}
					},
					{
						'name': 'allow_policy_2',
						'request': {
							'paths': ['/path-bar', '*baz'],
							'headers': [
								{'key': 'key-1', 'values': ['foo', '*bar']},
								{'key': 'key-2', 'values': ['baz*']}
							]
						}
					}
				]
			}
			""";

	@ParameterizedTest
	@CsvSource({ "pkg.service/foo, spiffe://foo.com/sa/admin1, none, example-policy_admin-access, true",
			"pkg.service/any, spiffe://foo.com/sa/admin2, none, example-policy_admin-access, true",
			"pkg.service/foo, spiffe://foo.com/sa/other, /dev/path/x, example-policy_dev-access, true",
			"pkg.service/bar, spiffe://foo.com/sa/other, /dev/path/, example-policy_dev-access, true",
			"pkg.service/bar, spiffe://foo.com/sa/other, /dev/pat, '', false",
			"pkg.service/foo, spiffe://foo.com/sa/other, none, '', false",
			"pkg.service/baz, spiffe://foo.com/sa/other, /dev/path/x, '', false",
			"other/foo, spiffe://foo.com/sa/admin1, none, '', false",
			"pkg.service/secret, spiffe://foo.com/sa/admin1, none, example-policy_deny-access, false" })
	void decideWhenExampleOfTheTextThenAsItSays(String method, String principal, String header, String rule,
			boolean allowed) {
		CallFacts facts = header.equals("none") ? call(method, List.of(principal))
				: call(method, List.of(principal), "dev-path", header);

		assertThat(parse(EXAMPLE).decide(facts)).isEqualTo(new PolicyDecision(allowed, "example-policy", rule));
	}

	@Test
	void decideWhenExampleOfTheTextAndNoCertificateThenEmptyPrincipalCounts() {
		String[] header = { "dev-path", "/dev/path/x" };

		assertThat(parse(EXAMPLE).decide(call("pkg.service/foo", TLS, header)).allowed()).isTrue();
		assertThat(parse(EXAMPLE).decide(call("pkg.service/foo", PLAINTEXT, header)).allowed()).isFalse();
	}

	@ParameterizedTest
	@CsvSource({ "spiffe://foo.abc, false, authz_deny_policy_1", "spiffe://bar, false, authz_deny_policy_1",
			"spiffe://bar/x, false, authz_deny_policy_1", "xbaz, false, authz_deny_policy_1",
			"spiffe://abc.*.com, false, authz_deny_policy_1", "spiffe://abc.d.com, true, authz_allow_policy_1",
			"spiffe://foo.abcd, true, authz_allow_policy_1" })
	void decideWhenPrincipalsHavePatternsThenAsInGo(String principal, boolean allowed, String rule) {
		assertThat(parse(GO).decide(call("path-foo/x", List.of(principal))))
			.isEqualTo(new PolicyDecision(allowed, "authz", rule));
	}

	@ParameterizedTest
	@CsvSource({ "path-bar, foo, bazx, true", "path-bar, xbar, baz, true", "path-bar, bar, baz, true",
			"path-bar, foo, xbaz, false", "path-bar, foox, baz, false", "path-barx, foo, baz, false",
			"x/ybaz, foo, baz, true" })
	void decideWhenHeadersHavePatternsThenAllMustMatch(String method, String first, String second, boolean allowed) {
		assertThat(parse(GO).decide(call(method, PLAINTEXT, "key-1", first, "key-2", second)).allowed())
			.isEqualTo(allowed);
		assertThat(parse(GO).decide(call(method, PLAINTEXT, "key-1", first)).allowed()).isFalse();
	}

	@ParameterizedTest
	@ValueSource(strings = { "'source': {}", "'request': {}", "'source': {}, 'request': {}", "'request': {'paths': []}",
			"'request': {'paths': [], 'headers': []}" })
	void decideWhenNothingIsRequiredThenMatchesEverything(String rule) {
		assertThat(allow(rule).decide(call("any/Method", PLAINTEXT)).allowed()).isTrue();
	}

	@Test
	void decideWhenRuleHasOnlyANameThenMatchesEverything() {
		assertThat(parse("{'name': 'authz', 'allow_rules': [{'name': 'allow_all'}]}").decide(call("a/B", PLAINTEXT)))
			.isEqualTo(new PolicyDecision(true, "authz", "authz_allow_all"));
	}

	@ParameterizedTest
	@CsvSource({ "*, spiffe://foo.abc, true", "*, '', false", "'', '', true", "'', spiffe://foo.abc, false" })
	void decideWhenPrincipalIsStarOrEmptyThenCertificateOrNone(String pattern, String principal, boolean allowed) {
		AuthorizationPolicy policy = allow("'source': {'principals': ['" + pattern + "']}");

		assertThat(policy.decide(call("a/B", List.of(principal))).allowed()).isEqualTo(allowed);
		assertThat(policy.decide(call("a/B", PLAINTEXT)).allowed()).isFalse();
	}

	@Test
	void decideWhenCertificateHasSeveralUrisThenOneMustMatch() {
		AuthorizationPolicy policy = allow("'source': {'principals': ['spiffe://b']}");

		assertThat(policy.decide(call("a/B", List.of("spiffe://a", "spiffe://b"))).allowed()).isTrue();
	}

	@Test
	void decideWhenDenyAndAllowMatchThenDenies() {
		AuthorizationPolicy policy = parse("{'name': 'authz', 'allow_rules': [{'name': 'all', " + path("*")
				+ "}], 'deny_rules': [{'name': 'none', " + path("*") + "}]}");

		assertThat(policy.decide(call("a/B", CLIENT))).isEqualTo(new PolicyDecision(false, "authz", "authz_none"));
	}

	@Test
	void decideWhenSameNameInBothListsThenBothCount() {
		AuthorizationPolicy policy = parse(
				"{'name': 'p', 'allow_rules': [{'name': 'r'}], 'deny_rules': [{'name': 'r', " + path("/a/B") + "}]}");

		assertThat(policy.decide(call("a/B", CLIENT)).allowed()).isFalse();
		assertThat(policy.decide(call("a/C", CLIENT)).allowed()).isTrue();
	}

	@Test
	void decideWhenPathHasNoSlashInFrontThenNeverMatchesAndIsWarnedOf() {
		AuthorizationPolicy policy = allow(path("a/B"));

		assertThat(policy.decide(call("a/B", CLIENT)).allowed()).isFalse();
		assertThat(policy.warnings()).singleElement()
			.asString()
			.startsWith("/allow_rules/0/request/paths/0: 'a/B' matches no method");
	}

	@Test
	void decideWhenHeaderHasSeveralValuesThenTheyAreJoined() {
		AuthorizationPolicy policy = allow("'request': {'headers': [{'key': 'Key-A', 'values': ['x,y']}]}");

		assertThat(policy.decide(call("a/B", PLAINTEXT, "key-a", "x", "key-a", "y")).allowed()).isTrue();
		assertThat(policy.decide(call("a/B", PLAINTEXT, "key-a", "x")).allowed()).isFalse();
		assertThat(policy.decide(call("a/B", PLAINTEXT, "key-a", "y", "key-a", "x")).allowed()).isFalse();
	}

	@Test
	void decideWhenHeaderIsEmptyThenStarDoesNotMatch() {
		AuthorizationPolicy policy = allow("'request': {'headers': [{'key': 'key-abc', 'values': ['*']}]}");

		assertThat(policy.decide(call("a/B", PLAINTEXT, "key-abc", "")).allowed()).isFalse();
		assertThat(policy.decide(call("a/B", PLAINTEXT)).allowed()).isFalse();
		assertThat(policy.decide(call("a/B", PLAINTEXT, "key-abc", "x")).allowed()).isTrue();
	}

	@ParameterizedTest
	@ValueSource(strings = { "AQI=", "AQI", "AQ*", "*QI=", "*QI", "*" })
	void decideWhenHeaderIsBinaryThenComparesBase64(String pattern) {
		AuthorizationPolicy policy = allow(
				"'request': {'headers': [{'key': 'key-BIN', 'values': ['" + pattern + "']}]}");
		Metadata headers = new Metadata();
		headers.put(Metadata.Key.of("key-bin", Metadata.BINARY_BYTE_MARSHALLER), new byte[] { 1, 2 });
		Metadata other = new Metadata();
		other.put(Metadata.Key.of("key-bin", Metadata.BINARY_BYTE_MARSHALLER), new byte[] { 9 });

		assertThat(policy.decide(new CallFacts("a/B", PLAINTEXT, headers)).allowed()).isTrue();
		assertThat(policy.decide(new CallFacts("a/B", PLAINTEXT, other)).allowed()).isEqualTo(pattern.equals("*"));
	}

	@Test
	void decideWhenSeveralRulesMatchThenTheFirstIsReported() {
		AuthorizationPolicy policy = parse("{'name': 'p', 'allow_rules': [{'name': 'other', " + path("/x/Y")
				+ "}, {'name': 'one', " + path("/a/*") + "}, {'name': 'two', " + path("/a/B") + "}]}");

		assertThat(policy.decide(call("a/B", PLAINTEXT)).rule()).isEqualTo("p_one");
	}

	@Test
	void decideWhenRulesForPrincipalsAndForAllMatchThenTheFirstIsReported() {
		String named = "'source': {'principals': ['spiffe://a', 'spiffe://b']}";
		AuthorizationPolicy policy = parse(
				"{'name': 'p', 'allow_rules': [{'name': 'x', 'source': {'principals': ['spiffe://c']}}, "
						+ "{'name': 'one', 'source': {'principals': ['spiffe://a*']}, " + path("/a/*")
						+ "}, {'name': 'two', " + named + "}, {'name': 'all', " + path("/a/*")
						+ "}, {'name': 'late', 'source': {'principals': ['spiffe://d']}}]}");

		assertThat(policy.decide(call("a/B", List.of("spiffe://a"))).rule()).isEqualTo("p_one");
		assertThat(policy.decide(call("b/B", List.of("spiffe://a"))).rule()).isEqualTo("p_two");
		assertThat(policy.decide(call("a/B", List.of("spiffe://b"))).rule()).isEqualTo("p_two");
		assertThat(policy.decide(call("a/B", List.of("spiffe://d"))).rule()).isEqualTo("p_all");
		assertThat(policy.decide(call("b/B", List.of("spiffe://d"))).rule()).isEqualTo("p_late");
		assertThat(policy.decide(call("b/B", List.of("spiffe://d", "spiffe://b"))).rule()).isEqualTo("p_two");
		assertThat(policy.decide(call("b/B", List.of("spiffe://e"))).allowed()).isFalse();
	}

	@Test
	void decideWhenThereAreMoreMethodsThanAreRememberedThenStillDecides() {
		AuthorizationPolicy policy = allow(path("/a/1*"));

		for (int i = 0; i < 20_010; i++) {
			assertThat(policy.decide(call("a/" + i, PLAINTEXT)).allowed()).isEqualTo(("" + i).startsWith("1"));
		}
	}

	@Test
	void hashWhenPolicyIsReadThenIsThatOfItsBytes() {
		byte[] content = Policies.allowPath("p", "*").getBytes(StandardCharsets.UTF_8);

		assertThat(AuthorizationPolicy.parse(content).hash()).isEqualTo(AuthorizationPolicy.hash(content)).hasSize(64);
	}

}
