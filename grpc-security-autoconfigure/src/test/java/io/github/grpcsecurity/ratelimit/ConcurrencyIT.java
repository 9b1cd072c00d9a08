package io.github.grpcsecurity.ratelimit;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.function.Supplier;
import java.util.stream.IntStream;

import ch.qos.logback.classic.Level;
import ch.qos.logback.classic.Logger;
import io.github.grpcsecurity.ratelimit.ConcurrencyRule.Reserved;
import io.github.grpcsecurity.ratelimit.RateLimitObserver.Outcome;
import io.github.grpcsecurity.server.CallStage;
import io.github.grpcsecurity.server.MethodPattern;
import io.github.grpcsecurity.server.MethodPlan;
import io.github.grpcsecurity.server.Refusal;
import io.github.grpcsecurity.server.SecurityStage;
import io.github.grpcsecurity.server.StatusTranslator;
import io.github.grpcsecurity.server.Verdict;
import io.github.grpcsecurity.testing.CallType;
import io.github.grpcsecurity.testing.EchoRequest;
import io.github.grpcsecurity.testing.EchoService;
import io.github.grpcsecurity.testing.OpenEndedService;
import io.github.grpcsecurity.testing.RawCall;
import io.github.grpcsecurity.testing.RawHttp2Client;
import io.github.grpcsecurity.testing.RecordingObserver;
import io.github.grpcsecurity.testing.TestServer;
import io.github.grpcsecurity.testing.TestStage;
import io.grpc.BindableService;
import io.grpc.CallOptions;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor.MethodType;
import io.grpc.Status;
import io.grpc.Status.Code;
import io.grpc.netty.NettyServerBuilder;
import io.micrometer.core.instrument.simple.SimpleMeterRegistry;
import io.netty.channel.ChannelOption;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.slf4j.LoggerFactory;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.entry;
import static org.awaitility.Awaitility.await;

/** Limits of calls in flight, with real servers. */
class ConcurrencyIT {

	private static final byte[] GARBAGE = { (byte) 0xff, 1, 2 };

	private static final byte[] HELLO = EchoRequest.newBuilder().setText("hello").build().toByteArray();

	private static final int SOAK = 10_000;

	private static final int UNREAD = 2000;

	private final RecentRateLimits outcomes = new RecentRateLimits(System::nanoTime);

	private ConcurrencyLimiter limiter;

	private static ConcurrencyRule rule(String name, String key, int limit) {
		return rule(name, key, limit, null);
	}

	private static ConcurrencyRule rule(String name, String key, int limit, Reserved reserved) {
		return new ConcurrencyRule(name, RateLimitKey.parse(key), List.of(MethodPattern.parse("**")), limit, null,
				reserved, false, Status.Code.RESOURCE_EXHAUSTED);
	}

	private List<CallStage> stages(ConcurrencyRule... rules) {
		this.limiter = new ConcurrencyLimiter(new RateLimitRules(List.of(), List.of(rules)), System::nanoTime);
		return new ArrayList<>(
				List.of(TestStage.authentication(), ConcurrencyStage.afterAuthentication(this.limiter, this.outcomes),
						ConcurrencyStage.beforeAuthentication(this.limiter, this.outcomes)));
	}

	private TestServer serve(BindableService service, ConcurrencyRule... rules) {
		return TestServer.network(service, stages(rules));
	}

	private static RawCall open(TestServer server, CallType type, Metadata headers) {
		RawCall call = RawCall.start(server.channel(), type.method(), type.grpcType(), headers).send(HELLO);
		return type.grpcType().clientSendsOneMessage() ? call.halfClose() : call;
	}

	private void assertIdle(String rule) {
		await().untilAsserted(() -> assertThat(this.limiter.inFlight(rule)).isZero());
		await().untilAsserted(() -> assertThat(this.limiter.size(rule)).isZero());
	}

	@ParameterizedTest
	@EnumSource(CallType.class)
	void limitWhenTooManyAreInFlightThenOthersAreRefusedUntilOneEnds(CallType type) {
		OpenEndedService service = new OpenEndedService();
		try (TestServer server = serve(service, rule("server", "global", 2))) {
			List<RawCall> calls = List.of(open(server, type, new Metadata()), open(server, type, new Metadata()));
			await().untilAsserted(() -> assertThat(service.open).hasValue(2));

			CallType.Outcome refused = type.call(server.channel());

			assertThat(refused.code()).isEqualTo(Code.RESOURCE_EXHAUSTED);
			assertThat(refused.status().getDescription()).isEqualTo("limit exceeded");
			assertThat(Long.parseLong(refused.trailers().get(StatusTranslator.RETRY_PUSHBACK))).isBetween(50L, 165L);
			assertThat(service.open).hasValue(2);
			assertThat(this.limiter.inFlight("server")).isEqualTo(2);
			calls.get(0).cancel();
			await().untilAsserted(() -> assertThat(this.limiter.inFlight("server")).isEqualTo(1));
			RawCall next = open(server, type, new Metadata());
			await().untilAsserted(() -> assertThat(service.open).hasValue(3));
			next.cancel();
			calls.get(1).cancel();
			assertIdle("server");
			assertThat(this.outcomes.of("server")).containsOnly(entry(Outcome.DENIED, 1L), entry(Outcome.ALLOWED, 3L));
		}
	}

	@Test
	void limitWhenKeyIsPrincipalThenEachHasItsOwnStreams() {
		OpenEndedService service = new OpenEndedService();
		try (TestServer server = serve(service, rule("streams", "principal", 2))) {
			IntStream.range(0, 2).forEach((i) -> open(server, CallType.SERVER_STREAM, TestStage.user("ann")));
			open(server, CallType.BIDI, TestStage.user("bob"));
			await().untilAsserted(() -> assertThat(service.open).hasValue(3));

			assertThat(CallType.BIDI.call(server.channel(), TestStage.user("ann"), "x").code())
				.isEqualTo(Code.RESOURCE_EXHAUSTED);
			open(server, CallType.BIDI, TestStage.user("bob"));
			open(server, CallType.BIDI, new Metadata());
			await().untilAsserted(() -> assertThat(service.open).hasValue(5));
			assertThat(this.limiter.size("streams")).isEqualTo(2);
			server.channel().shutdownNow();
			assertIdle("streams");
		}
	}

	@Test
	void limitWhenThreeMessagesAreMalformedThenGoodCallsGoOn() {
		try (TestServer server = serve(new EchoService(), rule("server", "global", 3))) {
			for (int i = 0; i < 3; i++) {
				RawCall.call(server.channel(), "testing.Echo/Unary", MethodType.UNARY, GARBAGE);
			}

			for (int i = 0; i < 10; i++) {
				assertIdle("server");
				assertThat(CallType.UNARY.call(server.channel()).code()).isEqualTo(Code.OK);
			}
		}
	}

	@ParameterizedTest
	@EnumSource(CallType.class)
	void limitWhenCallsEndInAnyWayThenTheirPlacesAreFree(CallType type) {
		OpenEndedService service = new OpenEndedService();
		List<CallStage> stages = stages(rule("server", "global", 2), rule("method", "method", 2));
		stages.add(
				TestStage.check(SecurityStage.AUTHORIZATION, (call) -> "mallory".equals(call.authentication().getName())
						? Verdict.refuse(Refusal.accessDenied("test")) : Verdict.proceed()));
		stages.add(TestStage.check(SecurityStage.AUTHORIZATION, (call) -> "slow".equals(call.authentication().getName())
				? Verdict.pending(new CompletableFuture<>()) : Verdict.proceed()));
		try (TestServer server = TestServer.network(service, stages)) {
			// Refused by a later stage
			assertThat(type.call(server.channel(), TestStage.user("mallory"), "x").code())
				.isEqualTo(Code.PERMISSION_DENIED);
			assertIdle("server");
			// Deadline
			RawCall dated = RawCall
				.start(server.channel(), type.method(), type.grpcType(), new Metadata(),
						CallOptions.DEFAULT.withDeadlineAfter(200, TimeUnit.MILLISECONDS))
				.send(HELLO);
			assertThat(dated.await().status().getCode()).isEqualTo(Code.DEADLINE_EXCEEDED);
			assertIdle("server");
			// Cancelled while a decision is pending
			RawCall undecided = open(server, type, TestStage.user("slow"));
			await().untilAsserted(() -> assertThat(this.limiter.inFlight("server")).isEqualTo(1));
			undecided.cancel();
			assertIdle("server");
			// The connection is lost
			open(server, type, new Metadata());
			open(server, type, new Metadata());
			await().untilAsserted(() -> assertThat(this.limiter.inFlight("method")).isEqualTo(2));
			server.channel().shutdownNow();
			assertIdle("server");
			assertIdle("method");
		}
	}

	@Test
	void limitWhenClientDoesNotReadThatItsCallsAreRefusedThenTheirPlacesAreFree() throws IOException {
		List<CallStage> stages = stages(rule("server", "global", 50), rule("service", "service", 50));
		stages.add(TestStage.check(SecurityStage.AUTHORIZATION,
				(call) -> call.anonymous() ? Verdict.refuse(Refusal.unauthenticated("test")) : Verdict.proceed()));
		RecordingObserver observer = new RecordingObserver();
		try (TestServer server = TestServer.network(new EchoService(),
				(security) -> security.stages(stages).observers(List.of(observer)),
				(builder) -> ((NettyServerBuilder) builder).withChildOption(ChannelOption.SO_SNDBUF, 4096));
				RawHttp2Client client = RawHttp2Client.thatReadsNothing(server.port())) {
			// The first fill all buffers on the way, so that the others stay unread
			for (int half = 1; half <= 2; half++) {
				int decided = half * UNREAD;
				ByteArrayOutputStream frames = new ByteArrayOutputStream();
				for (int i = decided - UNREAD; i < decided; i++) {
					frames.write(RawHttp2Client.call(2 * i + 1, "/" + CallType.values()[i % 4].method()));
				}
				client.send(frames.toByteArray());
				await().until(() -> observer.decided.size() == decided);
			}

			assertIdle("server");
			assertIdle("service");
			assertThat(observer.closed).as("calls that are over").hasSizeLessThan(UNREAD);
			for (CallType type : CallType.values()) {
				assertThat(type.call(server.channel(), TestStage.user("ann"), "x").code()).isEqualTo(Code.OK);
			}
		}
	}

	@Test
	void limitWhenServerShutsDownThenPlacesAreFree() {
		OpenEndedService service = new OpenEndedService();
		TestServer server = serve(service, rule("server", "global", 5));
		for (CallType type : CallType.values()) {
			open(server, type, new Metadata());
		}
		await().untilAsserted(() -> assertThat(this.limiter.inFlight("server")).isEqualTo(4));

		server.close();

		assertIdle("server");
	}

	@Test
	void limitWhenOneRuleRefusesThenOthersAreGivenBack() {
		OpenEndedService service = new OpenEndedService();
		try (TestServer server = serve(service, rule("wide", "global", 10), rule("narrow", "service", 1))) {
			RawCall open = open(server, CallType.BIDI, new Metadata());
			await().untilAsserted(() -> assertThat(service.open).hasValue(1));

			assertThat(CallType.BIDI.call(server.channel()).code()).isEqualTo(Code.RESOURCE_EXHAUSTED);

			await().untilAsserted(() -> assertThat(this.limiter.inFlight("wide")).isEqualTo(1));
			open.cancel();
			assertIdle("wide");
			assertIdle("narrow");
		}
	}

	@Test
	void reservedWhenOrdinaryCallsFillTheirShareThenOthersStillPass() {
		OpenEndedService service = new OpenEndedService();
		Reserved reserved = new Reserved(0.2, List.of(MethodPattern.parse("testing.Echo/Unary")), Set.of());
		try (TestServer server = serve(service, rule("server", "global", 10, reserved))) {
			IntStream.range(0, 8).forEach((i) -> open(server, CallType.BIDI, new Metadata()));
			await().untilAsserted(() -> assertThat(service.open).hasValue(8));

			assertThat(CallType.BIDI.call(server.channel()).code()).isEqualTo(Code.RESOURCE_EXHAUSTED);
			IntStream.range(0, 2).forEach((i) -> open(server, CallType.UNARY, new Metadata()));
			await().untilAsserted(() -> assertThat(service.open).hasValue(10));
			assertThat(CallType.UNARY.call(server.channel()).code()).isEqualTo(Code.RESOURCE_EXHAUSTED);
		}
		assertIdle("server");
	}

	@Test
	void reservedWhenAuthorityIsNamedThenItsHoldersPass() {
		OpenEndedService service = new OpenEndedService();
		Reserved reserved = new Reserved(0.5, List.of(), Set.of("ROLE_TELLER"));
		try (TestServer server = serve(service, rule("server", "global", 2, reserved))) {
			open(server, CallType.BIDI, new Metadata());
			await().untilAsserted(() -> assertThat(service.open).hasValue(1));

			assertThat(CallType.BIDI.call(server.channel(), TestStage.user("ann:ROLE_USER"), "x").code())
				.isEqualTo(Code.RESOURCE_EXHAUSTED);
			open(server, CallType.BIDI, TestStage.user("tom:ROLE_TELLER"));
			await().untilAsserted(() -> assertThat(service.open).hasValue(2));
		}
		assertIdle("server");
	}

	@Test
	void shadowWhenTooManyAreInFlightThenItOnlyCounts() {
		OpenEndedService service = new OpenEndedService();
		ConcurrencyRule watching = new ConcurrencyRule("server", RateLimitKey.parse("global"),
				List.of(MethodPattern.parse("**")), 1, null, null, true, Status.Code.RESOURCE_EXHAUSTED);
		try (TestServer server = serve(service, watching)) {
			IntStream.range(0, 3).forEach((i) -> open(server, CallType.BIDI, new Metadata()));
			await().untilAsserted(() -> assertThat(service.open).hasValue(3));

			assertThat(this.limiter.inFlight("server")).isEqualTo(3);
			assertThat(this.outcomes.of("server")).containsEntry(Outcome.SHADOW_DENIED, 2L);
		}
		assertIdle("server");
	}

	@Test
	void metricsWhenCallsAreInFlightThenTheyShowThem() {
		OpenEndedService service = new OpenEndedService();
		try (TestServer server = serve(service, rule("server", "global", 1))) {
			SimpleMeterRegistry registry = new SimpleMeterRegistry();
			new ConcurrencyMetrics(this.limiter, registry);
			open(server, CallType.BIDI, new Metadata());
			await().untilAsserted(() -> assertThat(service.open).hasValue(1));

			assertThat(registry.get("grpc.security.rate-limit.in-flight").tag("rule", "server").gauge().value())
				.isEqualTo(1);
			assertThat(registry.get("grpc.security.rate-limit.concurrency").tag("rule", "server").gauge().value())
				.isEqualTo(1);
		}
	}

	@Test
	void planWhenRulesLimitConcurrencyThenItSaysSo() {
		Reserved reserved = new Reserved(0.2, List.of(MethodPattern.parse("testing.Echo/Unary")), Set.of());
		try (TestServer server = serve(new EchoService(), rule("server", "global", 10, reserved))) {
			assertThat(server.security().plans())
				.anySatisfy((plan) -> assertThat(plan.describe())
					.contains(new MethodPlan.StepDescription(SecurityStage.PEER_LIMITS, "call",
							"limit server by global: 10 in flight, with the reserved share of 0.2")))
				.anySatisfy((plan) -> assertThat(plan.describe())
					.contains(new MethodPlan.StepDescription(SecurityStage.PEER_LIMITS, "call",
							"limit server by global: 10 in flight, without the reserved share of 0.2")));
		}
	}

	@Test
	void soakWhenCallsAreMalformedCancelledOrThrowingThenNoPlaceIsLost() {
		EchoService service = new EchoService();
		service.probe = (callback) -> {
			if (io.github.grpcsecurity.server.SecuredCall.current() != null
					&& io.github.grpcsecurity.server.SecuredCall.current().headers().containsKey(TestStage.USER)) {
				throw new IllegalStateException("test");
			}
		};
		Logger log = (Logger) LoggerFactory.getLogger(StatusTranslator.class);
		log.setLevel(Level.OFF);
		try (TestServer server = serve(service, rule("server", "global", 10), rule("own", "principal", 10),
				rule("peer", "peer", 10))) {
			flood(() -> RawCall.start(server.channel(), "testing.Echo/Unary", MethodType.UNARY, new Metadata())
				.send(GARBAGE)
				.halfClose());
			flood(() -> RawCall.start(server.channel(), "testing.Echo/Bidi", MethodType.BIDI_STREAMING, new Metadata())
				.cancel());
			flood(() -> RawCall
				.start(server.channel(), "testing.Echo/Unary", MethodType.UNARY, TestStage.user("thrower"))
				.send(HELLO)
				.halfClose());

			assertIdle("server");
			assertIdle("own");
			assertIdle("peer");
			List<RawCall> good = IntStream.range(0, 10)
				.mapToObj((i) -> RawCall.start(server.channel(), "testing.Echo/Unary", MethodType.UNARY, new Metadata())
					.send(HELLO)
					.halfClose())
				.toList();
			assertThat(good).allSatisfy((call) -> assertThat(call.await().status().getCode()).isEqualTo(Code.OK));
		}
		finally {
			log.setLevel(null);
		}
	}

	/** Makes many calls, a few at a time. */
	private static void flood(Supplier<RawCall> call) {
		List<RawCall> inFlight = new ArrayList<>();
		for (int i = 0; i < SOAK; i++) {
			inFlight.add(call.get());
			if (inFlight.size() == 10) {
				inFlight.forEach(RawCall::await);
				inFlight.clear();
			}
		}
		inFlight.forEach(RawCall::await);
	}

}
