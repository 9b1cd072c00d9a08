package io.github.grpcsecurity.ratelimit;

import java.util.List;
import java.util.Objects;
import java.util.Set;
import java.util.stream.Stream;

import io.github.grpcsecurity.server.MethodPattern;
import io.github.grpcsecurity.server.SecuredMethod;
import io.grpc.Status;
import org.jspecify.annotations.Nullable;

/**
 * One limit that calls, or the messages of calls, count against, as a user asked for it.
 * Immutable.
 *
 * @param name name of the rule, in audit events, metrics and Redis keys
 * @param key what is counted separately, such as each peer
 * @param methods the methods it is for; each pattern has to match one
 * @param gcra how many permits there are
 * @param shadow whether the rule only says what it would do
 * @param onFailure what happens to calls while the store of permits cannot be asked
 * @param code the status of a call that is over the limit
 * @param replaces names of rules that do not count calls which this one counts: those
 * that are more general. As long as this one is in the shadow, it replaces none that is
 * not.
 * @param costs what calls cost that do not cost what {@link Gcra#cost()} says; the first
 * that matches a method counts
 * @param onExceed what becomes of a message that is over the limit; {@code null} if calls
 * are counted
 * @param bytes whether the bytes of messages are counted, and not the messages
 * @since 0.1.0
 */
public record RateLimitRule(String name, RateLimitKey key, List<MethodPattern> methods, Gcra gcra, boolean shadow,
		OnFailure onFailure, Status.Code code, Set<String> replaces, List<MethodCost> costs,
		@Nullable OnExceed onExceed, boolean bytes) {

	public RateLimitRule {
		Objects.requireNonNull(name, "name");
		Objects.requireNonNull(key, "key");
		methods = List.copyOf(methods);
		Objects.requireNonNull(gcra, "gcra");
		Objects.requireNonNull(onFailure, "onFailure");
		Objects.requireNonNull(code, "code");
		replaces = Set.copyOf(replaces);
		costs = List.copyOf(costs);
		if (bytes && onExceed == null) {
			throw new IllegalArgumentException("bytes are those of messages, which need an onExceed");
		}
	}

	/**
	 * A rule that does not count bytes.
	 * @param name name of the rule
	 * @param key what is counted separately
	 * @param methods the methods it is for
	 * @param gcra how many permits there are
	 * @param shadow whether the rule only says what it would do
	 * @param onFailure what happens to calls while the store of permits cannot be asked
	 * @param code the status of a call that is over the limit
	 * @param replaces names of rules that do not count calls which this one counts
	 * @param costs what calls cost that do not cost what {@link Gcra#cost()} says
	 * @param onExceed what becomes of a message that is over the limit; {@code null} if
	 * calls are counted
	 */
	public RateLimitRule(String name, RateLimitKey key, List<MethodPattern> methods, Gcra gcra, boolean shadow,
			OnFailure onFailure, Status.Code code, Set<String> replaces, List<MethodCost> costs,
			@Nullable OnExceed onExceed) {
		this(name, key, methods, gcra, shadow, onFailure, code, replaces, costs, onExceed, false);
	}

	/**
	 * A rule that replaces no other one, and in which all calls cost the same.
	 * @param name name of the rule
	 * @param key what is counted separately
	 * @param methods the methods it is for
	 * @param gcra how many permits there are
	 * @param shadow whether the rule only says what it would do
	 * @param onFailure what happens to calls while the store of permits cannot be asked
	 * @param code the status of a call that is over the limit
	 */
	public RateLimitRule(String name, RateLimitKey key, List<MethodPattern> methods, Gcra gcra, boolean shadow,
			OnFailure onFailure, Status.Code code) {
		this(name, key, methods, gcra, shadow, onFailure, code, Set.of(), List.of(), null);
	}

	/** Whether the messages of a call or their bytes are counted, and not the call. */
	boolean countsMessages() {
		return this.onExceed != null;
	}

	/**
	 * Whether its permits are kept in a store. Those of a rule that counts each call by
	 * itself go with the call.
	 * @return whether a {@link RateLimiter} is asked for them
	 */
	public boolean needsStore() {
		return !this.key.ofCall();
	}

	/**
	 * The same rule with other numbers: what its keys owe stays what it is.
	 * @param gcra the new numbers
	 * @return a copy
	 */
	public RateLimitRule withGcra(Gcra gcra) {
		return new RateLimitRule(this.name, this.key, this.methods, gcra, this.shadow, this.onFailure, this.code,
				this.replaces, this.costs, this.onExceed, this.bytes);
	}

	/**
	 * The same rule for one of several servers that share its permits without talking to
	 * each other.
	 * @param servers how many share them
	 * @return a copy whose burst is large enough for the dearest call
	 * @throws IllegalArgumentException if the share is too small to be counted
	 */
	public RateLimitRule share(int servers) {
		return withGcra(this.gcra.share(servers, largestCost()));
	}

	private long largestCost() {
		if (this.bytes) {
			// A message may be as large as that
			return this.gcra.burst();
		}
		return Math.max(this.gcra.cost(), this.costs.stream().mapToLong(MethodCost::cost).max().orElse(0));
	}

	/** Whether the rule is for a method. */
	boolean appliesTo(SecuredMethod method) {
		return matches(this.methods, method);
	}

	/** What a call to a method costs. */
	long cost(SecuredMethod method) {
		for (MethodCost each : this.costs) {
			if (matches(each.methods(), method)) {
				return each.cost();
			}
		}
		return this.gcra.cost();
	}

	/**
	 * The numbers of the rule, for people to read.
	 * @return what there is of what
	 */
	public String numbers() {
		return numbers(this.gcra.cost());
	}

	String numbers(long cost) {
		if (this.bytes) {
			return this.gcra.limit() + " bytes per " + this.gcra.period() + ", burst " + this.gcra.burst();
		}
		return new Gcra(this.gcra.limit(), this.gcra.period(), this.gcra.burst(), cost).toString();
	}

	/** All patterns that have to match a method. */
	List<MethodPattern> patterns() {
		return Stream.concat(this.methods.stream(), this.costs.stream().flatMap((each) -> each.methods().stream()))
			.toList();
	}

	private static boolean matches(List<MethodPattern> patterns, SecuredMethod method) {
		return patterns.stream().anyMatch((pattern) -> pattern.matches(method));
	}

	/**
	 * What calls to some methods cost.
	 *
	 * @param methods the methods; each pattern has to match one
	 * @param cost permits that a call takes, from 1 to 1000000000
	 */
	public record MethodCost(List<MethodPattern> methods, long cost) {

		public MethodCost {
			methods = List.copyOf(methods);
			if (cost < 1 || cost > Gcra.MAX_PERMITS) {
				throw new IllegalArgumentException("cost must be from 1 to 1000000000");
			}
		}

	}

	/** What becomes of a message that is over the limit. */
	public enum OnExceed {

		/** The call ends. */
		REJECT,

		/** The message waits, and the client is not asked for another one. */
		BACKPRESSURE

	}

	/** What happens to calls while the store of permits cannot be asked. */
	public enum OnFailure {

		/** Each server counts for itself. */
		LOCAL,

		/** Calls pass uncounted. */
		ALLOW,

		/** Calls are refused with {@code UNAVAILABLE}. */
		DENY

	}

}
