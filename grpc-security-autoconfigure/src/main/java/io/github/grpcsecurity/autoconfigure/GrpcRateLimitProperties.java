package io.github.grpcsecurity.autoconfigure;

import java.time.Duration;
import java.time.temporal.ChronoUnit;
import java.util.List;

import io.github.grpcsecurity.ratelimit.RateLimitRule.OnExceed;
import io.github.grpcsecurity.ratelimit.RateLimitRule.OnFailure;
import io.grpc.Status;
import org.jspecify.annotations.Nullable;

import org.springframework.boot.context.properties.ConfigurationProperties;
import org.springframework.boot.context.properties.bind.DefaultValue;
import org.springframework.boot.convert.DurationUnit;

/**
 * Settings for limiting the rate of gRPC calls.
 *
 * @param store Where permits are kept. With "auto" they are kept in Redis if a server is
 * configured for Spring Data Redis, and in this server alone otherwise. With rules, the
 * server does not start if Redis is configured and no single Lettuce connection leads to
 * it.
 * @param rules Limits that calls count against. All that apply to a call have to admit
 * it.
 * @param expectedInstances Number of servers that share a limit while Redis does not
 * answer. Each of them then hands out its part of the limit.
 * @param lease Settings for permits that a server takes from Redis in advance.
 * @param redis Settings for permits that are kept in Redis.
 * @since 0.1.0
 */
@ConfigurationProperties(prefix = "grpc.security.rate-limit", ignoreUnknownFields = false)
public record GrpcRateLimitProperties(@DefaultValue("auto") Store store, @DefaultValue List<Rule> rules,
		@DefaultValue("1") int expectedInstances, @DefaultValue Lease lease, @DefaultValue Redis redis) {

	/** Where permits can be kept. */
	public enum Store {

		/** In Redis if a server is configured, in memory otherwise. */
		AUTO,

		/** In Redis. */
		REDIS,

		/** In this server alone. */
		MEMORY

	}

	/** What a call over a limit ends with. */
	public enum ResponseStatus {

		/** What clients of gRPC expect. */
		RESOURCE_EXHAUSTED(Status.Code.RESOURCE_EXHAUSTED),

		/** For clients that retry only this one. */
		UNAVAILABLE(Status.Code.UNAVAILABLE);

		private final Status.Code code;

		ResponseStatus(Status.Code code) {
			this.code = code;
		}

		Status.Code code() {
			return this.code;
		}

	}

	/**
	 * One limit.
	 *
	 * @param name Name of the rule in audit events, metrics and Redis keys.
	 * @param key What is counted separately: "peer", "principal", "issuer", "api-key",
	 * "method", "service", "global", "call" for the messages of each call by themselves,
	 * "header:" and the name of a header, the name of a RateLimitKeyResolver bean, or an
	 * expression in CEL.
	 * @param methods Methods that the rule is for, as "package.Service/Method" with "*"
	 * for any part of a name, or "**" for all, also for those the server does not have.
	 * @param limit Permits per period; with "bytes", bytes per period.
	 * @param period Length of the period, one second if not set. Seconds are used if no
	 * unit is given.
	 * @param burst Permits that can be taken at once. The same as the limit if not set.
	 * @param cost Permits that one call takes.
	 * @param shadow Whether the rule only counts what it would refuse.
	 * @param onFailure What happens while Redis does not answer: "local" counts in this
	 * server, "allow" lets calls pass, "deny" refuses them.
	 * @param responseStatus Status of a call that is over the limit.
	 * @param replaces Names of rules that do not count calls which this rule counts.
	 * @param costs What calls to some methods cost instead. The first that matches
	 * counts.
	 * @param messages Whether each message that a client sends is counted, instead of the
	 * call.
	 * @param bytes Whether the bytes of the messages that clients send are counted,
	 * instead of the calls. An empty message counts as one byte.
	 * @param onExceed What becomes of a message over the limit: "reject" ends its call,
	 * "backpressure" lets it wait and asks the client for no other one. With "reject" if
	 * not set.
	 * @param concurrency Calls that may be in flight at a time in this server, instead of
	 * a limit per period.
	 * @param adaptive Bounds of a number of calls in flight that adapts to what the
	 * server can bear, instead of a fixed one.
	 * @param reserved Share of the calls in flight that only some calls may use.
	 */
	public record Rule(@Nullable String name, @Nullable String key, @DefaultValue("**") List<String> methods,
			@Nullable Long limit, @DurationUnit(ChronoUnit.SECONDS) @Nullable Duration period, @Nullable Long burst,
			@DefaultValue("1") long cost, @DefaultValue("false") boolean shadow,
			@DefaultValue("local") OnFailure onFailure,
			@DefaultValue("resource-exhausted") ResponseStatus responseStatus, @DefaultValue List<String> replaces,
			@DefaultValue List<Cost> costs, @DefaultValue("false") boolean messages,
			@DefaultValue("false") boolean bytes, @Nullable OnExceed onExceed, @Nullable Integer concurrency,
			@Nullable Adaptive adaptive, @Nullable Reserved reserved) {

	}

	/**
	 * What calls to some methods cost.
	 *
	 * @param methods Methods that this is for, written as those of the rule.
	 * @param cost Permits that one call takes.
	 */
	public record Cost(@DefaultValue List<String> methods, @DefaultValue("1") long cost) {

	}

	/**
	 * Bounds of a number of calls in flight that adapts to what the server can bear.
	 *
	 * @param initial Calls in flight that are admitted at first.
	 * @param min Smallest number of calls in flight that are admitted.
	 * @param max Largest number of calls in flight that are admitted.
	 */
	public record Adaptive(@DefaultValue("20") int initial, @DefaultValue("5") int min, @DefaultValue("500") int max) {

	}

	/**
	 * Share of the calls in flight that only some calls may use. The others share the
	 * rest.
	 *
	 * @param share Part of the limit, above 0 and below 1.
	 * @param methods Methods whose calls may use it.
	 * @param authorities Authorities one of which lets a caller use it.
	 */
	public record Reserved(@Nullable Double share, @DefaultValue List<String> methods,
			@DefaultValue List<String> authorities) {

	}

	/**
	 * Settings for permits that a server takes from Redis in advance.
	 *
	 * @param enabled Whether a server takes permits of busy keys in batches, instead of
	 * asking Redis for each call.
	 * @param ttl How long permits that were taken and not used are kept before they are
	 * given back, from 10 milliseconds to one minute. Milliseconds are used if no unit is
	 * given.
	 * @param maxShare Part of a limit, or of its burst if that is smaller, that one
	 * server takes at most in advance; above 0 and not above 1.
	 */
	public record Lease(@DefaultValue("true") boolean enabled,
			@DefaultValue("1s") @DurationUnit(ChronoUnit.MILLIS) Duration ttl, @DefaultValue("0.1") double maxShare) {

	}

	/**
	 * Settings for permits that are kept in Redis.
	 *
	 * @param timeout How long a call waits for its permits at most. Milliseconds are used
	 * if no unit is given.
	 * @param keyPrefix Start of the names of all keys.
	 */
	public record Redis(@DefaultValue("20ms") @DurationUnit(ChronoUnit.MILLIS) Duration timeout,
			@DefaultValue("grpc-security:") String keyPrefix) {

	}

}
