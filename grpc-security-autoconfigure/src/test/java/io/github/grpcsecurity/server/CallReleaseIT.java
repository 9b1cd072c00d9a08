package io.github.grpcsecurity.server;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;

import ch.qos.logback.classic.Level;
import ch.qos.logback.classic.Logger;
import io.github.grpcsecurity.testing.CallType;
import io.github.grpcsecurity.testing.EchoRequest;
import io.github.grpcsecurity.testing.EchoService;
import io.github.grpcsecurity.testing.OpenEndedService;
import io.github.grpcsecurity.testing.RawCall;
import io.github.grpcsecurity.testing.RawHttp2Client;
import io.github.grpcsecurity.testing.RecordingObserver;
import io.github.grpcsecurity.testing.TestServer;
import io.github.grpcsecurity.testing.TestStage;
import io.grpc.BindableService;
import io.grpc.CallOptions;
import io.grpc.Metadata;
import io.grpc.Status.Code;
import io.grpc.netty.NettyServerBuilder;
import io.netty.channel.ChannelOption;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.slf4j.LoggerFactory;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

/** A call that is refused holds nothing, and any other gives back what it took once. */
class CallReleaseIT {

	private static final int CALLS = 2000;

	private static final byte[] HELLO = EchoRequest.newBuilder().setText("hello").build().toByteArray();

	private static final byte[] GARBAGE = { (byte) 0xff, 1, 2 };

	private static final Refusal DENIED = Refusal.accessDenied("test");

	private final Map<SecuredCall, AtomicInteger> released = new ConcurrentHashMap<>();

	private final Map<SecuredCall, AtomicInteger> ended = new ConcurrentHashMap<>();

	private final Map<SecuredCall, Code> codes = new ConcurrentHashMap<>();

	private final RecordingObserver observer = new RecordingObserver();

	private final CompletableFuture<Verdict> answer = new CompletableFuture<>();

	private final TestStage taker = TestStage.check(SecurityStage.PEER_LIMITS, (call) -> {
		AtomicInteger count = new AtomicInteger();
		this.released.put(call, count);
		AtomicInteger ends = new AtomicInteger();
		this.ended.put(call, ends);
		call.onEnded((status) -> ends.incrementAndGet());
		call.onReleased((status) -> {
			this.codes.put(call, status.getCode());
			count.incrementAndGet();
		});
		return Verdict.proceed();
	});

	private long releasedCalls() {
		return this.released.values().stream().filter((count) -> count.get() == 1).count();
	}

	private long endedCalls() {
		return this.ended.values().stream().filter((count) -> count.get() == 1).count();
	}

	private TestServer serve(BindableService service, TestStage... stages) {
		return TestServer.network(service,
				(security) -> security.stages(List.of(this.taker))
					.stages(List.of(stages))
					.observers(List.of(this.observer)),
				(builder) -> ((NettyServerBuilder) builder).withChildOption(ChannelOption.SO_SNDBUF, 4096));
	}

	/** Who refuses a call. */
	enum Refuser {

		CHECK, PENDING_CHECK, MESSAGE_CHECK, SOMEBODY_ELSE

	}

	private TestStage stage(Refuser refuser) {
		return switch (refuser) {
			case CHECK -> TestStage.check(SecurityStage.AUTHORIZATION, (call) -> Verdict.refuse(DENIED));
			case PENDING_CHECK, SOMEBODY_ELSE ->
				TestStage.check(SecurityStage.AUTHORIZATION, (call) -> Verdict.pending(this.answer));
			case MESSAGE_CHECK ->
				TestStage.messages(SecurityStage.AUTHORIZATION, (call, message) -> Verdict.refuse(DENIED));
		};
	}

	@ParameterizedTest
	@EnumSource
	void onReleasedWhenCallIsRefusedThenItDoesNotMatterWhetherTheClientReads(Refuser refuser) throws IOException {
		EchoService service = new EchoService();
		try (TestServer server = serve(service, stage(refuser));
				RawHttp2Client client = RawHttp2Client.thatReadsNothing(server.port())) {
			ByteArrayOutputStream frames = new ByteArrayOutputStream();
			for (int i = 0; i < CALLS; i++) {
				frames.write(RawHttp2Client.call(2 * i + 1, "/" + CallType.values()[i % 4].method()));
				frames.write(RawHttp2Client.message(2 * i + 1, HELLO));
			}
			client.send(frames.toByteArray());
			if (refuser == Refuser.PENDING_CHECK || refuser == Refuser.SOMEBODY_ELSE) {
				await().until(() -> this.released.size() == CALLS);
				assertThat(releasedCalls()).isZero();
			}
			if (refuser == Refuser.PENDING_CHECK) {
				this.answer.complete(Verdict.refuse(DENIED));
			}
			else if (refuser == Refuser.SOMEBODY_ELSE) {
				this.released.keySet().forEach((call) -> assertThat(call.end(DENIED)).isTrue());
			}

			await().until(() -> releasedCalls() == CALLS);
			await().until(() -> endedCalls() == CALLS);
			assertThat(this.observer.closed).as("calls whose client has read how they end").hasSizeLessThan(CALLS);
			assertThat(this.codes.values()).containsOnly(Code.PERMISSION_DENIED);
			assertThat(service.entered).hasValue(0);
			// What comes too late is given back at once
			AtomicInteger late = new AtomicInteger();
			this.released.keySet().forEach((call) -> call.onReleased((status) -> late.incrementAndGet()));
			assertThat(late).hasValue(CALLS);
		}
		await().until(() -> this.observer.closed.size() == CALLS);
		assertThat(releasedCalls()).isEqualTo(CALLS);
		assertThat(endedCalls()).isEqualTo(CALLS);
	}

	private void assertReleasedOnce(Code code) {
		await().until(() -> this.observer.closed.size() == this.released.size());
		assertThat(this.released.values()).isNotEmpty().allSatisfy((count) -> assertThat(count).hasValue(1));
		assertThat(this.ended.values()).allSatisfy((count) -> assertThat(count).hasValue(1));
		assertThat(this.codes.values()).containsOnly(code);
		this.observer.closed.clear();
		this.released.clear();
		this.ended.clear();
		this.codes.clear();
	}

	@ParameterizedTest
	@EnumSource
	void onReleasedWhenCallEndsInAnyWayThenItRunsOnce(CallType type) {
		EchoService service = new EchoService();
		Logger log = (Logger) LoggerFactory.getLogger(StatusTranslator.class);
		log.setLevel(Level.OFF);
		try (TestServer server = serve(service)) {
			assertThat(type.call(server.channel()).code()).isEqualTo(Code.OK);
			assertReleasedOnce(Code.OK);
			RawCall.call(server.channel(), type.method(), type.grpcType(), GARBAGE);
			assertReleasedOnce(Code.INVALID_ARGUMENT);
			service.probe = (callback) -> {
				throw new IllegalStateException("test");
			};
			assertThat(type.call(server.channel()).code()).isEqualTo(Code.INTERNAL);
			assertReleasedOnce(Code.INTERNAL);
		}
		finally {
			log.setLevel(null);
		}
	}

	@ParameterizedTest
	@EnumSource
	void onReleasedWhenDecisionIsPendingAndCallIsLostThenItRunsOnce(CallType type) {
		try (TestServer server = serve(new EchoService(), stage(Refuser.PENDING_CHECK))) {
			RawCall cancelled = RawCall.start(server.channel(), type.method(), type.grpcType(), new Metadata())
				.send(HELLO);
			await().until(() -> this.released.size() == 1);
			cancelled.cancel();
			assertReleasedOnce(Code.CANCELLED);
			RawCall
				.start(server.channel(), type.method(), type.grpcType(), new Metadata(),
						CallOptions.DEFAULT.withDeadlineAfter(200, TimeUnit.MILLISECONDS))
				.send(HELLO);
			await().until(() -> this.released.size() == 1);
			assertReleasedOnce(Code.DEADLINE_EXCEEDED);
		}
	}

	@ParameterizedTest
	@EnumSource
	void onReleasedWhenHandlerRunsThenOnlyTheEndOfTheCallCounts(CallType type) {
		OpenEndedService service = new OpenEndedService();
		try (TestServer server = serve(service)) {
			RawCall ended = RawCall.start(server.channel(), type.method(), type.grpcType(), new Metadata()).send(HELLO);
			ended.halfClose();
			await().until(() -> service.open.get() == 1);
			assertThat(releasedCalls()).isZero();
			assertThat(endedCalls()).isZero();

			this.released.keySet().forEach((call) -> assertThat(call.end(DENIED)).isTrue());

			assertThat(endedCalls()).isEqualTo(1);
			assertThat(ended.await().status().getCode()).isEqualTo(Code.PERMISSION_DENIED);
			assertReleasedOnce(Code.PERMISSION_DENIED);
		}
	}

	@Test
	void startWhenCallIsOverBeforeItsLastCheckAnswersThenHandlerNeverRuns() throws InterruptedException {
		EchoService service = new EchoService();
		CountDownLatch checking = new CountDownLatch(1);
		TestStage slow = TestStage.check(SecurityStage.AUTHORIZATION, (call) -> {
			checking.countDown();
			await().until(() -> !this.observer.closed.isEmpty());
			return Verdict.proceed();
		});
		try (TestServer server = serve(service, slow)) {
			RawCall call = RawCall
				.start(server.channel(), CallType.BIDI.method(), CallType.BIDI.grpcType(), new Metadata())
				.send(HELLO);
			assertThat(checking.await(10, TimeUnit.SECONDS)).isTrue();
			call.cancel();

			assertReleasedOnce(Code.CANCELLED);
		}
		assertThat(this.observer.decided).singleElement()
			.satisfies((decided) -> assertThat(decided.decision()).isEqualTo(CallDecision.ABANDON));
		assertThat(service.entered).hasValue(0);
	}

}
