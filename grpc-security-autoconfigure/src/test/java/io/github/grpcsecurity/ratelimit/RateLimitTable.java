package io.github.grpcsecurity.ratelimit;

import java.time.Duration;
import java.util.List;

import static org.assertj.core.api.Assertions.assertThat;

/**
 * What every implementation of the arithmetic has to answer to the same calls: five
 * permits at one a second, at given times.
 */
public final class RateLimitTable {

	private RateLimitTable() {
	}

	private record Row(long millis, long cost, boolean denied, long remaining, long resetMillis, long retryMillis) {
	}

	// A retry after -1 is never; rows that are not denied have none
	private static final List<Row> ROWS = List.of(new Row(0, 6, true, 5, 0, -1), new Row(0, 1, false, 4, 1000, 0),
			new Row(0, 1, false, 3, 2000, 0), new Row(0, 1, false, 2, 3000, 0), new Row(0, 1, false, 1, 4000, 0),
			new Row(0, 1, false, 0, 5000, 0), new Row(0, 1, true, 0, 5000, 1000), new Row(3000, 1, false, 2, 3000, 0),
			new Row(3100, 1, false, 1, 3900, 0), new Row(4000, 1, false, 1, 4000, 0),
			new Row(8000, 1, false, 4, 1000, 0), new Row(9500, 1, false, 4, 1000, 0),
			new Row(9500, 0, false, 4, 1000, 0), new Row(9500, 2, false, 2, 3000, 0),
			new Row(9500, 5, true, 2, 3000, 3000), new Row(9500, 6, true, 2, 3000, -1));

	/** A limiter whose clock can be set. */
	@FunctionalInterface
	public interface Subject {

		RateLimitDecision decide(long nowMicros, List<RateLimitPermit> permits);

	}

	public static void check(Subject subject) {
		for (int i = 0; i < ROWS.size(); i++) {
			Row row = ROWS.get(i);
			RateLimitRule rule = TestRules.rule("table", 5, Duration.ofSeconds(5));
			RateLimitDecision.Result result = subject
				.decide(row.millis() * 1000, List.of(new RateLimitPermit(rule, "key", row.cost())))
				.results()
				.get(0);
			assertThat(result.denied()).as("denied in row %s", i).isEqualTo(row.denied());
			assertThat(result.remaining()).as("remaining in row %s", i).isEqualTo(row.remaining());
			assertThat(result.resetAfter()).as("reset in row %s", i).isEqualTo(Duration.ofMillis(row.resetMillis()));
			assertThat(result.retryAfter()).as("retry in row %s", i)
				.isEqualTo((row.retryMillis() < 0) ? null : Duration.ofMillis(row.retryMillis()));
		}
	}

}
