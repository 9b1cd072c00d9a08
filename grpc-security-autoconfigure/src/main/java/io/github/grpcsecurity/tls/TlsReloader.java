package io.github.grpcsecurity.tls;

import java.time.Duration;
import java.util.Collection;
import java.util.List;
import java.util.concurrent.Future;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;

import io.github.grpcsecurity.server.GrpcSecurityThreads;
import org.apache.commons.logging.Log;
import org.apache.commons.logging.LogFactory;
import org.jspecify.annotations.Nullable;

import org.springframework.context.SmartLifecycle;

/**
 * Takes other certificates, keys and trust anchors into use while the server runs.
 * <p>
 * Looks at their content, never at the times of files, so that a renewed certificate, a
 * swapped link or a restored file is noticed however it came about. What differs is read
 * a second time, so that nothing half-written is taken. It is adopted as one, and only if
 * it can work; otherwise the old material keeps serving. Thread-safe.
 *
 * @since 0.1.0
 */
public final class TlsReloader implements SmartLifecycle {

	private static final Log logger = LogFactory.getLog(TlsReloader.class);

	private static final Duration LONGEST_SETTLING = Duration.ofSeconds(1);

	private final @Nullable TlsCredentials credentials;

	private final List<TlsReloadObserver> observers;

	private final GrpcSecurityThreads threads;

	private final boolean polls;

	private final Duration settling;

	private final Duration period;

	private @Nullable String adopted;

	private @Nullable String seen;

	private @Nullable Rejected rejected;

	// Guarded by a lock of its own: whoever stops does not wait for files
	private final Object lifecycle = new Object();

	private boolean running;

	private @Nullable Future<?> next;

	/**
	 * Creates a reloader; it begins to look when it is started.
	 * @param credentials what is kept up to date; {@code null} if the server does not use
	 * this library's TLS, so that there is nothing to do
	 * @param interval how long a change may go unnoticed; zero for not looking at all
	 * @param threads where files are read
	 * @param observers are told of changes and failures
	 */
	public TlsReloader(@Nullable TlsCredentials credentials, Duration interval, GrpcSecurityThreads threads,
			Collection<? extends TlsReloadObserver> observers) {
		this.credentials = credentials;
		this.adopted = (credentials != null) ? credentials.digest() : null;
		this.threads = threads;
		this.observers = List.copyOf(observers);
		this.polls = credentials != null && !interval.isZero();
		Duration tenth = interval.dividedBy(10);
		this.settling = (tenth.compareTo(LONGEST_SETTLING) < 0) ? tenth : LONGEST_SETTLING;
		this.period = interval.minus(this.settling);
	}

	/**
	 * Looks at once and takes what is there, if it differs and can work. For sources that
	 * know when they change, such as SSL bundles.
	 * @return whether other material is in force now
	 */
	public synchronized boolean reload() {
		TlsCredentials target = this.credentials;
		if (target == null) {
			return false;
		}
		TlsContent content = TlsContent.of(target.source());
		this.seen = content.digest();
		return !isAdopted(content) && adopt(target, content);
	}

	/**
	 * Does the same as {@link #reload()}, on another thread.
	 */
	public void reloadSoon() {
		execute(this::reload);
	}

	@Override
	public void start() {
		synchronized (this.lifecycle) {
			if (!this.running) {
				this.running = true;
				schedule(this.period);
			}
		}
	}

	@Override
	public void stop() {
		synchronized (this.lifecycle) {
			this.running = false;
			if (this.next != null) {
				this.next.cancel(false);
				this.next = null;
			}
		}
	}

	@Override
	public boolean isRunning() {
		synchronized (this.lifecycle) {
			return this.running;
		}
	}

	private void schedule(Duration delay) {
		synchronized (this.lifecycle) {
			if (this.polls && this.running) {
				this.next = this.threads.scheduler()
					.schedule(() -> execute(this::poll), delay.toNanos(), TimeUnit.NANOSECONDS);
			}
		}
	}

	private void execute(Runnable task) {
		try {
			this.threads.executor().execute(task);
		}
		catch (RejectedExecutionException ex) {
			logger.debug("The application ends, so certificates are not looked at any more", ex);
		}
	}

	// One look plans the next, so there are never two
	private void poll() {
		Duration delay = this.period;
		try {
			delay = look();
		}
		finally {
			schedule(delay);
		}
	}

	/** Looks once and says when to look again. */
	synchronized Duration look() {
		TlsCredentials target = this.credentials;
		if (target == null) {
			return this.period;
		}
		TlsContent content = TlsContent.of(target.source());
		if (isAdopted(content)) {
			return this.period;
		}
		if (!content.digest().equals(this.seen)) {
			this.seen = content.digest();
			return this.settling;
		}
		adopt(target, content);
		return this.period;
	}

	private boolean isAdopted(TlsContent content) {
		if (content.digest().equals(this.adopted)) {
			this.seen = null;
			this.rejected = null;
			return true;
		}
		return false;
	}

	private boolean adopt(TlsCredentials target, TlsContent content) {
		Rejected before = this.rejected;
		boolean known = before != null && before.digest().equals(content.digest());
		TlsMaterial material = (before != null && known) ? before.material() : null;
		try {
			if (material == null) {
				if (before != null && known) {
					// The same bytes do not become readable
					throw before.cause();
				}
				material = content.load();
			}
			// Asked again even if it was refused: it may have become valid
			boolean changed = !material.sameAs(target.current());
			if (changed) {
				target.replace(material);
			}
			this.adopted = content.digest();
			this.seen = null;
			this.rejected = null;
			if (changed) {
				adopted(material);
			}
			return changed;
		}
		catch (RuntimeException ex) {
			this.rejected = new Rejected(content.digest(), material, ex);
			if (!known) {
				logFailure(target.current(), ex);
			}
			tell((observer) -> observer.failed(ex));
			return false;
		}
	}

	private void adopted(TlsMaterial material) {
		logger.info("TLS reloaded: new connections get the certificate of " + describe(material) + " from "
				+ material.origin()
				+ (material.trustAnchors().isEmpty() ? "" : "; trusted authorities: " + material.trustAnchors().size())
				+ ".");
		tell((observer) -> observer.reloaded(material));
	}

	private static void logFailure(TlsMaterial current, RuntimeException cause) {
		String what = "TLS reload failed; serving the old certificate of " + describe(current) + ". ";
		if (cause instanceof TlsConfigurationException refusal) {
			logger.error(what + refusal.getMessage() + " " + refusal.wayOut());
		}
		else {
			logger.error(what + "The new one could not be loaded.", cause);
		}
	}

	private static String describe(TlsMaterial material) {
		return material.leaf().getSubjectX500Principal() + " (serial number "
				+ material.leaf().getSerialNumber().toString(16) + ", expires "
				+ material.leaf().getNotAfter().toInstant() + ")";
	}

	private void tell(Consumer<TlsReloadObserver> news) {
		for (TlsReloadObserver observer : this.observers) {
			try {
				news.accept(observer);
			}
			catch (RuntimeException ex) {
				logger.warn("An observer of TLS reloads failed: " + observer.getClass().getName(), ex);
			}
		}
	}

	/**
	 * Content that could not be adopted.
	 *
	 * @param digest which content
	 * @param material what was read from it, if it could be read
	 * @param cause what was wrong with it
	 */
	private record Rejected(String digest, @Nullable TlsMaterial material, RuntimeException cause) {
	}

}
