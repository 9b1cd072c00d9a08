package io.github.grpcsecurity.ratelimit.redis;

import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Collections;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Queue;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.Executor;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.atomic.LongAdder;
import java.util.function.LongConsumer;
import java.util.stream.IntStream;
import java.util.stream.Stream;

import io.github.grpcsecurity.ratelimit.Gcra;
import io.github.grpcsecurity.ratelimit.LeasablePermits;
import io.github.grpcsecurity.ratelimit.OutageDebt;
import io.github.grpcsecurity.ratelimit.RateLimitDecision;
import io.github.grpcsecurity.ratelimit.RateLimitPermit;
import io.github.grpcsecurity.ratelimit.RateLimitRule;
import io.github.grpcsecurity.ratelimit.RateLimitRule.OnFailure;
import io.lettuce.core.AbstractRedisClient;
import io.lettuce.core.RedisChannelHandler;
import io.lettuce.core.RedisConnectionStateListener;
import io.lettuce.core.RedisFuture;
import io.lettuce.core.RedisNoScriptException;
import io.lettuce.core.ScriptOutputType;
import io.lettuce.core.api.async.RedisScriptingAsyncCommands;
import io.lettuce.core.cluster.RedisClusterClient;
import io.lettuce.core.cluster.SlotHash;
import io.lettuce.core.cluster.models.partitions.RedisClusterNode;
import org.apache.commons.logging.Log;
import org.apache.commons.logging.LogFactory;
import org.jspecify.annotations.Nullable;

import org.springframework.data.redis.connection.RedisConnection;
import org.springframework.data.redis.connection.lettuce.LettuceConnectionFactory;

/**
 * Keeps permits in Redis, where all servers of an application share them.
 * <p>
 * One script takes the permits of a call in all its rules, by the clock of Redis, in one
 * round trip; another one takes permits in advance. Each key carries a hash tag of its
 * own, so that a Redis Cluster spreads them over its nodes. There, a call whose rules
 * have keys in several slots takes one command for each slot, all at once, and what it
 * took in some is given back if others deny. A key prefix with a tag of its own, such as
 * <code>{bank}:</code>, keeps all keys in one slot instead. Keys go away by themselves
 * when nothing is owed any more; a key that holds something else counts as one whose
 * permits are used up. No thread of a caller is ever blocked: a connection is made on the
 * executor, and answers arrive on the threads of Lettuce. Thread-safe.
 *
 * @since 0.1.0
 */
public final class RedisRateLimiter implements LeasablePermits {

	private static final Log logger = LogFactory.getLog(RedisRateLimiter.class);

	/** The first connection loads and warms up what it takes; later ones must not. */
	private static final long FIRST_CONNECT_SECONDS = 10;

	private static final long RECONNECT_SECONDS = 2;

	/**
	 * How long an attempt to connect may hang before the next one has a better chance.
	 */
	private static final Duration PATIENCE = Duration.ofMillis(500);

	/** So many keys most likely meet all nodes of a cluster. */
	private static final int WARM_UP_KEYS = 16;

	private static final long WARM_UP_MILLIS = 100;

	/** So many keys can owe something that Redis has not heard of. */
	private static final int MAX_UNTOLD = 100_000;

	private static final long FORGET_INTERVAL_NANOS = Duration.ofSeconds(1).toNanos();

	/** How often to ask all nodes of a cluster who is who, while one does not answer. */
	private static final long REFRESH_INTERVAL_NANOS = Duration.ofSeconds(2).toNanos();

	private static final long WARN_INTERVAL_NANOS = Duration.ofMinutes(1).toNanos();

	/** A tiny debt that is gone at once: shows that Redis can be written to. */
	private static final List<byte[]> PROBE = Stream.of("1", "1", "1", "0", "1000", "0", "0", "0")
		.map(RedisRateLimiter::bytes)
		.toList();

	private static final CompletableFuture<Grant> NO_GRANT = CompletableFuture
		.failedFuture(new IllegalStateException("Not asked for"));

	private final Script gcra = Script.read("gcra.lua");

	private final Script lease = Script.read("lease.lua");

	private final LongAdder operations = new LongAdder();

	private final LettuceConnectionFactory connectionFactory;

	private final String keyPrefix;

	private final Executor executor;

	private final AtomicBoolean connecting = new AtomicBoolean();

	private final AtomicBoolean triedBefore = new AtomicBoolean();

	private final AtomicLong nextWarning = new AtomicLong(System.nanoTime());

	private volatile long nextRefresh = System.nanoTime();

	private final AtomicLong nextForgetting = new AtomicLong(System.nanoTime());

	/**
	 * Lettuce repeats commands whose connection broke before they were answered. To take
	 * permits twice is bad, but to give them back twice would make some out of nothing.
	 */
	private final Set<Runnable> givingBack = ConcurrentHashMap.newKeySet();

	private final RedisConnectionStateListener disconnected = new RedisConnectionStateListener() {
		@Override
		public void onRedisDisconnected(RedisChannelHandler<?, ?> connection) {
			RedisRateLimiter.this.givingBack.forEach(Runnable::run);
		}
	};

	// Guarded by this: the one of the application, and the one that is used
	private @Nullable AbstractRedisClient originalClient;

	// Guarded by this
	private @Nullable AbstractRedisClient client;

	/** What keys owe that was counted elsewhere during an outage. */
	private final Map<String, Untold> untold = new ConcurrentHashMap<>();

	// Guarded by this
	private @Nullable LettuceConnectionFactory ownFactory;

	// Guarded by this
	private boolean closed;

	private volatile @Nullable Connection connection;

	private volatile LongConsumer timer = (nanos) -> {
	};

	/**
	 * Creates a limiter that is not connected yet.
	 * @param connectionFactory how to connect; not used for the connections themselves,
	 * where these can be made with less patience
	 * @param keyPrefix what the names of all keys start with
	 * @param executor makes the connection; may be blocked by that
	 */
	public RedisRateLimiter(LettuceConnectionFactory connectionFactory, String keyPrefix, Executor executor) {
		this.connectionFactory = connectionFactory;
		this.keyPrefix = keyPrefix;
		this.executor = executor;
	}

	@Override
	public CompletionStage<?> connect(Collection<RateLimitPermit> samples) {
		if (!this.connecting.compareAndSet(false, true)) {
			return CompletableFuture.failedFuture(new IllegalStateException("Still connecting to Redis"));
		}
		CompletableFuture<Connection> made = new CompletableFuture<>();
		try {
			this.executor.execute(() -> open(made));
		}
		catch (RuntimeException ex) {
			this.connecting.set(false);
			made.completeExceptionally(ex);
		}
		CompletionStage<Connection> probed = made.thenCompose((candidate) -> probe(candidate, samples))
			.orTimeout(this.triedBefore.getAndSet(true) ? RECONNECT_SECONDS : FIRST_CONNECT_SECONDS, TimeUnit.SECONDS);
		return probed.whenComplete((candidate, failure) -> {
			if (failure == null) {
				use(candidate);
			}
			else {
				// Or each probe of a Redis that refuses the script would leave one open
				CompletionStage<Connection> late = made;
				late.thenAccept((unused) -> abandon(unused, this.executor));
			}
		});
	}

	private void open(CompletableFuture<Connection> made) {
		try {
			made.complete(open());
		}
		catch (RuntimeException ex) {
			made.completeExceptionally(ex);
		}
		finally {
			this.connecting.set(false);
		}
	}

	private Connection open() {
		LettuceConnectionFactory factory = factory();
		RedisClusterClient cluster = null;
		if (factory.getNativeClient() instanceof RedisClusterClient client) {
			long now = System.nanoTime();
			if (now - this.nextRefresh >= 0) {
				// Another node may have taken over; the next attempt will know
				this.nextRefresh = now + REFRESH_INTERVAL_NANOS;
				client.refreshPartitionsAsync();
			}
			cluster = client;
		}
		RedisConnection opened = factory.getConnection();
		try {
			// Asks for a connection of our own: the shared one, after an outage, waits
			// longer and longer until it connects again, and whoever blocks it blocks us
			opened.openPipeline();
			if (opened.getNativeConnection() instanceof RedisScriptingAsyncCommands<?, ?> commands) {
				@SuppressWarnings("unchecked")
				RedisScriptingAsyncCommands<byte[], byte[]> binary = (RedisScriptingAsyncCommands<byte[], byte[]>) commands;
				return new Connection(opened, binary, cluster);
			}
			throw new IllegalStateException("The connection to Redis is none of Lettuce's");
		}
		catch (RuntimeException ex) {
			opened.close();
			throw ex;
		}
	}

	@SuppressWarnings("ReferenceEquality")
	private synchronized LettuceConnectionFactory factory() {
		if (this.closed) {
			throw new IllegalStateException("No longer in use");
		}
		AbstractRedisClient original = this.connectionFactory.getNativeClient();
		LettuceConnectionFactory factory = this.ownFactory;
		if (factory != null && original != this.originalClient) {
			// The application has stopped its factory, and with it the threads of both
			factory.destroy();
			factory = null;
		}
		if (factory == null) {
			factory = ImpatientConnectionFactory.of(this.connectionFactory, PATIENCE);
			this.originalClient = original;
			this.ownFactory = factory.equals(this.connectionFactory) ? null : factory;
		}
		AbstractRedisClient current = factory.getNativeClient();
		if (current != null && current != this.client) {
			current.addListener(this.disconnected);
			this.client = current;
		}
		return factory;
	}

	/** Completes as soon as one of the places in question answers. */
	private CompletionStage<Connection> probe(Connection candidate, Collection<RateLimitPermit> samples) {
		List<byte[]> keys = samples.isEmpty() ? spreadKeys(candidate) : samples.stream().map(this::probeKey).toList();
		return probe(candidate, keys).thenCompose((answer) -> warmUp(candidate));
	}

	/** Completes as soon as one of the keys has been written. */
	private CompletableFuture<?> probe(Connection connection, List<byte[]> keys) {
		CompletableFuture<Object> answer = new CompletableFuture<>();
		AtomicInteger silent = new AtomicInteger(keys.size());
		for (byte[] key : keys) {
			CompletionStage<?> end = run(connection, this.gcra, List.of(key), PROBE);
			end.whenComplete((reply, failure) -> {
				if (failure == null) {
					answer.complete(reply);
				}
				else if (silent.decrementAndGet() == 0) {
					answer.completeExceptionally(failure);
				}
			});
		}
		return answer;
	}

	/** Keys wherever keys are: most likely on all nodes of a cluster. */
	private List<byte[]> spreadKeys(Connection connection) {
		return IntStream.range(0, (connection.cluster != null) ? WARM_UP_KEYS : 1)
			.mapToObj((i) -> bytes(this.keyPrefix + "{probe" + i + "}"))
			.toList();
	}

	/** Calls must not be late because they are the first ones to a node. */
	private CompletionStage<Connection> warmUp(Connection connection) {
		if (connection.cluster == null) {
			return CompletableFuture.completedFuture(connection);
		}
		CompletableFuture<?>[] answers = spreadKeys(connection).stream()
			.map((key) -> run(connection, this.gcra, List.of(key), PROBE).exceptionally((failure) -> List.of()))
			.toArray(CompletableFuture<?>[]::new);
		return CompletableFuture.allOf(answers)
			.completeOnTimeout(null, WARM_UP_MILLIS, TimeUnit.MILLISECONDS)
			.thenApply((nothing) -> connection);
	}

	@Override
	public CompletionStage<?> probe(@Nullable RateLimitPermit sample) {
		Connection current = this.connection;
		if (current == null) {
			return CompletableFuture.failedFuture(notConnected());
		}
		return probe(current, (sample != null) ? List.of(probeKey(sample)) : spreadKeys(current));
	}

	/** A key of its own, but in the same place. */
	private byte[] probeKey(RateLimitPermit sample) {
		return bytes(name(sample.rule(), sample.key()) + ":probe");
	}

	@Override
	public String place(RateLimitPermit permit) {
		Connection current = this.connection;
		RedisClusterClient cluster = (current != null) ? current.cluster : null;
		if (cluster == null) {
			return EVERYWHERE;
		}
		RedisClusterNode node = cluster.getPartitions()
			.getPartitionBySlot(SlotHash.getSlot(key(permit.rule(), permit.key())));
		return (node != null) ? node.getUri().getHost() + ':' + node.getUri().getPort() : "no node";
	}

	private void use(Connection candidate) {
		Connection previous;
		boolean late;
		synchronized (this) {
			previous = this.connection;
			late = this.closed;
			this.connection = late ? null : candidate;
		}
		if (late) {
			abandon(candidate, this.executor);
		}
		if (previous != null) {
			// Calls may still wait for answers of nodes that are well
			abandon(previous, CompletableFuture.delayedExecutor(1, TimeUnit.SECONDS, this.executor));
		}
	}

	private static void abandon(Connection unused, Executor executor) {
		try {
			executor.execute(() -> close(unused));
		}
		catch (RejectedExecutionException ex) {
			// The application is going down
			close(unused);
		}
	}

	private static void close(Connection unused) {
		try {
			unused.spring.close();
		}
		catch (RuntimeException ex) {
			logger.debug("A connection to Redis could not be closed", ex);
		}
	}

	@Override
	public CompletionStage<RateLimitDecision> tryAcquire(List<RateLimitPermit> permits) {
		Connection current = this.connection;
		if (current == null) {
			return CompletableFuture.failedFuture(notConnected());
		}
		List<byte[]> keys = new ArrayList<>(permits.size());
		for (RateLimitPermit permit : permits) {
			keys.add(key(permit.rule(), permit.key()));
		}
		Collection<List<Integer>> groups = groups(current, keys);
		return tryAcquire(current, permits, keys, groups);
	}

	/**
	 * Asks one node, or several that know nothing of each other. If the call does not
	 * wait for the answer and was counted in this server instead, what is taken late
	 * stays taken, for it is owed. Else what has not been sent yet is called off.
	 */
	private CompletionStage<RateLimitDecision> tryAcquire(Connection current, List<RateLimitPermit> permits,
			List<byte[]> keys, Collection<List<Integer>> groups) {
		Gcra.Debt[] debts = new Gcra.Debt[permits.size()];
		// What a node took is to be given back if another one refuses
		Queue<RateLimitPermit> taken = new ConcurrentLinkedQueue<>();
		List<CompletableFuture<?>> answers = new ArrayList<>();
		List<Runnable> cancels = new ArrayList<>();
		for (List<Integer> group : groups) {
			List<RateLimitPermit> asked = select(permits, group);
			CompletableFuture<List<Object>> sent = take(current, asked, select(keys, group));
			cancels.add(() -> sent.cancel(false));
			answers.add(sent.thenAccept((reply) -> {
				List<Gcra.Debt> before = debts(reply, asked.size());
				RateLimitDecision decision = RateLimitDecision.of(asked, before);
				check(decision, reply);
				for (int i = 0; i < asked.size(); i++) {
					debts[group.get(i)] = before.get(i);
					if (decision.permitted() && !decision.results().get(i).denied()) {
						taken.add(asked.get(i));
					}
				}
			}));
		}
		// Settled here only when all have answered; a caller may give up earlier
		CompletableFuture<Void> all = CompletableFuture.allOf(answers.toArray(new CompletableFuture<?>[0]));
		CompletableFuture<RateLimitDecision> answer = new CompletableFuture<>();
		CompletionStage<Void> end = all;
		end.whenComplete((nothing, failure) -> {
			if (failure != null) {
				answer.completeExceptionally(failure);
				return;
			}
			RateLimitDecision decision = RateLimitDecision.of(permits, List.of(debts));
			answer.complete(decision);
			if (!decision.permitted()) {
				giveBack(taken);
			}
		});
		CompletionStage<RateLimitDecision> given = answer;
		given.whenComplete((decision, failure) -> {
			if (answer.isCancelled()
					&& permits.stream().noneMatch((permit) -> permit.rule().onFailure() == OnFailure.LOCAL)) {
				cancels.forEach(Runnable::run);
			}
		});
		return answer;
	}

	private void giveBack(Collection<RateLimitPermit> taken) {
		for (RateLimitPermit permit : taken) {
			for (long left = permit.cost(); left > 0; left -= MAX_BATCH) {
				draw(List.of(new Draw(permit.rule(), permit.key(), 0, 0, 0, Math.min(left, MAX_BATCH))));
			}
		}
	}

	/** Asks one node, and tells it what it has not heard of. */
	private CompletableFuture<List<Object>> take(Connection current, List<RateLimitPermit> permits, List<byte[]> keys) {
		long now = System.nanoTime();
		List<byte[]> arguments = new ArrayList<>(8 * permits.size());
		Map<String, Untold> told = new HashMap<>();
		for (RateLimitPermit permit : permits) {
			Gcra gcra = permit.rule().gcra();
			Gcra.Debt price = gcra.price(permit.cost());
			arguments.add(bytes(permit.rule().shadow() ? "0" : "1"));
			arguments.add(bytes(gcra.limit()));
			arguments.add(bytes(price.whole()));
			arguments.add(bytes(price.fraction()));
			arguments.add(bytes(gcra.toleranceWhole()));
			arguments.add(bytes(gcra.toleranceFraction()));
			OutageDebt untold = untold(permit.rule(), permit.key(), now, told);
			arguments.add(bytes(untold.least()));
			arguments.add(bytes(untold.owed()));
		}
		CompletableFuture<List<Object>> sent = run(current, this.gcra, keys, arguments);
		rememberUnlessHeard(told, sent);
		return sent;
	}

	/** What a key owes that Redis has not heard of. */
	private OutageDebt untold(RateLimitRule rule, String key, long now, Map<String, Untold> told) {
		if (this.untold.isEmpty()) {
			return OutageDebt.NONE;
		}
		String name = name(rule, key);
		Untold debt = this.untold.remove(name);
		if (debt == null) {
			return OutageDebt.NONE;
		}
		told.put(name, debt);
		return debt.at(now);
	}

	private void rememberUnlessHeard(Map<String, Untold> told, CompletionStage<?> sent) {
		if (told.isEmpty()) {
			return;
		}
		sent.whenComplete((reply, failure) -> {
			if (failure != null) {
				told.forEach(this.untold::putIfAbsent);
			}
		});
	}

	@Override
	public void overdrawn(List<RateLimitPermit> call, List<RateLimitPermit> permits, boolean asked) {
		if (asked) {
			return;
		}
		for (RateLimitPermit permit : permits) {
			for (long left = permit.cost(); left > 0; left -= MAX_BATCH) {
				draw(List.of(new Draw(permit.rule(), permit.key(), 1, Math.min(left, MAX_BATCH), 0, 0)));
			}
		}
	}

	@Override
	public void counted(RateLimitPermit permit, OutageDebt debt) {
		long now = System.nanoTime();
		String name = name(permit.rule(), permit.key());
		if (this.untold.size() >= MAX_UNTOLD && !this.untold.containsKey(name)) {
			long next = this.nextForgetting.get();
			if (now - next >= 0 && this.nextForgetting.compareAndSet(next, now + FORGET_INTERVAL_NANOS)) {
				this.untold.values().removeIf((each) -> each.at(now).paid());
			}
			if (this.untold.size() >= MAX_UNTOLD) {
				return;
			}
		}
		this.untold.put(name, new Untold(debt, now));
	}

	@Override
	public List<? extends CompletionStage<Grant>> draw(List<Draw> draws) {
		Connection current = this.connection;
		if (current == null) {
			CompletableFuture<Grant> failed = CompletableFuture.failedFuture(notConnected());
			return Collections.nCopies(draws.size(), failed);
		}
		List<byte[]> keys = new ArrayList<>(draws.size());
		for (Draw draw : draws) {
			keys.add(key(draw.rule(), draw.key()));
		}
		List<CompletableFuture<Grant>> grants = new ArrayList<>(Collections.nCopies(draws.size(), NO_GRANT));
		for (List<Integer> group : groups(current, keys)) {
			Map<String, Untold> told = new HashMap<>();
			CompletableFuture<List<Object>> sent = run(current, this.lease, select(keys, group),
					leaseArguments(select(draws, group), told));
			rememberUnlessHeard(told, sent);
			for (int i = 0; i < group.size(); i++) {
				int at = 3 * i;
				grants.set(group.get(i), sent.thenApply((reply) -> new Grant(number(reply, at),
						new Gcra.Debt(number(reply, at + 1), number(reply, at + 2)))));
			}
			CompletionStage<List<Object>> end = sent;
			end.thenAccept((reply) -> warnOfForeign(reply.size() > 3 * group.size()));
			if (group.stream().anyMatch((place) -> draws.get(place).giveBack() > 0)) {
				Runnable cancel = () -> sent.cancel(false);
				this.givingBack.add(cancel);
				end.whenComplete((reply, failure) -> this.givingBack.remove(cancel));
			}
		}
		return grants;
	}

	@Override
	public long operations() {
		return this.operations.sum();
	}

	@Override
	public void timing(LongConsumer timer) {
		this.timer = timer;
	}

	@Override
	public void close() {
		Connection current;
		LettuceConnectionFactory factory;
		synchronized (this) {
			this.closed = true;
			current = this.connection;
			this.connection = null;
			factory = this.ownFactory;
			this.ownFactory = null;
			if (this.client != null) {
				this.client.removeListener(this.disconnected);
			}
		}
		if (current != null) {
			close(current);
		}
		if (factory != null) {
			factory.destroy();
		}
	}

	/** The places of the keys that can go into one command. */
	private static Collection<List<Integer>> groups(Connection current, List<byte[]> keys) {
		Map<Integer, List<Integer>> groups = new LinkedHashMap<>();
		for (int i = 0; i < keys.size(); i++) {
			int slot = (current.cluster != null) ? SlotHash.getSlot(keys.get(i)) : 0;
			groups.computeIfAbsent(slot, (key) -> new ArrayList<>()).add(i);
		}
		return groups.values();
	}

	private static <T> List<T> select(List<T> all, List<Integer> group) {
		return (group.size() == all.size()) ? all : group.stream().map(all::get).toList();
	}

	/** Runs a script; if the result is cancelled, it is not sent any more. */
	private CompletableFuture<List<Object>> run(Connection current, Script script, List<byte[]> keys,
			List<byte[]> arguments) {
		byte[][] keyArray = keys.toArray(new byte[0][]);
		byte[][] argumentArray = arguments.toArray(new byte[0][]);
		CompletableFuture<List<Object>> answer = new CompletableFuture<>();
		this.operations.increment();
		long sentAt = System.nanoTime();
		CompletionStage<List<Object>> end = answer;
		end.whenComplete((reply, failure) -> {
			if (failure == null) {
				this.timer.accept(System.nanoTime() - sentAt);
			}
		});
		send(current.commands.evalsha(script.digest, ScriptOutputType.MULTI, keyArray, argumentArray), answer,
				(failure) -> {
					if (!(failure instanceof RedisNoScriptException)) {
						return false;
					}
					// Redis was restarted, or somebody flushed its scripts
					this.operations.increment();
					send(current.commands.eval(script.text, ScriptOutputType.MULTI, keyArray, argumentArray), answer,
							(again) -> false);
					return true;
				});
		return answer;
	}

	private static void send(RedisFuture<List<Object>> sent, CompletableFuture<List<Object>> answer, Retry retry) {
		CompletionStage<List<Object>> end = answer;
		end.whenComplete((decision, failure) -> {
			if (answer.isCancelled()) {
				// A command that still waits to be sent is not sent any more
				sent.cancel(false);
			}
		});
		sent.whenComplete((reply, failure) -> {
			try {
				if (failure == null) {
					answer.complete(reply);
				}
				else if (!retry.retried((failure instanceof CompletionException && failure.getCause() != null)
						? failure.getCause() : failure)) {
					answer.completeExceptionally(failure);
				}
			}
			catch (RuntimeException ex) {
				answer.completeExceptionally(ex);
			}
		});
	}

	private static IllegalStateException notConnected() {
		return new IllegalStateException("Not connected to Redis");
	}

	private List<Gcra.Debt> debts(List<Object> reply, int count) {
		List<Gcra.Debt> debts = new ArrayList<>(count);
		for (int i = 1; i < 2 * count; i += 2) {
			debts.add(new Gcra.Debt(number(reply, i), number(reply, i + 1)));
		}
		warnOfForeign(reply.size() > 2 * count + 1);
		return debts;
	}

	private void warnOfForeign(boolean found) {
		long now = System.nanoTime();
		long next = this.nextWarning.get();
		if (found && now - next >= 0 && this.nextWarning.compareAndSet(next, now + WARN_INTERVAL_NANOS)) {
			logger.warn("A key in Redis that starts with '" + this.keyPrefix + "' held something else than permits. It"
					+ " counts as used up from now on, until its permits have come back. Does another application use"
					+ " this prefix? Set another one with grpc.security.rate-limit.redis.key-prefix.");
		}
	}

	private static void check(RateLimitDecision decision, List<Object> reply) {
		if (decision.permitted() != (number(reply, 0) == 1)) {
			throw new IllegalStateException("Redis and this server compute differently");
		}
	}

	private static long number(List<Object> reply, int index) {
		return (Long) reply.get(index);
	}

	private byte[] key(RateLimitRule rule, String key) {
		return bytes(name(rule, key));
	}

	private String name(RateLimitRule rule, String key) {
		return this.keyPrefix + '{' + rule.name() + ':' + key + '}';
	}

	private List<byte[]> leaseArguments(List<Draw> draws, Map<String, Untold> told) {
		long now = System.nanoTime();
		List<byte[]> arguments = new ArrayList<>(11 * draws.size());
		for (Draw draw : draws) {
			Gcra gcra = draw.rule().gcra();
			Gcra.Debt price = gcra.price(1);
			OutageDebt before = untold(draw.rule(), draw.key(), now, told);
			long[] numbers = { gcra.limit(), price.whole(), price.fraction(), gcra.toleranceWhole(),
					gcra.toleranceFraction(), draw.least(), draw.must(), draw.want(), draw.giveBack(),
					Math.max(draw.untold().least(), before.least()), draw.untold().owed() + before.owed() };
			for (long number : numbers) {
				arguments.add(bytes(number));
			}
		}
		return arguments;
	}

	private static byte[] bytes(long number) {
		return bytes(Long.toString(number));
	}

	private static byte[] bytes(String text) {
		return text.getBytes(StandardCharsets.UTF_8);
	}

	/**
	 * What Redis runs.
	 */
	private static final class Script {

		private final byte[] text;

		private final String digest;

		private Script(byte[] text, String digest) {
			this.text = text;
			this.digest = digest;
		}

		static Script read(String name) {
			try (InputStream in = Objects.requireNonNull(RedisRateLimiter.class.getResourceAsStream(name), name)) {
				byte[] text = in.readAllBytes();
				return new Script(text, HexFormat.of().formatHex(MessageDigest.getInstance("SHA-1").digest(text)));
			}
			catch (IOException ex) {
				throw new UncheckedIOException(ex);
			}
			catch (NoSuchAlgorithmException ex) {
				throw new IllegalStateException("Every Java platform has SHA-1", ex);
			}
		}

	}

	/**
	 * A connection as Spring hands it out, and the native commands behind it.
	 */
	private record Connection(RedisConnection spring, RedisScriptingAsyncCommands<byte[], byte[]> commands,
			@Nullable RedisClusterClient cluster) {
	}

	/** What Redis has not heard of, as it was at a time. */
	private record Untold(OutageDebt debt, long since) {

		OutageDebt at(long now) {
			return this.debt.after((now - this.since) / 1000);
		}

	}

	/** Decides what to do about a failed command. */
	@FunctionalInterface
	private interface Retry {

		boolean retried(Throwable failure);

	}

}
