package io.github.grpcsecurity.ratelimit.redis;

import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.function.Consumer;

import io.github.grpcsecurity.ratelimit.FailoverRateLimiter;
import io.github.grpcsecurity.ratelimit.InMemoryRateLimiter;
import io.github.grpcsecurity.ratelimit.RateLimitDecision;
import io.github.grpcsecurity.ratelimit.RateLimitRule;
import io.github.grpcsecurity.ratelimit.TestRules;
import io.github.grpcsecurity.server.GrpcSecurityThreads;
import io.github.grpcsecurity.testing.TestRedis;
import io.lettuce.core.RedisClient;
import io.lettuce.core.api.StatefulRedisConnection;
import org.awaitility.Awaitility;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

import org.springframework.data.redis.connection.RedisSentinelConfiguration;
import org.springframework.data.redis.connection.lettuce.LettuceConnectionFactory;

import static org.assertj.core.api.Assertions.assertThat;

/** A master that dies, a replica that takes its place, and a sentinel that says so. */
class RedisSentinelIT {

	@TempDir
	private Path directory;

	private final RateLimitRule rule = TestRules.rule("r", 5, Duration.ofHours(1));

	private RateLimitDecision ask(FailoverRateLimiter limiter) {
		return limiter.tryAcquire(TestRules.permits("a", this.rule)).toCompletableFuture().join();
	}

	@Test
	void tryAcquireWhenMasterDiesThenItsReplicaCountsOn() {
		try (TestRedis master = TestRedis.start();
				TestRedis replica = TestRedis.notStarted("--replicaof", "127.0.0.1", Integer.toString(master.port()));
				GrpcSecurityThreads threads = new GrpcSecurityThreads()) {
			replica.restart();
			awaitReplica(replica);
			try (TestRedis sentinel = TestRedis.sentinel("bank", master.port(), this.directory)) {
				LettuceConnectionFactory factory = new LettuceConnectionFactory(
						new RedisSentinelConfiguration().master("bank").sentinel("127.0.0.1", sentinel.port()));
				factory.afterPropertiesSet();
				factory.start();
				try (FailoverRateLimiter limiter = new FailoverRateLimiter(
						new RedisRateLimiter(factory, "it:", threads.executor()),
						new InMemoryRateLimiter(100, System::nanoTime), List.of(this.rule), 1, Duration.ofSeconds(1),
						threads.scheduler(), System::nanoTime)) {
					limiter.connect();
					Awaitility.await().atMost(Duration.ofSeconds(20)).until(() -> !limiter.fallbackActive());
					for (int i = 0; i < 3; i++) {
						RateLimitDecision decision = ask(limiter);
						assertThat(decision.permitted()).isTrue();
						assertThat(decision.fallback()).isFalse();
					}
					awaitCopied(replica);

					master.stop();

					// The replica knows what was taken
					Awaitility.await().atMost(Duration.ofSeconds(60)).until(() -> !askNothing(limiter).fallback());
					int admitted = 0;
					while (ask(limiter).permitted()) {
						admitted++;
					}
					assertThat(admitted).isLessThanOrEqualTo(2);
					assertThat(limiter.fallbackActive()).isFalse();
				}
				finally {
					factory.destroy();
				}
			}
		}
	}

	/** Asks for another key, so that no permits of the first are taken. */
	private RateLimitDecision askNothing(FailoverRateLimiter limiter) {
		RateLimitRule free = TestRules.rule("free", 1_000_000, Duration.ofSeconds(1));
		return limiter.tryAcquire(TestRules.permits("x", free)).toCompletableFuture().join();
	}

	private static void awaitReplica(TestRedis replica) {
		on(replica,
				(redis) -> Awaitility.await()
					.atMost(Duration.ofSeconds(20))
					.until(() -> redis.sync().info("replication").contains("master_link_status:up")));
	}

	private static void awaitCopied(TestRedis replica) {
		on(replica,
				(redis) -> Awaitility.await()
					.atMost(Duration.ofSeconds(20))
					.until(() -> redis.sync().keys("it:{r:*").size() == 1));
	}

	private static void on(TestRedis redis, Consumer<StatefulRedisConnection<String, String>> action) {
		RedisClient client = RedisClient.create("redis://127.0.0.1:" + redis.port());
		try (StatefulRedisConnection<String, String> connection = client.connect()) {
			action.accept(connection);
		}
		finally {
			client.shutdown();
		}
	}

}
