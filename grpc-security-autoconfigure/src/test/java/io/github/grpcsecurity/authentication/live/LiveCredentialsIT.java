package io.github.grpcsecurity.authentication.live;

import java.time.Duration;
import java.time.Instant;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.atomic.AtomicReference;

import com.google.rpc.ErrorInfo;
import io.github.grpcsecurity.authentication.CredentialCheck;
import io.github.grpcsecurity.server.CallObserver;
import io.github.grpcsecurity.server.CallStage;
import io.github.grpcsecurity.server.GrpcSecurityThreads;
import io.github.grpcsecurity.server.Refusal;
import io.github.grpcsecurity.server.SecuredCall;
import io.github.grpcsecurity.server.SecurityStage;
import io.github.grpcsecurity.server.Verdict;
import io.github.grpcsecurity.testing.CallType;
import io.github.grpcsecurity.testing.EchoGrpc;
import io.github.grpcsecurity.testing.EchoReply;
import io.github.grpcsecurity.testing.EchoRequest;
import io.github.grpcsecurity.testing.EchoService;
import io.github.grpcsecurity.testing.OpenEndedService;
import io.github.grpcsecurity.testing.RecordingObserver;
import io.github.grpcsecurity.testing.TestCredentials;
import io.github.grpcsecurity.testing.TestServer;
import io.github.grpcsecurity.testing.TestStage;
import io.grpc.CallOptions;
import io.grpc.ClientCall;
import io.grpc.Metadata;
import io.grpc.Status;
import io.grpc.protobuf.ProtoUtils;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

@Tag("alone")
class LiveCredentialsIT {

	private static final Metadata.Key<com.google.rpc.Status> DETAILS = Metadata.Key.of("grpc-status-details-bin",
			ProtoUtils.metadataMarshaller(com.google.rpc.Status.getDefaultInstance()));

	private static final Instant START = Instant.parse("2026-03-01T09:00:00Z");

	private static final Duration SKEW = Duration.ofSeconds(30);

	private final AtomicReference<Instant> now = new AtomicReference<>(START);

	private final AtomicReference<Refusal> refusal = new AtomicReference<>();

	private final GrpcSecurityThreads threads = new GrpcSecurityThreads();

	private final CredentialCheck check = (credential) -> this.refusal.get();

	private final OpenEndedService service = new OpenEndedService();

	private final RecordingObserver observer = new RecordingObserver();

	private LiveCredentials live = live(true);

	private LiveCredentials live(boolean endExpired) {
		return new LiveCredentials(endExpired, SKEW, List.of(this.check), this.threads, this.now::get);
	}

	@AfterEach
	void close() {
		this.live.close();
		this.threads.close();
	}

	private TestServer serve() {
		return TestServer.inProcess(this.service, List.<CallStage>of(TestCredentials.stage(), this.live),
				this.observer);
	}

	private CompletableFuture<CallType.Outcome> open(TestServer server, CallType type, String... headers) {
		int before = this.service.open.get();
		CompletableFuture<CallType.Outcome> call = CompletableFuture.supplyAsync(
				() -> type.call(server.channel(), TestCredentials.headers(headers), "hello"), this.threads.executor());
		await().pollInterval(Duration.ofMillis(5)).until(() -> this.service.open.get() > before || call.isDone());
		return call;
	}

	private static CallType.Outcome get(CompletableFuture<CallType.Outcome> call) {
		try {
			return call.get(10, TimeUnit.SECONDS);
		}
		catch (Exception ex) {
			throw new AssertionError(ex);
		}
	}

	/** Several ticks of the timer. */
	private static void assertOpenFor(CompletableFuture<?> call, Duration time) {
		await().during(time).pollInterval(Duration.ofMillis(10)).until(() -> !call.isDone());
	}

	private static String errorReason(CallType.Outcome outcome) throws Exception {
		com.google.rpc.Status details = outcome.trailers().get(DETAILS);
		if (details == null) {
			return null;
		}
		ErrorInfo info = details.getDetails(0).unpack(ErrorInfo.class);
		assertThat(info.getDomain()).isEqualTo("grpc.security");
		assertThat(info.getMetadataMap()).isEmpty();
		return info.getReason();
	}

	@ParameterizedTest
	@EnumSource
	void callWhenTokenRunsOutThenEndsAfterTheSkew(CallType type) throws Exception {
		try (TestServer server = serve()) {
			CompletableFuture<CallType.Outcome> call = open(server, type, "kind", "jwt", "exp",
					START.plusSeconds(60).toString());
			this.now.set(START.plusSeconds(89));
			assertOpenFor(call, Duration.ofMillis(200));
			assertThat(this.live.watched()).isEqualTo(1);
			this.now.set(START.plusSeconds(90));
			CallType.Outcome outcome = get(call);

			assertThat(outcome.code()).isEqualTo(Status.Code.UNAUTHENTICATED);
			assertThat(outcome.status().getDescription()).isEqualTo("authentication failed");
			assertThat(errorReason(outcome)).isEqualTo("CREDENTIAL_EXPIRED");
			await().until(() -> this.observer.closed.size() == 1 && this.service.cancelled.get() == 1);
			assertThat(this.observer.closed.get(0).call().endedBy().reason())
				.isEqualTo("CREDENTIAL_EXPIRED: jwt ran out at 2026-03-01T09:01:00Z");
			assertThat(this.live.watched()).isZero();
			assertThat(this.live.endedByExpiry()).isEqualTo(1);
			assertThat(this.live.endedByRevocation()).isZero();
		}
	}

	@ParameterizedTest
	@CsvSource({ "jwt,30", "opaque-token,30", "api-key,0", "certificate,0", "basic,0", "own,0" })
	void callWhenCredentialIsNoTokenThenThereIsNoSkew(String kind, int skew) {
		try (TestServer server = serve()) {
			CompletableFuture<CallType.Outcome> call = open(server, CallType.BIDI, "kind", kind, "exp",
					START.plusSeconds(60).toString());
			this.now.set(START.plusSeconds(59 + skew).plusMillis(999));
			assertOpenFor(call, Duration.ofMillis(200));
			this.now.set(START.plusSeconds(60 + skew));
			assertThat(get(call).code()).isEqualTo(Status.Code.UNAUTHENTICATED);
		}
	}

	@ParameterizedTest
	@EnumSource
	void callWhenCredentialIsOutBeforeTheHandlerStartsThenLikeAnyBadCredential(CallType type) throws Exception {
		try (TestServer server = serve()) {
			CallType.Outcome outcome = type.call(server.channel(),
					TestCredentials.headers("kind", "api-key", "exp", START.toString()), "hello");

			assertThat(outcome.code()).isEqualTo(Status.Code.UNAUTHENTICATED);
			assertThat(errorReason(outcome)).isNull();
			assertThat(this.service.open).hasValue(0);
			await().until(() -> this.live.watched() == 0);
		}
	}

	@Test
	void callWhenItStartsInTheLastMillisecondThenItEndsAMillisecondLater() throws Exception {
		try (TestServer server = serve()) {
			CompletableFuture<CallType.Outcome> call = open(server, CallType.BIDI, "kind", "api-key", "exp",
					START.plusMillis(1).toString());
			this.now.set(START.plusMillis(1));
			assertThat(errorReason(get(call))).isEqualTo("CREDENTIAL_EXPIRED");
		}
	}

	@Test
	void callWhenCredentialNeverRunsOutThenStaysOpen() {
		try (TestServer server = serve()) {
			CompletableFuture<CallType.Outcome> far = open(server, CallType.BIDI, "kind", "jwt", "exp",
					Instant.MAX.toString());
			CompletableFuture<CallType.Outcome> never = open(server, CallType.BIDI, "kind", "jwt");
			CompletableFuture<CallType.Outcome> soon = open(server, CallType.BIDI, "kind", "api-key", "exp",
					START.plusSeconds(1).toString());
			this.now.set(START.plus(Duration.ofDays(10_000)));
			get(soon);

			assertThat(far).isNotDone();
			assertThat(never).isNotDone();
			assertThat(this.live.watched()).isEqualTo(2);
		}
	}

	@Test
	void callWhenTheClockIsSetBackThenItIsFollowed() {
		try (TestServer server = serve()) {
			CompletableFuture<CallType.Outcome> first = open(server, CallType.BIDI, "kind", "api-key", "exp",
					START.plusSeconds(60).toString());
			CompletableFuture<CallType.Outcome> tick = open(server, CallType.BIDI, "kind", "api-key", "exp",
					START.plusSeconds(10).toString());
			this.now.set(START.plusSeconds(10));
			get(tick);
			this.now.set(START.minus(Duration.ofDays(1)));
			CompletableFuture<CallType.Outcome> second = open(server, CallType.BIDI, "kind", "api-key", "exp",
					START.minus(Duration.ofDays(1)).plusSeconds(1).toString());
			this.now.set(START.minus(Duration.ofDays(1)).plusSeconds(1));
			get(second);
			assertThat(first).isNotDone();
			this.now.set(START.plus(Duration.ofDays(3)));

			assertThat(get(first).code()).isEqualTo(Status.Code.UNAUTHENTICATED);
		}
	}

	@Test
	void callWhenExpiryIsIgnoredThenGoesOn() {
		this.live = live(false);
		try (TestServer server = serve()) {
			CompletableFuture<CallType.Outcome> call = open(server, CallType.BIDI, "kind", "jwt", "exp",
					START.plusSeconds(1).toString());
			this.now.set(START.plus(Duration.ofDays(1)));
			assertOpenFor(call, Duration.ofMillis(300));
			assertThat(this.live.watched()).isEqualTo(1);
		}
	}

	@Test
	void callWhenAnonymousThenNotWatched() {
		this.refusal.set(Refusal.unauthenticated("never asked"));
		try (TestServer server = TestServer.inProcess(new EchoService(),
				List.<CallStage>of(TestCredentials.stage(), this.live))) {
			assertThat(CallType.UNARY.call(server.channel()).code()).isEqualTo(Status.Code.OK);
		}
	}

	@ParameterizedTest
	@EnumSource
	void callWhenCheckRefusesLaterThenEnds(CallType type) throws Exception {
		try (TestServer server = serve()) {
			CompletableFuture<CallType.Outcome> call = open(server, type, "kind", "jwt");
			this.refusal.set(Refusal.unavailable("cannot decide"));
			this.live.recheck();
			assertOpenFor(call, Duration.ofMillis(200));
			this.refusal.set(Refusal.unauthenticated("gone"));
			this.live.recheck();
			CallType.Outcome outcome = get(call);

			assertThat(outcome.code()).isEqualTo(Status.Code.UNAUTHENTICATED);
			assertThat(errorReason(outcome)).isEqualTo("CREDENTIAL_REVOKED");
			await().until(() -> this.observer.closed.size() == 1);
			assertThat(this.observer.closed.get(0).call().endedBy().reason()).isEqualTo("CREDENTIAL_REVOKED: gone");
			assertThat(this.live.endedByRevocation()).isEqualTo(1);
		}
	}

	@ParameterizedTest
	@EnumSource
	void callWhenCheckRefusesAtTheStartThenNothingTellsWhy(CallType type) throws Exception {
		this.refusal.set(Refusal.unauthenticated("gone"));
		try (TestServer server = serve()) {
			CallType.Outcome outcome = type.call(server.channel(), TestCredentials.headers("kind", "jwt"), "hello");

			assertThat(outcome.code()).isEqualTo(Status.Code.UNAUTHENTICATED);
			assertThat(errorReason(outcome)).isNull();
			assertThat(this.service.open).hasValue(0);
		}
	}

	@ParameterizedTest
	@EnumSource
	void endIfWhenKeyIsDisabledThenItsOpenCallsEndAndOthersDoNot(CallType type) throws Exception {
		try (TestServer server = serve()) {
			CompletableFuture<CallType.Outcome> disabled = open(server, type, "kind", "api-key", "jti", "partner-7");
			CompletableFuture<CallType.Outcome> other = open(server, type, "kind", "api-key", "jti", "partner-8");
			int ended = this.live.endIf((credential) -> "partner-7".equals(credential.id()),
					LiveCredentials.revoked("the API key was disabled"));

			assertThat(ended).isEqualTo(1);
			assertThat(errorReason(get(disabled))).isEqualTo("CREDENTIAL_REVOKED");
			assertThat(other).isNotDone();
			CompletableFuture<CallType.Outcome> later = open(server, type, "kind", "api-key", "jti", "partner-7");
			assertThat(later).as("starts after the key was enabled again").isNotDone();
		}
	}

	@Test
	void endIfWhenCallIsBeingAuthenticatedThenItIsRefused() {
		CompletableFuture<Verdict> pending = new CompletableFuture<>();
		CountDownLatch waiting = new CountDownLatch(1);
		CallStage slow = TestStage.check(SecurityStage.AUTHENTICATION, (call) -> {
			waiting.countDown();
			return Verdict.pending(pending);
		});
		try (TestServer server = TestServer.inProcess(this.service,
				List.of(TestCredentials.stage(), slow, this.live))) {
			CompletableFuture<CallType.Outcome> call = CompletableFuture.supplyAsync(
					() -> CallType.UNARY.call(server.channel(),
							TestCredentials.headers("kind", "api-key", "jti", "partner-7"), "hello"),
					this.threads.executor());
			assertThat(waiting.await(10, TimeUnit.SECONDS)).isTrue();
			this.live.endIf((credential) -> "partner-7".equals(credential.id()), LiveCredentials.revoked("disabled"));
			pending.complete(Verdict.proceed());

			assertThat(get(call).code()).isEqualTo(Status.Code.UNAUTHENTICATED);
			assertThat(this.service.open).hasValue(0);
		}
		catch (InterruptedException ex) {
			throw new AssertionError(ex);
		}
	}

	@Test
	void callsWhenTenThousandRunOutTogetherThenAllEndWithinAQuarterOfASecond() throws Exception {
		int count = 10_000;
		AtomicInteger closed = new AtomicInteger();
		AtomicLong last = new AtomicLong();
		CallObserver ends = new CallObserver() {
			@Override
			public void closed(SecuredCall call, Status status) {
				last.accumulateAndGet(System.nanoTime(), Math::max);
				closed.incrementAndGet();
			}
		};
		Duration best = Duration.ofDays(1);
		Duration bestScan = best;
		try (TestServer server = TestServer.inProcess(this.service,
				List.<CallStage>of(TestCredentials.stage(), this.live), ends)) {
			// The machine may be busy, and code that has just been loaded is slow
			for (int round = 1; round <= 4; round++) {
				last.set(Long.MIN_VALUE);
				Instant exp = this.now.get().plusSeconds(60);
				for (int i = 0; i < count; i++) {
					ClientCall<EchoRequest, EchoReply> call = server.channel()
						.newCall(EchoGrpc.getBidiMethod(), CallOptions.DEFAULT);
					call.start(new ClientCall.Listener<>() {
					}, TestCredentials.headers("kind", "jwt", "iss", "https://idp.example", "sub", "user-" + i, "exp",
							exp.toString()));
					call.request(1);
				}
				int all = round * count;
				await().atMost(Duration.ofSeconds(60)).until(() -> this.service.open.get() == all);
				assertThat(this.live.watched()).isEqualTo(count);
				long scan = System.nanoTime();
				this.live.endIf((credential) -> "nobody".equals(credential.id()), LiveCredentials.revoked("no"));
				Duration scanned = Duration.ofNanos(System.nanoTime() - scan);
				long start = System.nanoTime();
				this.now.set(exp.plus(SKEW));
				await().atMost(Duration.ofSeconds(30)).until(() -> closed.get() == all);
				Duration taken = Duration.ofNanos(last.get() - start);
				System.out.printf("10,000 open calls: looked at in %.2f ms; all ended %d ms after they ran out%n",
						scanned.toNanos() / 1e6, taken.toMillis());
				best = (taken.compareTo(best) < 0) ? taken : best;
				bestScan = (scanned.compareTo(bestScan) < 0) ? scanned : bestScan;
				await().until(() -> this.live.watched() == 0 && this.live.endedByExpiry() == all);
			}
		}

		// A generous bound: what was measured stands in the page about it
		assertThat(best).isLessThan(Duration.ofSeconds(2));
		assertThat(bestScan).isLessThan(Duration.ofMillis(100));
	}

}
