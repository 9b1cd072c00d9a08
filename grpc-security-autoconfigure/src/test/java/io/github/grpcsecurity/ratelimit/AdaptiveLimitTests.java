package io.github.grpcsecurity.ratelimit;

import java.util.concurrent.TimeUnit;

import org.junit.jupiter.api.Test;

import static org.assertj.core.api.Assertions.assertThat;

class AdaptiveLimitTests {

	private final AdaptiveLimit limit = new AdaptiveLimit(20, new ConcurrencyRule.Adaptive(5, 100));

	private long now;

	/** Ten calls in each of many seconds. */
	private void calls(int seconds, long millis, boolean dropped) {
		for (int second = 0; second < seconds; second++) {
			for (int i = 0; i < 12; i++) {
				this.limit.sample(this.now, TimeUnit.MILLISECONDS.toNanos(millis), this.limit.current(),
						dropped && i == 3);
				this.now += TimeUnit.MILLISECONDS.toNanos(100);
			}
		}
	}

	@Test
	void currentWhenNothingWasLearnedThenItIsTheInitialOne() {
		assertThat(this.limit.current()).isEqualTo(20);
	}

	@Test
	void currentWhenCallsStayFastThenItGrowsUpToTheMaximum() {
		calls(60, 10, false);

		assertThat(this.limit.current()).isBetween(90, 100);
	}

	@Test
	void currentWhenCallsGetSlowerThenItShrinksDownToTheMinimum() {
		calls(20, 10, false);
		int before = this.limit.current();

		calls(25, 100, false);

		assertThat(this.limit.current()).isLessThan(before);
		calls(300, 1000, true);
		assertThat(this.limit.current()).isBetween(5, 40);
	}

	@Test
	void currentWhenCallsAreDroppedThenItShrinksAndRecovers() {
		calls(2, 10, false);
		int before = this.limit.current();

		calls(10, 10, true);

		int after = this.limit.current();
		assertThat(after).isLessThan(before).isGreaterThanOrEqualTo(5);
		calls(20, 10, false);
		assertThat(this.limit.current()).isGreaterThan(after);
	}

}
