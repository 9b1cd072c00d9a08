package io.github.grpcsecurity.ratelimit;

import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.LongAdder;
import java.util.function.Consumer;
import java.util.function.LongSupplier;

import io.github.grpcsecurity.server.HandlerObserver;
import io.github.grpcsecurity.server.MethodPlan;
import io.github.grpcsecurity.server.SecuredCall;
import io.grpc.MethodDescriptor.MethodType;
import io.grpc.Status;
import org.jspecify.annotations.Nullable;

/**
 * Counts the calls in flight in this server.
 * <p>
 * A call is in flight from when its rule was asked to its true end, which the transport
 * reports once, however the call ends; one that is refused, only until then. A key whose
 * last call has ended is forgotten, so there are never more keys than calls. Only where a
 * limit adapts is what it has learned kept, and no such rule counts by anything that
 * callers choose.
 * <p>
 * Rules may change meanwhile: calls are counted by the name of the rule and the key, so
 * those in flight count against the new numbers, and what a limit has learned stays
 * within its new bounds. Thread-safe.
 *
 * @since 0.1.0
 */
public final class ConcurrencyLimiter {

	private final Map<String, CallsInFlight> calls = new ConcurrentHashMap<>();

	private final RateLimitRules rules;

	private final LongSupplier nanoClock;

	private final long origin;

	/**
	 * Creates a limiter.
	 * @param rules the rules, whose changes it follows
	 * @param nanoClock a clock that never goes back, such as {@link System#nanoTime()}
	 */
	public ConcurrencyLimiter(RateLimitRules rules, LongSupplier nanoClock) {
		this.rules = rules;
		this.nanoClock = nanoClock;
		this.origin = nanoClock.getAsLong();
		// What was learned could not be had back if the change was undone
		rules.onSettled(this::update);
	}

	/**
	 * The rules in force.
	 * @return all rules in their order
	 */
	public List<ConcurrencyRule> rules() {
		return this.rules.concurrency();
	}

	/**
	 * How many calls are in flight that a rule counts.
	 * @param rule name of the rule
	 * @return the number, of all keys together
	 */
	public long inFlight(String rule) {
		CallsInFlight counted = this.calls.get(rule);
		return (counted != null) ? counted.inFlight.sum() : 0;
	}

	/**
	 * How many calls a rule admits at a time.
	 * @param rule name of the rule
	 * @return the limit of a key; if it adapts, of all its keys together; 0 if there is
	 * no such rule
	 */
	public long limit(String rule) {
		ConcurrencyRule inForce = find(rule);
		return (inForce != null) ? limit(inForce) : 0;
	}

	private long limit(ConcurrencyRule rule) {
		ConcurrencyRule.Adaptive bounds = rule.adaptive();
		CallsInFlight counted = this.calls.get(rule.name());
		long learned = (bounds != null && counted != null) ? counted.learned(bounds) : 0;
		return (learned > 0) ? learned : rule.limit();
	}

	private @Nullable ConcurrencyRule find(String name) {
		return rules().stream().filter((rule) -> rule.name().equals(name)).findFirst().orElse(null);
	}

	private void update() {
		this.calls.forEach((name, counted) -> counted.update(find(name)));
	}

	/** How many keys of a rule are kept. */
	int size(String rule) {
		CallsInFlight counted = this.calls.get(rule);
		return (counted != null) ? counted.slots.size() : 0;
	}

	/**
	 * Counts a call until it is refused or over, if there is room for it.
	 * @param rule the rule
	 * @param key whose call it is
	 * @param privileged whether it may use the reserved share
	 * @param call the call
	 * @return what was done
	 */
	RateLimitObserver.Outcome enter(ConcurrencyRule rule, String key, boolean privileged, SecuredCall call) {
		CallsInFlight counted = this.calls.get(rule.name());
		if (counted == null) {
			counted = this.calls.computeIfAbsent(rule.name(), (name) -> new CallsInFlight(rule.key()));
		}
		return counted.enter(rule, key, privileged, call);
	}

	private long now() {
		return this.nanoClock.getAsLong() - this.origin;
	}

	/** The calls that one rule counts. */
	private final class CallsInFlight {

		private final Map<String, Slot> slots = new ConcurrentHashMap<>();

		private final LongAdder inFlight = new LongAdder();

		private volatile RateLimitKey key;

		CallsInFlight(RateLimitKey key) {
			this.key = key;
		}

		RateLimitObserver.Outcome enter(ConcurrencyRule rule, String key, boolean privileged, SecuredCall call) {
			while (true) {
				Slot slot = this.slots.get(key);
				if (slot == null) {
					slot = this.slots.computeIfAbsent(key, (name) -> new Slot(this, name));
				}
				int place = slot.enter(rule, privileged);
				if (place == Slot.GONE) {
					continue;
				}
				if (place == Slot.FULL) {
					return RateLimitObserver.Outcome.DENIED;
				}
				this.inFlight.increment();
				Handling handling = null;
				if (rule.adaptive() != null) {
					handling = new Handling(call, Math.abs(place));
					call.observeHandler(handling);
				}
				call.onReleased(new Stay(slot, privileged, handling));
				return (place < 0) ? RateLimitObserver.Outcome.SHADOW_DENIED : RateLimitObserver.Outcome.ALLOWED;
			}
		}

		long learned(ConcurrencyRule.Adaptive bounds) {
			return this.slots.values().stream().mapToLong((slot) -> slot.learned(bounds)).sum();
		}

		/** Keeps what was learned by the rule as it is now, if there is such a rule. */
		void update(@Nullable ConcurrencyRule rule) {
			ConcurrencyRule.Adaptive bounds = null;
			if (rule != null) {
				bounds = rule.key().equals(this.key) ? rule.adaptive() : null;
				this.key = rule.key();
			}
			for (Slot slot : this.slots.values()) {
				slot.update(bounds);
			}
		}

	}

	/** The calls of one key. */
	private static final class Slot {

		static final int GONE = Integer.MIN_VALUE;

		static final int FULL = 0;

		private final CallsInFlight calls;

		private final String key;

		// Guarded by this
		private @Nullable AdaptiveLimit adaptive;

		// Guarded by this
		private int total;

		// Guarded by this
		private int ordinary;

		// Guarded by this
		private boolean gone;

		Slot(CallsInFlight calls, String key) {
			this.calls = calls;
			this.key = key;
		}

		synchronized long learned(ConcurrencyRule.Adaptive bounds) {
			return (this.adaptive != null) ? bounds.clamp(this.adaptive.current()) : 0;
		}

		synchronized void update(ConcurrencyRule.@Nullable Adaptive bounds) {
			if (bounds == null) {
				this.adaptive = null;
				forgetUnused();
			}
			else if (this.adaptive != null) {
				this.adaptive.within(bounds);
			}
		}

		/**
		 * Counts a call.
		 * @return how many there are with it; negative if it is one too many that a rule
		 * in the shadow counts nevertheless
		 */
		synchronized int enter(ConcurrencyRule rule, boolean privileged) {
			if (this.gone) {
				return GONE;
			}
			int limit = limit(rule);
			ConcurrencyRule.Reserved reserved = rule.reserved();
			boolean room = this.total < limit
					&& (privileged || reserved == null || this.ordinary < reserved.ordinary(limit));
			if (!room && !rule.shadow()) {
				return FULL;
			}
			this.total++;
			if (!privileged) {
				this.ordinary++;
			}
			return room ? this.total : -this.total;
		}

		// Called under the lock. What was learned may be outside of the call's own rule
		private int limit(ConcurrencyRule rule) {
			ConcurrencyRule.Adaptive bounds = rule.adaptive();
			if (bounds == null) {
				return rule.limit();
			}
			if (this.adaptive == null) {
				this.adaptive = new AdaptiveLimit(rule.limit(), bounds);
			}
			return bounds.clamp(this.adaptive.current());
		}

		/**
		 * Counts a call no longer.
		 * @return what learns from it
		 */
		@Nullable AdaptiveLimit leave(boolean privileged) {
			this.calls.inFlight.decrement();
			synchronized (this) {
				this.total--;
				if (!privileged) {
					this.ordinary--;
				}
				forgetUnused();
				return this.adaptive;
			}
		}

		// Called under the lock. What was learned is kept: RateLimitRules sees to few
		// keys
		private void forgetUnused() {
			if (this.total == 0 && this.adaptive == null) {
				this.gone = true;
				this.calls.slots.remove(this.key, this);
			}
		}

	}

	/** One call while it is in flight. */
	private static final class Stay implements Consumer<Status> {

		private final Slot slot;

		private final boolean privileged;

		private final @Nullable Handling handling;

		Stay(Slot slot, boolean privileged, @Nullable Handling handling) {
			this.slot = slot;
			this.privileged = privileged;
			this.handling = handling;
		}

		@Override
		public void accept(Status status) {
			AdaptiveLimit adaptive = this.slot.leave(this.privileged);
			if (adaptive != null && this.handling != null) {
				this.handling.teach(adaptive, status);
			}
		}

	}

	/**
	 * What a limit learns from a call: how long its handler took. How slowly a client
	 * sends or reads is up to the client.
	 */
	private final class Handling implements HandlerObserver {

		private static final long NEVER = -1;

		private final SecuredCall call;

		private final int inFlight;

		private volatile long requestedAt = NEVER;

		private volatile long answeredAt = NEVER;

		private volatile @Nullable Status answer;

		Handling(SecuredCall call, int inFlight) {
			this.call = call;
			this.inFlight = inFlight;
		}

		@Override
		public void requested() {
			this.requestedAt = now();
		}

		@Override
		public void answered(Status status) {
			this.answeredAt = now();
			this.answer = status;
		}

		void teach(AdaptiveLimit limit, Status end) {
			long start = this.requestedAt;
			if (start == NEVER || !counts()) {
				return;
			}
			Status answered = this.answer;
			if (answered != null) {
				limit.sample(start, this.answeredAt - start, this.inFlight, answered.getCode());
			}
			else {
				limit.sample(start, now() - start, this.inFlight, end.getCode());
			}
		}

		/**
		 * A stream lasts as long as its peers like, and what the pipeline ended says
		 * nothing about the handler.
		 */
		private boolean counts() {
			MethodPlan plan = this.call.plan();
			return this.call.endedBy() == null && plan != null
					&& plan.method().descriptor().getType() == MethodType.UNARY;
		}

	}

}
