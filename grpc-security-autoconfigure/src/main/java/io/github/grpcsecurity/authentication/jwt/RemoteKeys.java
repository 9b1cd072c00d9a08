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
import java.util.function.Supplier;

import org.apache.commons.logging.Log;
import org.apache.commons.logging.LogFactory;
import org.jspecify.annotations.Nullable;

/**
 * The keys of an issuer that publishes them on a server.
 * <p>
 * They are fetched in the background before they get old, and out of turn when a token
 * names a key that is not there, at most once in 30 seconds and never twice at a time.
 * Keys that were good once stay in force while the server is down or answers nonsense,
 * for four hours at most: then a withdrawn key must not be trusted any longer.
 */
final class RemoteKeys implements IssuerKeys {

	static final Duration REFRESH_INTERVAL = Duration.ofMinutes(5).minusSeconds(30);

	static final Duration UNKNOWN_KEY_INTERVAL = Duration.ofSeconds(30);

	static final Duration OUTAGE_TOLERANCE = Duration.ofHours(4);

	private static final Duration FIRST_RETRY = Duration.ofSeconds(1);

	private static final Duration LAST_RETRY = Duration.ofSeconds(30);

	private static final Log logger = LogFactory.getLog(RemoteKeys.class);

	private final String issuer;

	private final Supplier<CompletableFuture<VerificationKeys>> source;

	private final ScheduledExecutorService scheduler;

	private final InstantSource clock;

	private volatile @Nullable Snapshot snapshot;

	// All below: guarded by this

	private @Nullable CompletableFuture<Boolean> inFlight;

	private @Nullable Future<?> next;

	private Instant lastAttempt = Instant.MIN;

	private Instant lastDemand = Instant.MIN;

	private boolean answering;

	private int failures;

	private boolean closed;

	RemoteKeys(String issuer, Supplier<CompletableFuture<VerificationKeys>> source, ScheduledExecutorService scheduler,
			InstantSource clock) {
		this.issuer = issuer;
		this.source = source;
		this.scheduler = scheduler;
		this.clock = clock;
	}

	private record Snapshot(VerificationKeys keys, Instant fetched) {
	}

	@Override
	public @Nullable VerificationKeys current() {
		Snapshot current = this.snapshot;
		if (current == null || current.fetched().plus(OUTAGE_TOLERANCE).isBefore(this.clock.instant())) {
			return null;
		}
		return current.keys();
	}

	@Override
	public CompletableFuture<Boolean> refresh() {
		CompletableFuture<Boolean> result;
		synchronized (this) {
			if (this.inFlight != null) {
				return this.inFlight;
			}
			Instant now = this.clock.instant();
			boolean haveKeys = current() != null;
			Instant last = haveKeys ? this.lastDemand : this.lastAttempt;
			Duration interval = haveKeys ? UNKNOWN_KEY_INTERVAL : FIRST_RETRY;
			if (this.closed || (!last.equals(Instant.MIN) && now.isBefore(last.plus(interval)))) {
				return CompletableFuture.completedFuture(this.answering);
			}
			if (haveKeys) {
				this.lastDemand = now;
			}
			result = begin(now);
		}
		fetch(result);
		return result;
	}

	@Override
	public void start() {
		CompletableFuture<Boolean> result;
		synchronized (this) {
			if (this.closed || this.inFlight != null) {
				return;
			}
			result = begin(this.clock.instant());
		}
		fetch(result);
	}

	private CompletableFuture<Boolean> begin(Instant now) {
		CompletableFuture<Boolean> result = new CompletableFuture<>();
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
		this.snapshot = new Snapshot(keys, this.clock.instant());
		this.answering = true;
		this.failures = 0;
		schedule(REFRESH_INTERVAL);
	}

	private synchronized void failed(Throwable failure) {
		this.inFlight = null;
		this.answering = false;
		this.failures++;
		warn(failure);
		Duration retry = FIRST_RETRY.multipliedBy(1L << Math.min(this.failures - 1, 5));
		schedule((retry.compareTo(LAST_RETRY) < 0) ? retry : LAST_RETRY);
	}

	// Once per outage: the retries would only repeat it
	private void warn(Throwable failure) {
		String consequence = (current() != null)
				? "the last good keys stay in force for up to " + OUTAGE_TOLERANCE.toHours() + " hours"
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
			this.next = this.scheduler.schedule(this::start, delay.toMillis(), TimeUnit.MILLISECONDS);
		}
		catch (RejectedExecutionException ex) {
			logger.debug("Shutting down: keys are not refreshed any more", ex);
		}
	}

	@Override
	public synchronized void close() {
		this.closed = true;
		if (this.next != null) {
			this.next.cancel(false);
		}
	}

}
