package io.github.grpcsecurity.benchmarks;

import java.time.Duration;
import java.util.List;
import java.util.concurrent.ScheduledThreadPoolExecutor;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;

import io.github.grpcsecurity.ratelimit.FailoverRateLimiter;
import io.github.grpcsecurity.ratelimit.Gcra;
import io.github.grpcsecurity.ratelimit.InMemoryRateLimiter;
import io.github.grpcsecurity.ratelimit.LeasingPermits;
import io.github.grpcsecurity.ratelimit.RateLimitDecision;
import io.github.grpcsecurity.ratelimit.RateLimitKey;
import io.github.grpcsecurity.ratelimit.RateLimitPermit;
import io.github.grpcsecurity.ratelimit.RateLimitRule;
import io.github.grpcsecurity.ratelimit.SharedPermits;
import io.github.grpcsecurity.ratelimit.redis.RedisRateLimiter;
import io.github.grpcsecurity.server.MethodPattern;
import io.grpc.Status;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.BenchmarkMode;
import org.openjdk.jmh.annotations.Fork;
import org.openjdk.jmh.annotations.Measurement;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.annotations.OutputTimeUnit;
import org.openjdk.jmh.annotations.Param;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;
import org.openjdk.jmh.annotations.TearDown;
import org.openjdk.jmh.annotations.Warmup;

import org.springframework.data.redis.connection.RedisStandaloneConfiguration;
import org.springframework.data.redis.connection.lettuce.LettuceConnectionFactory;

/**
 * One decision about one rule whose permits are in Redis, on port 6379 of this machine or
 * the one that the system property {@code redis.port} names.
 */
@State(Scope.Benchmark)
@BenchmarkMode({ Mode.AverageTime, Mode.SampleTime })
@OutputTimeUnit(TimeUnit.MICROSECONDS)
@Warmup(iterations = 3, time = 2)
@Measurement(iterations = 5, time = 2)
@Fork(1)
public class RateLimitBenchmark {

	/** From a lease, by a remembered refusal, or by asking Redis. */
	@Param({ "leased", "refused", "round-trip" })
	public String variant;

	private ScheduledThreadPoolExecutor timer;

	private LettuceConnectionFactory connectionFactory;

	private FailoverRateLimiter limiter;

	private List<RateLimitPermit> permits;

	@Setup
	public void start() {
		this.timer = new ScheduledThreadPoolExecutor(1);
		this.connectionFactory = new LettuceConnectionFactory(
				new RedisStandaloneConfiguration("127.0.0.1", Integer.getInteger("redis.port", 6379)));
		this.connectionFactory.afterPropertiesSet();
		this.connectionFactory.start();
		Gcra gcra = this.variant.equals("refused") ? new Gcra(1, Duration.ofDays(1), 1, 1)
				: new Gcra(1_000_000_000, Duration.ofSeconds(1), 1_000_000_000, 1);
		RateLimitRule rule = new RateLimitRule(this.variant, RateLimitKey.parse("global"),
				List.of(MethodPattern.parse("**")), gcra, false, RateLimitRule.OnFailure.LOCAL,
				Status.Code.RESOURCE_EXHAUSTED);
		Duration budget = Duration.ofSeconds(1);
		RedisRateLimiter redis = new RedisRateLimiter(this.connectionFactory, "benchmark:", Runnable::run);
		SharedPermits shared = this.variant.equals("round-trip") ? redis : new LeasingPermits(redis,
				Duration.ofSeconds(1), 0.1, budget, 1000, this.timer, Runnable::run, System::nanoTime);
		this.limiter = new FailoverRateLimiter(shared, new InMemoryRateLimiter(1000, System::nanoTime), List.of(rule),
				1, budget, this.timer, System::nanoTime);
		while (this.limiter.fallbackActive()) {
			this.limiter.connect();
			LockSupport.parkNanos(1_000_000);
		}
		this.permits = List.of(new RateLimitPermit(rule, "all"));
	}

	@Benchmark
	public RateLimitDecision decide() {
		return this.limiter.tryAcquire(this.permits).toCompletableFuture().join();
	}

	@TearDown
	public void stop() {
		this.limiter.close();
		this.timer.shutdownNow();
		this.connectionFactory.destroy();
	}

}
