package io.github.grpcsecurity.ratelimit.redis;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;

import io.github.grpcsecurity.ratelimit.Gcra;
import io.github.grpcsecurity.ratelimit.InMemoryRateLimiter;
import io.github.grpcsecurity.ratelimit.LeasablePermits.Draw;
import io.github.grpcsecurity.ratelimit.LeasablePermits.Grant;
import io.github.grpcsecurity.ratelimit.OutageDebt;
import io.github.grpcsecurity.ratelimit.RateLimitDecision;
import io.github.grpcsecurity.ratelimit.RateLimitPermit;
import io.github.grpcsecurity.ratelimit.RateLimitRule;
import io.github.grpcsecurity.ratelimit.RateLimitTable;
import io.github.grpcsecurity.server.GrpcSecurityThreads;
import io.github.grpcsecurity.testing.TestRedis;
import io.github.grpcsecurity.testing.TestTcpProxy;
import io.lettuce.core.RedisClient;
import io.lettuce.core.api.sync.RedisCommands;
import io.lettuce.core.cluster.SlotHash;
import io.lettuce.core.codec.StringCodec;
import io.lettuce.core.output.StatusOutput;
import io.lettuce.core.protocol.CommandArgs;
import io.lettuce.core.protocol.CommandType;
import org.awaitility.Awaitility;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;

import org.springframework.boot.test.system.CapturedOutput;
import org.springframework.boot.test.system.OutputCaptureExtension;
import org.springframework.data.redis.connection.RedisStandaloneConfiguration;
import org.springframework.data.redis.connection.lettuce.LettuceConnectionFactory;

import static io.github.grpcsecurity.ratelimit.TestRules.permits;
import static io.github.grpcsecurity.ratelimit.TestRules.rule;
import static io.github.grpcsecurity.ratelimit.TestRules.shadow;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;

@Tag("alone")
@ExtendWith(OutputCaptureExtension.class)
class RedisRateLimiterIT {

	private static final int SCHEDULES = Integer.getInteger("tests.schedules", 50_000);

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

	private static <T> T get(CompletionStage<T> stage) {
		try {
			return stage.toCompletableFuture().get(10, TimeUnit.SECONDS);
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
		for (; schedules < SCHEDULES; schedules++) {
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
				if (random.nextInt(8) == 0) {
					// The numbers of a rule change while the server runs
					int changed = random.nextInt(rules.size());
					rules.set(changed, randomRule(random, "r" + changed));
				}
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
		assertThat(schedules).isEqualTo(SCHEDULES);
	}

	@Test
	void leaseScriptWhenDrawsAreRandomThenItComputesLikeJava() throws Exception {
		long seed = System.nanoTime();
		Random random = new Random(seed);
		ScriptRunner script = new ScriptRunner(redis);
		List<Grant> grants = new ArrayList<>();
		List<RateLimitDecision> decisions = new ArrayList<>();
		for (int schedule = 0; schedule < SCHEDULES; schedule++) {
			RateLimitRule rule = randomRule(random, "r");
			Gcra gcra = rule.gcra();
			long now = 0;
			long until = Long.MIN_VALUE / 2;
			long fraction = 0;
			for (int step = 0; step < 8; step++) {
				now += step(random, gcra);
				Gcra.Debt debt = gcra.debt(until - now, fraction);
				if (until >= now && !debt.equals(new Gcra.Debt(until - now, fraction))) {
					until = now + debt.whole();
					fraction = debt.fraction();
				}
				Gcra.Debt after;
				boolean written;
				if (random.nextInt(4) == 0) {
					OutageDebt untold = random.nextBoolean() ? OutageDebt.NONE
							: randomDebt(random, Math.min(2L * gcra.toleranceWhole(), 1_000_000_000));
					Gcra.Debt told = untold.addedTo(gcra, debt);
					RateLimitDecision decision = RateLimitDecision.of(permits("a", rule), List.of(told));
					decisions.add(decision);
					script.call(now, schedule + ":", permits("a", rule), untold);
					after = decision.results().get(0).debt();
					written = !decision.results().get(0).denied() || !after.equals(debt);
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
				random.nextBoolean() ? OutageDebt.NONE : randomDebt(random, most));
	}

	private static OutageDebt randomDebt(Random random, long most) {
		long counted = (long) (random.nextDouble() * most);
		long known = random.nextBoolean() ? 0 : (long) (random.nextDouble() * counted);
		long base = random.nextBoolean() ? known : (long) (random.nextDouble() * counted);
		return new OutageDebt(known, base, counted, 1 + random.nextInt(4));
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
	void tryAcquireWhenKeyHoldsSomethingElseThenItsPermitsAreUsedUpAndComeBack(CapturedOutput output) {
		RateLimitRule rule = rule("r", 4, Duration.ofSeconds(2));
		RateLimitRule other = rule("o", 4, Duration.ofSeconds(2));
		redis.set("test:{r:a}", "not a time");
		redis.set("test:{r:b}", "99999999999999999999999 7");
		redis.lpush("test:{r:c}", "a", "list");
		for (String key : List.of("a", "b", "c")) {
			RateLimitDecision decision = decide(this.limiter, permits(key, other, rule));
			assertThat(decision.permitted()).isFalse();
			assertThat(decision.results()).extracting(RateLimitDecision.Result::denied).containsExactly(false, true);
			assertThat(decision.results().get(1).retryAfter()).isBetween(Duration.ofMillis(1), Duration.ofMillis(500));
		}
		assertThat(output).containsOnlyOnce("held something else than permits").contains("'test:'");

		Awaitility.await().until(() -> decide(this.limiter, permits("c", rule)).permitted());
		assertThat(redis.pttl("test:{r:c}")).isPositive();
	}

	@Test
	void drawWhenKeyHoldsSomethingElseThenNothingIsGrantedUntilPermitsComeBack() {
		RateLimitRule rule = rule("r", 4, Duration.ofSeconds(2));
		redis.lpush("test:{r:a}", "a", "list");
		Draw draw = new Draw(rule, "a", 1, 1, 0, 0);

		assertThat(get(this.limiter.draw(List.of(draw)).get(0)).permits()).isZero();
		Awaitility.await().until(() -> get(this.limiter.draw(List.of(draw)).get(0)).permits() == 1);
	}

	private static OutageDebt untold(RateLimitRule rule, long permits) {
		return new OutageDebt(0, 0, rule.gcra().price(permits).whole(), 1);
	}

	@Test
	void countedWhenPermitsWereTakenElsewhereThenRedisHearsOfItOnce() {
		RateLimitRule rule = rule("r", 5, Duration.ofHours(1));
		this.limiter.counted(permits("a", rule).get(0), untold(rule, 4));

		assertThat(decide(this.limiter, permits("a", rule)).permitted()).isTrue();
		assertThat(decide(this.limiter, permits("a", rule)).permitted()).isFalse();
		// Somebody else has heard of it from Redis
		assertThat(decide(connected("test:"), permits("a", rule)).permitted()).isFalse();
		redis.del("test:{r:a}");
		assertThat(decide(this.limiter, permits("a", rule)).results().get(0).remaining()).isEqualTo(4);
	}

	@Test
	void overdrawnWhenItWasNotAskedForThenItIsTakenAllTheSame() {
		RateLimitRule rule = rule("r", 5, Duration.ofHours(1));
		List<RateLimitPermit> three = List.of(new RateLimitPermit(rule, "a", 3));
		this.limiter.overdrawn(three, three, false);
		// What was asked for has been taken, or will be
		this.limiter.overdrawn(three, three, true);

		Awaitility.await()
			.until(() -> decide(this.limiter, List.of(new RateLimitPermit(rule, "a", 0))).results()
				.get(0)
				.remaining() == 2);
	}

	@Test
	void countedWhenPermitsAreDrawnInAdvanceThenRedisHearsOfIt() {
		RateLimitRule rule = rule("r", 5, Duration.ofHours(1));
		this.limiter.counted(permits("a", rule).get(0), untold(rule, 4));

		assertThat(get(this.limiter.draw(List.of(new Draw(rule, "a", 1, 5, 0, 0))).get(0)).permits()).isEqualTo(1);
	}

	@Test
	void connectWhenTheApplicationHasRestartedItsFactoryThenConnectsWithIt() {
		LettuceConnectionFactory factory = new LettuceConnectionFactory(
				new RedisStandaloneConfiguration("127.0.0.1", server.port()));
		factory.afterPropertiesSet();
		factory.start();
		RateLimitRule rule = rule("r", 5, Duration.ofHours(1));
		try (RedisRateLimiter restarted = new RedisRateLimiter(factory, "test:", threads.executor())) {
			get(restarted.connect(List.of()));
			assertThat(decide(restarted, permits("a", rule)).permitted()).isTrue();

			factory.stop();
			assertThat(restarted.connect(List.of()).toCompletableFuture()).failsWithin(Duration.ofSeconds(10));
			factory.start();

			get(restarted.connect(List.of()));
			assertThat(decide(restarted, permits("a", rule)).permitted()).isTrue();
		}
		finally {
			factory.destroy();
		}
	}

	@Test
	void countedWhenTheNextCallIsRefusedThenRedisHasHeardOfItAllTheSame() {
		RateLimitRule rule = rule("r", 5, Duration.ofHours(1));
		this.limiter.counted(permits("a", rule).get(0), untold(rule, 5));

		assertThat(decide(this.limiter, permits("a", rule)).permitted()).isFalse();
		assertThat(decide(connected("test:"), permits("a", rule)).permitted()).isFalse();
	}

	@Test
	void tryAcquireWhenALimitGetsShorterThenOldDebtsLockNobodyOutForLongerThanTheNewBurst() {
		RateLimitRule day = rule("r", "peer", new Gcra(10_000, Duration.ofDays(1), 10_000, 10_000));
		RateLimitRule second = rule("r", 20, Duration.ofSeconds(1));
		for (String key : List.of("a", "b")) {
			assertThat(decide(this.limiter, permits(key, day)).permitted()).isTrue();
		}
		Draw draw = new Draw(second, "b", 1, 1, 0, 0);
		assertThat(decide(this.limiter, permits("a", second)).permitted()).isFalse();
		assertThat(get(this.limiter.draw(List.of(draw)).get(0)).permits()).isZero();

		Awaitility.await().until(() -> decide(this.limiter, permits("a", second)).permitted());
		Awaitility.await().until(() -> get(this.limiter.draw(List.of(draw)).get(0)).permits() == 1);
	}

	@Test
	void drawWhenItsConnectionBreaksThenNothingIsGivenBackLater() throws Exception {
		RateLimitRule rule = rule("r", 10, Duration.ofHours(1));
		try (TestTcpProxy proxy = new TestTcpProxy(server.port())) {
			LettuceConnectionFactory factory = new LettuceConnectionFactory(
					new RedisStandaloneConfiguration("127.0.0.1", proxy.port()));
			factory.afterPropertiesSet();
			factory.start();
			try (RedisRateLimiter behind = new RedisRateLimiter(factory, "test:", threads.executor())) {
				get(behind.connect(List.of()).toCompletableFuture());
				get(behind.draw(List.of(new Draw(rule, "a", 1, 8, 0, 0))).get(0));
				proxy.swallow();
				CompletableFuture<Grant> lost = behind.draw(List.of(new Draw(rule, "a", 0, 0, 0, 4)))
					.get(0)
					.toCompletableFuture();
				proxy.cut();
				proxy.forward();

				assertThat(lost).failsWithin(Duration.ofSeconds(10));
				// By then the connection has been made again
				Awaitility.await().ignoreExceptions().until(() -> decide(behind, permits("b", rule)).permitted());
				assertThat(
						decide(this.limiter, List.of(new RateLimitPermit(rule, "a", 0))).results().get(0).remaining())
					.isEqualTo(2);
			}
			finally {
				factory.destroy();
			}
		}
	}

	/** The number that RL-1 asks for: what one decision costs Redis itself. */
	@Test
	void scriptsWhenTheyRunThenRedisSpendsMicroseconds() {
		RateLimitRule one = rule("one", 1_000_000, Duration.ofSeconds(1));
		RateLimitRule two = rule("two", 1_000_000, Duration.ofHours(1));
		for (int warmUp = 0; warmUp < 2; warmUp++) {
			redis.dispatch(CommandType.CONFIG, new StatusOutput<>(StringCodec.UTF8),
					new CommandArgs<>(StringCodec.UTF8).add("RESETSTAT"));
			for (int i = 0; i < 2000; i++) {
				decide(this.limiter, permits("k" + i % 100, one, two));
				get(this.limiter.draw(List.of(new Draw(one, "k" + i % 100, 1, 1, 1, 0))).get(0));
			}
		}
		String statistics = redis.info("commandstats")
			.lines()
			.filter((line) -> line.startsWith("cmdstat_evalsha:"))
			.findFirst()
			.orElseThrow();
		double micros = Double.parseDouble(statistics.replaceAll(".*usec_per_call=([0-9.]+).*", "$1"));

		System.out.println("Redis spends " + micros + " us on a script");
		// About ten on an idle machine
		assertThat(micros).isLessThan(100);
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
