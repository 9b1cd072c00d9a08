package io.github.grpcsecurity.server;

import java.time.Duration;
import java.util.EnumSet;
import java.util.Set;
import java.util.concurrent.ThreadLocalRandom;

import com.google.protobuf.Any;
import com.google.rpc.ErrorInfo;
import com.google.rpc.QuotaFailure;
import com.google.rpc.RetryInfo;
import io.grpc.Metadata;
import io.grpc.Status;
import io.grpc.StatusException;
import io.grpc.StatusRuntimeException;
import io.grpc.protobuf.ProtoUtils;
import org.apache.commons.logging.Log;
import org.apache.commons.logging.LogFactory;
import org.jspecify.annotations.Nullable;

import org.springframework.security.access.AccessDeniedException;
import org.springframework.security.core.AuthenticationException;

/**
 * The one place that turns refusals, exceptions and the statuses of handlers into what a
 * caller gets to see.
 * <p>
 * Instances are immutable and thread-safe.
 *
 * @since 0.1.0
 */
public final class StatusTranslator {

	/** Ties the {@code INTERNAL} that a caller got to the log line with its cause. */
	public static final Metadata.Key<String> CORRELATION_ID = Metadata.Key.of("x-correlation-id",
			Metadata.ASCII_STRING_MARSHALLER);

	/** How long a client waits before it tries again, in milliseconds (gRFC A6). */
	public static final Metadata.Key<String> RETRY_PUSHBACK = Metadata.Key.of("grpc-retry-pushback-ms",
			Metadata.ASCII_STRING_MARSHALLER);

	/** How long a client waits before it tries again, in seconds (RFC 9110 10.2.3). */
	public static final Metadata.Key<String> RETRY_AFTER = Metadata.Key.of("retry-after",
			Metadata.ASCII_STRING_MARSHALLER);

	/** Which credentials the server takes (RFC 9110 11.6.1, RFC 6750 3). */
	public static final Metadata.Key<String> WWW_AUTHENTICATE = Metadata.Key.of("www-authenticate",
			Metadata.ASCII_STRING_MARSHALLER);

	private static final Log logger = LogFactory.getLog(StatusTranslator.class);

	private static final Metadata.Key<com.google.rpc.Status> DETAILS = Metadata.Key.of("grpc-status-details-bin",
			ProtoUtils.metadataMarshaller(com.google.rpc.Status.getDefaultInstance()));

	/** What nobody waits for need not be spread. */
	private static final Duration MAX_SPREAD = Duration.ofDays(365);

	private static final String INTERNAL_ERROR = "internal error";

	/** What the bearer challenge says, whatever the cause. */
	private static final String CHALLENGE = "Bearer error=\"invalid_token\"";

	private static final Set<Status.Code> SERVER_FAULTS = EnumSet.of(Status.Code.INTERNAL, Status.Code.UNKNOWN,
			Status.Code.DATA_LOSS);

	private final Set<Status.Code> exposeDescriptions;

	/**
	 * Creates a translator.
	 * @param exposeDescriptions the codes whose description and trailers reach the caller
	 * as a handler set them; those of other codes stay inside
	 */
	public StatusTranslator(Set<Status.Code> exposeDescriptions) {
		this.exposeDescriptions = exposeDescriptions.isEmpty() ? Set.of() : EnumSet.copyOf(exposeDescriptions);
	}

	/** What a call is closed with. */
	record Closing(Status status, Metadata trailers) {
	}

	Closing refused(Refusal refusal) {
		Status status = Status.fromCode(refusal.code());
		if (!refusal.kind().sentence().isEmpty()) {
			status = status.withDescription(refusal.kind().sentence());
		}
		Metadata trailers = new Metadata();
		switch (refusal.kind()) {
			case UNAUTHENTICATED -> trailers.put(WWW_AUTHENTICATE, CHALLENGE);
			case OVER_LIMIT -> retryHints(status, spread(refusal.retryAfter()), trailers);
			default -> {
			}
		}
		Refusal.TrailersCustomizer customizer = refusal.trailersCustomizer();
		if (customizer != null) {
			try {
				customizer.customize(trailers);
			}
			catch (RuntimeException ex) {
				logger.warn("Trailers of a refusal could not be made", ex);
			}
		}
		return new Closing(status, trailers);
	}

	/** Up to a tenth more: or all who were refused would come back at the same moment. */
	private static @Nullable Duration spread(@Nullable Duration retryAfter) {
		if (retryAfter == null || retryAfter.compareTo(MAX_SPREAD) > 0) {
			return retryAfter;
		}
		return retryAfter.plusNanos((long) (retryAfter.toNanos() * ThreadLocalRandom.current().nextDouble(0.1)));
	}

	private static void retryHints(Status status, @Nullable Duration retryAfter, Metadata trailers) {
		com.google.rpc.Status.Builder details = com.google.rpc.Status.newBuilder()
			.setCode(status.getCode().value())
			.setMessage(String.valueOf(status.getDescription()))
			.addDetails(Any.pack(ErrorInfo.newBuilder().setReason("RATE_LIMITED").setDomain("grpc.security").build()))
			.addDetails(Any.pack(QuotaFailure.newBuilder()
				.addViolations(QuotaFailure.Violation.newBuilder().setDescription("limit exceeded"))
				.build()));
		if (retryAfter == null) {
			// gRFC A6: a negative value means never
			trailers.put(RETRY_PUSHBACK, "-1");
		}
		else {
			long millis = ceil(retryAfter, 1_000_000);
			trailers.put(RETRY_PUSHBACK, Long.toString(Math.min(millis, Integer.MAX_VALUE)));
			trailers.put(RETRY_AFTER, Long.toString(ceil(retryAfter, 1_000_000_000)));
			details.addDetails(Any.pack(RetryInfo.newBuilder()
				.setRetryDelay(com.google.protobuf.Duration.newBuilder()
					.setSeconds(retryAfter.getSeconds())
					.setNanos(retryAfter.getNano()))
				.build()));
		}
		trailers.put(DETAILS, details.build());
	}

	private static long ceil(Duration duration, long nanosPerUnit) {
		long units = duration.getSeconds() * (1_000_000_000 / nanosPerUnit);
		return units + (duration.getNano() + nanosPerUnit - 1) / nanosPerUnit;
	}

	/** What the caller gets when a handler, or an interceptor before it, threw. */
	Closing thrown(SecuredCall call, Throwable thrown) {
		if (thrown instanceof StatusRuntimeException ex) {
			return sent(call, ex.getStatus(), ex.getTrailers());
		}
		if (thrown instanceof StatusException ex) {
			return sent(call, ex.getStatus(), ex.getTrailers());
		}
		Refusal refusal = refusal(call, thrown);
		if (refusal != null) {
			call.endedBy(refusal);
			return refused(refusal);
		}
		return internal(call, Status.Code.INTERNAL, thrown);
	}

	/** What the caller gets when a handler closed the call. */
	Closing sent(SecuredCall call, Status status, @Nullable Metadata trailers) {
		if (status.isOk()) {
			return new Closing(status, (trailers != null) ? trailers : new Metadata());
		}
		Throwable cause = status.getCause();
		// How the stubs pass on what was given to onError and is no status
		if (status.getCode() == Status.Code.UNKNOWN && cause != null && !(cause instanceof StatusRuntimeException)
				&& !(cause instanceof StatusException)) {
			return thrown(call, cause);
		}
		if (this.exposeDescriptions.contains(status.getCode())) {
			return new Closing(status, (trailers != null) ? trailers : new Metadata());
		}
		if (SERVER_FAULTS.contains(status.getCode())) {
			return internal(call, status.getCode(), status.asRuntimeException());
		}
		if (logger.isDebugEnabled()) {
			logger.debug("Call " + call.id() + " to " + describe(call) + " ended with " + status);
		}
		return new Closing(Status.fromCode(status.getCode()), new Metadata());
	}

	private Closing internal(SecuredCall call, Status.Code code, Throwable cause) {
		logger.error("Call " + call.id() + " to " + describe(call) + " failed; its caller got " + code
				+ " and this id as x-correlation-id", cause);
		Metadata trailers = new Metadata();
		trailers.put(CORRELATION_ID, call.id());
		return new Closing(Status.fromCode(code).withDescription(INTERNAL_ERROR), trailers);
	}

	private static String describe(SecuredCall call) {
		MethodPlan plan = call.plan();
		return (plan != null) ? plan.method().fullName() : "an unknown method";
	}

	/** The refusal that a Spring Security exception stands for. */
	static @Nullable Refusal refusal(SecuredCall call, Throwable thrown) {
		if (thrown instanceof AccessDeniedException) {
			return call.anonymous() ? Refusal.unauthenticated("no credentials, and access was denied")
					: Refusal.accessDenied("the handler or a check denied access");
		}
		if (thrown instanceof AuthenticationException) {
			return Refusal.unauthenticated("the handler or a check refused the credentials");
		}
		return null;
	}

}
