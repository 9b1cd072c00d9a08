package io.github.grpcsecurity.tls;

import java.security.cert.X509Certificate;
import java.time.Duration;
import java.util.Arrays;
import java.util.List;
import java.util.Set;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.Executor;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.ScheduledFuture;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;

import javax.net.ssl.X509ExtendedTrustManager;

import org.apache.commons.logging.Log;
import org.apache.commons.logging.LogFactory;
import org.jspecify.annotations.Nullable;

/**
 * Trusts clients by their SPIFFE IDs: each trust domain vouches, with roots of its own,
 * for nobody but itself. The roots come from a file (gRFC A87) that is read again when
 * its content changes, or from the {@link WorkloadApi}; what is not good changes nothing.
 * Thread-safe.
 *
 * @since 0.1.0
 */
public final class SpiffeTrust implements AutoCloseable {

	private static final Log logger = LogFactory.getLog(SpiffeTrust.class);

	private static final String EXPECTED = "a SPIFFE bundle map";

	private final @Nullable TlsLocation location;

	private final Set<String> admitted;

	private final SpiffeTrustManager trustManager = new SpiffeTrustManager(this::domain);

	private final List<Runnable> listeners = new CopyOnWriteArrayList<>();

	// Guarded by this: what was read last, good or not
	private byte[] content;

	private volatile SpiffeBundleMap map;

	private volatile @Nullable ScheduledFuture<?> polling;

	private final AtomicBoolean busy = new AtomicBoolean();

	/**
	 * Reads the file for the first time.
	 * @param location the file
	 * @param trustDomains whose IDs are admitted; all that the file has if empty
	 * @throws TlsConfigurationException if the file is not good, or does not have one of
	 * the trust domains
	 */
	public SpiffeTrust(TlsLocation location, List<String> trustDomains) {
		this.location = location;
		this.admitted = Set.copyOf(trustDomains);
		this.content = location.read(EXPECTED);
		try {
			this.map = SpiffeBundleMap.parse(this.content);
		}
		catch (IllegalArgumentException ex) {
			throw new TlsConfigurationException(
					location + " but that is no SPIFFE bundle map: " + ex.getMessage() + ".",
					"Let " + location.property() + " name a JSON file with 'trust_domains', each with the JWK set of "
							+ "its X.509 authorities ('use' is 'x509-svid'; one certificate in 'x5c').",
					ex);
		}
		for (String domain : trustDomains) {
			if (!this.map.names().contains(domain)) {
				throw new TlsConfigurationException(
						"grpc.security.tls.spiffe.trust-domains has '" + domain + "', which is not in " + EXPECTED
								+ " (" + location.property() + "): it has " + String.join(", ", this.map.names()) + ".",
						"Correct the name, without spiffe:// and path, or add the trust domain to the bundle map.");
			}
		}
	}

	/** Trusts what another has read, and reads nothing itself. */
	SpiffeTrust(SpiffeBundleMap map, List<String> trustDomains) {
		this.location = null;
		this.admitted = Set.copyOf(trustDomains);
		this.content = new byte[0];
		this.map = map;
	}

	/**
	 * Looks at the file again and again, until this is closed.
	 * @param scheduler tells when
	 * @param executor reads the file
	 * @param interval time between two looks; never if zero
	 */
	public void poll(ScheduledExecutorService scheduler, Executor executor, Duration interval) {
		if (!interval.isZero()) {
			long nanos = interval.toNanos();
			this.polling = scheduler.scheduleWithFixedDelay(() -> look(executor), nanos, nanos, TimeUnit.NANOSECONDS);
		}
	}

	// Where a file system hangs, one thread waits for it and no more
	private void look(Executor executor) {
		if (this.busy.compareAndSet(false, true)) {
			executor.execute(() -> {
				try {
					reload();
				}
				finally {
					this.busy.set(false);
				}
			});
		}
	}

	/**
	 * Adds what is to know when other roots are in force.
	 * @param listener runs on the thread that read the file, and must not throw
	 */
	public void onChange(Runnable listener) {
		this.listeners.add(listener);
	}

	/**
	 * Reads the file and takes it into use, if its content is new and good.
	 * @return whether other roots are in force now
	 */
	public boolean reload() {
		TlsLocation file = this.location;
		if (file == null) {
			return false;
		}
		synchronized (this) {
			byte[] read;
			try {
				read = file.read(EXPECTED);
			}
			catch (TlsConfigurationException ex) {
				read = new byte[0];
			}
			if (Arrays.equals(read, this.content)) {
				return false;
			}
			this.content = read;
			try {
				this.map = SpiffeBundleMap.parse(read);
			}
			catch (IllegalArgumentException ex) {
				logger.error("Reload of " + file + " failed; the old roots stay in force: "
						+ ((read.length > 0) ? ex.getMessage() : "it cannot be read, or is empty"));
				return false;
			}
		}
		inForce();
		return true;
	}

	/** Takes other roots into use. */
	void replace(SpiffeBundleMap roots) {
		this.map = roots;
		inForce();
	}

	private void inForce() {
		logger.info("New SPIFFE roots are in force, of " + String.join(", ", this.map.names()));
		this.listeners.forEach(Runnable::run);
	}

	/**
	 * The trust domains whose IDs are admitted now.
	 * @return names in alphabetical order
	 */
	public Set<String> trustDomains() {
		Set<String> names = this.map.names();
		if (!this.admitted.isEmpty()) {
			names.retainAll(this.admitted);
		}
		return names;
	}

	SpiffeTrustManager trustManager() {
		return this.trustManager;
	}

	/** The roots of all trust domains. */
	Set<X509Certificate> roots() {
		return this.map.roots();
	}

	private @Nullable X509ExtendedTrustManager domain(String name) {
		return (this.admitted.isEmpty() || this.admitted.contains(name)) ? this.map.domain(name) : null;
	}

	/** Looks at the file no more. */
	@Override
	public void close() {
		ScheduledFuture<?> current = this.polling;
		if (current != null) {
			current.cancel(false);
		}
	}

}
