package io.github.grpcsecurity.server;

import java.util.ArrayDeque;
import java.util.Deque;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.CompletionStage;
import java.util.function.Consumer;
import java.util.function.Supplier;

import io.grpc.Context;
import io.grpc.ForwardingServerCall.SimpleForwardingServerCall;
import io.grpc.Metadata;
import io.grpc.ServerCall;
import io.grpc.ServerCallHandler;
import io.grpc.ServerInterceptor;
import io.grpc.Status;
import org.apache.commons.logging.Log;
import org.apache.commons.logging.LogFactory;
import org.jspecify.annotations.Nullable;

/**
 * Executes the plan of one call and stands between gRPC's callbacks and the handler's.
 * <p>
 * The handler starts once everything that can be decided has been decided. Where a plan
 * looks at messages to authorize, that is when the first message has passed. While a
 * decision is pending, callbacks wait in a queue and are replayed in order, by one thread
 * at a time; in the usual case, when everything is answered at once, there is neither
 * queue nor lock on the way.
 */
final class SecuredCallListener<ReqT, RespT> extends ServerCall.Listener<ReqT> {

	private static final Log logger = LogFactory.getLog(SecuredCallListener.class);

	private static final Refusal NO_MESSAGE = Refusal.malformed("the call ended without a message");

	private static final Refusal TOO_MANY_MESSAGES = Refusal.malformed("more than one message");

	private enum State {

		/** The start of the call is being decided. */
		DECIDING,

		/** All is decided but what depends on the first message. */
		GATED,

		/** The handler runs. */
		OPEN,

		/** Refused, or over for the handler: nothing reaches it any more. */
		ENDED

	}

	private final SecuredServerCall<ReqT, RespT> serverCall;

	private final ServerCall<ReqT, RespT> rawCall;

	private final Metadata headers;

	private final ServerCallHandler<ReqT, RespT> next;

	private final SecuredCall call;

	private final MethodPlan plan;

	private final Pipeline pipeline;

	private final Context baseContext = Context.current();

	// Written by whoever runs the call; handed over under the lock
	private State state = State.DECIDING;

	private @Nullable Identity identity;

	private ServerCall.@Nullable Listener<ReqT> handler;

	/** Hears how a refused call ends, in place of a handler. */
	private ServerCall.@Nullable Listener<ReqT> refusalListener;

	private boolean readyMissed;

	private int messages;

	private volatile boolean endedByPipeline;

	private boolean handlerFailed;

	private final Object lock = new Object();

	/** Whether callbacks have to queue. Changes under the lock only. */
	private volatile boolean blocked;

	// Guarded by lock: stands for the one thread that works on the call while callbacks
	// queue. It is given up before a decision is awaited, so that whoever brings the
	// decision may start while this thread is still on its way out
	private @Nullable Object worker;

	// Guarded by lock
	private @Nullable Object awaitedDecision;

	// Guarded by lock
	private boolean awaitingDemand;

	// Guarded by lock: brings the awaited decision, once what runs meanwhile is done
	private @Nullable Runnable arrived;

	// Guarded by lock: the client has gone away, which is all that is left to be told
	private boolean cancelQueued;

	// Guarded by lock: the call is over, so that nothing is worth waiting for
	private boolean completeQueued;

	// Guarded by lock
	private @Nullable Deque<Runnable> queue;

	SecuredCallListener(ServerCall<ReqT, RespT> rawCall, Metadata headers, ServerCallHandler<ReqT, RespT> next,
			SecuredCall call, MethodPlan plan, Pipeline pipeline) {
		this.rawCall = rawCall;
		this.serverCall = new SecuredServerCall<>(rawCall, call, pipeline.translator(), plan.paced());
		this.headers = headers;
		this.next = next;
		this.call = call;
		this.plan = plan;
		this.pipeline = pipeline;
	}

	/** Decides as far as possible; called once, before any callback. */
	void start() {
		this.call.terminator(this::end);
		if (this.call.cancelled()) {
			// A flood of resets must not buy any of the work that follows
			this.state = State.ENDED;
			return;
		}
		whole(this::admit);
	}

	private void admit() {
		// First of all: nobody must see headers that this peer is not trusted with
		for (PeerResolver resolver : this.pipeline.peerResolvers()) {
			if (!passes(ask(() -> verdict(resolver.resolve(this.call))), SecurityStage.ADMISSION, () -> {
			})) {
				return;
			}
		}
		Refusal malformed = this.call.malformed();
		if (malformed != null) {
			refuse(SecurityStage.ADMISSION, malformed);
			return;
		}
		decide(0);
	}

	private static Verdict verdict(@Nullable Refusal refusal) {
		return (refusal != null) ? Verdict.refuse(refusal) : Verdict.proceed();
	}

	private void decide(int from) {
		MethodPlan.Step<CallCheck>[] steps = this.plan.callSteps();
		int index = from;
		while (index < steps.length && steps[index].stage().compareTo(SecurityStage.AUTHENTICATION) <= 0) {
			if (!passes(steps[index], index)) {
				return;
			}
			index++;
		}
		int identified = index;
		asCaller(() -> decideAsCaller(identified));
	}

	private void decideAsCaller(int from) {
		MethodPlan.Step<CallCheck>[] steps = this.plan.callSteps();
		for (int index = from; index < steps.length; index++) {
			if (!passes(steps[index], index)) {
				return;
			}
		}
		if (this.plan.method().unknown()) {
			refuse(SecurityStage.AUTHORIZATION,
					this.call.anonymous() ? Refusal.unauthenticated("unknown method, no credentials")
							: Refusal.unimplemented("unknown method"));
		}
		else if (this.plan.gated()) {
			this.state = State.GATED;
			this.serverCall.requestFirst();
		}
		else {
			startHandler();
		}
	}

	private boolean passes(MethodPlan.Step<CallCheck> step, int index) {
		return passes(ask(() -> step.check().check(this.call)), step.stage(), () -> decide(index + 1));
	}

	/**
	 * Whether to go on now; if not, the call has been refused or waits for a decision.
	 */
	private boolean passes(Verdict verdict, SecurityStage stage, Runnable continuation) {
		if (verdict instanceof Verdict.Pending pending) {
			return passesLater(pending.answer(), stage, continuation);
		}
		if (verdict instanceof Verdict.Refuse refuse) {
			refuse(stage, refuse.refusal());
			return false;
		}
		return true;
	}

	private boolean passesLater(CompletionStage<? extends Verdict> answer, SecurityStage stage, Runnable continuation) {
		CompletableFuture<? extends Verdict> future = answer.toCompletableFuture();
		if (future.isDone()) {
			return passes(ask(future::join), stage, continuation);
		}
		Object token = new Object();
		synchronized (this.lock) {
			if (this.cancelQueued || this.completeQueued) {
				// Nobody needs the decision any more
				onlyTheEndIsLeft();
				return false;
			}
			this.awaitedDecision = token;
			this.worker = null;
			this.blocked = true;
		}
		answer.whenComplete((verdict, failure) -> {
			Supplier<@Nullable Verdict> decision = () -> {
				if (failure != null) {
					throw new CompletionException(failure);
				}
				return verdict;
			};
			onExecutor(() -> resume(token, decision, stage, continuation));
		});
		return false;
	}

	private void onExecutor(Runnable action) {
		try {
			this.pipeline.executor().execute(action);
		}
		catch (Throwable ex) {
			// Going down, or out of threads: what is left to do is to end the call
			broken(ex);
		}
	}

	private void resume(Object token, Supplier<@Nullable Verdict> decision, SecurityStage stage,
			Runnable continuation) {
		synchronized (this.lock) {
			if (this.awaitedDecision != token) {
				// The call was over in the meantime
				return;
			}
			if (this.worker != null) {
				this.arrived = () -> resume(token, decision, stage, continuation);
				return;
			}
			this.awaitedDecision = null;
			this.worker = token;
		}
		whole(() -> {
			if (passes(ask(decision), stage, continuation)) {
				continuation.run();
			}
		});
		drain(token);
	}

	/** Replays what came in while callbacks had to queue, as long as nobody else does. */
	private void drain(Object token) {
		while (true) {
			Runnable callback;
			synchronized (this.lock) {
				if (this.worker != token) {
					return;
				}
				if (this.awaitingDemand) {
					if (!this.cancelQueued && !this.completeQueued) {
						this.worker = null;
						return;
					}
					onlyTheEndIsLeft();
				}
				callback = (this.queue != null) ? this.queue.poll() : null;
				if (callback == null) {
					this.worker = null;
					this.blocked = false;
					return;
				}
			}
			whole(callback);
		}
	}

	private void whole(Runnable work) {
		try {
			work.run();
		}
		catch (Throwable ex) {
			broken(ex);
		}
	}

	/** Whatever escapes our own work ends the call instead of leaving it open. */
	private void broken(Throwable failure) {
		logger.error("Call " + this.call.id() + " to " + this.plan.method().fullName()
				+ " is refused with UNAVAILABLE, because the pipeline failed", failure);
		if (this.state != State.OPEN) {
			this.state = State.ENDED;
		}
		end(Refusal.unavailable("the pipeline failed: " + failure.getClass().getName()));
	}

	private boolean queued(Runnable callback) {
		synchronized (this.lock) {
			if (!this.blocked) {
				return false;
			}
			queue().add(callback);
			return true;
		}
	}

	// Called under the lock
	private Deque<Runnable> queue() {
		if (this.queue == null) {
			this.queue = new ArrayDeque<>(4);
		}
		return this.queue;
	}

	private Verdict ask(Supplier<@Nullable Verdict> check) {
		try {
			Verdict verdict = check.get();
			return (verdict != null) ? verdict : undecided(new NullPointerException("A check answered null"));
		}
		catch (Throwable ex) {
			return undecided((ex instanceof CompletionException && ex.getCause() != null) ? ex.getCause() : ex);
		}
	}

	private Verdict undecided(Throwable failure) {
		Refusal refusal = StatusTranslator.refusal(this.call, failure);
		if (refusal == null) {
			this.pipeline.failures()
				.log("Call " + this.call.id() + " to " + this.plan.method().fullName()
						+ " is refused with UNAVAILABLE, because a check failed", failure);
			refusal = Refusal.unavailable("a check failed: " + failure.getClass().getName());
		}
		return Verdict.refuse(refusal);
	}

	private void asCaller(Runnable action) {
		Identity current = this.identity;
		if (current == null) {
			current = Identity.of(this.call.authentication(), this.baseContext, this.pipeline.contextKeys());
			this.identity = current;
		}
		current.run(action);
	}

	private void startHandler() {
		// A call that was ended meanwhile has given back what it took
		if (this.serverCall.ended() || !this.call.tracer().decided(CallDecision.PERMIT)) {
			this.state = State.ENDED;
			return;
		}
		try {
			this.plan.hide(this.headers);
			ServerCall.Listener<ReqT> started = prepared(this.next).startCall(this.serverCall, this.headers);
			if (started == null) {
				throw new IllegalStateException("The handler or an interceptor returned no listener");
			}
			this.handler = started;
			this.state = State.OPEN;
		}
		catch (Throwable ex) {
			this.state = State.ENDED;
			failed(ex);
			return;
		}
		if (this.readyMissed) {
			toHandler(ServerCall.Listener::onReady);
		}
	}

	private ServerCallHandler<ReqT, RespT> prepared(ServerCallHandler<ReqT, RespT> handler) {
		List<ServerInterceptor> interceptors = this.pipeline.handlerInterceptors();
		return interceptors.isEmpty() ? handler : inside(interceptors, handler);
	}

	private static <ReqT, RespT> ServerCallHandler<ReqT, RespT> inside(List<ServerInterceptor> interceptors,
			ServerCallHandler<ReqT, RespT> innermost) {
		ServerCallHandler<ReqT, RespT> handler = innermost;
		for (int i = interceptors.size() - 1; i >= 0; i--) {
			ServerInterceptor interceptor = interceptors.get(i);
			ServerCallHandler<ReqT, RespT> inner = handler;
			handler = (call, metadata) -> interceptor.interceptCall(call, metadata, inner);
		}
		return handler;
	}

	private void refuse(SecurityStage stage, Refusal refusal) {
		if (this.state == State.ENDED) {
			return;
		}
		boolean running = this.state == State.OPEN;
		this.state = State.ENDED;
		StatusTranslator.Closing closing = this.pipeline.translator().refused(refusal);
		if (!running) {
			this.call.tracer().decided(CallDecision.refuse(stage, refusal));
			closeRefused(closing);
			return;
		}
		// A call that its handler has closed was not ended by this
		this.serverCall.end(closing, () -> this.call.endedBy(refusal));
		// What the handler has open it must let go of, as after a cancellation
		toHandler(ServerCall.Listener::onCancel);
	}

	/**
	 * Ends the call from any thread. The handler hears of it when gRPC reports the end,
	 * on the thread of its callbacks.
	 */
	private boolean end(Refusal refusal) {
		StatusTranslator.Closing closing = this.pipeline.translator().refused(refusal);
		return this.serverCall.end(closing, () -> {
			this.endedByPipeline = true;
			this.call.endedBy(refusal);
			this.call.tracer().decided(CallDecision.refuse(SecurityStage.AUTHENTICATION, refusal));
		});
	}

	/** Lets the host's own metrics see a refused call as one that a handler closed. */
	private void closeRefused(StatusTranslator.Closing closing) {
		List<ServerInterceptor> observers = this.pipeline.refusalObservers();
		if (!observers.isEmpty()) {
			ServerCallHandler<ReqT, RespT> handler = (observed, metadata) -> {
				observed.close(closing.status(), closing.trailers());
				return new ServerCall.Listener<>() {
				};
			};
			try {
				this.plan.hide(this.headers);
				this.refusalListener = inside(observers, handler).startCall(new RefusedServerCall(), this.headers);
			}
			catch (Throwable ex) {
				logger.warn("An interceptor that observes refused calls failed", ex);
			}
		}
		this.serverCall.end(closing);
	}

	private void failed(Throwable thrown) {
		this.handlerFailed = true;
		StatusTranslator.Closing closing = this.pipeline.translator().thrown(this.call, thrown);
		if (!this.serverCall.end(closing)) {
			logger.warn(
					"Call " + this.call.id() + " to " + this.plan.method().fullName() + " failed after it was closed",
					thrown);
		}
	}

	private void toHandler(Consumer<ServerCall.Listener<ReqT>> callback) {
		ServerCall.Listener<ReqT> current = this.handler;
		if (current == null) {
			return;
		}
		asCaller(() -> {
			try {
				callback.accept(current);
			}
			catch (Throwable ex) {
				failed(ex);
			}
		});
	}

	@Override
	public void onMessage(ReqT message) {
		int size = this.call.parsedSize();
		if (this.blocked && queued(() -> message(message, size))) {
			return;
		}
		try {
			message(message, size);
		}
		catch (Throwable ex) {
			broken(ex);
		}
	}

	/** Whether nothing but its end may reach the handler any more. */
	private boolean over() {
		return this.state == State.ENDED || this.handlerFailed || this.serverCall.ended();
	}

	private void message(ReqT message, int size) {
		if (over()) {
			return;
		}
		Object received = message;
		if (received instanceof RequestParsing.Malformed malformed) {
			refuse(SecurityStage.VALIDATION, malformed.refusal());
			return;
		}
		if (++this.messages > 1 && this.plan.method().descriptor().getType().clientSendsOneMessage()) {
			refuse(SecurityStage.ADMISSION, TOO_MANY_MESSAGES);
			return;
		}
		if (this.plan.messageSteps().length == 0) {
			this.serverCall.passed();
			toHandler((listener) -> listener.onMessage(message));
		}
		else {
			this.call.checking(size);
			asCaller(() -> checkMessage(message, 0));
		}
	}

	private void checkMessage(@Nullable ReqT message, int from) {
		MethodPlan.Step<MessageCheck>[] steps = this.plan.messageSteps();
		for (int i = from; i < steps.length; i++) {
			MethodPlan.Step<MessageCheck> step = steps[i];
			if (message == null && step.stage() != SecurityStage.AUTHORIZATION) {
				continue;
			}
			int following = i + 1;
			if (!passes(ask(() -> step.check().check(this.call, message)), step.stage(),
					() -> checkMessageLater(message, following))) {
				return;
			}
		}
		if (message != null) {
			this.serverCall.passed();
		}
		if (this.state == State.GATED) {
			startGatedHandler(message);
		}
		else if (message != null) {
			toHandler((listener) -> listener.onMessage(message));
		}
	}

	private void checkMessageLater(@Nullable ReqT message, int from) {
		// Much may have happened while the message waited
		if (!over()) {
			asCaller(() -> checkMessage(message, from));
		}
	}

	private void startGatedHandler(@Nullable ReqT firstMessage) {
		synchronized (this.lock) {
			this.awaitingDemand = firstMessage != null;
		}
		this.serverCall.prefetched(this::demanded);
		startHandler();
		if (firstMessage == null) {
			handlerHalfClose();
			return;
		}
		synchronized (this.lock) {
			if (this.state != State.OPEN) {
				this.awaitingDemand = false;
				return;
			}
			if (this.awaitingDemand) {
				this.blocked = true;
				queue().addFirst(() -> toHandler((listener) -> listener.onMessage(firstMessage)));
				return;
			}
		}
		toHandler((listener) -> listener.onMessage(firstMessage));
	}

	/** The handler asked for the message that had been requested before it started. */
	private void demanded() {
		Object token = new Object();
		synchronized (this.lock) {
			this.awaitingDemand = false;
			if (!this.blocked || this.worker != null || this.awaitedDecision != null) {
				return;
			}
			this.worker = token;
		}
		onExecutor(() -> drain(token));
	}

	@Override
	public void onHalfClose() {
		if (!(this.blocked && queued(this::halfClose))) {
			whole(this::halfClose);
		}
	}

	private void halfClose() {
		if (over()) {
			return;
		}
		if (this.messages == 0 && this.plan.method().descriptor().getType().clientSendsOneMessage()) {
			refuse(SecurityStage.ADMISSION, NO_MESSAGE);
		}
		else if (this.state == State.GATED) {
			asCaller(() -> checkMessage(null, 0));
		}
		else {
			handlerHalfClose();
		}
	}

	private void handlerHalfClose() {
		this.call.requested();
		toHandler(ServerCall.Listener::onHalfClose);
	}

	/**
	 * What the handler sends does not depend on the messages that wait to reach it: it
	 * hears at once that it may go on.
	 */
	@Override
	public void onReady() {
		if (!this.blocked) {
			whole(this::ready);
			return;
		}
		Object token = new Object();
		synchronized (this.lock) {
			boolean waiting = this.blocked && this.state == State.OPEN && this.worker == null
					&& this.awaitedDecision != null;
			if (waiting) {
				this.worker = token;
			}
			else if (this.blocked) {
				queue().add(this::ready);
				return;
			}
		}
		whole(this::ready);
		interlude(token);
	}

	/** Goes back to waiting, unless what is waited for has come meanwhile. */
	private void interlude(Object token) {
		Runnable next;
		synchronized (this.lock) {
			if (this.worker != token) {
				return;
			}
			if (this.cancelQueued || this.completeQueued) {
				onlyTheEndIsLeft();
				next = () -> drain(token);
			}
			else {
				this.worker = null;
				next = this.arrived;
			}
			this.arrived = null;
		}
		if (next != null) {
			next.run();
		}
	}

	// Called under the lock
	private void onlyTheEndIsLeft() {
		this.awaitedDecision = null;
		this.awaitingDemand = false;
		queue().clear();
		queue().add(this.cancelQueued ? this::cancelled : this::completed);
	}

	private void ready() {
		if (over()) {
			return;
		}
		if (this.state == State.OPEN) {
			toHandler(ServerCall.Listener::onReady);
		}
		else {
			this.readyMissed = true;
		}
	}

	@Override
	public void onCancel() {
		if (this.blocked) {
			synchronized (this.lock) {
				if (this.worker != null) {
					queue().clear();
					queue().add(this::cancelled);
					this.cancelQueued = true;
					return;
				}
				stopWaiting();
			}
		}
		cancelled();
	}

	// Called under the lock: nobody else works on this call, and what it waits for does
	// not matter any more
	private void stopWaiting() {
		this.awaitedDecision = null;
		this.awaitingDemand = false;
		queue().clear();
		this.blocked = false;
	}

	private void cancelled() {
		ended(ServerCall.Listener::onCancel);
	}

	@Override
	public void onComplete() {
		if (this.blocked) {
			synchronized (this.lock) {
				if (this.blocked && this.worker != null) {
					queue().add(this::completed);
					this.completeQueued = true;
					return;
				}
				stopWaiting();
			}
		}
		whole(this::completed);
	}

	private void completed() {
		ended(ServerCall.Listener::onComplete);
	}

	private void ended(Consumer<ServerCall.Listener<ReqT>> callback) {
		ServerCall.Listener<ReqT> observer = this.refusalListener;
		if (observer != null) {
			this.refusalListener = null;
			try {
				callback.accept(observer);
			}
			catch (RuntimeException ex) {
				logger.warn("An interceptor that observes refused calls failed", ex);
			}
		}
		if (this.state == State.OPEN) {
			this.state = State.ENDED;
			// To a handler that failed, or was stopped, its call was not completed
			toHandler((this.endedByPipeline || this.handlerFailed) ? ServerCall.Listener::onCancel : callback);
		}
		this.state = State.ENDED;
	}

	/** What observers of refusals close goes out untranslated, and once. */
	private final class RefusedServerCall extends SimpleForwardingServerCall<ReqT, RespT> {

		RefusedServerCall() {
			super(SecuredCallListener.this.rawCall);
		}

		@Override
		public void request(int numMessages) {
			// A refused call reads no message
		}

		@Override
		public void close(Status status, Metadata trailers) {
			SecuredCallListener.this.serverCall.end(new StatusTranslator.Closing(status, trailers));
		}

	}

}
