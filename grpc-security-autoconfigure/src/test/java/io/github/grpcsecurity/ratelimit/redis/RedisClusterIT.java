package io.github.grpcsecurity.ratelimit.redis;

import java.time.Duration;
import java.util.List;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.TimeUnit;
import java.util.stream.IntStream;

import io.github.grpcsecurity.ratelimit.LeasablePermits.Draw;
import io.github.grpcsecurity.ratelimit.LeasablePermits.Grant;
import io.github.grpcsecurity.ratelimit.RateLimitDecision;
import io.github.grpcsecurity.ratelimit.RateLimitPermit;
import io.github.grpcsecurity.ratelimit.RateLimitRule;
import io.github.grpcsecurity.testing.TestRedisCluster;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;

import org.springframework.data.redis.connection.RedisClusterConfiguration;
import org.springframework.data.redis.connection.lettuce.LettuceConnectionFactory;

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
			Draw look = new Draw(this.wide, "k" + key, 0, 0, 0, 0, 0);
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
			.mapToObj((key) -> new Draw(this.wide, "k" + key, 1, 1 + key % 3, 0, 0, 0))
			.toList();

		List<? extends CompletionStage<Grant>> grants = limiter.draw(draws);

		for (int i = 0; i < 30; i++) {
			assertThat(get(grants.get(i)).permits()).isEqualTo(1 + i % 3);
		}
		limiter.close();
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
