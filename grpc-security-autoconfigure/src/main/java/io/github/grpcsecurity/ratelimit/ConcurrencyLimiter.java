package io.github.grpcsecurity.ratelimit;

import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.LongAdder;
import java.util.function.Consumer;
import java.util.function.LongSupplier;

import io.github.grpcsecurity.server.CallDecision;
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
 * last call has ended is forgotten, so there are never more keys than calls. Thread-safe.
 *
 * @since 0.1.0
 */
public final class ConcurrencyLimiter {

	private final Map<String, CallsInFlight> rules = new LinkedHashMap<>();

	private final LongSupplier nanoClock;

	private final long origin;

	/**
	 * Creates a limiter.
	 * @param rules all rules, each with a name of its own
	 * @param nanoClock a clock that never goes back, such as {@link System#nanoTime()}
	 */
	public ConcurrencyLimiter(Collection<ConcurrencyRule> rules, LongSupplier nanoClock) {
		for (ConcurrencyRule rule : rules) {
			if (this.rules.put(rule.name(), new CallsInFlight(rule)) != null) {
				throw new IllegalArgumentException("two rules are named " + rule.name());
			}
		}
		this.nanoClock = nanoClock;
		this.origin = nanoClock.getAsLong();
	}

	/**
	 * The rules.
	 * @return all rules in their order
	 */
	public List<ConcurrencyRule> rules() {
		return this.rules.values().stream().map((calls) -> calls.rule).toList();
	}

	/**
	 * How many calls are in flight that a rule counts.
	 * @param rule name of the rule
	 * @return the number, of all keys together
	 */
	public long inFlight(String rule) {
		return find(rule).inFlight.sum();
	}

	/**
	 * How many calls a rule admits at a time.
	 * @param rule name of the rule
	 * @return the limit of a key; if it adapts, of all its keys together
	 */
	public long limit(String rule) {
		CallsInFlight calls = find(rule);
		if (calls.rule.adaptive() == null || calls.slots.isEmpty()) {
			return calls.rule.limit();
		}
		return calls.slots.values().stream().mapToLong(Slot::limit).sum();
	}

	/**
	 * How often a rule did something.
	 * @param rule name of the rule
	 * @param outcome what it did
	 * @return the number of calls since this was created
	 */
	public long count(String rule, RateLimitObserver.Outcome outcome) {
		CallsInFlight calls = find(rule);
		return switch (outcome) {
			case ALLOWED -> calls.allowed.sum();
			case DENIED -> calls.denied.sum();
			case SHADOW_DENIED -> calls.shadowDenied.sum();
			default -> 0;
		};
	}

	private CallsInFlight find(String rule) {
		CallsInFlight calls = this.rules.get(rule);
		if (calls == null) {
			throw new IllegalArgumentException("there is no rule " + rule);
		}
		return calls;
	}

	/** How many keys of a rule are kept. */
	int size(String rule) {
		return find(rule).slots.size();
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
		return find(rule.name()).enter(key, privileged, call);
	}

	private long now() {
		return this.nanoClock.getAsLong() - this.origin;
	}

	/** The calls that one rule counts. */
	private final class CallsInFlight {

		private final ConcurrencyRule rule;

		private final Map<String, Slot> slots = new ConcurrentHashMap<>();

		private final LongAdder inFlight = new LongAdder();

		private final LongAdder allowed = new LongAdder();

		private final LongAdder denied = new LongAdder();

		private final LongAdder shadowDenied = new LongAdder();

		CallsInFlight(ConcurrencyRule rule) {
			this.rule = rule;
		}

		RateLimitObserver.Outcome enter(String key, boolean privileged, SecuredCall call) {
			while (true) {
				Slot slot = this.slots.get(key);
				if (slot == null) {
					slot = this.slots.computeIfAbsent(key, (name) -> new Slot(this, name));
				}
				int place = slot.enter(privileged);
				if (place == Slot.GONE) {
					continue;
				}
				if (place == Slot.FULL) {
					this.denied.increment();
					return RateLimitObserver.Outcome.DENIED;
				}
				this.inFlight.increment();
				boolean over = place < 0;
				(over ? this.shadowDenied : this.allowed).increment();
				call.onReleased(new Stay(slot, privileged, Math.abs(place), call, now()));
				return over ? RateLimitObserver.Outcome.SHADOW_DENIED : RateLimitObserver.Outcome.ALLOWED;
			}
		}

	}

	/** The calls of one key. */
	private static final class Slot {

		static final int GONE = Integer.MIN_VALUE;

		static final int FULL = 0;

		private final CallsInFlight calls;

		private final String key;

		private final @Nullable AdaptiveLimit adaptive;

		// Guarded by this
		private int total;

		// Guarded by this
		private int ordinary;

		// Guarded by this
		private boolean gone;

		Slot(CallsInFlight calls, String key) {
			this.calls = calls;
			this.key = key;
			ConcurrencyRule.Adaptive bounds = calls.rule.adaptive();
			this.adaptive = (bounds != null) ? new AdaptiveLimit(calls.rule.limit(), bounds) : null;
		}

		int limit() {
			return (this.adaptive != null) ? this.adaptive.current() : this.calls.rule.limit();
		}

		/**
		 * Counts a call.
		 * @return how many there are with it; negative if it is one too many that a rule
		 * in the shadow counts nevertheless
		 */
		synchronized int enter(boolean privileged) {
			if (this.gone) {
				return GONE;
			}
			int limit = limit();
			ConcurrencyRule.Reserved reserved = this.calls.rule.reserved();
			boolean room = this.total < limit
					&& (privileged || reserved == null || this.ordinary < reserved.ordinary(limit));
			if (!room && !this.calls.rule.shadow()) {
				return FULL;
			}
			this.total++;
			if (!privileged) {
				this.ordinary++;
			}
			return room ? this.total : -this.total;
		}

		void leave(boolean privileged) {
			this.calls.inFlight.decrement();
			synchronized (this) {
				this.total--;
				if (!privileged) {
					this.ordinary--;
				}
				// What a limit has learned is kept; such rules have few keys
				if (this.total == 0 && this.adaptive == null) {
					this.gone = true;
					this.calls.slots.remove(this.key, this);
				}
			}
		}

	}

	/** One call while it is in flight. */
	private final class Stay implements Consumer<Status> {

		private final Slot slot;

		private final boolean privileged;

		private final int inFlight;

		private final SecuredCall call;

		private final long startedAt;

		Stay(Slot slot, boolean privileged, int inFlight, SecuredCall call, long startedAt) {
			this.slot = slot;
			this.privileged = privileged;
			this.inFlight = inFlight;
			this.call = call;
			this.startedAt = startedAt;
		}

		@Override
		public void accept(Status status) {
			this.slot.leave(this.privileged);
			AdaptiveLimit adaptive = this.slot.adaptive;
			if (adaptive != null && handled()) {
				adaptive.sample(this.startedAt, now() - this.startedAt, this.inFlight, status.getCode());
			}
		}

		/**
		 * A stream lasts as long as its peers like, and what the pipeline refused says
		 * nothing about the handler.
		 */
		private boolean handled() {
			CallDecision decision = this.call.decision();
			MethodPlan plan = this.call.plan();
			return decision != null && decision.outcome() == CallDecision.Outcome.PERMIT && this.call.endedBy() == null
					&& plan != null && plan.method().descriptor().getType() == MethodType.UNARY;
		}

	}

}
