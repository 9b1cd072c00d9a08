package io.github.grpcsecurity.ratelimit;

import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.ScheduledFuture;
import java.util.concurrent.ScheduledThreadPoolExecutor;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;

import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

import static io.github.grpcsecurity.ratelimit.TestRules.permits;
import static io.github.grpcsecurity.ratelimit.TestRules.rule;
import static io.github.grpcsecurity.ratelimit.TestRules.shadow;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;
import static org.assertj.core.api.Assertions.assertThatIllegalArgumentException;

class LeasingPermitsTests {

	private static final Duration SECOND = Duration.ofSeconds(1);

	private final TestClock clock = new TestClock();

	private final SweepTimer timer = new SweepTimer();

	private final Store store = new Store();

	private final LeasingPermits leases = leases(1000);

	private final RateLimitRule hot = rule("hot", 1000, SECOND);

	private final RateLimitRule slow = rule("slow", 5, Duration.ofHours(1));

	@AfterEach
	void stop() {
		this.timer.shutdownNow();
	}

	private LeasingPermits leases(int maxKeys) {
		return new LeasingPermits(this.store, SECOND, 0.1, Duration.ofMillis(20), maxKeys, this.timer, Runnable::run,
				this.clock);
	}

	/** As the failover limiter asks. */
	private static CompletableFuture<RateLimitDecision> ask(LeasingPermits leases, List<RateLimitPermit> permits) {
		RateLimitDecision known = leases.atHand(permits);
		return (known != null) ? CompletableFuture.completedFuture(known)
				: leases.tryAcquire(permits).toCompletableFuture();
	}

	private boolean admitted(RateLimitRule... rules) {
		return ask(this.leases, permits("a", rules)).join().permitted();
	}

	@Test
	void tryAcquireWhenKeyIsColdThenOneRoundTripPerCallAndNothingIsHeld() {
		for (int i = 0; i < 5; i++) {
			assertThat(admitted(this.hot)).isTrue();
			assertThat(this.leases.leased("hot")).isZero();
			this.clock.advance(SECOND);
		}

		assertThat(this.store.asked).isEqualTo(5);
	}

	@Test
	void tryAcquireWhenKeyIsHotThenBatchesGrowAndHoldNoMoreThanTheirShare() {
		for (int i = 0; i < 10_000; i++) {
			assertThat(admitted(this.hot)).isTrue();
			assertThat(this.leases.leased("hot")).isLessThanOrEqualTo(100);
			this.clock.advance(Duration.ofNanos(1_100_000));
		}

		assertThat(this.store.asked).isLessThan(10_000 / 50);
	}

	@Test
	void tryAcquireWhenRuleGetsTighterThenCheapPermitsAreNotGivenBackAsDearOnes() {
		for (int i = 0; i < 2000 || this.leases.leased("hot") < 50; i++) {
			admitted(this.hot);
			this.clock.advance(Duration.ofNanos(1_100_000));
		}
		RateLimitRule tight = this.hot.withGcra(new Gcra(10, SECOND, 10, 1));
		int admitted = 0;
		for (int i = 0; i < 100; i++) {
			admitted += admitted(tight) ? 1 : 0;
		}
		assertThat(admitted).isLessThanOrEqualTo(10);
		assertThat(this.leases.leased("hot")).isLessThanOrEqualTo(10);

		// What is left goes back, and must not pay for what was used
		this.leases.release();
		for (int i = 0; i < 100; i++) {
			admitted += admitted(tight) ? 1 : 0;
		}
		assertThat(admitted).isLessThanOrEqualTo(10);
	}

	@Test
	void tryAcquireWhenLimitIsUsedUpThenAllPermitsWereHandedOutAndTheFloodCostsNothing() {
		long admitted = 0;
		for (int i = 0; i < 2000; i++) {
			admitted += admitted(this.hot) ? 1 : 0;
		}
		assertThat(admitted).isEqualTo(1000);
		int before = this.store.asked;

		for (int i = 0; i < 1_000_000; i++) {
			assertThat(this.leases.atHand(permits("a", this.hot)).permitted()).isFalse();
		}

		assertThat(this.store.asked).isEqualTo(before);
	}

	@Test
	void tryAcquireWhenFloodGoesOnThenAdmittedIsExactAndOperationsAreFew() {
		long admitted = 0;
		for (int i = 0; i < 100_000; i++) {
			admitted += admitted(this.hot) ? 1 : 0;
			this.clock.advance(Duration.ofNanos(100_000));
		}

		// Ten seconds
		assertThat(admitted).isBetween(10_800L, 11_000L);
		assertThat(this.store.asked).isLessThan(100_000 / 50);
	}

	@Test
	void tryAcquireWhenRuleIsTightThenExactAndRefusalIsRememberedUntilItEnds() {
		for (int i = 0; i < 5; i++) {
			assertThat(admitted(this.slow)).isTrue();
		}
		RateLimitDecision refused = ask(this.leases, permits("a", this.slow)).join();
		assertThat(refused.permitted()).isFalse();
		assertThat(refused.denial().retryAfter()).isEqualTo(Duration.ofMinutes(12));
		int before = this.store.asked;
		this.clock.advance(Duration.ofSeconds(9));

		RateLimitDecision later = this.leases.atHand(permits("a", this.slow));

		assertThat(later.denial().retryAfter()).isEqualTo(Duration.ofMinutes(12).minusSeconds(9));
		assertThat(this.store.asked).isEqualTo(before);
		this.clock.advance(Duration.ofMinutes(12));
		assertThat(admitted(this.slow)).isTrue();
	}

	@Test
	void tryAcquireWhenCallTakesSeveralPermitsThenTheyAreCounted() {
		List<RateLimitPermit> three = List.of(new RateLimitPermit(this.slow, "a", 3));
		List<RateLimitPermit> six = List.of(new RateLimitPermit(this.slow, "a", 6));

		assertThat(ask(this.leases, six).join().denial().retryAfter()).isNull();
		assertThat(ask(this.leases, three).join().permitted()).isTrue();
		assertThat(ask(this.leases, three).join().denial().retryAfter()).isEqualTo(Duration.ofMinutes(12));
		assertThat(admitted(this.slow)).isTrue();
		assertThat(admitted(this.slow)).isTrue();
		assertThat(admitted(this.slow)).isFalse();
		assertThat(ask(this.leases, List.of(new RateLimitPermit(this.slow, "a", 0))).join().permitted()).isTrue();
	}

	@Test
	void tryAcquireWhenOneRuleRefusesThenTheOthersKeepTheirPermits() {
		RateLimitRule tight = rule("tight", 1, Duration.ofHours(1));
		assertThat(admitted(tight, this.slow)).isTrue();
		for (int i = 0; i < 100; i++) {
			assertThat(admitted(tight, this.slow)).isFalse();
		}

		for (int i = 0; i < 4; i++) {
			assertThat(admitted(this.slow)).isTrue();
		}
		assertThat(admitted(this.slow)).isFalse();
	}

	@Test
	void tryAcquireWhenSeveralRulesRefuseThenTheLongestWaitIsReported() {
		RateLimitRule hour = rule("hour", 1, Duration.ofHours(1));
		RateLimitRule day = rule("day", 1, Duration.ofDays(1));
		assertThat(admitted(hour, day)).isTrue();

		assertThat(ask(this.leases, permits("a", hour, day)).join().denial().rule()).isSameAs(day);
	}

	@Test
	void tryAcquireWhenShadowRuleIsOverThenCallPassesAndShadowIsReported() {
		RateLimitRule shadow = shadow(rule("shadow", 1, Duration.ofHours(1)));
		admitted(shadow, this.slow);

		RateLimitDecision decision = ask(this.leases, permits("a", shadow, this.slow)).join();

		assertThat(decision.permitted()).isTrue();
		assertThat(decision.results()).extracting(RateLimitDecision.Result::denied).containsExactly(true, false);
	}

	@Test
	void tryAcquireWhenManyWaitThenOneDrawServesThemAll() {
		this.store.silent = true;
		List<CompletableFuture<RateLimitDecision>> answers = new ArrayList<>();
		for (int i = 0; i < 50; i++) {
			answers.add(ask(this.leases, permits("a", this.hot)));
		}
		assertThat(this.store.asked).isEqualTo(1);
		this.store.answer();

		// The first took off before the others came
		assertThat(this.store.asked).isEqualTo(2);
		this.store.answer();
		assertThat(answers).allMatch((answer) -> answer.isDone() && answer.join().permitted());
		assertThat(this.store.taken("hot")).isEqualTo(50);
	}

	@Test
	void tryAcquireWhenBatchRunsLowThenNextIsDrawnBeforeACallHasToWait() {
		for (int i = 0; i < 100; i++) {
			admitted(this.hot);
		}
		this.store.silent = true;
		int before = this.store.asked;
		long held = this.leases.leased("hot");

		for (long i = 0; i < held; i++) {
			assertThat(this.leases.atHand(permits("a", this.hot)).permitted()).isTrue();
		}

		assertThat(this.store.asked - before).isEqualTo(1);
		this.store.answer();
		assertThat(this.leases.atHand(permits("a", this.hot)).permitted()).isTrue();
	}

	@Test
	void tryAcquireWhenNobodyWaitsAnyMoreThenPermitIsLeftToOthers() {
		this.store.silent = true;
		ask(this.leases, permits("a", this.slow)).cancel(false);
		ask(this.leases, permits("a", this.hot)).cancel(false);
		this.store.answer();
		this.store.answer();

		// Batches are kept, but where there are none, others may need the permit
		assertThat(this.leases.leased("slow")).isZero();
		assertThat(this.store.taken("slow")).isZero();
		assertThat(this.leases.leased("hot")).isEqualTo(1);
		assertThat(this.leases.atHand(permits("a", this.hot)).permitted()).isTrue();
	}

	@Test
	void tryAcquireWhenADrawBringsTooLittleForACallThenItGoesBackAtOnce() {
		RateLimitRule exact = rule("exact", 15, Duration.ofHours(1));
		admitted(exact);
		this.store.silent = true;
		CompletableFuture<RateLimitDecision> first = ask(this.leases, List.of(new RateLimitPermit(exact, "a", 10)));
		CompletableFuture<RateLimitDecision> second = ask(this.leases, List.of(new RateLimitPermit(exact, "a", 10)));
		this.store.silent = false;
		this.store.answer();
		this.store.answer();

		assertThat(List.of(first, second)).filteredOn((answer) -> answer.join().permitted()).hasSize(1);
		assertThat(this.leases.leased("exact")).isZero();
		LeasingPermits other = leases(10);
		for (int i = 0; i < 4; i++) {
			assertThat(ask(other, permits("a", exact)).join().permitted()).isTrue();
		}
		assertThat(ask(other, permits("a", exact)).join().permitted()).isFalse();
	}

	private void overdrawn(RateLimitRule rule) {
		List<RateLimitPermit> call = permits("a", rule);
		this.leases.overdrawn(call, call, true);
	}

	private static OutageDebt untold(Gcra.Debt debt) {
		return new OutageDebt(0, 0, debt.whole(), 1);
	}

	@Test
	void overdrawnWhenACallDidNotWaitForItsPermitThenTheNextOnesPay() {
		for (RateLimitRule rule : List.of(this.slow, this.hot)) {
			this.store.silent = true;
			CompletableFuture<RateLimitDecision> late = ask(this.leases, permits("a", rule));
			late.cancel(false);
			overdrawn(rule);
			this.store.answer();
			this.store.silent = false;

			// The one that came late was the one that had been handed out
			assertThat(this.leases.leased(rule.name())).isZero();
			assertThat(this.store.taken(rule.name())).isEqualTo(1);
		}

		overdrawn(this.slow);
		int admitted = 0;
		while (admitted(this.slow)) {
			admitted++;
		}
		assertThat(admitted).isEqualTo(3);
	}

	@Test
	void overdrawnWhenItHappensAllTheTimeThenNobodyIsLockedOutForLongerThanABurst() {
		admitted(this.slow);
		for (int i = 0; i < 1000; i++) {
			overdrawn(this.slow);
		}
		this.clock.advance(Duration.ofHours(1));
		admitted(this.slow);

		this.clock.advance(Duration.ofMinutes(24));
		assertThat(admitted(this.slow)).isTrue();
	}

	@Test
	void sweepWhenAKeyHasStillToPayThenItIsKeptUntilTimeHasPaid() {
		admitted(this.slow);
		for (int i = 0; i < 2; i++) {
			overdrawn(this.slow);
		}
		this.clock.advance(Duration.ofMinutes(23));
		this.timer.sweep.run();
		assertThat(this.leases.size()).isEqualTo(1);

		this.clock.advance(Duration.ofMinutes(1));
		this.timer.sweep.run();
		assertThat(this.leases.size()).isZero();
	}

	@Test
	void countedWhenALateCallIsPartOfTheCountThenItIsPaidForOnce() {
		Gcra gcra = this.slow.gcra();
		admitted(this.slow);
		overdrawn(this.slow);
		this.leases.counted(permits("a", this.slow).get(0), untold(gcra.price(1)));

		for (int i = 0; i < 3; i++) {
			assertThat(admitted(this.slow)).isTrue();
		}
		assertThat(admitted(this.slow)).isFalse();
	}

	@Test
	void tryAcquireWhenOneKeyOfACallHasNoLeaseThenTheStoreHearsOfWhatTheOthersOwe() {
		LeasingPermits small = leases(1);
		ask(small, permits("a", this.slow)).join();
		ask(small, permits("a", this.hot)).join();
		small.counted(permits("a", this.slow).get(0), untold(this.slow.gcra().price(3)));
		List<RateLimitPermit> call = List.of(permits("a", this.slow).get(0), permits("b", this.hot).get(0));

		ask(small, call).join();

		assertThat(this.store.counted).containsExactly("slowa");
		ask(small, call).join();
		assertThat(this.store.counted).hasSize(1);
		// What was taken without a lease needs none to be paid with
		small.overdrawn(call, List.of(call.get(0)), true);
		this.store.counted.clear();
		ask(small, permits("a", this.slow)).join();
		assertThat(this.store.drawn.must()).isEqualTo(1);
		small.overdrawn(call, List.of(call.get(0)), false);
		ask(small, permits("a", this.slow)).join();
		assertThat(this.store.drawn.must()).isEqualTo(2);
	}

	@Test
	void countedWhenADrawForLateCallsLandsAfterwardsThenItsPermitsAreForNobodyElse() {
		for (RateLimitRule rule : List.of(this.slow, this.hot)) {
			this.store.silent = true;
			ask(this.leases, permits("a", rule)).cancel(false);
			overdrawn(rule);
			this.clock.advance(Duration.ofMillis(1));
			// The outage has begun, and its count has charged for that call as well
			this.leases.counted(permits("a", rule).get(0), untold(rule.gcra().price(1)));
			this.store.answer();
			this.store.answer();
			this.store.silent = false;
			long admitted = 0;
			while (admitted(rule)) {
				admitted++;
			}

			assertThat(admitted).isEqualTo(rule.gcra().burst() - 1);
		}
	}

	@Test
	void countedWhenADrawFailsThenTheNextOneTells() {
		OutageDebt debt = new OutageDebt(0, 1_000_000, 5_000_000, 2);
		ask(this.leases, permits("a", this.slow)).join();
		this.leases.counted(permits("a", this.slow).get(0), debt);
		this.store.failing = true;
		assertThat(ask(this.leases, permits("a", this.slow))).isCompletedExceptionally();
		assertThat(this.store.drawn.untold().owed()).isEqualTo(2_000_000);
		this.store.failing = false;
		this.clock.advance(Duration.ofSeconds(3));

		ask(this.leases, permits("a", this.slow)).join();

		// For a second, what the store knows of was paid, and for two half of the time
		assertThat(this.store.drawn.untold().owed()).isEqualTo(1_000_000);
		ask(this.leases, permits("a", this.slow)).join();
		assertThat(this.store.drawn.untold().owed()).isZero();
	}

	@Test
	void countedWhenPermitsAreNotLeasedThenTheStoreHearsOfItAtOnce() {
		LeasingPermits small = leases(1);
		ask(small, permits("a", this.slow)).join();
		OutageDebt debt = untold(this.slow.gcra().price(1));

		small.counted(permits("b", this.slow).get(0), debt);
		small.counted(new RateLimitPermit(this.hot, "a", LeasablePermits.MAX_BATCH + 1), debt);
		small.counted(permits("a", this.slow).get(0), debt);

		assertThat(this.store.counted).containsExactly("slowb", "hota");
	}

	@Test
	void tryAcquireWhenDrawIsLateThenCallsFailAtOnceAndItsPermitsAreUsedWhenTheyCome() {
		this.store.silent = true;
		CompletableFuture<RateLimitDecision> first = ask(this.leases, permits("a", this.slow));
		this.clock.advance(Duration.ofMillis(20));

		assertThatExceptionOfType(java.util.concurrent.CompletionException.class)
			.isThrownBy(() -> ask(this.leases, permits("a", this.slow)).join())
			.withCauseInstanceOf(TimeoutException.class);
		first.cancel(false);
		this.store.answer();
		this.store.silent = false;
		assertThat(admitted(this.slow)).isTrue();
	}

	@Test
	void tryAcquireWhenDrawFailsThenCallFailsAndNextOneAsksAgain() {
		this.store.failing = true;
		assertThat(ask(this.leases, permits("a", this.slow))).isCompletedExceptionally();
		this.store.failing = false;

		assertThat(admitted(this.slow)).isTrue();
	}

	@Test
	void sweepWhenPermitsAreNotUsedThenTheyGoBackAndKeyIsForgotten() {
		for (int i = 0; i < 100; i++) {
			admitted(this.hot);
		}
		assertThat(this.leases.leased("hot")).isPositive();
		this.clock.advance(Duration.ofMillis(500));

		this.timer.sweep.run();

		assertThat(this.leases.leased("hot")).isZero();
		assertThat(this.store.taken("hot")).isEqualTo(100);
		this.clock.advance(SECOND);
		this.timer.sweep.run();
		assertThat(this.leases.size()).isZero();
	}

	@Test
	void closeWhenPermitsAreHeldThenTheyGoBack() {
		for (int i = 0; i < 100; i++) {
			admitted(this.hot);
		}

		this.leases.close();

		assertThat(this.store.taken("hot")).isEqualTo(100);
		assertThat(this.store.closed).isTrue();
	}

	@Test
	void tryAcquireWhenSeveralServersShareThenTheirSumIsTheLimitAndTheQuietOneGetsSome() {
		LeasingPermits quiet = leases(10);
		long loudAdmitted = 0;
		long quietAdmitted = 0;
		for (int i = 0; i < 100_000; i++) {
			loudAdmitted += admitted(this.hot) ? 1 : 0;
			if (i % 200 == 0) {
				quietAdmitted += ask(quiet, permits("a", this.hot)).join().permitted() ? 1 : 0;
			}
			this.clock.advance(Duration.ofNanos(100_000));
		}

		assertThat(loudAdmitted + quietAdmitted).isBetween(10_700L, 11_000L);
		// It asked 500 times
		assertThat(quietAdmitted).isGreaterThan(250);
	}

	@Test
	void tryAcquireWhenKeysAreEndlessThenTableIsBoundedAndDebtIsNotShed() {
		LeasingPermits small = leases(100);
		RateLimitRule one = rule("one", 1, Duration.ofHours(1));
		ask(small, permits("attacker", one)).join();
		for (int i = 0; i < 100_000; i++) {
			assertThat(ask(small, permits("key-" + i, one)).join().permitted()).isTrue();
		}

		assertThat(small.size()).isLessThanOrEqualTo(100);
		assertThat(ask(small, permits("attacker", one)).join().permitted()).isFalse();
		assertThat(ask(small, permits("key-99999", one)).join().permitted()).isFalse();
	}

	@Test
	void tryAcquireWhenTableIsFullThenACallDoesNotMakeRoomItself() {
		List<Runnable> tasks = new ArrayList<>();
		LeasingPermits small = new LeasingPermits(this.store, SECOND, 0.1, Duration.ofMillis(20), 1, this.timer,
				tasks::add, this.clock);
		assertThat(ask(small, permits("a", this.slow)).join().permitted()).isTrue();
		this.clock.advance(Duration.ofDays(1));

		assertThat(ask(small, permits("b", this.slow)).join().permitted()).isTrue();
		assertThat(small.size()).isOne();
		tasks.remove(0).run();

		assertThat(small.size()).isZero();
		assertThat(tasks).isEmpty();
	}

	@Test
	void tryAcquireWhenMillionsOfRandomKeysCallThenHeapStaysFlat() {
		int keys = Integer.getInteger("tests.random-keys", 500_000);
		LeasingPermits many = new LeasingPermits(new Endless(), SECOND, 0.1, Duration.ofMillis(20), 10_000, this.timer,
				Runnable::run, this.clock);
		FailoverRateLimiter limiter = new FailoverRateLimiter(many, new InMemoryRateLimiter(10_000, this.clock),
				List.of(this.hot), 1, SECOND, this.timer, this.clock);
		limiter.connect();
		long before = 0;
		for (int i = 0; i < keys; i++) {
			String key = Long.toHexString(i * 0x9E3779B97F4A7C15L);
			assertThat(limiter.tryAcquire(permits(key, this.hot)).toCompletableFuture().join().permitted()).isTrue();
			this.clock.advance(Duration.ofNanos(20_000));
			if (i == keys / 10) {
				before = usedHeap();
			}
		}

		assertThat(many.size()).isLessThanOrEqualTo(10_000);
		assertThat(usedHeap() - before).isLessThan(16_000_000);
	}

	private static long usedHeap() {
		System.gc();
		return Runtime.getRuntime().totalMemory() - Runtime.getRuntime().freeMemory();
	}

	@Test
	void countedWhenPermitsWereTakenElsewhereThenStoreHearsOfIt() {
		Gcra gcra = this.slow.gcra();
		this.leases.counted(permits("a", this.slow).get(0), untold(gcra.price(4)));

		assertThat(admitted(this.slow)).isTrue();
		assertThat(admitted(this.slow)).isFalse();
	}

	@Test
	void tryAcquireWhenRuleIsReplacedThenItsNumbersCount() {
		for (int i = 0; i < 6; i++) {
			admitted(this.slow);
		}
		RateLimitRule faster = rule("slow", "peer", new Gcra(5, Duration.ofHours(1), 10, 1));

		assertThat(admitted(faster)).isTrue();
	}

	@Test
	void createWhenNumberIsOutOfRangeThenRefused() {
		assertThatIllegalArgumentException().isThrownBy(() -> new LeasingPermits(this.store, Duration.ZERO, 0.1, SECOND,
				10, this.timer, Runnable::run, this.clock));
		assertThatIllegalArgumentException().isThrownBy(
				() -> new LeasingPermits(this.store, SECOND, 1.1, SECOND, 10, this.timer, Runnable::run, this.clock));
		assertThatIllegalArgumentException().isThrownBy(
				() -> new LeasingPermits(this.store, SECOND, 0.1, SECOND, 0, this.timer, Runnable::run, this.clock));
	}

	/** Runs nothing by itself. */
	private static final class SweepTimer extends ScheduledThreadPoolExecutor {

		private Runnable sweep;

		SweepTimer() {
			super(1);
		}

		@Override
		public ScheduledFuture<?> scheduleWithFixedDelay(Runnable task, long initial, long delay, TimeUnit unit) {
			this.sweep = task;
			return schedule(() -> {
			}, 1, TimeUnit.DAYS);
		}

	}

	/** A store that always has permits and remembers nothing. */
	private static final class Endless implements LeasablePermits {

		@Override
		public List<? extends CompletionStage<Grant>> draw(List<Draw> draws) {
			return draws.stream().map((draw) -> CompletableFuture.completedFuture(draw.from(Gcra.Debt.NONE))).toList();
		}

		@Override
		public CompletionStage<RateLimitDecision> tryAcquire(List<RateLimitPermit> permits) {
			return CompletableFuture.completedFuture(
					RateLimitDecision.of(permits, permits.stream().map((permit) -> Gcra.Debt.NONE).toList()));
		}

		@Override
		public CompletionStage<?> connect(Collection<RateLimitPermit> samples) {
			return CompletableFuture.completedFuture(null);
		}

		@Override
		public CompletionStage<?> probe(@Nullable RateLimitPermit sample) {
			return CompletableFuture.completedFuture(null);
		}

		@Override
		public void close() {
		}

	}

	/** A store in memory, by the clock of the test. */
	private final class Store implements LeasablePermits {

		private final Map<String, long[]> until = new HashMap<>();

		private final Map<String, Long> taken = new HashMap<>();

		private final List<Runnable> pending = new ArrayList<>();

		private final long origin = LeasingPermitsTests.this.clock.getAsLong();

		private int asked;

		private boolean silent;

		private boolean failing;

		private boolean closed;

		private final List<String> counted = new ArrayList<>();

		private Draw drawn;

		@Override
		public void counted(RateLimitPermit permit, OutageDebt debt) {
			this.counted.add(permit.rule().name() + permit.key());
		}

		private long micros() {
			return (LeasingPermitsTests.this.clock.getAsLong() - this.origin) / 1000;
		}

		private Gcra.Debt debt(RateLimitRule rule, String key) {
			long[] stored = this.until.get(rule.name() + key);
			return (stored == null) ? Gcra.Debt.NONE : rule.gcra().debt(stored[0] - micros(), stored[1]);
		}

		private void store(RateLimitRule rule, String key, Gcra.Debt debt) {
			this.until.put(rule.name() + key, new long[] { micros() + debt.whole(), debt.fraction() });
		}

		long taken(String rule) {
			return this.taken.getOrDefault(rule, 0L);
		}

		void answer() {
			List<Runnable> now = List.copyOf(this.pending);
			this.pending.clear();
			now.forEach(Runnable::run);
		}

		@Override
		public List<? extends CompletionStage<Grant>> draw(List<Draw> draws) {
			this.asked++;
			List<CompletableFuture<Grant>> grants = new ArrayList<>();
			for (Draw draw : draws) {
				this.drawn = draw;
				CompletableFuture<Grant> future = new CompletableFuture<>();
				grants.add(future);
				if (this.failing) {
					future.completeExceptionally(new IllegalStateException("down"));
				}
				else if (this.silent) {
					this.pending.add(() -> future.complete(carryOut(draw)));
				}
				else {
					future.complete(carryOut(draw));
				}
			}
			return grants;
		}

		private Grant carryOut(Draw draw) {
			Grant grant = draw.from(debt(draw.rule(), draw.key()));
			store(draw.rule(), draw.key(), grant.debt());
			this.taken.merge(draw.rule().name(), grant.permits() - draw.giveBack(), Long::sum);
			return grant;
		}

		@Override
		public CompletionStage<RateLimitDecision> tryAcquire(List<RateLimitPermit> permits) {
			this.asked++;
			RateLimitDecision decision = RateLimitDecision.of(permits,
					permits.stream().map((permit) -> debt(permit.rule(), permit.key())).toList());
			for (int i = 0; i < permits.size(); i++) {
				store(permits.get(i).rule(), permits.get(i).key(), decision.results().get(i).debt());
			}
			return CompletableFuture.completedFuture(decision);
		}

		@Override
		public CompletionStage<?> connect(Collection<RateLimitPermit> samples) {
			return CompletableFuture.completedFuture(null);
		}

		@Override
		public CompletionStage<?> probe(@Nullable RateLimitPermit sample) {
			return CompletableFuture.completedFuture(null);
		}

		@Override
		public void close() {
			this.closed = true;
		}

	}

}
