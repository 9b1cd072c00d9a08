package io.github.grpcsecurity.ratelimit;

import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionStage;
import java.util.function.LongSupplier;
import java.util.stream.IntStream;
import java.util.stream.Stream;

import io.github.grpcsecurity.ratelimit.DelayedMessages.Shortage;
import io.github.grpcsecurity.ratelimit.MessageLimits.Limit;
import io.github.grpcsecurity.ratelimit.RateLimitObserver.Outcome;
import io.github.grpcsecurity.server.MessageCheck;
import io.github.grpcsecurity.server.MethodPlan;
import io.github.grpcsecurity.server.SecuredCall;
import io.github.grpcsecurity.server.SecuredMethod;
import io.github.grpcsecurity.server.Verdict;
import org.jspecify.annotations.Nullable;

/**
 * Applies the rules that count messages to the messages of one method, all rules at once.
 * <p>
 * A stream may outlive many changes of the rules. Each of its messages is counted by
 * those that are in force when it comes or, if it waits, when it is asked for again.
 * <p>
 * What each call has by itself is kept with the call; the limiter hands out the rest. A
 * message takes both or neither.
 */
final class MessageLimitCheck implements MessageCheck {

	private final SecuredMethod method;

	private final RateLimitRules rules;

	private final RateLimiter limiter;

	private final RateLimitObserver observer;

	private final DelayedMessages delayed;

	private final LongSupplier nanoClock;

	private final long origin;

	/**
	 * Whether a message may wait. Without that, the client has been asked for as many as
	 * the handler wants: they would pile up behind the one that waits.
	 */
	private final boolean paced;

	private volatile MessageLimits limits;

	private MessageLimitCheck(SecuredMethod method, RateLimitRules rules, MessageLimits limits, RateLimiter limiter,
			RateLimitObserver observer, DelayedMessages delayed, LongSupplier nanoClock) {
		this.method = method;
		this.rules = rules;
		this.limiter = limiter;
		this.observer = observer;
		this.delayed = delayed;
		this.nanoClock = nanoClock;
		this.origin = nanoClock.getAsLong();
		this.paced = limits.letWait();
		this.limits = limits;
	}

	static void plan(RateLimitRules rules, SecuredMethod method, MethodPlan.Builder plan, RateLimiter limiter,
			RateLimitObserver observer, DelayedMessages delayed, LongSupplier nanoClock) {
		MessageLimits limits = MessageLimits.of(rules.all(), method);
		if (limits.all().isEmpty()) {
			return;
		}
		MessageLimitCheck check = new MessageLimitCheck(method, rules, limits, limiter, observer, delayed, nanoClock);
		plan.checkMessages(limits.toString(), check);
		// Even if none counts bytes now: such a rule may come while a call is open
		plan.measureMessages();
		if (check.paced) {
			plan.paceMessages();
		}
	}

	@Override
	public Verdict check(SecuredCall call, @Nullable Object message) {
		if (message == null) {
			return Verdict.proceed();
		}
		Messages messages = call.state(Messages.class, () -> new Messages(call));
		messages.next(call.messageSize());
		if (messages.takesOwnAlone()) {
			return Verdict.proceed();
		}
		RateLimitDecision never = messages.tooLarge();
		if (never != null) {
			return messages.verdict(never);
		}
		Shortage crowded = this.paced ? this.delayed.crowded(messages.shared) : null;
		if (crowded != null) {
			// Others came first
			return Verdict.pending(queue(messages, crowded));
		}
		CompletionStage<RateLimitDecision> answer = messages.ask();
		if (answer instanceof CompletableFuture<RateLimitDecision> future && future.isDone()) {
			RateLimitDecision decision = future.join();
			Shortage shortage = shortage(messages, decision);
			return (shortage == null) ? messages.verdict(decision) : Verdict.pending(queue(messages, shortage));
		}
		return Verdict.pending(answer.thenCompose((decision) -> {
			Shortage shortage = shortage(messages, decision);
			return (shortage == null) ? CompletableFuture.completedFuture(messages.verdict(decision))
					: queue(messages, shortage);
		}));
	}

	private @Nullable Shortage shortage(Messages messages, RateLimitDecision decision) {
		return this.paced ? DelayedMessages.shortage(messages.permits(), decision) : null;
	}

	private CompletionStage<Verdict> queue(Messages messages, Shortage shortage) {
		this.observer.applied(shortage.permit().rule(), Outcome.DELAYED);
		DelayedMessages.Waiting waiting = this.delayed.add(messages, shortage);
		messages.waits(waiting);
		return waiting.answer().thenApply(messages::verdict);
	}

	private MessageLimits inForce() {
		List<RateLimitRule> inForce = this.rules.settled();
		MessageLimits current = this.limits;
		if (!current.madeOf(inForce)) {
			current = MessageLimits.of(inForce, this.method);
			this.limits = current;
		}
		return current;
	}

	/**
	 * What the messages of one call share. Used by one thread at a time: the one that
	 * looks at a message or, while that waits, the one that asks for it again.
	 */
	private final class Messages implements DelayedMessages.Demand {

		private final SecuredCall call;

		// What a caller is counted by does not change from one message to the next
		private final Map<RateLimitKey, Optional<String>> keys = new HashMap<>(4);

		// By name of rule, so that new numbers do not forgive what is owed
		private final Map<String, RunningDebt> debts = new HashMap<>(4);

		private MessageLimits limits;

		private long size = 1;

		private List<RateLimitPermit> shared = List.of();

		private List<RateLimitPermit> own = List.of();

		private List<RunningDebt> ownDebts = List.of();

		private boolean hooked;

		private volatile boolean ended;

		private volatile DelayedMessages.@Nullable Waiting last;

		Messages(SecuredCall call) {
			this.call = call;
			this.limits = inForce();
			askBy(this.limits);
		}

		/** Turns to a message. Not even empty ones are free: each one keeps us busy. */
		void next(int bytes) {
			this.size = Math.min(Math.max(1, bytes), Gcra.MAX_PERMITS);
			if (this.limits.countBytes()) {
				this.shared = weighed(this.shared);
				this.own = weighed(this.own);
			}
			followRules();
		}

		private List<RateLimitPermit> weighed(List<RateLimitPermit> permits) {
			List<RateLimitPermit> weighed = new ArrayList<>(permits.size());
			for (RateLimitPermit permit : permits) {
				weighed
					.add(permit.rule().bytes() ? new RateLimitPermit(permit.rule(), permit.key(), this.size) : permit);
			}
			return weighed;
		}

		/** Refuses a message that finds no room however long it waits. */
		@Nullable RateLimitDecision tooLarge() {
			if (!this.limits.countBytes()) {
				return null;
			}
			for (RateLimitPermit permit : permits()) {
				RateLimitRule rule = permit.rule();
				if (!rule.shadow() && permit.cost() > rule.gcra().burst()) {
					return RateLimitDecision.of(List
						.of(new RateLimitDecision.Result(rule, permit.cost(), true, Gcra.Debt.NONE, Duration.ZERO)),
							false);
				}
			}
			return null;
		}

		private void followRules() {
			if (rulesHaveChanged()) {
				MessageLimits current = inForce();
				askBy(current);
				this.limits = current;
			}
		}

		@Override
		public boolean rulesHaveChanged() {
			return !this.limits.madeOf(MessageLimitCheck.this.rules.settled());
		}

		private void askBy(MessageLimits limits) {
			List<RateLimitPermit> all = new ArrayList<>(limits.all().size());
			for (Limit limit : limits.all()) {
				RateLimitRule rule = limit.rule();
				this.keys.computeIfAbsent(rule.key(), (key) -> Optional.ofNullable(limit.resolver().resolve(this.call)))
					.ifPresent(
							(key) -> all.add(new RateLimitPermit(rule, key, rule.bytes() ? this.size : limit.cost())));
			}
			this.shared = all.stream().filter((permit) -> !permit.rule().key().ofCall()).toList();
			this.own = all.stream().filter((permit) -> permit.rule().key().ofCall()).toList();
			this.ownDebts = this.own.stream()
				.map((permit) -> this.debts.computeIfAbsent(permit.rule().name(), (name) -> new RunningDebt()))
				.toList();
		}

		@Override
		public List<RateLimitPermit> permits() {
			return this.own.isEmpty() ? this.shared : Stream.concat(this.shared.stream(), this.own.stream()).toList();
		}

		/**
		 * Takes the permits of a message if they are all there and the call's own, or if
		 * there is nothing to take.
		 */
		boolean takesOwnAlone() {
			if (!this.shared.isEmpty()) {
				return false;
			}
			long now = now();
			for (int i = 0; i < this.own.size(); i++) {
				RateLimitPermit permit = this.own.get(i);
				if (!this.ownDebts.get(i).admits(permit.rule().gcra(), permit.cost(), now)) {
					return false;
				}
			}
			for (int i = 0; i < this.own.size(); i++) {
				RateLimitRule rule = this.own.get(i).rule();
				MessageLimitCheck.this.observer.applied(rule, Outcome.ALLOWED);
				if (this.ownDebts.get(i).take(rule.gcra(), now)) {
					MessageLimitCheck.this.observer.applied(rule, Outcome.NEAR_LIMIT);
				}
			}
			return true;
		}

		@Override
		public CompletionStage<RateLimitDecision> ask() {
			followRules();
			long now = now();
			RateLimitDecision alone = decideOwn(now);
			if (!alone.permitted()) {
				return CompletableFuture.completedFuture(alone);
			}
			if (this.shared.isEmpty()) {
				return CompletableFuture.completedFuture(takeOwn(alone, now));
			}
			// The messages of a stream come whenever they like: each may wait by itself
			Duration waited = MessageLimitCheck.this.method.descriptor().getType().clientSendsOneMessage()
					? LimitWait.of(this.call) : Duration.ZERO;
			CompletionStage<RateLimitDecision> answer = MessageLimitCheck.this.limiter.tryAcquire(this.shared, waited);
			return this.own.isEmpty() ? answer : answer.thenApply(this::withOwn);
		}

		private RateLimitDecision decideOwn(long now) {
			return this.own.isEmpty() ? RateLimitDecision.of(this.own, List.of())
					: RateLimitDecision.of(this.own,
							IntStream.range(0, this.own.size())
								.mapToObj((i) -> this.ownDebts.get(i).debt(this.own.get(i).rule().gcra(), now))
								.toList());
		}

		private RateLimitDecision takeOwn(RateLimitDecision decision, long now) {
			for (int i = 0; i < this.own.size(); i++) {
				RateLimitDecision.Result result = decision.results().get(i);
				if (!result.denied()) {
					this.ownDebts.get(i).owes(result.debt(), now);
				}
			}
			return decision;
		}

		/** Nobody else takes of a call's own: what was there is there still. */
		private RateLimitDecision withOwn(RateLimitDecision others) {
			if (!others.permitted()) {
				return others;
			}
			long now = now();
			return others.with(takeOwn(decideOwn(now), now));
		}

		private long now() {
			return (MessageLimitCheck.this.nanoClock.getAsLong() - MessageLimitCheck.this.origin) / 1000;
		}

		Verdict verdict(RateLimitDecision decision) {
			return LimitCheck.verdict(this.call, this.shared, decision, MessageLimitCheck.this.observer);
		}

		/**
		 * A call that has ended needs no permits, whether its client reads that or not.
		 */
		void waits(DelayedMessages.Waiting waiting) {
			this.last = waiting;
			if (!this.hooked) {
				this.hooked = true;
				this.call.onEnded((status) -> end());
			}
			if (this.ended) {
				waiting.leave();
			}
		}

		private void end() {
			this.ended = true;
			DelayedMessages.Waiting waiting = this.last;
			if (waiting != null) {
				waiting.leave();
			}
		}

	}

}
