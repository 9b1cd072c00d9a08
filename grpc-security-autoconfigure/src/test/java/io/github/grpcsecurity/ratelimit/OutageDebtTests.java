package io.github.grpcsecurity.ratelimit;

import java.time.Duration;

import org.junit.jupiter.api.Test;

import static org.assertj.core.api.Assertions.assertThat;

class OutageDebtTests {

	private final Gcra second = new Gcra(1000, Duration.ofSeconds(1), 1000, 1);

	private final Gcra day = new Gcra(86_400, Duration.ofDays(1), 86_400, 1);

	@Test
	void addedToWhenOthersHaveHandedOutAsMuchThenTheFirstToTellGetsNothingOfIt() {
		// Two servers have used up their shares, and Redis has lost its data
		OutageDebt half = new OutageDebt(0, 0, 1_000_000, 2);

		Gcra.Debt first = half.addedTo(this.second, Gcra.Debt.NONE);

		assertThat(half.owed()).isEqualTo(500_000);
		assertThat(first.whole()).isEqualTo(1_000_000);
		assertThat(half.addedTo(this.second, first).whole()).isEqualTo(1_000_000);
	}

	@Test
	void addedToWhenOneServerHasHandedOutSomeOfADayThenNoMoreThanASecondIsTakenForGranted() {
		OutageDebt some = new OutageDebt(100_000_000, 100_000_000, 140_000_000, 4);

		assertThat(some.addedTo(this.day, new Gcra.Debt(100_000_000, 0)).whole()).isEqualTo(110_000_000);
		assertThat(some.addedTo(this.day, Gcra.Debt.NONE).whole()).isEqualTo(110_000_000);
		OutageDebt fresh = new OutageDebt(0, 0, 2_000_000, 4);
		assertThat(fresh.addedTo(this.day, Gcra.Debt.NONE).whole()).isEqualTo(1_000_000);
	}

	@Test
	void afterWhenTimePassesThenWhatItBeganWithIsPaidFirst() {
		OutageDebt debt = new OutageDebt(1_000_000, 1_000_000, 3_000_000, 2);

		assertThat(debt.after(1_000_000).owed()).isEqualTo(1_000_000);
		assertThat(debt.after(2_000_000).owed()).isEqualTo(500_000);
		assertThat(debt.after(3_000_000).paid()).isTrue();
	}

}
