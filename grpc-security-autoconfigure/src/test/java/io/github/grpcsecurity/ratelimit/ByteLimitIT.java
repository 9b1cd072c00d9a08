package io.github.grpcsecurity.ratelimit;

import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.LongAdder;

import com.google.protobuf.ByteString;
import io.github.grpcsecurity.ratelimit.RateLimitObserver.Outcome;
import io.github.grpcsecurity.ratelimit.RateLimitRule.OnExceed;
import io.github.grpcsecurity.server.GrpcSecurityThreads;
import io.github.grpcsecurity.server.MethodPlan;
import io.github.grpcsecurity.server.SecurityStage;
import io.github.grpcsecurity.testing.CallType;
import io.github.grpcsecurity.testing.EchoRequest;
import io.github.grpcsecurity.testing.EchoService;
import io.github.grpcsecurity.testing.RawCall;
import io.github.grpcsecurity.testing.TestServer;
import io.grpc.CallOptions;
import io.grpc.Metadata;
import io.grpc.Status.Code;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

import static io.github.grpcsecurity.ratelimit.TestRules.bytes;
import static io.github.grpcsecurity.ratelimit.TestRules.rule;
import static io.github.grpcsecurity.ratelimit.TestRules.shadow;
import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

/** Limits of the bytes of messages. */
class ByteLimitIT {

	private static final Metadata.Key<String> PUSHBACK = Metadata.Key.of("grpc-retry-pushback-ms",
			Metadata.ASCII_STRING_MARSHALLER);

	private final GrpcSecurityThreads threads = new GrpcSecurityThreads();

	private final TestClock clock = new TestClock();

	private final InMemoryRateLimiter memory = new InMemoryRateLimiter(1000, this.clock);

	private final Map<Outcome, LongAdder> outcomes = new ConcurrentHashMap<>();

	private final EchoService service = new EchoService();

	private MessageLimitStage stage;

	@AfterEach
	void stopThreads() {
		this.threads.close();
	}

	private static RateLimitRule hourly(String key, long limit, OnExceed onExceed) {
		return bytes(rule("bytes", key, limit, Duration.ofHours(1)), onExceed);
	}

	/** A message of so many bytes. */
	private static EchoRequest message(int bytes) {
		int text = Math.max(0, bytes - ((bytes < 130) ? 2 : 3));
		EchoRequest message = EchoRequest.newBuilder().setText("x".repeat(text)).build();
		assertThat(message.getSerializedSize()).isEqualTo(bytes);
		return message;
	}

	private TestServer serve(RateLimitRule... rules) {
		return serve(new RateLimitRules(List.of(rules)));
	}

	private TestServer serve(RateLimitRules rules) {
		this.stage = new MessageLimitStage(rules, this.memory,
				(rule, outcome) -> this.outcomes.computeIfAbsent(outcome, (key) -> new LongAdder()).increment(),
				this.threads.scheduler(), this.clock);
		return TestServer.network(this.service, List.of(this.stage));
	}

	private long count(Outcome outcome) {
		LongAdder count = this.outcomes.get(outcome);
		return (count != null) ? count.sum() : 0;
	}

	private static RawCall open(TestServer server, CallType type) {
		return RawCall.start(server.channel(), type.method(), type.grpcType(), new Metadata(),
				CallOptions.DEFAULT.withCompression("gzip"));
	}

	@ParameterizedTest
	@EnumSource
	void rejectWhenBytesAreUsedUpThenCallEnds(CallType type) {
		try (TestServer server = serve(hourly("global", 1000, OnExceed.REJECT))) {
			assertThat(type.call(server.channel(), new Metadata(), List.of(message(600))).code()).isEqualTo(Code.OK);

			CallType.Outcome refused = type.call(server.channel(), new Metadata(), List.of(message(500)));

			assertThat(refused.code()).isEqualTo(Code.RESOURCE_EXHAUSTED);
			// What is missing are 100 bytes of 1000 an hour
			assertThat(Long.parseLong(refused.trailers().get(PUSHBACK))).isBetween(360_000L, 396_000L);
			assertThat(type.call(server.channel(), new Metadata(), List.of(message(400))).code()).isEqualTo(Code.OK);
			assertThat(this.service.messages).hasValue(2);
			assertThat(count(Outcome.ALLOWED)).isEqualTo(2);
			assertThat(count(Outcome.DENIED)).isEqualTo(1);
		}
	}

	@ParameterizedTest
	@EnumSource(names = { "CLIENT_STREAM", "BIDI" })
	void rejectWhenMessagesOfAStreamDifferThenEachCostsItsOwnSize(CallType type) {
		try (TestServer server = serve(hourly("call", 1000, OnExceed.REJECT))) {
			CallType.Outcome refused = type.call(server.channel(), new Metadata(),
					List.of(message(100), message(700), message(200), EchoRequest.getDefaultInstance()));

			assertThat(refused.code()).isEqualTo(Code.RESOURCE_EXHAUSTED);
			assertThat(this.service.messages).hasValue(3);
		}
	}

	@ParameterizedTest
	@EnumSource
	void rejectWhenMessagesAreEmptyThenEachCostsOne(CallType type) {
		try (TestServer server = serve(hourly("global", 2, OnExceed.REJECT))) {
			List<EchoRequest> empty = List.of(EchoRequest.getDefaultInstance());
			assertThat(type.call(server.channel(), new Metadata(), empty).code()).isEqualTo(Code.OK);
			assertThat(type.call(server.channel(), new Metadata(), empty).code()).isEqualTo(Code.OK);

			assertThat(type.call(server.channel(), new Metadata(), empty).code()).isEqualTo(Code.RESOURCE_EXHAUSTED);
		}
	}

	@ParameterizedTest
	@EnumSource
	void rejectWhenMessageIsCompressedOrRepeatsItselfThenAllBytesOfItCount(CallType type) {
		byte[] half = message(500).toByteArray();
		byte[] twice = ByteString.copyFrom(half).concat(ByteString.copyFrom(half)).toByteArray();
		try (TestServer server = serve(hourly("global", 1000, OnExceed.REJECT))) {
			assertThat(open(server, type).sendCompressed(twice).halfClose().await().status().getCode())
				.isEqualTo(Code.OK);

			assertThat(type.call(server.channel()).code()).isEqualTo(Code.RESOURCE_EXHAUSTED);
		}
	}

	@ParameterizedTest
	@EnumSource(CallType.class)
	void messageWhenItIsLargerThanTheBurstThenItsCallEndsAtOnceEvenIfOthersWait(CallType type) {
		for (OnExceed onExceed : OnExceed.values()) {
			try (TestServer server = serve(
					bytes(rule("bytes " + onExceed, "global", 1000, Duration.ofHours(1)), onExceed))) {
				RawCall waiting = open(server, CallType.BIDI);
				if (onExceed == OnExceed.BACKPRESSURE) {
					waiting.send(message(900).toByteArray()).send(message(900).toByteArray());
					await().until(() -> this.stage.waiting() == 1);
				}

				CallType.Outcome refused = type.call(server.channel(), new Metadata(), List.of(message(1001)));

				assertThat(refused.code()).isEqualTo(Code.RESOURCE_EXHAUSTED);
				assertThat(refused.trailers().get(PUSHBACK)).isEqualTo("-1");
				waiting.cancel();
			}
		}
	}

	@ParameterizedTest
	@EnumSource
	void backpressureWhenBytesAreUsedUpThenMessagesWaitForAsManyAsTheyHave(CallType type) {
		RateLimitRule rule = bytes(rule("bytes", "global", new Gcra(1000, Duration.ofMillis(10), 1000, 1)),
				OnExceed.BACKPRESSURE);
		try (TestServer server = serve(rule)) {
			assertThat(type.call(server.channel(), new Metadata(), List.of(message(1000))).code()).isEqualTo(Code.OK);
			RawCall call = open(server, type).send(message(800).toByteArray()).halfClose();
			await().until(() -> this.stage.waiting() == 1);
			this.clock.advance(Duration.ofMillis(7));
			RawCall behind = open(server, type).send(message(100).toByteArray()).halfClose();
			await().until(() -> this.stage.waiting() == 2);
			assertThat(this.service.messages).hasValue(1);

			this.clock.advance(Duration.ofMillis(1));

			assertThat(call.await().status().getCode()).isEqualTo(Code.OK);
			await().until(() -> this.stage.waiting() == 1);
			this.clock.advance(Duration.ofMillis(1));
			assertThat(behind.await().status().getCode()).isEqualTo(Code.OK);
			assertThat(count(Outcome.DELAYED)).isEqualTo(2);
		}
	}

	@Test
	void shadowWhenMessageIsLargerThanTheBurstThenItIsOnlyReported() {
		try (TestServer server = serve(shadow(hourly("global", 100, OnExceed.REJECT)))) {
			assertThat(CallType.UNARY.call(server.channel(), new Metadata(), List.of(message(1001))).code())
				.isEqualTo(Code.OK);
			assertThat(count(Outcome.SHADOW_DENIED)).isEqualTo(1);
		}
	}

	@ParameterizedTest
	@EnumSource(names = { "CLIENT_STREAM", "BIDI" })
	void updateWhenBytesAreCountedFromNowOnThenOpenStreamsFollow(CallType type) {
		RateLimitRules rules = new RateLimitRules(
				List.of(TestRules.messages(rule("messages", "global", 1000, Duration.ofHours(1)))));
		try (TestServer server = serve(rules)) {
			RawCall call = open(server, type).send(message(1000).toByteArray());
			await().until(() -> this.service.messages.get() == 1);
			rules.update(List.of(hourly("global", 1000, OnExceed.REJECT)));
			call.send(message(600).toByteArray());
			await().until(() -> this.service.messages.get() == 2);

			assertThat(call.send(message(500).toByteArray()).await().status().getCode())
				.isEqualTo(Code.RESOURCE_EXHAUSTED);
		}
	}

	@Test
	void planWhenRuleCountsBytesThenItSaysSo() {
		try (TestServer server = serve(hourly("principal", 1000, OnExceed.BACKPRESSURE))) {
			assertThat(server.security().plans().get(0).describe())
				.contains(new MethodPlan.StepDescription(SecurityStage.PRINCIPAL_LIMITS, "message",
						"byte limit bytes by principal: 1000 bytes per PT1H, burst 1000, others wait"));
		}
	}

	@Test
	void shareWhenServersCountForThemselvesThenTheLargestMessageStillFits() {
		RateLimitRule share = hourly("global", 1000, OnExceed.REJECT).share(4);

		assertThat(share.bytes()).isTrue();
		assertThat(share.gcra()).hasToString("1000 per PT4H, burst 1000, cost 1");
	}

}
