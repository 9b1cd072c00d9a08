package io.github.grpcsecurity.ratelimit.redis;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;

import io.github.grpcsecurity.ratelimit.Gcra;
import io.github.grpcsecurity.ratelimit.InMemoryRateLimiter;
import io.github.grpcsecurity.ratelimit.LeasablePermits.Draw;
import io.github.grpcsecurity.ratelimit.LeasablePermits.Grant;
import io.github.grpcsecurity.ratelimit.RateLimitDecision;
import io.github.grpcsecurity.ratelimit.RateLimitPermit;
import io.github.grpcsecurity.ratelimit.RateLimitRule;
import io.github.grpcsecurity.ratelimit.RateLimitTable;
import io.github.grpcsecurity.server.GrpcSecurityThreads;
import io.github.grpcsecurity.testing.TestRedis;
import io.lettuce.core.RedisClient;
import io.lettuce.core.api.sync.RedisCommands;
import io.lettuce.core.cluster.SlotHash;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

import org.springframework.data.redis.connection.lettuce.LettuceConnectionFactory;

import static io.github.grpcsecurity.ratelimit.TestRules.permits;
import static io.github.grpcsecurity.ratelimit.TestRules.rule;
import static io.github.grpcsecurity.ratelimit.TestRules.shadow;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;

class RedisRateLimiterIT {

	private static TestRedis server;

	private static RedisClient client;

	private static RedisCommands<String, String> redis;

	private static LettuceConnectionFactory connectionFactory;

	private static GrpcSecurityThreads threads;

	private final RedisRateLimiter limiter = connected("test:");

	@BeforeAll
	static void start() {
		server = TestRedis.start();
		client = RedisClient.create("redis://127.0.0.1:" + server.port());
		redis = client.connect().sync();
		connectionFactory = server.connectionFactory();
		threads = new GrpcSecurityThreads();
	}

	@AfterAll
	static void stop() {
		connectionFactory.destroy();
		client.shutdown();
		threads.close();
		server.close();
	}

	@BeforeEach
	void empty() {
		redis.flushall();
	}

	private static RedisRateLimiter connected(String prefix) {
		RedisRateLimiter limiter = new RedisRateLimiter(connectionFactory, prefix, threads.executor());
		get(limiter.connect(List.of()).toCompletableFuture());
		return limiter;
	}

	private static <T> T get(CompletableFuture<T> future) {
		try {
			return future.get(10, TimeUnit.SECONDS);
		}
		catch (Exception ex) {
			throw new AssertionError(ex);
		}
	}

	private static RateLimitDecision decide(RedisRateLimiter limiter, List<RateLimitPermit> permits) {
		return get(limiter.tryAcquire(permits).toCompletableFuture());
	}

	@Test
	void scriptWhenClockFollowsTheTableThenResultsAreThoseOfTheTable() throws Exception {
		ScriptRunner script = new ScriptRunner(redis);
		List<List<RateLimitPermit>> permits = new ArrayList<>();
		List<Long> times = new ArrayList<>();
		RateLimitTable.check((now, asked) -> {
			// The store of the runner starts empty, so play everything again
			times.add(now);
			permits.add(asked);
			for (int i = 0; i < times.size(); i++) {
				script.call(times.get(i), "", permits.get(i));
			}
			return script.run().get(times.size() - 1);
		});
	}

	@Test
	void scriptWhenSchedulesAreRandomThenItComputesLikeJava() throws Exception {
		long seed = System.nanoTime();
		Random random = new Random(seed);
		ScriptRunner script = new ScriptRunner(redis);
		List<RateLimitDecision> expected = new ArrayList<>();
		int schedules = 0;
		for (; schedules < 100_000; schedules++) {
			AtomicLong clock = new AtomicLong();
			InMemoryRateLimiter java = new InMemoryRateLimiter(1000, clock::get);
			List<RateLimitRule> rules = new ArrayList<>();
			for (int i = 0; i <= random.nextInt(3); i++) {
				rules.add(randomRule(random, "r" + i));
			}
			long now = 0;
			for (int step = 0; step < 6; step++) {
				now += step(random, rules.get(0).gcra());
				clock.set(now * 1000);
				String key = (random.nextInt(4) == 0) ? "b" : "a";
				List<RateLimitPermit> permits = rules.stream()
					.map((rule) -> random.nextBoolean() ? new RateLimitPermit(rule, key)
							: new RateLimitPermit(rule, key, random.nextInt((int) rule.gcra().burst() + 2)))
					.toList();
				expected.add(get(java.tryAcquire(permits).toCompletableFuture()));
				script.call(now, schedules + ":", permits);
			}
			if (script.size() > 100_000) {
				compare(expected, script.run(), seed);
				expected.clear();
			}
		}
		compare(expected, script.run(), seed);
		assertThat(schedules).isEqualTo(100_000);
	}

	@Test
	void leaseScriptWhenDrawsAreRandomThenItComputesLikeJava() throws Exception {
		long seed = System.nanoTime();
		Random random = new Random(seed);
		ScriptRunner script = new ScriptRunner(redis);
		List<Grant> grants = new ArrayList<>();
		List<RateLimitDecision> decisions = new ArrayList<>();
		for (int schedule = 0; schedule < 50_000; schedule++) {
			RateLimitRule rule = randomRule(random, "r");
			Gcra gcra = rule.gcra();
			long now = 0;
			long until = Long.MIN_VALUE / 2;
			long fraction = 0;
			for (int step = 0; step < 8; step++) {
				now += step(random, gcra);
				Gcra.Debt debt = gcra.debt(until - now, fraction);
				Gcra.Debt after;
				boolean written;
				if (random.nextInt(4) == 0) {
					RateLimitDecision decision = RateLimitDecision.of(permits("a", rule), List.of(debt));
					decisions.add(decision);
					script.call(now, schedule + ":", permits("a", rule));
					after = decision.results().get(0).debt();
					written = !decision.results().get(0).denied();
				}
				else {
					Draw draw = randomDraw(random, rule);
					Grant grant = draw.from(debt);
					grants.add(grant);
					script.draw(now, schedule + ":", draw);
					after = grant.debt();
					written = !after.equals(debt);
				}
				if (written) {
					until = now + after.whole();
					fraction = after.fraction();
				}
			}
			if (script.size() > 100_000) {
				compare(decisions, script.run(), seed);
				assertThat(script.grants()).as("seed %s", seed).isEqualTo(grants);
				decisions.clear();
				grants.clear();
			}
		}
		compare(decisions, script.run(), seed);
		assertThat(script.grants()).as("seed %s", seed).isEqualTo(grants);
	}

	private static Draw randomDraw(Random random, RateLimitRule rule) {
		int burst = (int) Math.min(rule.gcra().burst(), 1_000_000);
		long must = random.nextInt(burst + 2);
		long most = Math.min(2L * rule.gcra().toleranceWhole(), 1_000_000_000);
		return new Draw(rule, "a", Math.min(must, random.nextInt(burst + 1)), must, random.nextInt(2 * burst + 2),
				random.nextBoolean() ? 0 : random.nextInt(burst + 1),
				random.nextBoolean() ? 0 : (long) (random.nextDouble() * most));
	}

	private static RateLimitRule randomRule(Random random, String name) {
		long[] limits = { 1, 2, 3, 7, 10, 60, 97, 1000, 9973, 999_983, 1_000_000_000, 1 + random.nextInt(5000) };
		Duration[] periods = { Duration.ofNanos(1000), Duration.ofMillis(1), Duration.ofSeconds(1),
				Duration.ofSeconds(7), Duration.ofMinutes(1), Duration.ofDays(1), Duration.ofDays(366),
				Duration.ofNanos(1000L * (1 + random.nextInt(10_000_000))) };
		long limit = limits[random.nextInt(limits.length)];
		Duration period = periods[random.nextInt(periods.length)];
		long burst = 1
				+ random.nextInt((random.nextBoolean() && period.compareTo(Duration.ofDays(1)) < 0) ? 100_000 : 6);
		Gcra gcra = new Gcra(limit, period, burst, random.nextInt((int) burst + 2));
		RateLimitRule rule = rule(name, "peer", gcra);
		return (random.nextInt(5) == 0) ? shadow(rule) : rule;
	}

	/** Often none, sometimes just when permits come back, sometimes backwards. */
	private static long step(Random random, Gcra gcra) {
		return switch (random.nextInt(6)) {
			case 0, 1 -> 0;
			case 2 -> gcra.price(gcra.cost()).whole();
			case 3 -> gcra.price(gcra.cost()).whole() + random.nextInt(3) - 1;
			case 4 -> random.nextInt(2_000_000);
			default -> -random.nextInt(1000);
		};
	}

	private static void compare(List<RateLimitDecision> java, List<RateLimitDecision> lua, long seed) {
		assertThat(lua).hasSameSizeAs(java);
		for (int i = 0; i < java.size(); i++) {
			RateLimitDecision expected = java.get(i);
			RateLimitDecision actual = lua.get(i);
			boolean same = expected.permitted() == actual.permitted();
			for (int r = 0; r < expected.results().size(); r++) {
				same = same && expected.results().get(r).denied() == actual.results().get(r).denied()
						&& expected.results().get(r).debt().equals(actual.results().get(r).debt());
			}
			assertThat(same).as("decision %s with seed %s", i, seed).isTrue();
		}
	}

	@Test
	void tryAcquireWhenBurstIsUsedUpThenDeniedWithRetryAfter() {
		RateLimitRule rule = rule("r", 3, Duration.ofHours(1));
		for (int i = 2; i >= 0; i--) {
			RateLimitDecision decision = decide(this.limiter, permits("a", rule));
			assertThat(decision.permitted()).isTrue();
			assertThat(decision.results().get(0).remaining()).isEqualTo(i);
		}

		RateLimitDecision denied = decide(this.limiter, permits("a", rule));

		assertThat(denied.permitted()).isFalse();
		assertThat(denied.results().get(0).retryAfter()).isBetween(Duration.ofMinutes(19), Duration.ofMinutes(20));
		assertThat(decide(this.limiter, permits("b", rule)).permitted()).isTrue();
	}

	@Test
	void tryAcquireWhenOneRuleDeniesThenNothingIsTakenInAny() {
		RateLimitRule tight = rule("tight", 1, Duration.ofHours(1));
		RateLimitRule wide = rule("wide", 10, Duration.ofHours(1));
		decide(this.limiter, permits("a", wide, tight));

		RateLimitDecision denied = decide(this.limiter, permits("a", wide, tight));

		assertThat(denied.permitted()).isFalse();
		assertThat(decide(this.limiter, permits("a", wide)).results().get(0).remaining()).isEqualTo(8);
	}

	@Test
	void tryAcquireWhenPermitsAreTakenThenEachKeyHasATagOfItsOwnAndExpires() {
		decide(this.limiter,
				permits("10.0.0.1", rule("one", 10, Duration.ofSeconds(100)), rule("two", 1, Duration.ofSeconds(100))));

		List<String> keys = redis.keys("*");
		keys.remove("test:{probe}");
		assertThat(keys).containsExactlyInAnyOrder("test:{one:10.0.0.1}", "test:{two:10.0.0.1}");
		assertThat(keys.stream().map(SlotHash::getSlot).distinct()).hasSize(2);
		assertThat(redis.pttl("test:{one:10.0.0.1}")).isBetween(5_000L, 10_002L);
		assertThat(redis.pttl("test:{two:10.0.0.1}")).isBetween(95_000L, 100_002L);
	}

	@Test
	void tryAcquireWhenPrefixHasATagThenItChoosesTheSlot() {
		decide(connected("{bank}:"), permits("a", rule("one", 1, Duration.ofSeconds(100))));

		assertThat(redis.keys("*one*")).allMatch((key) -> SlotHash.getSlot(key) == SlotHash.getSlot("bank"));
	}

	@Test
	void tryAcquireWhenScriptsWereFlushedThenItIsSentAgain() {
		redis.scriptFlush();

		assertThat(decide(this.limiter, permits("a", rule("r", 1, Duration.ofHours(1)))).permitted()).isTrue();
		assertThat(decide(this.limiter, permits("a", rule("r", 1, Duration.ofHours(1)))).permitted()).isFalse();
	}

	@Test
	void tryAcquireWhenNotConnectedThenFailsAtOnce() {
		RedisRateLimiter limiter = new RedisRateLimiter(connectionFactory, "x:", threads.executor());

		assertThat(limiter.tryAcquire(permits("a", rule("r", 1, Duration.ofHours(1)))).toCompletableFuture())
			.isCompletedExceptionally();
	}

	@Test
	void tryAcquireWhenKeyHoldsSomethingElseThenFails() {
		redis.set("test:{r:a}", "not a time");

		assertThatExceptionOfType(ExecutionException.class)
			.isThrownBy(() -> this.limiter.tryAcquire(permits("a", rule("r", 1, Duration.ofHours(1))))
				.toCompletableFuture()
				.get(10, TimeUnit.SECONDS));
	}

	@Test
	void tryAcquireWhenTwoServersShareThenAdmittedIsExact() {
		RedisRateLimiter other = connected("test:");
		RateLimitRule rule = rule("shared", "peer", new Gcra(200, Duration.ofHours(1), 150, 1));
		List<CompletableFuture<RateLimitDecision>> answers = new ArrayList<>();
		for (int i = 0; i < 1000; i++) {
			answers.add(((i % 2 == 0) ? this.limiter : other).tryAcquire(permits("a", rule)).toCompletableFuture());
		}

		assertThat(answers.stream().filter((answer) -> get(answer).permitted()).count()).isEqualTo(150);
	}

	@Test
	void connectWhenNothingListensThenFailsAndLaterSucceeds() {
		try (TestRedis late = TestRedis.notStarted()) {
			LettuceConnectionFactory factory = late.connectionFactory();
			try (RedisRateLimiter limiter = new RedisRateLimiter(factory, "x:", threads.executor())) {
				assertThatExceptionOfType(ExecutionException.class)
					.isThrownBy(() -> limiter.connect(List.of()).toCompletableFuture().get(10, TimeUnit.SECONDS));
				late.restart();

				get(limiter.connect(List.of()).toCompletableFuture());
				assertThat(decide(limiter, permits("a", rule("r", 1, Duration.ofHours(1)))).permitted()).isTrue();
			}
			finally {
				factory.destroy();
			}
		}
	}

}
