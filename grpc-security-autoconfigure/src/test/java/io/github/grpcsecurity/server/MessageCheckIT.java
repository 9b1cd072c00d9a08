package io.github.grpcsecurity.server;

import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.Executor;
import java.util.concurrent.TimeUnit;

import io.github.grpcsecurity.testing.CallType;
import io.github.grpcsecurity.testing.EchoGrpc;
import io.github.grpcsecurity.testing.EchoReply;
import io.github.grpcsecurity.testing.EchoRequest;
import io.github.grpcsecurity.testing.EchoService;
import io.github.grpcsecurity.testing.RawCall;
import io.github.grpcsecurity.testing.RecordingObserver;
import io.github.grpcsecurity.testing.TestServer;
import io.github.grpcsecurity.testing.TestStage;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor.MethodType;
import io.grpc.Status.Code;
import io.grpc.stub.ServerCallStreamObserver;
import io.grpc.stub.StreamObserver;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

/** What depends on messages is decided before the handler sees any of them. */
class MessageCheckIT {

	private final EchoService service = new EchoService();

	private final RecordingObserver observer = new RecordingObserver();

	private final List<Object> checked = new CopyOnWriteArrayList<>();

	private Verdict check(Object message) {
		this.checked.add((message != null) ? message : "nothing");
		if (message instanceof EchoRequest request && !request.getText().equals("bad")) {
			return Verdict.proceed();
		}
		return Verdict.refuse(Refusal.accessDenied("message"));
	}

	private Verdict checkLater(Object message) {
		Executor later = CompletableFuture.delayedExecutor(5, TimeUnit.MILLISECONDS);
		return Verdict.pending(CompletableFuture.supplyAsync(() -> check(message), later));
	}

	private TestServer server(MessageCheck check) {
		return TestServer.network(this.service, List.of(TestStage.messages(SecurityStage.AUTHORIZATION, check)),
				this.observer);
	}

	@ParameterizedTest
	@EnumSource
	void callWhenAllMessagesPassThenHandlerSeesThemInOrder(CallType type) {
		for (MessageCheck check : List.<MessageCheck>of((call, message) -> check(message),
				(call, message) -> checkLater(message))) {
			try (TestServer server = server(check)) {
				CallType.Outcome outcome = type.call(server.channel(), new Metadata(), "a", "b", "c", "d", "e");

				assertThat(outcome.code()).isEqualTo(Code.OK);
				String text = String.join("", outcome.replies().stream().map(EchoReply::getText).toList());
				assertThat(text).isEqualTo(switch (type) {
					case UNARY -> "a";
					case SERVER_STREAM -> "aaa";
					case CLIENT_STREAM, BIDI -> "abcde";
				});
			}
		}
	}

	@ParameterizedTest
	@EnumSource
	void callWhenFirstMessageIsRefusedThenHandlerHasNotStarted(CallType type) {
		for (MessageCheck check : List.<MessageCheck>of((call, message) -> check(message),
				(call, message) -> checkLater(message))) {
			try (TestServer server = server(check)) {
				CallType.Outcome outcome = type.call(server.channel(), new Metadata(), "bad", "b");

				assertThat(outcome.code()).isEqualTo(Code.PERMISSION_DENIED);
				assertThat(this.service.entered).hasValue(0);
				await().until(() -> this.observer.closed.size() == 1);
				assertThat(this.observer.decided).singleElement()
					.satisfies((decided) -> assertThat(decided.decision().outcome())
						.isEqualTo(CallDecision.Outcome.REFUSE));
				this.observer.closed.clear();
				this.observer.decided.clear();
			}
		}
	}

	@ParameterizedTest
	@EnumSource(names = { "CLIENT_STREAM", "BIDI" })
	void callWhenThirdMessageIsRefusedThenHandlerSawTwoAndIsCancelled(CallType type) {
		List<String> callbacks = new CopyOnWriteArrayList<>();
		this.service.probe = callbacks::add;
		try (TestServer server = server((call, message) -> check(message))) {
			CallType.Outcome outcome = type.call(server.channel(), new Metadata(), "a", "b", "bad", "d");

			assertThat(outcome.code()).isEqualTo(Code.PERMISSION_DENIED);
			assertThat(outcome.status().getDescription()).isEqualTo("access denied");
			await().until(() -> this.observer.closed.size() == 1);
			assertThat(this.service.messages).hasValue(2);
			assertThat(callbacks).endsWith("onNext", "onNext", "onError");
			assertThat(this.observer.decided).singleElement()
				.satisfies(
						(decided) -> assertThat(decided.decision().outcome()).isEqualTo(CallDecision.Outcome.PERMIT));
			assertThat(this.observer.closed.get(0).status().getCode()).isEqualTo(Code.PERMISSION_DENIED);
			assertThat(this.observer.closed.get(0).call().endedBy()).isNotNull();
		}
	}

	@ParameterizedTest
	@EnumSource(names = { "CLIENT_STREAM", "BIDI" })
	void callWhenStreamIsEmptyThenNothingIsAskedOnceAndRefusalHolds(CallType type) {
		try (TestServer server = server((call, message) -> check(message))) {
			RawCall.Result result = RawCall.call(server.channel(), type.method(), type.grpcType(), null);

			assertThat(result.status().getCode()).isEqualTo(Code.PERMISSION_DENIED);
			assertThat(this.checked).containsExactly("nothing");
			assertThat(this.service.entered).hasValue(0);
		}
	}

	@ParameterizedTest
	@EnumSource(names = { "CLIENT_STREAM", "BIDI" })
	void callWhenStreamIsEmptyAndThatIsAllowedThenHandlerCompletes(CallType type) {
		try (TestServer server = server((call, message) -> Verdict.proceed())) {
			RawCall.Result result = RawCall.call(server.channel(), type.method(), type.grpcType(), null);

			assertThat(result.status().getCode()).isEqualTo(Code.OK);
			assertThat(this.service.entered).hasValue(1);
		}
	}

	@Test
	void callWhenHandlerRequestsMessagesItselfThenFirstMessageWaitsForIt() {
		CompletableFuture<ServerCallStreamObserver<EchoReply>> started = new CompletableFuture<>();
		List<String> received = new CopyOnWriteArrayList<>();
		EchoGrpc.EchoImplBase manual = new EchoGrpc.EchoImplBase() {
			@Override
			public StreamObserver<EchoRequest> bidi(StreamObserver<EchoReply> replies) {
				ServerCallStreamObserver<EchoReply> call = (ServerCallStreamObserver<EchoReply>) replies;
				call.disableAutoRequest();
				started.complete(call);
				return new StreamObserver<>() {
					@Override
					public void onNext(EchoRequest request) {
						received.add(request.getText());
					}

					@Override
					public void onError(Throwable ex) {
					}

					@Override
					public void onCompleted() {
						replies.onCompleted();
					}
				};
			}
		};
		try (TestServer server = TestServer.network(manual,
				List.of(TestStage.messages(SecurityStage.AUTHORIZATION, (call, message) -> check(message))))) {
			RawCall call = RawCall
				.start(server.channel(), "testing.Echo/Bidi", MethodType.BIDI_STREAMING, new Metadata())
				.send(EchoRequest.newBuilder().setText("a").build().toByteArray())
				.send(EchoRequest.newBuilder().setText("b").build().toByteArray())
				.halfClose();
			ServerCallStreamObserver<EchoReply> handler = started.orTimeout(10, TimeUnit.SECONDS).join();
			assertThat(received).isEmpty();

			handler.request(1);
			await().until(() -> received.equals(List.of("a")));
			assertThat(call.done()).isFalse();
			handler.request(1);

			assertThat(call.await().status().getCode()).isEqualTo(Code.OK);
			assertThat(received).containsExactly("a", "b");
		}
	}

	@Test
	void callWhenPipelineEndsItThenHandlerThatPushesSeesItAsCancelled() {
		CompletableFuture<ServerCallStreamObserver<EchoReply>> started = new CompletableFuture<>();
		EchoGrpc.EchoImplBase pushing = new EchoGrpc.EchoImplBase() {
			@Override
			public StreamObserver<EchoRequest> bidi(StreamObserver<EchoReply> replies) {
				ServerCallStreamObserver<EchoReply> call = (ServerCallStreamObserver<EchoReply>) replies;
				call.setOnCancelHandler(() -> {
				});
				started.complete(call);
				return MessageCheckIT.this.service.bidi(replies);
			}
		};
		try (TestServer server = TestServer.network(pushing,
				List.of(TestStage.messages(SecurityStage.VALIDATION, (call, message) -> check(message))))) {
			RawCall call = RawCall.start(server.channel(), "testing.Echo/Bidi", MethodType.BIDI_STREAMING,
					new Metadata());
			ServerCallStreamObserver<EchoReply> handler = started.orTimeout(10, TimeUnit.SECONDS).join();
			assertThat(handler.isCancelled()).isFalse();

			call.send(EchoRequest.newBuilder().setText("bad").build().toByteArray());

			assertThat(call.await().status().getCode()).isEqualTo(Code.PERMISSION_DENIED);
			assertThat(handler.isCancelled()).isTrue();
			assertThat(handler.isReady()).isFalse();
			handler.onNext(EchoReply.getDefaultInstance());
			handler.onCompleted();
		}
	}

	@Test
	void callWhenValidationLooksAtMessagesThenHandlerOfAStreamStartsBeforeThem() {
		try (TestServer server = TestServer.network(this.service,
				List.of(TestStage.messages(SecurityStage.VALIDATION, (call, message) -> check(message))))) {
			RawCall call = RawCall.start(server.channel(), "testing.Echo/Bidi", MethodType.BIDI_STREAMING,
					new Metadata());

			await().untilAtomic(this.service.entered, org.hamcrest.Matchers.is(1));
			call.cancel();
		}
	}

}
