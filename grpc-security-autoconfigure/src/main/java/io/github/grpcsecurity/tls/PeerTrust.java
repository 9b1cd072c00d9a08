package io.github.grpcsecurity.tls;

import java.security.cert.CertificateException;
import java.security.cert.X509Certificate;
import java.time.Duration;
import java.time.Instant;
import java.time.InstantSource;
import java.util.ArrayList;
import java.util.Queue;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.ConcurrentSkipListSet;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.ScheduledFuture;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;

import javax.net.ssl.SSLSession;
import javax.net.ssl.X509ExtendedTrustManager;

import com.google.protobuf.Any;
import com.google.rpc.ErrorInfo;
import io.github.grpcsecurity.server.CallStage;
import io.github.grpcsecurity.server.GrpcSecurityThreads;
import io.github.grpcsecurity.server.MethodPlan;
import io.github.grpcsecurity.server.Refusal;
import io.github.grpcsecurity.server.SecuredCall;
import io.github.grpcsecurity.server.SecuredMethod;
import io.github.grpcsecurity.server.SecurityStage;
import io.github.grpcsecurity.server.ServerBuilderConfigurer;
import io.github.grpcsecurity.server.Verdict;
import io.github.grpcsecurity.tls.PeerConnection.Verification;
import io.grpc.Attributes;
import io.grpc.Grpc;
import io.grpc.Metadata;
import io.grpc.ServerBuilder;
import io.grpc.ServerTransportFilter;
import io.grpc.Status;
import io.grpc.protobuf.ProtoUtils;
import org.apache.commons.logging.Log;
import org.apache.commons.logging.LogFactory;
import org.jspecify.annotations.Nullable;

/**
 * Goes on asking, after the handshake, whether the certificate of a client is trusted.
 * <p>
 * TLS asks once: a resumed session skips the question, and a connection outlives the
 * answer. Here the chain of the client is verified at the first call of each connection,
 * and at its first call after the server's trust has changed. When trust changes, the
 * open calls of connections that are no longer trusted end; when a certificate expires,
 * so do the calls of its connections. A call on a connection that has been verified costs
 * a comparison of two numbers and of two times.
 *
 * @since 0.1.0
 */
public final class PeerTrust implements CallStage, ServerBuilderConfigurer, AutoCloseable {

	private static final Log logger = LogFactory.getLog(PeerTrust.class);

	private static final Metadata.Key<com.google.rpc.Status> DETAILS = Metadata.Key.of("grpc-status-details-bin",
			ProtoUtils.metadataMarshaller(com.google.rpc.Status.getDefaultInstance()));

	private static final String EXPIRED = "PEER_CERTIFICATE_EXPIRED";

	private static final Verdict NO_CERTIFICATE = Verdict
		.refuse(Refusal.unauthenticated("the connection has no client certificate, though one is required"));

	/** The clock of the system may be set while a timer runs. */
	private static final long LONGEST_DELAY = Duration.ofMinutes(1).toMillis();

	private static final int MAX_WORKERS = 4;

	private final @Nullable X509ExtendedTrustManager trustManager;

	private final TrustEpoch epoch;

	private final @Nullable ClientAuth clientAuth;

	private final GrpcSecurityThreads threads;

	private final InstantSource clock;

	private final ServerTransportFilter filter = new ConnectionFilter();

	private final AtomicLong ids = new AtomicLong();

	/** Connections whose peers have shown a certificate that has not expired. */
	private final ConcurrentSkipListSet<PeerConnection> connections = new ConcurrentSkipListSet<>();

	// Guarded by this
	private @Nullable ScheduledFuture<?> timer;

	// Guarded by this
	private long timerAt = Long.MAX_VALUE;

	// Guarded by this
	private boolean closed;

	/**
	 * Watches over connections.
	 * @param credentials say who is trusted; {@code null} if the server has TLS of its
	 * own, whose certificates can expire but whose trust is not known here
	 * @param threads look at connections when trust changes or certificates expire
	 * @param clock tells whether certificates have expired
	 */
	public PeerTrust(@Nullable TlsCredentials credentials, GrpcSecurityThreads threads, InstantSource clock) {
		this.trustManager = (credentials != null) ? credentials.trustManager() : null;
		this.epoch = (credentials != null) ? credentials.epoch() : new TrustEpoch();
		this.clientAuth = (credentials != null) ? credentials.clientAuth() : null;
		this.threads = threads;
		this.clock = clock;
		this.epoch.onAdvance(this::trustChanged);
	}

	@Override
	public SecurityStage stage() {
		return SecurityStage.ADMISSION;
	}

	@Override
	public void plan(SecuredMethod method, MethodPlan.Builder plan) {
		if (this.clientAuth != ClientAuth.NONE) {
			plan.check("client certificate is still trusted", this::check);
		}
	}

	@Override
	public void configure(ServerBuilder<?> builder) {
		if (this.clientAuth != ClientAuth.NONE) {
			builder.addTransportFilter(this.filter);
		}
	}

	Verdict check(SecuredCall call) {
		PeerConnection connection = call.attributes().get(PeerConnection.KEY);
		if (connection == null) {
			SSLSession session = call.sslSession();
			if (session == null) {
				return Verdict.proceed();
			}
			// A server whose builder was not configured here: verified at each call
			connection = new PeerConnection(this.ids.incrementAndGet(), session, this.clock.millis());
		}
		if (connection.anonymous()) {
			return (this.clientAuth == ClientAuth.REQUIRE) ? NO_CERTIFICATE : Verdict.proceed();
		}
		// First of all: whoever changes the trust from now on will find this call
		connection.opened(call);
		if (connection.expired(this.clock.millis())) {
			return Verdict.refuse(expired(connection));
		}
		Verification verification = connection.verification();
		if (verification == null || verification.epoch() != this.epoch.current()) {
			verification = verify(connection);
		}
		Refusal refusal = verification.refusal();
		return (refusal == null) ? Verdict.proceed() : Verdict.refuse(refusal);
	}

	private Verification verify(PeerConnection connection) {
		synchronized (connection.monitor()) {
			long current = this.epoch.current();
			Verification last = connection.verification();
			if (last != null && last.epoch() == current) {
				return last;
			}
			Verification verification = new Verification(current, refusal(connection));
			connection.verification(verification);
			return verification;
		}
	}

	private @Nullable Refusal refusal(PeerConnection connection) {
		X509ExtendedTrustManager manager = this.trustManager;
		if (manager == null) {
			return null;
		}
		X509Certificate leaf = connection.leaf();
		try {
			manager.checkClientTrusted(connection.chain(), leaf.getPublicKey().getAlgorithm());
			return null;
		}
		catch (RevocationException ex) {
			return Refusal.unauthenticated("client certificate: " + ex.getMessage());
		}
		catch (CertificateException ex) {
			logger.debug("A client certificate is not trusted", ex);
		}
		catch (RuntimeException ex) {
			logger.error("A client certificate could not be verified; its connection is not trusted", ex);
		}
		return Refusal.unauthenticated("client certificate: untrusted (" + PeerDescription.of(leaf) + ")");
	}

	private static Refusal expired(PeerConnection connection) {
		Instant end = Instant.ofEpochMilli(connection.expiresAt());
		return Refusal
			.unauthenticated(
					"client certificate: expired at " + end + " (" + PeerDescription.of(connection.leaf()) + ")")
			.withTrailers(PeerTrust::sayExpired);
	}

	private static void sayExpired(Metadata trailers) {
		trailers.put(DETAILS,
				com.google.rpc.Status.newBuilder()
					.setCode(Status.Code.UNAUTHENTICATED.value())
					.setMessage(Refusal.Kind.UNAUTHENTICATED.sentence())
					.addDetails(Any.pack(ErrorInfo.newBuilder().setReason(EXPIRED).setDomain("grpc.security").build()))
					.build());
	}

	private void trustChanged() {
		Queue<PeerConnection> open = new ConcurrentLinkedQueue<>();
		for (PeerConnection connection : this.connections) {
			// One without calls is verified at its next call
			if (!connection.idle()) {
				open.add(connection);
			}
		}
		int workers = Math.min(MAX_WORKERS, Math.min(open.size(), Runtime.getRuntime().availableProcessors()));
		AtomicInteger working = new AtomicInteger(workers);
		AtomicInteger untrusted = new AtomicInteger();
		AtomicInteger ended = new AtomicInteger();
		for (int i = 0; i < workers; i++) {
			execute(() -> {
				PeerConnection connection = open.poll();
				while (connection != null) {
					Refusal refusal = verify(connection).refusal();
					if (refusal != null) {
						untrusted.incrementAndGet();
						ended.addAndGet(connection.end(refusal));
					}
					connection = open.poll();
				}
				if (working.decrementAndGet() == 0 && untrusted.get() > 0) {
					logger.info("Other clients are trusted than before: " + untrusted + " connections are not any "
							+ "more, whose " + ended + " open calls have ended");
				}
			});
		}
	}

	/** Ends the calls of connections whose certificates have expired. */
	void expire() {
		long now = this.clock.millis();
		int expired = 0;
		int ended = 0;
		PeerConnection last = null;
		for (PeerConnection connection : this.connections) {
			if (!connection.expired(now)) {
				break;
			}
			// From here on each of its calls is refused when it starts
			this.connections.remove(connection);
			ended += connection.end(expired(connection));
			expired++;
			last = connection;
		}
		if (last != null) {
			logger.info("The client certificates of " + expired + " connections have expired, and " + ended
					+ " open calls with them (" + PeerDescription.of(last.leaf())
					+ ((expired > 1) ? " and others)" : ")"));
		}
		synchronized (this) {
			this.timerAt = Long.MAX_VALUE;
			this.timer = null;
		}
		setTimer();
	}

	private void setTimer() {
		// A loop over the first element: it may be gone between two looks at the set
		for (PeerConnection next : this.connections) {
			setTimer(next.expiresAt() + 1);
			return;
		}
	}

	private synchronized void setTimer(long at) {
		if (this.closed || at >= this.timerAt) {
			return;
		}
		if (this.timer != null) {
			this.timer.cancel(false);
		}
		long delay = Math.min(LONGEST_DELAY, Math.max(1, at - this.clock.millis()));
		try {
			this.timer = this.threads.scheduler().schedule(() -> execute(this::expire), delay, TimeUnit.MILLISECONDS);
			this.timerAt = at;
		}
		catch (RejectedExecutionException ex) {
			logger.debug("The server is going down", ex);
		}
	}

	private void execute(Runnable task) {
		try {
			this.threads.executor().execute(task);
		}
		catch (RejectedExecutionException ex) {
			// What is left of the server must not keep trusting whom it should not
			task.run();
		}
	}

	/** Connections that are watched. */
	int watched() {
		return new ArrayList<>(this.connections).size();
	}

	/** Calls that would be ended. */
	int openCalls() {
		return this.connections.stream().mapToInt((connection) -> connection.openCalls().size()).sum();
	}

	@Override
	public synchronized void close() {
		this.closed = true;
		if (this.timer != null) {
			this.timer.cancel(false);
		}
	}

	private final class ConnectionFilter extends ServerTransportFilter {

		@Override
		public Attributes transportReady(Attributes attributes) {
			SSLSession session = attributes.get(Grpc.TRANSPORT_ATTR_SSL_SESSION);
			if (session == null) {
				return attributes;
			}
			long now = PeerTrust.this.clock.millis();
			PeerConnection connection = new PeerConnection(PeerTrust.this.ids.incrementAndGet(), session, now);
			// A session can be resumed after the certificate has expired; then no call
			// starts
			if (!connection.anonymous() && !connection.expired(now)) {
				PeerTrust.this.connections.add(connection);
				setTimer(connection.expiresAt() + 1);
			}
			return attributes.toBuilder().set(PeerConnection.KEY, connection).build();
		}

		@Override
		public void transportTerminated(Attributes attributes) {
			// Null if the connection ended before it was ready
			PeerConnection connection = (attributes != null) ? attributes.get(PeerConnection.KEY) : null;
			if (connection != null) {
				PeerTrust.this.connections.remove(connection);
			}
		}

	}

}
