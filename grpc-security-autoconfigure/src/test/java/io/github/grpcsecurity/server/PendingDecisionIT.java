package io.github.grpcsecurity.server;

import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.Executor;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.BiConsumer;
import java.util.stream.Stream;

import io.github.grpcsecurity.testing.CallType;
import io.github.grpcsecurity.testing.EchoRequest;
import io.github.grpcsecurity.testing.EchoService;
import io.github.grpcsecurity.testing.RawCall;
import io.github.grpcsecurity.testing.RecordingObserver;
import io.github.grpcsecurity.testing.TestServer;
import io.github.grpcsecurity.testing.TestStage;
import io.grpc.CallOptions;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor.MethodType;
import io.grpc.Status.Code;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.MethodSource;

import org.springframework.security.core.context.SecurityContextHolder;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

/** While a decision is pending no handler runs, no thread waits and nothing is lost. */
class PendingDecisionIT {

	private static final byte[] HELLO = EchoRequest.newBuilder().setText("hello").build().toByteArray();

	private final List<CompletableFuture<Verdict>> asked = new CopyOnWriteArrayList<>();

	private final RecordingObserver observer = new RecordingObserver();

	private final EchoService service = new EchoService();

	private final ExecutorService clients = Executors.newCachedThreadPool();

	@AfterEach
	void stop() {
		this.clients.shutdownNow();
	}

	private Verdict ask() {
		CompletableFuture<Verdict> answer = new CompletableFuture<>();
		this.asked.add(answer);
		return Verdict.pending(answer);
	}

	private TestServer server(SecurityStage... stages) {
		List<CallStage> all = Stream
			.concat(Stream.of(TestStage.authentication()),
					Stream.of(stages).map((stage) -> TestStage.check(stage, (call) -> ask())))
			.map(CallStage.class::cast)
			.toList();
		return TestServer.network(this.service, all, this.observer);
	}

	private CompletableFuture<Verdict> asked(int number) {
		await().until(() -> this.asked.size() >= number);
		return this.asked.get(number - 1);
	}

	static Stream<Arguments> stagesAndTypes() {
		return Stream.of(SecurityStage.PEER_LIMITS, SecurityStage.PRINCIPAL_LIMITS, SecurityStage.AUTHORIZATION)
			.flatMap((stage) -> Stream.of(CallType.values()).map((type) -> Arguments.of(stage, type)));
	}

	@ParameterizedTest
	@MethodSource("stagesAndTypes")
	void callWhenDecisionComesLaterThenMessagesAreReplayedInOrder(SecurityStage stage, CallType type) throws Exception {
		List<String> identities = new CopyOnWriteArrayList<>();
		this.service.probe = (callback) -> identities
			.add(SecurityContextHolder.getContext().getAuthentication().getName());
		try (TestServer server = server(stage)) {
			Future<CallType.Outcome> call = this.clients
				.submit(() -> type.call(server.channel(), TestStage.user("alice"), "a", "b", "c"));
			CompletableFuture<Verdict> answer = asked(1);
			assertThat(this.service.entered).hasValue(0);

			answer.complete(Verdict.proceed());

			CallType.Outcome outcome = call.get(20, TimeUnit.SECONDS);
			assertThat(outcome.code()).isEqualTo(Code.OK);
			String text = String.join("", outcome.replies().stream().map((reply) -> reply.getText()).toList());
			assertThat(text).isEqualTo(switch (type) {
				case UNARY -> "a";
				case SERVER_STREAM -> "aaa";
				case CLIENT_STREAM, BIDI -> "abc";
			});
			assertThat(identities).isNotEmpty().containsOnly("alice");
		}
	}

	@ParameterizedTest
	@EnumSource
	void callWhenLateDecisionRefusesThenHandlerNeverRuns(CallType type) throws Exception {
		try (TestServer server = server(SecurityStage.AUTHORIZATION)) {
			Future<CallType.Outcome> call = this.clients.submit(() -> type.call(server.channel()));

			asked(1).complete(Verdict.refuse(Refusal.accessDenied("later")));

			assertThat(call.get(20, TimeUnit.SECONDS).code()).isEqualTo(Code.PERMISSION_DENIED);
			assertThat(this.service.entered).hasValue(0);
		}
	}

	@ParameterizedTest
	@EnumSource
	void callWhenLateDecisionFailsThenUnavailable(CallType type) throws Exception {
		try (TestServer server = server(SecurityStage.PEER_LIMITS)) {
			Future<CallType.Outcome> call = this.clients.submit(() -> type.call(server.channel()));

			asked(1).completeExceptionally(new IllegalStateException("backend down"));

			CallType.Outcome outcome = call.get(20, TimeUnit.SECONDS);
			assertThat(outcome.code()).isEqualTo(Code.UNAVAILABLE);
			assertThat(outcome.status().getDescription()).isEqualTo("temporarily unavailable");
			assertThat(this.service.entered).hasValue(0);
		}
	}

	@ParameterizedTest
	@EnumSource
	void callWhenSeveralDecisionsArePendingThenEachIsAskedInTurn(CallType type) throws Exception {
		try (TestServer server = server(SecurityStage.PEER_LIMITS, SecurityStage.PRINCIPAL_LIMITS,
				SecurityStage.AUTHORIZATION)) {
			Future<CallType.Outcome> call = this.clients.submit(() -> type.call(server.channel()));

			for (int i = 1; i <= 3; i++) {
				CompletableFuture<Verdict> answer = asked(i);
				assertThat(this.asked).hasSize(i);
				assertThat(this.service.entered).hasValue(0);
				answer.complete(Verdict.pending(CompletableFuture.completedFuture(Verdict.proceed())));
			}

			assertThat(call.get(20, TimeUnit.SECONDS).code()).isEqualTo(Code.OK);
			assertThat(this.service.entered).hasValue(1);
		}
	}

	@ParameterizedTest
	@EnumSource
	void callWhenCancelledWhilePendingThenHandlerNeverRunsAndDecisionIsAbandoned(CallType type) {
		try (TestServer server = server(SecurityStage.AUTHORIZATION)) {
			RawCall call = RawCall.start(server.channel(), type.method(), type.grpcType(), new Metadata()).send(HELLO);
			CompletableFuture<Verdict> answer = asked(1);

			call.cancel();
			await().until(() -> this.observer.closed.size() == 1);
			answer.complete(Verdict.proceed());

			assertThat(this.observer.decided).hasSize(1);
			assertThat(this.observer.decided.get(0).decision().outcome()).isEqualTo(CallDecision.Outcome.ABANDON);
			RawCall next = RawCall.start(server.channel(), "testing.Echo/Unary", MethodType.UNARY, new Metadata())
				.send(HELLO)
				.halfClose();
			asked(2).complete(Verdict.proceed());
			assertThat(next.await().status().getCode()).isEqualTo(Code.OK);
			assertThat(this.service.entered).hasValue(1);
		}
	}

	@ParameterizedTest
	@EnumSource
	void callWhenDeadlinePassesWhilePendingThenHandlerNeverRuns(CallType type) {
		try (TestServer server = server(SecurityStage.AUTHORIZATION)) {
			RawCall call = RawCall
				.start(server.channel(), type.method(), type.grpcType(), new Metadata(),
						CallOptions.DEFAULT.withDeadlineAfter(200, TimeUnit.MILLISECONDS))
				.send(HELLO)
				.halfClose();

			assertThat(call.await().status().getCode()).isEqualTo(Code.DEADLINE_EXCEEDED);
			await().until(() -> this.observer.closed.size() == 1);
			asked(1).complete(Verdict.proceed());
			// The client cancels the call at the same moment
			assertThat(this.observer.closed.get(0).status().getCode()).isIn(Code.DEADLINE_EXCEEDED, Code.CANCELLED);
			assertThat(this.service.entered).hasValue(0);
		}
	}

	@Test
	void callWhenHalfClosedWithoutMessageWhilePendingThenHandlerGetsTheHalfClose() throws Exception {
		try (TestServer server = server(SecurityStage.AUTHORIZATION)) {
			RawCall call = RawCall
				.start(server.channel(), "testing.Echo/ClientStream", MethodType.CLIENT_STREAMING, new Metadata())
				.halfClose();

			asked(1).complete(Verdict.proceed());

			assertThat(call.await().status().getCode()).isEqualTo(Code.OK);
		}
	}

	@Test
	void callWhenNextDecisionArrivesBeforeTheThreadThatAskedIsDoneThenOnlyOneThreadWorks() throws Exception {
		CountDownLatch firstDone = new CountDownLatch(1);
		AtomicInteger tasks = new AtomicInteger();
		Executor executor = (task) -> this.clients.execute(() -> {
			boolean first = tasks.incrementAndGet() == 1;
			task.run();
			if (first) {
				firstDone.countDown();
			}
		});
		CountDownLatch thirdCheck = new CountDownLatch(1);
		CompletableFuture<Verdict> second = new CompletableFuture<>() {
			@Override
			public CompletableFuture<Verdict> whenComplete(BiConsumer<? super Verdict, ? super Throwable> action) {
				CompletableFuture<Verdict> result = super.whenComplete(action);
				complete(Verdict.proceed());
				waitFor(thirdCheck);
				return result;
			}
		};
		List<CallStage> stages = List.of(TestStage.check(SecurityStage.PEER_LIMITS, (call) -> ask()),
				TestStage.check(SecurityStage.PRINCIPAL_LIMITS, (call) -> Verdict.pending(second)),
				TestStage.check(SecurityStage.AUTHORIZATION, (call) -> {
					thirdCheck.countDown();
					waitFor(firstDone);
					return Verdict.proceed();
				}));
		try (TestServer server = TestServer.network(this.service,
				(security) -> security.stages(stages).executor(executor))) {
			RawCall call = RawCall
				.start(server.channel(), "testing.Echo/ClientStream", MethodType.CLIENT_STREAMING, new Metadata())
				.halfClose();

			asked(1).complete(Verdict.proceed());

			assertThat(call.await().status().getCode()).isEqualTo(Code.OK);
		}
	}

	private static void waitFor(CountDownLatch latch) {
		try {
			latch.await(10, TimeUnit.SECONDS);
		}
		catch (InterruptedException ex) {
			Thread.currentThread().interrupt();
		}
	}

	@ParameterizedTest
	@EnumSource
	void callWhenDecisionIsAMinimalStageThenItIsWaitedForLikeAnyOther(CallType type) {
		CompletableFuture<Verdict> answer = new CompletableFuture<>();
		List<CallStage> stages = List.of(
				TestStage.check(SecurityStage.PEER_LIMITS,
						(call) -> Verdict.pending(CompletableFuture.completedStage(Verdict.proceed()))),
				TestStage.check(SecurityStage.AUTHORIZATION,
						(call) -> Verdict.pending(answer.minimalCompletionStage())));
		try (TestServer server = TestServer.network(this.service, stages, this.observer)) {
			RawCall call = RawCall.start(server.channel(), type.method(), type.grpcType(), new Metadata())
				.send(HELLO)
				.halfClose();
			answer.complete(Verdict.proceed());

			assertThat(call.await().status().getCode()).isEqualTo(Code.OK);
		}
	}

	@ParameterizedTest
	@EnumSource
	void callWhenNoThreadCanBeHadToGoOnThenUnavailable(CallType type) {
		List<CallStage> stages = List.of(TestStage.check(SecurityStage.PEER_LIMITS, (call) -> ask()));
		try (TestServer server = TestServer.network(this.service,
				(security) -> security.stages(stages).executor((task) -> {
					throw new OutOfMemoryError("unable to create native thread (test)");
				}))) {
			RawCall call = RawCall.start(server.channel(), type.method(), type.grpcType(), new Metadata())
				.send(HELLO)
				.halfClose();
			asked(1).complete(Verdict.proceed());

			assertThat(call.await().status().getCode()).isEqualTo(Code.UNAVAILABLE);
			assertThat(this.service.entered).hasValue(0);
		}
	}

	@ParameterizedTest
	@EnumSource
	void callWhenCheckAfterALateDecisionThrowsAnErrorThenUnavailable(CallType type) {
		List<CallStage> stages = List.of(TestStage.check(SecurityStage.PEER_LIMITS, (call) -> ask()),
				TestStage.check(SecurityStage.AUTHORIZATION, (call) -> {
					throw new NoClassDefFoundError("test");
				}));
		try (TestServer server = TestServer.network(this.service, stages, this.observer)) {
			RawCall call = RawCall.start(server.channel(), type.method(), type.grpcType(), new Metadata())
				.send(HELLO)
				.halfClose();
			asked(1).complete(Verdict.proceed());

			assertThat(call.await().status().getCode()).isEqualTo(Code.UNAVAILABLE);
			assertThat(this.service.entered).hasValue(0);
		}
	}

	@Test
	void callWhenManyDecisionsArePendingThenNoThreadWaits() throws Exception {
		try (TestServer server = server(SecurityStage.AUTHORIZATION)) {
			List<RawCall> calls = Stream
				.generate(() -> RawCall.start(server.channel(), "testing.Echo/Unary", MethodType.UNARY, new Metadata())
					.send(HELLO)
					.halfClose())
				.limit(2000)
				.toList();
			asked(2000);
			assertThat(Thread.activeCount()).isLessThan(500);

			this.asked.forEach((answer) -> answer.complete(Verdict.proceed()));

			assertThat(calls).allSatisfy((call) -> assertThat(call.await().status().getCode()).isEqualTo(Code.OK));
			assertThat(this.service.entered).hasValue(2000);
		}
	}

}
