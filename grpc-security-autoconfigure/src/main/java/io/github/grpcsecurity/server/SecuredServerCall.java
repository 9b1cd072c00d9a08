package io.github.grpcsecurity.server;

import io.grpc.ForwardingServerCall.SimpleForwardingServerCall;
import io.grpc.Metadata;
import io.grpc.ServerCall;
import io.grpc.Status;
import org.jspecify.annotations.Nullable;

/**
 * The call as interceptors and handlers behind the pipeline see it: it lets the pipeline
 * end a call while its handler is sending, and translates what the handler ends it with.
 * <p>
 * A {@link ServerCall} must not be used by two threads at once, so whatever writes to it
 * does so under one lock. Once the pipeline has closed the call, the handler writes into
 * the void.
 */
final class SecuredServerCall<ReqT, RespT> extends SimpleForwardingServerCall<ReqT, RespT> {

	private final SecuredCall call;

	private final StatusTranslator translator;

	private final Object lock = new Object();

	// Guarded by lock
	private boolean closed;

	// Guarded by lock
	private boolean ended;

	private @Nullable Demand demand;

	private final @Nullable Pace pace;

	SecuredServerCall(ServerCall<ReqT, RespT> delegate, SecuredCall call, StatusTranslator translator, boolean paced) {
		super(delegate);
		this.call = call;
		this.translator = translator;
		this.pace = paced ? new Pace() : null;
	}

	/** Requests a message on the pipeline's own account. */
	void requestFirst() {
		ask(1);
	}

	/** The last message has passed its checks, or will never reach the handler. */
	void passed() {
		if (this.pace != null && this.pace.next()) {
			delegate().request(1);
		}
	}

	private void ask(int numMessages) {
		if (this.pace == null) {
			delegate().request(numMessages);
		}
		else if (this.pace.starts(numMessages)) {
			delegate().request(1);
		}
	}

	/** Says that one message has been requested on the handler's behalf already. */
	void prefetched(Runnable firstRequest) {
		this.demand = new Demand(firstRequest);
	}

	@Override
	public void request(int numMessages) {
		Demand current = this.demand;
		int remaining = (current != null) ? current.request(numMessages) : numMessages;
		if (remaining > 0) {
			ask(remaining);
		}
	}

	@Override
	public void sendHeaders(Metadata headers) {
		synchronized (this.lock) {
			if (!this.ended) {
				delegate().sendHeaders(headers);
			}
		}
	}

	@Override
	public void sendMessage(RespT message) {
		synchronized (this.lock) {
			if (!this.ended) {
				delegate().sendMessage(message);
			}
		}
	}

	@Override
	public void setCompression(String compressor) {
		synchronized (this.lock) {
			if (!this.ended) {
				delegate().setCompression(compressor);
			}
		}
	}

	@Override
	public void close(Status status, Metadata trailers) {
		if (ended()) {
			return;
		}
		StatusTranslator.Closing closing = this.translator.sent(this.call, status, trailers);
		synchronized (this.lock) {
			if (this.ended) {
				return;
			}
			this.closed = true;
			this.call.answered(closing.status());
			delegate().close(closing.status(), closing.trailers());
		}
		this.call.ended(closing.status());
	}

	/**
	 * A handler whose call the pipeline has ended is to stop as if the client had left.
	 */
	@Override
	public boolean isCancelled() {
		return ended() || delegate().isCancelled();
	}

	@Override
	public boolean isReady() {
		return !ended() && delegate().isReady();
	}

	/** Whether the pipeline has ended the call. */
	boolean ended() {
		synchronized (this.lock) {
			return this.ended;
		}
	}

	/**
	 * Ends the call for the pipeline.
	 * @return {@code false} when the call had been closed before
	 */
	boolean end(StatusTranslator.Closing closing) {
		return end(closing, () -> {
		});
	}

	/** Ends the call, after telling those who have to know first. */
	boolean end(StatusTranslator.Closing closing, Runnable before) {
		synchronized (this.lock) {
			if (this.closed || this.ended) {
				return false;
			}
			this.ended = true;
			before.run();
			delegate().close(closing.status(), closing.trailers());
		}
		this.call.ended(closing.status());
		return true;
	}

	/**
	 * Hands the handler's demand on message by message: one is under way or being
	 * checked, the others stay with the client.
	 */
	private static final class Pace {

		// Guarded by this
		private long demanded;

		// Guarded by this
		private boolean underWay;

		/** Whether to request a message now, that more are wanted. */
		synchronized boolean starts(int numMessages) {
			this.demanded += numMessages;
			return !this.underWay && next();
		}

		/** Whether to request another message, now that none is under way. */
		synchronized boolean next() {
			this.underWay = this.demanded > 0;
			if (this.underWay) {
				this.demanded--;
			}
			return this.underWay;
		}

	}

	/**
	 * Sets off the message that the pipeline requested against what the handler requests.
	 */
	private static final class Demand {

		private final Runnable firstRequest;

		// Guarded by this
		private boolean first = true;

		Demand(Runnable firstRequest) {
			this.firstRequest = firstRequest;
		}

		int request(int numMessages) {
			synchronized (this) {
				if (!this.first || numMessages < 1) {
					return numMessages;
				}
				this.first = false;
			}
			this.firstRequest.run();
			return numMessages - 1;
		}

	}

}
