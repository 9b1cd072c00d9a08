package io.github.grpcsecurity.ratelimit;

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ScheduledThreadPoolExecutor;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.LongAdder;
import java.util.concurrent.locks.LockSupport;
import java.util.function.UnaryOperator;

import io.github.grpcsecurity.ratelimit.redis.RedisRateLimiter;

import org.springframework.data.redis.connection.RedisClusterConfiguration;
import org.springframework.data.redis.connection.RedisStandaloneConfiguration;
import org.springframework.data.redis.connection.lettuce.LettuceConnectionFactory;

import static io.github.grpcsecurity.ratelimit.TestRules.permits;

/**
 * Some limiters in a process of their own that ask for one key at a given rate.
 * Arguments: nodes, rule's limit, seconds, and the demand of each limiter in decisions a
 * second. Prints a line when it is ready, starts with the first line that it reads, and
 * prints {@code decisions admitted fallbacks failures operations p99-micros}.
 */
public final class LeaseWorker {

	private LeaseWorker() {
	}

	public static void main(String[] args) throws Exception {
		((ch.qos.logback.classic.Logger) org.slf4j.LoggerFactory.getLogger("ROOT"))
			.setLevel(ch.qos.logback.classic.Level.OFF);
		Load load = new Load(args[0], Long.parseLong(args[1]), 8, Duration.ofMillis(20));
		for (int i = 3; i < args.length; i++) {
			load.add(Integer.parseInt(args[i]));
		}
		System.out.println("ready");
		new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8)).readLine();
		load.run(Duration.ofSeconds(Long.parseLong(args[2])));
		System.out.println(load.line());
		System.out.flush();
		Runtime.getRuntime().halt(0);
	}

	static LettuceConnectionFactory connectionFactory(String nodes) {
		LettuceConnectionFactory factory = nodes.contains(",")
				? new LettuceConnectionFactory(new RedisClusterConfiguration(List.of(nodes.split(","))))
				: new LettuceConnectionFactory(
						new RedisStandaloneConfiguration(nodes.split(":")[0], Integer.parseInt(nodes.split(":")[1])));
		factory.afterPropertiesSet();
		factory.start();
		return factory;
	}

	/** Limiters with a demand of their own, as servers would have them. */
	static final class Load implements AutoCloseable {

		final RateLimitRule rule;

		final LongAdder decisions = new LongAdder();

		final LongAdder admitted = new LongAdder();

		final LongAdder fallbacks = new LongAdder();

		final LongAdder failures = new LongAdder();

		final List<FailoverRateLimiter> limiters = new ArrayList<>();

		private final List<Integer> rates = new ArrayList<>();

		/**
		 * Of each decision, when it was asked for, how many nanoseconds it took, and
		 * whether the call was admitted.
		 */
		private final List<long[]> waits = new ArrayList<>();

		private final ScheduledThreadPoolExecutor timer = new ScheduledThreadPoolExecutor(2);

		private final LettuceConnectionFactory connectionFactory;

		private final int servers;

		private long operationsBefore;

		private volatile long started;

		private volatile long end;

		private List<Thread> threads = List.of();

		private final Duration budget;

		/** Wraps what a limiter shares with others, for those who watch it. */
		UnaryOperator<LeasablePermits> watcher = UnaryOperator.identity();

		Load(String nodes, long limit, int servers, Duration budget) {
			this.budget = budget;
			this.connectionFactory = connectionFactory(nodes);
			this.servers = servers;
			this.rule = TestRules.rule("hot", "global", new Gcra(limit, Duration.ofSeconds(1), limit, 1));
		}

		void add(int rate) {
			LeasablePermits redis = this.watcher
				.apply(new RedisRateLimiter(this.connectionFactory, "load:", Runnable::run));
			LeasingPermits leases = new LeasingPermits(redis, Duration.ofSeconds(1), 0.1, this.budget, 1000, this.timer,
					Runnable::run, System::nanoTime);
			FailoverRateLimiter limiter = new FailoverRateLimiter(leases,
					new InMemoryRateLimiter(1000, System::nanoTime), List.of(this.rule), this.servers, this.budget,
					this.timer, System::nanoTime);
			while (limiter.fallbackActive()) {
				limiter.connect();
				LockSupport.parkNanos(1_000_000);
			}
			// What is loaded and compiled now does not make calls late
			RateLimitRule warm = TestRules.rule("warm", 1_000_000, Duration.ofSeconds(1));
			for (int i = 0; i < 5000; i++) {
				limiter.tryAcquire(permits("all", warm)).toCompletableFuture().join();
			}
			this.limiters.add(limiter);
			this.rates.add(rate);
		}

		void start(Duration duration) {
			this.operationsBefore = limiterOperations();
			this.started = System.nanoTime();
			this.end = this.started + duration.toNanos();
			this.threads = new ArrayList<>();
			for (int i = 0; i < this.limiters.size(); i++) {
				FailoverRateLimiter limiter = this.limiters.get(i);
				int rate = this.rates.get(i);
				Thread thread = new Thread(() -> ask(limiter, rate), "load-" + i);
				thread.start();
				this.threads.add(thread);
			}
		}

		void join() throws InterruptedException {
			for (Thread thread : this.threads) {
				thread.join();
			}
			long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(5);
			while (this.answered() < this.decisions.sum() && System.nanoTime() - deadline < 0) {
				LockSupport.parkNanos(1_000_000);
			}
		}

		void stop() throws InterruptedException {
			this.end = System.nanoTime();
			join();
		}

		private long answered() {
			synchronized (this.waits) {
				return this.waits.size();
			}
		}

		void run(Duration duration) throws InterruptedException {
			start(duration);
			join();
		}

		private void ask(FailoverRateLimiter limiter, int rate) {
			List<RateLimitPermit> permits = permits("all", this.rule);
			long start = System.nanoTime();
			long asked = 0;
			long now = start;
			while (now - this.end < 0) {
				long due = (long) ((now - start) / 1e9 * rate);
				for (; asked < due; asked++) {
					long before = System.nanoTime();
					this.decisions.increment();
					limiter.tryAcquire(permits).whenComplete((decision, failure) -> count(before, decision, failure));
				}
				LockSupport.parkNanos(500_000);
				now = System.nanoTime();
			}
		}

		private void count(long before, RateLimitDecision decision, Throwable failure) {
			if (failure != null || decision.undecided() != null) {
				this.failures.increment();
			}
			else {
				this.admitted.add(decision.permitted() ? 1 : 0);
				this.fallbacks.add(decision.fallback() ? 1 : 0);
			}
			long took = System.nanoTime() - before;
			synchronized (this.waits) {
				this.waits.add(new long[] { before, took, (decision != null && decision.permitted()) ? 1 : 0 });
			}
		}

		/** How many calls were admitted of those that were asked for in a time. */
		long admitted(long from, long to) {
			synchronized (this.waits) {
				return this.waits.stream()
					.filter((wait) -> wait[0] - from >= 0 && wait[0] - to <= 0)
					.mapToLong((wait) -> wait[2])
					.sum();
			}
		}

		/**
		 * How long all but one of a hundred decisions took, of those asked for in a time.
		 */
		long p99Micros(long from, long to) {
			synchronized (this.waits) {
				return p99(this.waits.stream()
					.filter((wait) -> wait[0] - from >= 0 && wait[0] - to <= 0)
					.map((wait) -> wait[1])
					.toList()) / 1000;
			}
		}

		static long p99(List<Long> values) {
			return values.stream().sorted().skip(values.size() * 99L / 100).findFirst().orElse(0L);
		}

		/** Commands since the start, without those that connected. */
		long operations() {
			return limiterOperations() - this.operationsBefore;
		}

		private long limiterOperations() {
			return this.limiters.stream().mapToLong(FailoverRateLimiter::operations).sum();
		}

		String line() {
			return this.decisions + " " + this.admitted + " " + this.fallbacks + " " + this.failures + " "
					+ operations() + " " + p99Micros(this.started, this.end);
		}

		@Override
		public void close() {
			this.limiters.forEach(FailoverRateLimiter::close);
			this.timer.shutdownNow();
			this.connectionFactory.destroy();
		}

	}

}
