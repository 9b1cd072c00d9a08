package io.github.grpcsecurity.ratelimit;

import java.util.List;
import java.util.Objects;
import java.util.Set;

import io.github.grpcsecurity.server.MethodPattern;
import io.grpc.Status;
import org.jspecify.annotations.Nullable;

/**
 * A limit of the calls that are in flight at a time, as a user asked for it. Immutable.
 *
 * @param name name of the rule, in audit events and metrics
 * @param key what is counted separately, such as each principal
 * @param methods the methods it is for; each pattern has to match one
 * @param limit how many calls may be in flight; at first, if the limit adapts
 * @param adaptive the bounds of a limit that adapts; {@code null} if it is fixed
 * @param reserved the share of some calls; {@code null} if all are alike
 * @param shadow whether the rule only says what it would do
 * @param code the status of a call that is over the limit
 * @since 0.1.0
 */
public record ConcurrencyRule(String name, RateLimitKey key, List<MethodPattern> methods, int limit,
		@Nullable Adaptive adaptive, @Nullable Reserved reserved, boolean shadow, Status.Code code) {

	public ConcurrencyRule {
		Objects.requireNonNull(name, "name");
		Objects.requireNonNull(key, "key");
		methods = List.copyOf(methods);
		Objects.requireNonNull(code, "code");
		if (limit < 1) {
			throw new IllegalArgumentException("limit must be at least 1");
		}
	}

	/**
	 * How many calls it admits, for people to read.
	 * @return such as {@code 10 in flight}
	 */
	public String describe() {
		return ((this.adaptive != null) ? "from " + this.adaptive.min() + " to " + this.adaptive.max() : this.limit)
				+ " in flight";
	}

	/** Whether the rule needs to know who calls. */
	boolean needsIdentity() {
		return this.key.needsIdentity() || (this.reserved != null && !this.reserved.authorities().isEmpty());
	}

	/**
	 * The bounds of a limit that adapts to what the server can bear.
	 *
	 * @param min the least limit, at least 1
	 * @param max the largest limit, at least {@code min}
	 */
	public record Adaptive(int min, int max) {

		public Adaptive {
			if (min < 1 || max < min) {
				throw new IllegalArgumentException("min must be at least 1, and max at least min");
			}
		}

		/** The number within the bounds that is next to this one. */
		int clamp(int limit) {
			return Math.min(Math.max(limit, this.min), this.max);
		}

	}

	/**
	 * A share of the limit that only some calls may use.
	 *
	 * @param share which part of the limit, above 0 and below 1
	 * @param methods calls to these methods may use it
	 * @param authorities callers with one of these authorities may use it
	 */
	public record Reserved(double share, List<MethodPattern> methods, Set<String> authorities) {

		public Reserved {
			if (!(share > 0 && share < 1)) {
				throw new IllegalArgumentException("share must be above 0 and below 1");
			}
			methods = List.copyOf(methods);
			authorities = Set.copyOf(authorities);
		}

		/**
		 * How many calls may be in flight that have no part in the share: one at least.
		 * @param limit the limit
		 * @return what the share leaves, rounded down
		 */
		public int ordinary(int limit) {
			return Math.max(1, limit - (int) Math.ceil(this.share * limit));
		}

	}

}
