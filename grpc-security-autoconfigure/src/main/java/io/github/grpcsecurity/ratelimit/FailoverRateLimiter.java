package io.github.grpcsecurity.ratelimit;

import java.time.Duration;
import java.util.ArrayList;
import java.util.IdentityHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.Future;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.LongConsumer;
import java.util.function.LongSupplier;

import io.github.grpcsecurity.ratelimit.RateLimitRule.OnFailure;
import io.github.grpcsecurity.remote.CircuitBreaker;
import org.apache.commons.logging.Log;
import org.apache.commons.logging.LogFactory;
import org.jspecify.annotations.Nullable;

/**
 * Asks for permits that several servers share, and decides by
 * {@link RateLimitRule#onFailure()} when they cannot be asked for.
 * <p>
 * No call waits longer than the budget, all its stages together. After half a second of
 * failures alone, five at least, nobody asks any more, so that a dead store costs
 * nothing, until a probe, four a second at most, shows that it answers within the budget
 * again. Where permits are kept in several places, such as the nodes of a cluster, that
 * is so for each of them: a call that needs one which is down is decided without all of
 * them, and others go on. Thread-safe.
 *
 * @since 0.1.0
 */
public final class FailoverRateLimiter implements RateLimiter, AutoCloseable {

	private static final Log logger = LogFactory.getLog(FailoverRateLimiter.class);

	private static final int MAX_FAILURES = 5;

	private static final Duration PATIENCE = Duration.ofMillis(500);

	private static final Duration PROBE_INTERVAL = Duration.ofMillis(250);

	private static final long WATCH_MILLIS = 100;

	private final SharedPermits shared;

	private final InMemoryRateLimiter local;

	private final int servers;

	// By identity: a lookup for each call must not hash all that a rule consists of
	private volatile IdentityHashMap<RateLimitRule, RateLimitRule> standIns;

	private final long budgetNanos;

	private final ScheduledExecutorService timer;

	private final LongSupplier nanoClock;

	/**
	 * By place: the one where everything is, and others as soon as something fails there.
	 */
	private final Map<String, Circuit> circuits = new ConcurrentHashMap<>();

	private final Circuit everywhere;

	/** How many circuits are open. */
	private final AtomicInteger open = new AtomicInteger(1);

	private final AtomicBoolean connecting = new AtomicBoolean();

	private final AtomicBoolean watching = new AtomicBoolean();

	private volatile @Nullable Future<?> nextLook;

	private volatile boolean closed;

	/**
	 * Creates a limiter that starts without the shared permits, until {@link #connect()}
	 * has got hold of them.
	 * @param shared the permits that several servers share
	 * @param local counts in their place
	 * @param rules all rules
	 * @param servers how many servers share a limit while each counts for itself
	 * @param budget how long a call waits for its permits at most
	 * @param timer ends the waiting
	 * @param nanoClock a clock that never goes back, such as {@link System#nanoTime()}
	 */
	public FailoverRateLimiter(SharedPermits shared, InMemoryRateLimiter local, List<RateLimitRule> rules, int servers,
			Duration budget, ScheduledExecutorService timer, LongSupplier nanoClock) {
		this.shared = shared;
		this.local = local;
		this.servers = servers;
		this.standIns = standIns(rules);
		this.budgetNanos = budget.toNanos();
		this.timer = timer;
		this.nanoClock = nanoClock;
		this.everywhere = new Circuit(SharedPermits.EVERYWHERE, false);
		this.circuits.put(SharedPermits.EVERYWHERE, this.everywhere);
	}

	/**
	 * Counts by other rules from now on, while the shared permits do not answer. What
	 * keys owe by rules of the same name stays what it is.
	 * @param rules all rules
	 */
	public void update(List<RateLimitRule> rules) {
		this.standIns = standIns(rules);
	}

	private IdentityHashMap<RateLimitRule, RateLimitRule> standIns(List<RateLimitRule> rules) {
		IdentityHashMap<RateLimitRule, RateLimitRule> all = new IdentityHashMap<>();
		for (RateLimitRule rule : rules) {
			if (rule.onFailure() == OnFailure.LOCAL) {
				all.put(rule, rule.share(this.servers));
			}
		}
		return all;
	}

	private @Nullable RateLimitRule standIn(RateLimitRule rule) {
		if (rule.onFailure() != OnFailure.LOCAL) {
			return null;
		}
		RateLimitRule standIn = this.standIns.get(rule);
		// A call that started before the rules were changed
		return (standIn != null) ? standIn : rule.share(this.servers);
	}

	/**
	 * Starts to connect, so that the first calls find the shared permits, unless it is
	 * connected or has tried to just now. Returns at once; a failure is logged, and it
	 * goes on trying.
	 */
	public void connect() {
		if (!this.connecting.compareAndSet(false, true)) {
			return;
		}
		List<Circuit> due = new ArrayList<>();
		for (Circuit circuit : this.circuits.values()) {
			if (circuit.breaker.startProbe()) {
				due.add(circuit);
			}
		}
		if (due.isEmpty()) {
			this.connecting.set(false);
			return;
		}
		CompletionStage<?> connected;
		try {
			connected = this.shared.connect(due.stream().map((each) -> each.sample).filter(Objects::nonNull).toList());
		}
		catch (RuntimeException ex) {
			connected = CompletableFuture.failedFuture(ex);
		}
		connected.whenComplete((result, failure) -> {
			this.connecting.set(false);
			due.forEach((failure != null) ? (circuit) -> circuit.probed(failure) : Circuit::probe);
		});
	}

	/** An outage is over when it is over, whether or not a call comes. */
	private void watch() {
		if (this.closed || !this.watching.compareAndSet(false, true)) {
			return;
		}
		try {
			this.nextLook = this.timer.schedule(() -> {
				this.watching.set(false);
				if (this.open.get() > 0) {
					connect();
					watch();
				}
			}, WATCH_MILLIS, TimeUnit.MILLISECONDS);
		}
		catch (RejectedExecutionException ex) {
			// The application is going down
			this.closed = true;
		}
	}

	@Override
	public CompletionStage<RateLimitDecision> tryAcquire(List<RateLimitPermit> permits) {
		return tryAcquire(permits, Duration.ZERO);
	}

	@Override
	public CompletionStage<RateLimitDecision> tryAcquire(List<RateLimitPermit> permits, Duration waited) {
		RateLimitDecision known = this.shared.atHand(permits);
		if (known != null) {
			charge(known, permits);
			return CompletableFuture.completedFuture(known);
		}
		if (this.open.get() > 0 && !reachable(permits)) {
			connect();
			return CompletableFuture.completedFuture(fallback(permits, true));
		}
		long patience = this.budgetNanos - waited.toNanos();
		if (patience <= 0) {
			return CompletableFuture.completedFuture(fallback(permits, false));
		}
		Attempt attempt = new Attempt(permits);
		attempt.start(patience);
		return attempt.answer;
	}

	private boolean reachable(List<RateLimitPermit> permits) {
		for (RateLimitPermit permit : permits) {
			Circuit circuit = this.circuits.get(this.shared.place(permit));
			if (circuit != null && !circuit.breaker.closed()) {
				return false;
			}
		}
		return true;
	}

	/** Lets go of the shared permits. */
	@Override
	public void close() {
		this.closed = true;
		Future<?> look = this.nextLook;
		if (look != null) {
			look.cancel(false);
		}
		this.shared.close();
	}

	/**
	 * Whether some shared permits are not asked for at the moment, because they do not
	 * answer.
	 * @return whether rules do what their {@code on-failure} says, at least for some keys
	 */
	public boolean fallbackActive() {
		return this.open.get() > 0;
	}

	/**
	 * How many commands were sent to where the permits are shared.
	 * @return the number since this was created
	 */
	public long operations() {
		return this.shared.operations();
	}

	/**
	 * How many permits of a rule this server holds in advance.
	 * @param rule name of the rule
	 * @return the number of permits that are neither used nor given back
	 */
	public long leased(String rule) {
		return this.shared.leased(rule);
	}

	/**
	 * Measures how long the store of permits takes to answer.
	 * @param timer receives nanoseconds; must not block
	 */
	public void timing(LongConsumer timer) {
		this.shared.timing(timer);
	}

	/**
	 * Gives back what this server holds in advance, before it stops.
	 * @return completes when it was given back, or cannot be
	 */
	public CompletionStage<?> release() {
		return this.shared.release();
	}

	private RateLimitDecision fallback(List<RateLimitPermit> permits, boolean outage) {
		List<RateLimitPermit> asked = new ArrayList<>(permits.size());
		List<RateLimitPermit> counted = new ArrayList<>(permits.size());
		for (RateLimitPermit permit : permits) {
			RateLimitRule rule = permit.rule();
			if (rule.onFailure() == OnFailure.DENY && !rule.shadow()) {
				return RateLimitDecision.undecided(rule);
			}
			RateLimitRule standIn = standIn(rule);
			if (standIn != null) {
				asked.add(permit);
				counted.add(new RateLimitPermit(standIn, permit.key(), permit.cost()));
			}
		}
		RateLimitDecision decision = this.local.decide(counted);
		for (int i = 0; i < asked.size(); i++) {
			RateLimitDecision.Result result = decision.results().get(i);
			if (outage) {
				// Or the end of an outage would hand everybody a new burst
				this.shared.counted(asked.get(i), result.debt());
			}
			else if (decision.permitted() && !result.denied()) {
				this.shared.overdrawn(asked.get(i));
			}
		}
		return decision.asFallback();
	}

	/** Keeps the stand-ins up to date, or a failure would hand everybody a new burst. */
	private void charge(RateLimitDecision decision, List<RateLimitPermit> permits) {
		if (!decision.permitted()) {
			return;
		}
		List<RateLimitDecision.Result> results = decision.results();
		List<RateLimitPermit> taken = new ArrayList<>(permits.size());
		for (int i = 0; i < permits.size(); i++) {
			RateLimitRule standIn = standIn(permits.get(i).rule());
			if (standIn != null && !results.get(i).denied()) {
				taken.add(new RateLimitPermit(standIn, permits.get(i).key(), permits.get(i).cost()));
			}
		}
		this.local.charge(taken);
	}

	private void succeeded(List<RateLimitPermit> permits) {
		if (this.circuits.size() == 1) {
			this.everywhere.breaker.succeeded();
			return;
		}
		for (RateLimitPermit permit : permits) {
			Circuit circuit = this.circuits.get(this.shared.place(permit));
			if (circuit != null) {
				circuit.breaker.succeeded();
			}
		}
	}

	/** Nobody knows which of them did not answer: those that do will show it soon. */
	private void failed(Throwable cause, List<RateLimitPermit> permits) {
		Set<Circuit> failed = new LinkedHashSet<>();
		for (RateLimitPermit permit : permits) {
			Circuit circuit = this.circuits.computeIfAbsent(this.shared.place(permit),
					(place) -> new Circuit(place, true));
			circuit.sample = permit;
			failed.add(circuit);
		}
		failed.forEach((circuit) -> circuit.failed(cause));
	}

	private static String describe(Throwable failure) {
		Throwable root = failure;
		while (root.getCause() != null) {
			root = root.getCause();
		}
		return root.toString();
	}

	private TimeoutException late() {
		return new TimeoutException("no answer within " + TimeUnit.NANOSECONDS.toMillis(this.budgetNanos) + " ms");
	}

	/** What is up or down by itself: everything, or one place where permits are kept. */
	private final class Circuit {

		private final String place;

		private final CircuitBreaker breaker;

		private final AtomicBoolean announced;

		private volatile @Nullable RateLimitPermit sample;

		Circuit(String place, boolean closed) {
			this.place = place;
			this.breaker = new CircuitBreaker(closed, MAX_FAILURES, PATIENCE, PROBE_INTERVAL,
					FailoverRateLimiter.this.nanoClock);
			this.announced = new AtomicBoolean(closed);
		}

		void failed(Throwable cause) {
			if (this.breaker.failed()) {
				FailoverRateLimiter.this.open.incrementAndGet();
				warn(cause);
				logger.debug("The last failure before giving up", cause);
				watch();
			}
		}

		/** Whether it answers, and within the budget. */
		void probe() {
			try {
				CompletableFuture<?> answer = FailoverRateLimiter.this.shared.probe(this.sample).toCompletableFuture();
				Future<?> timeout = FailoverRateLimiter.this.timer.schedule(() -> answer.completeExceptionally(late()),
						FailoverRateLimiter.this.budgetNanos, TimeUnit.NANOSECONDS);
				CompletionStage<?> end = answer;
				end.whenComplete((result, failure) -> {
					timeout.cancel(false);
					probed(failure);
				});
			}
			catch (RuntimeException ex) {
				probed(ex);
			}
		}

		void probed(@Nullable Throwable failure) {
			this.breaker.probed(failure == null);
			if (failure == null) {
				FailoverRateLimiter.this.open.decrementAndGet();
				logger.info(this.announced.getAndSet(true) ? "Shared rate limits can be asked for again" + where()
						: "Shared rate limits are in use");
				return;
			}
			if (this.announced.compareAndSet(false, true)) {
				warn(failure);
			}
			else {
				logger.debug("Shared rate limits still cannot be asked for" + where(), failure);
			}
			watch();
		}

		private void warn(Throwable cause) {
			logger.warn("Shared rate limits cannot be asked for" + where()
					+ "; each rule does what its on-failure says: " + describe(cause));
		}

		private String where() {
			return this.place.isEmpty() ? "" : " at " + this.place;
		}

	}

	/** One call's wait for its permits: settled once, by the answer or by the timer. */
	private final class Attempt implements Runnable {

		private final List<RateLimitPermit> permits;

		private final CompletableFuture<RateLimitDecision> answer = new CompletableFuture<>();

		private final AtomicBoolean settled = new AtomicBoolean();

		private @Nullable CompletableFuture<RateLimitDecision> asked;

		Attempt(List<RateLimitPermit> permits) {
			this.permits = permits;
		}

		void start(long patience) {
			CompletionStage<RateLimitDecision> sent;
			try {
				sent = FailoverRateLimiter.this.shared.tryAcquire(this.permits);
			}
			catch (RuntimeException ex) {
				sent = CompletableFuture.failedFuture(ex);
			}
			this.asked = sent.toCompletableFuture();
			if (this.asked.isDone()) {
				sent.whenComplete(this::answered);
				return;
			}
			try {
				Future<?> timeout = FailoverRateLimiter.this.timer.schedule(this, patience, TimeUnit.NANOSECONDS);
				sent.whenComplete((decision, failure) -> {
					timeout.cancel(false);
					answered(decision, failure);
				});
			}
			catch (RejectedExecutionException ex) {
				// The application is going down
				run();
			}
		}

		private void answered(@Nullable RateLimitDecision decision, @Nullable Throwable failure) {
			if (!this.settled.compareAndSet(false, true)) {
				return;
			}
			if (decision == null) {
				failed((failure != null) ? failure : new NullPointerException("no decision"), this.permits);
				settle();
				return;
			}
			succeeded(this.permits);
			try {
				charge(decision, this.permits);
			}
			finally {
				this.answer.complete(decision);
			}
		}

		/** The budget is used up. */
		@Override
		public void run() {
			if (!this.settled.compareAndSet(false, true)) {
				return;
			}
			failed(late(), this.permits);
			CompletableFuture<RateLimitDecision> sent = this.asked;
			if (sent != null) {
				// What has not been sent yet must not take permits later
				sent.cancel(false);
			}
			settle();
		}

		private void settle() {
			try {
				this.answer.complete(fallback(this.permits, false));
			}
			catch (RuntimeException ex) {
				// Or the call would wait for ever
				this.answer.completeExceptionally(ex);
			}
		}

	}

}
