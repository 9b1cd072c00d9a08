package io.github.grpcsecurity.server;

import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.TimeUnit;

import io.github.grpcsecurity.testing.CallType;
import io.github.grpcsecurity.testing.EchoRequest;
import io.github.grpcsecurity.testing.EchoService;
import io.github.grpcsecurity.testing.RawCall;
import io.github.grpcsecurity.testing.RecordingObserver;
import io.github.grpcsecurity.testing.TestServer;
import io.github.grpcsecurity.testing.TestStage;
import io.grpc.Metadata;
import io.grpc.Status.Code;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

/** A call can be ended from outside while its handler runs or while it is undecided. */
class CallEndIT {

	private static final Refusal EXPIRED = Refusal.unauthenticated("the credential ran out");

	private final RecordingObserver observer = new RecordingObserver();

	private final CompletableFuture<SecuredCall> started = new CompletableFuture<>();

	@ParameterizedTest
	@EnumSource(names = { "CLIENT_STREAM", "BIDI" })
	void endWhenHandlerRunsThenClientGetsTheRefusalAndHandlerACancellation(CallType type) {
		List<String> callbacks = new CopyOnWriteArrayList<>();
		EchoService service = new EchoService();
		service.probe = (callback) -> {
			callbacks.add(callback);
			this.started.complete(SecuredCall.current());
		};
		try (TestServer server = TestServer.network(service, List.of(), this.observer)) {
			RawCall call = RawCall.start(server.channel(), type.method(), type.grpcType(), new Metadata());
			SecuredCall secured = this.started.orTimeout(10, TimeUnit.SECONDS).join();

			assertThat(secured.end(EXPIRED)).isTrue();

			assertThat(call.await().status().getCode()).isEqualTo(Code.UNAUTHENTICATED);
			await().until(() -> callbacks.contains("onError"));
			await().until(() -> this.observer.closed.size() == 1);
			assertThat(this.observer.closed.get(0).status().getCode()).isEqualTo(Code.UNAUTHENTICATED);
			assertThat(secured.endedBy()).isSameAs(EXPIRED);
			assertThat(secured.decision().outcome()).isEqualTo(CallDecision.Outcome.PERMIT);
			assertThat(secured.end(EXPIRED)).isFalse();
		}
	}

	@ParameterizedTest
	@EnumSource
	void endWhenDecisionIsPendingThenHandlerNeverStarts(CallType type) {
		EchoService service = new EchoService();
		CompletableFuture<Verdict> answer = new CompletableFuture<>();
		TestStage stage = TestStage.check(SecurityStage.AUTHORIZATION, (call) -> {
			this.started.complete(call);
			return Verdict.pending(answer);
		});
		try (TestServer server = TestServer.network(service, List.of(stage), this.observer)) {
			RawCall call = RawCall.start(server.channel(), type.method(), type.grpcType(), new Metadata())
				.send(EchoRequest.getDefaultInstance().toByteArray())
				.halfClose();
			SecuredCall secured = this.started.orTimeout(10, TimeUnit.SECONDS).join();

			assertThat(secured.end(EXPIRED)).isTrue();
			assertThat(call.await().status().getCode()).isEqualTo(Code.UNAUTHENTICATED);
			answer.complete(Verdict.proceed());

			await().until(() -> this.observer.closed.size() == 1);
			assertThat(this.observer.decided).singleElement()
				.satisfies(
						(decided) -> assertThat(decided.decision().outcome()).isEqualTo(CallDecision.Outcome.REFUSE));
			assertThat(service.entered).hasValue(0);
		}
	}

	@ParameterizedTest
	@EnumSource
	void endWhenCallIsOverThenNothingHappens(CallType type) {
		EchoService service = new EchoService();
		service.probe = (callback) -> this.started.complete(SecuredCall.current());
		try (TestServer server = TestServer.network(service, List.of(), this.observer)) {
			assertThat(type.call(server.channel()).code()).isEqualTo(Code.OK);
			await().until(() -> this.observer.closed.size() == 1);

			assertThat(this.started.join().end(EXPIRED)).isFalse();
			assertThat(this.started.join().endedBy()).isNull();
		}
	}

}
