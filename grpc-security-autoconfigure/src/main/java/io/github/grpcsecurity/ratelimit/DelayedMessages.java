package io.github.grpcsecurity.ratelimit;

import java.time.Duration;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.NavigableSet;
import java.util.TreeSet;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.Future;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;

import io.github.grpcsecurity.ratelimit.RateLimitRule.OnExceed;
import org.jspecify.annotations.Nullable;

/**
 * Messages that wait for permits.
 * <p>
 * Those that wait for the permits of one key stand in one line, and only the first of
 * them asks: however many wait, the limiter is asked once for each permit there may be.
 * Who finds that something else is scarce, too, changes to that line, to the place that
 * the time of its arrival gives it. A line is gone as soon as nobody stands in it, so
 * their number is bounded by the calls in flight. Thread-safe; no thread waits.
 */
final class DelayedMessages {

	/** How soon to ask again at the earliest. */
	private static final long MIN_NANOS = TimeUnit.MICROSECONDS.toNanos(100);

	private final ScheduledExecutorService timer;

	private final Map<Key, Line> lines = new ConcurrentHashMap<>();

	private final AtomicLong arrivals = new AtomicLong();

	DelayedMessages(ScheduledExecutorService timer) {
		this.timer = timer;
	}

	/**
	 * What a message has to wait for; null if the decision is final, because it is
	 * admitted, or ends its call, or can never be admitted.
	 */
	static @Nullable Shortage shortage(List<RateLimitPermit> permits, RateLimitDecision decision) {
		RateLimitDecision.Result denial = decision.denial();
		Duration delay = (denial != null) ? denial.retryAfter() : null;
		if (denial == null || delay == null) {
			return null;
		}
		for (RateLimitDecision.Result result : decision.results()) {
			if (result.denied() && !result.rule().shadow() && result.rule().onExceed() != OnExceed.BACKPRESSURE) {
				return null;
			}
		}
		for (RateLimitPermit permit : permits) {
			// The rule of a fallback is another object with the same name
			if (permit.rule().name().equals(denial.rule().name())) {
				return new Shortage(permit, delay);
			}
		}
		return null;
	}

	/** What others wait for already. */
	@Nullable Shortage crowded(List<RateLimitPermit> permits) {
		if (this.lines.isEmpty()) {
			return null;
		}
		for (RateLimitPermit permit : permits) {
			if (this.lines.containsKey(Key.of(permit))) {
				return new Shortage(permit, Duration.ZERO);
			}
		}
		return null;
	}

	/** Makes a message stand in line; the first in line asks after the delay. */
	Waiting add(Demand demand, Shortage shortage) {
		Waiting waiting = new Waiting(demand, this.arrivals.getAndIncrement());
		add(waiting, shortage);
		return waiting;
	}

	private void add(Waiting waiting, Shortage shortage) {
		Key key = Key.of(shortage.permit());
		while (!this.lines.computeIfAbsent(key, Line::new).add(waiting, shortage.delay())) {
			Thread.onSpinWait();
		}
	}

	/**
	 * The rules have changed: for what messages wait, and how long, may be something else
	 * now, or nothing.
	 */
	void askAnew() {
		this.lines.values().forEach(Line::askAnew);
	}

	/** How many messages wait. */
	int size() {
		return this.lines.values().stream().mapToInt(Line::size).sum();
	}

	private record Key(String rule, String key) {

		static Key of(RateLimitPermit permit) {
			return new Key(permit.rule().name(), permit.key());
		}

	}

	/** What a message needs. Asked by one thread at a time. */
	interface Demand {

		/** Asks for it by the rules in force. */
		CompletionStage<RateLimitDecision> ask();

		/** What was asked for last. */
		List<RateLimitPermit> permits();

		/** Whether the rules have changed since then. */
		boolean rulesHaveChanged();

	}

	/**
	 * What a message waits for.
	 *
	 * @param permit what there is too little of
	 * @param delay how soon there can be enough
	 */
	record Shortage(RateLimitPermit permit, Duration delay) {

	}

	/** One message that waits. */
	static final class Waiting {

		private static final Comparator<Waiting> IN_ORDER = Comparator.comparingLong((waiting) -> waiting.arrival);

		private final Demand demand;

		private final long arrival;

		private final CompletableFuture<RateLimitDecision> answer = new CompletableFuture<>();

		private volatile @Nullable Line line;

		private volatile boolean left;

		private Waiting(Demand demand, long arrival) {
			this.demand = demand;
			this.arrival = arrival;
		}

		/** Completes with the final decision. */
		CompletionStage<RateLimitDecision> answer() {
			return this.answer;
		}

		/** Nobody needs the message any more, nor an answer. */
		void leave() {
			this.left = true;
			Line current = this.line;
			if (current != null) {
				current.remove(this);
			}
		}

	}

	/** Those who wait for the permits of one key. */
	private final class Line implements Runnable {

		private final Key key;

		// Guarded by this
		private final NavigableSet<Waiting> waiting = new TreeSet<>(Waiting.IN_ORDER);

		// Guarded by this
		private @Nullable Future<?> wakeUp;

		// Guarded by this: the limiter is being asked
		private boolean asking;

		// Guarded by this
		private boolean gone;

		Line(Key key) {
			this.key = key;
		}

		synchronized boolean add(Waiting one, Duration delay) {
			if (this.gone) {
				return false;
			}
			one.line = this;
			if (one.left) {
				remove(one);
				return true;
			}
			this.waiting.add(one);
			if (!this.asking && this.waiting.first() == one) {
				wakeUpAfter(delay);
			}
			return true;
		}

		synchronized void remove(Waiting one) {
			boolean first = !this.waiting.isEmpty() && this.waiting.first() == one;
			this.waiting.remove(one);
			if (this.asking) {
				return;
			}
			if (this.waiting.isEmpty()) {
				end();
			}
			else if (first) {
				// The next one may need less
				wakeUpAfter(Duration.ZERO);
			}
		}

		synchronized void askAnew() {
			if (!this.asking && !this.waiting.isEmpty()) {
				wakeUpAfter(Duration.ZERO);
			}
		}

		synchronized int size() {
			return this.waiting.size();
		}

		private synchronized @Nullable Waiting first() {
			if (this.waiting.isEmpty()) {
				end();
				return null;
			}
			return this.waiting.first();
		}

		// Called under the lock
		private void end() {
			this.gone = true;
			this.asking = false;
			DelayedMessages.this.lines.remove(this.key, this);
			sleepOn();
		}

		// Called under the lock
		private void sleepOn() {
			if (this.wakeUp != null) {
				this.wakeUp.cancel(false);
				this.wakeUp = null;
			}
		}

		// Called under the lock
		private void wakeUpAfter(Duration delay) {
			sleepOn();
			// Whoever changed them may have passed by before this message stood here
			boolean outdated = this.waiting.first().demand.rulesHaveChanged();
			long nanos = outdated ? MIN_NANOS : Math.max(delay.toNanos(), MIN_NANOS);
			try {
				this.wakeUp = DelayedMessages.this.timer.schedule(this, nanos, TimeUnit.NANOSECONDS);
			}
			catch (RejectedExecutionException ex) {
				// The application is going down
				List<Waiting> dropped = List.copyOf(this.waiting);
				this.waiting.clear();
				end();
				// Which may end calls, and those leave
				dropped.forEach((each) -> each.answer.completeExceptionally(ex));
			}
		}

		@Override
		public void run() {
			synchronized (this) {
				this.wakeUp = null;
				if (this.gone || this.asking) {
					return;
				}
				this.asking = true;
			}
			askForAll();
		}

		private void askForAll() {
			Waiting first = first();
			while (first != null) {
				CompletableFuture<RateLimitDecision> asked = ask(first);
				if (!asked.isDone()) {
					Waiting served = first;
					CompletionStage<RateLimitDecision> answer = asked;
					answer.whenComplete((decision, failure) -> {
						if (served(served, decision, failure)) {
							askForAll();
						}
					});
					return;
				}
				if (!served(first, asked)) {
					return;
				}
				first = first();
			}
		}

		private CompletableFuture<RateLimitDecision> ask(Waiting first) {
			try {
				return first.demand.ask().toCompletableFuture();
			}
			catch (RuntimeException ex) {
				return CompletableFuture.failedFuture(ex);
			}
		}

		private boolean served(Waiting first, CompletableFuture<RateLimitDecision> asked) {
			try {
				return served(first, asked.join(), null);
			}
			catch (CompletionException ex) {
				return served(first, null, ex.getCause());
			}
		}

		/** Whether it is somebody else's turn now. */
		private boolean served(Waiting first, @Nullable RateLimitDecision decision, @Nullable Throwable failure) {
			if (decision == null) {
				drop(first);
				first.answer
					.completeExceptionally((failure != null) ? failure : new NullPointerException("no decision"));
				return true;
			}
			Shortage shortage = shortage(first.demand.permits(), decision);
			if (shortage == null) {
				drop(first);
				first.answer.complete(decision);
				return true;
			}
			if (Key.of(shortage.permit()).equals(this.key)) {
				return !sleeps(first, shortage.delay());
			}
			// It must not keep those waiting who lack nothing else
			drop(first);
			DelayedMessages.this.add(first, shortage);
			return true;
		}

		/** Whether it is still the turn of the same one, which has to wait on. */
		private synchronized boolean sleeps(Waiting one, Duration delay) {
			if (this.waiting.isEmpty() || this.waiting.first() != one) {
				return false;
			}
			this.asking = false;
			wakeUpAfter(delay);
			return true;
		}

		private synchronized void drop(Waiting one) {
			this.waiting.remove(one);
		}

	}

}
