package io.github.grpcsecurity.ratelimit;

import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionStage;
import java.util.stream.Collectors;

import io.github.grpcsecurity.ratelimit.DelayedMessages.Shortage;
import io.github.grpcsecurity.ratelimit.RateLimitObserver.Outcome;
import io.github.grpcsecurity.ratelimit.RateLimitRule.OnExceed;
import io.github.grpcsecurity.server.MessageCheck;
import io.github.grpcsecurity.server.MethodPlan;
import io.github.grpcsecurity.server.SecuredCall;
import io.github.grpcsecurity.server.SecuredMethod;
import io.github.grpcsecurity.server.Verdict;
import org.jspecify.annotations.Nullable;

/**
 * Applies the rules that count messages to the messages of one method, all rules at once.
 */
final class MessageLimitCheck implements MessageCheck {

	private final List<Limit> limits;

	private final RateLimiter limiter;

	private final RateLimitObserver observer;

	private final DelayedMessages delayed;

	private MessageLimitCheck(List<Limit> limits, RateLimiter limiter, RateLimitObserver observer,
			DelayedMessages delayed) {
		this.limits = limits;
		this.limiter = limiter;
		this.observer = observer;
		this.delayed = delayed;
	}

	static void plan(List<RateLimitRule> rules, SecuredMethod method, MethodPlan.Builder plan, RateLimiter limiter,
			RateLimitObserver observer, DelayedMessages delayed) {
		List<Limit> limits = rules.stream()
			.filter((rule) -> rule.appliesTo(method))
			.map((rule) -> new Limit(rule, rule.key().resolver(method), rule.cost(method)))
			.toList();
		if (limits.isEmpty()) {
			return;
		}
		plan.checkMessages(limits.stream().map(Limit::toString).collect(Collectors.joining("; ")),
				new MessageLimitCheck(limits, limiter, observer, delayed));
		if (limits.stream().anyMatch((limit) -> limit.rule.onExceed() == OnExceed.BACKPRESSURE)) {
			plan.paceMessages();
		}
	}

	@Override
	public Verdict check(SecuredCall call, @Nullable Object message) {
		if (message == null) {
			return Verdict.proceed();
		}
		Messages messages = call.state(Messages.class, () -> new Messages(permits(call)));
		List<RateLimitPermit> permits = messages.permits;
		if (permits.isEmpty()) {
			return Verdict.proceed();
		}
		Shortage crowded = this.delayed.crowded(permits);
		if (crowded != null) {
			// Others came first
			return Verdict.pending(queue(call, messages, crowded));
		}
		CompletionStage<RateLimitDecision> answer = this.limiter.tryAcquire(permits);
		if (answer instanceof CompletableFuture<RateLimitDecision> future && future.isDone()) {
			RateLimitDecision decision = future.join();
			Shortage shortage = DelayedMessages.shortage(permits, decision);
			return (shortage == null) ? verdict(call, permits, decision)
					: Verdict.pending(queue(call, messages, shortage));
		}
		return Verdict.pending(answer.thenCompose((decision) -> {
			Shortage shortage = DelayedMessages.shortage(permits, decision);
			return (shortage == null) ? CompletableFuture.completedFuture(verdict(call, permits, decision))
					: queue(call, messages, shortage);
		}));
	}

	// What a caller is counted by does not change from one message to the next
	private List<RateLimitPermit> permits(SecuredCall call) {
		List<RateLimitPermit> permits = new ArrayList<>(this.limits.size());
		for (Limit limit : this.limits) {
			String key = limit.resolver.resolve(call);
			if (key != null) {
				permits.add(new RateLimitPermit(limit.rule, key, limit.cost));
			}
		}
		return permits;
	}

	private CompletionStage<Verdict> queue(SecuredCall call, Messages messages, Shortage shortage) {
		this.observer.applied(shortage.permit().rule(), Outcome.DELAYED);
		DelayedMessages.Waiting waiting = this.delayed.add(messages.permits, shortage);
		messages.waits(call, waiting);
		return waiting.answer().thenApply((decision) -> verdict(call, messages.permits, decision));
	}

	private Verdict verdict(SecuredCall call, List<RateLimitPermit> permits, RateLimitDecision decision) {
		return LimitCheck.verdict(call, permits, decision, this.observer);
	}

	private record Limit(RateLimitRule rule, RateLimitKey.Resolver resolver, long cost) {

		@Override
		public String toString() {
			Gcra gcra = this.rule.gcra();
			return "message limit " + this.rule.name() + " by " + this.rule.key() + ": "
					+ new Gcra(gcra.limit(), gcra.period(), gcra.burst(), this.cost)
					+ ((this.rule.onExceed() == OnExceed.BACKPRESSURE) ? ", others wait" : "")
					+ (this.rule.shadow() ? ", only watching" : "");
		}

	}

	/** What the messages of one call share. */
	private static final class Messages {

		private final List<RateLimitPermit> permits;

		private boolean hooked;

		private volatile boolean closed;

		private volatile DelayedMessages.@Nullable Waiting last;

		Messages(List<RateLimitPermit> permits) {
			this.permits = permits;
		}

		/** A call that is over needs no permits. */
		void waits(SecuredCall call, DelayedMessages.Waiting waiting) {
			this.last = waiting;
			if (!this.hooked) {
				this.hooked = true;
				call.onClosed((status) -> close());
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
