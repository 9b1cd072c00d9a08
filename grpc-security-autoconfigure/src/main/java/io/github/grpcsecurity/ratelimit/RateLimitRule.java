package io.github.grpcsecurity.ratelimit;

import java.util.List;
import java.util.Objects;

import io.github.grpcsecurity.server.MethodPattern;
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
 * @param onExceed what becomes of a message that is over the limit; {@code null} if calls
 * are counted
 * @since 0.1.0
 */
public record RateLimitRule(String name, RateLimitKey key, List<MethodPattern> methods, Gcra gcra, boolean shadow,
		OnFailure onFailure, Status.Code code, @Nullable OnExceed onExceed) {

	public RateLimitRule {
		Objects.requireNonNull(name, "name");
		Objects.requireNonNull(key, "key");
		methods = List.copyOf(methods);
		Objects.requireNonNull(gcra, "gcra");
		Objects.requireNonNull(onFailure, "onFailure");
		Objects.requireNonNull(code, "code");
	}

	/**
	 * Creates a rule that calls count against.
	 * @param name name of the rule, in audit events, metrics and Redis keys
	 * @param key what is counted separately, such as each peer
	 * @param methods the methods it is for; each pattern has to match one
	 * @param gcra how many permits there are
	 * @param shadow whether the rule only says what it would do
	 * @param onFailure what happens to calls while the store of permits cannot be asked
	 * @param code the status of a call that is over the limit
	 */
	public RateLimitRule(String name, RateLimitKey key, List<MethodPattern> methods, Gcra gcra, boolean shadow,
			OnFailure onFailure, Status.Code code) {
		this(name, key, methods, gcra, shadow, onFailure, code, null);
	}

	/** Whether each message of a call is counted, and not the call. */
	boolean countsMessages() {
		return this.onExceed != null;
	}

	/** The same rule with other numbers. */
	RateLimitRule withGcra(Gcra gcra) {
		return new RateLimitRule(this.name, this.key, this.methods, gcra, this.shadow, this.onFailure, this.code,
				this.onExceed);
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
