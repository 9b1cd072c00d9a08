package io.github.grpcsecurity.authentication.revocation.redis;

import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.net.URLDecoder;
import java.net.URLEncoder;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.time.Instant;
import java.time.InstantSource;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Locale;
import java.util.Objects;
import java.util.UUID;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.Executor;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.function.Consumer;

import io.github.grpcsecurity.authentication.revocation.Revocation;
import io.github.grpcsecurity.authentication.revocation.RevocationStore;
import io.lettuce.core.KeyValue;
import io.lettuce.core.Range;
import io.lettuce.core.RedisFuture;
import io.lettuce.core.ScoredValue;
import io.lettuce.core.ScriptOutputType;
import io.lettuce.core.cluster.api.async.RedisClusterAsyncCommands;
import org.apache.commons.logging.Log;
import org.apache.commons.logging.LogFactory;
import org.jspecify.annotations.Nullable;

import org.springframework.data.redis.connection.Message;
import org.springframework.data.redis.connection.MessageListener;
import org.springframework.data.redis.connection.RedisConnection;
import org.springframework.data.redis.connection.SubscriptionListener;
import org.springframework.data.redis.connection.lettuce.LettuceConnectionFactory;

/**
 * Shares revocations in Redis: a sorted set of them by when they are over, a hash that
 * tells its versions apart, and a channel on which each addition is told.
 * <p>
 * Set and hash share a hash tag, so that one script may change both in a Redis Cluster. A
 * version consists of a random name, which changes when Redis loses its data, and a
 * number. No thread of a caller is ever blocked: connections are made on the executor,
 * and answers arrive on the threads of Lettuce. Thread-safe.
 *
 * @since 0.1.0
 */
public final class RedisRevocationStore implements RevocationStore {

	private static final Log logger = LogFactory.getLog(RedisRevocationStore.class);

	private static final String SCRIPT = "revoke.lua";

	private static final String HASH_TAG = "{revocations}:";

	private static final byte[] DATA = bytes("data");

	private static final byte[] VERSION = bytes("version");

	/** What a script is given at a time. */
	private static final int BATCH = 500;

	/** After so many failures in a row the connections are made anew. */
	private static final int MAX_FAILURES = 5;

	/** The clocks of the servers may differ by less. */
	private static final Duration CLEANUP_DELAY = Duration.ofHours(1);

	private final LettuceConnectionFactory connectionFactory;

	private final byte[] entries;

	private final byte[] state;

	private final byte[] channel;

	private final Executor executor;

	private final InstantSource clock;

	private final byte[] script = readScript();

	private final AtomicBoolean warnedOfUnreadable = new AtomicBoolean();

	private volatile Consumer<Revocation> revoked = (revocation) -> {
	};

	private volatile Runnable missed = () -> {
	};

	// Guarded by this
	private @Nullable CompletableFuture<Connections> connections;

	// Guarded by this
	private int failures;

	// Guarded by this
	private boolean closed;

	/**
	 * Creates a store that is not connected yet.
	 * @param connectionFactory makes the connections, one of which may be shared with
	 * others
	 * @param keyPrefix what the names of the keys and of the channel start with
	 * @param executor makes connections; may be blocked by that
	 * @param clock tells which revocations are over
	 */
	public RedisRevocationStore(LettuceConnectionFactory connectionFactory, String keyPrefix, Executor executor,
			InstantSource clock) {
		this.connectionFactory = connectionFactory;
		this.entries = bytes(keyPrefix + HASH_TAG + "entries");
		this.state = bytes(keyPrefix + HASH_TAG + "state");
		this.channel = bytes(keyPrefix + HASH_TAG + "changes");
		this.executor = executor;
		this.clock = clock;
	}

	@Override
	public void follow(Consumer<Revocation> revoked, Runnable missed) {
		this.revoked = revoked;
		this.missed = missed;
	}

	@Override
	public CompletionStage<Contents> load(@Nullable String version) {
		Work<Contents> work = new Work<>();
		CompletionStage<Connections> connecting = connect();
		connecting.whenComplete((connected, failure) -> {
			if (failure != null) {
				work.completeExceptionally(failure);
				return;
			}
			work.send(connected.commands.hmget(this.state, DATA, VERSION), (state) -> {
				String current = version(state);
				if (current != null && current.equals(version)) {
					work.complete(new Contents(current, null));
					return;
				}
				Range<Long> range = Range.create(this.clock.millis(), Long.MAX_VALUE);
				work.send(connected.commands.zrangebyscoreWithScores(this.entries, range),
						(found) -> work.complete(new Contents(current, read(found))));
			});
		});
		CompletionStage<Contents> answer = work;
		answer.whenComplete((contents, failure) -> attempted(failure));
		return work;
	}

	private static @Nullable String version(List<KeyValue<byte[], byte[]>> state) {
		if (state.stream().anyMatch((field) -> !field.hasValue())) {
			return null;
		}
		return text(state.get(0).getValue()) + '.' + text(state.get(1).getValue());
	}

	private List<Revocation> read(List<ScoredValue<byte[]>> found) {
		List<Revocation> revocations = new ArrayList<>(found.size());
		for (ScoredValue<byte[]> entry : found) {
			Revocation revocation = decode((long) entry.getScore(), text(entry.getValue()));
			if (revocation != null) {
				revocations.add(revocation);
			}
		}
		return revocations;
	}

	@Override
	public CompletionStage<?> add(Collection<Revocation> revocations) {
		List<byte[]> all = new ArrayList<>();
		for (Revocation revocation : revocations) {
			all.add(bytes(Long.toString(revocation.until().toEpochMilli())));
			all.add(bytes(encode(revocation)));
		}
		return connect().thenCompose((connected) -> {
			List<CompletableFuture<?>> sent = new ArrayList<>();
			for (int from = 0; from < all.size(); from += 2 * BATCH) {
				List<byte[]> arguments = new ArrayList<>();
				arguments.add(this.channel);
				arguments.add(bytes(Long.toString(this.clock.instant().minus(CLEANUP_DELAY).toEpochMilli())));
				arguments.add(bytes(UUID.randomUUID().toString()));
				arguments.addAll(all.subList(from, Math.min(all.size(), from + 2 * BATCH)));
				RedisFuture<Long> added = connected.commands.eval(this.script, ScriptOutputType.INTEGER,
						new byte[][] { this.entries, this.state }, arguments.toArray(new byte[0][]));
				sent.add(added.toCompletableFuture());
			}
			return CompletableFuture.allOf(sent.toArray(new CompletableFuture<?>[0]));
		});
	}

	private synchronized CompletableFuture<Connections> connect() {
		if (this.closed) {
			return CompletableFuture.failedFuture(new IllegalStateException("The server is going down"));
		}
		CompletableFuture<Connections> current = this.connections;
		if (current != null && !current.isCompletedExceptionally()) {
			return current;
		}
		CompletableFuture<Connections> made = new CompletableFuture<>();
		this.connections = made;
		try {
			this.executor.execute(() -> open(made));
		}
		catch (RuntimeException ex) {
			made.completeExceptionally(ex);
		}
		return made;
	}

	/** Follows changes first, so that none gets lost before everything is read. */
	private void open(CompletableFuture<Connections> made) {
		RedisConnection commands = null;
		RedisConnection subscription = null;
		try {
			subscription = this.connectionFactory.getConnection();
			subscription.subscribe(new Listener(), this.channel);
			commands = this.connectionFactory.getConnection();
			if (!(commands.getNativeConnection() instanceof RedisClusterAsyncCommands<?, ?> found)) {
				throw new IllegalStateException("The connection to Redis is none of Lettuce's");
			}
			@SuppressWarnings("unchecked")
			RedisClusterAsyncCommands<byte[], byte[]> binary = (RedisClusterAsyncCommands<byte[], byte[]>) found;
			Connections opened = new Connections(commands, subscription, binary);
			boolean late;
			synchronized (this) {
				late = this.closed || this.connections != made;
			}
			if (late) {
				throw new IllegalStateException("The connection is not needed any more");
			}
			made.complete(opened);
		}
		catch (RuntimeException ex) {
			close(commands);
			close(subscription);
			made.completeExceptionally(ex);
		}
	}

	private void attempted(@Nullable Throwable failure) {
		CompletableFuture<Connections> old = null;
		synchronized (this) {
			this.failures = (failure != null) ? this.failures + 1 : 0;
			if (this.failures >= MAX_FAILURES) {
				this.failures = 0;
				old = this.connections;
				this.connections = null;
			}
		}
		if (old != null) {
			CompletionStage<Connections> given = old;
			try {
				this.executor.execute(() -> given.thenAccept(Connections::close));
			}
			catch (RuntimeException ex) {
				logger.debug("The server is going down", ex);
			}
		}
	}

	@Override
	public void close() {
		CompletionStage<Connections> old;
		synchronized (this) {
			this.closed = true;
			old = this.connections;
			this.connections = null;
		}
		if (old != null) {
			old.thenAccept(Connections::close);
		}
	}

	private static void close(@Nullable RedisConnection connection) {
		if (connection != null) {
			try {
				connection.close();
			}
			catch (RuntimeException ex) {
				logger.debug("A connection to Redis could not be closed", ex);
			}
		}
	}

	static String encode(Revocation revocation) {
		StringBuilder text = new StringBuilder(revocation.kind().name().toLowerCase(Locale.ROOT));
		String issuer = revocation.issuer();
		text.append(' ').append((issuer != null) ? encode(issuer) : "").append(' ').append(encode(revocation.name()));
		Instant before = revocation.before();
		if (before != null) {
			text.append(' ').append(before);
		}
		return text.toString();
	}

	private static String encode(String text) {
		return URLEncoder.encode(text, StandardCharsets.UTF_8);
	}

	private static String decode(String text) {
		return URLDecoder.decode(text, StandardCharsets.UTF_8);
	}

	/** Reads a revocation; {@code null} if it is none that this version knows. */
	@Nullable Revocation decode(long until, String text) {
		String[] parts = text.split(" ", -1);
		try {
			if (parts.length < 3 || parts.length > 4) {
				throw new IllegalArgumentException("not three or four words");
			}
			return new Revocation(Revocation.Kind.valueOf(parts[0].toUpperCase(Locale.ROOT)),
					parts[1].isEmpty() ? null : decode(parts[1]), decode(parts[2]),
					(parts.length == 4) ? Instant.parse(parts[3]) : null, Instant.ofEpochMilli(until));
		}
		catch (RuntimeException ex) {
			if (this.warnedOfUnreadable.compareAndSet(false, true)) {
				logger.warn("There is something in Redis among the revocations that is none, and is ignored", ex);
			}
			return null;
		}
	}

	private static byte[] bytes(String text) {
		return text.getBytes(StandardCharsets.UTF_8);
	}

	private static String text(byte[] bytes) {
		return new String(bytes, StandardCharsets.UTF_8);
	}

	private static byte[] readScript() {
		try (InputStream in = Objects.requireNonNull(RedisRevocationStore.class.getResourceAsStream(SCRIPT), SCRIPT)) {
			return in.readAllBytes();
		}
		catch (IOException ex) {
			throw new UncheckedIOException(ex);
		}
	}

	/** Connections as Spring hands them out, and the native commands behind one. */
	private record Connections(RedisConnection connection, RedisConnection subscription,
			RedisClusterAsyncCommands<byte[], byte[]> commands) {

		void close() {
			RedisRevocationStore.close(this.subscription);
			RedisRevocationStore.close(this.connection);
		}

	}

	/** Commands one after the other, of which none is sent when nobody waits any more. */
	private static final class Work<T> extends CompletableFuture<T> {

		<R> void send(RedisFuture<R> sent, Consumer<R> then) {
			CompletionStage<T> end = this;
			end.whenComplete((result, failure) -> {
				if (isCancelled()) {
					sent.cancel(false);
				}
			});
			sent.whenComplete((reply, failure) -> {
				try {
					if (failure != null) {
						completeExceptionally(failure);
					}
					else {
						then.accept(reply);
					}
				}
				catch (RuntimeException ex) {
					completeExceptionally(ex);
				}
			});
		}

	}

	private final class Listener implements MessageListener, SubscriptionListener {

		private final AtomicBoolean subscribedBefore = new AtomicBoolean();

		@Override
		public void onMessage(Message message, byte @Nullable [] pattern) {
			String text = text(message.getBody());
			int space = text.indexOf(' ');
			try {
				Revocation revocation = decode(Long.parseLong(text.substring(0, Math.max(space, 0))),
						text.substring(space + 1));
				if (revocation != null) {
					RedisRevocationStore.this.revoked.accept(revocation);
				}
			}
			catch (NumberFormatException ex) {
				logger.debug("A message about revocations cannot be read", ex);
				RedisRevocationStore.this.missed.run();
			}
		}

		@Override
		public void onChannelSubscribed(byte[] channel, long count) {
			// The first time everything is read anyway
			if (this.subscribedBefore.getAndSet(true)) {
				RedisRevocationStore.this.missed.run();
			}
		}

	}

}
