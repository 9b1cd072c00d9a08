package io.github.grpcsecurity.server;

import java.net.InetSocketAddress;
import java.net.SocketAddress;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.ThreadLocalRandom;
import java.util.function.Consumer;
import java.util.function.Predicate;
import java.util.function.Supplier;

import javax.net.ssl.SSLSession;

import io.grpc.Attributes;
import io.grpc.Context;
import io.grpc.Deadline;
import io.grpc.Grpc;
import io.grpc.Metadata;
import io.grpc.SecurityLevel;
import io.grpc.ServerCall;
import io.grpc.Status;
import org.apache.commons.logging.Log;
import org.apache.commons.logging.LogFactory;
import org.jspecify.annotations.Nullable;

import org.springframework.security.core.Authentication;

/**
 * One call on its way through the pipeline, from its first header to its true end.
 * <p>
 * A call is handled by one thread at a time, though not always by the same one, and what
 * one stage writes the next one sees. {@link #onClosed}, {@link #onReleased},
 * {@link #onEnded}, {@link #end}, {@link #note}, {@link #noteAlso}, {@link #notes} and
 * the counters may be used from any thread.
 *
 * @since 0.1.0
 */
public final class SecuredCall {

	private static final Log logger = LogFactory.getLog(SecuredCall.class);

	static final Context.Key<SecuredCall> CONTEXT_KEY = Context.key("grpc-security-call");

	private static final String IN_PROCESS_ADDRESS = "io.grpc.inprocess.InProcessSocketAddress";

	private final long idHigh = ThreadLocalRandom.current().nextLong();

	private final long idLow = ThreadLocalRandom.current().nextLong();

	private final String fullMethodName;

	private final Metadata headers;

	private final @Nullable Refusal malformed;

	private final Instant startTime;

	private final long startNanos = System.nanoTime();

	private final CallTracer tracer;

	private @Nullable String id;

	private volatile @Nullable ServerCall<?, ?> serverCall;

	private volatile Attributes attributes = Attributes.EMPTY;

	private volatile @Nullable String authority;

	private volatile @Nullable MethodPlan plan;

	private volatile @Nullable Deadline deadline;

	private volatile @Nullable Context context;

	private volatile GrpcCaller caller = GrpcCaller.ANONYMOUS;

	private volatile @Nullable ForwardedPeer forwarded;

	private volatile @Nullable CallDecision decision;

	private volatile @Nullable Refusal endedBy;

	private volatile @Nullable Predicate<Refusal> terminator;

	private volatile boolean hypothetical;

	// Of the message that gRPC parses, which may be ahead of the one that is checked
	private int parsedSize;

	private int messageSize;

	// Written by checks, and read when the handler runs, which is later
	private @Nullable List<HandlerObserver> handlerObservers;

	private final Callbacks ended = new Callbacks();

	private final Callbacks released = new Callbacks();

	private final Callbacks closed = new Callbacks();

	// Guarded by this
	private @Nullable Map<String, String> notes;

	// Guarded by this
	private @Nullable Map<Class<?>, Object> states;

	SecuredCall(String fullMethodName, Metadata headers, @Nullable Refusal malformed, Instant startTime,
			CallTracer tracer) {
		this.fullMethodName = fullMethodName;
		this.headers = headers;
		this.malformed = malformed;
		this.startTime = startTime;
		this.tracer = tracer;
	}

	/**
	 * The secured call that the current thread works for.
	 * @return the call; {@code null} outside of a call, or when its server is not secured
	 */
	public static @Nullable SecuredCall current() {
		return CONTEXT_KEY.get();
	}

	/**
	 * Identifies this call in audit events, and in the {@code x-correlation-id} trailer
	 * of calls that failed inside the server.
	 * @return 32 lower-case hexadecimal digits, random but not secret
	 */
	public String id() {
		String value = this.id;
		if (value == null) {
			char[] digits = new char[32];
			hex(this.idHigh, digits, 0);
			hex(this.idLow, digits, 16);
			value = new String(digits);
			this.id = value;
		}
		return value;
	}

	private static void hex(long bits, char[] digits, int offset) {
		for (int i = 0; i < 16; i++) {
			digits[offset + i] = Character.forDigit((int) (bits >>> (60 - 4 * i)) & 0xf, 16);
		}
	}

	/**
	 * The method as the client named it. For unknown methods this is whatever the client
	 * sent: escape it before it goes anywhere.
	 * @return {@code package.Service/Method}
	 */
	public String fullMethodName() {
		return this.fullMethodName;
	}

	/**
	 * The headers of the call.
	 * @return the headers; not thread-safe, so only for checks
	 */
	public Metadata headers() {
		return this.headers;
	}

	/**
	 * The plan that this call executes.
	 * @return the plan; {@code null} when the call ended before its method was looked up
	 */
	public @Nullable MethodPlan plan() {
		return this.plan;
	}

	/**
	 * Whether nobody makes this call: somebody asks what would be decided about it. What
	 * decides does so as ever, but counts, audits, limits and keeps nothing.
	 * @return {@code true} for the call of a {@link HypotheticalCall}
	 */
	public boolean hypothetical() {
		return this.hypothetical;
	}

	/**
	 * When the headers of the call arrived.
	 * @return the instant
	 */
	public Instant startTime() {
		return this.startTime;
	}

	/**
	 * How long the call has been running.
	 * @return the time since its headers arrived
	 */
	public Duration elapsed() {
		return Duration.ofNanos(System.nanoTime() - this.startNanos);
	}

	/**
	 * What the transport knows about the connection.
	 * @return the attributes; empty when the call ended before its method was looked up
	 */
	public Attributes attributes() {
		return this.attributes;
	}

	/**
	 * The host the client meant to call.
	 * @return the {@code :authority} of the call
	 */
	public @Nullable String authority() {
		return this.authority;
	}

	/**
	 * The address the connection comes from: that of the proxy, if there is one in
	 * between.
	 * @return the address; {@code null} when the transport does not know
	 */
	public @Nullable SocketAddress remoteAddress() {
		return this.attributes.get(Grpc.TRANSPORT_ATTR_REMOTE_ADDR);
	}

	/**
	 * The address the client calls from: what a trusted proxy says, else where the
	 * connection comes from.
	 * @return the address, with port 0 if a proxy did not tell the port; {@code null}
	 * when nobody knows
	 */
	public @Nullable SocketAddress peerAddress() {
		ForwardedPeer client = this.forwarded;
		SocketAddress address = (client != null) ? client.address() : null;
		return (address != null) ? address : remoteAddress();
	}

	/**
	 * Whose certificate was verified: that of the client which a trusted proxy vouches
	 * for, or else that of the peer of the connection. The certificate of a proxy never
	 * counts as that of its clients.
	 * @return the identity; {@code null} when there was no certificate
	 */
	public @Nullable PeerIdentity peerIdentity() {
		ForwardedPeer client = this.forwarded;
		if (client != null) {
			return client.identity();
		}
		SSLSession session = sslSession();
		return (session != null) ? PeerIdentity.of(session) : null;
	}

	/**
	 * The client that a trusted proxy speaks for.
	 * @return {@code null} when the peer of the connection speaks for itself
	 */
	public @Nullable ForwardedPeer forwardedPeer() {
		return this.forwarded;
	}

	/**
	 * Sets for which client the peer of the connection speaks. Only for a
	 * {@link PeerResolver}, and only about a peer that is trusted with it.
	 * @param client the client
	 */
	public void forwarded(ForwardedPeer client) {
		this.forwarded = Objects.requireNonNull(client, "client");
	}

	/**
	 * The peer, in a form that is the same for all its connections.
	 * @return the textual IP address of the client, or what else the transport calls its
	 * peer
	 */
	public String peer() {
		SocketAddress address = peerAddress();
		if (address instanceof InetSocketAddress inet) {
			return (inet.getAddress() != null) ? inet.getAddress().getHostAddress() : inet.getHostString();
		}
		return (address != null) ? address.toString() : "unknown";
	}

	/**
	 * How well the transport protects this call.
	 * @return the level; {@link SecurityLevel#NONE} on plaintext. A call from inside this
	 * process leaves it on no wire, so it has the highest.
	 */
	public SecurityLevel securityLevel() {
		SocketAddress address = remoteAddress();
		if (address != null && address.getClass().getName().equals(IN_PROCESS_ADDRESS)) {
			// gRPC tells only the client side
			return SecurityLevel.PRIVACY_AND_INTEGRITY;
		}
		if (this.hypothetical) {
			// Credentials that were taken from it
			return SecurityLevel.PRIVACY_AND_INTEGRITY;
		}
		ServerCall<?, ?> call = this.serverCall;
		return (call != null) ? call.getSecurityLevel() : SecurityLevel.NONE;
	}

	/**
	 * Whether credentials that are secret may be taken from this call: when the transport
	 * encrypts it, or when a trusted proxy on the same machine vouches for the
	 * certificate of the client, so that plaintext is spoken on the last step alone.
	 * @return whether nobody else can have read or changed the call on its way
	 */
	public boolean confidential() {
		if (securityLevel() == SecurityLevel.PRIVACY_AND_INTEGRITY) {
			return true;
		}
		ForwardedPeer client = this.forwarded;
		return client != null && client.identity() != null && remoteAddress() instanceof InetSocketAddress proxy
				&& proxy.getAddress() != null && proxy.getAddress().isLoopbackAddress();
	}

	/**
	 * The TLS session of the connection.
	 * @return the session; {@code null} where there is none, as in-process, where the
	 * level may be high all the same
	 */
	public @Nullable SSLSession sslSession() {
		return this.attributes.get(Grpc.TRANSPORT_ATTR_SSL_SESSION);
	}

	/**
	 * When the client stops waiting.
	 * @return the deadline; {@code null} when the client set none
	 */
	public @Nullable Deadline deadline() {
		return this.deadline;
	}

	/**
	 * Whether the client has gone away, so that further work on the call is wasted.
	 * @return whether the call was cancelled
	 */
	public boolean cancelled() {
		ServerCall<?, ?> call = this.serverCall;
		Context current = this.context;
		// The call itself learns of a reset only after its interceptors have run
		return (call != null && call.isCancelled()) || (current != null && current.isCancelled());
	}

	/**
	 * Whether the client has gone away, asked right before something expensive such as
	 * crypto. Streams that are reset at once arrive faster than they are worked on, so
	 * this first lets the thread run that may be about to report the reset.
	 * @return whether the work would be wasted
	 */
	@SuppressWarnings("ThreadPriorityCheck")
	public boolean cancelledMeanwhile() {
		Thread.yield();
		return cancelled();
	}

	/**
	 * Who calls. Before {@link SecurityStage#AUTHENTICATION} has passed, and for callers
	 * without credentials, this is anonymous.
	 * @return the caller, never {@code null}
	 */
	public GrpcCaller caller() {
		return this.caller;
	}

	/**
	 * The one identity that stands for all credentials of the {@link #caller()}.
	 * @return the identity, never {@code null}
	 */
	public Authentication authentication() {
		return this.caller.authentication();
	}

	/**
	 * Whether the caller is not known.
	 * @return whether nobody was authenticated
	 */
	public boolean anonymous() {
		return this.caller.anonymous();
	}

	/**
	 * Adds a credential of the caller. Only for checks of
	 * {@link SecurityStage#AUTHENTICATION}.
	 * @param credential a credential that was found good
	 */
	public void authenticated(VerifiedCredential credential) {
		this.caller = this.caller.with(credential);
	}

	/**
	 * Attaches a detail to the audit events of this call.
	 * @param name name of the detail, in the dotted lower-case style of audit fields
	 * @param value its value; never a token, a key or a payload
	 */
	public synchronized void note(String name, String value) {
		if (this.notes == null) {
			this.notes = new LinkedHashMap<>(4);
		}
		this.notes.put(name, value);
	}

	/**
	 * Adds one more to what is noted under a name, after a comma, unless it is there
	 * already.
	 * @param name name of the detail, in the dotted lower-case style of audit fields
	 * @param value the further value, without a comma; never a token, a key or a payload
	 */
	public synchronized void noteAlso(String name, String value) {
		String before = (this.notes != null) ? this.notes.get(name) : null;
		if (before == null) {
			note(name, value);
		}
		else if (!("," + before + ",").contains("," + value + ",")) {
			note(name, before + "," + value);
		}
	}

	/**
	 * What stages noted for the audit events of this call.
	 * @return a copy, in the order in which details were first noted
	 */
	public synchronized Map<String, String> notes() {
		return (this.notes != null) ? new LinkedHashMap<>(this.notes) : Map.of();
	}

	/**
	 * What a check keeps about this call from one message to the next. Only for the
	 * checks of the call, which run one after the other.
	 * @param type the type of what is kept, one of the feature's own
	 * @param initial makes it when it is asked for first
	 * @param <T> the type
	 * @return what was made when this was first called for the type
	 */
	public synchronized <T> T state(Class<T> type, Supplier<T> initial) {
		if (this.states == null) {
			this.states = new HashMap<>(2);
		}
		Object state = this.states.get(type);
		if (state == null) {
			state = initial.get();
			this.states.put(type, state);
		}
		return type.cast(state);
	}

	/**
	 * What a check keeps about this call, if it has begun to.
	 * @param type the type of what is kept
	 * @param <T> the type
	 * @return what {@link #state(Class, Supplier)} made; {@code null} before
	 */
	public synchronized <T> @Nullable T state(Class<T> type) {
		return (this.states != null) ? type.cast(this.states.get(type)) : null;
	}

	/**
	 * Runs something when the call is over, however it ends. A client that does not read
	 * can put that off: what the call takes of the server is given back with
	 * {@link #onReleased}. Every callback runs exactly once, on the thread that ends the
	 * call, or here and now when the call has ended already.
	 * @param callback receives the status that the client got; must not block
	 */
	public void onClosed(Consumer<Status> callback) {
		this.closed.add(callback);
	}

	/**
	 * Runs something when the call holds nothing of the server any more: as soon as it is
	 * refused without its handler having run, whether its client reads that or not, or
	 * else when it is over. The place to give back a permit. Every callback runs exactly
	 * once, on the thread that refuses or ends the call, or here and now when that has
	 * happened already.
	 * @param callback receives the status for the client; must not block
	 */
	public void onReleased(Consumer<Status> callback) {
		this.released.add(callback);
	}

	/**
	 * Runs something when no message of the call can reach its handler any more: as soon
	 * as the pipeline or the handler ends it, whether its client reads that or not, or
	 * else when it is over. The handler may still be running. The place to stop what is
	 * done for a message. Every callback runs exactly once, on the thread that ends the
	 * call, or here and now when it has ended already.
	 * @param callback receives the status for the client; must not block
	 */
	public void onEnded(Consumer<Status> callback) {
		this.ended.add(callback);
	}

	/**
	 * Adds somebody who watches the handler of this call. Only for checks that run before
	 * it starts.
	 * @param observer hears from the handler, if it ever runs
	 */
	public void observeHandler(HandlerObserver observer) {
		if (this.handlerObservers == null) {
			this.handlerObservers = new ArrayList<>(2);
		}
		this.handlerObservers.add(observer);
	}

	/**
	 * Ends the call, whatever its handler is doing: for what is found out while a stream
	 * is open, such as a credential that ran out. The client gets the status of the
	 * refusal, what the handler still sends is dropped, and the handler is told as if its
	 * client had gone away. May be called from any thread; does not block.
	 * @param refusal why
	 * @return {@code false} if the call is over already
	 */
	public boolean end(Refusal refusal) {
		Objects.requireNonNull(refusal, "refusal");
		Predicate<Refusal> current = this.terminator;
		return current != null && current.test(refusal);
	}

	/**
	 * The decision of the pipeline.
	 * @return the decision; {@code null} as long as there is none
	 */
	public @Nullable CallDecision decision() {
		return this.decision;
	}

	/**
	 * What ended a call that had been admitted, such as a message that a rule forbids.
	 * @return the refusal; {@code null} when the call was not ended by the pipeline
	 */
	public @Nullable Refusal endedBy() {
		return this.endedBy;
	}

	/**
	 * Messages that arrived from the client.
	 * @return the number so far
	 */
	public int messagesReceived() {
		return this.tracer.messagesReceived();
	}

	/**
	 * Messages that were sent to the client.
	 * @return the number so far
	 */
	public int messagesSent() {
		return this.tracer.messagesSent();
	}

	/**
	 * How large the message that is being checked arrived, after decompression and
	 * without its frame. What was parsed from it may be smaller: a client can send a
	 * field again and again, and only the last one counts. Only for checks of messages.
	 * @return the number of bytes; 0 unless the plan asked for it with
	 * {@link MethodPlan.Builder#measureMessages()}
	 */
	public int messageSize() {
		return this.messageSize;
	}

	/** Whether to find out how large messages are. */
	boolean measured() {
		MethodPlan current = this.plan;
		return current != null && current.measured();
	}

	/** Called for each message on the thread that is about to hand it over. */
	void parsing(int size) {
		this.parsedSize = size;
	}

	int parsedSize() {
		return this.parsedSize;
	}

	void checking(int size) {
		this.messageSize = size;
	}

	/**
	 * What is malformed about the headers.
	 * @return a refusal that the pipeline applies first; {@code null} when they are fine
	 */
	@Nullable Refusal malformed() {
		return this.malformed;
	}

	void resolved(Attributes attributes, @Nullable String authority) {
		this.attributes = attributes;
		this.authority = authority;
	}

	void terminator(Predicate<Refusal> terminator) {
		this.terminator = terminator;
	}

	void bind(ServerCall<?, ?> serverCall, MethodPlan plan) {
		this.serverCall = serverCall;
		this.attributes = serverCall.getAttributes();
		this.authority = serverCall.getAuthority();
		this.plan = plan;
		Context current = Context.current();
		this.context = current;
		this.deadline = current.getDeadline();
	}

	/**
	 * Makes this a call that nobody makes. It is over, so that nobody waits for its end.
	 */
	void describe(MethodPlan plan, Attributes attributes, @Nullable String authority, @Nullable Deadline deadline) {
		this.hypothetical = true;
		this.plan = plan;
		this.attributes = attributes;
		this.authority = authority;
		this.deadline = deadline;
		close(Status.CANCELLED);
	}

	CallTracer tracer() {
		return this.tracer;
	}

	void endedBy(Refusal refusal) {
		this.endedBy = refusal;
	}

	/** The handler is about to hear that its client has sent everything. */
	void requested() {
		if (this.handlerObservers != null) {
			this.handlerObservers.forEach(HandlerObserver::requested);
		}
	}

	/** The handler has closed the call. */
	void answered(Status status) {
		if (this.handlerObservers != null) {
			this.handlerObservers.forEach((observer) -> observer.answered(status));
		}
	}

	/** The status for the client is settled, whenever that may get it. */
	void ended(Status status) {
		this.ended.run(status);
	}

	/**
	 * Records the decision unless there is one already. A call that is refused is
	 * released before anybody hears of it.
	 */
	boolean decide(CallDecision decision) {
		synchronized (this) {
			if (this.decision != null) {
				return false;
			}
			this.decision = decision;
		}
		Refusal refusal = decision.refusal();
		if (refusal != null) {
			this.released.run(Status.fromCode(refusal.code()));
		}
		return true;
	}

	/** Runs what waits for the end of the call, the first time only. */
	boolean close(Status status) {
		if (!this.closed.run(status)) {
			return false;
		}
		this.ended.run(status);
		this.released.run(status);
		return true;
	}

	@Override
	public String toString() {
		return "SecuredCall " + id();
	}

	/** What waits for a moment that comes once. */
	private static final class Callbacks {

		// Guarded by this
		private @Nullable List<Consumer<Status>> waiting;

		// Guarded by this
		private @Nullable Status status;

		void add(Consumer<Status> callback) {
			Status come;
			synchronized (this) {
				come = this.status;
				if (come == null) {
					if (this.waiting == null) {
						this.waiting = new ArrayList<>(2);
					}
					this.waiting.add(callback);
					return;
				}
			}
			run(callback, come);
		}

		/** Runs all of them, the first time only. */
		boolean run(Status status) {
			List<Consumer<Status>> callbacks;
			synchronized (this) {
				if (this.status != null) {
					return false;
				}
				this.status = status;
				callbacks = this.waiting;
				this.waiting = null;
			}
			if (callbacks != null) {
				for (Consumer<Status> callback : callbacks) {
					run(callback, status);
				}
			}
			return true;
		}

		private static void run(Consumer<Status> callback, Status status) {
			try {
				callback.accept(status);
			}
			catch (RuntimeException ex) {
				logger.error("A callback for the end of a call failed", ex);
			}
		}

	}

}
