package io.github.grpcsecurity.ratelimit;

import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.LongAdder;
import java.util.stream.IntStream;

import io.github.grpcsecurity.ratelimit.RateLimitObserver.Outcome;
import io.github.grpcsecurity.ratelimit.RateLimitRule.OnExceed;
import io.github.grpcsecurity.ratelimit.RateLimitRule.OnFailure;
import io.github.grpcsecurity.server.CallObserver;
import io.github.grpcsecurity.server.GrpcSecurityThreads;
import io.github.grpcsecurity.server.SecuredCall;
import io.github.grpcsecurity.testing.CallType;
import io.github.grpcsecurity.testing.EchoReply;
import io.github.grpcsecurity.testing.EchoRequest;
import io.github.grpcsecurity.testing.EchoService;
import io.github.grpcsecurity.testing.RawCall;
import io.github.grpcsecurity.testing.TestServer;
import io.grpc.Metadata;
import io.grpc.Status;
import io.grpc.Status.Code;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

/** Messages that are counted for each call by itself. */
class CallKeyIT {

	private static final Metadata.Key<String> PUSHBACK = Metadata.Key.of("grpc-retry-pushback-ms",
			Metadata.ASCII_STRING_MARSHALLER);

	private static final byte[] MESSAGE = EchoRequest.newBuilder().setText("x").build().toByteArray();

	private final GrpcSecurityThreads threads = new GrpcSecurityThreads();

	private final TestClock clock = new TestClock();

	private final InMemoryRateLimiter memory = new InMemoryRateLimiter(1000, this.clock);

	private final AtomicInteger asked = new AtomicInteger();

	private final Map<String, LongAdder> outcomes = new ConcurrentHashMap<>();

	private final List<Map<String, String>> notes = Collections.synchronizedList(new ArrayList<>());

	private final CallObserver observer = new CallObserver() {
		@Override
		public void closed(SecuredCall call, Status status) {
			CallKeyIT.this.notes.add(call.notes());
		}
	};

	private final EchoService service = new EchoService();

	private MessageLimitStage stage;

	@AfterEach
	void stopThreads() {
		this.threads.close();
	}

	private static Gcra hourly(long limit) {
		return new Gcra(limit, Duration.ofHours(1), limit, 1);
	}

	private static RateLimitRule rule(String name, String key, Gcra gcra, OnExceed onExceed) {
		RateLimitRule rule = TestRules.rule(name, key, gcra);
		return new RateLimitRule(name, rule.key(), rule.methods(), gcra, false, OnFailure.LOCAL,
				Status.Code.RESOURCE_EXHAUSTED, Set.of(), List.of(), onExceed);
	}

	private TestServer serve(RateLimitRule... rules) {
		return serve(new RateLimitRules(List.of(rules)));
	}

	private TestServer serve(RateLimitRules rules) {
		this.stage = new MessageLimitStage(rules, (permits) -> {
			this.asked.incrementAndGet();
			return this.memory.tryAcquire(permits);
		}, (rule, outcome) -> this.outcomes.computeIfAbsent(rule.name() + " " + outcome, (name) -> new LongAdder())
			.increment(), this.threads.scheduler(), this.clock);
		return TestServer.network(this.service, List.of(this.stage), this.observer);
	}

	private long count(String rule, Outcome outcome) {
		LongAdder count = this.outcomes.get(rule + " " + outcome);
		return (count != null) ? count.sum() : 0;
	}

	private static RawCall open(TestServer server, CallType type) {
		return RawCall.start(server.channel(), type.method(), type.grpcType(), new Metadata());
	}

	private RawCall send(RawCall call, int messages) {
		int before = this.service.messages.get();
		for (int i = 0; i < messages; i++) {
			call.send(MESSAGE);
		}
		await().until(() -> this.service.messages.get() == before + messages);
		return call;
	}

	@ParameterizedTest
	@EnumSource
	void messagesWhenCountedForEachCallThenCallsDoNotShareThemAndNoStoreIsAsked(CallType type) {
		try (TestServer server = serve(rule("each", "call", hourly(1), OnExceed.REJECT))) {
			for (int i = 0; i < 5; i++) {
				assertThat(type.call(server.channel()).code()).isEqualTo(Code.OK);
			}

			CallType.Outcome two = type.call(server.channel(), new Metadata(), "a", "b");

			assertThat(two.code())
				.isEqualTo(type.grpcType().clientSendsOneMessage() ? Code.OK : Code.RESOURCE_EXHAUSTED);
			assertThat(this.asked).hasValue(0);
			assertThat(this.memory.size()).isZero();
			assertThat(count("each", Outcome.ALLOWED)).isEqualTo(6);
		}
	}

	@ParameterizedTest
	@EnumSource(names = { "CLIENT_STREAM", "BIDI" })
	void rejectWhenCallIsOverItsLimitThenItEndsAndOthersGoOn(CallType type) {
		try (TestServer server = serve(rule("each", "call", hourly(3), OnExceed.REJECT))) {
			RawCall other = send(open(server, type), 2);
			RawCall call = send(open(server, type), 3);

			RawCall.Result refused = call.send(MESSAGE).await();

			assertThat(refused.status().getCode()).isEqualTo(Code.RESOURCE_EXHAUSTED);
			assertThat(Long.parseLong(refused.trailers().get(PUSHBACK))).isBetween(1_200_000L, 1_320_000L);
			send(other, 1);
			this.clock.advance(Duration.ofMinutes(20));
			send(other, 1);
			assertThat(other.send(MESSAGE).await().status().getCode()).isEqualTo(Code.RESOURCE_EXHAUSTED);
			assertThat(count("each", Outcome.ALLOWED)).isEqualTo(7);
			assertThat(count("each", Outcome.NEAR_LIMIT)).isEqualTo(3);
			assertThat(count("each", Outcome.DENIED)).isEqualTo(2);
			await().until(() -> this.notes.size() == 2);
			assertThat(this.notes).allSatisfy((notes) -> assertThat(notes).containsEntry("rate_limit.rule", "each"));
		}
	}

	@ParameterizedTest
	@EnumSource(names = { "CLIENT_STREAM", "BIDI" })
	void backpressureWhenCallIsOverItsLimitThenItsMessageWaitsForPermitsOfItsOwn(CallType type) {
		Gcra gcra = new Gcra(1, Duration.ofMillis(20), 1, 1);
		try (TestServer server = serve(rule("each", "call", gcra, OnExceed.BACKPRESSURE))) {
			RawCall call = send(open(server, type), 1).send(MESSAGE).send(MESSAGE);
			await().until(() -> this.stage.waiting() == 1);
			send(open(server, type), 1);
			this.clock.advance(Duration.ofMillis(20));

			await().until(() -> this.service.messages.get() == 3 && this.stage.waiting() == 1);
			this.clock.advance(Duration.ofMillis(20));
			await().until(() -> this.service.messages.get() == 4);

			assertThat(this.stage.waiting()).isZero();
			assertThat(call.halfClose().await().status().getCode()).isEqualTo(Code.OK);
			assertThat(this.asked).hasValue(0);
		}
	}

	@ParameterizedTest
	@EnumSource(names = { "CLIENT_STREAM", "BIDI" })
	void backpressureWhenClientLeavesThenItsMessageDoesNotWaitOn(CallType type) {
		try (TestServer server = serve(rule("each", "call", hourly(1), OnExceed.BACKPRESSURE))) {
			RawCall call = send(open(server, type), 1).send(MESSAGE);
			await().until(() -> this.stage.waiting() == 1);

			call.cancel();

			await().until(() -> this.stage.waiting() == 0);
			assertThat(this.service.messages).hasValue(1);
		}
	}

	@Test
	void backpressureWhenManyAreSentThenOrderIsKept() {
		String[] texts = IntStream.range(0, 20).mapToObj(Integer::toString).toArray(String[]::new);
		MessageLimitStage real = new MessageLimitStage(
				List.of(rule("each", "call", new Gcra(200, Duration.ofSeconds(1), 3, 1), OnExceed.BACKPRESSURE)),
				this.memory, (rule, outcome) -> {
				}, this.threads.scheduler());
		try (TestServer server = TestServer.network(this.service, List.of(real))) {
			CallType.Outcome outcome = CallType.BIDI.call(server.channel(), new Metadata(), texts);

			assertThat(outcome.code()).isEqualTo(Code.OK);
			assertThat(outcome.replies()).extracting(EchoReply::getText).containsExactly(texts);
		}
	}

	@ParameterizedTest
	@EnumSource(names = { "CLIENT_STREAM", "BIDI" })
	void messagesWhenASharedRuleRefusesThenTheyTakeNothingOfTheCallsOwn(CallType type) {
		Gcra shared = new Gcra(1, Duration.ofMillis(20), 1, 1);
		try (TestServer server = serve(rule("each", "call", hourly(2), OnExceed.BACKPRESSURE),
				rule("all", "global", shared, OnExceed.BACKPRESSURE))) {
			RawCall call = send(open(server, type), 1).send(MESSAGE);
			// However often it is asked for in vain
			await().until(() -> this.asked.get() > 3);
			assertThat(this.service.messages).hasValue(1);
			this.clock.advance(Duration.ofMillis(20));

			await().until(() -> this.service.messages.get() == 2);

			assertThat(count("each", Outcome.ALLOWED)).isEqualTo(2);
			assertThat(count("all", Outcome.ALLOWED)).isEqualTo(2);
			call.cancel();
		}
	}

	@ParameterizedTest
	@EnumSource(names = { "CLIENT_STREAM", "BIDI" })
	void messagesWhenTheCallsOwnRefusesThenTheyTakeNothingOfASharedRule(CallType type) {
		try (TestServer server = serve(rule("each", "call", hourly(2), OnExceed.REJECT),
				rule("all", "global", hourly(5), OnExceed.REJECT))) {
			for (int i = 0; i < 2; i++) {
				RawCall call = send(open(server, type), 2);
				assertThat(call.send(MESSAGE).await().status().getCode()).isEqualTo(Code.RESOURCE_EXHAUSTED);
			}
			assertThat(this.asked).hasValue(4);

			RawCall last = send(open(server, type), 1).send(MESSAGE);

			assertThat(last.await().status().getCode()).isEqualTo(Code.RESOURCE_EXHAUSTED);
			assertThat(count("each", Outcome.ALLOWED)).isEqualTo(5);
			assertThat(count("each", Outcome.DENIED)).isEqualTo(2);
			assertThat(count("all", Outcome.DENIED)).isEqualTo(1);
		}
	}

	@ParameterizedTest
	@EnumSource(names = { "CLIENT_STREAM", "BIDI" })
	void shadowWhenCallIsOverItsLimitThenItIsOnlyReported(CallType type) {
		try (TestServer server = serve(TestRules.shadow(rule("each", "call", hourly(1), OnExceed.REJECT)))) {
			RawCall call = send(open(server, type), 3);

			assertThat(call.halfClose().await().status().getCode()).isEqualTo(Code.OK);
			assertThat(count("each", Outcome.ALLOWED)).isEqualTo(1);
			assertThat(count("each", Outcome.SHADOW_DENIED)).isEqualTo(2);
			await().until(() -> this.notes.size() == 1);
			assertThat(this.notes.get(0)).containsEntry("rate_limit.shadow", "each");
		}
	}

	@ParameterizedTest
	@EnumSource(names = { "CLIENT_STREAM", "BIDI" })
	void updateWhenNumbersChangeThenCallOwesWhatItOwed(CallType type) {
		RateLimitRule rule = rule("each", "call", hourly(10), OnExceed.REJECT);
		RateLimitRules rules = new RateLimitRules(List.of(rule));
		try (TestServer server = serve(rules)) {
			RawCall call = send(open(server, type), 4);

			// Four of ten is 24 minutes of an hour, which is two of five
			rules.update(List.of(rule.withGcra(hourly(5))));
			send(call, 3);

			assertThat(call.send(MESSAGE).await().status().getCode()).isEqualTo(Code.RESOURCE_EXHAUSTED);
		}
	}

}
