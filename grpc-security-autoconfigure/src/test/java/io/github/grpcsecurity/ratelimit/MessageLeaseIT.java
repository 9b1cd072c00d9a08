package io.github.grpcsecurity.ratelimit;

import java.time.Duration;
import java.util.Set;
import java.util.List;
import java.util.function.BiConsumer;
import java.util.stream.IntStream;

import io.github.grpcsecurity.ratelimit.RateLimitRule.OnExceed;
import io.github.grpcsecurity.ratelimit.RateLimitRule.OnFailure;
import io.github.grpcsecurity.ratelimit.redis.RedisRateLimiter;
import io.github.grpcsecurity.server.GrpcSecurityThreads;
import io.github.grpcsecurity.testing.CallType;
import io.github.grpcsecurity.testing.EchoReply;
import io.github.grpcsecurity.testing.EchoService;
import io.github.grpcsecurity.testing.TestRedis;
import io.github.grpcsecurity.testing.TestServer;
import io.grpc.Metadata;
import io.grpc.Status;
import io.grpc.Status.Code;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

import org.springframework.data.redis.connection.lettuce.LettuceConnectionFactory;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

/** Messages whose permits are in a real Redis. */
class MessageLeaseIT {

	private static final Metadata.Key<String> PUSHBACK = Metadata.Key.of("grpc-retry-pushback-ms",
			Metadata.ASCII_STRING_MARSHALLER);

	private static final int MESSAGES = 2000;

	@ParameterizedTest
	@EnumSource(OnExceed.class)
	void messagesWhenPermitsAreLeasedThenRedisIsAskedFarLessOftenAndOrderIsKept(OnExceed onExceed) {
		RateLimitRule rule = TestRules.rule("messages", "global", new Gcra(100_000, Duration.ofSeconds(1), 100_000, 1));
		rule = new RateLimitRule(rule.name(), rule.key(), rule.methods(), rule.gcra(), false, OnFailure.LOCAL,
				Status.Code.RESOURCE_EXHAUSTED, Set.of(), List.of(), onExceed);
		run(rule, (server, limiter) -> {
			String[] texts = IntStream.range(0, MESSAGES).mapToObj(Integer::toString).toArray(String[]::new);

			CallType.Outcome outcome = CallType.BIDI.call(server.channel(), new Metadata(), texts);

			assertThat(outcome.code()).isEqualTo(Code.OK);
			assertThat(outcome.replies()).extracting(EchoReply::getText).containsExactly(texts);
			assertThat(limiter.operations()).isLessThan(MESSAGES / 10);
		});
	}

	@Test
	void bytesWhenPermitsAreLeasedThenMessagesOfAnySizeFindTheirsAndRedisCountsThem() {
		Gcra gcra = new Gcra(6_000_000, Duration.ofSeconds(1), 2_000_000, 1);
		run(TestRules.bytes(TestRules.rule("bytes", "global", gcra), OnExceed.BACKPRESSURE), (server, limiter) -> {
			// Some are leased, some are more than may be leased, some than can be
			int[] sizes = { 10, 1_000, 10, 1_900_000, 500_000, 1_000, 1_500_000, 10, 1_900_000, 1 };
			String[] texts = IntStream.of(sizes).mapToObj("x"::repeat).toArray(String[]::new);
			long start = System.nanoTime();

			CallType.Outcome outcome = CallType.BIDI.call(server.channel(), new Metadata(), texts);

			assertThat(outcome.code()).isEqualTo(Code.OK);
			assertThat(outcome.replies()).extracting(EchoReply::getText).containsExactly(texts);
			double burst = 2_000_000;
			double seconds = (IntStream.of(sizes).sum() - burst) / 6_000_000;
			assertThat(System.nanoTime() - start).isGreaterThan((long) (seconds * 1_000_000_000));
			CallType.Outcome never = CallType.BIDI.call(server.channel(), new Metadata(), "x".repeat(2_000_001));
			assertThat(never.code()).isEqualTo(Code.RESOURCE_EXHAUSTED);
			assertThat(never.trailers().get(PUSHBACK)).isEqualTo("-1");
		});
	}

	@Test
	void bytesWhenMessagesAreSmallThenRedisIsAskedFarLessOften() {
		Gcra gcra = new Gcra(10_000_000, Duration.ofSeconds(1), 10_000_000, 1);
		run(TestRules.bytes(TestRules.rule("bytes", "global", gcra), OnExceed.REJECT), (server, limiter) -> {
			String[] texts = IntStream.range(0, MESSAGES).mapToObj((i) -> "x".repeat(100)).toArray(String[]::new);

			CallType.Outcome outcome = CallType.BIDI.call(server.channel(), new Metadata(), texts);

			assertThat(outcome.code()).isEqualTo(Code.OK);
			assertThat(limiter.operations()).isLessThan(MESSAGES / 10);
		});
	}

	private static void run(RateLimitRule rule, BiConsumer<TestServer, FailoverRateLimiter> test) {
		try (TestRedis redis = TestRedis.start(); GrpcSecurityThreads threads = new GrpcSecurityThreads()) {
			LettuceConnectionFactory connections = redis.connectionFactory();
			Duration budget = Duration.ofSeconds(5);
			FailoverRateLimiter limiter = new FailoverRateLimiter(
					new LeasingPermits(new RedisRateLimiter(connections, "test:", threads.executor()),
							Duration.ofSeconds(1), 0.1, budget, 1000, threads.scheduler(), threads.executor(),
							System::nanoTime),
					new InMemoryRateLimiter(1000, System::nanoTime), List.of(rule), 1, budget, threads.scheduler(),
					System::nanoTime);
			limiter.connect();
			await().until(() -> !limiter.fallbackActive());
			MessageLimitStage stage = new MessageLimitStage(List.of(rule), limiter, (applied, outcome) -> {
			}, threads.scheduler());
			try (TestServer server = TestServer.network(new EchoService(), List.of(stage))) {
				test.accept(server, limiter);
			}
			finally {
				limiter.close();
				connections.destroy();
			}
		}
	}

}
