package io.github.grpcsecurity.ratelimit;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Queue;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.function.LongSupplier;

import io.github.grpcsecurity.ratelimit.ConcurrencyRule.Adaptive;
import io.github.grpcsecurity.server.MethodPattern;
import io.github.grpcsecurity.testing.CallType;
import io.github.grpcsecurity.testing.EchoRequest;
import io.github.grpcsecurity.testing.EchoService;
import io.github.grpcsecurity.testing.OpenEndedService;
import io.github.grpcsecurity.testing.RawCall;
import io.github.grpcsecurity.testing.TestServer;
import io.grpc.BindableService;
import io.grpc.Metadata;
import io.grpc.Status;
import io.grpc.Status.Code;
import io.micrometer.core.instrument.Gauge;
import io.micrometer.core.instrument.simple.SimpleMeterRegistry;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;
import static org.assertj.core.api.Assertions.assertThatIllegalStateException;
import static org.awaitility.Awaitility.await;

/** Rules of calls in flight change while the server runs. */
class ConcurrencyChangeIT {

	private static final byte[] HELLO = EchoRequest.newBuilder().setText("hello").build().toByteArray();

	private final RateLimitRules rules = new RateLimitRules(List.of());

	private ConcurrencyLimiter limiter;

	private static ConcurrencyRule rule(int limit) {
		return rule("server", "**", limit, null);
	}

	private static ConcurrencyRule rule(String name, String methods, int limit, @Nullable Adaptive adaptive) {
		return new ConcurrencyRule(name, RateLimitKey.parse("global"), List.of(MethodPattern.parse(methods)), limit,
				adaptive, null, false, Status.Code.RESOURCE_EXHAUSTED);
	}

	private void update(ConcurrencyRule... changed) {
		this.rules.update(List.of(), List.of(changed));
	}

	private TestServer serve(BindableService service, LongSupplier clock, ConcurrencyRule... initial) {
		update(initial);
		RateLimitObserver nobody = (rule, outcome) -> {
		};
		// As auto-configuration does: the plans first, then who follows them
		List<TestServer> servers = new ArrayList<>();
		this.rules.onUpdate((changed) -> servers.get(0).security().refresh());
		this.limiter = new ConcurrencyLimiter(this.rules, clock);
		servers.add(TestServer.network(service, List.of(ConcurrencyStage.beforeAuthentication(this.limiter, nobody))));
		return servers.get(0);
	}

	private TestServer serve(BindableService service, ConcurrencyRule... initial) {
		return serve(service, System::nanoTime, initial);
	}

	private static RawCall open(TestServer server, CallType type) {
		RawCall call = RawCall.start(server.channel(), type.method(), type.grpcType(), new Metadata()).send(HELLO);
		return type.grpcType().clientSendsOneMessage() ? call.halfClose() : call;
	}

	/** Opens calls until they are in flight. */
	private List<RawCall> open(TestServer server, CallType type, OpenEndedService service, int calls) {
		int before = service.open.get();
		List<RawCall> open = new ArrayList<>();
		for (int i = 0; i < calls; i++) {
			open.add(open(server, type));
		}
		await().untilAsserted(() -> assertThat(service.open).hasValue(before + calls));
		return open;
	}

	private void end(RawCall call) {
		long before = this.limiter.inFlight("server");
		call.cancel();
		await().until(() -> this.limiter.inFlight("server") == before - 1);
	}

	private static void assertRefused(TestServer server, CallType type) {
		CallType.Outcome outcome = type.call(server.channel());
		assertThat(outcome.code()).isEqualTo(Code.RESOURCE_EXHAUSTED);
		assertThat(outcome.status().getDescription()).isEqualTo("limit exceeded");
	}

	@ParameterizedTest
	@EnumSource
	void updateWhenLimitIsLoweredThenCallsInFlightGoOnAndCount(CallType type) {
		OpenEndedService service = new OpenEndedService();
		try (TestServer server = serve(service, rule(3))) {
			List<RawCall> calls = open(server, type, service, 3);

			update(rule(1));

			assertRefused(server, type);
			end(calls.get(0));
			assertRefused(server, type);
			end(calls.get(1));
			assertRefused(server, type);
			assertThat(calls.get(2).done()).isFalse();
			end(calls.get(2));
			open(server, type, service, 1);
			assertRefused(server, type);
		}
	}

	@ParameterizedTest
	@EnumSource
	void updateWhenLimitIsRaisedThenMoreCallsHaveRoomAtOnce(CallType type) {
		OpenEndedService service = new OpenEndedService();
		try (TestServer server = serve(service, rule(2))) {
			open(server, type, service, 2);

			update(rule(3));

			open(server, type, service, 1);
			assertRefused(server, type);
		}
	}

	@Test
	void updateWhenRuleGoesAndComesBackThenCallsThatItCountedStillCount() {
		OpenEndedService service = new OpenEndedService();
		try (TestServer server = serve(service, rule(2))) {
			List<RawCall> counted = open(server, CallType.BIDI, service, 2);

			update();
			open(server, CallType.BIDI, service, 3);
			update(rule(2));

			assertThat(this.limiter.inFlight("server")).isEqualTo(2);
			assertRefused(server, CallType.BIDI);
			end(counted.get(0));
			open(server, CallType.BIDI, service, 1);
		}
	}

	@Test
	void updateWhenRulesAreBadThenThoseInForceStay() {
		OpenEndedService service = new OpenEndedService();
		try (TestServer server = serve(service, rule(1))) {
			assertThatExceptionOfType(UnmatchedMethodPatternException.class)
				.isThrownBy(() -> update(rule(5), rule("other", "bank.*/*", 5, null)));
			assertThatExceptionOfType(InvalidRateLimitRuleException.class)
				.isThrownBy(() -> update(rule(5), rule("server", "testing.*/*", 5, null)));

			assertThat(this.rules.concurrency()).containsExactly(rule(1));
			open(server, CallType.BIDI, service, 1);
			assertRefused(server, CallType.BIDI);
		}
	}

	@Test
	void updateWhenAdaptiveRuleChangesThenWhatItLearnedStaysWithinItsBounds() {
		TestClock clock = new TestClock();
		EchoService service = new EchoService();
		service.probe = (callback) -> clock.advance(Duration.ofMillis(100));
		try (TestServer server = serve(service, clock, rule("server", "**", 2, new Adaptive(1, 10)))) {
			await().until(() -> {
				CallType.UNARY.call(server.channel());
				return this.limiter.limit("server") > 2;
			});
			long learned = this.limiter.limit("server");

			assertThat(learned).isBetween(6L, 10L);
			update(rule("server", "**", 3, new Adaptive(1, 20)));
			assertThat(this.limiter.limit("server")).isEqualTo(learned);
			update(rule("server", "**", 3, new Adaptive(1, 5)));
			assertThat(this.limiter.limit("server")).isEqualTo(5);

			// A change that fails leaves alone what was learned
			assertThatExceptionOfType(UnmatchedMethodPatternException.class)
				.isThrownBy(() -> update(rule(9), rule("other", "bank.*/*", 5, null)));
			assertThat(this.limiter.limit("server")).isEqualTo(5);
			AtomicBoolean broken = new AtomicBoolean(true);
			this.rules.onUpdate((changed) -> {
				if (broken.getAndSet(false)) {
					throw new IllegalStateException("test");
				}
			});
			assertThatIllegalStateException().isThrownBy(() -> update(rule(9)));
			assertThat(this.limiter.limit("server")).isEqualTo(5);
			update(rule(4));
			assertThat(this.limiter.limit("server")).isEqualTo(4);
			await().untilAsserted(() -> assertThat(this.limiter.size("server")).isZero());
			update(rule("server", "**", 3, new Adaptive(1, 20)));
			assertThat(this.limiter.limit("server")).isEqualTo(3);
		}
	}

	@Test
	void updateWhenRuleBecomesAdaptiveThenCallsInFlightCount() {
		OpenEndedService service = new OpenEndedService();
		try (TestServer server = serve(service, rule(3))) {
			open(server, CallType.BIDI, service, 3);

			update(rule("server", "**", 4, new Adaptive(2, 10)));

			open(server, CallType.BIDI, service, 1);
			assertRefused(server, CallType.BIDI);
			update(rule(5));
			List<RawCall> last = open(server, CallType.BIDI, service, 1);
			assertRefused(server, CallType.BIDI);
			end(last.get(0));
			open(server, CallType.BIDI, service, 1);
		}
	}

	@Test
	void metricsWhenRulesComeAndGoThenTheyFollow() {
		OpenEndedService service = new OpenEndedService();
		SimpleMeterRegistry registry = new SimpleMeterRegistry();
		try (TestServer server = serve(service, rule(3))) {
			ConcurrencyMetrics metrics = new ConcurrencyMetrics(this.limiter, registry);
			this.rules.onUpdate((changed) -> metrics.update());
			open(server, CallType.BIDI, service, 1);

			update(rule("new", "testing.Echo/Bidi", 7, null));
			open(server, CallType.BIDI, service, 1);

			assertThat(gauge(registry, "concurrency", "new").value()).isEqualTo(7);
			assertThat(gauge(registry, "in-flight", "new").value()).isEqualTo(1);
			assertThat(gauge(registry, "concurrency", "server").value()).isZero();
			assertThat(gauge(registry, "in-flight", "server").value()).isEqualTo(1);
			server.channel().shutdownNow();
			await().untilAsserted(() -> assertThat(gauge(registry, "in-flight", "server").value()).isZero());
		}
	}

	private static Gauge gauge(SimpleMeterRegistry registry, String name, String rule) {
		return registry.get("grpc.security.rate-limit." + name).tag("rule", rule).gauge();
	}

	@Test
	void updateWhenCallsGoOnThenNoneFailsForAnotherReasonAndNoPlaceIsLost() throws InterruptedException {
		Queue<CallType.Outcome> failures = new ConcurrentLinkedQueue<>();
		AtomicBoolean changing = new AtomicBoolean(true);
		try (TestServer server = serve(new EchoService(), rule(1000))) {
			List<Thread> callers = new ArrayList<>();
			for (CallType type : CallType.values()) {
				Thread caller = new Thread(() -> {
					while (changing.get()) {
						CallType.Outcome outcome = type.call(server.channel());
						if (outcome.code() != Code.OK) {
							failures.add(outcome);
						}
					}
				}, "caller-" + type);
				callers.add(caller);
				caller.start();
			}
			for (int i = 0; i < 100; i++) {
				update(rule(1000 + i), rule("echo", "testing.*/*", 500 + i, null));
				update(rule("server", "**", 200, new Adaptive(100, 1000 + i)));
				update();
				update(rule("echo", "testing.Echo/*", 500, new Adaptive(100, 500 + i)));
			}
			changing.set(false);
			for (Thread caller : callers) {
				caller.join(20_000);
			}

			assertThat(failures).isEmpty();
			update(rule(1));
			await().untilAsserted(() -> assertThat(this.limiter.inFlight("server")).isZero());
			await().untilAsserted(() -> assertThat(this.limiter.inFlight("echo")).isZero());
			await().untilAsserted(() -> assertThat(this.limiter.size("server")).isZero());
			await().untilAsserted(() -> assertThat(this.limiter.size("echo")).isZero());
			assertThat(CallType.UNARY.call(server.channel()).code()).isEqualTo(Code.OK);
		}
	}

}
