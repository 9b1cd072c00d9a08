package io.github.grpcsecurity.ratelimit;

import java.time.Duration;
import java.util.concurrent.atomic.AtomicLong;

import io.github.grpcsecurity.ratelimit.Gcra.Debt;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatIllegalArgumentException;

class GcraTests {

	private static final Duration SECOND = Duration.ofSeconds(1);

	@ParameterizedTest
	@ValueSource(longs = { 1, 3, 7, 999, 1000, 1001, 999_983, 1_000_000, 999_999_937 })
	void admitsWhenLimitDoesNotDividePeriodThenRateIsExact(long limit) {
		Gcra gcra = new Gcra(limit, SECOND, 1, 1);
		Debt debt = Debt.NONE;
		for (long i = 0; i < Math.min(limit, 100_000); i++) {
			debt = debt.plus(gcra, gcra.cost());
		}
		if (limit <= 100_000) {
			// A period's permits owe the period and nothing else
			assertThat(debt).isEqualTo(new Debt(1_000_000, 0));
		}
		assertThat(debt.fraction()).isBetween(0L, limit - 1);
		assertThat(debt.whole() * limit + debt.fraction()).isEqualTo(1_000_000 * Math.min(limit, 100_000));
	}

	@ParameterizedTest
	@CsvSource({ "3, PT1S, 3", "7, PT1S, 2", "1000, PT1S, 1500", "5, PT1M, 5", "100000, PT0.001S, 1" })
	void admitsWhenEverybodyPushesThenLimitTimesTimePlusBurst(long limit, Duration period, long burst) {
		Gcra gcra = new Gcra(limit, period, burst, 1);
		AtomicLong now = new AtomicLong();
		long whole = 0;
		long fraction = 0;
		long admitted = 0;
		long end = period.multipliedBy(10).toNanos() / 1000;
		long step = Math.max(1, end / 50_000);
		for (; now.get() < end; now.addAndGet(step)) {
			while (gcra.admits(gcra.debt(whole - now.get(), fraction), 1)) {
				Debt debt = gcra.debt(whole - now.get(), fraction).plus(gcra, gcra.cost());
				whole = now.get() + debt.whole();
				fraction = debt.fraction();
				admitted++;
			}
		}

		long last = now.get() - step;
		long exact = burst + limit * last / (period.toNanos() / 1000);
		// Steps wider than the emission interval cannot lose permits, unless the burst
		// is smaller than a step
		assertThat(admitted).isLessThanOrEqualTo(exact);
		if (burst * (period.toNanos() / 1000) >= limit * step) {
			assertThat(admitted).isGreaterThanOrEqualTo(exact - 1);
		}
	}

	/** What others do: a counter that starts anew with each second. */
	@Test
	void admitsAroundTheEdgeOfASecondWhenOthersAdmitTwiceTheLimitThenHalfOfThat() {
		int limit = 100;
		Gcra gcra = new Gcra(limit, SECOND, limit, 1);
		long until = 0;
		int exact = 0;
		int windows = 0;
		int[] counters = new int[2];
		// Ten times the limit, from a tenth of a second before the edge to one after it
		for (long now = 900_000; now < 1_100_000; now += 1000) {
			if (counters[(int) (now / 1_000_000)]++ < limit) {
				windows++;
			}
			Debt debt = gcra.debt(until - now, 0);
			if (gcra.admits(debt, 1)) {
				until = now + debt.plus(gcra, 1).whole();
				exact++;
			}
		}

		assertThat(windows).isEqualTo(2 * limit);
		assertThat(exact).isBetween(limit, limit + limit / 5);
	}

	@Test
	void retryAfterWhenWaitedExactlyThatLongThenAdmitted() {
		Gcra gcra = new Gcra(7, SECOND, 7, 3);
		Debt debt = Debt.NONE;
		while (gcra.admits(debt, gcra.cost())) {
			debt = debt.plus(gcra, gcra.cost());
		}
		long micros = gcra.retryAfter(debt, 3).toNanos() / 1000;

		assertThat(gcra.admits(gcra.debt(debt.whole() - micros, debt.fraction()), 3)).isTrue();
		assertThat(gcra.admits(gcra.debt(debt.whole() - micros + 1, debt.fraction()), 3)).isFalse();
	}

	@Test
	void retryAfterWhenCostExceedsBurstThenNever() {
		Gcra gcra = new Gcra(5, SECOND, 5, 6);

		assertThat(gcra.admits(Debt.NONE, 6)).isFalse();
		assertThat(gcra.retryAfter(Debt.NONE, 6)).isNull();
	}

	@Test
	void debtWhenClockWentBackThenNoLongerThanAFullBurst() {
		Gcra gcra = new Gcra(3, SECOND, 2, 1);

		assertThat(gcra.debt(3_600_000_000L, 2)).isEqualTo(new Debt(666_666, 2));
		assertThat(gcra.debt(-1, 2)).isEqualTo(Debt.NONE);
	}

	@Test
	void debtWhenLimitWasChangedThenFractionStaysBelowOne() {
		assertThat(new Gcra(3, SECOND, 3, 1).debt(10, 999)).isEqualTo(new Debt(10, 2));
	}

	@Test
	void shareWhenSeveralServersThenRateIsDividedAndBurstRoundedUp() {
		Gcra share = new Gcra(10, SECOND, 10, 1).share(4);

		assertThat(share.period()).isEqualTo(Duration.ofSeconds(4));
		assertThat(share.limit()).isEqualTo(10);
		assertThat(share.burst()).isEqualTo(3);
		assertThat(new Gcra(10, SECOND, 10, 5).share(4).burst()).isEqualTo(5);
		assertThat(new Gcra(10, SECOND, 10, 5).share(1).burst()).isEqualTo(10);
	}

	@ParameterizedTest
	@CsvSource({ "0, PT1S, 1, 1, limit", "1000000001, PT1S, 1, 1, limit", "1, PT0S, 1, 1, period",
			"1, PT-1S, 1, 1, period", "1, PT0.0000001S, 1, 1, period", "1, PT1S, 0, 1, burst", "1, PT1S, 1, -1, cost",
			"1, PT8760H, 100, 1, burst" })
	void createWhenNumberIsOutOfRangeThenSentenceNamesIt(long limit, Duration period, long burst, long cost,
			String named) {
		assertThatIllegalArgumentException().isThrownBy(() -> new Gcra(limit, period, burst, cost))
			.withMessageStartingWith(named);
	}

}
