package io.github.grpcsecurity.ratelimit;

import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.ScheduledThreadPoolExecutor;
import java.util.concurrent.TimeUnit;

import io.github.grpcsecurity.ratelimit.RateLimitRule.OnFailure;
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

	private FailoverRateLimiter limiter(int servers) {
		return new FailoverRateLimiter(this.shared, new InMemoryRateLimiter(100, this.clock),
				List.of(this.local, this.allow, this.deny), servers, Duration.ofMillis(20), this.timer, this.clock);
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
			get(limiter.tryAcquire(permits("a", this.local)));
		}
		this.shared.mode = Mode.FAILING;

		assertThat(get(limiter.tryAcquire(permits("a", this.local))).permitted()).isTrue();
		assertThat(get(limiter.tryAcquire(permits("a", this.local))).permitted()).isFalse();
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

		private Mode mode = Mode.ANSWERING;

		private int asked;

		private boolean closed;

		@Override
		public CompletionStage<?> connect(Collection<RateLimitPermit> samples) {
			return CompletableFuture.completedFuture(null);
		}

		@Override
		public CompletionStage<?> probe(@Nullable RateLimitPermit sample) {
			return tryAcquire(List.of());
		}

		@Override
		public CompletionStage<RateLimitDecision> tryAcquire(List<RateLimitPermit> permits) {
			this.asked++;
			return switch (this.mode) {
				case ANSWERING -> CompletableFuture.completedFuture(
						RateLimitDecision.of(permits, permits.stream().map((permit) -> Gcra.Debt.NONE).toList()));
				case FAILING -> CompletableFuture.failedFuture(new IllegalStateException("down"));
				case THROWING -> throw new IllegalStateException("down");
				case SILENT -> {
					CompletableFuture<RateLimitDecision> silent = new CompletableFuture<>();
					this.pending.add(silent);
					yield silent;
				}
			};
		}

		@Override
		public void close() {
			this.closed = true;
		}

	}

}
