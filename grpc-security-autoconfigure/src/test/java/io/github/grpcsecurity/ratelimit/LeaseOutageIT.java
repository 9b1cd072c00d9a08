package io.github.grpcsecurity.ratelimit;

import java.lang.reflect.Proxy;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.ScheduledThreadPoolExecutor;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;
import java.util.function.BooleanSupplier;

import io.github.grpcsecurity.ratelimit.LeaseWorker.Load;
import io.github.grpcsecurity.testing.TestRedis;
import io.github.grpcsecurity.testing.TestRedisCluster;
import io.github.grpcsecurity.testing.TestTcpProxy;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

import org.springframework.dao.DataAccessException;
import org.springframework.data.redis.connection.RedisConnection;
import org.springframework.data.redis.connection.lettuce.LettuceConnectionFactory;

import static org.assertj.core.api.Assertions.assertThat;

/** Two servers under load lose Redis for two seconds, in every way that there is. */
@Tag("alone")
class LeaseOutageIT {

	private static final int LIMIT = 1000;

	private static final Duration BUDGET = Duration.ofMillis(20);

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
	void loadWhenAllNodesOfAClusterAreKilledThenLocalLimitsHoldAndTheyAreUsedAgain() throws Exception {
		try (TestRedisCluster cluster = TestRedisCluster.start()) {
			check("cluster killed", cluster.addresses(), () -> cluster.nodes().forEach(TestRedis::stop), () -> {
				cluster.nodes().forEach(TestRedis::restart);
				// Which takes them two seconds, whatever their clients do
				cluster.awaitComplete();
			});
		}
	}

	@Test
	void loadWhenAllNodesOfAClusterArePausedThenLocalLimitsHoldAndTheyAreUsedAgain() throws Exception {
		try (TestRedisCluster cluster = TestRedisCluster.start()) {
			check("cluster paused", cluster.addresses(), () -> cluster.nodes().forEach(TestRedis::pause), () -> {
				cluster.nodes().forEach(TestRedis::resume);
				cluster.awaitComplete();
			});
		}
	}

	@Test
	void loadWhenAllNodesOfAClusterAreBlackholedThenLocalLimitsHoldAndTheyAreUsedAgain() throws Exception {
		try (TestRedisCluster cluster = TestRedisCluster.start()) {
			check("cluster blackholed", cluster.addresses(), () -> cluster.proxies().forEach(TestTcpProxy::swallow),
					() -> cluster.proxies().forEach(TestTcpProxy::forward));
		}
	}

	private static void check(String name, String nodes, Runnable begin, Runnable end) throws Exception {
		try (Load load = new Load(nodes, LIMIT, 2, BUDGET); Control control = new Control()) {
			List<Attempts> attempts = List.of(new Attempts(), new Attempts());
			load.watcher = attempts.get(0)::watch;
			load.add(4000);
			load.watcher = attempts.get(1)::watch;
			load.add(1000);
			long start = System.nanoTime();
			load.start(Duration.ofSeconds(60));
			await(() -> System.nanoTime() - start > TimeUnit.MILLISECONDS.toNanos(500));
			long lost = System.nanoTime();
			begin.run();
			await(() -> load.limiters.stream().allMatch(FailoverRateLimiter::fallbackActive));
			long opened = System.nanoTime();
			long noticed = TimeUnit.NANOSECONDS.toMillis(opened - lost);
			await(() -> System.nanoTime() - lost > TimeUnit.SECONDS.toNanos(2));
			end.run();
			long back = System.nanoTime();
			Future<Long> plain = control.connectsAfter(nodes);
			await(() -> load.limiters.stream().noneMatch(FailoverRateLimiter::fallbackActive));
			long recovery = TimeUnit.NANOSECONDS.toMillis(System.nanoTime() - back);
			await(() -> System.nanoTime() - back > TimeUnit.SECONDS.toNanos(1));
			load.stop();
			double seconds = (System.nanoTime() - start) / 1e9;

			long p99 = load.p99Micros(lost, back);
			long connected = TimeUnit.NANOSECONDS.toMillis(plain.get(30, TimeUnit.SECONDS));
			long idle = attempts.stream().mapToLong((each) -> each.longestIdleMillis(opened, back)).max().orElseThrow();
			System.out.println(name + ": " + load.line() + " in " + seconds + " s, noticed after " + noticed
					+ " ms, recovered after " + recovery + " ms, a plain client after " + connected
					+ " ms, probes late by " + idle + " ms, p99 meanwhile " + p99 + " us, timers late by "
					+ control.p99Micros() + " us, " + control.maxMillis() + " ms at most");
			long exact = (long) (LIMIT * seconds) + LIMIT;
			assertThat(load.failures.sum()).isZero();
			assertThat(load.fallbacks.sum()).isPositive();
			assertThat(load.admitted.sum()).isBetween(exact * 3 / 4, exact * 110 / 100);
			// The burst was used up before; each server may hold a tenth of it
			assertThat(load.admitted(lost, back))
				.isLessThanOrEqualTo((long) (LIMIT * 1.1 * (back - lost) / 1e9) + 2 * 100);
			// No timer is more punctual than the machine allows, and then there is to
			// decide. A single stall can hold up more than a hundredth of the calls
			long late = control.p99Micros() + 1000 * control.maxMillis();
			assertThat(p99).isLessThanOrEqualTo(BUDGET.toNanos() / 1000 + late + 2000);
			// The meter that tells of it
			assertThat(noticed).isLessThan(1000);
			// Four probes a second, but for one that takes longer, and it is over with
			// the
			// first that finds Redis
			assertThat(idle).isLessThanOrEqualTo(100 + control.maxMillis());
			assertThat(recovery).isLessThan(1000 + connected + control.maxMillis());
		}
	}

	private static void await(BooleanSupplier condition) {
		long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(30);
		while (!condition.getAsBoolean()) {
			assertThat(System.nanoTime() - deadline).isNegative();
			LockSupport.parkNanos(1_000_000);
		}
	}

	/** When a limiter tried to get hold of Redis. */
	private static final class Attempts {

		private static final long INTERVAL = TimeUnit.MILLISECONDS.toNanos(250);

		/** How long an outage may be until there are fewer. */
		private static final long YOUNG = TimeUnit.SECONDS.toNanos(4);

		/** Start and end of each. */
		private final List<long[]> attempts = new ArrayList<>();

		LeasablePermits watch(LeasablePermits redis) {
			return (LeasablePermits) Proxy.newProxyInstance(LeasablePermits.class.getClassLoader(),
					new Class<?>[] { LeasablePermits.class }, (proxy, method, args) -> {
						long start = System.nanoTime();
						Object result = method.invoke(redis, args);
						if (method.getName().equals("connect")) {
							((CompletionStage<?>) result).whenComplete((connected, failure) -> add(start));
						}
						return result;
					});
		}

		private synchronized void add(long start) {
			this.attempts.add(new long[] { start, System.nanoTime() });
		}

		/** How long none was made at most that could have been made. */
		synchronized long longestIdleMillis(long noticed, long back) {
			long end = Math.min(back - noticed, YOUNG);
			long due = INTERVAL;
			long longest = 0;
			for (long[] attempt : this.attempts) {
				long start = attempt[0] - noticed;
				if (start > 0) {
					longest = Math.max(longest, Math.min(start, end) - due);
					due = Math.max(start + INTERVAL, attempt[1] - noticed);
				}
			}
			return TimeUnit.NANOSECONDS.toMillis(Math.max(longest, end - due));
		}

	}

	/**
	 * Measures how late timers of the length of the budget are on this machine, and how
	 * long a client takes that does nothing but connect.
	 */
	private static final class Control implements AutoCloseable {

		private static final byte[] KEY = "control".getBytes(StandardCharsets.US_ASCII);

		private final ExecutorService client = Executors.newSingleThreadExecutor();

		private final ScheduledThreadPoolExecutor timer = new ScheduledThreadPoolExecutor(2);

		private final List<Long> late = new ArrayList<>();

		private final Future<?> ticking = this.timer.scheduleAtFixedRate(this::tick, 0, 5, TimeUnit.MILLISECONDS);

		private void tick() {
			long due = System.nanoTime() + BUDGET.toNanos();
			this.timer.schedule(() -> {
				long nanos = System.nanoTime() - due;
				synchronized (this.late) {
					this.late.add(nanos);
				}
			}, BUDGET.toNanos(), TimeUnit.NANOSECONDS);
		}

		long p99Micros() {
			synchronized (this.late) {
				return Load.p99(this.late) / 1000;
			}
		}

		long maxMillis() {
			synchronized (this.late) {
				return TimeUnit.NANOSECONDS.toMillis(this.late.stream().mapToLong(Long::longValue).max().orElse(0));
			}
		}

		/** How many nanoseconds it takes until a new client gets an answer in time. */
		Future<Long> connectsAfter(String nodes) {
			long start = System.nanoTime();
			return this.client.submit(() -> {
				while (!answers(nodes)) {
					LockSupport.parkNanos(1_000_000);
				}
				return System.nanoTime() - start;
			});
		}

		private static boolean answers(String nodes) {
			LettuceConnectionFactory factory = LeaseWorker.connectionFactory(nodes);
			try (RedisConnection connection = factory.getConnection()) {
				connection.stringCommands().get(KEY);
				long asked = System.nanoTime();
				connection.stringCommands().get(KEY);
				return System.nanoTime() - asked < BUDGET.toNanos();
			}
			catch (DataAccessException ex) {
				return false;
			}
			finally {
				factory.destroy();
			}
		}

		@Override
		public void close() {
			this.client.shutdownNow();
			this.ticking.cancel(false);
			this.timer.shutdownNow();
		}

	}

}
