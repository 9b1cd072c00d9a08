package io.github.grpcsecurity.ratelimit;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;

import io.github.grpcsecurity.server.MethodPattern;
import io.grpc.Status;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

import static io.github.grpcsecurity.ratelimit.TestRules.bytes;
import static io.github.grpcsecurity.ratelimit.TestRules.cost;
import static io.github.grpcsecurity.ratelimit.TestRules.messages;
import static io.github.grpcsecurity.ratelimit.TestRules.onFailure;
import static io.github.grpcsecurity.ratelimit.TestRules.replaces;
import static io.github.grpcsecurity.ratelimit.TestRules.rule;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;
import static org.assertj.core.api.Assertions.assertThatIllegalArgumentException;
import static org.assertj.core.api.Assertions.assertThatIllegalStateException;

class RateLimitRulesTests {

	private static final Duration HOUR = Duration.ofHours(1);

	private final RateLimitRule a = rule("a", 10, HOUR);

	private final RateLimitRule b = rule("b", "global", 10, HOUR);

	private static void assertInvalid(int place, String property, String message, RateLimitRule... rules) {
		assertThatExceptionOfType(InvalidRateLimitRuleException.class)
			.isThrownBy(() -> new RateLimitRules(List.of(rules)))
			.withMessageContaining(message)
			.satisfies((ex) -> {
				assertThat(ex.rule()).isEqualTo(place);
				assertThat(ex.property()).isEqualTo(property);
			});
	}

	@Test
	void createWhenRulesDoNotFitTogetherThenSentenceSaysWhy() {
		assertInvalid(1, "name", "Another rule has the name 'a'", this.a, this.a);
		assertInvalid(0, "replaces", "There is no rule 'c'", replaces(this.a, "c"));
		assertInvalid(0, "replaces", "replace each other", replaces(this.a, "a"));
		assertInvalid(0, "replaces", "replace each other", replaces(this.a, "b"), replaces(this.b, "a"));
		assertInvalid(0, "replaces", "replace each other", replaces(this.a, "b"), replaces(this.b, "c"),
				replaces(rule("c", 1, HOUR), "a"));
		assertInvalid(1, "replaces", "'a' counts before authentication, and 'user' the other way round", this.a,
				replaces(rule("user", "principal", 1, HOUR), "a"));
		assertInvalid(0, "replaces", "The rule 'a' counts messages", replaces(messages(this.a), "b"), this.b);
		assertInvalid(0, "replaces", "The rule 'b' counts messages", replaces(this.a, "b"), messages(this.b));
		assertInvalid(0, "costs", "A cost of 11 exceeds the burst, which is 10", cost(this.a, "**", 11));
		assertInvalid(0, "key", "Set messages=true or bytes=true to count what each call sends, or use another key",
				rule("each", "call", 10, HOUR));
		assertInvalid(0, "on-failure", "which asks nobody",
				onFailure(messages(rule("each", "call", 10, HOUR)), RateLimitRule.OnFailure.DENY));
		assertInvalid(0, "costs", "a message costs as many as it has",
				cost(bytes(this.a, RateLimitRule.OnExceed.REJECT), "**", 2));
		assertInvalid(0, "cost", "a message costs as many as it has",
				bytes(this.a.withGcra(new Gcra(10, HOUR, 10, 2)), RateLimitRule.OnExceed.REJECT));
		assertInvalid(1, "cost", "A cost of 6 exceeds the burst, which is 5", this.b,
				this.a.withGcra(new Gcra(10, HOUR, 5, 6)));
	}

	@Test
	void createWhenRuleReplacesAnotherThatReplacesAnotherThenFine() {
		assertThat(new RateLimitRules(List.of(replaces(this.a, "b", "c"), replaces(this.b, "c"), rule("c", 1, HOUR)))
			.all()).hasSize(3);
	}

	@Test
	void updateWhenRulesAreGoodThenListenersHearOfThem() {
		RateLimitRules rules = new RateLimitRules(List.of(this.a));
		List<List<RateLimitRule>> heard = new ArrayList<>();
		rules.onUpdate(heard::add);

		rules.update(List.of(this.b));

		assertThat(rules.all()).containsExactly(this.b);
		assertThat(heard).containsExactly(List.of(this.b));
	}

	@Test
	void updateWhenRulesAreBadOrAListenerThrowsThenThoseInForceStay() {
		RateLimitRules rules = new RateLimitRules(List.of(this.a));
		List<List<RateLimitRule>> heard = new ArrayList<>();
		rules.onUpdate(heard::add);
		rules.onUpdate((changed) -> {
			if (changed.contains(this.b)) {
				throw new IllegalStateException("not b");
			}
		});

		assertThatIllegalArgumentException().isThrownBy(() -> rules.update(List.of(replaces(this.a, "c"))));
		assertThatIllegalStateException().isThrownBy(() -> rules.update(List.of(this.b))).withMessage("not b");

		assertThat(rules.all()).containsExactly(this.a);
		assertThat(heard).containsExactly(List.of(this.b), List.of(this.a));
	}

	@Test
	void settledWhenAChangeIsStillBeingTriedThenItIsNotAmongThem() {
		RateLimitRules rules = new RateLimitRules(List.of(this.a));
		List<List<RateLimitRule>> settled = new ArrayList<>();
		rules.onUpdate((changed) -> settled.add(rules.settled()));
		rules.onUpdate((changed) -> {
			if (changed.isEmpty()) {
				throw new IllegalStateException("none");
			}
		});
		rules.onSettled(() -> settled.add(rules.settled()));

		assertThatIllegalStateException().isThrownBy(() -> rules.update(List.of())).withMessage("none");
		assertThat(settled).containsExactly(List.of(this.a), List.of(this.a));
		rules.update(List.of(this.b));

		assertThat(settled).endsWith(List.of(this.a), List.of(this.b)).hasSize(4);
	}

	private static ConcurrencyRule inFlight(String name) {
		return new ConcurrencyRule(name, RateLimitKey.parse("global"), List.of(MethodPattern.parse("**")), 1, null,
				null, false, Status.Code.RESOURCE_EXHAUSTED);
	}

	@Test
	void createWhenRulesOfBothKindsShareANameThenSentenceSaysWhy() {
		assertThatExceptionOfType(InvalidRateLimitRuleException.class)
			.isThrownBy(() -> new RateLimitRules(List.of(this.a, this.b), List.of(inFlight("c"), inFlight("b"))))
			.withMessageContaining("Another rule has the name 'b'")
			.satisfies((ex) -> assertThat(ex.rule()).isEqualTo(3));
		assertThatExceptionOfType(InvalidRateLimitRuleException.class)
			.isThrownBy(() -> new RateLimitRules(List.of(), List.of(inFlight("c"), inFlight("c"))))
			.withMessageContaining("Another rule has the name 'c'");
	}

	private static ConcurrencyRule inFlight(RateLimitKey key, ConcurrencyRule.Adaptive adaptive) {
		return new ConcurrencyRule("d", key, List.of(MethodPattern.parse("**")), 5, adaptive, null, false,
				Status.Code.RESOURCE_EXHAUSTED);
	}

	private void assertInvalidKey(RateLimitKey key, ConcurrencyRule.Adaptive adaptive, String message) {
		RateLimitRules rules = new RateLimitRules(List.of(this.a), List.of(inFlight("c")));

		assertThatExceptionOfType(InvalidRateLimitRuleException.class)
			.isThrownBy(() -> rules.update(List.of(this.b), List.of(inFlight("c"), inFlight(key, adaptive))))
			.withMessageContaining(message)
			.satisfies((ex) -> {
				assertThat(ex.rule()).isEqualTo(2);
				assertThat(ex.property()).isEqualTo("key");
			});

		assertThat(rules.all()).containsExactly(this.a);
		assertThat(rules.concurrency()).containsExactly(inFlight("c"));
	}

	@ParameterizedTest
	@ValueSource(strings = { "peer", "principal", "issuer", "api-key", "header:tenant" })
	void updateWhenLimitAdaptsAndCallersChooseKeysThenSentenceSaysWhy(String key) {
		assertInvalidKey(RateLimitKey.parse(key), new ConcurrencyRule.Adaptive(1, 10), "use global, service or method");
	}

	@Test
	void updateWhenLimitAdaptsAndResolverIsNamedLikeOneOfOursThenSentenceSaysWhy() {
		assertInvalidKey(RateLimitKey.of("global", (call) -> "x"), new ConcurrencyRule.Adaptive(1, 10),
				"use global, service or method");
	}

	@Test
	void updateWhenCallsInFlightAreCountedByCallThenSentenceSaysWhy() {
		assertInvalidKey(RateLimitKey.parse("call"), null, "so that the rule would count to one");
		assertInvalidKey(RateLimitKey.parse("call"), new ConcurrencyRule.Adaptive(1, 10),
				"so that the rule would count to one");
	}

	@ParameterizedTest
	@ValueSource(strings = { "global", "service", "method" })
	void updateWhenLimitAdaptsAndKeysAreFewThenFine(String key) {
		RateLimitRules rules = new RateLimitRules(List.of());

		rules.update(List.of(), List.of(inFlight(RateLimitKey.parse(key), new ConcurrencyRule.Adaptive(1, 10))));

		assertThat(rules.concurrency()).hasSize(1);
	}

	@Test
	void updateWhenOnlyOneKindIsGivenThenTheOtherStays() {
		RateLimitRules rules = new RateLimitRules(List.of(this.a), List.of(inFlight("server")));

		rules.update(List.of(this.b));

		assertThat(rules.all()).containsExactly(this.b);
		assertThat(rules.concurrency()).containsExactly(inFlight("server"));
		assertThatIllegalArgumentException().isThrownBy(() -> rules.update(List.of(rule("server", 1, HOUR))));
		assertThat(rules.all()).containsExactly(this.b);
	}

	@Test
	void updateWhenOneOfBothKindsIsBadThenBothStay() {
		RateLimitRules rules = new RateLimitRules(List.of(this.a), List.of(inFlight("server")));
		List<List<ConcurrencyRule>> heard = new ArrayList<>();
		rules.onUpdate((changed) -> {
			heard.add(rules.concurrency());
			if (changed.isEmpty()) {
				throw new IllegalStateException("no rules");
			}
		});

		assertThatIllegalArgumentException()
			.isThrownBy(() -> rules.update(List.of(this.b), List.of(inFlight("c"), inFlight("c"))));
		assertThatIllegalStateException().isThrownBy(() -> rules.update(List.of(), List.of(inFlight("other"))));

		assertThat(rules.all()).containsExactly(this.a);
		assertThat(rules.concurrency()).containsExactly(inFlight("server"));
		assertThat(heard).containsExactly(List.of(inFlight("other")), List.of(inFlight("server")));
	}

}
