package io.github.grpcsecurity.ratelimit;

import java.io.ByteArrayInputStream;
import java.io.InputStream;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicReference;

import com.google.protobuf.Any;
import com.google.rpc.ErrorInfo;
import com.google.rpc.QuotaFailure;
import com.google.rpc.RetryInfo;
import io.github.grpcsecurity.ratelimit.RateLimitObserver.Outcome;
import io.github.grpcsecurity.ratelimit.RateLimitRule.OnFailure;
import io.github.grpcsecurity.ratelimit.redis.RedisRateLimiter;
import io.github.grpcsecurity.server.CallDecision;
import io.github.grpcsecurity.server.CallObserver;
import io.github.grpcsecurity.server.CallStage;
import io.github.grpcsecurity.server.GrpcSecurityThreads;
import io.github.grpcsecurity.server.MethodPlan;
import io.github.grpcsecurity.server.SecuredCall;
import io.github.grpcsecurity.server.SecuredMethod;
import io.github.grpcsecurity.server.SecurityStage;
import io.github.grpcsecurity.server.Verdict;
import io.github.grpcsecurity.server.VerifiedCredential;
import io.github.grpcsecurity.server.VerifiedCredential.Subject;
import io.github.grpcsecurity.testing.CallType;
import io.github.grpcsecurity.testing.EchoGrpc;
import io.github.grpcsecurity.testing.EchoReply;
import io.github.grpcsecurity.testing.EchoRequest;
import io.github.grpcsecurity.testing.EchoService;
import io.github.grpcsecurity.testing.TestRedis;
import io.github.grpcsecurity.testing.TestServer;
import io.github.grpcsecurity.testing.TestStage;
import io.grpc.CallOptions;
import io.grpc.Channel;
import io.grpc.ClientCall;
import io.grpc.ClientInterceptor;
import io.grpc.ClientStreamTracer;
import io.grpc.ManagedChannel;
import io.grpc.ManagedChannelBuilder;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.Status;
import io.grpc.Status.Code;
import io.grpc.StatusRuntimeException;
import io.grpc.protobuf.StatusProto;
import io.grpc.stub.ClientCalls;
import io.micrometer.core.instrument.simple.SimpleMeterRegistry;
import org.awaitility.Awaitility;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;

import org.springframework.data.redis.connection.lettuce.LettuceConnectionFactory;
import org.springframework.security.authentication.UsernamePasswordAuthenticationToken;

import static io.github.grpcsecurity.ratelimit.TestRules.code;
import static io.github.grpcsecurity.ratelimit.TestRules.methods;
import static io.github.grpcsecurity.ratelimit.TestRules.onFailure;
import static io.github.grpcsecurity.ratelimit.TestRules.rule;
import static io.github.grpcsecurity.ratelimit.TestRules.shadow;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;

@Tag("alone")
class RateLimitIT {

	private static final Duration HOUR = Duration.ofHours(1);

	private static final Metadata.Key<String> USER = Metadata.Key.of("user", Metadata.ASCII_STRING_MARSHALLER);

	private static final Metadata.Key<String> PUSHBACK = Metadata.Key.of("grpc-retry-pushback-ms",
			Metadata.ASCII_STRING_MARSHALLER);

	private static final Metadata.Key<String> RETRY_AFTER = Metadata.Key.of("retry-after",
			Metadata.ASCII_STRING_MARSHALLER);

	private static GrpcSecurityThreads threads;

	private static TestRedis redis;

	private static LettuceConnectionFactory connectionFactory;

	private final EchoService service = new EchoService();

	private final List<Map<String, String>> notes = java.util.Collections.synchronizedList(new ArrayList<>());

	private final CallObserver observer = new CallObserver() {
		@Override
		public void decided(SecuredCall call, CallDecision decision) {
			RateLimitIT.this.notes.add(call.notes());
		}
	};

	private final AtomicInteger headersSeen = new AtomicInteger();

	private final SimpleMeterRegistry meters = new SimpleMeterRegistry();

	@BeforeAll
	static void start() {
		threads = new GrpcSecurityThreads();
		redis = TestRedis.start();
		connectionFactory = redis.connectionFactory();
	}

	@AfterAll
	static void stop() {
		connectionFactory.destroy();
		redis.close();
		threads.close();
	}

	/** Believes whatever name the caller gives. */
	private static final class UserHeader implements CallStage {

		private int asked;

		@Override
		public SecurityStage stage() {
			return SecurityStage.AUTHENTICATION;
		}

		@Override
		public void plan(SecuredMethod method, MethodPlan.Builder plan) {
			plan.check("user", (call) -> {
				this.asked++;
				String user = call.headers().get(USER);
				if (user != null) {
					call.authenticated(VerifiedCredential.of("test",
							UsernamePasswordAuthenticationToken.authenticated(user, null, List.of())));
				}
				return Verdict.proceed();
			});
		}

	}

	private static Metadata user(String name) {
		Metadata headers = new Metadata();
		headers.put(USER, name);
		return headers;
	}

	private TestServer serve(RateLimiter limiter, RateLimitRule... rules) {
		return serve(new UserHeader(), limiter, rules);
	}

	private TestServer serve(CallStage authentication, RateLimiter limiter, RateLimitRule... rules) {
		RateLimitObserver counters = new MicrometerRateLimitObserver(List.of(rules), this.meters);
		return TestServer.network(this.service,
				List.of(authentication, new PrincipalLimitStage(List.of(rules), limiter, counters),
						new PeerLimitStage(List.of(rules), limiter, counters)),
				this.observer);
	}

	private static InMemoryRateLimiter inMemory() {
		return new InMemoryRateLimiter(1000, System::nanoTime);
	}

	private static FailoverRateLimiter inRedis(LettuceConnectionFactory factory, Duration budget,
			RateLimitRule... rules) {
		FailoverRateLimiter limiter = new FailoverRateLimiter(new RedisRateLimiter(factory, "it:", threads.executor()),
				inMemory(), List.of(rules), 1, budget, threads.scheduler(), System::nanoTime);
		limiter.connect();
		awaitShared(limiter);
		return limiter;
	}

	private static void awaitShared(FailoverRateLimiter limiter) {
		RateLimitRule nothing = onFailure(rule("nothing", 1_000_000_000, Duration.ofSeconds(1)), OnFailure.ALLOW);
		Awaitility.await()
			.atMost(Duration.ofSeconds(30))
			.until(() -> !limiter.tryAcquire(TestRules.permits("x", nothing)).toCompletableFuture().get().fallback());
	}

	private double count(String rule, Outcome outcome) {
		return this.meters.get("grpc.security.rate-limit")
			.tags("rule", rule, "outcome", outcome.name().toLowerCase(java.util.Locale.ROOT))
			.counter()
			.count();
	}

	@ParameterizedTest
	@EnumSource
	void callWhenPeerIsOverItsLimitThenRefusedBeforeAuthenticationAndHandler(CallType type) {
		UserHeader authentication = new UserHeader();
		try (TestServer server = serve(authentication, inMemory(), rule("per-peer", 2, HOUR))) {
			assertThat(type.call(server.channel()).code()).isEqualTo(Code.OK);
			assertThat(type.call(server.channel()).code()).isEqualTo(Code.OK);

			CallType.Outcome refused = type.call(server.channel());

			assertThat(refused.code()).isEqualTo(Code.RESOURCE_EXHAUSTED);
			assertThat(refused.status().getDescription()).isEqualTo("limit exceeded").doesNotContain("per-peer");
			assertThat(refused.replies()).isEmpty();
			assertThat(this.service.entered).hasValue(2);
			assertThat(authentication.asked).isEqualTo(2);
			assertThat(this.notes.get(2)).containsEntry("rate_limit.rule", "per-peer");
			assertThat(count("per-peer", Outcome.ALLOWED)).isEqualTo(2);
			assertThat(count("per-peer", Outcome.DENIED)).isEqualTo(1);
		}
	}

	@ParameterizedTest
	@EnumSource
	void callWhenRedisKeepsPermitsThenPrincipalIsLimitedAndAnonymousIsNot(CallType type) {
		RateLimitRule rule = rule("user-" + type, "principal", 1, HOUR);
		try (FailoverRateLimiter limiter = inRedis(connectionFactory, Duration.ofSeconds(5), rule);
				TestServer server = serve(limiter, rule)) {
			assertThat(type.call(server.channel(), user("alice"), "a", "b").replies()).isNotEmpty();
			CallType.Outcome refused = type.call(server.channel(), user("alice"), "a", "b");

			assertThat(refused.code()).isEqualTo(Code.RESOURCE_EXHAUSTED);
			assertThat(type.call(server.channel(), user("bob"), "a", "b").code()).isEqualTo(Code.OK);
			assertThat(type.call(server.channel()).code()).isEqualTo(Code.OK);
			assertThat(type.call(server.channel()).code()).isEqualTo(Code.OK);
			assertThat(this.service.entered).hasValue(4);
		}
	}

	/** Or whoever may hand out names could use up the permits of others. */
	@Test
	void callWhenNameIsGivenBySomebodyElseThenItsPermitsAreOthers() {
		TestStage authentication = TestStage.check(SecurityStage.AUTHENTICATION, (call) -> {
			String[] user = String.valueOf(call.headers().get(USER)).split(" ", -1);
			call.authenticated(VerifiedCredential
				.builder("test", Subject.valueOf(user[0]),
						UsernamePasswordAuthenticationToken.authenticated("alice", null, List.of()))
				.issuer(user[1].equals("-") ? null : user[1])
				.build());
			return Verdict.proceed();
		});
		try (TestServer server = serve(authentication, inMemory(), rule("user", "principal", 1, HOUR))) {
			for (String caller : List.of("USER https://a.example", "USER https://b.example", "USER -", "APPLICATION -",
					"WORKLOAD -")) {
				assertThat(CallType.UNARY.call(server.channel(), user(caller), "a").code()).isEqualTo(Code.OK);
				assertThat(CallType.UNARY.call(server.channel(), user(caller), "a").code())
					.isEqualTo(Code.RESOURCE_EXHAUSTED);
			}
		}
	}

	@Test
	void callWhenOneRuleRefusesThenTheOthersKeepTheirPermits() {
		RateLimitRule unary = methods(rule("unary", 1, HOUR), CallType.UNARY.method());
		RateLimitRule all = rule("all", "global", 2, HOUR);
		try (TestServer server = serve(inMemory(), all, unary)) {
			assertThat(CallType.UNARY.call(server.channel()).code()).isEqualTo(Code.OK);
			for (int i = 0; i < 10; i++) {
				assertThat(CallType.UNARY.call(server.channel()).code()).isEqualTo(Code.RESOURCE_EXHAUSTED);
			}

			assertThat(CallType.BIDI.call(server.channel()).code()).isEqualTo(Code.OK);
			assertThat(CallType.BIDI.call(server.channel()).code()).isEqualTo(Code.RESOURCE_EXHAUSTED);
		}
	}

	@Test
	void callWhenKeysAreMethodServiceAndHeaderThenEachCountsSeparately() {
		try (TestServer server = serve(inMemory(), rule("method", "method", 2, HOUR),
				rule("service", "service", 4, HOUR), rule("tenant", "header:user", 3, HOUR))) {
			assertThat(CallType.UNARY.call(server.channel()).code()).isEqualTo(Code.OK);
			assertThat(CallType.UNARY.call(server.channel()).code()).isEqualTo(Code.OK);
			assertThat(CallType.UNARY.call(server.channel()).code()).isEqualTo(Code.RESOURCE_EXHAUSTED);
			assertThat(this.notes.get(2)).containsEntry("rate_limit.rule", "method");
			assertThat(CallType.BIDI.call(server.channel()).code()).isEqualTo(Code.OK);
			// Leaving the header out does not help
			assertThat(CallType.BIDI.call(server.channel()).code()).isEqualTo(Code.RESOURCE_EXHAUSTED);
			assertThat(this.notes.get(4)).containsEntry("rate_limit.rule", "tenant");
			assertThat(CallType.BIDI.call(server.channel(), user("x"), "a").code()).isEqualTo(Code.OK);
			assertThat(CallType.CLIENT_STREAM.call(server.channel(), user("x"), "a").code())
				.isEqualTo(Code.RESOURCE_EXHAUSTED);
			assertThat(this.notes.get(6)).containsEntry("rate_limit.rule", "service");
		}
	}

	@Test
	void callWhenShadowRuleWouldRefuseThenItPassesAndIsCounted() {
		try (TestServer server = serve(inMemory(), shadow(rule("watch", 1, HOUR)))) {
			CallType.UNARY.call(server.channel());

			assertThat(CallType.UNARY.call(server.channel()).code()).isEqualTo(Code.OK);
			assertThat(this.notes.get(1)).containsEntry("rate_limit.shadow", "watch")
				.doesNotContainKey("rate_limit.rule");
			assertThat(count("watch", Outcome.SHADOW_DENIED)).isEqualTo(1);
		}
	}

	@Test
	void callWhenMethodIsUnknownThenLimitedLikeAnyOther() {
		MethodDescriptor.Marshaller<byte[]> bytes = new MethodDescriptor.Marshaller<>() {
			@Override
			public InputStream stream(byte[] value) {
				return new ByteArrayInputStream(value);
			}

			@Override
			public byte[] parse(InputStream stream) {
				return new byte[0];
			}
		};
		try (TestServer server = serve(inMemory(), rule("method", "method", 2, HOUR))) {
			List<Code> codes = new ArrayList<>();
			for (int i = 0; i < 3; i++) {
				MethodDescriptor<byte[], byte[]> method = MethodDescriptor.<byte[], byte[]>newBuilder()
					.setType(MethodDescriptor.MethodType.UNARY)
					.setFullMethodName("guess.Service" + i + "/Method" + i)
					.setRequestMarshaller(bytes)
					.setResponseMarshaller(bytes)
					.build();
				try {
					ClientCalls.blockingUnaryCall(server.channel(), method, CallOptions.DEFAULT, new byte[0]);
				}
				catch (StatusRuntimeException ex) {
					codes.add(ex.getStatus().getCode());
				}
			}

			assertThat(codes).containsExactly(Code.UNAUTHENTICATED, Code.UNAUTHENTICATED, Code.RESOURCE_EXHAUSTED);
		}
	}

	@Test
	void callWhenOverLimitThenTrailersSayWhenToComeBack() throws Exception {
		try (TestServer server = serve(inMemory(), rule("r", 2, Duration.ofSeconds(21)))) {
			CallType.UNARY.call(server.channel());
			CallType.UNARY.call(server.channel());
			Metadata trailers = CallType.UNARY.call(server.channel()).trailers();

			long millis = Long.parseLong(trailers.get(PUSHBACK));
			// What is left of 10.5 seconds, and up to a tenth more
			assertThat(millis).isBetween(5_000L, 11_550L);
			assertThat(trailers.get(RETRY_AFTER)).isEqualTo(Long.toString((millis + 999) / 1000));
			List<Any> details = StatusProto.fromStatusAndTrailers(Status.RESOURCE_EXHAUSTED, trailers).getDetailsList();
			RetryInfo retry = null;
			boolean quota = false;
			String reason = null;
			for (Any detail : details) {
				reason = detail.is(ErrorInfo.class) ? detail.unpack(ErrorInfo.class).getReason() : reason;
				retry = detail.is(RetryInfo.class) ? detail.unpack(RetryInfo.class) : retry;
				quota = quota || detail.is(QuotaFailure.class);
			}
			assertThat(retry).isNotNull();
			assertThat(retry.getRetryDelay().getSeconds() * 1000
					+ (retry.getRetryDelay().getNanos() + 999_999) / 1_000_000)
				.isEqualTo(millis);
			assertThat(quota).isTrue();
			assertThat(reason).isEqualTo("RATE_LIMITED");
			assertThat(trailers.toString()).doesNotContain("\"r\"");
		}
	}

	@Test
	void callWhenCostCanNeverFitThenClientIsToldNotToRetry() {
		InMemoryRateLimiter memory = inMemory();
		RateLimiter dear = (permits) -> memory
			.tryAcquire(permits.stream().map((permit) -> new RateLimitPermit(permit.rule(), permit.key(), 2)).toList());
		try (TestServer server = serve(dear, rule("r", 1, HOUR))) {
			Metadata trailers = CallType.UNARY.call(server.channel()).trailers();

			assertThat(trailers.get(PUSHBACK)).isEqualTo("-1");
			assertThat(trailers.get(RETRY_AFTER)).isNull();
		}
	}

	@Test
	void callWhenRuleAsksForUnavailableThenUnavailableWithTheSameHints() {
		try (TestServer server = serve(inMemory(), code(rule("r", 1, HOUR), Code.UNAVAILABLE))) {
			CallType.UNARY.call(server.channel());
			CallType.Outcome refused = CallType.UNARY.call(server.channel());

			assertThat(refused.code()).isEqualTo(Code.UNAVAILABLE);
			assertThat(refused.trailers().get(PUSHBACK)).isNotNull();
		}
	}

	@ParameterizedTest
	@EnumSource
	void callWhenClientHasARetryPolicyThenItWaitsAsToldAndSucceeds(CallType type) {
		Map<String, Object> policy = Map.of("maxAttempts", 3.0, "initialBackoff", "100s", "maxBackoff", "100s",
				"backoffMultiplier", 1.0, "retryableStatusCodes", List.of("RESOURCE_EXHAUSTED"));
		Map<String, Object> config = Map.of("methodConfig",
				List.of(Map.of("name", List.of(Map.of()), "retryPolicy", policy)));
		List<Metadata> refusals = java.util.Collections.synchronizedList(new ArrayList<>());
		ClientStreamTracer.Factory tracers = new ClientStreamTracer.Factory() {
			@Override
			public ClientStreamTracer newClientStreamTracer(ClientStreamTracer.StreamInfo info, Metadata headers) {
				return new ClientStreamTracer() {
					@Override
					public void inboundHeaders() {
						RateLimitIT.this.headersSeen.incrementAndGet();
					}

					@Override
					public void inboundTrailers(Metadata trailers) {
						if (trailers.containsKey(PUSHBACK)) {
							refusals.add(trailers);
						}
					}
				};
			}
		};
		try (TestServer server = serve(inMemory(), rule("r", 1, Duration.ofMillis(1200)))) {
			ManagedChannel channel = ManagedChannelBuilder.forAddress("127.0.0.1", server.port())
				.usePlaintext()
				.enableRetry()
				.defaultServiceConfig(config)
				.intercept(new ClientInterceptor() {
					@Override
					public <Q, R> ClientCall<Q, R> interceptCall(MethodDescriptor<Q, R> method, CallOptions options,
							Channel next) {
						return next.newCall(method, options.withStreamTracerFactory(tracers));
					}
				})
				.build();
			try {
				assertThat(type.call(channel).code()).isEqualTo(Code.OK);
				this.headersSeen.set(0);
				long start = System.nanoTime();

				assertThat(type.call(channel).code()).isEqualTo(Code.OK);
				long millis = Duration.ofNanos(System.nanoTime() - start).toMillis();

				assertThat(refusals).hasSize(1);
				// The server's word, and not a backoff of the client's own
				assertThat(millis).isBetween(Long.parseLong(refusals.get(0).get(PUSHBACK)),
						Long.parseLong(refusals.get(0).get(PUSHBACK)) + 1000);
				assertThat(this.notes).hasSize(3);
				assertThat(this.service.entered).hasValue(2);
				// Of the attempt that succeeded: a refusal has trailers only
				assertThat(this.headersSeen).hasValue(1);
			}
			finally {
				channel.shutdownNow();
			}
		}
	}

	@ParameterizedTest
	@EnumSource
	void callWhenCancelledWhileItsPermitsArePendingThenHandlerNeverRuns(CallType type) throws Exception {
		CompletableFuture<RateLimitDecision> answer = new CompletableFuture<>();
		CountDownLatch asked = new CountDownLatch(1);
		AtomicReference<List<RateLimitPermit>> permits = new AtomicReference<>();
		RateLimiter pending = (wanted) -> {
			permits.set(wanted);
			asked.countDown();
			return answer;
		};
		try (TestServer server = serve(pending, rule("r", 1, HOUR))) {
			MethodDescriptor<EchoRequest, EchoReply> method = EchoGrpc.getServiceDescriptor()
				.getMethods()
				.stream()
				.filter((candidate) -> candidate.getFullMethodName().equals(type.method()))
				.map((candidate) -> {
					@SuppressWarnings("unchecked")
					MethodDescriptor<EchoRequest, EchoReply> typed = (MethodDescriptor<EchoRequest, EchoReply>) candidate;
					return typed;
				})
				.findFirst()
				.orElseThrow();
			ClientCall<EchoRequest, EchoReply> call = server.channel().newCall(method, CallOptions.DEFAULT);
			call.start(new ClientCall.Listener<>() {
			}, new Metadata());
			call.sendMessage(EchoRequest.newBuilder().setText("a").build());
			call.halfClose();
			assertThat(asked.await(10, TimeUnit.SECONDS)).isTrue();
			assertThat(this.service.entered).hasValue(0);

			call.cancel("enough", null);
			Awaitility.await().until(() -> this.notes.size() == 1);
			answer.complete(RateLimitDecision.of(permits.get(), List.of(Gcra.Debt.NONE)));

			// The next call finds the server well
			assertThat(CallType.UNARY.call(server.channel()).code()).isEqualTo(Code.OK);
			assertThat(this.service.entered).hasValue(1);
		}
	}

	@Test
	void callWhenTwoServersShareALimitThenTheyAdmitExactlyThat() {
		RateLimitRule rule = rule("two", "peer", new Gcra(7, HOUR, 25, 1));
		try (FailoverRateLimiter one = inRedis(connectionFactory, Duration.ofSeconds(5), rule);
				FailoverRateLimiter other = inRedis(connectionFactory, Duration.ofSeconds(5), rule);
				TestServer first = serve(one, rule);
				TestServer second = serve(other, rule)) {
			int admitted = 0;
			for (int i = 0; i < 40; i++) {
				TestServer server = (i % 2 == 0) ? first : second;
				admitted += (CallType.UNARY.call(server.channel()).code() == Code.OK) ? 1 : 0;
			}

			assertThat(admitted).isEqualTo(25);
			assertThat(count("two", Outcome.FALLBACK)).isZero();
		}
	}

	@ParameterizedTest
	@CsvSource({ "LOCAL, OK, RESOURCE_EXHAUSTED", "ALLOW, OK, OK", "DENY, UNAVAILABLE, UNAVAILABLE" })
	void callWhenRedisDiesThenOnFailureDecidesAndRedisIsUsedAgainLater(OnFailure onFailure, Code first, Code later) {
		RateLimitRule rule = onFailure(rule("dying", 3, HOUR), onFailure);
		try (TestRedis mortal = TestRedis.start()) {
			LettuceConnectionFactory factory = mortal.connectionFactory();
			try (FailoverRateLimiter limiter = inRedis(factory, Duration.ofMillis(50), rule);
					TestServer server = serve(limiter, rule)) {
				Awaitility.await().until(() -> {
					CallType.UNARY.call(server.channel());
					return !this.notes.get(this.notes.size() - 1).containsKey("rate_limit.fallback");
				});
				mortal.stop();
				int before = this.notes.size();
				long longest = 0;
				List<Code> codes = new ArrayList<>();
				for (int i = 0; i < 10; i++) {
					long start = System.nanoTime();
					codes.add(CallType.UNARY.call(server.channel()).code());
					longest = Math.max(longest, System.nanoTime() - start);
				}

				assertThat(codes.get(0)).isEqualTo(first);
				assertThat(codes.get(9)).isEqualTo(later);
				assertThat(this.notes.subList(before, before + 10))
					.allMatch((noted) -> noted.containsKey("rate_limit.fallback"));
				assertThat(Duration.ofNanos(longest)).isLessThan(Duration.ofSeconds(1));
				assertThat(count("dying", Outcome.FALLBACK)).isGreaterThanOrEqualTo(10);
				Awaitility.await().until(() -> {
					CallType.UNARY.call(server.channel());
					return limiter.fallbackActive();
				});
				CallType.UNARY.call(server.channel());

				mortal.restart();
				awaitShared(limiter);
				// What was counted meanwhile is not forgotten, though Redis has lost its
				// data
				assertThat(CallType.UNARY.call(server.channel()).code())
					.isEqualTo((onFailure == OnFailure.LOCAL) ? Code.RESOURCE_EXHAUSTED : Code.OK);
				assertThat(this.notes.get(this.notes.size() - 1)).doesNotContainKey("rate_limit.fallback");
			}
			finally {
				factory.destroy();
			}
		}
	}

	@Test
	void callWhenItHasWaitedInOneStageThenTheNextOneHearsOfIt() {
		List<Duration> waits = java.util.Collections.synchronizedList(new ArrayList<>());
		RateLimiter late = new RateLimiter() {
			@Override
			public CompletionStage<RateLimitDecision> tryAcquire(List<RateLimitPermit> permits) {
				throw new IllegalStateException("not asked");
			}

			@Override
			public CompletionStage<RateLimitDecision> tryAcquire(List<RateLimitPermit> permits, Duration waited) {
				waits.add(waited);
				return CompletableFuture.supplyAsync(
						() -> RateLimitDecision.of(permits, permits.stream().map((permit) -> Gcra.Debt.NONE).toList()),
						CompletableFuture.delayedExecutor(30, TimeUnit.MILLISECONDS));
			}
		};
		try (TestServer server = serve(late, rule("peer", 5, HOUR), rule("user", "principal", 5, HOUR))) {
			assertThat(CallType.UNARY.call(server.channel(), user("alice"), "a").code()).isEqualTo(Code.OK);
		}

		assertThat(waits).hasSize(2);
		assertThat(waits.get(0)).isZero();
		assertThat(waits.get(1)).isGreaterThanOrEqualTo(Duration.ofMillis(30));
	}

	@Test
	void callWhenRedisFreezesThenNoCallWaitsLongerThanTheBudgetAndSoonNoneWaits() {
		RateLimitRule rule = onFailure(rule("frozen", 3, HOUR), OnFailure.ALLOW);
		try (TestRedis frozen = TestRedis.start()) {
			LettuceConnectionFactory factory = frozen.connectionFactory();
			try (FailoverRateLimiter limiter = inRedis(factory, Duration.ofMillis(50), rule)) {
				List<RateLimitPermit> permits = TestRules.permits("a", rule);
				frozen.pause();
				int waited = 0;
				for (int i = 0; i < 100; i++) {
					CompletableFuture<RateLimitDecision> answer = limiter.tryAcquire(permits).toCompletableFuture();
					waited += answer.isDone() ? 0 : 1;
					assertThat(answer.orTimeout(2, TimeUnit.SECONDS).join().fallback()).isTrue();
				}
				// Half a second of waiting, 50 ms each, and nobody waits any more
				assertThat(waited).isBetween(5, 15);

				frozen.resume();
				awaitShared(limiter);
			}
			finally {
				frozen.resume();
				factory.destroy();
			}
		}
	}

	@Test
	void installWhenPatternMatchesNoMethodThenServerDoesNotStart() {
		assertThatExceptionOfType(UnmatchedMethodPatternException.class)
			.isThrownBy(() -> serve(inMemory(), methods(rule("r", 1, HOUR), "testing.Echo/*", "bank.*/*")))
			.withMessage("grpc.security.rate-limit.rules: the rule 'r' is for methods 'bank.*/*', "
					+ "but this server has no such method.")
			.satisfies((ex) -> assertThat(ex.methods()).contains("testing.Echo/Unary"));
	}

}
