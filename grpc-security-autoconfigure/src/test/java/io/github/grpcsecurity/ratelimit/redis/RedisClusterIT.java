package io.github.grpcsecurity.ratelimit.redis;

import java.time.Duration;
import java.util.List;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import java.util.stream.IntStream;

import io.github.grpcsecurity.ratelimit.FailoverRateLimiter;
import io.github.grpcsecurity.ratelimit.InMemoryRateLimiter;
import io.github.grpcsecurity.ratelimit.LeasablePermits.Draw;
import io.github.grpcsecurity.ratelimit.LeasablePermits.Grant;
import io.github.grpcsecurity.ratelimit.RateLimitDecision;
import io.github.grpcsecurity.ratelimit.RateLimitPermit;
import io.github.grpcsecurity.ratelimit.RateLimitRule;
import io.github.grpcsecurity.ratelimit.RateLimitRule.OnFailure;
import io.github.grpcsecurity.server.GrpcSecurityThreads;
import io.github.grpcsecurity.testing.TestRedisCluster;
import io.lettuce.core.cluster.SlotHash;
import org.awaitility.Awaitility;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;

import org.springframework.data.redis.connection.RedisClusterConfiguration;
import org.springframework.data.redis.connection.lettuce.LettuceConnectionFactory;

import static io.github.grpcsecurity.ratelimit.TestRules.onFailure;
import static io.github.grpcsecurity.ratelimit.TestRules.permits;
import static io.github.grpcsecurity.ratelimit.TestRules.rule;
import static org.assertj.core.api.Assertions.assertThat;

class RedisClusterIT {

	private static TestRedisCluster cluster;

	private static LettuceConnectionFactory connectionFactory;

	private final RateLimitRule wide = rule("wide", 10, Duration.ofHours(1));

	private final RateLimitRule tight = rule("tight", 3, Duration.ofHours(1));

	@BeforeAll
	static void start() {
		cluster = TestRedisCluster.start();
		connectionFactory = new LettuceConnectionFactory(
				new RedisClusterConfiguration(List.of(cluster.addresses().split(","))));
		connectionFactory.afterPropertiesSet();
		connectionFactory.start();
	}

	@AfterAll
	static void stop() {
		connectionFactory.destroy();
		cluster.close();
	}

	private static RedisRateLimiter connected(String prefix) {
		RedisRateLimiter limiter = new RedisRateLimiter(connectionFactory, prefix, Runnable::run);
		get(limiter.connect(List.of()));
		return limiter;
	}

	private static <T> T get(CompletionStage<T> stage) {
		return stage.toCompletableFuture().orTimeout(10, TimeUnit.SECONDS).join();
	}

	@Test
	void tryAcquireWhenKeysLiveOnSeveralNodesThenAllOrNothing() {
		RedisRateLimiter limiter = connected("cluster:");
		for (int key = 0; key < 20; key++) {
			RateLimitPermit[] both = permits("k" + key, this.wide, this.tight).toArray(new RateLimitPermit[0]);
			for (int i = 0; i < 3; i++) {
				assertThat(get(limiter.tryAcquire(List.of(both))).permitted()).isTrue();
			}

			RateLimitDecision refused = get(limiter.tryAcquire(List.of(both)));

			assertThat(refused.permitted()).isFalse();
			assertThat(refused.results()).extracting(RateLimitDecision.Result::denied).containsExactly(false, true);
		}
		for (int key = 0; key < 20; key++) {
			Draw look = new Draw(this.wide, "k" + key, 0, 0, 0, 0);
			// What the refused call took was given back
			assertThat(get(limiter.draw(List.of(look)).get(0)).debt().whole())
				.isLessThanOrEqualTo(this.wide.gcra().price(3).whole());
		}
		limiter.close();
	}

	@Test
	void drawWhenKeysLiveOnSeveralNodesThenEachIsGranted() {
		RedisRateLimiter limiter = connected("draw:");
		List<Draw> draws = IntStream.range(0, 30)
			.mapToObj((key) -> new Draw(this.wide, "k" + key, 1, 1 + key % 3, 0, 0))
			.toList();

		List<? extends CompletionStage<Grant>> grants = limiter.draw(draws);

		for (int i = 0; i < 30; i++) {
			assertThat(get(grants.get(i)).permits()).isEqualTo(1 + i % 3);
		}
		limiter.close();
	}

	@Test
	void tryAcquireWhenOneNodeDiesThenItsKeysFallBackAndOthersGoOn() {
		try (TestRedisCluster own = TestRedisCluster.start()) {
			failOver(own, (limiter) -> {
				own.nodes().get(0).restart();
				own.awaitComplete();
			});
		}
	}

	@Test
	void tryAcquireWhenAReplicaTakesOverThenItIsAsked() {
		try (TestRedisCluster own = TestRedisCluster.start()) {
			own.addReplica(0);
			// Nothing but time: the replica finds out by itself
			failOver(own, (limiter) -> {
			});
		}
	}

	private void failOver(TestRedisCluster own, Consumer<FailoverRateLimiter> help) {
		LettuceConnectionFactory factory = new LettuceConnectionFactory(
				new RedisClusterConfiguration(List.of(own.addresses().split(","))));
		factory.afterPropertiesSet();
		factory.start();
		RateLimitRule rule = onFailure(rule("r", 1_000_000, Duration.ofSeconds(1)), OnFailure.ALLOW);
		String dead = keyOf(0);
		String alive = keyOf(1);
		try (GrpcSecurityThreads threads = new GrpcSecurityThreads();
				FailoverRateLimiter limiter = new FailoverRateLimiter(
						new RedisRateLimiter(factory, "", threads.executor()),
						new InMemoryRateLimiter(100, System::nanoTime), List.of(rule), 1, Duration.ofMillis(200),
						threads.scheduler(), System::nanoTime)) {
			limiter.connect();
			Awaitility.await().until(() -> !limiter.fallbackActive());
			assertThat(get(limiter.tryAcquire(permits(dead, rule))).fallback()).isFalse();

			own.nodes().get(0).stop();

			Awaitility.await()
				.until(() -> get(limiter.tryAcquire(permits(dead, rule))).fallback() && limiter.fallbackActive());
			for (int i = 0; i < 100; i++) {
				assertThat(limiter.tryAcquire(permits(dead, rule)).toCompletableFuture()).isDone();
				assertThat(get(limiter.tryAcquire(permits(alive, rule))).fallback()).isFalse();
			}
			connectWhileANodeIsDown(factory, rule, alive);
			help.accept(limiter);
			Awaitility.await()
				.atMost(Duration.ofSeconds(60))
				.until(() -> !get(limiter.tryAcquire(permits(dead, rule))).fallback());
			Awaitility.await().until(() -> !limiter.fallbackActive());
			assertThat(get(limiter.tryAcquire(permits(alive, rule))).fallback()).isFalse();
		}
		finally {
			factory.destroy();
		}
	}

	private static void connectWhileANodeIsDown(LettuceConnectionFactory factory, RateLimitRule rule, String alive) {
		try (GrpcSecurityThreads threads = new GrpcSecurityThreads();
				FailoverRateLimiter late = new FailoverRateLimiter(
						new RedisRateLimiter(factory, "", threads.executor()),
						new InMemoryRateLimiter(100, System::nanoTime), List.of(rule), 1, Duration.ofMillis(200),
						threads.scheduler(), System::nanoTime)) {
			late.connect();

			Awaitility.await().until(() -> !late.fallbackActive());
			assertThat(get(late.tryAcquire(permits(alive, rule))).fallback()).isFalse();
		}
	}

	/** A key in the first slots of a node. */
	private static String keyOf(int node) {
		int share = SlotHash.SLOT_COUNT / 3 + 1;
		return IntStream.range(0, 1000)
			.mapToObj((i) -> "k" + i)
			.filter((key) -> SlotHash.getSlot("{r:" + key + "}") / share == node)
			.findFirst()
			.orElseThrow();
	}

	@Test
	void tryAcquireWhenPrefixHasATagThenOneCommandPerCall() {
		RedisRateLimiter limiter = connected("{bank}:");
		get(limiter.tryAcquire(permits("a", this.wide, this.tight)));
		long before = limiter.operations();

		get(limiter.tryAcquire(permits("a", this.wide, this.tight)));

		assertThat(limiter.operations() - before).isEqualTo(1);
		limiter.close();
	}

}
