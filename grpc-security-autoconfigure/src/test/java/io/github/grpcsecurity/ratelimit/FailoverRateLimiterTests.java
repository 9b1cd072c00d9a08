package io.github.grpcsecurity.ratelimit;

import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.ScheduledThreadPoolExecutor;
import java.util.concurrent.TimeUnit;

import io.github.grpcsecurity.ratelimit.RateLimitRule.OnFailure;
import org.awaitility.Awaitility;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;

import org.springframework.boot.test.system.CapturedOutput;
import org.springframework.boot.test.system.OutputCaptureExtension;

import static io.github.grpcsecurity.ratelimit.TestRules.onFailure;
import static io.github.grpcsecurity.ratelimit.TestRules.permits;
import static io.github.grpcsecurity.ratelimit.TestRules.rule;
import static io.github.grpcsecurity.ratelimit.TestRules.shadow;
import static org.assertj.core.api.Assertions.assertThat;

@ExtendWith(OutputCaptureExtension.class)
class FailoverRateLimiterTests {

	private static final Duration HOUR = Duration.ofHours(1);

	private final TestClock clock = new TestClock();

	private final ScheduledThreadPoolExecutor timer = new ScheduledThreadPoolExecutor(1);

	private final FakePermits shared = new FakePermits();

	private final RateLimitRule local = rule("local", 4, HOUR);

	private final RateLimitRule allow = onFailure(rule("allow", 4, HOUR), OnFailure.ALLOW);

	private final RateLimitRule deny = onFailure(rule("deny", 4, HOUR), OnFailure.DENY);

	@AfterEach
	void stop() {
		this.timer.shutdownNow();
	}

	private FailoverRateLimiter limiter(int servers, RateLimitRule... more) {
		List<RateLimitRule> rules = new ArrayList<>(List.of(this.local, this.allow, this.deny));
		rules.addAll(List.of(more));
		return new FailoverRateLimiter(this.shared, new InMemoryRateLimiter(100, this.clock), rules, servers,
				Duration.ofMillis(20), this.timer, this.clock);
	}

	private FailoverRateLimiter connected() {
		FailoverRateLimiter limiter = limiter(1);
		limiter.connect();
		return limiter;
	}

	private static RateLimitDecision get(CompletionStage<RateLimitDecision> stage) {
		return stage.toCompletableFuture().orTimeout(10, TimeUnit.SECONDS).join();
	}

	@Test
	void tryAcquireWhenSharedAnswersThenItsAnswerCounts() {
		RateLimitDecision decision = get(connected().tryAcquire(permits("a", this.deny)));

		assertThat(decision.permitted()).isTrue();
		assertThat(decision.fallback()).isFalse();
		assertThat(this.shared.asked).isEqualTo(2);
	}

	@Test
	void tryAcquireWhenSharedIsSilentThenDecidedWithinBudgetAndCommandCancelled() {
		FailoverRateLimiter limiter = connected();
		this.shared.mode = Mode.SILENT;
		long start = System.nanoTime();

		RateLimitDecision decision = get(limiter.tryAcquire(permits("a", this.local)));

		assertThat(decision.fallback()).isTrue();
		assertThat(decision.permitted()).isTrue();
		assertThat(Duration.ofNanos(System.nanoTime() - start)).isGreaterThanOrEqualTo(Duration.ofMillis(20))
			.isLessThan(Duration.ofSeconds(2));
		assertThat(this.shared.pending).allMatch(CompletableFuture::isCancelled);
	}

	@Test
	void tryAcquireWhenSharedFailsThenEachRuleDoesWhatItsOnFailureSays() {
		FailoverRateLimiter limiter = connected();
		this.shared.mode = Mode.FAILING;

		RateLimitDecision allowed = get(limiter.tryAcquire(permits("a", this.allow)));
		RateLimitDecision denied = get(limiter.tryAcquire(permits("a", this.local, this.deny)));
		RateLimitDecision shadowed = get(limiter.tryAcquire(permits("a", shadow(this.deny))));

		assertThat(allowed.permitted()).isTrue();
		assertThat(allowed.fallback()).isTrue();
		assertThat(denied.permitted()).isFalse();
		assertThat(denied.undecided()).isSameAs(this.deny);
		assertThat(shadowed.permitted()).isTrue();
		for (int i = 0; i < 4; i++) {
			assertThat(get(limiter.tryAcquire(permits("a", this.local, this.allow))).permitted()).isTrue();
		}
		RateLimitDecision over = get(limiter.tryAcquire(permits("a", this.local, this.allow)));
		assertThat(over.permitted()).isFalse();
		assertThat(over.denial().retryAfter()).isEqualTo(Duration.ofMinutes(15));
	}

	@Test
	void tryAcquireWhenSharedFailsThenPermitsTakenBeforeAreNotHandedOutAgain() {
		FailoverRateLimiter limiter = connected();
		for (int i = 0; i < 3; i++) {
			this.shared.owed = this.local.gcra().price(i);
			get(limiter.tryAcquire(permits("a", this.local)));
		}
		this.shared.mode = Mode.FAILING;

		assertThat(get(limiter.tryAcquire(permits("a", this.local))).permitted()).isTrue();
		assertThat(get(limiter.tryAcquire(permits("a", this.local))).permitted()).isFalse();
	}

	@Test
	void tryAcquireWhenOthersHaveUsedUpALimitThenItsEndIsNoNewBurstHere() {
		FailoverRateLimiter limiter = connected();
		this.shared.owed = this.local.gcra().price(3);
		get(limiter.tryAcquire(permits("a", this.local)));
		this.shared.mode = Mode.FAILING;

		assertThat(get(limiter.tryAcquire(permits("a", this.local))).permitted()).isFalse();
		this.clock.advance(Duration.ofMinutes(15));
		assertThat(get(limiter.tryAcquire(permits("a", this.local))).permitted()).isTrue();
	}

	@Test
	void tryAcquireWhenOneServerServesACallerThenAnOutageCostsTheCallerWhatItWasHandedOut() {
		RateLimitRule daily = rule("daily", 1000, Duration.ofDays(1));
		FailoverRateLimiter limiter = limiter(4, daily);
		limiter.connect();
		Gcra gcra = daily.gcra();
		for (int i = 0; i < 300; i++) {
			this.shared.owed = gcra.price(i);
			assertThat(get(limiter.tryAcquire(permits("a", daily))).permitted()).isTrue();
		}
		this.shared.mode = Mode.FAILING;
		// It is late once, which is no reason to refuse
		assertThat(get(limiter.tryAcquire(permits("a", daily))).permitted()).isTrue();
		this.shared.mode = Mode.ANSWERING;
		this.shared.owed = gcra.price(300);
		assertThat(get(limiter.tryAcquire(permits("a", daily))).fallback()).isFalse();
		outage(limiter);
		int admitted = 0;
		while (get(limiter.tryAcquire(permits("a", daily))).permitted()) {
			admitted++;
		}

		// A quarter of what the caller had left
		assertThat(admitted).isBetween(173, 175);
		assertThat(this.shared.told.get("a")).isBetween(gcra.price(admitted - 1).whole(), gcra.price(admitted).whole());
	}

	@Test
	void tryAcquireWhenAllServersServeACallerThenAnOutageIsNoNewBurst() {
		RateLimitRule daily = rule("daily", 1000, Duration.ofDays(1));
		FailoverRateLimiter limiter = limiter(4, daily);
		limiter.connect();
		outage(limiter);
		int admitted = 0;
		while (get(limiter.tryAcquire(permits("a", daily))).permitted()) {
			admitted++;
		}

		assertThat(admitted).isEqualTo(250);
		// Four times that is the burst
		assertThat(this.shared.told.get("a")).isEqualTo(daily.gcra().price(250).whole());
	}

	@Test
	void tryAcquireWhenTooManyKeysOweSomethingThenThoseThatShareAPlaceAreToldForThemselves() {
		RateLimitRule daily = rule("daily", 1000, Duration.ofDays(1));
		FailoverRateLimiter limiter = new FailoverRateLimiter(this.shared, new InMemoryRateLimiter(1, this.clock),
				List.of(daily), 1, Duration.ofMillis(20), this.timer, this.clock);
		limiter.connect();
		get(limiter.tryAcquire(permits("first", daily)));
		this.shared.owed = daily.gcra().price(1000);
		// It has used up everything, and finds no place of its own
		assertThat(get(limiter.tryAcquire(permits("second", daily))).permitted()).isFalse();
		outage(limiter);

		assertThat(get(limiter.tryAcquire(permits("third", daily))).permitted()).isTrue();

		assertThat(this.shared.told.get("third")).isEqualTo(daily.gcra().price(1).whole());
	}

	@Test
	void tryAcquireWhenALimitIsUsedUpThenAShareOfItIsToo() {
		RateLimitRule tight = rule("tight", 5, Duration.ofSeconds(1));
		FailoverRateLimiter limiter = limiter(4, tight);
		limiter.connect();
		this.shared.owed = tight.gcra().price(5);
		assertThat(get(limiter.tryAcquire(permits("a", tight))).permitted()).isFalse();
		this.shared.mode = Mode.FAILING;

		// Four servers have one permit, and each of them a quarter, though a burst of two
		this.clock.advance(Duration.ofMillis(200));
		assertThat(get(limiter.tryAcquire(permits("a", tight))).permitted()).isFalse();
		this.clock.advance(Duration.ofMillis(600));
		assertThat(get(limiter.tryAcquire(permits("a", tight))).permitted()).isTrue();
	}

	@Test
	void tryAcquireWhenHalfOfTheBytesAreUsedThenServersShareTheOtherHalf() {
		RateLimitRule bytes = TestRules.bytes(rule("bytes", 1000, Duration.ofSeconds(1)),
				RateLimitRule.OnExceed.REJECT);
		FailoverRateLimiter limiter = limiter(4, bytes);
		limiter.connect();
		this.shared.owed = bytes.gcra().price(499);
		get(limiter.tryAcquire(permits("a", bytes)));
		this.shared.mode = Mode.FAILING;

		assertThat(get(limiter.tryAcquire(List.of(new RateLimitPermit(bytes, "a", 126)))).permitted()).isFalse();
		assertThat(get(limiter.tryAcquire(List.of(new RateLimitPermit(bytes, "a", 125)))).permitted()).isTrue();
		// A key of which nothing is known has room for any message
		assertThat(get(limiter.tryAcquire(List.of(new RateLimitPermit(bytes, "b", 1000)))).permitted()).isTrue();
	}

	/** Nobody asks any more. */
	private void outage(FailoverRateLimiter limiter) {
		this.shared.mode = Mode.FAILING;
		for (int i = 0; i < 6; i++) {
			get(limiter.tryAcquire(permits("other", this.allow)));
			this.clock.advance(Duration.ofMillis(100));
		}
		assertThat(limiter.fallbackActive()).isTrue();
	}

	@Test
	void tryAcquireWhenSeveralInstancesAreExpectedThenEachHandsOutItsPart() {
		this.shared.mode = Mode.FAILING;
		FailoverRateLimiter limiter = limiter(2);

		assertThat(get(limiter.tryAcquire(permits("a", this.local))).permitted()).isTrue();
		assertThat(get(limiter.tryAcquire(permits("a", this.local))).permitted()).isTrue();
		RateLimitDecision denied = get(limiter.tryAcquire(permits("a", this.local)));
		assertThat(denied.permitted()).isFalse();
		assertThat(denied.denial().retryAfter()).isEqualTo(Duration.ofMinutes(30));
	}

	@Test
	void tryAcquireWhenABurstFailsThenSharedIsAskedAgainAsSoonAsItAnswers() {
		FailoverRateLimiter limiter = connected();
		this.shared.mode = Mode.FAILING;
		for (int i = 0; i < 100; i++) {
			get(limiter.tryAcquire(permits("k" + i, this.local)));
		}
		this.clock.advance(Duration.ofMillis(499));
		get(limiter.tryAcquire(permits("k", this.local)));

		this.shared.mode = Mode.ANSWERING;

		assertThat(get(limiter.tryAcquire(permits("l", this.local))).fallback()).isFalse();
	}

	@Test
	void tryAcquireWhenAllFailsForHalfASecondThenNobodyAsksUntilAProbeSucceeds(CapturedOutput output) {
		FailoverRateLimiter limiter = connected();
		this.shared.mode = Mode.FAILING;
		int before = this.shared.asked;
		for (int i = 0; i < 4; i++) {
			get(limiter.tryAcquire(permits("j" + i, this.local)));
		}
		this.clock.advance(Duration.ofMillis(500));
		for (int i = 0; i < 100; i++) {
			get(limiter.tryAcquire(permits("k" + i, this.local)));
		}
		assertThat(this.shared.asked - before).isEqualTo(5);
		assertThat(output.toString().split("on-failure says: java.lang.IllegalStateException: down", -1)).hasSize(2);

		this.clock.advance(Duration.ofSeconds(1));
		for (int i = 0; i < 10; i++) {
			assertThat(get(limiter.tryAcquire(permits("l" + i, this.local))).fallback()).isTrue();
		}
		assertThat(this.shared.asked - before).isEqualTo(6);

		this.shared.mode = Mode.ANSWERING;
		assertThat(get(limiter.tryAcquire(permits("m", this.local))).fallback()).isTrue();
		this.clock.advance(Duration.ofSeconds(1));
		get(limiter.tryAcquire(permits("m", this.local)));
		assertThat(get(limiter.tryAcquire(permits("m", this.local))).fallback()).isFalse();
		assertThat(output).contains("Shared rate limits can be asked for again");
	}

	@Test
	void tryAcquireWhenOneOfSeveralPlacesIsDownThenTheOthersAreStillAsked(CapturedOutput output) {
		FailoverRateLimiter limiter = connected();
		this.shared.down.add("place-a");
		for (int i = 0; i < 6; i++) {
			assertThat(get(limiter.tryAcquire(permits("a", this.allow))).fallback()).isTrue();
			assertThat(get(limiter.tryAcquire(permits("b", this.allow))).fallback()).isFalse();
			this.clock.advance(Duration.ofMillis(100));
		}
		assertThat(limiter.fallbackActive()).isTrue();
		assertThat(output).contains("Shared rate limits cannot be asked for at place-a; each rule does what its"
				+ " on-failure says: java.lang.IllegalStateException: down");
		int before = this.shared.asked;

		for (int i = 0; i < 100; i++) {
			assertThat(get(limiter.tryAcquire(permits("a", this.allow))).fallback()).isTrue();
		}

		assertThat(this.shared.asked).isEqualTo(before);
		assertThat(get(limiter.tryAcquire(permits("b", this.allow))).fallback()).isFalse();
		this.shared.down.clear();
		this.clock.advance(Duration.ofMillis(500));
		Awaitility.await().until(() -> !get(limiter.tryAcquire(permits("a", this.allow))).fallback());
		assertThat(this.shared.samples).extracting(RateLimitPermit::key).containsOnly("a");
		assertThat(limiter.fallbackActive()).isFalse();
		assertThat(output).contains("Shared rate limits can be asked for again at place-a");
	}

	private FailoverRateLimiter withoutPlaceA() {
		FailoverRateLimiter limiter = connected();
		this.shared.down.add("place-a");
		for (int i = 0; i < 6; i++) {
			get(limiter.tryAcquire(permits("a", this.allow)));
			this.clock.advance(Duration.ofMillis(100));
		}
		assertThat(limiter.fallbackActive()).isTrue();
		return limiter;
	}

	@Test
	void tryAcquireWhenACallNeedsAPlaceThatIsDownThenTheOthersAreAskedAllTheSame() {
		FailoverRateLimiter limiter = withoutPlaceA();
		List<RateLimitPermit> both = List.of(permits("b", this.deny).get(0), permits("a", this.local).get(0));

		for (int i = 0; i < 4; i++) {
			RateLimitDecision decision = get(limiter.tryAcquire(both));
			assertThat(decision.permitted()).isTrue();
			assertThat(decision.fallback()).isTrue();
			assertThat(decision.results()).hasSize(2);
			assertThat(decision.withoutStore(this.local)).isTrue();
			assertThat(decision.withoutStore(this.deny)).isFalse();
			assertThat(decision.withoutStore(this.allow)).isTrue();
		}
		int before = this.shared.asked;
		RateLimitDecision refused = get(limiter.tryAcquire(both));

		assertThat(refused.permitted()).isFalse();
		assertThat(refused.denial().rule().name()).isEqualTo("local");
		// What would be refused in any case takes nothing from the others
		assertThat(this.shared.asked).isEqualTo(before);
		assertThat(this.shared.told).containsOnlyKeys("a");
	}

	@Test
	void tryAcquireWhenAPlaceThatIsWellRefusesThenNothingIsTakenInPlaceOfTheOther() {
		FailoverRateLimiter limiter = withoutPlaceA();
		List<RateLimitPermit> both = List.of(permits("b", this.deny).get(0), permits("a", this.local).get(0));
		this.shared.refusing = true;
		for (int i = 0; i < 10; i++) {
			RateLimitDecision decision = get(limiter.tryAcquire(both));
			assertThat(decision.permitted()).isFalse();
			assertThat(decision.denial().rule()).isSameAs(this.deny);
		}
		assertThat(this.shared.told).isEmpty();
		this.shared.refusing = false;

		for (int i = 0; i < 4; i++) {
			assertThat(get(limiter.tryAcquire(both)).permitted()).isTrue();
		}
		assertThat(get(limiter.tryAcquire(both)).permitted()).isFalse();
	}

	@Test
	void tryAcquireWhenAnOutageLastsThenProbesAreFewer() {
		FailoverRateLimiter limiter = connected();
		this.shared.mode = Mode.FAILING;
		for (int i = 0; i < 6; i++) {
			get(limiter.tryAcquire(permits("k" + i, this.local)));
			this.clock.advance(Duration.ofMillis(100));
		}
		int young = probes(limiter, Duration.ofSeconds(3));
		probes(limiter, Duration.ofSeconds(3));
		int old = probes(limiter, Duration.ofSeconds(3));

		assertThat(young).isBetween(10, 12);
		assertThat(old).isBetween(3, 4);
	}

	private int probes(FailoverRateLimiter limiter, Duration time) {
		int before = this.shared.asked;
		for (int i = 0; i < time.toMillis() / 50; i++) {
			get(limiter.tryAcquire(permits("k", this.local)));
			this.clock.advance(Duration.ofMillis(50));
		}
		return this.shared.asked - before;
	}

	@Test
	void fallbackActiveWhenNobodyCallsThenEndsAllTheSame() {
		this.shared.mode = Mode.FAILING;
		try (FailoverRateLimiter limiter = new FailoverRateLimiter(this.shared,
				new InMemoryRateLimiter(100, System::nanoTime), List.of(this.local), 1, Duration.ofSeconds(5),
				this.timer, System::nanoTime)) {
			limiter.connect();
			Awaitility.await().until(() -> this.shared.asked > 1);

			this.shared.mode = Mode.ANSWERING;

			Awaitility.await().until(() -> !limiter.fallbackActive());
		}
	}

	@Test
	void tryAcquireWhenACallHasWaitedBeforeThenItWaitsForTheRestOfTheBudgetOnly() {
		FailoverRateLimiter limiter = connected();
		this.shared.mode = Mode.SILENT;
		int before = this.shared.asked;

		assertThat(limiter.tryAcquire(permits("a", this.local), Duration.ofMillis(20)).toCompletableFuture()).isDone();
		assertThat(this.shared.asked).isEqualTo(before);
		assertThat(this.shared.overdrawn).containsExactly("a false");
		assertThat(limiter.tryAcquire(permits("a", this.allow), Duration.ofMillis(19)).toCompletableFuture())
			.isNotDone();
		// What is at hand, or answers at once, costs no time
		this.shared.mode = Mode.ANSWERING;
		assertThat(get(limiter.tryAcquire(permits("a", this.allow), Duration.ofMillis(19))).fallback()).isFalse();
	}

	@Test
	void tryAcquireWhenSharedIsLateThenItHearsWhatWasHandedOut() {
		FailoverRateLimiter limiter = connected();
		this.shared.mode = Mode.SILENT;
		for (int i = 0; i < 6; i++) {
			get(limiter.tryAcquire(permits("a", this.local, this.allow)));
		}

		// What rules let pass uncounted, and what the local count refused, is not owed
		assertThat(this.shared.overdrawn).containsExactly("a true", "a true", "a true", "a true");
	}

	@Test
	void tryAcquireWhenFailuresAreNotInARowThenSharedIsStillAsked() {
		FailoverRateLimiter limiter = connected();
		for (int i = 0; i < 20; i++) {
			this.shared.mode = (i % 5 == 4) ? Mode.ANSWERING : Mode.FAILING;
			get(limiter.tryAcquire(permits("k" + i, this.local)));
		}

		assertThat(this.shared.asked).isEqualTo(21);
	}

	@Test
	void tryAcquireWhenProbeIsTooSlowThenSharedIsNotAsked() {
		this.shared.mode = Mode.SILENT;
		FailoverRateLimiter limiter = connected();
		this.shared.pending.get(0).handle((decision, failure) -> failure).orTimeout(10, TimeUnit.SECONDS).join();

		assertThat(get(limiter.tryAcquire(permits("a", this.allow))).fallback()).isTrue();
		assertThat(this.shared.asked).isEqualTo(1);
	}

	@Test
	void tryAcquireWhenSharedThrowsThenItIsAFailure() {
		FailoverRateLimiter limiter = connected();
		this.shared.mode = Mode.THROWING;

		assertThat(get(limiter.tryAcquire(permits("a", this.allow))).fallback()).isTrue();
	}

	@Test
	void tryAcquireWhenTimerIsGoneThenDecidedAtOnce() {
		FailoverRateLimiter limiter = connected();
		this.shared.mode = Mode.SILENT;
		this.timer.shutdownNow();

		assertThat(limiter.tryAcquire(permits("a", this.allow)).toCompletableFuture()).isDone();
	}

	@Test
	void closeWhenClosedThenSharedIsClosed() {
		connected().close();

		assertThat(this.shared.closed).isTrue();
	}

	private enum Mode {

		ANSWERING, SILENT, FAILING, THROWING

	}

	private static final class FakePermits implements SharedPermits {

		private final List<CompletableFuture<RateLimitDecision>> pending = new ArrayList<>();

		private volatile Mode mode = Mode.ANSWERING;

		private volatile int asked;

		private volatile boolean refusing;

		private Gcra.Debt owed = Gcra.Debt.NONE;

		private boolean closed;

		private final Set<String> down = ConcurrentHashMap.newKeySet();

		private final List<RateLimitPermit> samples = new CopyOnWriteArrayList<>();

		private final Map<String, Long> told = new ConcurrentHashMap<>();

		private final List<String> overdrawn = new CopyOnWriteArrayList<>();

		@Override
		public String place(RateLimitPermit permit) {
			// Most tests know of one place alone
			return (permit.key().length() == 1 && !this.down.isEmpty()) ? "place-" + permit.key() : EVERYWHERE;
		}

		@Override
		public void counted(RateLimitPermit permit, OutageDebt debt) {
			this.told.put(permit.key(), debt.owed());
		}

		@Override
		public void overdrawn(List<RateLimitPermit> call, List<RateLimitPermit> permits, boolean asked) {
			permits.forEach((permit) -> this.overdrawn.add(permit.key() + " " + asked));
		}

		@Override
		public CompletionStage<?> connect(Collection<RateLimitPermit> samples) {
			this.samples.addAll(samples);
			return CompletableFuture.completedFuture(null);
		}

		@Override
		public CompletionStage<?> probe(@Nullable RateLimitPermit sample) {
			return tryAcquire((sample != null) ? List.of(sample) : List.of());
		}

		@Override
		public CompletionStage<RateLimitDecision> tryAcquire(List<RateLimitPermit> permits) {
			this.asked++;
			if (permits.stream().anyMatch((permit) -> this.down.contains(place(permit)))) {
				return CompletableFuture.failedFuture(new IllegalStateException("down"));
			}
			return switch (this.mode) {
				case ANSWERING -> CompletableFuture
					.completedFuture(RateLimitDecision.of(permits, permits.stream().map(this::debt).toList()));
				case FAILING -> CompletableFuture.failedFuture(new IllegalStateException("down"));
				case THROWING -> throw new IllegalStateException("down");
				case SILENT -> {
					CompletableFuture<RateLimitDecision> silent = new CompletableFuture<>();
					this.pending.add(silent);
					yield silent;
				}
			};
		}

		private Gcra.Debt debt(RateLimitPermit permit) {
			Gcra gcra = permit.rule().gcra();
			return this.refusing ? new Gcra.Debt(gcra.toleranceWhole(), gcra.toleranceFraction()) : this.owed;
		}

		@Override
		public void close() {
			this.closed = true;
		}

	}

}
