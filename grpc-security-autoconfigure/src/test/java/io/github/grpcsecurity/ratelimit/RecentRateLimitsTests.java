package io.github.grpcsecurity.ratelimit;

import java.time.Duration;
import java.util.List;

import io.github.grpcsecurity.ratelimit.RateLimitObserver.Outcome;
import io.github.grpcsecurity.server.MethodPattern;
import io.grpc.Status;
import org.junit.jupiter.api.Test;

import static io.github.grpcsecurity.ratelimit.TestRules.rule;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.entry;

class RecentRateLimitsTests {

	private final TestClock clock = new TestClock();

	private final RecentRateLimits recent = new RecentRateLimits(this.clock);

	private final RateLimitRule rule = rule("r", 1, Duration.ofSeconds(1));

	@Test
	void ofWhenRuleDidSomethingThenCountedForAMinute() {
		this.recent.applied(this.rule, Outcome.ALLOWED);
		this.clock.advance(Duration.ofSeconds(30));
		this.recent.applied(this.rule, Outcome.ALLOWED);
		this.recent.applied(this.rule, Outcome.DENIED);

		assertThat(this.recent.of("r")).containsOnly(entry(Outcome.ALLOWED, 2L), entry(Outcome.DENIED, 1L));
		this.clock.advance(Duration.ofSeconds(30));
		assertThat(this.recent.of("r")).containsOnly(entry(Outcome.ALLOWED, 1L), entry(Outcome.DENIED, 1L));
		this.clock.advance(Duration.ofSeconds(30));
		assertThat(this.recent.of("r")).isEmpty();
		this.recent.applied(this.rule, Outcome.DENIED);
		assertThat(this.recent.of("r")).containsOnly(entry(Outcome.DENIED, 1L));
	}

	@Test
	void ofWhenRuleIsUnknownOrGoneThenEmpty() {
		this.recent.applied(this.rule, Outcome.ALLOWED);

		assertThat(this.recent.of("other")).isEmpty();
		this.recent.update(List.of(this.rule), List.of());
		assertThat(this.recent.of("r")).isNotEmpty();
		this.recent.update(List.of(), List.of());
		assertThat(this.recent.of("r")).isEmpty();
	}

	@Test
	void ofWhenRuleCountsCallsInFlightThenCountedAsWell() {
		ConcurrencyRule server = new ConcurrencyRule("server", RateLimitKey.parse("global"),
				List.of(MethodPattern.parse("**")), 1, null, null, false, Status.Code.RESOURCE_EXHAUSTED);
		this.recent.applied(server, Outcome.DENIED);

		this.recent.update(List.of(), List.of(server));

		assertThat(this.recent.of("server")).containsOnly(entry(Outcome.DENIED, 1L));
		this.recent.update(List.of(this.rule), List.of());
		assertThat(this.recent.of("server")).isEmpty();
	}

}
