package io.github.grpcsecurity.ratelimit;

import java.io.IOException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.LongAdder;
import java.util.function.LongSupplier;
import java.util.stream.IntStream;

import io.github.grpcsecurity.ratelimit.RateLimitObserver.Outcome;
import io.github.grpcsecurity.ratelimit.RateLimitRule.OnExceed;
import io.github.grpcsecurity.ratelimit.RateLimitRule.OnFailure;
import io.github.grpcsecurity.server.GrpcSecurityThreads;
import io.github.grpcsecurity.server.MethodPlan;
import io.github.grpcsecurity.server.Refusal;
import io.github.grpcsecurity.server.SecuredCall;
import io.github.grpcsecurity.server.SecurityStage;
import io.github.grpcsecurity.server.Verdict;
import io.github.grpcsecurity.testing.CallType;
import io.github.grpcsecurity.testing.EchoGrpc;
import io.github.grpcsecurity.testing.EchoReply;
import io.github.grpcsecurity.testing.EchoRequest;
import io.github.grpcsecurity.testing.EchoService;
import io.github.grpcsecurity.testing.RawCall;
import io.github.grpcsecurity.testing.RawHttp2Client;
import io.github.grpcsecurity.testing.RecordingObserver;
import io.github.grpcsecurity.testing.TestServer;
import io.github.grpcsecurity.testing.TestStage;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor.MethodType;
import io.grpc.Status;
import io.grpc.Status.Code;
import io.grpc.stub.ClientCallStreamObserver;
import io.grpc.stub.ClientResponseObserver;
import io.grpc.stub.ServerCallStreamObserver;
import io.grpc.stub.StreamObserver;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

/** Limits of messages, with real servers and time. */
class MessageLimitIT {

	private static final Metadata.Key<String> PUSHBACK = Metadata.Key.of("grpc-retry-pushback-ms",
			Metadata.ASCII_STRING_MARSHALLER);

	private static final byte[] MESSAGE = EchoRequest.newBuilder().setText("x").build().toByteArray();

	private static final Gcra ONE = new Gcra(1, Duration.ofHours(1), 1, 1);

	private final GrpcSecurityThreads threads = new GrpcSecurityThreads();

	private final Map<Outcome, LongAdder> outcomes = Collections.synchronizedMap(new EnumMap<>(Outcome.class));

	private final InMemoryRateLimiter memory = new InMemoryRateLimiter(1000, System::nanoTime);

	private LongSupplier clock = System::nanoTime;

	private MessageLimitStage stage;

	@AfterEach
	void stopThreads() {
		this.threads.close();
	}

	private static RateLimitRule rule(String name, String key, Gcra gcra, OnExceed onExceed) {
		RateLimitRule rule = TestRules.rule(name, key, gcra);
		return new RateLimitRule(name, rule.key(), rule.methods(), gcra, false, OnFailure.LOCAL,
				Status.Code.RESOURCE_EXHAUSTED, Set.of(), List.of(), onExceed);
	}

	private MessageLimitStage stage(RateLimiter limiter, RateLimitRule... rules) {
		return stage(limiter, new RateLimitRules(List.of(rules)));
	}

	private MessageLimitStage stage(RateLimiter limiter, RateLimitRules rules) {
		this.stage = new MessageLimitStage(rules, limiter,
				(rule, outcome) -> this.outcomes.computeIfAbsent(outcome, (key) -> new LongAdder()).increment(),
				this.threads.scheduler(), this.clock);
		return this.stage;
	}

	private TestServer serve(io.grpc.BindableService service, RateLimitRule... rules) {
		return TestServer.network(service, List.of(TestStage.authentication(), stage(this.memory, rules)));
	}

	/** A server whose rules a test changes. */
	private TestServer serve(io.grpc.BindableService service, RateLimitRules rules) {
		TestServer server = TestServer.network(service, List.of(TestStage.authentication(), stage(this.memory, rules)));
		rules.onUpdate((changed) -> server.security().refresh());
		return server;
	}

	private static RawCall open(TestServer server, CallType type) {
		return RawCall.start(server.channel(), type.method(), type.grpcType(), new Metadata());
	}

	private long count(Outcome outcome) {
		LongAdder count = this.outcomes.get(outcome);
		return (count != null) ? count.sum() : 0;
	}

	@ParameterizedTest
	@EnumSource(CallType.class)
	void rejectWhenMessageIsOverTheLimitThenItsCallEndsAndHandlerNeverSeesIt(CallType type) {
		EchoService service = new EchoService();
		try (TestServer server = serve(service, rule("messages", "global", ONE, OnExceed.REJECT))) {
			assertThat(type.call(server.channel()).code()).isEqualTo(Code.OK);

			CallType.Outcome refused = type.call(server.channel(), new Metadata(), "a", "b");

			assertThat(refused.code()).isEqualTo(Code.RESOURCE_EXHAUSTED);
			assertThat(refused.status().getDescription()).isEqualTo("limit exceeded");
			assertThat(Long.parseLong(refused.trailers().get(PUSHBACK))).isBetween(3_000_000L, 3_960_000L);
			assertThat(service.messages).hasValue(1);
			assertThat(count(Outcome.ALLOWED)).isEqualTo(1);
			assertThat(count(Outcome.DENIED)).isEqualTo(1);
		}
	}

	@Test
	void rejectWhenStreamHasSentWhatItMayThenNextMessageEndsIt() {
		EchoService service = new EchoService();
		Gcra three = new Gcra(3, Duration.ofHours(1), 3, 1);
		try (TestServer server = serve(service, rule("messages", "principal", three, OnExceed.REJECT))) {
			CallType.Outcome refused = CallType.BIDI.call(server.channel(), TestStage.user("ann"), "a", "b", "c", "d");

			assertThat(refused.code()).isEqualTo(Code.RESOURCE_EXHAUSTED);
			assertThat(refused.replies()).hasSize(3);
			assertThat(service.messages).hasValue(3);
			assertThat(CallType.UNARY.call(server.channel(), TestStage.user("ann"), "x").code())
				.isEqualTo(Code.RESOURCE_EXHAUSTED);
			assertThat(CallType.UNARY.call(server.channel(), TestStage.user("bob"), "x").code()).isEqualTo(Code.OK);
			assertThat(CallType.UNARY.call(server.channel()).code()).isEqualTo(Code.OK);
		}
	}

	@ParameterizedTest
	@EnumSource(CallType.class)
	void backpressureWhenOverTheLimitThenMessagesWaitAndArriveInOrder(CallType type) {
		EchoService service = new EchoService();
		Gcra gcra = new Gcra(20, Duration.ofSeconds(1), 1, 1);
		String[] texts = IntStream.range(0, 10).mapToObj(Integer::toString).toArray(String[]::new);
		try (TestServer server = serve(service, rule("messages", "global", gcra, OnExceed.BACKPRESSURE))) {
			assertThat(type.call(server.channel()).code()).isEqualTo(Code.OK);
			long start = System.nanoTime();

			CallType.Outcome outcome = type.call(server.channel(), new Metadata(), texts);

			assertThat(outcome.code()).isEqualTo(Code.OK);
			int messages = type.grpcType().clientSendsOneMessage() ? 1 : texts.length;
			assertThat(service.messages).hasValue(messages + 1);
			assertThat(Duration.ofNanos(System.nanoTime() - start))
				.isGreaterThan(Duration.ofMillis(30 + 50 * (messages - 1)));
			if (type == CallType.BIDI) {
				assertThat(outcome.replies()).extracting(EchoReply::getText).containsExactly(texts);
			}
			// On a busy machine some come so late that they do not have to wait
			assertThat(count(Outcome.DELAYED)).isBetween(1L, (long) messages);
			assertThat(count(Outcome.ALLOWED)).isEqualTo(messages + 1);
			assertThat(count(Outcome.DENIED)).isZero();
			assertThat(this.stage.waiting()).isZero();
		}
	}

	@ParameterizedTest
	@ValueSource(ints = { 1, 5, Integer.MAX_VALUE })
	void backpressureWhenHandlerControlsTheFlowThenItGetsNoMoreThanItAsksFor(int demand) {
		Manual service = new Manual(demand);
		Gcra gcra = new Gcra(100, Duration.ofSeconds(1), 3, 1);
		String[] texts = IntStream.range(0, 12).mapToObj(Integer::toString).toArray(String[]::new);
		try (TestServer server = serve(service, rule("messages", "global", gcra, OnExceed.BACKPRESSURE))) {
			CompletableFuture<CallType.Outcome> call = CompletableFuture
				.supplyAsync(() -> CallType.BIDI.call(server.channel(), new Metadata(), texts));
			if (demand < texts.length) {
				for (int got = demand; got < texts.length; got += demand) {
					int expected = got;
					await().untilAsserted(() -> assertThat(service.got).hasSize(expected));
					service.observer.request(demand);
				}
			}

			assertThat(call.join().code()).isEqualTo(Code.OK);
			assertThat(service.got).containsExactly(texts);
		}
	}

	@Test
	void backpressureWhenSenderIsFastThenItIsHeldBackAndNothingPilesUp() {
		Manual service = new Manual(Integer.MAX_VALUE);
		Gcra gcra = new Gcra(50, Duration.ofSeconds(1), 5, 1);
		byte[] message = EchoRequest.newBuilder().setText("x".repeat(10_000)).build().toByteArray();
		AtomicInteger sent = new AtomicInteger();
		try (TestServer server = serve(service, rule("messages", "global", gcra, OnExceed.BACKPRESSURE))) {
			ClientCallStreamObserver<EchoRequest> stream = fastSender(server, message, sent);

			await().untilAsserted(() -> assertThat(service.got).hasSizeGreaterThan(25));

			// What the client could send beyond what arrived is in windows and its buffer
			int inBetween = sent.get() - service.got.size();
			assertThat(inBetween).isLessThan(130);
			assertThat(sent.get()).isGreaterThan(service.got.size());
			stream.cancel("test", null);
			await().untilAsserted(() -> assertThat(this.stage.waiting()).isZero());
			await().untilAsserted(() -> assertThat(service.cancelled).isTrue());
		}
	}

	private static ClientCallStreamObserver<EchoRequest> fastSender(TestServer server, byte[] message,
			AtomicInteger sent) {
		CompletableFuture<ClientCallStreamObserver<EchoRequest>> started = new CompletableFuture<>();
		EchoGrpc.newStub(server.channel()).bidi(new ClientResponseObserver<EchoRequest, EchoReply>() {
			@Override
			public void beforeStart(ClientCallStreamObserver<EchoRequest> stream) {
				started.complete(stream);
				stream.setOnReadyHandler(() -> {
					while (stream.isReady() && sent.get() < 100_000) {
						try {
							stream.onNext(EchoRequest.parseFrom(message));
						}
						catch (com.google.protobuf.InvalidProtocolBufferException ex) {
							throw new IllegalStateException(ex);
						}
						sent.incrementAndGet();
					}
				});
			}

			@Override
			public void onNext(EchoReply reply) {
			}

			@Override
			public void onError(Throwable ex) {
			}

			@Override
			public void onCompleted() {
			}
		});
		return started.join();
	}

	@ParameterizedTest
	@EnumSource(CallType.class)
	void backpressureWhenClientLeavesWhileItsMessageWaitsThenItLeavesTheLineAndTakesNothing(CallType type) {
		EchoService service = new EchoService();
		AtomicInteger asked = new AtomicInteger();
		RateLimitRule rule = rule("messages", "global", ONE, OnExceed.BACKPRESSURE);
		RateLimiter counting = (permits) -> {
			asked.incrementAndGet();
			return this.memory.tryAcquire(permits);
		};
		try (TestServer server = TestServer.network(service, List.of(stage(counting, rule)))) {
			assertThat(type.call(server.channel()).code()).isEqualTo(Code.OK);
			RawCall waiting = RawCall.start(server.channel(), type.method(), type.grpcType(), new Metadata())
				.send(EchoRequest.newBuilder().setText("late").build().toByteArray())
				.halfClose();
			await().untilAsserted(() -> assertThat(this.stage.waiting()).isEqualTo(1));

			waiting.cancel();

			await().untilAsserted(() -> assertThat(this.stage.waiting()).isZero());
			assertThat(service.messages).hasValue(1);
			assertThat(asked).hasValue(2);
		}
	}

	@Test
	void backpressureWhenCallIsEndedWhileItsMessageWaitsThenHandlerHearsAtOnce() {
		Manual service = new Manual(5);
		AtomicBoolean ended = new AtomicBoolean();
		List<SecuredCall> calls = new ArrayList<>();
		TestStage capture = TestStage.check(SecurityStage.PEER_LIMITS, (call) -> {
			calls.add(call);
			return Verdict.proceed();
		});
		try (TestServer server = TestServer.network(service,
				List.of(capture, stage(this.memory, rule("messages", "global", ONE, OnExceed.BACKPRESSURE))))) {
			byte[] message = EchoRequest.newBuilder().setText("x").build().toByteArray();
			RawCall call = RawCall
				.start(server.channel(), "testing.Echo/Bidi", MethodType.BIDI_STREAMING, new Metadata())
				.send(message)
				.send(message);
			await().untilAsserted(() -> assertThat(this.stage.waiting()).isEqualTo(1));

			ended.set(calls.get(0).end(Refusal.unauthenticated("expired")));

			assertThat(ended).isTrue();
			assertThat(call.await().status().getCode()).isEqualTo(Code.UNAUTHENTICATED);
			await().untilAsserted(() -> assertThat(service.cancelled).isTrue());
			assertThat(service.got).hasSize(1);
			assertThat(this.stage.waiting()).isZero();
		}
	}

	/** Who ends a call while one of its messages waits. */
	private enum Ender {

		PIPELINE, HANDLER;

		void end(SecuredCall call, StreamObserver<EchoReply> replies) {
			if (this == HANDLER) {
				replies.onCompleted();
			}
			else {
				assertThat(call.end(Refusal.unauthenticated("expired"))).isTrue();
			}
		}

	}

	@ParameterizedTest
	@EnumSource
	void backpressureWhenCallIsEndedAndItsClientDoesNotReadThatThenItsMessageTakesNothing(Ender ender)
			throws IOException {
		Manual service = new Manual(5);
		List<SecuredCall> calls = new CopyOnWriteArrayList<>();
		TestStage capture = TestStage.check(SecurityStage.PEER_LIMITS, (call) -> {
			calls.add(call);
			return Verdict.proceed();
		});
		AtomicInteger asked = new AtomicInteger();
		RateLimiter counting = (permits) -> {
			asked.incrementAndGet();
			return this.memory.tryAcquire(permits);
		};
		RateLimitRule rule = rule("messages", "global", ONE, OnExceed.BACKPRESSURE);
		RateLimitRules rules = new RateLimitRules(List.of(rule));
		RecordingObserver observer = new RecordingObserver();
		try (TestServer server = TestServer.network(service, List.of(capture, stage(counting, rules)), observer);
				RawHttp2Client client = RawHttp2Client.thatReadsNothing(server.port())) {
			client.send(RawHttp2Client.call(1, "/testing.Echo/Bidi"));
			client.send(RawHttp2Client.openMessage(1, MESSAGE));
			client.send(RawHttp2Client.openMessage(1, MESSAGE));
			await().until(() -> this.stage.waiting() == 1);
			// More than the window, so that what follows does not get to the client
			service.observer.onNext(EchoReply.newBuilder().setText("x".repeat(200_000)).build());

			ender.end(calls.get(0), service.observer);

			assertThat(this.stage.waiting()).isZero();
			// Whoever waits is asked for anew
			rules.update(List.of(rule.withGcra(new Gcra(1000, Duration.ofHours(1), 2000, 1))));
			assertThat(CallType.BIDI.call(server.channel(), new Metadata(), "a").code()).isEqualTo(Code.OK);
			assertThat(observer.closed).extracting(RecordingObserver.Closed::call).doesNotContain(calls.get(0));
			assertThat(asked).hasValue(3);
			assertThat(service.got).containsExactly("x", "a");
		}
	}

	@Test
	void pendingWhenCallLeavesWhileStoreIsAskedThenTheNextOneIsServed() {
		EchoService service = new EchoService();
		List<CompletableFuture<RateLimitDecision>> answers = new CopyOnWriteArrayList<>();
		RateLimiter later = (permits) -> {
			CompletableFuture<RateLimitDecision> answer = new CompletableFuture<>();
			answers.add(answer);
			return answer;
		};
		RateLimitRule rule = rule("messages", "global", new Gcra(1000, Duration.ofSeconds(1), 1, 1),
				OnExceed.BACKPRESSURE);
		List<RateLimitPermit> permits = TestRules.permits("*", rule);
		RateLimitDecision granted = RateLimitDecision.of(permits, List.of(Gcra.Debt.NONE));
		RateLimitDecision denied = RateLimitDecision.of(permits,
				List.of(new Gcra.Debt(rule.gcra().toleranceWhole(), rule.gcra().toleranceFraction())));
		try (TestServer server = TestServer.network(service, List.of(stage(later, rule)))) {
			RawCall leaving = open(server, CallType.UNARY).send(MESSAGE).halfClose();
			await().until(() -> answers.size() == 1);
			answers.get(0).complete(denied);
			await().until(() -> answers.size() == 2);
			RawCall next = open(server, CallType.UNARY).send(MESSAGE).halfClose();
			await().until(() -> this.stage.waiting() == 2);
			leaving.cancel();
			await().until(() -> this.stage.waiting() == 1);

			answers.get(1).complete(granted);

			await().until(() -> answers.size() == 3);
			answers.get(2).complete(granted);
			assertThat(next.await().status().getCode()).isEqualTo(Code.OK);
			assertThat(service.messages).hasValue(1);
		}
	}

	@Test
	void shadowWhenRuleWouldLetMessagesWaitThenTheyFlowAsWithoutIt() {
		Flow flow = new Flow();
		RateLimitRule watching = TestRules.shadow(rule("messages", "global", ONE, OnExceed.BACKPRESSURE));
		try (TestServer server = TestServer.network(flow.service,
				List.of(flow.stage(), stage(this.memory, watching)))) {
			assertThat(flow.arrivedAtOnce(server)).isEqualTo(Flow.MESSAGES);
			assertThat(count(Outcome.ALLOWED)).isEqualTo(1);
			// Those of the stream, and the one of the other call
			assertThat(count(Outcome.SHADOW_DENIED)).isEqualTo(Flow.MESSAGES);
			assertThat(count(Outcome.DELAYED)).isZero();
		}
	}

	@Test
	void shadowWhenOtherRuleLetsMessagesWaitThenTheyComeOneByOne() {
		Flow flow = new Flow();
		Gcra plenty = new Gcra(1000, Duration.ofSeconds(1), 1000, 1);
		try (TestServer server = TestServer.network(flow.service,
				List.of(flow.stage(),
						stage(this.memory, TestRules.shadow(rule("watching", "global", ONE, OnExceed.BACKPRESSURE)),
								rule("real", "global", plenty, OnExceed.BACKPRESSURE))))) {
			assertThat(flow.arrivedAtOnce(server)).isEqualTo(1);
		}
	}

	@Test
	void updateWhenRuleEntersOrLeavesTheShadowThenNewStreamsFollow() {
		Flow flow = new Flow();
		RateLimitRule real = rule("messages", "global", new Gcra(1000, Duration.ofSeconds(1), 1000, 1),
				OnExceed.BACKPRESSURE);
		RateLimitRules rules = new RateLimitRules(List.of(TestRules.shadow(real)));
		try (TestServer server = TestServer.network(flow.service, List.of(flow.stage(), stage(this.memory, rules)))) {
			rules.onUpdate((changed) -> server.security().refresh());
			assertThat(flow.arrivedAtOnce(server)).isEqualTo(Flow.MESSAGES);

			rules.update(List.of(real));
			assertThat(flow.arrivedAtOnce(server)).isEqualTo(1);

			rules.update(List.of(TestRules.shadow(real)));
			assertThat(flow.arrivedAtOnce(server)).isEqualTo(Flow.MESSAGES);
		}
	}

	@Test
	void backpressureWhenMessageWaitsThenHandlerHearsThatItMaySendAndMayEndTheCall() {
		Manual service = new Manual(5);
		try (TestServer server = serve(service, rule("messages", "global", ONE, OnExceed.BACKPRESSURE))) {
			List<EchoReply> replies = Collections.synchronizedList(new ArrayList<>());
			CompletableFuture<Void> completed = new CompletableFuture<>();
			StreamObserver<EchoRequest> stream = EchoGrpc.newStub(server.channel()).bidi(new StreamObserver<>() {
				@Override
				public void onNext(EchoReply reply) {
					replies.add(reply);
				}

				@Override
				public void onError(Throwable ex) {
					completed.completeExceptionally(ex);
				}

				@Override
				public void onCompleted() {
					completed.complete(null);
				}
			});
			stream.onNext(EchoRequest.newBuilder().setText("first").build());
			await().untilAsserted(() -> assertThat(service.got).hasSize(1));
			stream.onNext(EchoRequest.newBuilder().setText("second").build());
			await().untilAsserted(() -> assertThat(this.stage.waiting()).isEqualTo(1));
			int ready = service.ready.get();

			// More than the window, so that it stops being ready and becomes so again
			EchoReply large = EchoReply.newBuilder().setText("x".repeat(200_000)).build();
			for (int i = 0; i < 10; i++) {
				service.observer.onNext(large);
			}

			await().untilAsserted(() -> assertThat(replies).hasSize(10));
			await().untilAsserted(() -> assertThat(service.ready.get()).isGreaterThan(ready));
			assertThat(this.stage.waiting()).isEqualTo(1);
			service.observer.onCompleted();
			assertThat(completed).succeedsWithin(Duration.ofSeconds(10));
			await().untilAsserted(() -> assertThat(service.closed).isTrue());
			await().untilAsserted(() -> assertThat(this.stage.waiting()).isZero());
			assertThat(service.got).containsExactly("first");
		}
	}

	@Test
	void backpressureWhenManyStreamsWaitThenTheyTakeTurnsAndTheLimitHolds() {
		EchoService service = new EchoService();
		Gcra gcra = new Gcra(200, Duration.ofSeconds(1), 1, 1);
		AtomicInteger asked = new AtomicInteger();
		RateLimiter counting = (permits) -> {
			asked.incrementAndGet();
			return this.memory.tryAcquire(permits);
		};
		try (TestServer server = TestServer.network(service,
				List.of(stage(counting, rule("messages", "global", gcra, OnExceed.BACKPRESSURE))))) {
			long start = System.nanoTime();
			List<CompletableFuture<CallType.Outcome>> calls = IntStream.range(0, 20)
				.mapToObj((i) -> CompletableFuture.supplyAsync(
						() -> CallType.BIDI.call(server.channel(), new Metadata(), "a", "b", "c", "d", "e"),
						this.threads.executor()))
				.toList();

			assertThat(calls).allSatisfy((call) -> assertThat(call.join().code()).isEqualTo(Code.OK));
			assertThat(service.messages).hasValue(100);
			assertThat(Duration.ofNanos(System.nanoTime() - start)).isGreaterThan(Duration.ofMillis(480));
			// Not one question of each stream for each permit
			assertThat(asked.get()).isLessThan(500);
		}
	}

	@Test
	void backpressureWhenOneKeyWaitsThenOthersDoNot() {
		EchoService service = new EchoService();
		RateLimitRule global = rule("all", "global", new Gcra(1000, Duration.ofSeconds(1), 1000, 1),
				OnExceed.BACKPRESSURE);
		RateLimitRule own = rule("own", "principal", ONE, OnExceed.BACKPRESSURE);
		try (TestServer server = serve(service, global, own)) {
			assertThat(CallType.UNARY.call(server.channel(), TestStage.user("ann"), "a").code()).isEqualTo(Code.OK);
			RawCall.start(server.channel(), "testing.Echo/Bidi", MethodType.BIDI_STREAMING, TestStage.user("ann"))
				.send(EchoRequest.getDefaultInstance().toByteArray());
			await().untilAsserted(() -> assertThat(this.stage.waiting()).isEqualTo(1));

			assertThat(CallType.UNARY.call(server.channel(), TestStage.user("bob"), "b").code()).isEqualTo(Code.OK);
			assertThat(this.stage.waiting()).isEqualTo(1);
		}
	}

	@ParameterizedTest
	@EnumSource(CallType.class)
	void pendingWhenSharedStoreAnswersLaterThenOrderIsKept(CallType type) {
		EchoService service = new EchoService();
		RateLimiter later = (permits) -> CompletableFuture.supplyAsync(() -> this.memory.decide(permits),
				this.threads.executor());
		Gcra gcra = new Gcra(1000, Duration.ofSeconds(1), 1000, 1);
		String[] texts = IntStream.range(0, 50).mapToObj(Integer::toString).toArray(String[]::new);
		for (OnExceed onExceed : OnExceed.values()) {
			try (TestServer server = TestServer.network(service,
					List.of(stage(later, rule("messages", "global", gcra, onExceed))))) {
				CallType.Outcome outcome = type.call(server.channel(), new Metadata(), texts);

				assertThat(outcome.code()).isEqualTo(Code.OK);
				if (type == CallType.BIDI) {
					assertThat(outcome.replies()).extracting(EchoReply::getText).containsExactly(texts);
				}
				if (type == CallType.CLIENT_STREAM) {
					assertThat(outcome.replies().get(0).getText()).isEqualTo(String.join("", texts));
				}
			}
		}
	}

	@Test
	void pendingWhenStoreFailsThenCallIsRefusedAsUnavailable() {
		RateLimiter failing = (permits) -> CompletableFuture.failedFuture(new IllegalStateException("test"));
		try (TestServer server = TestServer.network(new EchoService(),
				List.of(stage(failing, rule("messages", "global", ONE, OnExceed.BACKPRESSURE))))) {
			assertThat(CallType.BIDI.call(server.channel()).code()).isEqualTo(Code.UNAVAILABLE);
		}
	}

	@ParameterizedTest
	@EnumSource(CallType.class)
	void backpressureWhenMessageCanNeverBeAdmittedThenItsCallEndsAtOnce(CallType type) {
		RateLimiter dear = (permits) -> this.memory
			.tryAcquire(permits.stream().map((permit) -> new RateLimitPermit(permit.rule(), permit.key(), 2)).toList());
		EchoService service = new EchoService();
		try (TestServer server = TestServer.network(service,
				List.of(stage(dear, rule("messages", "global", ONE, OnExceed.BACKPRESSURE))))) {
			CallType.Outcome refused = type.call(server.channel());

			assertThat(refused.code()).isEqualTo(Code.RESOURCE_EXHAUSTED);
			assertThat(refused.trailers().get(PUSHBACK)).isEqualTo("-1");
			assertThat(service.messages).hasValue(0);
			assertThat(count(Outcome.DELAYED)).isZero();
			assertThat(this.stage.waiting()).isZero();
		}
	}

	@Test
	void backpressureWhenAuthorizationLooksAtMessagesThenFirstMessageWaitsOnce() {
		EchoService service = new EchoService();
		Gcra gcra = new Gcra(50, Duration.ofSeconds(1), 1, 1);
		TestStage gate = TestStage.messages(SecurityStage.AUTHORIZATION, (call, message) -> Verdict.proceed());
		try (TestServer server = TestServer.network(service,
				List.of(gate, stage(this.memory, rule("messages", "global", gcra, OnExceed.BACKPRESSURE))))) {
			CallType.Outcome outcome = CallType.BIDI.call(server.channel(), new Metadata(), "a", "b", "c", "d");

			assertThat(outcome.code()).isEqualTo(Code.OK);
			assertThat(outcome.replies()).extracting(EchoReply::getText).containsExactly("a", "b", "c", "d");
		}
	}

	@Test
	void planWhenRulesCountMessagesThenItSaysSo() {
		try (TestServer server = serve(new EchoService(),
				rule("messages", "principal", new Gcra(50, Duration.ofSeconds(1), 50, 1), OnExceed.BACKPRESSURE))) {
			assertThat(server.security().plans().get(0).describe())
				.contains(new MethodPlan.StepDescription(SecurityStage.PRINCIPAL_LIMITS, "message",
						"message limit messages by principal: 50 per PT1S, burst 50, cost 1, others wait"));
		}
	}

	@ParameterizedTest
	@EnumSource(names = { "CLIENT_STREAM", "BIDI" })
	void updateWhenLimitIsTightenedThenNextMessageOfAnOpenStreamCountsByIt(CallType type) {
		EchoService service = new EchoService();
		RateLimitRule wide = rule("messages", "global", new Gcra(1000, Duration.ofHours(1), 1000, 1), OnExceed.REJECT);
		RateLimitRules rules = new RateLimitRules(List.of(wide));
		try (TestServer server = serve(service, rules)) {
			RawCall stream = open(server, type).send(MESSAGE).send(MESSAGE);
			await().until(() -> service.messages.get() == 2);

			rules.update(List.of(wide.withGcra(ONE)));
			stream.send(MESSAGE);

			// Two of the old ones are 7.2 seconds of an hour
			assertThat(stream.await().status().getCode()).isEqualTo(Code.RESOURCE_EXHAUSTED);
			assertThat(service.messages).hasValue(2);
		}
	}

	@ParameterizedTest
	@EnumSource(names = { "CLIENT_STREAM", "BIDI" })
	void updateWhenRuleIsRemovedOrAddedThenOpenStreamsFollow(CallType type) {
		EchoService service = new EchoService();
		RateLimitRules rules = new RateLimitRules(List.of(rule("first", "global", ONE, OnExceed.REJECT)));
		try (TestServer server = serve(service, rules)) {
			RawCall stream = open(server, type).send(MESSAGE);
			await().until(() -> service.messages.get() == 1);
			rules.update(List.of());
			stream.send(MESSAGE).send(MESSAGE);
			await().until(() -> service.messages.get() == 3);

			rules.update(List.of(rule("second", "global", ONE, OnExceed.REJECT)));
			stream.send(MESSAGE).send(MESSAGE);

			assertThat(stream.await().status().getCode()).isEqualTo(Code.RESOURCE_EXHAUSTED);
			assertThat(service.messages).hasValue(4);
		}
	}

	@ParameterizedTest
	@EnumSource(names = { "CLIENT_STREAM", "BIDI" })
	void updateWhenMethodHadNoMessageLimitThenOnlyNewCallsAreCounted(CallType type) {
		EchoService service = new EchoService();
		RateLimitRules rules = new RateLimitRules(List.of());
		try (TestServer server = serve(service, rules)) {
			RawCall stream = open(server, type).send(MESSAGE);
			await().until(() -> service.messages.get() == 1);
			rules.update(List.of(rule("messages", "global", ONE, OnExceed.REJECT)));
			stream.send(MESSAGE).send(MESSAGE);
			await().until(() -> service.messages.get() == 3);

			RawCall later = open(server, type).send(MESSAGE).send(MESSAGE);

			assertThat(later.await().status().getCode()).isEqualTo(Code.RESOURCE_EXHAUSTED);
			assertThat(service.messages).hasValue(4);
			stream.cancel();
		}
	}

	@ParameterizedTest
	@EnumSource
	void updateWhenRuleIsRemovedThenMessagesThatWaitForItGoOn(CallType type) {
		RateLimitRule rule = rule("messages", "global", ONE, OnExceed.BACKPRESSURE);
		RateLimitRules rules = new RateLimitRules(List.of(rule));
		assertWaitingCallEnds(type, rules, List.of(), Code.OK);
	}

	@ParameterizedTest
	@EnumSource
	void updateWhenLimitIsRaisedThenMessagesThatWaitAreAskedForAnew(CallType type) {
		RateLimitRule rule = rule("messages", "global", ONE, OnExceed.BACKPRESSURE);
		RateLimitRules rules = new RateLimitRules(List.of(rule));
		assertWaitingCallEnds(type, rules, List.of(rule.withGcra(new Gcra(1000, Duration.ofHours(1), 2000, 1))),
				Code.OK);
	}

	@ParameterizedTest
	@EnumSource
	void updateWhenRuleNowRejectsThenCallsWhoseMessagesWaitEnd(CallType type) {
		RateLimitRules rules = new RateLimitRules(List.of(rule("messages", "global", ONE, OnExceed.BACKPRESSURE)));
		assertWaitingCallEnds(type, rules, List.of(rule("messages", "global", ONE, OnExceed.REJECT)),
				Code.RESOURCE_EXHAUSTED);
	}

	@ParameterizedTest
	@EnumSource
	void updateWhenAnotherRuleLetsThemWaitThenMessagesChangeToItsLine(CallType type) {
		RateLimitRules rules = new RateLimitRules(List.of(rule("messages", "global", ONE, OnExceed.BACKPRESSURE)));
		Gcra soon = new Gcra(20, Duration.ofSeconds(1), 1, 1);
		assertWaitingCallEnds(type, rules, List.of(rule("other", "global", soon, OnExceed.BACKPRESSURE)), Code.OK);
	}

	private void assertWaitingCallEnds(CallType type, RateLimitRules rules, List<RateLimitRule> changed, Code code) {
		EchoService service = new EchoService();
		try (TestServer server = serve(service, rules)) {
			assertThat(type.call(server.channel()).code()).isEqualTo(Code.OK);
			List<RawCall> waiting = List.of(open(server, type).send(MESSAGE).halfClose(),
					open(server, type).send(MESSAGE).halfClose());
			await().until(() -> this.stage.waiting() == 2);

			rules.update(changed);

			assertThat(waiting).allSatisfy((call) -> assertThat(call.await().status().getCode()).isEqualTo(code));
			assertThat(service.messages).hasValue((code == Code.OK) ? 3 : 1);
			assertThat(this.stage.waiting()).isZero();
		}
	}

	@Test
	void updateWhenRuleNowLetsWaitThenCallsThatAreNotPacedEndAsBefore() {
		Manual service = new Manual(Integer.MAX_VALUE);
		RateLimitRules rules = new RateLimitRules(List.of(rule("messages", "global", ONE, OnExceed.REJECT)));
		try (TestServer server = serve(service, rules)) {
			RawCall before = open(server, CallType.BIDI).send(MESSAGE);
			await().until(() -> service.got.size() == 1);
			rules.update(List.of(rule("messages", "global", ONE, OnExceed.BACKPRESSURE)));
			RawCall after = open(server, CallType.BIDI).send(MESSAGE);
			await().until(() -> this.stage.waiting() == 1);

			before.send(MESSAGE);

			assertThat(before.await().status().getCode()).isEqualTo(Code.RESOURCE_EXHAUSTED);
			assertThat(this.stage.waiting()).isEqualTo(1);
			after.cancel();
		}
	}

	@Test
	void updateWhenKeyIsTheSameThenItIsNotResolvedAgain() {
		EchoService service = new EchoService();
		AtomicInteger resolved = new AtomicInteger();
		RateLimitKey key = RateLimitKey.of("own", (call) -> "key" + resolved.incrementAndGet());
		RateLimitRule template = rule("messages", "global", new Gcra(1000, Duration.ofHours(1), 1000, 1),
				OnExceed.REJECT);
		RateLimitRule rule = new RateLimitRule("messages", key, template.methods(), template.gcra(), false,
				OnFailure.LOCAL, Status.Code.RESOURCE_EXHAUSTED, Set.of(), List.of(), OnExceed.REJECT);
		RateLimitRules rules = new RateLimitRules(List.of(rule));
		try (TestServer server = serve(service, rules)) {
			RawCall stream = open(server, CallType.BIDI).send(MESSAGE);
			await().until(() -> service.messages.get() == 1);

			rules.update(List.of(rule.withGcra(ONE)));
			stream.send(MESSAGE);

			assertThat(stream.await().status().getCode()).isEqualTo(Code.RESOURCE_EXHAUSTED);
			assertThat(resolved).hasValue(1);
		}
	}

	/** Finds out how many messages of a stream arrive while the first is looked at. */
	private static final class Flow {

		static final int MESSAGES = 5;

		private final Manual service = new Manual(MESSAGES);

		private volatile SecuredCall call;

		private volatile CompletableFuture<Verdict> answer;

		TestStage stage() {
			return TestStage.messages(SecurityStage.VALIDATION, (call, message) -> {
				if (call.fullMethodName().equals(CallType.BIDI.method())) {
					this.call = call;
					return Verdict.pending(this.answer);
				}
				return Verdict.proceed();
			});
		}

		int arrivedAtOnce(TestServer server) {
			this.call = null;
			this.answer = new CompletableFuture<>();
			this.service.got.clear();
			RawCall stream = open(server, CallType.BIDI);
			for (int i = 0; i < MESSAGES; i++) {
				stream.send(MESSAGE);
			}
			await().until(() -> this.call != null);
			// On the same connection, so that all that was sent before is there
			CallType.UNARY.call(server.channel());
			int arrived = this.call.messagesReceived();
			assertThat(this.service.got).isEmpty();
			this.answer.complete(Verdict.proceed());
			await().until(() -> this.service.got.size() == MESSAGES);
			stream.cancel();
			return arrived;
		}

	}

	/** Asks for messages itself. */
	private static final class Manual extends EchoGrpc.EchoImplBase {

		private final int demand;

		final List<String> got = Collections.synchronizedList(new ArrayList<>());

		final ConcurrentLinkedQueue<String> errors = new ConcurrentLinkedQueue<>();

		volatile ServerCallStreamObserver<EchoReply> observer;

		volatile boolean cancelled;

		volatile boolean closed;

		final AtomicInteger ready = new AtomicInteger();

		Manual(int demand) {
			this.demand = demand;
		}

		@Override
		public StreamObserver<EchoRequest> bidi(StreamObserver<EchoReply> replies) {
			this.observer = (ServerCallStreamObserver<EchoReply>) replies;
			this.observer.disableAutoRequest();
			this.observer.setOnReadyHandler(this.ready::incrementAndGet);
			this.observer.setOnCancelHandler(() -> this.cancelled = true);
			this.observer.setOnCloseHandler(() -> this.closed = true);
			this.observer.request(this.demand);
			return new StreamObserver<>() {
				@Override
				public void onNext(EchoRequest request) {
					Manual.this.got.add(request.getText());
				}

				@Override
				public void onError(Throwable ex) {
					Manual.this.errors.add(String.valueOf(ex));
				}

				@Override
				public void onCompleted() {
					replies.onCompleted();
				}
			};
		}

	}

}
