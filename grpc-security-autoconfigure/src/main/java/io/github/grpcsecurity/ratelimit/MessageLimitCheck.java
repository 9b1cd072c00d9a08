package io.github.grpcsecurity.ratelimit;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionStage;

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
 */
final class MessageLimitCheck implements MessageCheck {

	private final SecuredMethod method;

	private final RateLimitRules rules;

	private final RateLimiter limiter;

	private final RateLimitObserver observer;

	private final DelayedMessages delayed;

	/**
	 * Whether a message may wait. Without that, the client has been asked for as many as
	 * the handler wants: they would pile up behind the one that waits.
	 */
	private final boolean paced;

	private volatile MessageLimits limits;

	private MessageLimitCheck(SecuredMethod method, RateLimitRules rules, MessageLimits limits, RateLimiter limiter,
			RateLimitObserver observer, DelayedMessages delayed) {
		this.method = method;
		this.rules = rules;
		this.limiter = limiter;
		this.observer = observer;
		this.delayed = delayed;
		this.paced = limits.letWait();
		this.limits = limits;
	}

	static void plan(RateLimitRules rules, SecuredMethod method, MethodPlan.Builder plan, RateLimiter limiter,
			RateLimitObserver observer, DelayedMessages delayed) {
		MessageLimits limits = MessageLimits.of(rules.all(), method);
		if (limits.all().isEmpty()) {
			return;
		}
		MessageLimitCheck check = new MessageLimitCheck(method, rules, limits, limiter, observer, delayed);
		plan.checkMessages(limits.toString(), check);
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
		messages.followRules();
		if (messages.permits.isEmpty()) {
			return Verdict.proceed();
		}
		Shortage crowded = this.paced ? this.delayed.crowded(messages.permits) : null;
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
		return this.paced ? DelayedMessages.shortage(messages.permits, decision) : null;
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

		private MessageLimits limits;

		private List<RateLimitPermit> permits;

		private boolean hooked;

		private volatile boolean closed;

		private volatile DelayedMessages.@Nullable Waiting last;

		Messages(SecuredCall call) {
			this.call = call;
			this.limits = inForce();
			this.permits = permits(this.limits);
		}

		void followRules() {
			if (rulesHaveChanged()) {
				MessageLimits current = inForce();
				this.permits = permits(current);
				this.limits = current;
			}
		}

		@Override
		public boolean rulesHaveChanged() {
			return !this.limits.madeOf(MessageLimitCheck.this.rules.settled());
		}

		private List<RateLimitPermit> permits(MessageLimits limits) {
			List<RateLimitPermit> all = new ArrayList<>(limits.all().size());
			for (Limit limit : limits.all()) {
				RateLimitRule rule = limit.rule();
				this.keys.computeIfAbsent(rule.key(), (key) -> Optional.ofNullable(limit.resolver().resolve(this.call)))
					.ifPresent((key) -> all.add(new RateLimitPermit(rule, key, limit.cost())));
			}
			return all;
		}

		@Override
		public List<RateLimitPermit> permits() {
			return this.permits;
		}

		@Override
		public CompletionStage<RateLimitDecision> ask() {
			followRules();
			return this.permits.isEmpty()
					? CompletableFuture.completedFuture(RateLimitDecision.of(this.permits, List.of()))
					: MessageLimitCheck.this.limiter.tryAcquire(this.permits);
		}

		Verdict verdict(RateLimitDecision decision) {
			return LimitCheck.verdict(this.call, this.permits, decision, MessageLimitCheck.this.observer);
		}

		/** A call that is over needs no permits. */
		void waits(DelayedMessages.Waiting waiting) {
			this.last = waiting;
			if (!this.hooked) {
				this.hooked = true;
				this.call.onClosed((status) -> close());
			}
			if (this.closed) {
				waiting.leave();
			}
		}

		private void close() {
			this.closed = true;
			DelayedMessages.Waiting waiting = this.last;
			if (waiting != null) {
				waiting.leave();
			}
		}

	}

}
