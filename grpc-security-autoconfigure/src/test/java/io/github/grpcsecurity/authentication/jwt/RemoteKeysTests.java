package io.github.grpcsecurity.authentication.jwt;

import java.time.Duration;
import java.time.Instant;
import java.time.InstantSource;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Callable;
import java.util.concurrent.ScheduledFuture;
import java.util.concurrent.ScheduledThreadPoolExecutor;
import java.util.concurrent.TimeUnit;

import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

import static org.assertj.core.api.Assertions.assertThat;

class RemoteKeysTests {

	private static final VerificationKeys KEYS = VerificationKeys.of(List.of(TestTokens.rsa(TestTokens.RSA, "rsa")));

	private static final VerificationKeys ROTATED = VerificationKeys
		.of(List.of(TestTokens.rsa(TestTokens.OTHER_RSA, "rotated")));

	private Instant now = TestTokens.NOW;

	private final Deque<CompletableFuture<VerificationKeys>> fetches = new ArrayDeque<>();

	private final RecordingScheduler scheduler = new RecordingScheduler();

	private int count;

	private final RemoteKeys keys = new RemoteKeys("test", () -> {
		this.count++;
		CompletableFuture<VerificationKeys> fetch = new CompletableFuture<>();
		this.fetches.add(fetch);
		return fetch;
	}, this.scheduler, (InstantSource) () -> this.now, Duration.ofHours(4));

	@AfterEach
	void stop() {
		this.scheduler.shutdownNow();
	}

	private void answer(VerificationKeys answer) {
		this.fetches.remove().complete(answer);
	}

	private void fail() {
		this.fetches.remove().completeExceptionally(new IllegalStateException("HTTP status 500"));
	}

	private void after(Duration time) {
		this.now = this.now.plus(time);
	}

	@Test
	void startWhenServerAnswersThenKeysAreThereAndRefreshedBeforeTheyAreOld() {
		this.keys.start();
		assertThat(this.keys.current()).isNull();
		answer(KEYS);

		assertThat(this.keys.current()).isSameAs(KEYS);
		assertThat(this.scheduler.delays).containsExactly(Duration.ofSeconds(270));
		this.scheduler.runLast();
		answer(ROTATED);
		assertThat(this.keys.current()).isSameAs(ROTATED);
	}

	@Test
	void startWhenServerFailsThenItIsAskedAgainLessAndLessOften() {
		this.keys.start();
		for (int i = 0; i < 7; i++) {
			fail();
			this.scheduler.runLast();
		}

		assertThat(this.scheduler.delays).extracting(Duration::toSeconds)
			.containsExactly(1L, 2L, 4L, 8L, 16L, 30L, 30L);
		assertThat(this.keys.current()).isNull();
	}

	@Test
	void refreshWhenOneIsUnderWayThenItIsShared() {
		CompletableFuture<Boolean> first = this.keys.refresh();
		CompletableFuture<Boolean> second = this.keys.refresh();

		assertThat(this.count).isEqualTo(1);
		answer(KEYS);
		assertThat(first).isCompletedWithValue(true);
		assertThat(second).isCompletedWithValue(true);
	}

	@Test
	void refreshWhenKeysAreThereThenServerIsAskedOnceIn30SecondsAndTwiceAMinute() {
		this.keys.start();
		answer(KEYS);
		assertThat(this.keys.refresh()).isNotCompleted();
		answer(KEYS);

		for (int i = 0; i < 59; i++) {
			after(Duration.ofSeconds(1));
			assertThat(this.keys.refresh()).isCompletedWithValue(true);
		}
		assertThat(this.count).isEqualTo(2);
		after(Duration.ofSeconds(1));
		assertThat(this.keys.refresh()).isNotCompleted();
		answer(KEYS);
		assertThat(this.count).isEqualTo(3);
		after(Duration.ofSeconds(29));
		assertThat(this.keys.refresh()).isCompleted();
		after(Duration.ofSeconds(1));
		assertThat(this.keys.refresh()).isNotCompleted();
		assertThat(this.count).isEqualTo(4);
	}

	@Test
	void refreshWhenNoKeysAreThereThenServerIsAskedOnceASecond() {
		this.keys.start();
		fail();
		assertThat(this.keys.refresh()).isCompletedWithValue(false);
		after(Duration.ofSeconds(1));

		CompletableFuture<Boolean> refresh = this.keys.refresh();
		answer(KEYS);
		assertThat(refresh).isCompletedWithValue(true);
		assertThat(this.keys.current()).isSameAs(KEYS);
	}

	@Test
	void refreshWhenKeysAreThereAndServerIsDownThenItIsAskedTwiceAMinute() {
		this.keys.start();
		answer(KEYS);
		after(Duration.ofMinutes(10));
		int before = this.count;
		for (int second = 0; second < 600; second++) {
			this.keys.refresh();
			if (!this.fetches.isEmpty()) {
				fail();
				assertThat(this.scheduler.delays).last().isEqualTo(Duration.ofSeconds(30));
			}
			after(Duration.ofSeconds(1));
		}

		assertThat(this.count - before).isEqualTo(20);
		assertThat(this.keys.current()).isSameAs(KEYS);
		assertThat(this.keys.failures()).isEqualTo(20);
		assertThat(this.keys.lastFailure()).contains("HTTP status 500");
	}

	@Test
	void scheduledFetchWhenTwoHappenedInTheLastMinuteThenItIsPutOff() {
		this.keys.start();
		answer(KEYS);
		this.keys.refresh();
		fail();
		after(Duration.ofSeconds(30));
		this.scheduler.runLast();
		assertThat(this.count).isEqualTo(2);
		assertThat(this.scheduler.delays).last().isEqualTo(Duration.ofSeconds(30));
		after(Duration.ofSeconds(30));
		this.scheduler.runLast();

		assertThat(this.count).isEqualTo(3);
	}

	@Test
	void currentWhenServerIsDownThenLastGoodKeysStayForFourHours() {
		this.keys.start();
		answer(KEYS);
		after(Duration.ofHours(4));
		this.scheduler.runLast();
		fail();
		assertThat(this.keys.current()).isSameAs(KEYS);
		after(Duration.ofSeconds(1));

		assertThat(this.keys.current()).isNull();
	}

	@Test
	void closeWhenRefreshIsPlannedThenNothingIsFetchedAnyMore() {
		this.keys.start();
		answer(KEYS);
		this.keys.close();
		after(Duration.ofHours(1));
		this.scheduler.runLast();

		assertThat(this.keys.refresh()).isCompletedWithValue(true);
		assertThat(this.count).isEqualTo(1);
	}

	/** Runs nothing by itself. */
	private static final class RecordingScheduler extends ScheduledThreadPoolExecutor {

		private final List<Duration> delays = new ArrayList<>();

		private Runnable last = () -> {
		};

		RecordingScheduler() {
			super(1);
		}

		@Override
		public ScheduledFuture<?> schedule(Runnable command, long delay, TimeUnit unit) {
			this.delays.add(Duration.of(delay, unit.toChronoUnit()));
			this.last = command;
			return super.schedule((Callable<Object>) () -> null, 1, TimeUnit.DAYS);
		}

		void runLast() {
			this.last.run();
		}

	}

}
