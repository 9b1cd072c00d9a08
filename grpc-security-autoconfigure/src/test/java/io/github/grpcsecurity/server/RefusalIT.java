package io.github.grpcsecurity.server;

import java.io.InputStream;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.logging.Handler;
import java.util.logging.Level;
import java.util.logging.LogRecord;
import java.util.logging.Logger;

import com.google.rpc.ErrorInfo;
import com.google.rpc.QuotaFailure;
import com.google.rpc.RetryInfo;
import io.github.grpcsecurity.testing.CallType;
import io.github.grpcsecurity.testing.EchoRequest;
import io.github.grpcsecurity.testing.EchoService;
import io.github.grpcsecurity.testing.RawCall;
import io.github.grpcsecurity.testing.RecordingObserver;
import io.github.grpcsecurity.testing.TestServer;
import io.github.grpcsecurity.testing.TestStage;
import io.grpc.Decompressor;
import io.grpc.DecompressorRegistry;
import io.grpc.HandlerRegistry;
import io.grpc.InternalMetadata;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor.MethodType;
import io.grpc.ServerMethodDefinition;
import io.grpc.ServerServiceDefinition;
import io.grpc.Status;
import io.grpc.Status.Code;
import io.grpc.protobuf.StatusProto;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

import org.springframework.security.access.AccessDeniedException;
import org.springframework.security.authentication.BadCredentialsException;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

/** What callers see of refusals, and what they must not see. */
class RefusalIT {

	private static final byte[] HELLO = EchoRequest.newBuilder().setText("hello").build().toByteArray();

	private final EchoService service = new EchoService();

	private final RecordingObserver observer = new RecordingObserver();

	private static final TestStage NOBODY_ANONYMOUS = TestStage.check(SecurityStage.AUTHORIZATION,
			(call) -> call.anonymous() ? Verdict.refuse(Refusal.unauthenticated("no credentials")) : Verdict.proceed());

	@Test
	void unknownMethodWhenCallerIsAnonymousThenBytesAreThoseOfAKnownMethod() {
		try (TestServer server = TestServer.network(this.service, List.of(NOBODY_ANONYMOUS), this.observer)) {
			RawCall.Result known = RawCall.call(server.channel(), "testing.Echo/Unary", MethodType.UNARY, HELLO);
			RawCall.Result unknown = RawCall.call(server.channel(), "no.such.Service/Method", MethodType.UNARY, HELLO);

			assertThat(known.status().getCode()).isEqualTo(Code.UNAUTHENTICATED);
			assertThat(unknown.status().toString()).isEqualTo(known.status().toString());
			assertThat(InternalMetadata.serialize(unknown.trailers()))
				.isDeepEqualTo(InternalMetadata.serialize(known.trailers()));
			assertThat(known.trailers().get(StatusTranslator.WWW_AUTHENTICATE))
				.isEqualTo("Bearer error=\"invalid_token\"");
		}
	}

	@Test
	void unknownMethodWhenCallerIsKnownThenUnimplementedWithoutItsName() {
		try (TestServer server = TestServer.network(this.service, List.of(TestStage.authentication(), NOBODY_ANONYMOUS),
				this.observer)) {
			RawCall.Result result = RawCall
				.start(server.channel(), "no.such.Service/Method", MethodType.UNARY, TestStage.user("alice"))
				.send(HELLO)
				.halfClose()
				.await();

			assertThat(result.status().getCode()).isEqualTo(Code.UNIMPLEMENTED);
			assertThat(result.status().getDescription()).isEqualTo("not implemented");
			await().until(() -> this.observer.closed.size() == 1);
			assertThat(this.observer.decided).singleElement()
				.satisfies((decided) -> assertThat(decided.call().authentication().getName()).isEqualTo("alice"));
		}
	}

	@Test
	void fallbackRegistryWhenUserHasOneThenItsMethodsAreServedAndSecured() {
		HandlerRegistry registry = new HandlerRegistry() {
			@Override
			public ServerMethodDefinition<?, ?> lookupMethod(String methodName, String authority) {
				return methodName.equals("testing.Echo/Unary")
						? RefusalIT.this.service.bindService().getMethod(methodName) : null;
			}
		};
		try (TestServer server = TestServer.network(() -> ServerServiceDefinition.builder("empty").build(),
				(security) -> security.stages(List.of(TestStage.authentication(), NOBODY_ANONYMOUS))
					.fallbackRegistry(registry))) {
			assertThat(CallType.UNARY.call(server.channel()).code()).isEqualTo(Code.UNAUTHENTICATED);
			assertThat(CallType.UNARY.call(server.channel(), TestStage.user("alice"), "hi").code()).isEqualTo(Code.OK);
			assertThat(CallType.BIDI.call(server.channel(), TestStage.user("alice"), "hi").code())
				.isEqualTo(Code.UNIMPLEMENTED);
			assertThat(RawCall.start(server.channel(), "testing.Echo/Unary", MethodType.UNARY, TestStage.user("alice"))
				.send(new byte[] { (byte) 0xff })
				.halfClose()
				.await()
				.status()
				.getCode()).isEqualTo(Code.INVALID_ARGUMENT);
		}
	}

	@ParameterizedTest
	@ValueSource(strings = { "bogus", "-5S", "0S", "999999999S", "S", "", "5", "5s", " 5S" })
	void callWhenTimeoutIsMalformedThenInvalidArgumentAndQuietLog(String timeout) {
		try (GrpcLog log = new GrpcLog();
				TestServer server = TestServer.network(this.service, List.of(), this.observer)) {
			RawCall.Result result = RawHttp2.call(server.port(), "/testing.Echo/Unary", "grpc-timeout", timeout);

			assertThat(result.status().getCode()).isEqualTo(Code.INVALID_ARGUMENT);
			assertThat(result.status().getDescription()).isEqualTo("invalid argument");
			await().until(() -> this.observer.closed.size() == 1);
			assertThat(this.service.entered).hasValue(0);
			assertThat(log.records).isEmpty();
		}
	}

	@Test
	void callWhenTimeoutIsDoubledThenInvalidArgument() {
		try (TestServer server = TestServer.network(this.service, List.of(), this.observer)) {
			RawCall.Result result = RawHttp2.call(server.port(), "/testing.Echo/Unary", "grpc-timeout", "5S",
					"grpc-timeout", "6S");

			assertThat(result.status().getCode()).isEqualTo(Code.INVALID_ARGUMENT);
		}
	}

	@Test
	void callWhenEncodingIsUnknownThenUnimplementedWithoutItsName() {
		try (TestServer server = TestServer.network(this.service, List.of(NOBODY_ANONYMOUS), this.observer)) {
			RawCall.Result result = RawHttp2.call(server.port(), "/testing.Echo/Unary", "grpc-encoding", "evil");

			assertThat(result.status().getCode()).isEqualTo(Code.UNIMPLEMENTED);
			assertThat(result.status().getDescription()).doesNotContain("evil");
			await().until(() -> this.observer.closed.size() == 1);
		}
	}

	@Test
	void overLimitWhenRetryIsPossibleThenTrailersSayWhen() {
		Metadata trailers = refused(Refusal.overLimit("secret-rule", Duration.ofMillis(1200).plusNanos(1)),
				Code.RESOURCE_EXHAUSTED);

		// Up to a tenth more, so that not all come back at once
		assertThat(Integer.parseInt(trailers.get(StatusTranslator.RETRY_PUSHBACK))).isBetween(1201, 1321);
		assertThat(trailers.get(StatusTranslator.RETRY_AFTER)).isEqualTo("2");
		com.google.rpc.Status details = StatusProto
			.fromStatusAndTrailers(Status.RESOURCE_EXHAUSTED.withDescription("limit exceeded"), trailers);
		assertThat(details.getDetailsList()).anyMatch((any) -> any.is(RetryInfo.class))
			.anyMatch((any) -> any.is(QuotaFailure.class))
			.anyMatch((any) -> any.is(ErrorInfo.class));
		assertThat(details.toString()).doesNotContain("secret-rule");
	}

	@Test
	void overLimitWhenRetryNeverHelpsThenTrailersSaySo() {
		Metadata trailers = refused(Refusal.overLimit("rule", null).withCode(Code.UNAVAILABLE), Code.UNAVAILABLE);

		assertThat(trailers.get(StatusTranslator.RETRY_PUSHBACK)).isEqualTo("-1");
		assertThat(trailers.containsKey(StatusTranslator.RETRY_AFTER)).isFalse();
	}

	private Metadata refused(Refusal refusal, Code expected) {
		TestStage stage = TestStage.check(SecurityStage.PEER_LIMITS, (call) -> Verdict.refuse(refusal));
		try (TestServer server = TestServer.network(this.service, List.of(stage))) {
			CallType.Outcome outcome = CallType.UNARY.call(server.channel());

			assertThat(outcome.code()).isEqualTo(expected);
			assertThat(outcome.status().getDescription()).isEqualTo("limit exceeded");
			return outcome.trailers();
		}
	}

	@ParameterizedTest
	@EnumSource
	void callWhenCheckThrowsThenUnavailableWithoutItsText(CallType type) {
		assertThrown(type, new IllegalStateException("pg 10.0.0.1"), "alice", Code.UNAVAILABLE);
		assertThrown(type, new AccessDeniedException("rule 7"), "alice", Code.PERMISSION_DENIED);
		assertThrown(type, new AccessDeniedException("rule 7"), null, Code.UNAUTHENTICATED);
		assertThrown(type, new BadCredentialsException("claim"), "alice", Code.UNAUTHENTICATED);
	}

	@ParameterizedTest
	@EnumSource
	void callWhenCheckThrowsAnErrorThenUnavailable(CallType type) {
		TestStage stage = TestStage.check(SecurityStage.AUTHORIZATION, (call) -> {
			throw new NoClassDefFoundError("test");
		});
		try (TestServer server = TestServer.network(this.service, List.of(stage))) {
			assertThat(type.call(server.channel()).code()).isEqualTo(Code.UNAVAILABLE);
			assertThat(this.service.entered).hasValue(0);
		}
	}

	@Test
	void callWhenTrailersOfARefusalFailThenItIsRefusedAllTheSame() {
		Refusal refusal = Refusal.accessDenied("test").withTrailers((trailers) -> {
			throw new IllegalStateException("test");
		});
		TestStage stage = TestStage.check(SecurityStage.AUTHORIZATION, (call) -> Verdict.refuse(refusal));
		try (TestServer server = TestServer.network(this.service, List.of(stage))) {
			assertThat(CallType.UNARY.call(server.channel()).code()).isEqualTo(Code.PERMISSION_DENIED);
		}
	}

	@Test
	void callWhenServiceWasAddedBehindThePipelinesBackThenItIsRefused() {
		EchoService hidden = new EchoService();
		try (TestServer server = TestServer.network(() -> ServerServiceDefinition.builder("empty").build(),
				(security) -> security.stages(List.of(TestStage.authentication())),
				(builder) -> builder.addService(hidden))) {
			assertThat(CallType.UNARY.call(server.channel()).code()).isEqualTo(Code.UNAUTHENTICATED);
			assertThat(CallType.BIDI.call(server.channel(), TestStage.user("alice"), "hi").code())
				.isEqualTo(Code.PERMISSION_DENIED);
			assertThat(hidden.entered).hasValue(0);
		}
	}

	@Test
	void callWhenServerReadsAnotherEncodingThenItIsNotRefused() {
		DecompressorRegistry registry = DecompressorRegistry.getDefaultInstance().with(new Decompressor() {
			@Override
			public String getMessageEncoding() {
				return "special";
			}

			@Override
			public InputStream decompress(InputStream stream) {
				return stream;
			}
		}, true);
		try (TestServer server = TestServer.network(this.service,
				(security) -> security.stages(List.of(NOBODY_ANONYMOUS)).decompressorRegistry(registry),
				(builder) -> builder.decompressorRegistry(registry))) {
			assertThat(
					RawHttp2.call(server.port(), "/testing.Echo/Unary", "grpc-encoding", "special").status().getCode())
				.isEqualTo(Code.UNAUTHENTICATED);
		}
	}

	@Test
	void observersWhenCallEndsWhileItsDecisionIsToldThenTheyHearOfTheEndAfterwards() throws Exception {
		List<String> heard = new CopyOnWriteArrayList<>();
		CountDownLatch deciding = new CountDownLatch(1);
		CountDownLatch closed = new CountDownLatch(1);
		CallObserver slow = new CallObserver() {
			@Override
			public void decided(SecuredCall call, CallDecision decision) {
				deciding.countDown();
				try {
					heard.add(closed.await(300, TimeUnit.MILLISECONDS) ? "too late" : "decided");
				}
				catch (InterruptedException ex) {
					Thread.currentThread().interrupt();
				}
			}

			@Override
			public void closed(SecuredCall call, Status status) {
				closed.countDown();
				heard.add("closed");
			}
		};
		try (TestServer server = TestServer.network(this.service, List.of(), slow)) {
			RawCall call = RawCall.start(server.channel(), "testing.Echo/Bidi", MethodType.BIDI_STREAMING,
					new Metadata());
			assertThat(deciding.await(10, TimeUnit.SECONDS)).isTrue();
			call.cancel();

			assertThat(closed.await(10, TimeUnit.SECONDS)).isTrue();
			await().untilAsserted(() -> assertThat(heard).containsExactly("decided", "closed"));
		}
	}

	private void assertThrown(CallType type, RuntimeException thrown, String user, Code expected) {
		TestStage stage = TestStage.check(SecurityStage.AUTHORIZATION, (call) -> {
			throw thrown;
		});
		try (TestServer server = TestServer.network(this.service, List.of(TestStage.authentication(), stage))) {
			CallType.Outcome outcome = type.call(server.channel(),
					(user != null) ? TestStage.user(user) : new Metadata(), "hi");

			assertThat(outcome.code()).isEqualTo(expected);
			assertThat(outcome.status().getDescription()).doesNotContain(thrown.getMessage());
			assertThat(this.service.entered).hasValue(0);
		}
	}

	@ParameterizedTest
	@EnumSource
	void callsWhenRefusedUnderStressThenEachIsClosedOnce(CallType type) {
		TestStage stage = TestStage.check(SecurityStage.AUTHORIZATION,
				(call) -> Verdict.refuse(Refusal.accessDenied("no")));
		try (GrpcLog log = new GrpcLog();
				TestServer server = TestServer.network(this.service, List.of(stage), this.observer)) {
			List<RawCall> calls = new ArrayList<>();
			for (int i = 0; i < 1000; i++) {
				calls.add(RawCall.start(server.channel(), type.method(), type.grpcType(), new Metadata())
					.send(HELLO)
					.halfClose());
			}

			assertThat(calls)
				.allSatisfy((call) -> assertThat(call.await().status().getCode()).isEqualTo(Code.PERMISSION_DENIED));
			await().until(() -> this.observer.closed.size() == 1000);
			assertThat(this.observer.decided).hasSize(1000);
			assertThat(this.service.entered).hasValue(0);
			assertThat(log.records).isEmpty();
		}
	}

	@Test
	void callWhenUnaryCallHasNoMessageOrTwoThenInvalidArgumentAndQuietLog() {
		try (GrpcLog log = new GrpcLog();
				TestServer server = TestServer.network(this.service, List.of(), this.observer)) {
			assertThat(RawCall.call(server.channel(), "testing.Echo/Unary", MethodType.CLIENT_STREAMING, null)
				.status()
				.getCode()).isEqualTo(Code.INVALID_ARGUMENT);
			assertThat(
					RawCall.start(server.channel(), "testing.Echo/Unary", MethodType.CLIENT_STREAMING, new Metadata())
						.send(HELLO)
						.send(HELLO)
						.halfClose()
						.await()
						.status()
						.getCode())
				// The newest gRPC resets such a stream itself
				.isIn(Code.INVALID_ARGUMENT, Code.CANCELLED);
			assertThat(this.service.entered).hasValue(0);
			assertThat(log.records).isEmpty();
		}
	}

	/** What gRPC itself logs at WARNING or above. */
	private static final class GrpcLog extends Handler implements AutoCloseable {

		private final List<LogRecord> records = new CopyOnWriteArrayList<>();

		private final Logger logger = Logger.getLogger("io.grpc");

		GrpcLog() {
			this.logger.addHandler(this);
		}

		@Override
		public void publish(LogRecord record) {
			if (record.getLevel().intValue() >= Level.WARNING.intValue()) {
				this.records.add(record);
			}
		}

		@Override
		public void flush() {
		}

		@Override
		public void close() {
			this.logger.removeHandler(this);
		}

	}

}
