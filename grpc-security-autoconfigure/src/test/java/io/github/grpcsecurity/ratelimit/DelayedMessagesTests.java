package io.github.grpcsecurity.ratelimit;

import java.time.Duration;
import java.util.List;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CopyOnWriteArrayList;

import io.github.grpcsecurity.ratelimit.DelayedMessages.Shortage;
import io.github.grpcsecurity.ratelimit.DelayedMessages.Waiting;
import io.github.grpcsecurity.ratelimit.RateLimitRule.OnExceed;
import io.github.grpcsecurity.ratelimit.RateLimitRule.OnFailure;
import io.github.grpcsecurity.server.GrpcSecurityThreads;
import io.grpc.Status;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

class DelayedMessagesTests {

	private static final RateLimitRule A = rule("a", Duration.ofMillis(1));

	private static final RateLimitRule B = rule("b", Duration.ofMillis(1));

	private static final RateLimitRule SLOW = rule("slow", Duration.ofHours(1));

	private final GrpcSecurityThreads threads = new GrpcSecurityThreads();

	/** Names of the rules that have no permits. */
	private final Set<String> scarce = ConcurrentHashMap.newKeySet();

	/** The keys of what was asked for first, in order. */
	private final List<String> asked = new CopyOnWriteArrayList<>();

	private final DelayedMessages delayed = new DelayedMessages(this.threads.scheduler());

	@AfterEach
	void stopThreads() {
		this.threads.close();
	}

	private static RateLimitRule rule(String name, Duration period) {
		RateLimitRule rule = TestRules.rule(name, "global", new Gcra(1, period, 2, 1));
		return new RateLimitRule(name, rule.key(), rule.methods(), rule.gcra(), false, OnFailure.LOCAL,
				Status.Code.RESOURCE_EXHAUSTED, Set.of(), List.of(), OnExceed.BACKPRESSURE);
	}

	private CompletableFuture<RateLimitDecision> answer(List<RateLimitPermit> permits) {
		this.asked.add(permits.get(0).key());
		return CompletableFuture.completedFuture(RateLimitDecision.of(permits, permits.stream().map((permit) -> {
			Gcra gcra = permit.rule().gcra();
			return this.scarce.contains(permit.rule().name())
					? new Gcra.Debt(gcra.toleranceWhole(), gcra.toleranceFraction()) : Gcra.Debt.NONE;
		}).toList()));
	}

	private static Shortage shortage(RateLimitPermit permit) {
		return new Shortage(permit, permit.rule().gcra().period());
	}

	@Test
	void addWhenMessageChangesToAnotherLineThenItKeepsItsPlace() {
		RateLimitPermit common = new RateLimitPermit(B, "common");
		List<RateLimitPermit> both = List.of(new RateLimitPermit(A, "first"), common);
		List<String> answered = new CopyOnWriteArrayList<>();
		this.scarce.addAll(Set.of("a", "b"));
		Waiting first = this.delayed.add(new Demand(both), shortage(both.get(0)));
		Waiting second = this.delayed.add(new Demand(List.of(common)), shortage(common));
		first.answer().thenRun(() -> answered.add("first"));
		second.answer().thenRun(() -> answered.add("second"));
		await().until(() -> this.asked.contains("first") && this.asked.contains("common") && this.asked.size() > 3);
		this.scarce.remove("a");

		await().until(() -> {
			List<String> last = List.copyOf(this.asked);
			return last.subList(last.size() - 3, last.size()).stream().allMatch("first"::equals);
		});
		this.scarce.clear();

		await().until(() -> answered.size() == 2);
		assertThat(answered).containsExactly("first", "second");
		assertThat(this.delayed.size()).isZero();
	}

	@Test
	void leaveWhenTheFirstInLineNeededMoreThenTheNextOneIsAskedForAtOnce() {
		this.scarce.add("slow");
		RateLimitPermit permit = new RateLimitPermit(SLOW, "all");
		Waiting first = this.delayed.add(new Demand(List.of(permit)), shortage(permit));
		Waiting second = this.delayed.add(new Demand(List.of(permit)), shortage(permit));
		this.scarce.clear();

		first.leave();

		assertThat(second.answer().toCompletableFuture()).succeedsWithin(Duration.ofSeconds(10));
		assertThat(first.answer().toCompletableFuture()).isNotDone();
		await().until(() -> this.delayed.crowded(List.of(permit)) == null);
	}

	@Test
	void askAnewWhenMessageWaitsForLongThenItIsAskedForAtOnce() {
		this.scarce.add("slow");
		RateLimitPermit permit = new RateLimitPermit(SLOW, "all");
		Waiting waiting = this.delayed.add(new Demand(List.of(permit)), shortage(permit));
		this.scarce.clear();

		this.delayed.askAnew();

		assertThat(waiting.answer().toCompletableFuture()).succeedsWithin(Duration.ofSeconds(10));
	}

	@Test
	void addWhenRulesHaveChangedMeanwhileThenMessageIsAskedForAtOnce() {
		RateLimitPermit permit = new RateLimitPermit(SLOW, "all");
		Demand outdated = new Demand(List.of(permit));
		outdated.rulesHaveChanged = true;

		Waiting waiting = this.delayed.add(outdated, shortage(permit));

		assertThat(waiting.answer().toCompletableFuture()).succeedsWithin(Duration.ofSeconds(10));
	}

	@Test
	void askWhenRulesChangeMeanwhileThenMessageIsAskedForAgainAtOnce() {
		RateLimitPermit permit = new RateLimitPermit(SLOW, "all");
		this.scarce.add("slow");
		Demand demand = new Demand(List.of(permit)) {
			@Override
			public CompletionStage<RateLimitDecision> ask() {
				CompletionStage<RateLimitDecision> denied = super.ask();
				// What passes by while somebody asks has nobody to wake up
				DelayedMessagesTests.this.delayed.askAnew();
				this.rulesHaveChanged = DelayedMessagesTests.this.scarce.remove("slow");
				return denied;
			}
		};

		Waiting waiting = this.delayed.add(demand, new Shortage(permit, Duration.ZERO));

		assertThat(waiting.answer().toCompletableFuture()).succeedsWithin(Duration.ofSeconds(10));
		assertThat(this.asked).hasSize(2);
	}

	private class Demand implements DelayedMessages.Demand {

		private final List<RateLimitPermit> permits;

		volatile boolean rulesHaveChanged;

		Demand(List<RateLimitPermit> permits) {
			this.permits = permits;
		}

		@Override
		public CompletionStage<RateLimitDecision> ask() {
			return answer(this.permits);
		}

		@Override
		public List<RateLimitPermit> permits() {
			return this.permits;
		}

		@Override
		public boolean rulesHaveChanged() {
			return this.rulesHaveChanged;
		}

	}

}
