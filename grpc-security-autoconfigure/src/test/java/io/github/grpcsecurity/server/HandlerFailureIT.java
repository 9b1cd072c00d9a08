package io.github.grpcsecurity.server;

import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.stream.Stream;

import io.github.grpcsecurity.testing.CallType;
import io.github.grpcsecurity.testing.EchoReply;
import io.github.grpcsecurity.testing.EchoRequest;
import io.github.grpcsecurity.testing.EchoService;
import io.github.grpcsecurity.testing.RawCall;
import io.github.grpcsecurity.testing.RecordingObserver;
import io.github.grpcsecurity.testing.TestServer;
import io.github.grpcsecurity.testing.TestStage;
import io.grpc.BindableService;
import io.grpc.ForwardingServerCallListener.SimpleForwardingServerCallListener;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor.MethodType;
import io.grpc.ServerCall;
import io.grpc.ServerCallHandler;
import io.grpc.ServerInterceptor;
import io.grpc.ServerInterceptors;
import io.grpc.Status;
import io.grpc.Status.Code;
import io.grpc.stub.StreamObserver;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.MethodSource;

import org.springframework.boot.test.system.CapturedOutput;
import org.springframework.boot.test.system.OutputCaptureExtension;
import org.springframework.security.access.AccessDeniedException;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

/** Whatever throws wherever: the call ends, and the text stays inside. */
@ExtendWith(OutputCaptureExtension.class)
class HandlerFailureIT {

	private static final String CANARY = "canary-pg-10.0.0.1";

	private static final Metadata.Key<String> CUSTOM = Metadata.Key.of("custom", Metadata.ASCII_STRING_MARSHALLER);

	private final RecordingObserver observer = new RecordingObserver();

	enum Place {

		INTERCEPT_CALL, ON_MESSAGE, ON_HALF_CLOSE, ON_READY, ON_COMPLETE, ON_CANCEL

	}

	static Stream<Arguments> placesAndTypes() {
		return Stream.of(Place.values())
			.flatMap((place) -> Stream.of(CallType.values()).map((type) -> Arguments.of(place, type)));
	}

	@ParameterizedTest
	@MethodSource("placesAndTypes")
	void callWhenSomethingThrowsThenItEndsWithoutTheText(Place place, CallType type) {
		EchoService service = new EchoService();
		BindableService throwing = () -> ServerInterceptors.intercept(service, new ThrowingInterceptor(place));
		try (TestServer server = TestServer.network(throwing, List.of(), this.observer)) {
			RawCall call = RawCall.start(server.channel(), type.method(), type.grpcType(), new Metadata());
			call.send(EchoRequest.getDefaultInstance().toByteArray());
			if (place == Place.ON_CANCEL) {
				await().until(() -> this.observer.decided.size() == 1);
				call.cancel();
			}
			else {
				call.halfClose();
			}
			RawCall.Result result = call.await();

			assertThat(result.status().toString()).doesNotContain(CANARY);
			assertThat(result.status().getCode()).isIn(switch (place) {
				case ON_COMPLETE -> Set.of(Code.OK);
				case ON_CANCEL -> Set.of(Code.CANCELLED);
				// A unary call may be over before its readiness is told
				case ON_READY -> Set.of(Code.INTERNAL, Code.OK);
				default -> Set.of(Code.INTERNAL);
			});
			await().until(() -> this.observer.closed.size() == 1);
		}
	}

	@ParameterizedTest
	@EnumSource
	void callWhenHandlerThrowsThenLogHasTheCauseUnderTheIdOfTheTrailers(CallType type, CapturedOutput output) {
		EchoService service = new EchoService();
		service.probe = (callback) -> {
			throw new IllegalStateException(CANARY);
		};
		try (TestServer server = TestServer.network(service, List.of())) {
			CallType.Outcome outcome = type.call(server.channel());

			assertThat(outcome.code()).isEqualTo(Code.INTERNAL);
			assertThat(outcome.status().getDescription()).isEqualTo("internal error");
			String id = outcome.trailers().get(StatusTranslator.CORRELATION_ID);
			assertThat(id).matches("[0-9a-f]{32}");
			await().untilAsserted(() -> assertThat(output.getOut()).contains(id).contains(CANARY));
		}
	}

	@Test
	void callWhenHandlerSendsStatusThenDescriptionPassesOnlyIfItsCodeIsListed() {
		Map<Status, String> expected = Map.of(Status.NOT_FOUND.withDescription(CANARY), CANARY,
				Status.PERMISSION_DENIED.withDescription(CANARY), "null", Status.UNAVAILABLE.withDescription(CANARY),
				"null", Status.INTERNAL.withDescription(CANARY), "internal error",
				Status.UNKNOWN.withDescription(CANARY), "internal error");
		expected.forEach((status, description) -> {
			EchoService service = new EchoService() {
				@Override
				public void unary(EchoRequest request, StreamObserver<EchoReply> replies) {
					Metadata trailers = new Metadata();
					trailers.put(CUSTOM, CANARY);
					replies.onError(status.asRuntimeException(trailers));
				}
			};
			try (TestServer server = TestServer.network(service,
					(security) -> security.statusTranslator(new StatusTranslator(Set.of(Code.NOT_FOUND))))) {
				CallType.Outcome outcome = CallType.UNARY.call(server.channel());

				assertThat(outcome.code()).isEqualTo(status.getCode());
				assertThat(String.valueOf(outcome.status().getDescription())).isEqualTo(description);
				assertThat(outcome.trailers().containsKey(CUSTOM)).isEqualTo(description.equals(CANARY));
				assertThat(outcome.trailers().containsKey(StatusTranslator.CORRELATION_ID))
					.isEqualTo(description.equals("internal error"));
			}
		});
	}

	@ParameterizedTest
	@EnumSource
	void callWhenHandlerDeniesAccessThenStatusDependsOnWhetherTheCallerIsKnown(CallType type) {
		EchoService service = new EchoService();
		service.probe = (callback) -> {
			throw new AccessDeniedException(CANARY);
		};
		try (TestServer server = TestServer.network(service, List.of(TestStage.authentication()))) {
			assertThat(type.call(server.channel()).code()).isEqualTo(Code.UNAUTHENTICATED);
			CallType.Outcome known = type.call(server.channel(), TestStage.user("alice"), "hi");
			assertThat(known.code()).isEqualTo(Code.PERMISSION_DENIED);
			assertThat(known.status().getDescription()).isEqualTo("access denied");
		}
	}

	@ParameterizedTest
	@EnumSource(names = { "CLIENT_STREAM", "BIDI" })
	void callWhenHandlerThrowsOnAMessageThenItHearsNothingButTheEnd(CallType type) {
		List<String> callbacks = new CopyOnWriteArrayList<>();
		EchoService service = new EchoService();
		service.probe = (callback) -> {
			callbacks.add(callback);
			if (callback.equals("onNext")) {
				throw new IllegalStateException(CANARY);
			}
		};
		try (TestServer server = TestServer.network(service, List.of(), this.observer)) {
			assertThat(type.call(server.channel(), new Metadata(), "a", "b", "c").code()).isEqualTo(Code.INTERNAL);
			await().until(() -> callbacks.contains("onError"));

			assertThat(callbacks).containsExactly(type == CallType.BIDI ? "bidi" : "clientStream", "onNext", "onError");
		}
	}

	@Test
	void callWhenHandlerClosesTwiceThenFirstStatusCountsAndLogSaysSo(CapturedOutput output) {
		ServerInterceptor twice = new ServerInterceptor() {
			@Override
			public <ReqT, RespT> ServerCall.Listener<ReqT> interceptCall(ServerCall<ReqT, RespT> call, Metadata headers,
					ServerCallHandler<ReqT, RespT> next) {
				call.close(Status.NOT_FOUND, new Metadata());
				call.close(Status.ABORTED, new Metadata());
				return next.startCall(call, headers);
			}
		};
		EchoService service = new EchoService();
		try (TestServer server = TestServer.network(() -> ServerInterceptors.intercept(service, twice), List.of())) {
			assertThat(CallType.UNARY.call(server.channel()).code()).isEqualTo(Code.NOT_FOUND);
			await().untilAsserted(() -> assertThat(output.getOut()).contains("failed after it was closed"));
		}
	}

	@Test
	void callWhenInterceptorReturnsNoListenerThenInternal() {
		ServerInterceptor broken = new ServerInterceptor() {
			@Override
			public <ReqT, RespT> ServerCall.Listener<ReqT> interceptCall(ServerCall<ReqT, RespT> call, Metadata headers,
					ServerCallHandler<ReqT, RespT> next) {
				return null;
			}
		};
		try (TestServer server = TestServer.network(() -> ServerInterceptors.intercept(new EchoService(), broken),
				List.of())) {
			assertThat(CallType.UNARY.call(server.channel()).code()).isEqualTo(Code.INTERNAL);
		}
	}

	@Test
	void callWhenCancelledWhileHandlerSendsThenPipelineEndsItOnce() {
		EchoService service = new EchoService();
		try (TestServer server = TestServer.network(service, List.of(TestStage.messages(SecurityStage.VALIDATION,
				(call, message) -> Verdict.refuse(Refusal.malformed("test")))))) {
			RawCall call = RawCall.start(server.channel(), "testing.Echo/Bidi", MethodType.BIDI_STREAMING,
					new Metadata());
			call.send(EchoRequest.getDefaultInstance().toByteArray());

			assertThat(call.await().status().getCode()).isEqualTo(Code.INVALID_ARGUMENT);
			assertThat(service.messages).hasValue(0);
		}
	}

	private record ThrowingInterceptor(Place place) implements ServerInterceptor {

		private void at(Place current) {
			if (this.place == current) {
				throw new IllegalStateException(CANARY);
			}
		}

		@Override
		public <ReqT, RespT> ServerCall.Listener<ReqT> interceptCall(ServerCall<ReqT, RespT> call, Metadata headers,
				ServerCallHandler<ReqT, RespT> next) {
			at(Place.INTERCEPT_CALL);
			return new SimpleForwardingServerCallListener<>(next.startCall(call, headers)) {
				@Override
				public void onMessage(ReqT message) {
					at(Place.ON_MESSAGE);
					super.onMessage(message);
				}

				@Override
				public void onHalfClose() {
					at(Place.ON_HALF_CLOSE);
					super.onHalfClose();
				}

				@Override
				public void onReady() {
					at(Place.ON_READY);
					super.onReady();
				}

				@Override
				public void onComplete() {
					at(Place.ON_COMPLETE);
					super.onComplete();
				}

				@Override
				public void onCancel() {
					at(Place.ON_CANCEL);
					super.onCancel();
				}
			};
		}

	}

}
