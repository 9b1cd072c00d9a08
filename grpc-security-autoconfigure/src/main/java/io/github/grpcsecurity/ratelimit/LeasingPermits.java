package io.github.grpcsecurity.ratelimit;

import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Collections;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Executor;
import java.util.concurrent.Future;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.LongConsumer;
import java.util.function.LongSupplier;

import io.github.grpcsecurity.ratelimit.LeasablePermits.Draw;
import io.github.grpcsecurity.ratelimit.LeasablePermits.Grant;
import org.apache.commons.logging.Log;
import org.apache.commons.logging.LogFactory;
import org.jspecify.annotations.Nullable;

/**
 * Takes shared permits in batches and answers most calls from memory.
 * <p>
 * What a server holds has been taken from the others before, so all servers together
 * never hand out more than the limit. A key that is asked for again and again gets
 * batches that grow until one lasts for a quarter of the lease; the next one is taken
 * before the last is used up. A batch is at most the configured share of the limit, and
 * at most half of what the store has beyond what calls are waiting for, so that it
 * shrinks when permits become scarce and other servers find some too. A key that is
 * rarely asked for costs one round trip per call and holds nothing. What was not used
 * goes back when the lease runs out, when nobody has asked for half of that time, and
 * when the server stops.
 * <p>
 * That a key has no permits is remembered until it can have some: such calls cost
 * nothing. Rules whose batches would be below two permits are exact, and a refusal of
 * theirs is looked up again after ten seconds at the latest; for others, after a lease.
 * <p>
 * A call takes its permits in all its rules or in none: if one refuses, what was taken in
 * others is put back into their leases. The number of keys is bounded; the store is asked
 * directly about those that do not fit, so that nobody gains by flooding it. Thread-safe,
 * and never blocks.
 *
 * @since 0.1.0
 */
public final class LeasingPermits implements SharedPermits {

	/** How many keys of a rule are kept unless something else is asked for. */
	public static final int DEFAULT_MAX_KEYS = 100_000;

	private static final Log logger = LogFactory.getLog(LeasingPermits.class);

	private static final long CLOSE_MILLIS = 500;

	private static final Duration PAUSE = Duration.ofMillis(100);

	private static final Duration MEMORY = Duration.ofSeconds(10);

	private static final Duration GIVE_UP = Duration.ofSeconds(1);

	private static final int GIVE_BACK_SIZE = 100;

	private final LeasablePermits shared;

	private final Lease.Terms terms;

	private final int maxKeys;

	private final Executor executor;

	private final LongSupplier nanoClock;

	private final Map<String, Table> tables = new ConcurrentHashMap<>();

	private final Future<?> sweeps;

	private final AtomicBoolean sweeping = new AtomicBoolean();

	/**
	 * Creates leases.
	 * @param shared where permits are taken from
	 * @param ttl how long permits that are not used are kept
	 * @param maxShare which part of a limit one server holds at most, above 0 and not
	 * above 1
	 * @param budget how long a call may wait
	 * @param maxKeys how many keys are kept at most for each rule
	 * @param timer tells when to give unused permits back
	 * @param executor gives them back, which may take a while if there are many keys
	 * @param nanoClock a clock that never goes back, such as {@link System#nanoTime()}
	 * @throws IllegalArgumentException if a number is out of range
	 */
	public LeasingPermits(LeasablePermits shared, Duration ttl, double maxShare, Duration budget, int maxKeys,
			ScheduledExecutorService timer, Executor executor, LongSupplier nanoClock) {
		if (ttl.isZero() || ttl.isNegative()) {
			throw new IllegalArgumentException("ttl must be longer than zero");
		}
		if (!(maxShare > 0 && maxShare <= 1)) {
			throw new IllegalArgumentException("maxShare must be above 0 and not above 1");
		}
		if (maxKeys < 1) {
			throw new IllegalArgumentException("maxKeys must be at least 1");
		}
		this.shared = shared;
		Duration giveUp = (GIVE_UP.compareTo(budget) < 0) ? budget.multipliedBy(2) : GIVE_UP;
		Duration pause = (ttl.dividedBy(4).compareTo(PAUSE) < 0) ? ttl.dividedBy(4) : PAUSE;
		this.terms = new Lease.Terms(ttl, maxShare, budget, pause, MEMORY, giveUp);
		this.maxKeys = maxKeys;
		this.executor = executor;
		this.nanoClock = nanoClock;
		long interval = Math.max(ttl.toNanos() / 2, 1_000_000);
		this.sweeps = timer.scheduleWithFixedDelay(this::sweep, interval, interval, TimeUnit.NANOSECONDS);
	}

	@Override
	public CompletionStage<?> connect(Collection<RateLimitPermit> samples) {
		return this.shared.connect(samples);
	}

	@Override
	public CompletionStage<?> probe(@Nullable RateLimitPermit sample) {
		return this.shared.probe(sample);
	}

	@Override
	public String place(RateLimitPermit permit) {
		return this.shared.place(permit);
	}

	@Override
	public @Nullable RateLimitDecision atHand(List<RateLimitPermit> permits) {
		return decide(permits, null);
	}

	@Override
	public CompletionStage<RateLimitDecision> tryAcquire(List<RateLimitPermit> permits) {
		for (RateLimitPermit permit : permits) {
			if (!leasable(permit) || lease(permit) == null) {
				return ask(permits);
			}
		}
		Call call = new Call(permits);
		resolve(List.of(call));
		return call.answer;
	}

	/**
	 * Decides from what is held and remembered.
	 * @param missing takes the places of permits that have to be asked for
	 * @return null if some have to be
	 */
	private @Nullable RateLimitDecision decide(List<RateLimitPermit> permits, @Nullable List<Integer> missing) {
		long now = this.nanoClock.getAsLong();
		int size = permits.size();
		Lease<?>[] leases = new Lease<?>[size];
		Lease.@Nullable Answer[] answers = new Lease.@Nullable Answer[size];
		boolean unknown = false;
		boolean denied = false;
		for (int i = 0; i < size; i++) {
			RateLimitPermit permit = permits.get(i);
			Lease<Call> lease = known(permit);
			Lease.Answer answer = null;
			if (lease != null) {
				leases[i] = lease;
				answer = lease.take(permit, now);
			}
			answers[i] = answer;
			if (answer == null) {
				unknown = true;
				if (missing != null) {
					missing.add(i);
				}
			}
			denied |= answer == Lease.Answer.REFUSED && !permit.rule().shadow();
		}
		if (denied || unknown) {
			for (int i = 0; i < size; i++) {
				if (answers[i] == Lease.Answer.TAKEN) {
					leases[i].putBack(permits.get(i).cost());
				}
			}
			if (!denied) {
				return null;
			}
		}
		List<RateLimitDecision.Result> results = new ArrayList<>(size);
		for (int i = 0; i < size; i++) {
			Lease<?> lease = leases[i];
			if (lease != null && answers[i] != null) {
				results.add(lease.result(permits.get(i), answers[i] == Lease.Answer.REFUSED, now));
			}
		}
		if (!denied) {
			prefetch(leases, now);
		}
		return RateLimitDecision.of(results, !denied);
	}

	private void prefetch(Lease<?>[] leases, long now) {
		List<Lease<Call>> low = null;
		for (Lease<?> each : leases) {
			if (each.runsLow(now)) {
				@SuppressWarnings("unchecked")
				Lease<Call> lease = (Lease<Call>) each;
				low = (low != null) ? low : new ArrayList<>(leases.length);
				low.add(lease);
			}
		}
		if (low != null) {
			draw(low, true);
		}
	}

	/** Decides about each call, or lets it wait for what it needs. */
	private void resolve(Collection<Call> calls) {
		List<Lease<Call>> needed = new ArrayList<>();
		List<Call> joined = new ArrayList<>();
		for (Call call : calls) {
			if (call.answer.isDone()) {
				continue;
			}
			List<Integer> missing = new ArrayList<>();
			try {
				RateLimitDecision decision = decide(call.permits, missing);
				if (decision == null) {
					if (join(call, missing, needed)) {
						joined.add(call);
					}
					else {
						ask(call);
					}
				}
				else if (!call.answer.complete(decision) && decision.permitted()) {
					putBack(call.permits, decision);
				}
			}
			catch (Lease.LateException ex) {
				call.answer.completeExceptionally(
						new TimeoutException("no answer within " + this.terms.budget().toMillis() + " ms"));
			}
			catch (RuntimeException ex) {
				call.answer.completeExceptionally(ex);
			}
		}
		draw(needed, false);
		served(joined.stream().filter(Call::landed).toList());
	}

	/** Queues a call; false if there is no room to do so. */
	private boolean join(Call call, List<Integer> missing, List<Lease<Call>> needed) throws Lease.LateException {
		call.awaited.set(1);
		for (int place : missing) {
			RateLimitPermit permit = call.permits.get(place);
			while (true) {
				Lease<Call> lease = lease(permit);
				if (lease == null) {
					return false;
				}
				call.awaited.incrementAndGet();
				if (lease.await(call, permit.cost(), this.nanoClock.getAsLong())) {
					needed.add(lease);
					break;
				}
				call.awaited.decrementAndGet();
			}
		}
		return true;
	}

	private void ask(Call call) {
		CompletionStage<RateLimitDecision> asked = ask(call.permits);
		asked.whenComplete((decision, failure) -> {
			if (failure != null) {
				call.answer.completeExceptionally(failure);
			}
			else {
				call.answer.complete(decision);
			}
		});
		CompletionStage<RateLimitDecision> answer = call.answer;
		answer.whenComplete((decision, failure) -> {
			if (call.answer.isCancelled()) {
				asked.toCompletableFuture().cancel(false);
			}
		});
	}

	/**
	 * Takes the very permits of a call, and no more. What the store has not heard of goes
	 * with it.
	 */
	private CompletionStage<RateLimitDecision> ask(List<RateLimitPermit> permits) {
		long now = this.nanoClock.getAsLong();
		for (RateLimitPermit permit : permits) {
			Lease<Call> lease = known(permit);
			OutageDebt untold = (lease != null) ? lease.takeUntold(now) : OutageDebt.NONE;
			if (!untold.paid()) {
				this.shared.counted(permit, untold);
			}
		}
		return this.shared.tryAcquire(permits);
	}

	/** Whether the permits of a call are not taken from leases. */
	private boolean direct(List<RateLimitPermit> permits) {
		return permits.stream().anyMatch((permit) -> !leasable(permit) || known(permit) == null);
	}

	/** Nobody waits for the decision any more. */
	private void putBack(List<RateLimitPermit> permits, RateLimitDecision decision) {
		for (int i = 0; i < permits.size(); i++) {
			Lease<Call> lease = known(permits.get(i));
			if (lease != null && !decision.results().get(i).denied()) {
				lease.putBack(permits.get(i).cost());
			}
		}
	}

	private void draw(List<Lease<Call>> leases, boolean prefetch) {
		if (leases.isEmpty()) {
			return;
		}
		long now = this.nanoClock.getAsLong();
		List<Lease<Call>> drawing = new ArrayList<>(leases.size());
		List<Lease.Flight> started = new ArrayList<>(leases.size());
		List<Draw> draws = new ArrayList<>(leases.size());
		for (Lease<Call> lease : leases) {
			Lease.Flight flight = lease.start(prefetch, now);
			if (flight != null) {
				drawing.add(lease);
				started.add(flight);
				draws.add(flight.draw());
			}
		}
		if (draws.isEmpty()) {
			return;
		}
		List<? extends CompletionStage<Grant>> grants;
		try {
			grants = this.shared.draw(draws);
		}
		catch (RuntimeException ex) {
			CompletableFuture<Grant> failed = CompletableFuture.failedFuture(ex);
			grants = Collections.nCopies(draws.size(), failed);
		}
		for (int i = 0; i < draws.size(); i++) {
			Lease<Call> lease = drawing.get(i);
			Lease.Flight flight = started.get(i);
			CompletionStage<Grant> grant = grants.get(i);
			grant.whenComplete((granted, failure) -> landed(lease, flight, granted, failure));
		}
	}

	private void landed(Lease<Call> lease, Lease.Flight flight, @Nullable Grant grant, @Nullable Throwable failure) {
		List<Call> woken = lease.land(flight, grant, this.nanoClock.getAsLong());
		if (failure != null) {
			for (Call call : woken) {
				call.answer.completeExceptionally(failure);
			}
			leave(woken);
			return;
		}
		served(woken.stream().filter(Call::landed).toList());
	}

	/**
	 * Decides about calls that got what they waited for, and leaves the rest to others.
	 */
	private void served(List<Call> ready) {
		if (ready.isEmpty()) {
			return;
		}
		resolve(ready);
		leave(ready);
	}

	private void leave(List<Call> served) {
		long now = this.nanoClock.getAsLong();
		List<Draw> draws = new ArrayList<>();
		for (Call call : served) {
			for (RateLimitPermit permit : call.permits) {
				Lease<Call> lease = known(permit);
				Draw excess = (lease != null) ? lease.excess(now) : null;
				if (excess != null) {
					draws.add(excess);
				}
			}
		}
		send(draws, new ArrayList<>());
	}

	@Override
	public void counted(RateLimitPermit permit, OutageDebt debt) {
		Lease<Call> lease = leasable(permit) ? lease(permit) : null;
		if (lease != null) {
			lease.owes(debt, this.nanoClock.getAsLong());
		}
		else {
			this.shared.counted(permit, debt);
		}
	}

	@Override
	public void overdrawn(List<RateLimitPermit> call, List<RateLimitPermit> permits, boolean asked) {
		if (asked && direct(call)) {
			this.shared.overdrawn(call, permits, true);
			return;
		}
		long now = this.nanoClock.getAsLong();
		for (RateLimitPermit permit : permits) {
			Lease<Call> lease = leasable(permit) ? known(permit) : null;
			if (lease != null) {
				lease.overdraw(permit.cost(), now);
			}
			else {
				this.shared.overdrawn(call, List.of(permit), asked);
			}
		}
	}

	private static boolean leasable(RateLimitPermit permit) {
		return permit.cost() <= LeasablePermits.MAX_BATCH;
	}

	@Override
	public long operations() {
		return this.shared.operations();
	}

	@Override
	public long leased(String rule) {
		Table table = this.tables.get(rule);
		return (table != null) ? table.leases.values().stream().mapToLong(Lease::held).sum() : 0;
	}

	@Override
	public void timing(LongConsumer timer) {
		this.shared.timing(timer);
	}

	/** How many keys are kept. */
	int size() {
		return this.tables.values().stream().mapToInt((table) -> table.leases.size()).sum();
	}

	@Override
	public CompletionStage<?> release() {
		return giveBack(true);
	}

	/**
	 * Gives unused permits back, for which it waits a little, and lets go of the store.
	 */
	@Override
	public void close() {
		this.sweeps.cancel(false);
		try {
			release().toCompletableFuture().get(CLOSE_MILLIS, TimeUnit.MILLISECONDS);
		}
		catch (InterruptedException ex) {
			Thread.currentThread().interrupt();
		}
		catch (ExecutionException | TimeoutException ex) {
			logger.debug("Leased permits could not be given back", ex);
		}
		finally {
			this.shared.close();
		}
	}

	/**
	 * Goes through all keys, which must keep neither timers nor calls from what is due.
	 */
	private void sweep() {
		if (!this.sweeping.compareAndSet(false, true)) {
			return;
		}
		try {
			this.executor.execute(() -> {
				try {
					sweepAll();
				}
				finally {
					this.sweeping.set(false);
				}
			});
		}
		catch (RejectedExecutionException ex) {
			// The application is going down
			this.sweeping.set(false);
		}
	}

	private void sweepAll() {
		giveBack(false);
		long now = this.nanoClock.getAsLong();
		this.tables.values().forEach((table) -> table.sweep(now));
	}

	private CompletionStage<?> giveBack(boolean all) {
		long now = this.nanoClock.getAsLong();
		List<Draw> draws = new ArrayList<>();
		List<CompletableFuture<?>> sent = new ArrayList<>();
		for (Table table : this.tables.values()) {
			for (Lease<Call> lease : table.leases.values()) {
				Draw unused = lease.unused(all, now);
				if (unused != null) {
					draws.add(unused);
				}
				if (draws.size() == GIVE_BACK_SIZE) {
					send(draws, sent);
					draws = new ArrayList<>();
				}
			}
		}
		send(draws, sent);
		return CompletableFuture.allOf(sent.toArray(new CompletableFuture<?>[0]));
	}

	/** What cannot be given back comes back by itself, a little later. */
	private void send(List<Draw> draws, List<CompletableFuture<?>> sent) {
		if (draws.isEmpty()) {
			return;
		}
		try {
			this.shared.draw(draws)
				.forEach((grant) -> sent.add(grant.handle((granted, failure) -> null).toCompletableFuture()));
		}
		catch (RuntimeException ex) {
			logger.debug("Leased permits could not be given back", ex);
		}
	}

	private @Nullable Lease<Call> known(RateLimitPermit permit) {
		Table table = this.tables.get(permit.rule().name());
		return (table != null) ? table.leases.get(permit.key()) : null;
	}

	private @Nullable Lease<Call> lease(RateLimitPermit permit) {
		Table table = this.tables.get(permit.rule().name());
		if (table == null) {
			table = this.tables.computeIfAbsent(permit.rule().name(), (name) -> new Table());
		}
		return table.lease(permit);
	}

	/** The keys of one rule. */
	private final class Table {

		private final Map<String, Lease<Call>> leases = new ConcurrentHashMap<>();

		private final AtomicLong nextSweep = new AtomicLong(LeasingPermits.this.nanoClock.getAsLong());

		@Nullable Lease<Call> lease(RateLimitPermit permit) {
			Lease<Call> lease = this.leases.get(permit.key());
			if (lease != null) {
				return lease;
			}
			long now = LeasingPermits.this.nanoClock.getAsLong();
			if (this.leases.size() >= LeasingPermits.this.maxKeys) {
				// In a flood of new keys a sweep for each of them would be the next
				// attack
				long next = this.nextSweep.get();
				long interval = LeasingPermits.this.terms.ttl().toNanos() / 8;
				if (now - next < 0 || !this.nextSweep.compareAndSet(next, now + interval)) {
					return null;
				}
				LeasingPermits.this.sweep();
				if (this.leases.size() >= LeasingPermits.this.maxKeys) {
					return null;
				}
			}
			Lease<Call> fresh = new Lease<>(permit.rule(), permit.key(), LeasingPermits.this.terms, now);
			Lease<Call> other = this.leases.putIfAbsent(permit.key(), fresh);
			return (other != null) ? other : fresh;
		}

		void sweep(long now) {
			Iterator<Lease<Call>> iterator = this.leases.values().iterator();
			while (iterator.hasNext()) {
				if (iterator.next().retire(now)) {
					iterator.remove();
				}
			}
		}

	}

	/** One call that waits for its permits. */
	private static final class Call {

		private final List<RateLimitPermit> permits;

		private final CompletableFuture<RateLimitDecision> answer = new CompletableFuture<>();

		/** How many draws it waits for, and one more while it is being queued. */
		private final AtomicInteger awaited = new AtomicInteger();

		Call(List<RateLimitPermit> permits) {
			this.permits = permits;
		}

		/** Whether all that it waited for has come. */
		boolean landed() {
			return this.awaited.decrementAndGet() == 0;
		}

	}

}
