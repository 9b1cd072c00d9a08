package io.github.grpcsecurity.server;

import java.io.InputStream;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.Executor;
import java.util.concurrent.TimeUnit;

import com.google.protobuf.ByteString;
import io.github.grpcsecurity.testing.CallType;
import io.github.grpcsecurity.testing.EchoGrpc;
import io.github.grpcsecurity.testing.EchoReply;
import io.github.grpcsecurity.testing.EchoRequest;
import io.github.grpcsecurity.testing.EchoService;
import io.github.grpcsecurity.testing.RawCall;
import io.github.grpcsecurity.testing.TestServer;
import io.grpc.BindableService;
import io.grpc.CallOptions;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.ServerServiceDefinition;
import io.grpc.Status.Code;
import io.grpc.protobuf.ProtoUtils;
import io.grpc.stub.ServerCalls;
import io.grpc.stub.StreamObserver;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

import static org.assertj.core.api.Assertions.assertThat;

/** Checks learn how large messages were on their way. */
class MessageSizeIT {

	private static final EchoRequest SMALL = EchoRequest.newBuilder().setText("a").build();

	private static final EchoRequest LARGE = EchoRequest.newBuilder().setText("x".repeat(300_000)).build();

	private final List<Integer> sizes = new CopyOnWriteArrayList<>();

	private Verdict check(SecuredCall call) {
		this.sizes.add(call.messageSize());
		return Verdict.proceed();
	}

	private Verdict checkLater(SecuredCall call) {
		Executor later = CompletableFuture.delayedExecutor(5, TimeUnit.MILLISECONDS);
		return Verdict.pending(CompletableFuture.supplyAsync(() -> check(call), later));
	}

	private record Stage(MessageCheck check, boolean measure) implements CallStage {

		@Override
		public SecurityStage stage() {
			return SecurityStage.VALIDATION;
		}

		@Override
		public void plan(SecuredMethod method, MethodPlan.Builder plan) {
			plan.checkMessages("size", this.check);
			if (this.measure) {
				plan.measureMessages();
			}
		}

	}

	private List<Stage> stage() {
		return List.of(new Stage((call, message) -> check(call), true));
	}

	@ParameterizedTest
	@EnumSource
	void sizeWhenMessagesAreReceivedThenEachHasItsOwn(CallType type) {
		Integer[] expected = type.grpcType().clientSendsOneMessage() ? new Integer[] { 3 }
				: new Integer[] { 3, LARGE.getSerializedSize(), 0, 3 };
		List<EchoRequest> messages = List.of(SMALL, LARGE, EchoRequest.getDefaultInstance(), SMALL);
		for (MessageCheck check : List.<MessageCheck>of((call, message) -> check(call),
				(call, message) -> checkLater(call))) {
			for (TestServer each : List.of(TestServer.network(new EchoService(), List.of(new Stage(check, true))),
					TestServer.inProcess(new EchoService(), List.of(new Stage(check, true))))) {
				try (TestServer server = each) {
					assertThat(type.call(server.channel(), new Metadata(), messages).code()).isEqualTo(Code.OK);
					assertThat(this.sizes).containsExactly(expected);
					this.sizes.clear();
				}
			}
		}
	}

	@ParameterizedTest
	@EnumSource
	void sizeWhenMessageIsCompressedThenThatAfterDecompression(CallType type) {
		EchoService service = new EchoService();
		try (TestServer server = TestServer.network(service, stage())) {
			RawCall.Result result = RawCall
				.start(server.channel(), type.method(), type.grpcType(), new Metadata(),
						CallOptions.DEFAULT.withCompression("gzip"))
				.sendCompressed(LARGE.toByteArray())
				.halfClose()
				.await();

			assertThat(result.status().getCode()).isEqualTo(Code.OK);
			assertThat(this.sizes).containsExactly(LARGE.getSerializedSize());
			assertThat(service.messages).hasValue(1);
		}
	}

	@ParameterizedTest
	@EnumSource
	void sizeWhenMessageIsTooLargeAfterDecompressionThenCallIsRefusedAsEver(CallType type) {
		byte[] bomb = EchoRequest.newBuilder().setText("x".repeat(5_000_000)).build().toByteArray();
		try (TestServer server = TestServer.network(new EchoService(), stage())) {
			RawCall.Result result = RawCall
				.start(server.channel(), type.method(), type.grpcType(), new Metadata(),
						CallOptions.DEFAULT.withCompression("gzip"))
				.sendCompressed(bomb)
				.halfClose()
				.await();

			assertThat(result.status().getCode()).isEqualTo(Code.RESOURCE_EXHAUSTED);
			assertThat(this.sizes).isEmpty();
		}
	}

	@Test
	void sizeWhenAFieldIsSentAgainAndAgainThenAllOfItCounts() {
		byte[] message = ByteString.copyFrom(List.of(SMALL.toByteString(), SMALL.toByteString(), SMALL.toByteString()))
			.toByteArray();
		try (TestServer server = TestServer.network(new EchoService(), stage())) {
			RawCall.Result result = RawCall.call(server.channel(), CallType.UNARY.method(), CallType.UNARY.grpcType(),
					message);

			assertThat(result.status().getCode()).isEqualTo(Code.OK);
			assertThat(this.sizes).containsExactly(9);
		}
	}

	@ParameterizedTest
	@ValueSource(booleans = { true, false })
	void sizeWhenHandlerReadsTheMessageItselfThenItIsMeasuredAndWhole(boolean compressed) {
		Streams service = new Streams();
		try (TestServer server = TestServer.network(service, stage())) {
			RawCall call = RawCall.start(server.channel(), CallType.UNARY.method(), CallType.UNARY.grpcType(),
					new Metadata(), CallOptions.DEFAULT.withCompression("gzip"));
			if (compressed) {
				call.sendCompressed(LARGE.toByteArray());
			}
			else {
				call.send(LARGE.toByteArray());
			}

			assertThat(call.halfClose().await().status().getCode()).isEqualTo(Code.OK);
			assertThat(this.sizes).containsExactly(LARGE.getSerializedSize());
			assertThat(service.read).containsExactly(LARGE.getSerializedSize());
		}
	}

	@Test
	void sizeWhenNobodyAskedForItThenZero() {
		try (TestServer server = TestServer.network(new EchoService(),
				List.of(new Stage((call, message) -> check(call), false)))) {
			assertThat(CallType.UNARY.call(server.channel()).code()).isEqualTo(Code.OK);
			assertThat(this.sizes).containsExactly(0);
		}
	}

	/** Gets messages as they are. */
	private static final class Streams implements BindableService {

		final List<Integer> read = new CopyOnWriteArrayList<>();

		@Override
		public ServerServiceDefinition bindService() {
			MethodDescriptor<InputStream, EchoReply> method = EchoGrpc.getUnaryMethod()
				.toBuilder(new MethodDescriptor.Marshaller<InputStream>() {
					@Override
					public InputStream stream(InputStream value) {
						return value;
					}

					@Override
					public InputStream parse(InputStream stream) {
						return stream;
					}
				}, ProtoUtils.marshaller(EchoReply.getDefaultInstance()))
				.build();
			return ServerServiceDefinition.builder("testing.Echo")
				.addMethod(method, ServerCalls.asyncUnaryCall(this::unary))
				.build();
		}

		private void unary(InputStream message, StreamObserver<EchoReply> replies) {
			try {
				this.read.add(message.readAllBytes().length);
			}
			catch (java.io.IOException ex) {
				throw new java.io.UncheckedIOException(ex);
			}
			replies.onNext(EchoReply.getDefaultInstance());
			replies.onCompleted();
		}

	}

}
