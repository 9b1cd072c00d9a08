package io.github.grpcsecurity.server;

import java.time.Duration;
import java.util.Objects;

import io.grpc.Metadata;
import io.grpc.Status;
import org.jspecify.annotations.Nullable;

/**
 * Why a call is refused, and what its caller gets to know about it.
 * <p>
 * The caller sees a status with a fixed sentence, never the {@link #reason()}: that one
 * is for audit events and logs. Instances are immutable and may be shared by many calls.
 *
 * @since 0.1.0
 */
public final class Refusal {

	private final Kind kind;

	private final String reason;

	private final @Nullable Duration retryAfter;

	private final @Nullable String quota;

	private final Status.@Nullable Code code;

	private final @Nullable TrailersCustomizer trailers;

	private Refusal(Kind kind, String reason, @Nullable Duration retryAfter, @Nullable String quota,
			Status.@Nullable Code code, @Nullable TrailersCustomizer trailers) {
		this.kind = kind;
		this.reason = Objects.requireNonNull(reason, "reason");
		this.retryAfter = retryAfter;
		this.quota = quota;
		this.code = code;
		this.trailers = trailers;
	}

	/**
	 * Credentials are missing where some are needed, or bad, expired, revoked or doubled.
	 * Whatever the reason, the caller gets the same bytes.
	 * @param reason for audit and logs; names no token, key or claim
	 * @return a refusal with {@code UNAUTHENTICATED}
	 */
	public static Refusal unauthenticated(String reason) {
		return new Refusal(Kind.UNAUTHENTICATED, reason, null, null, null, null);
	}

	/**
	 * A known caller is not allowed to do this.
	 * @param reason for audit and logs, such as the rule that denied
	 * @return a refusal with {@code PERMISSION_DENIED}
	 */
	public static Refusal accessDenied(String reason) {
		return new Refusal(Kind.ACCESS_DENIED, reason, null, null, null, null);
	}

	/**
	 * The caller is over a limit.
	 * @param quota the name of the limit, for audit and logs
	 * @param retryAfter the time after which the same call can be admitted, zero or more;
	 * {@code null} when it never can
	 * @return a refusal with {@code RESOURCE_EXHAUSTED} and the retry hints of gRFC A6
	 */
	public static Refusal overLimit(String quota, @Nullable Duration retryAfter) {
		return new Refusal(Kind.OVER_LIMIT, "over limit " + quota, retryAfter, quota, null, null);
	}

	/**
	 * A guard cannot decide, because something it asks is down.
	 * @param reason for audit and logs
	 * @return a refusal with {@code UNAVAILABLE}
	 */
	public static Refusal unavailable(String reason) {
		return new Refusal(Kind.UNAVAILABLE, reason, null, null, null, null);
	}

	/**
	 * The call or one of its messages is malformed or fails validation.
	 * @param reason for audit and logs
	 * @return a refusal with {@code INVALID_ARGUMENT}
	 */
	public static Refusal malformed(String reason) {
		return new Refusal(Kind.MALFORMED, reason, null, null, null, null);
	}

	/**
	 * A message is larger than the server takes, as it is or after decompression.
	 * @param reason for audit and logs
	 * @return a refusal with {@code RESOURCE_EXHAUSTED} and no hint to try again
	 */
	public static Refusal tooLarge(String reason) {
		return new Refusal(Kind.TOO_LARGE, reason, null, null, null, null);
	}

	/**
	 * The caller must not learn whether what it asks for exists. It gets the same bytes
	 * as from a handler that answers {@code Status.NOT_FOUND} without a description.
	 * @param reason for audit and logs, such as the rule that denied
	 * @return a refusal with {@code NOT_FOUND}
	 */
	public static Refusal notFound(String reason) {
		return new Refusal(Kind.NOT_FOUND, reason, null, null, null, null);
	}

	/**
	 * The server has no such method, or cannot read the message encoding.
	 * @param reason for audit and logs
	 * @return a refusal with {@code UNIMPLEMENTED}
	 */
	public static Refusal unimplemented(String reason) {
		return new Refusal(Kind.UNIMPLEMENTED, reason, null, null, null, null);
	}

	/**
	 * The same refusal under another status, for guards whose status is a setting.
	 * @param code the status the caller gets
	 * @return a copy with this status; sentence and trailers stay those of its kind
	 */
	public Refusal withCode(Status.Code code) {
		return new Refusal(this.kind, this.reason, this.retryAfter, this.quota, code, this.trailers);
	}

	/**
	 * The same refusal with more trailers, such as the field violations of a message.
	 * @param trailers adds them; is asked once for each call that is refused
	 * @return a copy that also asks {@code trailers}
	 */
	public Refusal withTrailers(TrailersCustomizer trailers) {
		return new Refusal(this.kind, this.reason, this.retryAfter, this.quota, this.code, trailers);
	}

	/**
	 * What kind of refusal this is.
	 * @return the kind, which fixes the sentence and the trailers
	 */
	public Kind kind() {
		return this.kind;
	}

	/**
	 * Why, for audit and logs; never sent to the caller.
	 * @return a sentence without credentials in it
	 */
	public String reason() {
		return this.reason;
	}

	/**
	 * When the same call can be admitted.
	 * @return the time to wait; {@code null} when waiting does not help or is unknown
	 */
	public @Nullable Duration retryAfter() {
		return this.retryAfter;
	}

	/**
	 * The limit that was hit.
	 * @return its name, for audit and logs; {@code null} for other kinds of refusal
	 */
	public @Nullable String quota() {
		return this.quota;
	}

	/**
	 * The status the caller gets.
	 * @return the code of this refusal
	 */
	public Status.Code code() {
		return (this.code != null) ? this.code : this.kind.code();
	}

	@Nullable TrailersCustomizer trailersCustomizer() {
		return this.trailers;
	}

	@Override
	public String toString() {
		return code() + ": " + this.reason;
	}

	/** The kinds of refusal, each with its own status and fixed sentence. */
	public enum Kind {

		/** No credentials, or bad ones. */
		UNAUTHENTICATED(Status.Code.UNAUTHENTICATED, "authentication failed"),

		/** A known caller, not allowed. */
		ACCESS_DENIED(Status.Code.PERMISSION_DENIED, "access denied"),

		/** A known caller, not allowed and not to know of what. */
		NOT_FOUND(Status.Code.NOT_FOUND, ""),

		/** Over a rate or concurrency limit. */
		OVER_LIMIT(Status.Code.RESOURCE_EXHAUSTED, "limit exceeded"),

		/** A message or its metadata is too large. */
		TOO_LARGE(Status.Code.RESOURCE_EXHAUSTED, "message too large"),

		/** A guard cannot decide. */
		UNAVAILABLE(Status.Code.UNAVAILABLE, "temporarily unavailable"),

		/** Malformed headers or messages. */
		MALFORMED(Status.Code.INVALID_ARGUMENT, "invalid argument"),

		/** No such method. */
		UNIMPLEMENTED(Status.Code.UNIMPLEMENTED, "not implemented");

		private final Status.Code code;

		private final String sentence;

		Kind(Status.Code code, String sentence) {
			this.code = code;
			this.sentence = sentence;
		}

		/**
		 * The status of this kind.
		 * @return the code
		 */
		public Status.Code code() {
			return this.code;
		}

		/**
		 * What the caller reads.
		 * @return the same sentence for every cause; empty if it reads none
		 */
		public String sentence() {
			return this.sentence;
		}

	}

	/** Adds trailers to one refused call. */
	@FunctionalInterface
	public interface TrailersCustomizer {

		/**
		 * Adds what this refusal has to say beyond its sentence.
		 * @param trailers the trailers about to be sent
		 */
		void customize(Metadata trailers);

	}

}
