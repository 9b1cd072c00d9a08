package io.github.grpcsecurity.ratelimit;

import java.util.concurrent.TimeUnit;
import java.util.function.IntFunction;

import io.grpc.Status.Code;
import org.junit.jupiter.api.Test;

import static org.assertj.core.api.Assertions.assertThat;

class AdaptiveLimitTests {

	private static final int MAX = 100;

	private final AdaptiveLimit limit = new AdaptiveLimit(20, new ConcurrencyRule.Adaptive(5, MAX));

	private long now;

	/** How a call ended, and after which time. */
	private record Call(double millis, Code code) {
	}

	private static Call ok(double millis) {
		return new Call(millis, Code.OK);
	}

	/** Calls like others, a little more or less than so long. */
	private static Call usual(int call, double millis) {
		return ok(millis * (0.9 + 0.02 * (call % 11)));
	}

	/** A thousand calls in each of many seconds. */
	private void traffic(int seconds, IntFunction<Call> calls) {
		traffic(seconds, 1000, calls);
	}

	private void traffic(int seconds, int perSecond, IntFunction<Call> calls) {
		for (int second = 0; second < seconds; second++) {
			for (int i = 0; i < perSecond; i++) {
				Call call = calls.apply(i);
				long nanos = (long) (call.millis() * 1_000_000);
				this.limit.sample(this.now - nanos, nanos, this.limit.current(), call.code());
				this.now += TimeUnit.SECONDS.toNanos(1) / perSecond;
			}
		}
	}

	/** Good calls, until the limit has grown up to its maximum. */
	private void grow() {
		traffic(60, (i) -> usual(i, 10));
		assertThat(this.limit.current()).isBetween(MAX - 10, MAX);
	}

	@Test
	void currentWhenNothingWasLearnedThenItIsTheInitialOne() {
		assertThat(this.limit.current()).isEqualTo(20);
	}

	@Test
	void currentWhenCallsStayFastThenItGrowsUpToTheMaximum() {
		grow();
	}

	@Test
	void currentWhenAllCallsGetSlowerThenItShrinksAndRecovers() {
		grow();

		traffic(30, (i) -> usual(i, 100));

		int after = this.limit.current();
		assertThat(after).isBetween(5, 60);
		traffic(60, (i) -> usual(i, 10));
		assertThat(this.limit.current()).isBetween(MAX - 10, MAX);
	}

	@Test
	void currentWhenLatencyWavesALittleThenItGrowsAllTheSame() {
		for (int second = 0; second < 60; second++) {
			double millis = (second % 2 == 0) ? 10 : 10.6;
			traffic(1, (i) -> usual(i, millis));
		}

		assertThat(this.limit.current()).isBetween(MAX - 10, MAX);
	}

	@Test
	void currentWhenCallsTakeAThirdLongerThenItShrinks() {
		grow();

		traffic(30, (i) -> usual(i, 13.5));

		assertThat(this.limit.current()).isLessThan(MAX - 30);
	}

	@Test
	void currentWhenAFifthOfCallsFailsThenItShrinksDownToTheMinimumAndRecovers() {
		grow();

		traffic(100, (i) -> (i % 5 == 0) ? new Call(1, Code.UNAVAILABLE) : usual(i, 10));

		assertThat(this.limit.current()).isEqualTo(5);
		traffic(60, (i) -> usual(i, 10));
		assertThat(this.limit.current()).isBetween(MAX - 10, MAX);
	}

	@Test
	void currentWhenAFifthOfCallsIsNotAnsweredInTimeThenItShrinks() {
		grow();

		traffic(100, (i) -> (i % 5 == 0) ? new Call(50, Code.DEADLINE_EXCEEDED) : usual(i, 10));

		assertThat(this.limit.current()).isEqualTo(5);
	}

	@Test
	void currentWhenNoCallIsAnsweredThenItShrinks() {
		traffic(60, (i) -> new Call(1000, Code.DEADLINE_EXCEEDED));

		assertThat(this.limit.current()).isEqualTo(5);
		traffic(60, (i) -> usual(i, 10));
		assertThat(this.limit.current()).isBetween(MAX - 10, MAX);
	}

	@Test
	void currentWhenOneCallInAThousandFailsThenItStays() {
		grow();

		traffic(300, (i) -> (i == 500) ? new Call(1000, Code.DEADLINE_EXCEEDED) : usual(i, 10));

		assertThat(this.limit.current()).isBetween(MAX - 10, MAX);
	}

	@Test
	void currentWhenOneCallInAThousandTakesVeryLongThenItStays() {
		grow();

		traffic(300, (i) -> (i == 500) ? ok(60_000) : usual(i, 10));

		assertThat(this.limit.current()).isBetween(MAX - 10, MAX);
	}

	@Test
	void currentWhenClientsWaitForLessTimeThanCallsTakeThenItStays() {
		grow();

		traffic(300, (i) -> (i % 10 < 3) ? new Call(1, Code.DEADLINE_EXCEEDED) : usual(i, 10));

		assertThat(this.limit.current()).isBetween(MAX - 10, MAX);
	}

	@Test
	void currentWhenClientsWaitForTooLittleFromTheStartThenTheyTeachNothing() {
		traffic(5, (i) -> (i % 2 == 0) ? new Call(1, Code.DEADLINE_EXCEEDED) : usual(i, 10));

		assertThat(this.limit.current()).isGreaterThan(20);
	}

	@Test
	void currentWhenSomeClientsNeverWaitLongEnoughThenItGrowsAllTheSame() {
		traffic(60, (i) -> (i % 10 < 3) ? new Call(1, Code.DEADLINE_EXCEEDED) : usual(i, 10));

		assertThat(this.limit.current()).isBetween(MAX - 10, MAX);
	}

	@Test
	void currentWhenCallsEndForReasonsOfTheirOwnThenTheyTeachNothing() {
		grow();

		traffic(300, (i) -> (i % 2 == 0) ? new Call(1000, Code.CANCELLED) : usual(i, 10));
		traffic(300, (i) -> new Call(1000, Code.INVALID_ARGUMENT));

		assertThat(this.limit.current()).isBetween(MAX - 10, MAX);
	}

	@Test
	void currentWhenCallsAreFewThenItWaitsUntilTheyAreEnough() {
		// The first call of a second ends the window before it
		traffic(1, 10, (i) -> usual(i, 10));
		traffic(1, 1, (i) -> usual(i, 10));
		int before = this.limit.current();

		traffic(9, 1, (i) -> new Call(50, Code.UNAVAILABLE));

		assertThat(this.limit.current()).isEqualTo(before);
		traffic(1, 1, (i) -> new Call(50, Code.UNAVAILABLE));
		assertThat(this.limit.current()).isLessThan(before);
	}

	@Test
	void withinWhenBoundsChangeThenWhatWasLearnedStaysWithinThem() {
		grow();
		int learned = this.limit.current();

		this.limit.within(new ConcurrencyRule.Adaptive(2, 200));
		assertThat(this.limit.current()).isEqualTo(learned);
		this.limit.within(new ConcurrencyRule.Adaptive(2, 50));
		assertThat(this.limit.current()).isEqualTo(50);
		this.limit.within(new ConcurrencyRule.Adaptive(70, 200));
		assertThat(this.limit.current()).isEqualTo(70);

		traffic(200, (i) -> usual(i, 10));
		assertThat(this.limit.current()).isBetween(180, 200);
		traffic(200, (i) -> new Call(50, Code.UNAVAILABLE));
		assertThat(this.limit.current()).isEqualTo(70);
	}

	@Test
	void withinWhenCallsQueueThenItStillKnowsHowFastTheyCanBe() {
		grow();

		this.limit.within(new ConcurrencyRule.Adaptive(5, 80));
		traffic(10, (i) -> usual(i, 100));

		assertThat(this.limit.current()).isLessThan(75);
	}

}
