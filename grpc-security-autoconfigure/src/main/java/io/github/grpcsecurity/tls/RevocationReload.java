package io.github.grpcsecurity.tls;

import java.time.Duration;
import java.util.Collection;
import java.util.List;
import java.util.concurrent.Future;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;

import io.github.grpcsecurity.server.GrpcSecurityThreads;
import org.apache.commons.logging.Log;
import org.apache.commons.logging.LogFactory;
import org.jspecify.annotations.Nullable;

/**
 * Looks again and again whether certificate revocation lists have changed.
 *
 * @since 0.1.0
 */
public final class RevocationReload implements AutoCloseable {

	private static final Log logger = LogFactory.getLog(RevocationReload.class);

	private final List<RevocationReloadObserver> observers;

	private final @Nullable Future<?> timer;

	private final AtomicBoolean busy = new AtomicBoolean();

	/**
	 * Starts to look.
	 * @param credentials may have lists; without any nothing happens
	 * @param threads run the timer and read the files
	 * @param interval time between two looks; zero for never
	 * @param observers are told of each look
	 */
	public RevocationReload(@Nullable TlsCredentials credentials, GrpcSecurityThreads threads, Duration interval,
			Collection<? extends RevocationReloadObserver> observers) {
		this.observers = List.copyOf(observers);
		RevocationChecker checker = (credentials != null) ? credentials.revocation() : null;
		if (checker == null || interval.isZero()) {
			this.timer = null;
			return;
		}
		long millis = Math.max(1, interval.toMillis());
		this.timer = threads.scheduler()
			.scheduleWithFixedDelay(() -> look(checker.lists(), threads), millis, millis, TimeUnit.MILLISECONDS);
	}

	private void look(CertificateRevocationLists lists, GrpcSecurityThreads threads) {
		if (!this.busy.compareAndSet(false, true)) {
			return;
		}
		try {
			threads.executor().execute(() -> {
				try {
					tell(lists.reload());
				}
				catch (RuntimeException ex) {
					logger.error("Certificate revocation lists could not be read; those in force stay", ex);
					tell(false);
				}
				finally {
					this.busy.set(false);
				}
			});
		}
		catch (RejectedExecutionException ex) {
			logger.debug("The server is going down", ex);
		}
	}

	private void tell(boolean complete) {
		for (RevocationReloadObserver observer : this.observers) {
			try {
				observer.looked(complete);
			}
			catch (RuntimeException ex) {
				logger.warn("An observer of revocation lists failed: " + observer.getClass().getName(), ex);
			}
		}
	}

	@Override
	public void close() {
		if (this.timer != null) {
			this.timer.cancel(false);
		}
	}

}
