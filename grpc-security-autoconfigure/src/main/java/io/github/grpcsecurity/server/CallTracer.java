package io.github.grpcsecurity.server;

import java.time.InstantSource;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicIntegerFieldUpdater;

import io.grpc.Context;
import io.grpc.Deadline;
import io.grpc.DecompressorRegistry;
import io.grpc.Metadata;
import io.grpc.ServerStreamTracer;
import io.grpc.Status;
import org.apache.commons.logging.Log;
import org.apache.commons.logging.LogFactory;
import org.jspecify.annotations.Nullable;

/**
 * Sees every call from its headers to its true end: what hangs on a call ends here.
 * <p>
 * Interceptors miss malformed messages, throwing handlers and lost deadline races; the
 * transport tells its tracer about all of them, exactly once.
 */
final class CallTracer extends ServerStreamTracer {

	private static final Log logger = LogFactory.getLog(CallTracer.class);

	private static final AtomicIntegerFieldUpdater<CallTracer> RECEIVED = AtomicIntegerFieldUpdater
		.newUpdater(CallTracer.class, "received");

	private static final AtomicIntegerFieldUpdater<CallTracer> SENT = AtomicIntegerFieldUpdater
		.newUpdater(CallTracer.class, "sent");

	private static final long MAX_TOLERANCE_MILLIS = 100;

	private final List<CallObserver> observers;

	private final SecuredCall call;

	private volatile int received;

	private volatile int sent;

	private CallTracer(String fullMethodName, Metadata headers, @Nullable Refusal malformed, InstantSource clock,
			List<CallObserver> observers) {
		this.observers = observers;
		this.call = new SecuredCall(fullMethodName, headers, malformed, clock.instant(), this);
	}

	/** A call that no transport has seen and of which nobody hears. */
	static SecuredCall unobserved(String fullMethodName, Metadata headers, InstantSource clock) {
		return new CallTracer(fullMethodName, headers, null, clock, List.of()).call();
	}

	SecuredCall call() {
		return this.call;
	}

	int messagesReceived() {
		return this.received;
	}

	int messagesSent() {
		return this.sent;
	}

	@Override
	public Context filterContext(Context context) {
		return context.withValue(SecuredCall.CONTEXT_KEY, this.call);
	}

	@Override
	public void serverCallStarted(ServerCallInfo<?, ?> callInfo) {
		this.call.resolved(callInfo.getAttributes(), callInfo.getAuthority());
	}

	@Override
	public void inboundMessage(int seqNo) {
		RECEIVED.lazySet(this, seqNo + 1);
	}

	@Override
	public void outboundMessage(int seqNo) {
		SENT.lazySet(this, seqNo + 1);
	}

	@Override
	public synchronized void streamClosed(Status transportStatus) {
		decided(CallDecision.ABANDON);
		Status status = seenByClient(transportStatus);
		if (!this.call.close(status)) {
			return;
		}
		for (CallObserver observer : this.observers) {
			try {
				observer.closed(this.call, status);
			}
			catch (RuntimeException ex) {
				logger.error("An observer of calls failed", ex);
			}
		}
	}

	/**
	 * A client whose deadline passes resets the stream, which often arrives before the
	 * server's own timer fires: a cancellation in the last tenth of the time, and at most
	 * 100 ms before the deadline, counts as the deadline.
	 */
	private Status seenByClient(Status status) {
		Deadline deadline = this.call.deadline();
		if (status.getCode() != Status.Code.CANCELLED || deadline == null) {
			return status;
		}
		long remaining = deadline.timeRemaining(TimeUnit.MILLISECONDS);
		long whole = remaining + this.call.elapsed().toMillis();
		return (remaining <= Math.min(MAX_TOLERANCE_MILLIS, whole / 10)) ? Status.DEADLINE_EXCEEDED : status;
	}

	/**
	 * Tells the observers, unless the call has been decided before. Under the lock that
	 * the end of the call takes too, so that they hear of both in order.
	 * @return {@code false} if something else has been decided
	 */
	synchronized boolean decided(CallDecision decision) {
		if (!this.call.decide(decision)) {
			return false;
		}
		for (CallObserver observer : this.observers) {
			try {
				observer.decided(this.call, decision);
			}
			catch (RuntimeException ex) {
				logger.error("An observer of calls failed", ex);
			}
		}
		return true;
	}

	/**
	 * Makes a tracer for each call, and repairs the headers before anybody reads them.
	 */
	static final class Factory extends ServerStreamTracer.Factory {

		private final InstantSource clock;

		private final List<CallObserver> observers;

		private final DecompressorRegistry decompressors;

		Factory(InstantSource clock, List<CallObserver> observers, DecompressorRegistry decompressors) {
			this.clock = clock;
			this.decompressors = decompressors;
			this.observers = List.copyOf(observers);
		}

		@Override
		public ServerStreamTracer newServerStreamTracer(String fullMethodName, Metadata headers) {
			Refusal malformed = HeaderRepair.repair(headers, this.decompressors);
			return new CallTracer(fullMethodName, headers, malformed, this.clock, this.observers);
		}

	}

}
