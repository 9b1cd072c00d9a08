package io.github.grpcsecurity.ratelimit;

import java.time.Duration;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;
import java.util.function.BooleanSupplier;

import io.github.grpcsecurity.ratelimit.LeaseWorker.Load;
import io.github.grpcsecurity.testing.TestRedis;
import io.github.grpcsecurity.testing.TestRedisCluster;
import io.github.grpcsecurity.testing.TestTcpProxy;
import org.junit.jupiter.api.Test;

import static org.assertj.core.api.Assertions.assertThat;

/** Two servers under load lose Redis for two seconds, in every way that there is. */
class LeaseOutageIT {

	private static final int LIMIT = 1000;

	private static final Duration BUDGET = Duration.ofMillis(20);

	/** What a machine that runs other tests as well may add. */
	private static final Duration SLACK = Duration.ofMillis(30);

	@Test
	void loadWhenRedisIsKilledThenLocalLimitsHoldAndRedisIsUsedAgain() throws Exception {
		try (TestRedis redis = TestRedis.start()) {
			check("killed", "127.0.0.1:" + redis.port(), redis::stop, redis::restart);
		}
	}

	@Test
	void loadWhenRedisIsPausedThenLocalLimitsHoldAndRedisIsUsedAgain() throws Exception {
		try (TestRedis redis = TestRedis.start()) {
			check("paused", "127.0.0.1:" + redis.port(), redis::pause, redis::resume);
		}
	}

	@Test
	void loadWhenRedisIsBlackholedThenLocalLimitsHoldAndRedisIsUsedAgain() throws Exception {
		try (TestRedis redis = TestRedis.start(); TestTcpProxy proxy = new TestTcpProxy(redis.port())) {
			check("blackholed", "127.0.0.1:" + proxy.port(), proxy::swallow, proxy::forward);
		}
	}

	@Test
	void loadWhenAllNodesOfAClusterArePausedThenLocalLimitsHoldAndTheyAreUsedAgain() throws Exception {
		try (TestRedisCluster cluster = TestRedisCluster.start()) {
			check("cluster paused", cluster.addresses(), () -> cluster.nodes().forEach(TestRedis::pause),
					() -> cluster.nodes().forEach(TestRedis::resume));
		}
	}

	private static void check(String name, String nodes, Runnable begin, Runnable end) throws Exception {
		try (Load load = new Load(nodes, LIMIT, 2, BUDGET)) {
			load.add(4000);
			load.add(1000);
			long start = System.nanoTime();
			load.start(Duration.ofSeconds(6));
			await(() -> System.nanoTime() - start > TimeUnit.SECONDS.toNanos(2));
			begin.run();
			await(() -> load.limiters.stream().allMatch(FailoverRateLimiter::fallbackActive));
			await(() -> System.nanoTime() - start > TimeUnit.SECONDS.toNanos(4));
			end.run();
			long over = System.nanoTime();
			await(() -> load.limiters.stream().noneMatch(FailoverRateLimiter::fallbackActive));
			long recovery = TimeUnit.NANOSECONDS.toMillis(System.nanoTime() - over);
			load.join();
			double seconds = (System.nanoTime() - start) / 1e9;

			System.out
				.println(name + ": " + load.line() + " in " + seconds + " s, recovered after " + recovery + " ms");
			long exact = (long) (LIMIT * seconds) + LIMIT;
			assertThat(load.failures.sum()).isZero();
			assertThat(load.fallbacks.sum()).isPositive();
			assertThat(load.admitted.sum()).isBetween(exact / 2, exact * 110 / 100);
			assertThat(load.p99Micros()).isLessThan(BUDGET.plus(SLACK).toNanos() / 1000);
			// A probe a second, and what it takes to connect
			assertThat(recovery).isLessThan(2000);
		}
	}

	private static void await(BooleanSupplier condition) {
		long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(30);
		while (!condition.getAsBoolean()) {
			assertThat(System.nanoTime() - deadline).isNegative();
			LockSupport.parkNanos(1_000_000);
		}
	}

}
