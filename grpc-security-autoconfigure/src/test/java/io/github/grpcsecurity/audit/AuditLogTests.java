package io.github.grpcsecurity.audit;

import java.io.IOException;
import java.time.Duration;
import java.time.InstantSource;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;

import io.github.grpcsecurity.audit.GrpcAuditRecord.Kind;
import io.github.grpcsecurity.server.CallStage;
import io.github.grpcsecurity.server.MethodPlan;
import io.github.grpcsecurity.server.Refusal;
import io.github.grpcsecurity.server.SecuredMethod;
import io.github.grpcsecurity.server.SecurityStage;
import io.github.grpcsecurity.server.Verdict;
import io.github.grpcsecurity.server.VerifiedCredential;
import io.github.grpcsecurity.testing.CallType;
import io.github.grpcsecurity.testing.EchoService;
import io.github.grpcsecurity.testing.TestServer;
import io.grpc.Metadata;
import io.grpc.Status.Code;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

import org.springframework.boot.test.system.CapturedOutput;
import org.springframework.boot.test.system.OutputCaptureExtension;
import org.springframework.security.authentication.TestingAuthenticationToken;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

@Timeout(60)
@ExtendWith(OutputCaptureExtension.class)
class AuditLogTests {

	private static final Metadata.Key<String> REFUSE = Metadata.Key.of("refuse", Metadata.ASCII_STRING_MARSHALLER);

	private static final AuditRule ALL = new AuditRule(List.of("**"), AuditLevel.METADATA, AuditOutcome.ALL);

	private final RecordingAuditSink sink = new RecordingAuditSink();

	private AuditRuleStage rules = new AuditRuleStage(List.of(ALL));

	private AuditLog log = log(10_000, this.sink);

	@AfterEach
	void close() {
		this.log.close();
	}

	@ParameterizedTest
	@EnumSource
	void callWhenAdmittedThenDecisionAndCompletionTellAboutIt(CallType type) {
		callOnce(type, false);

		GrpcAuditRecord decision = this.sink.of(Kind.DECISION).get(0);
		GrpcAuditRecord completion = this.sink.of(Kind.COMPLETION).get(0);
		assertThat(this.sink.records).containsExactly(decision, completion);
		assertThat(decision.id()).hasSize(32).isEqualTo(completion.id());
		assertThat(decision.denied() || completion.denied()).isFalse();
		assertThat(decision.fields()).containsEntry("event.id", decision.id())
			.containsEntry("event.kind", "decision")
			.containsEntry("event.type", "grpc_call_permit")
			.containsEntry("rpc.system", "grpc")
			.containsEntry("rpc.service", "testing.Echo")
			.containsEntry("rpc.method", type.method().substring("testing.Echo/".length()))
			.containsKey("rpc.type")
			.containsEntry("auth.principal", "anonymous")
			.containsEntry("auth.kind", "anonymous")
			.containsEntry("transport.security", "none")
			.containsEntry("decision.outcome", "permit")
			.doesNotContainKeys("rpc.grpc.status", "decision.stage", "decision.reason", "tls.protocol", "duration.ns");
		assertThat((String) decision.fields().get("peer.address")).matches("127\\.0\\.0\\.1:\\d+");
		assertThat((String) decision.fields().get("event.time"))
			.matches("\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d\\.\\d{9}Z");
		assertThat(completion.fields()).containsEntry("event.kind", "completion")
			.containsEntry("event.type", "grpc_call_end")
			.containsEntry("rpc.grpc.status", "OK")
			.containsEntry("decision.outcome", "permit")
			.containsEntry("messages.received", 1)
			.containsEntry("messages.sent", (type == CallType.SERVER_STREAM) ? 3 : 1);
		assertThat((Long) completion.fields().get("duration.ns")).isPositive();
	}

	@ParameterizedTest
	@EnumSource
	void callWhenRefusedThenRecordsTellWhereAndWhy(CallType type) {
		callOnce(type, true);

		assertThat(this.sink.records).hasSize(2).allSatisfy((record) -> {
			assertThat(record.denied()).isTrue();
			assertThat(record.fields()).containsEntry("rpc.grpc.status", "RESOURCE_EXHAUSTED")
				.containsEntry("decision.outcome", "refuse")
				.containsEntry("decision.stage", "peer_limits")
				.containsEntry("decision.reason", "over limit per-peer")
				.containsEntry("decision.limit", "per-peer")
				.containsEntry("auth.kind", "test")
				.containsEntry("auth.principal", "alice")
				.containsEntry("limit.note", "noted");
		});
		assertThat(this.sink.records).extracting(GrpcAuditRecord::type)
			.containsExactly("excess_rate_limit_exceeded", "grpc_call_end");
	}

	@Test
	void callWhenRuleSaysNoneThenNothingIsRecorded() {
		this.rules = new AuditRuleStage(
				List.of(new AuditRule(List.of(CallType.UNARY.method()), AuditLevel.NONE, AuditOutcome.ALL)));
		this.log = log(100, this.sink);
		try (TestServer server = server()) {
			call(server, CallType.UNARY, true);
			call(server, CallType.BIDI, true);
		}
		this.log.close();

		assertThat(this.sink.records).hasSize(2)
			.allSatisfy((record) -> assertThat(record.fields()).containsEntry("rpc.method", "Bidi"));
	}

	@Test
	void callWhenRuleSaysDeniedThenOnlyRefusedCallsAreRecorded() {
		this.rules = new AuditRuleStage(
				List.of(new AuditRule(List.of("**"), AuditLevel.METADATA, AuditOutcome.DENIED)));
		this.log = log(100, this.sink);
		try (TestServer server = server()) {
			call(server, CallType.UNARY, false);
			call(server, CallType.UNARY, true);
		}
		this.log.close();

		assertThat(this.sink.records).hasSize(2).allMatch(GrpcAuditRecord::denied);
	}

	@Test
	void callWhenSinkHangsThenCallsGoOnAndPermitsAreDroppedBeforeRefusals(CapturedOutput output) throws Exception {
		CountDownLatch stalled = new CountDownLatch(1);
		CountDownLatch go = new CountDownLatch(1);
		this.log = log(20, (record) -> {
			stalled.countDown();
			awaitUninterruptibly(go);
		}, this.sink);
		this.log.start();
		try (TestServer server = server()) {
			call(server, CallType.UNARY, false);
			stalled.await();
			// What the writer already holds is not in the queue any more
			await().until(() -> this.log.queued() <= 1);
			for (int i = 0; i < 30; i++) {
				assertThat(call(server, CallType.UNARY, false)).isEqualTo(Code.OK);
			}
			for (int i = 0; i < 5; i++) {
				assertThat(call(server, CallType.UNARY, true)).isEqualTo(Code.RESOURCE_EXHAUSTED);
			}
			for (int i = 0; i < 5; i++) {
				assertThat(call(server, CallType.UNARY, false)).isEqualTo(Code.OK);
			}
			await().untilAsserted(() -> assertThat(this.log.dropped(false)).isBetween(60L, 63L));
			assertThat(this.log.queued()).isEqualTo(20);
			go.countDown();
			await().until(() -> !this.sink.of(Kind.DROPPED).isEmpty());
		}
		this.log.close();

		long dropped = this.log.dropped(false);
		assertThat(this.log.dropped(true)).isZero();
		assertThat(this.sink.records.stream().filter((record) -> record.kind() != Kind.DROPPED && record.denied()))
			.hasSize(10);
		assertThat(this.sink.of(Kind.DROPPED)).singleElement()
			.satisfies((record) -> assertThat(record.fields()).containsEntry("dropped.count", dropped)
				.containsEntry("dropped.denied", 0L)
				.containsEntry("event.type", "grpc_audit_dropped"));
		assertThat(this.sink.records).hasSize(2 * 41 - (int) dropped + 1);
		assertThat(output).contains(
				"Audit records were dropped, because sinks did not keep up: 0 of refusals and " + dropped + " others");
	}

	@Test
	void callWhenOneOfThreeSinksFailsThenOthersGetEverything(CapturedOutput output) {
		RecordingAuditSink third = new RecordingAuditSink();
		AtomicInteger failures = new AtomicInteger();
		this.log = log(10_000, this.sink, (record) -> {
			if (failures.incrementAndGet() % 2 == 0) {
				throw new IOException("disk full");
			}
			throw new NoClassDefFoundError("broken");
		}, third);
		this.log.start();
		try (TestServer server = server()) {
			for (int i = 0; i < 50; i++) {
				assertThat(call(server, CallType.BIDI, false)).isEqualTo(Code.OK);
			}
		}
		this.log.close();

		assertThat(this.sink.records).hasSize(100).containsExactlyElementsOf(third.records);
		assertThat(failures).hasValue(100);
		assertThat(this.log.failed()).isEqualTo(100);
		assertThat(output.getOut().split("other sinks go on", -1)).as("one line a minute").hasSize(2);
	}

	@Test
	void closeThenEverythingIsWrittenAndFlushed() {
		this.log = log(10_000, (record) -> Thread.onSpinWait(), this.sink);
		this.log.start();
		try (TestServer server = server()) {
			for (int i = 0; i < 100; i++) {
				call(server, CallType.UNARY, false);
			}
		}
		this.log.close();

		assertThat(this.sink.records).hasSize(200);
		assertThat(this.sink.flushes).hasPositiveValue();
		assertThat(this.log.queued()).isZero();
	}

	@Test
	void closeWhenSinkHangsThenGivesUpAfterTheGracePeriod(CapturedOutput output) {
		CountDownLatch interrupted = new CountDownLatch(1);
		AtomicBoolean hangs = new AtomicBoolean(true);
		this.log = new AuditLog(this.rules, List.of((record) -> {
			while (hangs.get()) {
				try {
					new CountDownLatch(1).await();
				}
				catch (InterruptedException ex) {
					hangs.set(false);
					interrupted.countDown();
				}
			}
		}), 100, Duration.ofMillis(50), InstantSource.system());
		this.log.start();
		callOnServer(CallType.UNARY, false);

		this.log.close();

		await().until(() -> interrupted.getCount() == 0);
		assertThat(output).contains("Audit records are lost, because a sink did not take them for PT0.05S at shutdown");
	}

	@Test
	void stopThenWaitsForWhatIsQueuedAndCanStartAgain() {
		this.log.start();
		callOnServer(CallType.UNARY, false);
		this.log.stop();
		assertThat(this.log.isRunning()).isFalse();
		assertThat(this.sink.records).hasSize(2);

		this.log.start();
		callOnServer(CallType.UNARY, false);
		this.log.stop();

		assertThat(this.sink.records).hasSize(4);
	}

	@Test
	void callWhenLogIsNotStartedYetThenRecordsWait() {
		callOnServer(CallType.UNARY, false);
		assertThat(this.log.queued()).isEqualTo(2);

		this.log.start();
		this.log.stop();

		assertThat(this.sink.records).hasSize(2);
	}

	@Test
	void callWhenThereIsNoSinkThenNothingIsQueued() {
		this.log = log(100);
		callOnServer(CallType.UNARY, false);

		assertThat(this.log.queued()).isZero();
	}

	private void callOnce(CallType type, boolean refuse) {
		callOnServer(type, refuse);
		this.log.start();
		this.log.close();
	}

	/** Makes a call, and returns when the server knows that it is over. */
	private void callOnServer(CallType type, boolean refuse) {
		try (TestServer server = server()) {
			call(server, type, refuse);
		}
	}

	private static Code call(TestServer server, CallType type, boolean refuse) {
		Metadata headers = new Metadata();
		if (refuse) {
			headers.put(REFUSE, "yes");
		}
		return type.call(server.channel(), headers, "hello").code();
	}

	private TestServer server() {
		return TestServer.network(new EchoService(), List.of(this.rules, new RefusingStage()), this.log);
	}

	private AuditLog log(int capacity, AuditSink... sinks) {
		return new AuditLog(this.rules, List.of(sinks), capacity, Duration.ofSeconds(10), InstantSource.system());
	}

	private static void awaitUninterruptibly(CountDownLatch latch) {
		try {
			latch.await();
		}
		catch (InterruptedException ex) {
			Thread.currentThread().interrupt();
		}
	}

	private static final class RefusingStage implements CallStage {

		@Override
		public SecurityStage stage() {
			return SecurityStage.PEER_LIMITS;
		}

		@Override
		public void plan(SecuredMethod method, MethodPlan.Builder plan) {
			plan.check("refuses on demand", (call) -> {
				if (call.headers().containsKey(REFUSE)) {
					call.note("limit.note", "noted");
					call.authenticated(
							VerifiedCredential.of("test", new TestingAuthenticationToken("alice", null, "A")));
					return Verdict.refuse(Refusal.overLimit("per-peer", Duration.ofSeconds(1)));
				}
				return Verdict.proceed();
			});
		}

	}

}
