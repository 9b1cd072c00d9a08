package io.github.grpcsecurity.ratelimit;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.atomic.AtomicLong;

import org.junit.jupiter.api.Test;

import static io.github.grpcsecurity.ratelimit.TestRules.permits;
import static io.github.grpcsecurity.ratelimit.TestRules.rule;
import static io.github.grpcsecurity.ratelimit.TestRules.shadow;
import static org.assertj.core.api.Assertions.assertThat;

class InMemoryRateLimiterTests {

	private static final Duration SECOND = Duration.ofSeconds(1);

	private final TestClock clock = new TestClock();

	private final InMemoryRateLimiter limiter = new InMemoryRateLimiter(1000, this.clock);

	@Test
	void tryAcquireWhenClockFollowsTheTableThenResultsAreThoseOfTheTable() {
		AtomicLong micros = new AtomicLong();
		InMemoryRateLimiter limiter = new InMemoryRateLimiter(10, () -> micros.get() * 1000);
		RateLimitTable.check((now, permits) -> {
			micros.set(now);
			return limiter.decide(permits);
		});
	}

	@Test
	void tryAcquireWhenOneRuleIsFloodedWithKeysThenOthersAreNotStarved() {
		RateLimitRule tenant = rule("tenant", 1, Duration.ofDays(1));
		RateLimitRule user = rule("user", 5, Duration.ofMinutes(1));
		for (int i = 0; i < 5000; i++) {
			this.limiter.decide(permits("tenant-" + i, tenant));
		}

		for (int i = 0; i < 200; i++) {
			assertThat(this.limiter.decide(permits("user-" + i, user)).permitted()).isTrue();
		}
		assertThat(this.limiter.size()).isLessThanOrEqualTo(1500);
	}

	@Test
	void tryAcquireWhenOneRuleDeniesThenNothingIsTakenInAny() {
		RateLimitRule tight = rule("tight", 1, SECOND);
		RateLimitRule wide = rule("wide", 10, SECOND);
		assertThat(this.limiter.decide(permits("a", wide, tight)).permitted()).isTrue();

		RateLimitDecision denied = this.limiter.decide(permits("a", wide, tight));

		assertThat(denied.permitted()).isFalse();
		assertThat(denied.results().get(0).denied()).isFalse();
		assertThat(denied.results().get(0).remaining()).isEqualTo(9);
		assertThat(denied.denial().rule()).isSameAs(tight);
		assertThat(this.limiter.decide(permits("a", wide)).results().get(0).remaining()).isEqualTo(8);
	}

	@Test
	void tryAcquireWhenSeveralRulesDenyThenTheLongestWaitIsReported() {
		RateLimitRule second = rule("second", 1, SECOND);
		RateLimitRule minute = rule("minute", 1, Duration.ofMinutes(1));
		this.limiter.decide(permits("a", second, minute));

		RateLimitDecision denied = this.limiter.decide(permits("a", second, minute));

		assertThat(denied.denial().rule()).isSameAs(minute);
		assertThat(denied.denial().retryAfter()).isEqualTo(Duration.ofMinutes(1));
	}

	@Test
	void tryAcquireWhenShadowRuleWouldDenyThenCallPassesAndShadowIsNotCharged() {
		RateLimitRule shadow = shadow(rule("shadow", 1, SECOND));
		RateLimitRule wide = rule("wide", 10, SECOND);
		this.limiter.decide(permits("a", shadow, wide));

		RateLimitDecision decision = this.limiter.decide(permits("a", shadow, wide));

		assertThat(decision.permitted()).isTrue();
		assertThat(decision.denial()).isNull();
		assertThat(decision.results().get(0).denied()).isTrue();
		assertThat(decision.results().get(0).resetAfter()).isEqualTo(SECOND);
		assertThat(decision.results().get(1).remaining()).isEqualTo(8);
	}

	@Test
	void tryAcquireWhenALimitGetsShorterThenOldDebtsLockNobodyOutForLongerThanTheNewBurst() {
		RateLimitRule day = rule("r", "peer", new Gcra(10_000, Duration.ofDays(1), 10_000, 10_000));
		this.limiter.decide(permits("a", day));
		RateLimitRule second = rule("r", 20, Duration.ofSeconds(1));

		RateLimitDecision refused = this.limiter.decide(permits("a", second));
		assertThat(refused.permitted()).isFalse();
		assertThat(refused.denial().retryAfter()).isEqualTo(Duration.ofMillis(50));
		this.clock.advance(Duration.ofMillis(50));
		assertThat(this.limiter.decide(permits("a", second)).permitted()).isTrue();
		this.clock.advance(Duration.ofSeconds(1));
		assertThat(this.limiter.decide(permits("a", second)).results().get(0).remaining()).isEqualTo(19);
	}

	@Test
	void tryAcquireWhenKeysDifferThenTheyDoNotShare() {
		RateLimitRule rule = rule("r", 1, SECOND);

		assertThat(this.limiter.decide(permits("a", rule)).permitted()).isTrue();
		assertThat(this.limiter.decide(permits("b", rule)).permitted()).isTrue();
		assertThat(this.limiter.decide(permits("a", rule)).permitted()).isFalse();
	}

	@Test
	void tryAcquireWhenTableIsFloodedThenNoDebtorGetsAwayAndFloodSharesPermits() {
		InMemoryRateLimiter small = new InMemoryRateLimiter(64, this.clock);
		RateLimitRule rule = rule("r", 5, Duration.ofMinutes(1));
		for (int i = 0; i < 5; i++) {
			small.decide(permits("attacker", rule));
		}
		long admitted = 0;
		for (int i = 0; i < 100_000; i++) {
			admitted += small.decide(permits("key-" + i, rule)).permitted() ? 1 : 0;
		}

		assertThat(small.decide(permits("attacker", rule)).permitted()).isFalse();
		assertThat(small.size()).isLessThanOrEqualTo(64);
		// A first call for each key that fits, and a burst for each part of the table
		assertThat(admitted).isLessThanOrEqualTo(64 + 64 * 5);
	}

	@Test
	void tryAcquireWhenDebtsAreOverThenTheirKeysMakeRoom() {
		InMemoryRateLimiter small = new InMemoryRateLimiter(64, this.clock);
		RateLimitRule rule = rule("r", 1, SECOND);
		for (int i = 0; i < 10_000; i++) {
			small.decide(permits("key-" + i, rule));
		}
		this.clock.advance(Duration.ofSeconds(2));

		for (int i = 0; i < 64; i++) {
			String key = "late-" + i;
			assertThat(small.decide(permits(key, rule)).permitted() || small.size() == 64).isTrue();
		}
		assertThat(small.size()).isLessThanOrEqualTo(64);
	}

	@Test
	void tryAcquireWhenKeyLeavesTheSharedOneThenItTakesTheDebtAlong() {
		InMemoryRateLimiter tiny = new InMemoryRateLimiter(1, this.clock);
		RateLimitRule rule = rule("r", 2, Duration.ofSeconds(2));
		tiny.decide(permits("first", rule));
		tiny.decide(permits("second", rule));
		tiny.decide(permits("second", rule));
		assertThat(tiny.decide(permits("second", rule)).permitted()).isFalse();
		this.clock.advance(Duration.ofMillis(1001));

		// The first key owes nothing any more; the second gets its place, not a new burst
		assertThat(tiny.decide(permits("second", rule)).permitted()).isTrue();
		assertThat(tiny.decide(permits("second", rule)).permitted()).isFalse();
	}

	@Test
	void tryAcquireWhenTenMillionRandomKeysCallThenHeapStaysFlatAndNobodyShedsDebt() {
		TestClock clock = new TestClock();
		InMemoryRateLimiter limiter = new InMemoryRateLimiter(10_000, clock);
		RateLimitRule debtor = rule("debtor", 1, Duration.ofDays(1));
		RateLimitRule flood = rule("flood", 1, Duration.ofMillis(10));
		assertThat(limiter.decide(permits("attacker", debtor)).permitted()).isTrue();
		long before = 0;
		for (int i = 0; i < 10_000_000; i++) {
			String key = Long.toHexString(i * 0x9E3779B97F4A7C15L);
			limiter.decide(permits(key, flood));
			if ((i & 0xff) == 0) {
				limiter.decide(permits(key, debtor));
				clock.advance(Duration.ofMillis(1));
			}
			if (i == 1_000_000) {
				before = usedHeap();
			}
		}

		assertThat(usedHeap() - before).isLessThan(16_000_000);
		assertThat(limiter.size()).isLessThanOrEqualTo(20_000);
		assertThat(limiter.decide(permits("attacker", debtor)).permitted()).isFalse();
	}

	private static long usedHeap() {
		System.gc();
		return Runtime.getRuntime().totalMemory() - Runtime.getRuntime().freeMemory();
	}

	@Test
	void outageDebtWhenAKeyHasSharedAPlaceThenItOwesOnlyWhatItTookItself() {
		RateLimitRule rule = rule("r", 10, SECOND);
		Gcra gcra = rule.gcra();
		InMemoryRateLimiter tiny = new InMemoryRateLimiter(1, this.clock);
		tiny.decide(permits("first", rule));
		for (int i = 0; i < 10; i++) {
			tiny.decide(permits("many", rule));
		}
		assertThat(tiny.outageDebt(permits("many", rule).get(0), gcra, true, 1).owed()).isEqualTo(100_000);
		this.clock.advance(Duration.ofMillis(200));
		assertThat(tiny.decide(permits("late", rule)).permitted()).isTrue();

		OutageDebt debt = tiny.outageDebt(permits("late", rule).get(0), gcra, true, 1);

		assertThat(debt.known()).isZero();
		assertThat(debt.owed()).isEqualTo(100_000);
	}

	@Test
	void chargeWhenPermitsAreGrantedElsewhereThenTheyCountHereUpToTheBurst() {
		RateLimitRule rule = rule("r", 2, SECOND);
		for (int i = 0; i < 10; i++) {
			this.limiter.charge(permits("a", rule));
		}

		assertThat(this.limiter.decide(permits("a", rule)).permitted()).isFalse();
		this.clock.advance(SECOND);
		assertThat(this.limiter.decide(permits("a", rule)).results().get(0).remaining()).isEqualTo(1);
	}

	@Test
	void tryAcquireWhenManyThreadsCallThenExactlyTheBurstIsAdmitted() throws Exception {
		RateLimitRule one = rule("one", 1000, Duration.ofHours(1));
		RateLimitRule two = rule("two", 700, Duration.ofHours(1));
		ExecutorService executor = Executors.newFixedThreadPool(8);
		try {
			CountDownLatch go = new CountDownLatch(1);
			List<Future<Integer>> counts = new ArrayList<>();
			for (int i = 0; i < 8; i++) {
				List<RateLimitPermit> permits = (i % 2 == 0) ? permits("a", one, two) : permits("a", two, one);
				counts.add(executor.submit(() -> {
					go.await();
					int admitted = 0;
					for (int call = 0; call < 500; call++) {
						admitted += this.limiter.decide(permits).permitted() ? 1 : 0;
					}
					return admitted;
				}));
			}
			go.countDown();
			int admitted = 0;
			for (Future<Integer> count : counts) {
				admitted += count.get();
			}

			assertThat(admitted).isEqualTo(700);
			assertThat(this.limiter.decide(permits("a", one)).results().get(0).remaining()).isEqualTo(299);
		}
		finally {
			executor.shutdownNow();
		}
	}

}
