package io.github.grpcsecurity.server;

import java.time.Duration;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;

import io.github.grpcsecurity.testing.CallType;
import io.github.grpcsecurity.testing.EchoReply;
import io.github.grpcsecurity.testing.EchoRequest;
import io.github.grpcsecurity.testing.EchoService;
import io.github.grpcsecurity.testing.RawCall;
import io.github.grpcsecurity.testing.RecordingObserver;
import io.github.grpcsecurity.testing.TestServer;
import io.grpc.CallOptions;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor.MethodType;
import io.grpc.Status;
import io.grpc.Status.Code;
import io.grpc.stub.StreamObserver;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

/** However a call ends, its tracer says so once, with the status that the client got. */
class CallTerminationIT {

	private static final byte[] GARBAGE = { (byte) 0xff, 1, 2 };

	private static final byte[] HELLO = EchoRequest.newBuilder().setText("hello").build().toByteArray();

	private final RecordingObserver observer = new RecordingObserver();

	/**
	 * The ways a call can end, each as what its client does against what its handler
	 * does.
	 */
	enum Row {

		OK(Code.OK),

		MALFORMED_MESSAGE(Code.INVALID_ARGUMENT) {
			@Override
			RawCall.Result call(TestServer server, CallType type) {
				return RawCall.call(server.channel(), type.method(), type.grpcType(), GARBAGE);
			}
		},

		TOO_LARGE_MESSAGE(Code.RESOURCE_EXHAUSTED) {
			@Override
			RawCall.Result call(TestServer server, CallType type) {
				return RawCall.call(server.channel(), type.method(), type.grpcType(), new byte[5 * 1024 * 1024]);
			}
		},

		DECOMPRESSION_BOMB(Code.RESOURCE_EXHAUSTED) {
			@Override
			RawCall.Result call(TestServer server, CallType type) {
				return RawCall
					.start(server.channel(), type.method(), type.grpcType(), new Metadata(),
							CallOptions.DEFAULT.withCompression("gzip"))
					.sendCompressed(
							EchoRequest.newBuilder().setText("0".repeat(64 * 1024 * 1024)).build().toByteArray())
					.halfClose()
					.await();
			}
		},

		HANDLER_THROWS(Code.INTERNAL),

		HANDLER_THROWS_STATUS(Code.ALREADY_EXISTS),

		HANDLER_SENDS_STATUS(Code.NOT_FOUND),

		HANDLER_SENDS_EXCEPTION(Code.INTERNAL),

		CLIENT_DEADLINE(Code.DEADLINE_EXCEEDED) {
			@Override
			RawCall.Result call(TestServer server, CallType type) {
				return RawCall
					.start(server.channel(), type.method(), type.grpcType(), new Metadata(),
							CallOptions.DEFAULT.withDeadlineAfter(1, TimeUnit.SECONDS))
					.send(HELLO)
					.await();
			}
		},

		CLIENT_CANCELS(Code.CANCELLED) {
			@Override
			RawCall.Result call(TestServer server, CallType type) {
				RawCall call = RawCall.start(server.channel(), type.method(), type.grpcType(), new Metadata())
					.send(HELLO);
				await().until(() -> !server.security().plans().isEmpty() && started(server));
				return call.cancel().await();
			}
		};

		private final Code expected;

		Row(Code expected) {
			this.expected = expected;
		}

		private static boolean started(TestServer server) {
			return observerOf(server).decided.size() == 1;
		}

		private static RecordingObserver observerOf(TestServer server) {
			return (RecordingObserver) server.observers().get(0);
		}

		RawCall.Result call(TestServer server, CallType type) {
			return RawCall.call(server.channel(), type.method(), type.grpcType(), HELLO);
		}

	}

	static Stream<Arguments> rows() {
		return Stream.of(Row.values())
			.flatMap((row) -> Stream.of(CallType.values()).map((type) -> Arguments.of(row, type)));
	}

	@ParameterizedTest
	@MethodSource("rows")
	void streamClosedWhenCallEndsThenOneTerminalEventWithTheStatusOfTheClient(Row row, CallType type) {
		try (TestServer server = TestServer.network(new EndingService(row), List.of(), this.observer)) {
			RawCall.Result result = row.call(server, type);

			assertThat(result.status().getCode()).isEqualTo(row.expected);
			await().until(() -> this.observer.closed.size() == 1);
			assertThat(this.observer.decided).hasSize(1);
			assertThat(this.observer.closed.get(0).status().getCode()).isEqualTo(row.expected);
			assertThat(String.valueOf(result.status().getDescription())).doesNotContain("10.0.0.1");
		}
		assertThat(this.observer.closed).hasSize(1);
	}

	@Test
	void streamClosedWhenMethodIsUnknownThenOneTerminalEvent() {
		try (TestServer server = TestServer.network(new EchoService(), List.of(), this.observer)) {
			RawCall.Result result = RawCall.call(server.channel(), "testing.Echo/Secret", MethodType.UNARY, HELLO);

			assertThat(result.status().getCode()).isEqualTo(Code.UNAUTHENTICATED);
			await().until(() -> this.observer.closed.size() == 1);
			assertThat(this.observer.closed.get(0).status().getCode()).isEqualTo(Code.UNAUTHENTICATED);
			assertThat(this.observer.closed.get(0).call().fullMethodName()).isEqualTo("testing.Echo/Secret");
		}
	}

	@Test
	void streamClosedWhenServerStopsThenOpenCallsAreTold() {
		EndingService service = new EndingService(Row.CLIENT_CANCELS);
		try (TestServer server = TestServer.network(service, List.of(), this.observer)) {
			RawCall.start(server.channel(), "testing.Echo/Bidi", MethodType.BIDI_STREAMING, new Metadata()).send(HELLO);
			await().until(() -> this.observer.decided.size() == 1);
		}
		await().until(() -> this.observer.closed.size() == 1);
		assertThat(this.observer.closed.get(0).status().isOk()).isFalse();
	}

	/** Ends calls as a row says, with text in it that nobody outside should see. */
	private static final class EndingService extends EchoService {

		private final CompletableFuture<Void> never = new CompletableFuture<>();

		private final Row row;

		EndingService(Row row) {
			this.row = row;
			this.probe = (callback) -> {
				if (row == Row.HANDLER_THROWS) {
					throw new IllegalStateException("row 7 in pg 10.0.0.1");
				}
				if (row == Row.HANDLER_THROWS_STATUS) {
					throw Status.ALREADY_EXISTS.withDescription("exists").asRuntimeException();
				}
			};
		}

		@Override
		public void unary(EchoRequest request, StreamObserver<EchoReply> replies) {
			if (!ended(replies)) {
				super.unary(request, replies);
			}
		}

		@Override
		public void serverStream(EchoRequest request, StreamObserver<EchoReply> replies) {
			if (!ended(replies)) {
				super.serverStream(request, replies);
			}
		}

		@Override
		public StreamObserver<EchoRequest> clientStream(StreamObserver<EchoReply> replies) {
			return ended(replies) ? new Ignoring() : super.clientStream(replies);
		}

		@Override
		public StreamObserver<EchoRequest> bidi(StreamObserver<EchoReply> replies) {
			return ended(replies) ? new Ignoring() : super.bidi(replies);
		}

		private boolean ended(StreamObserver<EchoReply> replies) {
			switch (this.row) {
				case HANDLER_SENDS_STATUS ->
					replies.onError(Status.NOT_FOUND.withDescription("no such account").asRuntimeException());
				case HANDLER_SENDS_EXCEPTION -> replies.onError(new IllegalStateException("row 7 in pg 10.0.0.1"));
				case CLIENT_CANCELS, CLIENT_DEADLINE -> {
					return !this.never.isDone();
				}
				default -> {
					return false;
				}
			}
			return true;
		}

	}

	private static final class Ignoring implements StreamObserver<EchoRequest> {

		@Override
		public void onNext(EchoRequest request) {
		}

		@Override
		public void onError(Throwable ex) {
		}

		@Override
		public void onCompleted() {
		}

	}

	static {
		org.awaitility.Awaitility.setDefaultTimeout(Duration.ofSeconds(20));
	}

}
