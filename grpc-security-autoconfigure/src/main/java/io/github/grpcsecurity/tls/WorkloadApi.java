package io.github.grpcsecurity.tls;

import java.security.cert.X509Certificate;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.Future;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;

import com.google.protobuf.ByteString;
import io.grpc.Status;
import org.apache.commons.logging.Log;
import org.apache.commons.logging.LogFactory;
import org.jspecify.annotations.Nullable;

/**
 * Listens to the SPIFFE Workload API of an agent on this machine, which hands out the
 * roots of trust domains and the server's own X.509-SVID, and again whenever they change.
 * What was received last stays in force while the agent is away; it is asked again until
 * it is back. Thread-safe.
 *
 * @since 0.1.0
 */
public final class WorkloadApi implements AutoCloseable {

	/** The property that names the agent. */
	public static final String PROPERTY = "grpc.security.tls.spiffe.workload-api-socket";

	private static final Log logger = LogFactory.getLog(WorkloadApi.class);

	private static final Duration PATIENCE = Duration.ofSeconds(10);

	private static final Duration SHORTEST_PAUSE = Duration.ofSeconds(1);

	private static final long LONGEST_PAUSE = TimeUnit.SECONDS.toNanos(30);

	private final String socket;

	private final List<String> trustDomains;

	private final ScheduledExecutorService scheduler;

	private final long shortestPause;

	private final WorkloadApiStream stream;

	private final CountDownLatch first = new CountDownLatch(1);

	private final List<Runnable> listeners = new CopyOnWriteArrayList<>();

	// The rest is guarded by this
	private Map<String, Set<X509Certificate>> roots = Map.of();

	private @Nullable SpiffeTrust trust;

	private @Nullable Svid svid;

	private @Nullable String problem;

	private long pause;

	private @Nullable Future<?> retry;

	private boolean closed;

	private WorkloadApi(String socket, List<String> trustDomains, ScheduledExecutorService scheduler,
			Duration shortestPause) {
		this.socket = socket;
		this.trustDomains = trustDomains;
		this.scheduler = scheduler;
		this.shortestPause = shortestPause.toNanos();
		this.pause = this.shortestPause;
		this.stream = new WorkloadApiStream(socket, this);
	}

	/**
	 * Connects, and waits 10 seconds at most for the first roots.
	 * @param socket address of the agent, as the SPIFFE Workload Endpoint standard writes
	 * it
	 * @param trustDomains whose IDs are admitted; all that the agent knows if empty
	 * @param scheduler tells when to ask an agent again that was away
	 * @return what is connected until it is closed
	 * @throws TlsConfigurationException if there are no roots in time, or not of one of
	 * the trust domains
	 */
	public static WorkloadApi connect(String socket, List<String> trustDomains, ScheduledExecutorService scheduler) {
		return connect(socket, trustDomains, scheduler, PATIENCE, SHORTEST_PAUSE);
	}

	static WorkloadApi connect(String socket, List<String> trustDomains, ScheduledExecutorService scheduler,
			Duration patience, Duration shortestPause) {
		WorkloadApi api = new WorkloadApi(socket, List.copyOf(trustDomains), scheduler, shortestPause);
		try {
			api.stream.open();
			api.await(patience);
			return api;
		}
		catch (RuntimeException ex) {
			api.close();
			throw ex;
		}
	}

	private void await(Duration patience) {
		boolean received;
		try {
			received = this.first.await(patience.toNanos(), TimeUnit.NANOSECONDS);
		}
		catch (InterruptedException ex) {
			Thread.currentThread().interrupt();
			received = false;
		}
		synchronized (this) {
			if (!received) {
				throw new TlsConfigurationException(
						PROPERTY + " is '" + this.socket + "', but no SPIFFE roots came from there within "
								+ patience.toSeconds() + " s: "
								+ ((this.problem != null) ? this.problem : "nobody has answered") + ".",
						"Start the agent, let this process use its socket and register this workload with it, or correct "
								+ "the address.");
			}
			for (String domain : this.trustDomains) {
				if (!this.roots.containsKey(domain)) {
					throw new TlsConfigurationException(
							"grpc.security.tls.spiffe.trust-domains has '" + domain
									+ "', of which the SPIFFE Workload API (" + PROPERTY + ") has no roots: it has "
									+ String.join(", ", this.roots.keySet()) + ".",
							"Correct the name, without spiffe:// and path, or let this workload federate with the "
									+ "trust domain.");
				}
			}
		}
	}

	/**
	 * Trust in what the roots have issued.
	 * @return always the same, which follows the agent
	 */
	public synchronized SpiffeTrust trust() {
		if (this.trust == null) {
			throw new IllegalStateException("No roots have come yet");
		}
		return this.trust;
	}

	/**
	 * The server's own X.509-SVID: the first of them, if the agent has several.
	 * @return reads what was received last; it has no trust anchors
	 */
	public TlsMaterialSource material() {
		return this::load;
	}

	/**
	 * Adds what is to know when the server's own X.509-SVID has changed.
	 * @param listener must be quick and not throw
	 */
	public void onChange(Runnable listener) {
		this.listeners.add(listener);
	}

	private TlsMaterial load() {
		Svid current;
		synchronized (this) {
			current = this.svid;
		}
		if (current == null) {
			throw new IllegalStateException("No SVID has come yet");
		}
		try {
			return WorkloadApiStream.material(PROPERTY, current);
		}
		catch (IllegalArgumentException ex) {
			throw new TlsConfigurationException(
					"The X.509-SVID of this server, from " + PROPERTY + ", cannot be used: " + ex.getMessage() + ".",
					"Let the agent issue another one, or name a certificate with grpc.security.tls.certificate-chain "
							+ "and grpc.security.tls.private-key.",
					ex);
		}
	}

	/** Takes what the agent has sent as a whole, or nothing of it. */
	void received(Map<String, Set<X509Certificate>> received, Svid own) {
		SpiffeTrust known;
		boolean changed;
		synchronized (this) {
			if (this.closed) {
				return;
			}
			known = this.trust;
			changed = !received.equals(this.roots);
		}
		// One stream at a time: nobody else changes the roots
		SpiffeBundleMap map = changed ? SpiffeBundleMap.of(received) : null;
		boolean renewed;
		synchronized (this) {
			this.problem = null;
			this.pause = this.shortestPause;
			this.roots = received;
			renewed = this.svid != null && !this.svid.equals(own);
			this.svid = own;
			if (known == null && map != null) {
				this.trust = new SpiffeTrust(map, this.trustDomains);
			}
		}
		this.first.countDown();
		if (known != null && map != null) {
			known.replace(map);
		}
		if (renewed) {
			this.listeners.forEach(Runnable::run);
		}
	}

	/** Keeps what is in force, and complains once. */
	void refused(String reason) {
		complain("it has sent what cannot be used: " + reason);
	}

	/** Asks again after a while that gets longer. */
	synchronized void ended(@Nullable Status status) {
		if (this.closed) {
			return;
		}
		complain((status != null)
				? "it ended the stream with " + status.getCode()
						+ ((status.getDescription() != null) ? " (" + status.getDescription() + ")" : "")
				: "it ended the stream");
		try {
			this.retry = this.scheduler.schedule(this.stream::open, this.pause, TimeUnit.NANOSECONDS);
			this.pause = Math.min(this.pause * 2, LONGEST_PAUSE);
		}
		catch (RejectedExecutionException ex) {
			logger.debug("The application ends, so the SPIFFE Workload API is not asked any more", ex);
		}
	}

	private synchronized void complain(String reason) {
		if (!reason.equals(this.problem) && this.trust != null) {
			logger.error("The SPIFFE Workload API at " + this.socket + ": " + reason
					+ "; what it has sent before stays in force");
		}
		this.problem = reason;
	}

	@Override
	public void close() {
		synchronized (this) {
			this.closed = true;
			if (this.retry != null) {
				this.retry.cancel(false);
			}
		}
		this.stream.close();
	}

	/**
	 * Key and certificates as they were sent.
	 *
	 * @param chain the certificates, in DER
	 * @param key the private key, in PKCS #8
	 */
	record Svid(ByteString chain, ByteString key) {

		/** Leaves out the key. */
		@Override
		public String toString() {
			return "Svid";
		}

	}

}
