package io.github.grpcsecurity.ratelimit;

import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.LongAdder;

import io.github.grpcsecurity.ratelimit.RateLimitObserver.Outcome;
import io.github.grpcsecurity.ratelimit.redis.RedisRateLimiter;
import io.github.grpcsecurity.server.GrpcSecurityThreads;
import io.github.grpcsecurity.server.SecuredCall;
import io.github.grpcsecurity.testing.CallType;
import io.github.grpcsecurity.testing.EchoService;
import io.github.grpcsecurity.testing.TestRedis;
import io.github.grpcsecurity.testing.TestServer;
import io.grpc.Status.Code;
import org.awaitility.Awaitility;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

import org.springframework.data.redis.connection.lettuce.LettuceConnectionFactory;

import static io.github.grpcsecurity.ratelimit.TestRules.cost;
import static io.github.grpcsecurity.ratelimit.TestRules.methods;
import static io.github.grpcsecurity.ratelimit.TestRules.replaces;
import static io.github.grpcsecurity.ratelimit.TestRules.rule;
import static io.github.grpcsecurity.ratelimit.TestRules.shadow;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;

/** Costs, rules that replace others, and changes while the server runs. */
class RateLimitChangeIT {

	private static final Duration HOUR = Duration.ofHours(1);

	private final Map<String, Map<Outcome, LongAdder>> counts = new ConcurrentHashMap<>();

	private TestServer serve(RateLimiter limiter, RateLimitRules rules) {
		RateLimitObserver observer = (rule, outcome) -> this.counts
			.computeIfAbsent(rule.name(), (name) -> new ConcurrentHashMap<>())
			.computeIfAbsent(outcome, (name) -> new LongAdder())
			.increment();
		return TestServer.network(new EchoService(), List.of(new PeerLimitStage(rules, limiter, observer)));
	}

	private TestServer serve(RateLimitRule... rules) {
		return serve(inMemory(), new RateLimitRules(List.of(rules)));
	}

	private static InMemoryRateLimiter inMemory() {
		return new InMemoryRateLimiter(1000, System::nanoTime);
	}

	private long count(String rule, Outcome outcome) {
		LongAdder count = this.counts.getOrDefault(rule, Map.of()).get(outcome);
		return (count != null) ? count.sum() : 0;
	}

	private static int admitted(TestServer server, CallType type) {
		int admitted = 0;
		while (type.call(server.channel()).code() == Code.OK) {
			admitted++;
		}
		return admitted;
	}

	@ParameterizedTest
	@EnumSource
	void callWhenItsMethodCostsMoreThenItTakesMore(CallType type) {
		try (TestServer server = serve(cost(rule("r", 10, HOUR), type.method(), 4))) {
			CallType other = CallType.values()[(type.ordinal() + 1) % 4];

			assertThat(admitted(server, type)).isEqualTo(2);
			assertThat(admitted(server, other)).isEqualTo(2);
		}
	}

	@ParameterizedTest
	@EnumSource
	void callWhenASpecificRuleReplacesAGeneralOneThenOnlyItCounts(CallType type) {
		RateLimitRule special = methods(replaces(rule("special", 5, HOUR), "general"), type.method());
		try (TestServer server = serve(rule("general", 2, HOUR), special)) {
			CallType other = CallType.values()[(type.ordinal() + 1) % 4];

			assertThat(admitted(server, type)).isEqualTo(5);
			assertThat(count("general", Outcome.ALLOWED)).isZero();
			assertThat(admitted(server, other)).isEqualTo(2);
			assertThat(server.security().plans()).filteredOn((plan) -> plan.method().fullName().equals(type.method()))
				.first()
				.asString()
				.contains("unless special counts");
		}
	}

	@Test
	void callWhenARuleThatReplacesIsReplacedItselfThenItReplacesNone() {
		RateLimitRule general = rule("general", 2, HOUR);
		RateLimitRule middle = replaces(rule("middle", 10, HOUR), "general");
		RateLimitRule special = methods(replaces(rule("special", 5, HOUR), "middle"), CallType.UNARY.method());
		try (TestServer server = serve(general, middle, special)) {
			// Only the special rule counts besides the general one, which nobody replaces
			assertThat(admitted(server, CallType.UNARY)).isEqualTo(2);
			assertThat(count("middle", Outcome.ALLOWED)).isZero();
			assertThat(count("general", Outcome.ALLOWED)).isEqualTo(2);
			assertThat(admitted(server, CallType.BIDI)).isEqualTo(10);
		}
	}

	@Test
	void callWhenSpecificRuleHasNoKeyForItThenTheGeneralOneCounts() {
		RateLimitKey nobody = RateLimitKey.of("nobody", new RateLimitKeyResolver() {
			@Override
			public @Nullable String resolve(SecuredCall call) {
				return null;
			}

			@Override
			public boolean needsIdentity() {
				return false;
			}
		});
		RateLimitRule template = rule("special", 5, HOUR);
		RateLimitRule special = replaces(new RateLimitRule("special", nobody, template.methods(), template.gcra(),
				false, template.onFailure(), template.code()), "general");
		try (TestServer server = serve(rule("general", 2, HOUR), special)) {
			assertThat(admitted(server, CallType.UNARY)).isEqualTo(2);
		}
	}

	@Test
	void callWhenSpecificRuleIsInTheShadowThenTheGeneralOneStillCounts() {
		try (TestServer server = serve(rule("general", 2, HOUR),
				shadow(replaces(rule("special", 5, HOUR), "general")))) {
			assertThat(admitted(server, CallType.UNARY)).isEqualTo(2);
		}
	}

	@Test
	void callWhenFourFifthsAreUsedThenNearLimitIsReported() {
		try (TestServer server = serve(rule("r", 10, HOUR))) {
			for (int i = 0; i < 7; i++) {
				CallType.UNARY.call(server.channel());
			}
			assertThat(count("r", Outcome.NEAR_LIMIT)).isZero();

			admitted(server, CallType.UNARY);

			assertThat(count("r", Outcome.NEAR_LIMIT)).isBetween(2L, 3L);
			assertThat(count("r", Outcome.ALLOWED)).isEqualTo(10);
			assertThat(count("r", Outcome.DENIED)).isEqualTo(1);
		}
	}

	@Test
	void callWhenLimitsAreForASecondAndADayThenBothCount() {
		try (TestServer server = serve(rule("second", 3, HOUR), rule("day", 5, Duration.ofDays(1)))) {
			assertThat(admitted(server, CallType.UNARY)).isEqualTo(3);
			assertThat(count("day", Outcome.ALLOWED)).isEqualTo(3);
			assertThat(count("second", Outcome.DENIED)).isEqualTo(1);
			assertThat(count("day", Outcome.DENIED)).isZero();
		}
	}

	@Test
	void updateWhenLimitIsHalvedInMemoryThenDebtStays() {
		RateLimitRules rules = new RateLimitRules(List.of(rule("r", 10, HOUR)));
		try (TestServer server = serve(inMemory(), rules)) {
			rules.onUpdate((changed) -> server.security().refresh());
			halve(rules, server);
		}
	}

	@ParameterizedTest
	@EnumSource(Leases.class)
	void updateWhenLimitIsHalvedInRedisThenDebtStays(Leases leases) {
		RateLimitRules rules = new RateLimitRules(List.of(rule("r", 10, HOUR)));
		try (TestRedis redis = TestRedis.start(); GrpcSecurityThreads threads = new GrpcSecurityThreads()) {
			LettuceConnectionFactory factory = redis.connectionFactory();
			RedisRateLimiter shared = new RedisRateLimiter(factory, "it:", threads.executor());
			SharedPermits permits = (leases == Leases.OFF) ? shared : new LeasingPermits(shared, Duration.ofSeconds(1),
					0.1, Duration.ofSeconds(5), 100, threads.scheduler(), threads.executor(), System::nanoTime);
			try (FailoverRateLimiter limiter = new FailoverRateLimiter(permits, inMemory(), rules.all(), 1,
					Duration.ofSeconds(5), threads.scheduler(), System::nanoTime);
					TestServer server = serve(limiter, rules)) {
				limiter.connect();
				Awaitility.await().until(() -> !limiter.fallbackActive());
				rules.onUpdate(limiter::update);
				rules.onUpdate((changed) -> server.security().refresh());
				halve(rules, server);

				// Without Redis, too, by the new numbers and with the old debt
				redis.stop();
				assertThat(admitted(server, CallType.UNARY)).isZero();
				// What is leased, and that there is none, is known without asking
				assertThat(count("r", Outcome.FALLBACK) > 0).isEqualTo(leases == Leases.OFF);
			}
			finally {
				factory.destroy();
			}
		}
	}

	/** Whether permits are leased. */
	enum Leases {

		ON, OFF

	}

	private void halve(RateLimitRules rules, TestServer server) {
		for (int i = 0; i < 4; i++) {
			assertThat(CallType.UNARY.call(server.channel()).code()).isEqualTo(Code.OK);
		}

		// Four of ten is 24 minutes of an hour, which is two of five
		rules.update(List.of(rule("r", 5, HOUR)));

		assertThat(admitted(server, CallType.UNARY)).isEqualTo(3);
		rules.update(List.of(rule("r", 20, HOUR)));
		assertThat(admitted(server, CallType.UNARY)).isZero();
	}

	@Test
	void updateWhenPatternMatchesNoMethodThenRulesAndPlansInForceStay() {
		RateLimitRules rules = new RateLimitRules(List.of(rule("r", 2, HOUR)));
		try (TestServer server = serve(inMemory(), rules)) {
			rules.onUpdate((changed) -> server.security().refresh());

			assertThatExceptionOfType(UnmatchedMethodPatternException.class)
				.isThrownBy(() -> rules.update(List.of(methods(rule("r", 100, HOUR), "bank.*/*"))));
			assertThatExceptionOfType(UnmatchedMethodPatternException.class)
				.isThrownBy(() -> rules.update(List.of(cost(rule("r", 100, HOUR), "bank.*/*", 2))));

			assertThat(rules.all()).singleElement().satisfies((rule) -> assertThat(rule.gcra().limit()).isEqualTo(2));
			assertThat(admitted(server, CallType.UNARY)).isEqualTo(2);
		}
	}

	@Test
	void updateWhenCallsGoOnThenNoneFailsForAnotherReason() {
		RateLimitRules rules = new RateLimitRules(List.of(rule("r", 1_000_000, HOUR)));
		AtomicInteger changes = new AtomicInteger();
		try (TestServer server = serve(inMemory(), rules)) {
			rules.onUpdate((changed) -> server.security().refresh());
			for (int i = 0; i < 200; i++) {
				if (i % 10 == 0) {
					rules.update(List.of(rule("r", 1_000_000 + changes.incrementAndGet(), HOUR)));
				}
				assertThat(CallType.values()[i % 4].call(server.channel()).code()).isEqualTo(Code.OK);
			}
		}
	}

}
