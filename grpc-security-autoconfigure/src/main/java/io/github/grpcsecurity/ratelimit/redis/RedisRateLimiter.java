package io.github.grpcsecurity.ratelimit.redis;

import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.Executor;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;

import io.github.grpcsecurity.ratelimit.Gcra;
import io.github.grpcsecurity.ratelimit.RateLimitDecision;
import io.github.grpcsecurity.ratelimit.RateLimitPermit;
import io.github.grpcsecurity.ratelimit.SharedPermits;
import io.lettuce.core.RedisFuture;
import io.lettuce.core.RedisNoScriptException;
import io.lettuce.core.ScriptOutputType;
import io.lettuce.core.api.async.RedisScriptingAsyncCommands;
import org.jspecify.annotations.Nullable;

import org.springframework.data.redis.connection.RedisConnection;
import org.springframework.data.redis.connection.lettuce.LettuceConnectionFactory;

/**
 * Keeps permits in Redis, where all servers of an application share them.
 * <p>
 * One script takes the permits of a call in all its rules, by the clock of Redis, in one
 * round trip. So that this works in a Redis Cluster too, all keys carry the same hash tag
 * and live on one node; a key prefix with a tag of its own, such as <code>{bank}:</code>,
 * chooses another one. Keys go away by themselves when nothing is owed any more. No
 * thread of a caller is ever blocked: a connection is made on the executor, and answers
 * arrive on the threads of Lettuce. Thread-safe.
 *
 * @since 0.1.0
 */
public final class RedisRateLimiter implements SharedPermits {

	private static final String HASH_TAG = "{rate-limit}:";

	private static final String SCRIPT = "gcra.lua";

	/** The first connection loads and warms up what it takes; later ones must not. */
	private static final long FIRST_CONNECT_SECONDS = 10;

	private static final long RECONNECT_SECONDS = 1;

	/** A tiny debt that is gone at once: shows that Redis can be written to. */
	private static final String[] PROBE = { "1", "1", "1", "0", "1000", "0" };

	private final LettuceConnectionFactory connectionFactory;

	private final String keyPrefix;

	private final Executor executor;

	private final byte[] script = readScript();

	private final String digest = sha1(this.script);

	private final AtomicBoolean connecting = new AtomicBoolean();

	private final AtomicBoolean triedBefore = new AtomicBoolean();

	private volatile @Nullable Connection connection;

	/**
	 * Creates a limiter that is not connected yet.
	 * @param connectionFactory makes the connection, which may be shared with others
	 * @param keyPrefix what the names of all keys start with
	 * @param executor makes the connection; may be blocked by that
	 */
	public RedisRateLimiter(LettuceConnectionFactory connectionFactory, String keyPrefix, Executor executor) {
		this.connectionFactory = connectionFactory;
		this.keyPrefix = keyPrefix + HASH_TAG;
		this.executor = executor;
	}

	@Override
	public CompletionStage<?> connect() {
		if (!this.connecting.compareAndSet(false, true)) {
			return CompletableFuture.failedFuture(new IllegalStateException("Still connecting to Redis"));
		}
		CompletableFuture<Connection> made = new CompletableFuture<>();
		try {
			this.executor.execute(() -> reconnect(made));
		}
		catch (RuntimeException ex) {
			this.connecting.set(false);
			made.completeExceptionally(ex);
		}
		return made.thenCompose((candidate) -> {
			// Loads the script where its keys are
			CompletableFuture<List<Object>> tried = candidate.commands
				.<List<Object>>eval(this.script, ScriptOutputType.MULTI, keys(List.of()), arguments(List.of()))
				.toCompletableFuture();
			return tried.thenAccept((reply) -> this.connection = candidate);
		}).orTimeout(this.triedBefore.getAndSet(true) ? RECONNECT_SECONDS : FIRST_CONNECT_SECONDS, TimeUnit.SECONDS);
	}

	private void reconnect(CompletableFuture<Connection> made) {
		Connection previous = this.connection;
		try {
			this.connection = null;
			if (previous != null) {
				previous.spring.close();
			}
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
		RedisConnection opened = this.connectionFactory.getConnection();
		try {
			if (opened.getNativeConnection() instanceof RedisScriptingAsyncCommands<?, ?> commands) {
				@SuppressWarnings("unchecked")
				RedisScriptingAsyncCommands<byte[], byte[]> binary = (RedisScriptingAsyncCommands<byte[], byte[]>) commands;
				return new Connection(opened, binary);
			}
			throw new IllegalStateException("The connection to Redis is none of Lettuce's");
		}
		catch (RuntimeException ex) {
			opened.close();
			throw ex;
		}
	}

	@Override
	public CompletionStage<RateLimitDecision> tryAcquire(List<RateLimitPermit> permits) {
		Connection current = this.connection;
		if (current == null) {
			return CompletableFuture.failedFuture(new IllegalStateException("Not connected to Redis"));
		}
		CompletableFuture<RateLimitDecision> answer = new CompletableFuture<>();
		byte[][] keys = keys(permits);
		byte[][] arguments = arguments(permits);
		send(current.commands.evalsha(this.digest, ScriptOutputType.MULTI, keys, arguments), answer, permits,
				(failure) -> {
					if (!(failure instanceof RedisNoScriptException)) {
						return false;
					}
					// Redis was restarted, or somebody flushed its scripts
					send(current.commands.eval(this.script, ScriptOutputType.MULTI, keys, arguments), answer, permits,
							(again) -> false);
					return true;
				});
		return answer;
	}

	@Override
	public void close() {
		Connection current = this.connection;
		this.connection = null;
		if (current != null) {
			current.spring.close();
		}
	}

	private static void send(RedisFuture<List<Object>> sent, CompletableFuture<RateLimitDecision> answer,
			List<RateLimitPermit> permits, Retry retry) {
		CompletionStage<RateLimitDecision> end = answer;
		end.whenComplete((decision, failure) -> {
			if (answer.isCancelled()) {
				// A command that still waits to be sent is not sent any more
				sent.cancel(false);
			}
		});
		sent.whenComplete((reply, failure) -> {
			try {
				if (failure == null) {
					answer.complete(decision(permits, reply));
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

	private static RateLimitDecision decision(List<RateLimitPermit> permits, List<Object> reply) {
		List<Gcra.Debt> debts = new ArrayList<>(permits.size());
		for (int i = 0; i < permits.size(); i++) {
			debts.add(new Gcra.Debt(number(reply, 2 * i + 1), number(reply, 2 * i + 2)));
		}
		RateLimitDecision decision = RateLimitDecision.of(permits, debts);
		if (decision.permitted() != (number(reply, 0) == 1)) {
			throw new IllegalStateException("Redis and this server compute differently");
		}
		return decision;
	}

	private static long number(List<Object> reply, int index) {
		return (Long) reply.get(index);
	}

	private byte[][] keys(List<RateLimitPermit> permits) {
		if (permits.isEmpty()) {
			return new byte[][] { bytes(this.keyPrefix + "probe") };
		}
		byte[][] keys = new byte[permits.size()][];
		for (int i = 0; i < keys.length; i++) {
			RateLimitPermit permit = permits.get(i);
			keys[i] = bytes(this.keyPrefix + permit.rule().name() + ':' + permit.key());
		}
		return keys;
	}

	private static byte[][] arguments(List<RateLimitPermit> permits) {
		List<byte[]> arguments = new ArrayList<>();
		if (permits.isEmpty()) {
			for (String argument : PROBE) {
				arguments.add(bytes(argument));
			}
		}
		for (RateLimitPermit permit : permits) {
			Gcra gcra = permit.rule().gcra();
			arguments.add(bytes(permit.rule().shadow() ? "0" : "1"));
			arguments.add(bytes(gcra.limit()));
			arguments.add(bytes(gcra.incrementWhole()));
			arguments.add(bytes(gcra.incrementFraction()));
			arguments.add(bytes(gcra.toleranceWhole()));
			arguments.add(bytes(gcra.toleranceFraction()));
		}
		return arguments.toArray(new byte[0][]);
	}

	private static byte[] bytes(long number) {
		return bytes(Long.toString(number));
	}

	private static byte[] bytes(String text) {
		return text.getBytes(StandardCharsets.UTF_8);
	}

	private static byte[] readScript() {
		try (InputStream in = Objects.requireNonNull(RedisRateLimiter.class.getResourceAsStream(SCRIPT), SCRIPT)) {
			return in.readAllBytes();
		}
		catch (IOException ex) {
			throw new UncheckedIOException(ex);
		}
	}

	private static String sha1(byte[] bytes) {
		try {
			return HexFormat.of().formatHex(MessageDigest.getInstance("SHA-1").digest(bytes));
		}
		catch (NoSuchAlgorithmException ex) {
			throw new IllegalStateException("Every Java platform has SHA-1", ex);
		}
	}

	/**
	 * A connection as Spring hands it out, and the native commands behind it.
	 */
	private record Connection(RedisConnection spring, RedisScriptingAsyncCommands<byte[], byte[]> commands) {
	}

	/** Decides what to do about a failed command. */
	@FunctionalInterface
	private interface Retry {

		boolean retried(Throwable failure);

	}

}
