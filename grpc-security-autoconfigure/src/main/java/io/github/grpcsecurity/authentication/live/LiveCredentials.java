package io.github.grpcsecurity.authentication.live;

import java.time.Duration;
import java.time.Instant;
import java.time.InstantSource;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Queue;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.Future;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.LongAdder;
import java.util.function.Function;
import java.util.function.Predicate;

import com.google.protobuf.Any;
import com.google.rpc.ErrorInfo;
import io.github.grpcsecurity.authentication.CredentialCheck;
import io.github.grpcsecurity.server.CallStage;
import io.github.grpcsecurity.server.GrpcCaller;
import io.github.grpcsecurity.server.GrpcSecurityThreads;
import io.github.grpcsecurity.server.MethodPlan;
import io.github.grpcsecurity.server.Refusal;
import io.github.grpcsecurity.server.SecuredCall;
import io.github.grpcsecurity.server.SecuredMethod;
import io.github.grpcsecurity.server.SecurityStage;
import io.github.grpcsecurity.server.Verdict;
import io.github.grpcsecurity.server.VerifiedCredential;
import io.grpc.Metadata;
import io.grpc.Status;
import io.grpc.protobuf.ProtoUtils;
import org.apache.commons.logging.Log;
import org.apache.commons.logging.LogFactory;
import org.jspecify.annotations.Nullable;

/**
 * Watches over the credentials of open calls: a call does not outlive them.
 * <p>
 * It has to stand behind everything else that authenticates. A call that starts is
 * refused if a {@link CredentialCheck} refuses one of its credentials. A call that is
 * open ends with {@code UNAUTHENTICATED} when the first of its credentials runs out, when
 * a check refuses one of them from now on, or when somebody else says so; an
 * {@code ErrorInfo} tells its client why. All calls share one timer, which ticks every 64
 * milliseconds as long as there is something to wait for, and follows its clock wherever
 * that is set. Thread-safe.
 *
 * @since 0.1.0
 */
public final class LiveCredentials implements CallStage, AutoCloseable {

	/** The {@code ErrorInfo} reason of a call whose credential has run out. */
	public static final String EXPIRED = "CREDENTIAL_EXPIRED";

	/** The {@code ErrorInfo} reason of a call whose credential was revoked. */
	public static final String REVOKED = "CREDENTIAL_REVOKED";

	private static final Log logger = LogFactory.getLog(LiveCredentials.class);

	private static final Metadata.Key<com.google.rpc.Status> DETAILS = Metadata.Key.of("grpc-status-details-bin",
			ProtoUtils.metadataMarshaller(com.google.rpc.Status.getDefaultInstance()));

	private static final com.google.rpc.Status EXPIRED_DETAILS = details(EXPIRED);

	private static final com.google.rpc.Status REVOKED_DETAILS = details(REVOKED);

	private static final long TICK_MILLIS = 1L << OpenCalls.SLOT_BITS;

	/** Later than any clock shows, and far from where milliseconds overflow. */
	private static final long LAST_SECOND = 1L << 50;

	private static final int MAX_WORKERS = 4;

	/** As long as this, calls that were being authenticated are still cut off. */
	private static final long CUT_NANOS = TimeUnit.MINUTES.toNanos(1);

	private static final int MAX_CUTS = 64;

	private final OpenCalls[] parts;

	private final boolean endExpired;

	private final Duration tokenSkew;

	private final CredentialCheck[] checks;

	private final GrpcSecurityThreads threads;

	private final InstantSource clock;

	private final AtomicBoolean ticking = new AtomicBoolean();

	private final AtomicInteger rechecks = new AtomicInteger();

	private final LongAdder expired = new LongAdder();

	private final LongAdder revoked = new LongAdder();

	/** The slot that was looked at last. Used by one tick after the other. */
	private volatile long lastSlot = Long.MIN_VALUE;

	private volatile Cut[] cuts = new Cut[0];

	private volatile @Nullable Future<?> timer;

	private volatile boolean closed;

	/**
	 * Starts to watch.
	 * @param endExpired whether calls end when their credentials run out
	 * @param tokenSkew how much longer than it says a token is good, because the clock of
	 * its issuer may be off; applies to tokens alone
	 * @param checks are asked about each credential, in order
	 * @param threads the timer, and where calls are ended
	 * @param clock tells whether credentials have run out
	 */
	public LiveCredentials(boolean endExpired, Duration tokenSkew, Collection<? extends CredentialCheck> checks,
			GrpcSecurityThreads threads, InstantSource clock) {
		this.endExpired = endExpired;
		this.tokenSkew = tokenSkew;
		this.checks = checks.toArray(new CredentialCheck[0]);
		this.threads = threads;
		this.clock = clock;
		// Threads that start and end calls must not queue up for one lock
		int processors = Math.min(16, Runtime.getRuntime().availableProcessors());
		this.parts = new OpenCalls[Integer.highestOneBit(processors) * 4];
		for (int i = 0; i < this.parts.length; i++) {
			this.parts[i] = new OpenCalls();
		}
	}

	/**
	 * What ends an open call whose credential was revoked.
	 * @param reason for audit and logs; names no token and no key
	 * @return a refusal that tells the client {@value #REVOKED}
	 */
	public static Refusal revoked(String reason) {
		return ending(REVOKED, reason);
	}

	private static Refusal ending(String errorReason, String reason) {
		com.google.rpc.Status details = errorReason.equals(EXPIRED) ? EXPIRED_DETAILS : REVOKED_DETAILS;
		return Refusal.unauthenticated(errorReason + ": " + reason)
			.withTrailers((trailers) -> trailers.put(DETAILS, details));
	}

	private static com.google.rpc.Status details(String errorReason) {
		return com.google.rpc.Status.newBuilder()
			.setCode(Status.Code.UNAUTHENTICATED.value())
			.setMessage(Refusal.Kind.UNAUTHENTICATED.sentence())
			.addDetails(Any.pack(ErrorInfo.newBuilder().setReason(errorReason).setDomain("grpc.security").build()))
			.build();
	}

	@Override
	public SecurityStage stage() {
		return SecurityStage.AUTHENTICATION;
	}

	@Override
	public void plan(SecuredMethod method, MethodPlan.Builder plan) {
		plan.check(this.endExpired ? "credentials are good for as long as the call is open"
				: "credentials are not revoked for as long as the call is open", this::check);
	}

	private Verdict check(SecuredCall call) {
		GrpcCaller caller = call.caller();
		if (caller.anonymous()) {
			return Verdict.proceed();
		}
		long deadline = deadline(caller);
		// First of all: who revokes a credential from now on will find this call
		register(call, deadline);
		// Once it is there: the timer has not passed it by, or this sees that it has
		if (deadline <= this.clock.millis()) {
			return Verdict.refuse(Refusal.unauthenticated("a credential ran out before the call started"));
		}
		for (VerifiedCredential credential : caller.credentials()) {
			for (CredentialCheck check : this.checks) {
				Refusal refusal = check.check(credential);
				if (refusal != null) {
					return Verdict.refuse(refusal);
				}
			}
		}
		Refusal cut = cut(call);
		return (cut != null) ? Verdict.refuse(Refusal.unauthenticated(cut.reason())) : Verdict.proceed();
	}

	private void register(SecuredCall call, long deadline) {
		OpenCalls part = this.parts[spread(Thread.currentThread()) & (this.parts.length - 1)];
		OpenCall open = new OpenCall(call, deadline, part);
		part.add(open);
		call.onClosed(open);
		if (deadline != OpenCalls.NEVER && !this.ticking.get()) {
			startTicking();
		}
	}

	@SuppressWarnings("deprecation")
	private static int spread(Thread thread) {
		long id = thread.getId();
		return (int) (id ^ (id >>> 16));
	}

	private long deadline(GrpcCaller caller) {
		long first = OpenCalls.NEVER;
		if (this.endExpired) {
			for (VerifiedCredential credential : caller.credentials()) {
				first = Math.min(first, deadline(credential));
			}
		}
		return first;
	}

	private long deadline(VerifiedCredential credential) {
		Instant end = credential.expiresAt();
		if (end == null || end.getEpochSecond() >= LAST_SECOND) {
			return OpenCalls.NEVER;
		}
		if (end.getEpochSecond() <= 0) {
			return 0;
		}
		String kind = credential.kind();
		boolean token = kind.equals(VerifiedCredential.JWT) || kind.equals(VerifiedCredential.OPAQUE_TOKEN);
		// Rounded up: a credential is good until it has run out
		return (token ? end.plus(this.tokenSkew) : end).plusNanos(999_999).toEpochMilli();
	}

	private void startTicking() {
		if (!this.closed && this.ticking.compareAndSet(false, true)) {
			scheduleTick();
		}
	}

	private void scheduleTick() {
		try {
			this.timer = this.threads.scheduler().schedule(this::tick, TICK_MILLIS, TimeUnit.MILLISECONDS);
		}
		catch (RejectedExecutionException ex) {
			logger.debug("The server is going down", ex);
		}
	}

	private void tick() {
		try {
			endExpired();
		}
		catch (RuntimeException ex) {
			logger.error("Credentials that have run out could not be looked for; this is tried again", ex);
		}
		if (this.closed) {
			return;
		}
		if (expiring() > 0) {
			scheduleTick();
			return;
		}
		this.ticking.set(false);
		// A call may have come in between, and have seen the timer running
		if (expiring() > 0) {
			startTicking();
		}
	}

	private void endExpired() {
		long now = this.clock.millis();
		long slot = now >> OpenCalls.SLOT_BITS;
		// One turn sees everything, after however long; a clock that was set back starts
		// over from there
		long from = Math.max(Math.min(this.lastSlot, slot), slot - OpenCalls.SLOTS + 1);
		List<OpenCall> due = new ArrayList<>();
		for (OpenCalls part : this.parts) {
			part.takeExpired(from, slot, now, due);
		}
		this.lastSlot = slot;
		end(due, this::expired, this.expired);
	}

	private Refusal expired(OpenCall open) {
		for (VerifiedCredential credential : open.call.caller().credentials()) {
			if (deadline(credential) <= open.deadline) {
				return ending(EXPIRED, credential.kind() + " ran out at " + credential.expiresAt());
			}
		}
		return ending(EXPIRED, "a credential ran out");
	}

	/** Ends calls, spread over a few threads: one that dawdles must not hold up all. */
	private void end(List<OpenCall> calls, Function<OpenCall, @Nullable Refusal> refusals, LongAdder counter) {
		if (calls.isEmpty()) {
			return;
		}
		Queue<OpenCall> queue = new ConcurrentLinkedQueue<>(calls);
		int workers = Math.min(MAX_WORKERS, 1 + calls.size() / 64);
		for (int i = 0; i < workers; i++) {
			execute(() -> {
				for (OpenCall open = queue.poll(); open != null; open = queue.poll()) {
					try {
						Refusal refusal = refusals.apply(open);
						if (refusal != null && open.call.end(refusal)) {
							counter.increment();
						}
					}
					catch (RuntimeException ex) {
						logger.error("Call " + open.call.id() + " could not be ended", ex);
					}
				}
			});
		}
	}

	private void execute(Runnable task) {
		try {
			this.threads.executor().execute(task);
		}
		catch (RejectedExecutionException ex) {
			// What is left of the server must not go on with them
			task.run();
		}
	}

	/**
	 * Asks the checks again about all open calls, because something has changed. Returns
	 * at once; however often it is called, one look after another is taken.
	 */
	public void recheck() {
		if (this.rechecks.getAndIncrement() == 0) {
			execute(() -> {
				int seen;
				do {
					seen = this.rechecks.get();
					lookAgain();
				}
				// What changed during the look needs another one
				while (!this.rechecks.compareAndSet(seen, 0));
			});
		}
	}

	private void lookAgain() {
		try {
			List<OpenCall> refused = new ArrayList<>();
			for (OpenCall open : openCalls()) {
				if (refusedNow(open)) {
					refused.add(open);
				}
			}
			end(refused, this::refusal, this.revoked);
		}
		catch (RuntimeException ex) {
			logger.error("Open calls could not be checked again", ex);
		}
	}

	private boolean refusedNow(OpenCall open) {
		try {
			return refusal(open) != null;
		}
		catch (RuntimeException ex) {
			logger.error("A check of credentials failed; call " + open.call.id() + " stays open", ex);
			return false;
		}
	}

	private @Nullable Refusal refusal(OpenCall open) {
		for (VerifiedCredential credential : open.call.caller().credentials()) {
			for (CredentialCheck check : this.checks) {
				Refusal refusal = check.check(credential);
				// Not being able to decide ends no call
				if (refusal != null && refusal.kind() == Refusal.Kind.UNAUTHENTICATED) {
					return revoked(refusal.reason());
				}
			}
		}
		return null;
	}

	/**
	 * Ends all open calls with a credential that is good no more, and those calls that
	 * are being authenticated with one right now. Calls that start later are not looked
	 * at: to refuse them is up to whoever verifies the credential. The calls are found
	 * here and now and end in the background.
	 * @param revoked whether a credential is good no more; must not block
	 * @param refusal what the calls end with, such as {@link #revoked(String)}
	 * @return how many open calls are ended
	 */
	public int endIf(Predicate<VerifiedCredential> revoked, Refusal refusal) {
		remember(new Cut(revoked, refusal, System.nanoTime()));
		List<OpenCall> found = new ArrayList<>();
		for (OpenCall open : openCalls()) {
			if (open.call.caller().credentials().stream().anyMatch(revoked)) {
				found.add(open);
			}
		}
		end(found, (open) -> refusal, this.revoked);
		return found.size();
	}

	private synchronized void remember(Cut added) {
		List<Cut> kept = new ArrayList<>();
		for (Cut cut : this.cuts) {
			if (added.nanos - cut.nanos < CUT_NANOS) {
				kept.add(cut);
			}
		}
		if (kept.size() == MAX_CUTS) {
			kept.remove(0);
		}
		kept.add(added);
		this.cuts = kept.toArray(new Cut[0]);
	}

	private @Nullable Refusal cut(SecuredCall call) {
		Cut[] current = this.cuts;
		if (current.length == 0) {
			return null;
		}
		long started = System.nanoTime() - call.elapsed().toNanos();
		for (Cut cut : current) {
			if (started - cut.nanos < 0 && call.caller().credentials().stream().anyMatch(cut.revoked)) {
				return cut.refusal;
			}
		}
		return null;
	}

	private List<OpenCall> openCalls() {
		List<OpenCall> calls = new ArrayList<>();
		for (OpenCalls part : this.parts) {
			part.copyTo(calls);
		}
		return calls;
	}

	private int expiring() {
		int expiring = 0;
		for (OpenCalls part : this.parts) {
			expiring += part.expiring();
		}
		return expiring;
	}

	/**
	 * How many calls with credentials are open.
	 * @return the number
	 */
	public int watched() {
		int size = 0;
		for (OpenCalls part : this.parts) {
			size += part.size();
		}
		return size;
	}

	/**
	 * How many calls have been ended because a credential ran out.
	 * @return the number since the start
	 */
	public long endedByExpiry() {
		return this.expired.sum();
	}

	/**
	 * How many calls have been ended because a credential was revoked or disabled.
	 * @return the number since the start
	 */
	public long endedByRevocation() {
		return this.revoked.sum();
	}

	/** Stops the timer. */
	@Override
	public void close() {
		this.closed = true;
		Future<?> current = this.timer;
		if (current != null) {
			current.cancel(false);
		}
	}

	/**
	 * Credentials that are good no more.
	 *
	 * @param revoked tells which
	 * @param refusal what their calls end with
	 * @param nanos when that was said
	 */
	private record Cut(Predicate<VerifiedCredential> revoked, Refusal refusal, long nanos) {
	}

}
