package io.github.grpcsecurity.ratelimit;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.lang.management.BufferPoolMXBean;
import java.lang.management.ManagementFactory;
import java.time.Duration;
import java.util.ArrayList;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.concurrent.ConcurrentSkipListMap;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.LongAdder;
import java.util.function.IntFunction;
import java.util.stream.IntStream;
import java.util.stream.Stream;

import ch.qos.logback.classic.Level;
import ch.qos.logback.classic.Logger;
import io.github.grpcsecurity.ratelimit.RateLimitObserver.Outcome;
import io.github.grpcsecurity.ratelimit.RateLimitRule.OnExceed;
import io.github.grpcsecurity.ratelimit.redis.RedisRateLimiter;
import io.github.grpcsecurity.server.CallStage;
import io.github.grpcsecurity.server.GrpcSecurityThreads;
import io.github.grpcsecurity.server.MethodPattern;
import io.github.grpcsecurity.server.Refusal;
import io.github.grpcsecurity.server.SecuredCall;
import io.github.grpcsecurity.server.SecurityStage;
import io.github.grpcsecurity.server.StatusTranslator;
import io.github.grpcsecurity.server.Verdict;
import io.github.grpcsecurity.testing.CallType;
import io.github.grpcsecurity.testing.EchoRequest;
import io.github.grpcsecurity.testing.EchoService;
import io.github.grpcsecurity.testing.RawCall;
import io.github.grpcsecurity.testing.RawHttp2Client;
import io.github.grpcsecurity.testing.TestRedis;
import io.github.grpcsecurity.testing.TestServer;
import io.github.grpcsecurity.testing.TestStage;
import io.grpc.CallOptions;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.Status;
import io.grpc.Status.Code;
import io.grpc.netty.NettyChannelBuilder;
import io.grpc.netty.NettyServerBuilder;
import io.netty.channel.ChannelOption;
import io.netty.util.internal.PlatformDependent;
import org.awaitility.core.ConditionFactory;
import org.junit.jupiter.api.Test;
import org.slf4j.LoggerFactory;

import org.springframework.data.redis.connection.lettuce.LettuceConnectionFactory;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

/**
 * All limits at once, for calls of all types that end in every way there is, while Redis
 * stops answering now and then. It takes as long as {@code tests.soak} says.
 */
class LimitSoakIT {

	private static final Duration LENGTH = Duration.parse(System.getProperty("tests.soak", "PT3S"));

	/** Calls of one round by a decent client. */
	private static final int CALLS = 40;

	/** Calls of one round that are there until their connection is lost. */
	private static final int STUCK = 4;

	private static final int USERS = 100_000;

	private static final int BUSY_USERS = 5;

	private static final int MAX_KEYS = 1000;

	/** How often everything is looked at, in rounds. */
	private static final int CHECK = 10;

	/** How often Redis is paused, in rounds, and for how many. */
	private static final int OUTAGE = 100;

	private static final int OUTAGE_LENGTH = 10;

	private static final int SLACK = 16 << 20;

	private static final List<String> CONCURRENCY = List.of("server", "own", "method");

	private static final Metadata.Key<String> THROW = Metadata.Key.of("throw", Metadata.ASCII_STRING_MARSHALLER);

	private static final Metadata.Key<String> REVOKE = Metadata.Key.of("revoke", Metadata.ASCII_STRING_MARSHALLER);

	private static final byte[] GARBAGE = { (byte) 0xff, 1, 2 };

	private static final byte[] MESSAGE = EchoRequest.newBuilder().setText("x".repeat(1000)).build().toByteArray();

	/** What fills the window of a client that does not read, if a few come back. */
	private static final byte[] LARGE = EchoRequest.newBuilder().setText("x".repeat(10_000)).build().toByteArray();

	private final Random random = new Random(1);

	/** A fixed number, or a burst of calls would look like threads that are kept. */
	private final ExecutorService workers = Executors.newFixedThreadPool(8);

	private final Counts counts = new Counts();

	private final Map<End, Map<Code, Integer>> ends = new EnumMap<>(End.class);

	/** How a call ends that its client follows to the end. */
	private enum End {

		/** It is done. */
		DONE(Code.OK),

		/** Its client cancels it. */
		CANCELLED(Code.CANCELLED),

		/** Its client does not end it in time. */
		DEADLINE(Code.DEADLINE_EXCEEDED),

		/** Its message is none. */
		MALFORMED(Code.INVALID_ARGUMENT),

		/** Its handler fails. */
		THROWING(Code.INTERNAL),

		/** The server ends it while its client goes on sending. */
		REVOKED(Code.UNAUTHENTICATED),

		/** Its client shuts down. */
		ABANDONED(Code.UNAVAILABLE);

		private final Code code;

		End(Code code) {
			this.code = code;
		}

		RawCall start(ManagedChannel channel, CallType type, Metadata headers, int messages) {
			CallOptions options = (this == DEADLINE) ? CallOptions.DEFAULT.withDeadlineAfter(30, TimeUnit.MILLISECONDS)
					: CallOptions.DEFAULT;
			if (this == THROWING) {
				headers.put(THROW, "please");
			}
			if (this == REVOKED) {
				headers.put(REVOKE, "please");
			}
			RawCall call = RawCall.start(channel, type.method(), type.grpcType(), headers, options);
			for (int i = 0; i < (type.grpcType().clientSendsOneMessage() ? 1 : messages); i++) {
				call.send((this == MALFORMED) ? GARBAGE : MESSAGE);
			}
			return switch (this) {
				case DONE, MALFORMED, THROWING -> call.halfClose();
				case CANCELLED -> call.cancel();
				case DEADLINE, REVOKED, ABANDONED -> call;
			};
		}

	}

	private static ConcurrencyRule inFlight(String name, String key, int limit, ConcurrencyRule.Adaptive adaptive) {
		return new ConcurrencyRule(name, RateLimitKey.parse(key), List.of(MethodPattern.parse("**")), limit, adaptive,
				null, false, Status.Code.RESOURCE_EXHAUSTED);
	}

	private static RateLimitRules rules() {
		Duration second = Duration.ofSeconds(1);
		RateLimitRule stream = TestRules.rule("stream", "call", new Gcra(100, second, 2, 1));
		RateLimitRule user = TestRules.rule("messages", "principal", new Gcra(50, second, 3, 1));
		RateLimitRule bytes = TestRules.rule("bytes", "global", new Gcra(1_000_000, second, 300_000, 1));
		return new RateLimitRules(
				List.of(TestRules.rule("peer", 2000, second), TestRules.rule("user", "principal", 100, second),
						TestRules.messages(stream, OnExceed.BACKPRESSURE),
						TestRules.messages(user, OnExceed.BACKPRESSURE), TestRules.bytes(bytes, OnExceed.REJECT)),
				List.of(inFlight("server", "global", 35, null), inFlight("own", "principal", 3, null),
						inFlight("method", "method", 15, new ConcurrencyRule.Adaptive(5, 20))));
	}

	private static EchoService service() {
		EchoService service = new EchoService();
		service.probe = (callback) -> {
			SecuredCall call = SecuredCall.current();
			if (call != null && call.headers().containsKey(THROW)) {
				throw new IllegalStateException("test");
			}
		};
		return service;
	}

	private static TestStage revocation(ScheduledExecutorService timer) {
		return TestStage.check(SecurityStage.AUTHORIZATION, (call) -> {
			if (call.headers().containsKey(REVOKE)) {
				timer.schedule(() -> call.end(Refusal.unauthenticated("test")), 10, TimeUnit.MILLISECONDS);
			}
			return Verdict.proceed();
		});
	}

	@Test
	void soakWhenCallsEndInEveryWayThenNothingIsKept() throws IOException {
		RateLimitRules rules = rules();
		List<Logger> logs = Stream.of(StatusTranslator.class, FailoverRateLimiter.class)
			.map((type) -> (Logger) LoggerFactory.getLogger(type))
			.toList();
		logs.forEach((log) -> log.setLevel(Level.OFF));
		// It has a stack trace for each stream of a lost connection
		java.util.logging.Logger transport = java.util.logging.Logger.getLogger("io.grpc.netty.NettyServerHandler");
		transport.setLevel(java.util.logging.Level.OFF);
		try (TestRedis redis = TestRedis.start(); GrpcSecurityThreads threads = new GrpcSecurityThreads()) {
			LettuceConnectionFactory connections = redis.connectionFactory();
			Duration budget = Duration.ofMillis(20);
			LeasingPermits leases = new LeasingPermits(new RedisRateLimiter(connections, "soak:", threads.executor()),
					Duration.ofSeconds(1), 0.1, budget, MAX_KEYS, threads.scheduler(), threads.executor(),
					System::nanoTime);
			try (FailoverRateLimiter limiter = new FailoverRateLimiter(leases,
					new InMemoryRateLimiter(MAX_KEYS, System::nanoTime), rules.all(), 1, budget, threads.scheduler(),
					System::nanoTime)) {
				limiter.connect();
				ConcurrencyLimiter concurrency = new ConcurrencyLimiter(rules, System::nanoTime);
				MessageLimitStage messages = new MessageLimitStage(rules, limiter, this.counts, threads.scheduler(),
						System::nanoTime);
				List<CallStage> stages = List.of(TestStage.authentication(),
						ConcurrencyStage.beforeAuthentication(concurrency, this.counts),
						ConcurrencyStage.afterAuthentication(concurrency, this.counts),
						new PeerLimitStage(rules, limiter, this.counts),
						new PrincipalLimitStage(rules, limiter, this.counts), messages,
						revocation(threads.scheduler()));
				try (TestServer server = TestServer.network(service(),
						(security) -> security.executor(threads.executor()).stages(stages),
						(builder) -> ((NettyServerBuilder) builder.executor(this.workers))
							.withChildOption(ChannelOption.SO_SNDBUF, 4096))) {
					soak(server, redis, limiter, concurrency, messages);
				}
			}
			finally {
				connections.destroy();
			}
		}
		finally {
			this.workers.shutdownNow();
			logs.forEach((log) -> log.setLevel(null));
			transport.setLevel(null);
		}
	}

	private void soak(TestServer server, TestRedis redis, FailoverRateLimiter limiter, ConcurrencyLimiter concurrency,
			MessageLimitStage messages) throws IOException {
		long start = System.nanoTime();
		Usage settled = null;
		int tenths = 0;
		int round = 0;
		while (tenths < 10) {
			if (round % OUTAGE == CHECK) {
				redis.pause();
			}
			round(server);
			round++;
			if (round % CHECK != 0) {
				continue;
			}
			assertNothingIsKept(concurrency, messages);
			assertGoodCallsGoOn(server);
			if (round % OUTAGE == CHECK + OUTAGE_LENGTH) {
				redis.resume();
				soon().until(() -> !limiter.fallbackActive());
				assertGoodCallsGoOn(server);
			}
			int passed = (int) ((System.nanoTime() - start) * 10 / LENGTH.toNanos());
			if (passed > tenths && round > CHECK + OUTAGE_LENGTH) {
				tenths = passed;
				Usage usage = Usage.now();
				System.out.println("soak: " + round + " rounds of " + (CALLS + 2 * STUCK) + " calls, " + usage);
				settled = (settled != null) ? settled : usage;
			}
		}
		System.out.println("soak of " + LENGTH + ": " + this.ends + ", " + this.counts);
		assertEverythingHappened();
		assertFlat(settled);
	}

	private static ConditionFactory soon() {
		return await().pollDelay(Duration.ZERO).pollInterval(Duration.ofMillis(10)).atMost(Duration.ofSeconds(20));
	}

	private static void assertNothingIsKept(ConcurrencyLimiter concurrency, MessageLimitStage messages) {
		soon().untilAsserted(() -> assertThat(CONCURRENCY)
			.allSatisfy((rule) -> assertThat(concurrency.inFlight(rule)).as("calls in flight by %s", rule).isZero()));
		soon().untilAsserted(() -> assertThat(concurrency.size("own")).as("callers in flight").isZero());
		soon().untilAsserted(() -> assertThat(messages.waiting()).as("messages that wait").isZero());
	}

	private static void assertGoodCallsGoOn(TestServer server) {
		for (CallType type : CallType.values()) {
			// Permits may be used up for the moment
			soon().untilAsserted(() -> assertThat(type.call(server.channel(), TestStage.user("good"), "a", "b").code())
				.isEqualTo(Code.OK));
		}
	}

	/** Else this would be a test of much less than it seems. */
	private void assertEverythingHappened() {
		for (End end : End.values()) {
			assertThat(this.ends.get(end)).as(end.name()).containsKey(end.code);
		}
		assertThat(this.counts.of("peer")).containsKeys(Outcome.ALLOWED, Outcome.FALLBACK);
		assertThat(this.counts.of("user")).containsKeys(Outcome.ALLOWED, Outcome.FALLBACK);
		assertThat(this.counts.of("stream")).containsKeys(Outcome.ALLOWED, Outcome.DELAYED);
		assertThat(this.counts.of("messages")).containsKeys(Outcome.ALLOWED, Outcome.DELAYED, Outcome.FALLBACK);
		assertThat(this.counts.of("bytes")).containsKeys(Outcome.ALLOWED, Outcome.FALLBACK);
		for (String rule : CONCURRENCY) {
			assertThat(this.counts.of(rule)).as(rule).containsKey(Outcome.ALLOWED);
		}
		assertThat(this.counts.of("server")).containsKey(Outcome.DENIED);
	}

	private static void assertFlat(Usage settled) {
		// What has just ended takes a moment to go
		soon().untilAsserted(() -> {
			Usage used = Usage.now();
			assertThat(used.heap()).as("heap").isLessThan(settled.heap() + SLACK);
			assertThat(used.direct()).as("direct memory").isLessThan(settled.direct() + SLACK);
			assertThat(used.threads()).as("threads").isLessThan(settled.threads() + CALLS);
		});
	}

	/** Some connections, and calls on them that are all over when these are gone. */
	private void round(TestServer server) throws IOException {
		ManagedChannel channel = NettyChannelBuilder.forAddress("127.0.0.1", server.port())
			.usePlaintext()
			.executor(this.workers)
			.build();
		try (RawHttp2Client deaf = RawHttp2Client.thatReadsNothing(server.port());
				RawHttp2Client lost = new RawHttp2Client(server.port())) {
			deaf.send(stuck((stream) -> RawHttp2Client.message(stream, LARGE)));
			lost.send(stuck((stream) -> this.random.nextBoolean() ? RawHttp2Client.openMessage(stream, MESSAGE)
					: RawHttp2Client.halfMessage(stream, MESSAGE)));
			List<Started> calls = IntStream.range(0, CALLS).mapToObj((i) -> start(channel)).toList();
			calls.stream().filter((call) -> call.end != End.ABANDONED).forEach(this::ended);
			channel.shutdownNow();
			calls.stream().filter((call) -> call.end == End.ABANDONED).forEach(this::ended);
		}
		finally {
			channel.shutdownNow();
		}
	}

	private byte[] stuck(IntFunction<byte[]> message) throws IOException {
		ByteArrayOutputStream frames = new ByteArrayOutputStream();
		for (int i = 0; i < STUCK; i++) {
			int stream = 2 * i + 1;
			frames.write(RawHttp2Client.call(stream, "/" + any(CallType.values()).method(),
					Map.of(TestStage.USER.name(), user())));
			frames.write(message.apply(stream));
		}
		return frames.toByteArray();
	}

	private Started start(ManagedChannel channel) {
		End end = any(End.values());
		return new Started(end,
				end.start(channel, any(CallType.values()), TestStage.user(user()), 1 + this.random.nextInt(6)));
	}

	private void ended(Started call) {
		this.ends.computeIfAbsent(call.end, (end) -> new EnumMap<>(Code.class))
			.merge(call.call.await().status().getCode(), 1, Integer::sum);
	}

	/** A few call all the time, others hardly ever. */
	private String user() {
		return "user" + this.random.nextInt(this.random.nextBoolean() ? BUSY_USERS : USERS);
	}

	private <T> T any(T[] values) {
		return values[this.random.nextInt(values.length)];
	}

	private record Started(End end, RawCall call) {

	}

	/** What the rules did. */
	private static final class Counts implements RateLimitObserver {

		private final Map<String, Map<Outcome, LongAdder>> counts = new ConcurrentSkipListMap<>();

		@Override
		public void applied(RateLimitRule rule, Outcome outcome) {
			count(rule.name(), outcome);
		}

		@Override
		public void applied(ConcurrencyRule rule, Outcome outcome) {
			count(rule.name(), outcome);
		}

		private void count(String rule, Outcome outcome) {
			of(rule).computeIfAbsent(outcome, (key) -> new LongAdder()).increment();
		}

		Map<Outcome, LongAdder> of(String rule) {
			return this.counts.computeIfAbsent(rule, (key) -> new ConcurrentSkipListMap<>());
		}

		@Override
		public String toString() {
			return this.counts.toString();
		}

	}

	/** What the process holds on to, in bytes, and its threads. */
	private record Usage(long heap, long direct, int threads) {

		static Usage now() {
			System.gc();
			long direct = Math.max(0, PlatformDependent.usedDirectMemory());
			for (BufferPoolMXBean pool : ManagementFactory.getPlatformMXBeans(BufferPoolMXBean.class)) {
				direct += pool.getName().equals("direct") ? pool.getMemoryUsed() : 0;
			}
			return new Usage(ManagementFactory.getMemoryMXBean().getHeapMemoryUsage().getUsed(), direct,
					ManagementFactory.getThreadMXBean().getThreadCount());
		}

	}

}
