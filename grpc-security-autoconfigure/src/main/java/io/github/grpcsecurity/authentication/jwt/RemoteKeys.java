package io.github.grpcsecurity.authentication.jwt;

import java.time.Duration;
import java.time.Instant;
import java.time.InstantSource;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.Future;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.Supplier;

import org.apache.commons.logging.Log;
import org.apache.commons.logging.LogFactory;
import org.jspecify.annotations.Nullable;

/**
 * The keys of an issuer that publishes them on a server.
 * <p>
 * They are fetched in the background before they get old, and out of turn when a token
 * names a key that is not there: then at most once in 30 seconds, never twice at a time,
 * and all in all at most twice a minute. Only while there are no keys at all, so that
 * every call is refused, the first attempts follow each other faster. Keys that were good
 * once stay in force while the server is down or answers nonsense, but not for ever: then
 * a withdrawn key must not be trusted any longer.
 */
final class RemoteKeys implements IssuerKeys {

	static final Duration REFRESH_INTERVAL = Duration.ofMinutes(5).minusSeconds(30);

	static final Duration UNKNOWN_KEY_INTERVAL = Duration.ofSeconds(30);

	private static final Duration WINDOW = Duration.ofMinutes(1);

	private static final Duration FIRST_RETRY = Duration.ofSeconds(1);

	private static final Duration LAST_RETRY = Duration.ofSeconds(30);

	private static final Log logger = LogFactory.getLog(RemoteKeys.class);

	private final String issuer;

	private final Supplier<CompletableFuture<VerificationKeys>> source;

	private final ScheduledExecutorService scheduler;

	private final InstantSource clock;

	private final Duration outageTolerance;

	private final AtomicLong successes = new AtomicLong();

	private final AtomicLong failuresInAll = new AtomicLong();

	private volatile @Nullable Snapshot snapshot;

	private volatile @Nullable String lastFailure;

	// All below: guarded by this

	private @Nullable CompletableFuture<Boolean> inFlight;

	private @Nullable Future<?> next;

	private Instant lastAttempt = Instant.MIN;

	private Instant attemptBefore = Instant.MIN;

	private Instant lastDemand = Instant.MIN;

	private boolean answering;

	private int failures;

	private boolean closed;

	RemoteKeys(String issuer, Supplier<CompletableFuture<VerificationKeys>> source, ScheduledExecutorService scheduler,
			InstantSource clock, Duration outageTolerance) {
		this.issuer = issuer;
		this.source = source;
		this.scheduler = scheduler;
		this.clock = clock;
		this.outageTolerance = outageTolerance;
	}

	private record Snapshot(VerificationKeys keys, Instant fetched, long until) {
	}

	@Override
	public @Nullable VerificationKeys current() {
		Snapshot current = this.snapshot;
		return (current != null && this.clock.millis() <= current.until()) ? current.keys() : null;
	}

	@Override
	public CompletableFuture<Boolean> refresh() {
		CompletableFuture<Boolean> result;
		synchronized (this) {
			if (this.inFlight != null) {
				return this.inFlight;
			}
			Instant now = this.clock.instant();
			if (this.closed || !mayAsk(now)) {
				return CompletableFuture.completedFuture(this.answering);
			}
			result = begin(now);
		}
		fetch(result);
		return result;
	}

	private boolean mayAsk(Instant now) {
		if (current() == null) {
			return this.failures == 0 || !now.isBefore(this.lastAttempt.plus(retryDelay()));
		}
		if (now.isBefore(after(this.lastDemand, UNKNOWN_KEY_INTERVAL)) || now.isBefore(windowEnd())) {
			return false;
		}
		this.lastDemand = now;
		return true;
	}

	/** From when on another attempt is no third one in a minute. */
	private Instant windowEnd() {
		return after(this.attemptBefore, WINDOW);
	}

	private static Instant after(Instant instant, Duration duration) {
		return instant.equals(Instant.MIN) ? Instant.MIN : instant.plus(duration);
	}

	@Override
	public CompletableFuture<Boolean> start() {
		CompletableFuture<Boolean> result;
		synchronized (this) {
			if (this.inFlight != null) {
				return this.inFlight;
			}
			if (this.closed) {
				return CompletableFuture.completedFuture(current() != null);
			}
			result = begin(this.clock.instant());
		}
		fetch(result);
		return result;
	}

	private void again() {
		synchronized (this) {
			Instant now = this.clock.instant();
			if (current() != null && now.isBefore(windowEnd())) {
				schedule(Duration.between(now, windowEnd()));
				return;
			}
		}
		CompletableFuture<Boolean> unused = start();
	}

	private CompletableFuture<Boolean> begin(Instant now) {
		CompletableFuture<Boolean> result = new CompletableFuture<>();
		this.attemptBefore = this.lastAttempt;
		this.lastAttempt = now;
		this.inFlight = result;
		return result;
	}

	private void fetch(CompletableFuture<Boolean> result) {
		CompletableFuture<VerificationKeys> fetched;
		try {
			fetched = this.source.get();
		}
		catch (RuntimeException ex) {
			fetched = CompletableFuture.failedFuture(ex);
		}
		fetched.thenAccept((keys) -> {
			succeeded(keys);
			result.complete(true);
		}).exceptionally((failure) -> {
			failed(failure);
			result.complete(false);
			return null;
		});
	}

	private synchronized void succeeded(VerificationKeys keys) {
		if (this.failures > 0) {
			logger.info("Fetched the keys of issuer " + this.issuer + " again");
		}
		this.inFlight = null;
		Instant now = this.clock.instant();
		this.snapshot = new Snapshot(keys, now, now.plus(this.outageTolerance).toEpochMilli());
		this.answering = true;
		this.failures = 0;
		this.lastFailure = null;
		this.successes.incrementAndGet();
		schedule(REFRESH_INTERVAL);
	}

	private synchronized void failed(Throwable failure) {
		this.inFlight = null;
		this.answering = false;
		this.failures++;
		this.lastFailure = cause(failure).toString();
		this.failuresInAll.incrementAndGet();
		warn(failure);
		schedule((current() != null) ? LAST_RETRY : retryDelay());
	}

	private Duration retryDelay() {
		Duration retry = FIRST_RETRY.multipliedBy(1L << Math.min(this.failures - 1, 5));
		return (retry.compareTo(LAST_RETRY) < 0) ? retry : LAST_RETRY;
	}

	// Once per outage: the retries would only repeat it
	private void warn(Throwable failure) {
		String consequence = (current() != null)
				? "the last good keys stay in force for up to " + this.outageTolerance.toMinutes() + " minutes"
				: "its tokens cannot be verified, and their calls are refused";
		if (this.failures == 1) {
			logger.warn(
					"Could not fetch the keys of issuer " + this.issuer + " (" + cause(failure) + "): " + consequence);
		}
		logger.debug("Could not fetch the keys of issuer " + this.issuer, failure);
	}

	private static Throwable cause(Throwable failure) {
		Throwable cause = failure.getCause();
		return (failure instanceof CompletionException && cause != null) ? cause : failure;
	}

	private void schedule(Duration delay) {
		if (this.next != null) {
			this.next.cancel(false);
		}
		if (this.closed) {
			return;
		}
		try {
			this.next = this.scheduler.schedule(this::again, delay.toMillis(), TimeUnit.MILLISECONDS);
		}
		catch (RejectedExecutionException ex) {
			logger.debug("Shutting down: keys are not refreshed any more", ex);
		}
	}

	@Override
	public RemoteKeys remote() {
		return this;
	}

	synchronized boolean fetching() {
		return this.inFlight != null;
	}

	/** When the keys in force were fetched; {@code null} if there never were any. */
	@Nullable Instant fetched() {
		Snapshot current = this.snapshot;
		return (current != null) ? current.fetched() : null;
	}

	/** Why the last attempt failed; {@code null} if it did not. */
	@Nullable String lastFailure() {
		return this.lastFailure;
	}

	long successes() {
		return this.successes.get();
	}

	long failures() {
		return this.failuresInAll.get();
	}

	/** Seconds since the keys in force were fetched; not a number without keys. */
	double ageInSeconds() {
		Instant fetched = fetched();
		return (fetched != null) ? Duration.between(fetched, this.clock.instant()).toMillis() / 1000d : Double.NaN;
	}

	@Override
	public synchronized void close() {
		this.closed = true;
		if (this.next != null) {
			this.next.cancel(false);
		}
	}

}
