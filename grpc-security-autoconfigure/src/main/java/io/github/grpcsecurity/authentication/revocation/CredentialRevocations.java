package io.github.grpcsecurity.authentication.revocation;

import java.time.Duration;
import java.time.Instant;
import java.time.InstantSource;
import java.util.Collection;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.Future;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.function.LongSupplier;

import io.github.grpcsecurity.authentication.CredentialCheck;
import io.github.grpcsecurity.authentication.revocation.Revocation.Kind;
import io.github.grpcsecurity.authentication.revocation.RevocationSettings.OnFailure;
import io.github.grpcsecurity.server.Refusal;
import io.github.grpcsecurity.server.VerifiedCredential;
import org.apache.commons.logging.Log;
import org.apache.commons.logging.LogFactory;
import org.jspecify.annotations.Nullable;

/**
 * Revokes tokens, subjects and keys before they run out by themselves.
 * <p>
 * An application injects it and says what is revoked. That is in force here at once, and
 * on other servers as soon as they hear of it: calls are refused, and calls that are open
 * end. What is revoked cannot be taken back; who should be let in again gets a new
 * credential.
 * <p>
 * This server keeps a copy of everything that is revoked, so that a call waits for
 * nobody. Where a {@link RevocationStore} is shared, the copy is filled at the start, is
 * told of changes and is compared every now and then; whatever the store has lost is
 * written back. As long as the copy has never been filled, or was compared too long ago,
 * {@link OnFailure} decides. Thread-safe.
 *
 * @since 0.1.0
 */
public final class CredentialRevocations implements CredentialCheck, AutoCloseable {

	private static final Log logger = LogFactory.getLog(CredentialRevocations.class);

	/** Tokens may be taken for so much longer than they say, whatever the clock skew. */
	private static final Duration GRACE = Duration.ofMinutes(10);

	private static final Duration RETRY_DELAY = Duration.ofSeconds(1);

	private static final Duration TIMEOUT = Duration.ofSeconds(5);

	private static final Refusal UNKNOWN = Refusal.unavailable("revocations have never been loaded");

	private static final Refusal STALE = Refusal.unavailable("revocations have not been compared for too long");

	private final @Nullable RevocationStore store;

	private final RevocationSettings settings;

	private final ScheduledExecutorService timer;

	private final InstantSource clock;

	private final LongSupplier nanoClock;

	private final RevocationTable table;

	private final List<Runnable> listeners = new CopyOnWriteArrayList<>();

	private final AtomicBoolean localAnnounced = new AtomicBoolean();

	private final CompletableFuture<Boolean> firstAttempt = new CompletableFuture<>();

	private volatile boolean loaded;

	private volatile long comparedAt;

	/** Failures since the last success have been logged. */
	private volatile boolean warned;

	// Guarded by this
	private @Nullable String version;

	// Guarded by this: counts what makes the version that is known worthless
	private int doubts;

	// Guarded by this
	private boolean loading;

	// Guarded by this
	private boolean again;

	// Guarded by this
	private @Nullable Future<?> next;

	// Guarded by this
	private boolean closed;

	/**
	 * Knows of no revocation yet.
	 * @param store where other servers share what is revoked; {@code null} if this server
	 * is alone
	 * @param settings the settings
	 * @param timer for short tasks
	 * @param clock tells which revocations are over
	 * @param nanoClock a clock that never goes back, such as {@link System#nanoTime()}
	 */
	public CredentialRevocations(@Nullable RevocationStore store, RevocationSettings settings,
			ScheduledExecutorService timer, InstantSource clock, LongSupplier nanoClock) {
		this.store = store;
		this.settings = settings;
		this.timer = timer;
		this.clock = clock;
		this.nanoClock = nanoClock;
		this.table = new RevocationTable(settings.maxEntries());
	}

	/**
	 * Fills the copy and keeps it up to date from then on. Waits until that has succeeded
	 * or failed once, so that a server that starts does not refuse its first calls; a
	 * failure is logged and tried again.
	 */
	public void start() {
		RevocationStore shared = this.store;
		if (shared == null) {
			return;
		}
		shared.follow(this::heard, this::compare);
		compare();
		try {
			this.firstAttempt.get(TIMEOUT.toMillis(), TimeUnit.MILLISECONDS);
		}
		catch (InterruptedException ex) {
			Thread.currentThread().interrupt();
		}
		catch (Exception ex) {
			logger.debug("Revocations are still being loaded", ex);
		}
	}

	/**
	 * Revokes one token.
	 * @param issuer its {@code iss}; {@code null} for a token of whichever issuer
	 * @param jti its {@code jti}
	 * @param until when the token runs out by itself; from some minutes later on nobody
	 * remembers this
	 * @return completes when other servers can know; exceptionally if they cannot yet.
	 * What is shared later by itself is in force here in any case.
	 * @throws IllegalStateException if more is revoked already than this server can know
	 */
	public CompletionStage<Void> revokeToken(@Nullable String issuer, String jti, Instant until) {
		return revoke(new Revocation(Kind.TOKEN, issuer, jti, null, later(until)));
	}

	/**
	 * Revokes all tokens of a subject that were issued before an instant, and those that
	 * do not tell when they were issued.
	 * @param issuer their {@code iss}; {@code null} for tokens of whichever issuer
	 * @param subject their {@code sub}; the name of the principal for those without one
	 * @param before the instant. Issuers count seconds: a token issued in the second of
	 * this instant is revoked too, unless the instant is its beginning.
	 * @return as for {@link #revokeToken}
	 * @throws IllegalStateException if more is revoked already than this server can know
	 */
	public CompletionStage<Void> revokeSubject(@Nullable String issuer, String subject, Instant before) {
		Instant now = this.clock.instant();
		return revoke(new Revocation(Kind.SUBJECT, issuer, subject, before,
				(before.isAfter(now) ? before : now).plus(this.settings.subjectTtl())));
	}

	/**
	 * Revokes all tokens that were signed with a key, for good.
	 * @param issuer their {@code iss}; {@code null} for tokens of whichever issuer, who
	 * may have called different keys the same
	 * @param keyId their {@code kid}
	 * @return as for {@link #revokeToken}
	 * @throws IllegalStateException if more is revoked already than this server can know
	 */
	public CompletionStage<Void> revokeKey(@Nullable String issuer, String keyId) {
		return revoke(new Revocation(Kind.KEY, issuer, keyId, null, Revocation.FOREVER));
	}

	/**
	 * Revokes an API key, for good.
	 * @param id the id of the key
	 * @return as for {@link #revokeToken}
	 * @throws IllegalStateException if more is revoked already than this server can know
	 */
	public CompletionStage<Void> revokeApiKey(String id) {
		return revoke(new Revocation(Kind.API_KEY, null, id, null, Revocation.FOREVER));
	}

	private static Instant later(Instant until) {
		return until.isAfter(Revocation.FOREVER) ? Revocation.FOREVER : until.plus(GRACE);
	}

	private CompletionStage<Void> revoke(Revocation revocation) {
		if (this.table.add(List.of(revocation), this.clock.instant())) {
			tell();
		}
		RevocationStore shared = this.store;
		if (shared == null) {
			if (this.localAnnounced.compareAndSet(false, true)) {
				logger.info("Revocations are kept in this server alone, until it stops");
			}
			return CompletableFuture.completedFuture(null);
		}
		if (!revocation.until().isAfter(this.clock.instant())) {
			return CompletableFuture.completedFuture(null);
		}
		return share(shared, List.of(revocation));
	}

	private CompletionStage<Void> share(RevocationStore shared, List<Revocation> revocations) {
		CompletionStage<?> added;
		try {
			added = shared.add(revocations);
		}
		catch (RuntimeException ex) {
			added = CompletableFuture.failedFuture(ex);
		}
		doubt();
		return added.<Void>handle((result, failure) -> {
			if (failure != null) {
				doubt();
				logger
					.warn("A revocation is in force in this server, but could not be shared yet: " + describe(failure));
				throw new IllegalStateException("Revoked in this server, but not shared with others yet", failure);
			}
			return null;
		});
	}

	/**
	 * The next time everything is read, to see what is missing there. A store may lose
	 * what it has just told, and then has the same version as before.
	 */
	private synchronized void doubt() {
		this.version = null;
		this.doubts++;
	}

	@Override
	public @Nullable Refusal check(VerifiedCredential credential) {
		Kind revoked = this.table.find(credential, this.clock.instant());
		if (revoked != null) {
			return Refusal.unauthenticated(switch (revoked) {
				case TOKEN -> "the token was revoked";
				case SUBJECT -> "the tokens of its subject were revoked";
				case KEY -> "the key of the token was revoked";
				case API_KEY -> "the API key was revoked";
			});
		}
		if (this.store == null || this.settings.onFailure() == OnFailure.ALLOW
				|| !RevocationTable.revocable(credential)) {
			return null;
		}
		if (!this.loaded) {
			return UNKNOWN;
		}
		return stale() ? STALE : null;
	}

	private boolean stale() {
		return this.nanoClock.getAsLong() - this.comparedAt > this.settings.maxAge().toNanos();
	}

	/**
	 * Tells of changes.
	 * @param listener called from any thread after something has been revoked; must not
	 * block
	 */
	public void onRevoked(Runnable listener) {
		this.listeners.add(listener);
	}

	private void tell() {
		for (Runnable listener : this.listeners) {
			try {
				listener.run();
			}
			catch (RuntimeException ex) {
				logger.error("A listener for revocations failed", ex);
			}
		}
	}

	private void heard(Revocation revocation) {
		doubt();
		try {
			learned(List.of(revocation));
		}
		catch (IllegalStateException ex) {
			// There is no room: the comparison fails for that, and says so
			compare();
		}
	}

	private void learned(Collection<Revocation> revocations) {
		boolean changed;
		try {
			changed = this.table.add(revocations, this.clock.instant());
		}
		catch (IllegalStateException ex) {
			tell();
			throw ex;
		}
		if (changed) {
			tell();
		}
	}

	/** Compares with the store soon. */
	private void compare() {
		RevocationStore shared = this.store;
		if (shared == null) {
			return;
		}
		String known;
		int doubtsBefore;
		synchronized (this) {
			if (this.closed) {
				return;
			}
			if (this.loading) {
				this.again = true;
				return;
			}
			this.loading = true;
			this.again = false;
			known = this.version;
			doubtsBefore = this.doubts;
			if (this.next != null) {
				this.next.cancel(false);
				this.next = null;
			}
		}
		long askedAt = this.nanoClock.getAsLong();
		CompletableFuture<RevocationStore.Contents> answer = new CompletableFuture<>();
		try {
			CompletionStage<RevocationStore.Contents> sent = shared.load(known);
			sent.whenComplete((contents, failure) -> {
				if (failure != null) {
					answer.completeExceptionally(failure);
				}
				else {
					answer.complete(contents);
				}
			});
			Future<?> timeout = this.timer.schedule(() -> {
				if (answer.completeExceptionally(
						new TimeoutException("no answer within " + TIMEOUT.toSeconds() + " seconds"))) {
					sent.toCompletableFuture().cancel(false);
				}
			}, TIMEOUT.toMillis(), TimeUnit.MILLISECONDS);
			CompletionStage<RevocationStore.Contents> end = answer;
			end.whenComplete((contents, failure) -> timeout.cancel(false));
		}
		catch (RuntimeException ex) {
			answer.completeExceptionally(ex);
		}
		CompletionStage<RevocationStore.Contents> answered = answer;
		answered.whenComplete((contents, failure) -> {
			Throwable problem = failure;
			if (problem == null) {
				try {
					compared(shared, contents, doubtsBefore, askedAt);
				}
				catch (RuntimeException ex) {
					problem = ex;
				}
			}
			attempted(problem);
		});
	}

	private void compared(RevocationStore shared, RevocationStore.Contents contents, int doubtsBefore, long askedAt) {
		Collection<Revocation> there = contents.revocations();
		if (there != null) {
			learned(there);
			Instant now = this.clock.instant();
			this.table.purge(now);
			List<Revocation> missing = this.table.missingIn(there, now);
			if (!missing.isEmpty()) {
				logger.info("The store of revocations has lost " + missing.size() + " of them, which are written back");
				share(shared, missing);
			}
		}
		synchronized (this) {
			if (this.doubts == doubtsBefore) {
				this.version = contents.version();
			}
		}
		this.comparedAt = askedAt;
		this.loaded = true;
	}

	private void attempted(@Nullable Throwable failure) {
		this.firstAttempt.complete(failure == null);
		if (failure == null) {
			if (this.warned) {
				this.warned = false;
				logger.info("Revocations can be compared again");
			}
		}
		else if (!this.warned) {
			this.warned = true;
			logger.warn("Revocations cannot be "
					+ (this.loaded
							? "compared with their store; for " + this.settings.maxAge().toSeconds()
									+ " seconds this server " + "goes on with what it knows, then calls are "
							: "loaded; until they are, calls with tokens or API keys are ")
					+ ((this.settings.onFailure() == OnFailure.DENY) ? "refused" : "let in") + " (on-failure): "
					+ describe(failure));
		}
		else {
			logger.debug("Revocations still cannot be compared", failure);
		}
		Duration delay = (failure == null) ? this.settings.pollInterval()
				: (RETRY_DELAY.compareTo(this.settings.pollInterval()) < 0) ? RETRY_DELAY
						: this.settings.pollInterval();
		synchronized (this) {
			this.loading = false;
			if (this.closed) {
				return;
			}
			if (this.again && failure == null) {
				delay = Duration.ZERO;
			}
			try {
				this.next = this.timer.schedule(this::compare, delay.toMillis(), TimeUnit.MILLISECONDS);
			}
			catch (RejectedExecutionException ex) {
				logger.debug("The server is going down", ex);
			}
		}
	}

	private static String describe(Throwable failure) {
		Throwable root = failure;
		while (root.getCause() != null) {
			root = root.getCause();
		}
		return root.toString();
	}

	/**
	 * How many revocations this server knows of.
	 * @return the number; some may be over
	 */
	public int size() {
		return this.table.size();
	}

	/**
	 * Whether other servers share what is revoked.
	 * @return whether there is a store
	 */
	public boolean shared() {
		return this.store != null;
	}

	/**
	 * How old the knowledge of this server is.
	 * @return the time since it was last compared with the store; {@code null} if it
	 * never was; zero if there is no store
	 */
	public @Nullable Duration age() {
		if (this.store == null) {
			return Duration.ZERO;
		}
		return this.loaded ? Duration.ofNanos(Math.max(0, this.nanoClock.getAsLong() - this.comparedAt)) : null;
	}

	/**
	 * Whether calls are refused because too little is known.
	 * @return whether they are
	 */
	public boolean refusing() {
		return this.store != null && this.settings.onFailure() == OnFailure.DENY && (!this.loaded || stale());
	}

	/**
	 * Whether the last comparisons failed.
	 * @return whether what others revoke may not be known here
	 */
	public boolean degraded() {
		return this.store != null && (this.warned || !this.loaded);
	}

	/** Stops following other servers. */
	@Override
	public void close() {
		synchronized (this) {
			this.closed = true;
			if (this.next != null) {
				this.next.cancel(false);
			}
		}
		RevocationStore shared = this.store;
		if (shared != null) {
			try {
				shared.close();
			}
			catch (Exception ex) {
				logger.debug("The store of revocations could not be closed", ex);
			}
		}
	}

}
