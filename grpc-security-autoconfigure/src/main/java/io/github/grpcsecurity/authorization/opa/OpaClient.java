package io.github.grpcsecurity.authorization.opa;

import java.net.ConnectException;
import java.net.URI;
import java.net.http.HttpRequest;
import java.net.http.HttpTimeoutException;
import java.time.Duration;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.Executor;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.LongSupplier;

import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLException;

import io.github.grpcsecurity.authorization.opa.OpaObserver.Outcome;
import io.github.grpcsecurity.remote.CircuitBreaker;
import io.github.grpcsecurity.remote.HttpStatusException;
import io.github.grpcsecurity.remote.RemoteHttp;
import org.apache.commons.logging.Log;
import org.apache.commons.logging.LogFactory;
import org.jspecify.annotations.Nullable;

/**
 * Brings questions to OPA's Data API. There is always an answer and no thread waits for
 * it: whatever goes wrong is a failure, and while OPA is down, or too much is asked at
 * once, nobody is asked. Thread-safe.
 */
final class OpaClient {

	private static final Log logger = LogFactory.getLog(OpaClient.class);

	private static final int MAX_BYTES = 64 * 1024;

	private static final int MAX_FAILURES = 5;

	private static final Duration PATIENCE = Duration.ofMillis(500);

	private static final Duration PROBE_INTERVAL = Duration.ofSeconds(1);

	/** OPA's own word for a policy that fails: it is there, and tells so. */
	private static final int EVALUATION_FAILED = 500;

	private static final CompletableFuture<OpaAnswer> DOWN = CompletableFuture
		.completedFuture(OpaAnswer.failure("it is down"));

	private static final CompletableFuture<OpaAnswer> BUSY = CompletableFuture
		.completedFuture(OpaAnswer.failure("too much is asked at once"));

	private final Executor executor;

	private final Duration timeout;

	private final URI uri;

	private final @Nullable TokenFile token;

	private final int maxConcurrent;

	private final CircuitBreaker breaker;

	private final AtomicInteger asking = new AtomicInteger();

	private volatile RemoteHttp http;

	OpaClient(URI uri, Executor executor, Duration timeout, int maxConcurrent, @Nullable TokenFile token,
			@Nullable SSLContext tls, LongSupplier nanoClock) {
		this.uri = uri;
		this.executor = executor;
		this.timeout = timeout;
		this.maxConcurrent = maxConcurrent;
		this.token = token;
		this.breaker = new CircuitBreaker(true, MAX_FAILURES, PATIENCE, PROBE_INTERVAL, nanoClock);
		this.http = new RemoteHttp(executor, timeout, MAX_BYTES, tls);
	}

	/** Speaks HTTPS with other trust and keys from now on. */
	void tls(SSLContext tls) {
		this.http = new RemoteHttp(this.executor, this.timeout, MAX_BYTES, tls);
	}

	/**
	 * Asks.
	 * @param input the question
	 * @return completes with the answer, never exceptionally
	 */
	CompletableFuture<OpaAnswer> ask(byte[] input) {
		boolean probe = false;
		if (!this.breaker.closed()) {
			probe = this.breaker.startProbe();
			if (!probe) {
				return DOWN;
			}
		}
		if (this.asking.incrementAndGet() > this.maxConcurrent && !probe) {
			this.asking.decrementAndGet();
			return BUSY;
		}
		boolean probing = probe;
		return this.http.send(() -> request(input)).handle((body, failure) -> {
			this.asking.decrementAndGet();
			Throwable cause = (failure instanceof CompletionException && failure.getCause() != null)
					? failure.getCause() : failure;
			OpaAnswer answer = (cause != null) ? failure(cause) : OpaAnswer.read(body);
			report(answer, cause, probing);
			return answer;
		});
	}

	private HttpRequest.Builder request(byte[] input) {
		HttpRequest.Builder request = HttpRequest.newBuilder(this.uri)
			.header("accept", "application/json")
			.header("content-type", "application/json")
			.POST(HttpRequest.BodyPublishers.ofByteArray(input));
		if (this.token != null) {
			request.header("authorization", "Bearer " + this.token.token());
		}
		return request;
	}

	private static OpaAnswer failure(Throwable cause) {
		return OpaAnswer.failure(describe(cause), (cause instanceof HttpStatusException status) ? status.status() : 0);
	}

	/** Without what a message of an exception may quote. */
	private static String describe(Throwable failure) {
		if (failure instanceof HttpStatusException status) {
			return "it answered with HTTP status " + status.status();
		}
		if (failure instanceof ConnectException) {
			return "it cannot be reached";
		}
		if (failure instanceof HttpTimeoutException || failure instanceof TimeoutException) {
			return "it did not answer in time";
		}
		if (failure instanceof SSLException) {
			return "TLS with it failed";
		}
		return "asking failed with " + failure.getClass().getSimpleName();
	}

	private void report(OpaAnswer answer, @Nullable Throwable cause, boolean probe) {
		boolean up = answer.outcome() != Outcome.FAILURE
				|| (cause instanceof HttpStatusException status && status.status() == EVALUATION_FAILED);
		if (probe) {
			this.breaker.probed(up);
			if (up) {
				logger.info("OPA at " + this.uri + " answers again");
			}
		}
		else if (up) {
			this.breaker.succeeded();
		}
		else if (!(cause instanceof RejectedExecutionException) && this.breaker.failed()) {
			logger.warn("OPA at " + this.uri + " is not asked for now, except once a second whether it is back: "
					+ answer.detail());
		}
		if (cause != null && logger.isDebugEnabled()) {
			logger.debug("Could not ask OPA at " + this.uri, cause);
		}
	}

}
