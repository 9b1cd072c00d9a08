package io.github.grpcsecurity.audit;

import java.time.Duration;
import java.time.InstantSource;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Random;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.Collectors;
import java.util.stream.Stream;

import io.github.grpcsecurity.audit.GrpcAuditRecord.Kind;
import io.github.grpcsecurity.server.CallStage;
import io.github.grpcsecurity.server.MethodPlan;
import io.github.grpcsecurity.server.SecuredMethod;
import io.github.grpcsecurity.server.SecurityStage;
import io.github.grpcsecurity.server.Verdict;
import io.github.grpcsecurity.testing.CallType;
import io.github.grpcsecurity.testing.TestServer;
import io.grpc.Metadata;
import io.grpc.ServerStreamTracer;
import io.grpc.Status;
import io.grpc.Status.Code;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.MethodSource;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

/** However a call ends: one decision, one completion, and the status its client got. */
@Timeout(120)
class AuditTerminationIT {

	private static final int CALLS = 20_000;

	private final RecordingAuditSink sink = new RecordingAuditSink();

	private final AuditRuleStage rules = new AuditRuleStage(List.of());

	private final ScriptedEchoService service = new ScriptedEchoService();

	static Stream<Arguments> calls() {
		return Stream.of(Ending.values())
			.flatMap((ending) -> Stream.of(CallType.values()).map((type) -> Arguments.of(ending, type)));
	}

	@ParameterizedTest
	@MethodSource("calls")
	void callThenOneDecisionAndOneCompletionWithItsStatus(Ending ending, CallType type) throws Exception {
		AuditLog log = new AuditLog(this.rules, List.of(this.sink), 1000, Duration.ofSeconds(10),
				InstantSource.system());
		log.start();
		Code seen;
		try (TestServer server = TestServer.network(this.service, stages(), log)) {
			Ending.Running running = ending.start(server.channel(), type);
			if (ending.cancels()) {
				await().until(() -> this.service.entered.get() == 1);
				running.call().cancel("test", null);
			}
			seen = running.end().get(30, TimeUnit.SECONDS).getCode();
			await().until(() -> this.sink.of(Kind.COMPLETION).size() == 1);
		}
		log.close();

		assertThat(ending.codes()).contains(seen);
		assertThat(this.sink.records).hasSize(2);
		GrpcAuditRecord decision = this.sink.of(Kind.DECISION).get(0);
		GrpcAuditRecord completion = this.sink.of(Kind.COMPLETION).get(0);
		assertThat(completion.id()).isEqualTo(decision.id());
		assertThat(ending.codes()).contains(Code.valueOf((String) completion.fields().get("rpc.grpc.status")));
		if (ending == Ending.UNKNOWN_METHOD) {
			assertThat(decision.fields()).containsEntry("rpc.service", "no.such.Service");
			assertThat(decision.toJson()).contains("\"rpc.method\":\"No");
		}
		else {
			assertThat(decision.fields()).containsEntry("rpc.service", "testing.Echo");
		}
		if (ending.name().startsWith("REFUSED_AT")) {
			assertThat(completion.fields()).containsEntry("decision.stage",
					ending.name().substring("REFUSED_AT_".length()).toLowerCase(Locale.ROOT));
		}
		if (ending == Ending.REFUSED_BY_A_MESSAGE || ending == Ending.MALFORMED) {
			assertThat(completion.type()).isEqualTo("input_validation_fail");
			assertThat(completion.denied()).isTrue();
		}
	}

	@ParameterizedTest
	@EnumSource
	void callWhenCancelledBeforeADecisionThenAbandonedAndCompleted(CallType type) throws Exception {
		AuditLog log = new AuditLog(this.rules, List.of(this.sink), 1000, Duration.ofSeconds(10),
				InstantSource.system());
		log.start();
		CountDownLatch asked = new CountDownLatch(1);
		CallStage undecided = new CallStage() {
			@Override
			public SecurityStage stage() {
				return SecurityStage.PEER_LIMITS;
			}

			@Override
			public void plan(SecuredMethod method, MethodPlan.Builder plan) {
				plan.check("never answers", (call) -> {
					asked.countDown();
					return Verdict.pending(new CompletableFuture<>());
				});
			}
		};
		try (TestServer server = TestServer.network(this.service, List.of(this.rules, undecided), log)) {
			Ending.Running running = Ending.OK.start(server.channel(), type);
			asked.await();
			running.call().cancel("test", null);
			await().until(() -> this.sink.of(Kind.COMPLETION).size() == 1);
		}
		log.close();

		assertThat(this.sink.records).hasSize(2)
			.allSatisfy((record) -> assertThat(record.fields()).containsEntry("decision.outcome", "abandon"));
		assertThat(this.sink.of(Kind.DECISION).get(0).type()).isEqualTo("grpc_call_abandon");
		assertThat(this.sink.of(Kind.COMPLETION).get(0).fields()).containsEntry("rpc.grpc.status", "CANCELLED");
	}

	@ParameterizedTest
	@EnumSource
	void callWhenConnectionAndServerGoAwayThenCompletedBeforeTheLogCloses(CallType type) throws Exception {
		AuditLog log = new AuditLog(this.rules, List.of(this.sink), 1000, Duration.ofSeconds(10),
				InstantSource.system());
		log.start();
		try (TestServer server = TestServer.network(this.service, stages(), log)) {
			for (int i = 0; i < 5; i++) {
				Ending.CLIENT_CANCELS.start(server.channel(), type);
			}
			await().until(() -> this.service.entered.get() == 5);
		}
		log.close();

		assertThat(this.sink.of(Kind.DECISION)).hasSize(5);
		assertThat(this.sink.of(Kind.COMPLETION)).hasSize(5);
	}

	@Test
	void callsWhenManyAtOnceThenEveryOneIsThereOnce() throws Exception {
		AuditLog log = new AuditLog(this.rules, List.of(this.sinkForMany()), 2 * CALLS, Duration.ofSeconds(30),
				InstantSource.system());
		log.start();
		StreamCounter counter = new StreamCounter();
		AtomicInteger ended = new AtomicInteger();
		Random random = new Random(11);
		Semaphore inFlight = new Semaphore(100);
		Ending[] endings = Ending.values();
		try (TestServer server = TestServer.inProcess(this.service,
				(security) -> security.stages(stages())
					.observers(List.of(log))
					.configurers(List.of((builder) -> builder.addStreamTracerFactory(counter))))) {
			for (int i = 0; i < CALLS; i++) {
				Ending ending = endings[random.nextInt(endings.length)];
				if (ending == Ending.HANDLER_THROWS && random.nextInt(20) != 0) {
					// Each of these logs a stack trace
					ending = Ending.OK;
				}
				if (ending == Ending.DEADLINE_PASSES && random.nextInt(10) != 0) {
					ending = Ending.CLIENT_CANCELS;
				}
				inFlight.acquire();
				Ending.Running running = ending.start(server.channel(),
						CallType.values()[random.nextInt(CallType.values().length)]);
				running.end().whenComplete((status, failure) -> {
					ended.incrementAndGet();
					inFlight.release();
				});
				if (ending.cancels()) {
					running.call().cancel("test", null);
				}
			}
			await().atMost(60, TimeUnit.SECONDS).until(() -> ended.get() == CALLS);
			await().atMost(60, TimeUnit.SECONDS).until(() -> counter.open.get() == 0);
		}
		log.close();

		assertThat(log.dropped(true) + log.dropped(false)).isZero();
		List<GrpcAuditRecord> decisions = of(Kind.DECISION);
		List<GrpcAuditRecord> completions = of(Kind.COMPLETION);
		assertThat(counter.created.get()).isGreaterThan(CALLS / 2);
		assertThat(decisions).hasSize(counter.created.get());
		assertThat(completions).hasSize(counter.created.get());
		assertThat(decisions.stream().map(GrpcAuditRecord::id).collect(Collectors.toSet()))
			.hasSize(counter.created.get())
			.isEqualTo(completions.stream().map(GrpcAuditRecord::id).collect(Collectors.toSet()));
		assertThat(completions.stream()
			.collect(Collectors.toMap((record) -> (String) record.fields().get("rpc.grpc.status"), (record) -> 1,
					Integer::sum)))
			.isEqualTo(counter.statuses);
	}

	private final List<GrpcAuditRecord> many = Collections.synchronizedList(new ArrayList<>());

	private AuditSink sinkForMany() {
		return this.many::add;
	}

	private List<GrpcAuditRecord> of(Kind kind) {
		return this.many.stream().filter((record) -> record.kind() == kind).toList();
	}

	private List<CallStage> stages() {
		return Stream.concat(Stream.of(this.rules), Ending.stages().stream()).toList();
	}

	/** Counts streams without any of our code. */
	private static final class StreamCounter extends ServerStreamTracer.Factory {

		private final AtomicInteger created = new AtomicInteger();

		private final AtomicInteger open = new AtomicInteger();

		private final Map<String, Integer> statuses = new ConcurrentHashMap<>();

		@Override
		public ServerStreamTracer newServerStreamTracer(String fullMethodName, Metadata headers) {
			this.created.incrementAndGet();
			this.open.incrementAndGet();
			return new ServerStreamTracer() {
				@Override
				public void streamClosed(Status status) {
					StreamCounter.this.statuses.merge(status.getCode().name(), 1, Integer::sum);
					StreamCounter.this.open.decrementAndGet();
				}
			};
		}

	}

}
