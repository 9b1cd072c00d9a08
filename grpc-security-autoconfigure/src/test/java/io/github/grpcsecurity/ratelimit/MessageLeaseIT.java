package io.github.grpcsecurity.ratelimit;

import java.time.Duration;
import java.util.Set;
import java.util.List;
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
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

import org.springframework.data.redis.connection.lettuce.LettuceConnectionFactory;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

/** Messages whose permits are in a real Redis. */
class MessageLeaseIT {

	private static final int MESSAGES = 2000;

	@ParameterizedTest
	@EnumSource(OnExceed.class)
	void messagesWhenPermitsAreLeasedThenRedisIsAskedFarLessOftenAndOrderIsKept(OnExceed onExceed) {
		RateLimitRule rule = TestRules.rule("messages", "global", new Gcra(100_000, Duration.ofSeconds(1), 100_000, 1));
		rule = new RateLimitRule(rule.name(), rule.key(), rule.methods(), rule.gcra(), false, OnFailure.LOCAL,
				Status.Code.RESOURCE_EXHAUSTED, Set.of(), List.of(), onExceed);
		EchoService service = new EchoService();
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
			String[] texts = IntStream.range(0, MESSAGES).mapToObj(Integer::toString).toArray(String[]::new);
			try (TestServer server = TestServer.network(service, List.of(stage))) {
				CallType.Outcome outcome = CallType.BIDI.call(server.channel(), new Metadata(), texts);

				assertThat(outcome.code()).isEqualTo(Code.OK);
				assertThat(outcome.replies()).extracting(EchoReply::getText).containsExactly(texts);
				assertThat(limiter.operations()).isLessThan(MESSAGES / 10);
			}
			finally {
				limiter.close();
				connections.destroy();
			}
		}
	}

}
