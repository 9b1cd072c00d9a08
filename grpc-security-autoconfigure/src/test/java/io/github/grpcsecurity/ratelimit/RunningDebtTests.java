package io.github.grpcsecurity.ratelimit;

import java.lang.management.ManagementFactory;
import java.time.Duration;
import java.util.List;
import java.util.Random;

import com.sun.management.ThreadMXBean;
import org.junit.jupiter.api.Test;

import static org.assertj.core.api.Assertions.assertThat;

class RunningDebtTests {

	private final TestClock clock = new TestClock();

	private final long origin = this.clock.getAsLong();

	private final RunningDebt debt = new RunningDebt();

	private long now() {
		return (this.clock.getAsLong() - this.origin) / 1000;
	}

	private boolean take(Gcra gcra, long permits) {
		boolean admitted = this.debt.admits(gcra, permits, now());
		if (admitted) {
			this.debt.take(gcra, now());
		}
		return admitted;
	}

	@Test
	void admitsWhenSchedulesAreRandomThenItDecidesAsTheLimiterInMemoryDoes() {
		InMemoryRateLimiter limiter = new InMemoryRateLimiter(10, this.clock);
		Random random = new Random(42);
		RateLimitRule rule = TestRules.rule("r", 7, Duration.ofSeconds(1));
		int admitted = 0;
		for (int i = 0; i < 100_000; i++) {
			if (random.nextInt(50) == 0) {
				long limit = 1 + random.nextInt(40);
				rule = rule
					.withGcra(new Gcra(limit, Duration.ofMillis(1 + random.nextInt(3000)), 1 + random.nextInt(60), 1));
			}
			this.clock.advance(Duration.ofNanos(random.nextInt(300_000_000)));
			long cost = 1 + random.nextInt(5);
			RateLimitDecision expected = limiter.decide(List.of(new RateLimitPermit(rule, "k", cost)));

			assertThat(take(rule.gcra(), cost)).isEqualTo(expected.permitted());
			assertThat(this.debt.debt(rule.gcra(), now())).isEqualTo(expected.results().get(0).debt());
			admitted += expected.permitted() ? 1 : 0;
		}
		assertThat(admitted).isBetween(10_000, 90_000);
	}

	@Test
	void takeWhenFourFifthsAreUsedThenNear() {
		Gcra ten = new Gcra(10, Duration.ofHours(1), 10, 1);
		for (int i = 1; i <= 10; i++) {
			assertThat(this.debt.admits(ten, 1, now())).isTrue();
			assertThat(this.debt.take(ten, now())).isEqualTo(i >= 8);
		}
		assertThat(this.debt.admits(ten, 1, now())).isFalse();
	}

	@Test
	void admitsWhenPermitsAreThereThenNothingIsAllocated() {
		ThreadMXBean threads = (ThreadMXBean) ManagementFactory.getThreadMXBean();
		Gcra gcra = new Gcra(1_000_000, Duration.ofSeconds(1), 1_000_000, 1);
		assertThat(this.debt.admits(gcra, 1, 0)).isTrue();
		long before = threads.getCurrentThreadAllocatedBytes();
		boolean admitted = true;
		for (int i = 0; i < 100_000; i++) {
			admitted &= this.debt.admits(gcra, 1, i);
		}
		long allocated = threads.getCurrentThreadAllocatedBytes() - before;

		assertThat(admitted).isTrue();
		assertThat(allocated).isLessThan(10_000);
	}

}
