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
 * is so for each of them: a call that needs one which is down is decided without that
 * one, and with the others. Thread-safe.
 *
 * @since 0.1.0
 */
public final class FailoverRateLimiter implements RateLimiter, AutoCloseable {

	private static final Log logger = LogFactory.getLog(FailoverRateLimiter.class);

	private static final int MAX_FAILURES = 5;

	private static final Duration PATIENCE = Duration.ofMillis(500);

	private static final Duration PROBE_INTERVAL = Duration.ofMillis(250);

	private static final Duration SLOW_PROBE_INTERVAL = Duration.ofMillis(750);

	/** How long an outage is probed at the shorter interval. */
	private static final Duration YOUNG = Duration.ofSeconds(5);

	private static final long WATCH_MILLIS = 50;

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
		this.circuits.put(SharedPermits.EVERYWHERE, new Circuit(SharedPermits.EVERYWHERE, false));
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
			if (circuit.due()) {
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
		RateLimitDecision known = atHand(permits);
		if (known != null) {
			return CompletableFuture.completedFuture(known);
		}
		if (this.open.get() > 0) {
			List<RateLimitPermit> lost = unreachable(permits);
			if (!lost.isEmpty()) {
				connect();
				return tryAcquire(permits, lost, waited);
			}
		}
		return ask(permits, waited);
	}

	private @Nullable RateLimitDecision atHand(List<RateLimitPermit> permits) {
		RateLimitDecision known = this.shared.atHand(permits);
		if (known != null && known.permitted()) {
			follow(known, permits);
		}
		return known;
	}

	private CompletionStage<RateLimitDecision> ask(List<RateLimitPermit> permits, Duration waited) {
		long patience = this.budgetNanos - waited.toNanos();
		if (patience <= 0) {
			return CompletableFuture.completedFuture(fallback(permits, Reason.NO_TIME));
		}
		Attempt attempt = new Attempt(permits);
		attempt.start(patience);
		return attempt.answer;
	}

	/** Takes what can only be had here, and then what is left to be asked for. */
	private CompletionStage<RateLimitDecision> tryAcquire(List<RateLimitPermit> permits, List<RateLimitPermit> lost,
			Duration waited) {
		RateLimitDecision here = fallback(lost, Reason.OUTAGE);
		List<RateLimitPermit> others = permits.stream().filter((permit) -> !lost.contains(permit)).toList();
		if (!here.permitted() || others.isEmpty()) {
			tell(lost, here.permitted());
			return CompletableFuture.completedFuture(here);
		}
		RateLimitDecision known = atHand(others);
		if (known != null) {
			return CompletableFuture.completedFuture(joined(lost, here, known));
		}
		return ask(others, waited).thenApply((there) -> joined(lost, here, there));
	}

	private RateLimitDecision joined(List<RateLimitPermit> lost, RateLimitDecision here, RateLimitDecision there) {
		if (!there.permitted()) {
			giveBack(lost, here);
		}
		tell(lost, there.permitted());
		return here.with(there);
	}

	/**
	 * Or the end of an outage would hand everybody a new burst. What the store knew is
	 * told as well, for it may have lost its data.
	 */
	private void tell(List<RateLimitPermit> lost, boolean taken) {
		for (RateLimitPermit permit : lost) {
			RateLimitRule standIn = standIn(permit.rule());
			if (standIn != null) {
				OutageDebt debt = this.local.outageDebt(permit, standIn.gcra(), taken, this.servers);
				if (!debt.paid()) {
					this.shared.counted(permit, debt);
				}
			}
		}
	}

	private void giveBack(List<RateLimitPermit> permits, RateLimitDecision decision) {
		List<RateLimitPermit> taken = new ArrayList<>(permits.size());
		for (RateLimitPermit permit : permits) {
			for (RateLimitDecision.Result result : decision.results()) {
				if (permit.rule().name().equals(result.rule().name()) && !result.denied()) {
					taken.add(new RateLimitPermit(result.rule(), permit.key(), permit.cost()));
				}
			}
		}
		this.local.giveBack(taken);
	}

	private List<RateLimitPermit> unreachable(List<RateLimitPermit> permits) {
		List<RateLimitPermit> unreachable = new ArrayList<>(permits.size());
		for (RateLimitPermit permit : permits) {
			Circuit circuit = this.circuits.get(this.shared.place(permit));
			if (circuit != null && !circuit.breaker.closed()) {
				unreachable.add(permit);
			}
		}
		return unreachable;
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

	private RateLimitDecision fallback(List<RateLimitPermit> permits, Reason reason) {
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
		if (reason != Reason.OUTAGE && decision.permitted()) {
			List<RateLimitPermit> handedOut = new ArrayList<>(asked.size());
			for (int i = 0; i < asked.size(); i++) {
				if (!decision.results().get(i).denied()) {
					handedOut.add(asked.get(i));
				}
			}
			this.shared.overdrawn(permits, handedOut, reason == Reason.LATE);
		}
		return decision.asFallback();
	}

	/**
	 * Keeps the stand-ins up to date, or a failure would hand everybody a new burst.
	 */
	private void follow(RateLimitDecision decision, List<RateLimitPermit> permits) {
		List<RateLimitDecision.Result> results = decision.results();
		boolean outage = this.open.get() > 0;
		for (int i = 0; i < permits.size() && results.size() == permits.size(); i++) {
			RateLimitPermit permit = permits.get(i);
			RateLimitRule standIn = standIn(permit.rule());
			if (standIn == null) {
				continue;
			}
			if (outage) {
				this.local.followAtLeast(permit, standIn.gcra(), results.get(i).debt());
			}
			else {
				this.local.follow(permit, standIn.gcra(), results.get(i).debt());
			}
		}
	}

	private void succeeded(List<RateLimitPermit> permits) {
		boolean failing = false;
		for (Circuit circuit : this.circuits.values()) {
			failing |= circuit.breaker.failing();
		}
		for (int i = 0; i < permits.size() && failing; i++) {
			Circuit circuit = this.circuits.get(this.shared.place(permits.get(i)));
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

	/** Why permits are not asked for, or no longer. */
	private enum Reason {

		/** Nobody asks. */
		OUTAGE,

		/** The answer is not there in time. */
		LATE,

		/** The call has waited for others before. */
		NO_TIME

	}

	/** What is up or down by itself: everything, or one place where permits are kept. */
	private final class Circuit {

		private final String place;

		private final CircuitBreaker breaker;

		private final AtomicBoolean announced;

		private volatile @Nullable RateLimitPermit sample;

		private volatile long openedAt;

		private volatile long probedAt;

		Circuit(String place, boolean closed) {
			this.place = place;
			this.breaker = new CircuitBreaker(closed, MAX_FAILURES, PATIENCE, PROBE_INTERVAL,
					FailoverRateLimiter.this.nanoClock);
			this.announced = new AtomicBoolean(closed);
			this.openedAt = FailoverRateLimiter.this.nanoClock.getAsLong();
			this.probedAt = this.openedAt;
		}

		void failed(Throwable cause) {
			if (this.breaker.failed()) {
				this.openedAt = FailoverRateLimiter.this.nanoClock.getAsLong();
				FailoverRateLimiter.this.open.incrementAndGet();
				warn(cause);
				logger.debug("The last failure before giving up", cause);
				watch();
			}
		}

		/**
		 * Whether to probe. A long outage is to cost those that are well a little less.
		 */
		boolean due() {
			long now = FailoverRateLimiter.this.nanoClock.getAsLong();
			boolean young = now - this.openedAt < YOUNG.toNanos();
			if ((!young && now - this.probedAt < SLOW_PROBE_INTERVAL.toNanos()) || !this.breaker.startProbe()) {
				return false;
			}
			this.probedAt = now;
			return true;
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
				follow(decision, this.permits);
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
				sent.cancel(false);
			}
			settle();
		}

		private void settle() {
			try {
				this.answer.complete(fallback(this.permits, Reason.LATE));
			}
			catch (RuntimeException ex) {
				// Or the call would wait for ever
				this.answer.completeExceptionally(ex);
			}
		}

	}

}
