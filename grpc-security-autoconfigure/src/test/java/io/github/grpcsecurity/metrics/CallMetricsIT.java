package io.github.grpcsecurity.metrics;

import java.util.List;
import java.util.concurrent.TimeUnit;

import io.github.grpcsecurity.server.CallStage;
import io.github.grpcsecurity.server.MethodPlan;
import io.github.grpcsecurity.server.Refusal;
import io.github.grpcsecurity.server.SecuredMethod;
import io.github.grpcsecurity.server.SecurityStage;
import io.github.grpcsecurity.server.Verdict;
import io.github.grpcsecurity.testing.CallType;
import io.github.grpcsecurity.testing.EchoReply;
import io.github.grpcsecurity.testing.EchoRequest;
import io.github.grpcsecurity.testing.EchoService;
import io.github.grpcsecurity.testing.TestServer;
import io.grpc.CallOptions;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.Status;
import io.grpc.protobuf.ProtoUtils;
import io.grpc.stub.ClientCalls;
import io.micrometer.core.instrument.Meter;
import io.micrometer.core.instrument.simple.SimpleMeterRegistry;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatException;
import static org.awaitility.Awaitility.await;

class CallMetricsIT {

	private static final Metadata.Key<String> REFUSE = Metadata.Key.of("refuse", Metadata.ASCII_STRING_MARSHALLER);

	private final SimpleMeterRegistry registry = new SimpleMeterRegistry();

	private final CallMetrics metrics = new CallMetrics(this.registry);

	@ParameterizedTest
	@EnumSource
	void callThenTimedWithMethodAndStatus(CallType type) {
		try (TestServer server = TestServer.network(new EchoService(), List.of(new TestStage()), this.metrics)) {
			type.call(server.channel());
			type.call(server.channel());
			await().until(() -> timed(type.method(), Status.Code.OK) == 2);
		}
		assertThat(this.registry.get(CallMetrics.CALLS).timer().totalTime(TimeUnit.NANOSECONDS)).isPositive();
		assertThat(this.registry.find(CallMetrics.REFUSALS).counters()).isEmpty();
	}

	@ParameterizedTest
	@EnumSource
	void callWhenRefusedThenCountedByStageAndKind(CallType type) {
		Metadata headers = new Metadata();
		headers.put(REFUSE, "yes");
		try (TestServer server = TestServer.network(new EchoService(), List.of(new TestStage()), this.metrics)) {
			type.call(server.channel(), headers, "hello");
			await().until(() -> timed(type.method(), Status.Code.PERMISSION_DENIED) == 1);
		}
		assertThat(this.registry.get(CallMetrics.REFUSALS)
			.tags("stage", "authorization", "kind", "access_denied")
			.counter()
			.count()).isEqualTo(1);
	}

	@ParameterizedTest
	@EnumSource
	void callWhenAMessageEndsItThenCountedAsRunning(CallType type) {
		try (TestServer server = TestServer.network(new EchoService(), List.of(new MessageStage()), this.metrics)) {
			type.call(server.channel(), new Metadata(), "bad");
			await().until(() -> timed(type.method(), Status.Code.INVALID_ARGUMENT) == 1);
		}
		assertThat(
				this.registry.get(CallMetrics.REFUSALS).tags("stage", "running", "kind", "malformed").counter().count())
			.isEqualTo(1);
	}

	@Test
	void callsWhenMethodsAreUnknownThenOneTimerForAll() {
		try (TestServer server = TestServer.network(new EchoService(), List.of(new TestStage()), this.metrics)) {
			for (int i = 0; i < 50; i++) {
				MethodDescriptor<EchoRequest, EchoReply> unknown = MethodDescriptor.<EchoRequest, EchoReply>newBuilder()
					.setType(MethodDescriptor.MethodType.UNARY)
					.setFullMethodName("made.up" + i + "/Method" + i)
					.setRequestMarshaller(ProtoUtils.marshaller(EchoRequest.getDefaultInstance()))
					.setResponseMarshaller(ProtoUtils.marshaller(EchoReply.getDefaultInstance()))
					.build();
				assertThatException().isThrownBy(() -> ClientCalls.blockingUnaryCall(server.channel(), unknown,
						CallOptions.DEFAULT, EchoRequest.getDefaultInstance()));
			}
			await().until(() -> timed("unknown", Status.Code.UNAUTHENTICATED) == 50);
		}
		assertThat(this.registry.getMeters()).extracting(Meter::getId).hasSize(2);
	}

	private long timed(String method, Status.Code status) {
		var timer = this.registry.find(CallMetrics.CALLS).tags("method", method, "status", status.name()).timer();
		return (timer != null) ? timer.count() : 0;
	}

	private static final class TestStage implements CallStage {

		@Override
		public SecurityStage stage() {
			return SecurityStage.AUTHORIZATION;
		}

		@Override
		public void plan(SecuredMethod method, MethodPlan.Builder plan) {
			plan.check("on demand", (call) -> call.headers().containsKey(REFUSE)
					? Verdict.refuse(Refusal.accessDenied("test")) : Verdict.proceed());
		}

	}

	private static final class MessageStage implements CallStage {

		@Override
		public SecurityStage stage() {
			return SecurityStage.VALIDATION;
		}

		@Override
		public void plan(SecuredMethod method, MethodPlan.Builder plan) {
			plan.checkMessages("none is good", (call, message) -> Verdict.refuse(Refusal.malformed("test")));
		}

	}

}
