package io.github.grpcsecurity.authentication.apikey.redis;

import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.time.Instant;
import java.time.format.DateTimeParseException;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.Future;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.TimeUnit;

import io.github.grpcsecurity.authentication.apikey.ApiKey;
import io.github.grpcsecurity.authentication.apikey.ApiKeyListener;
import io.github.grpcsecurity.authentication.apikey.ApiKeySource;
import io.github.grpcsecurity.authentication.apikey.ApiKeyTable;
import io.github.grpcsecurity.server.GrpcSecurityThreads;
import org.apache.commons.logging.Log;
import org.apache.commons.logging.LogFactory;
import org.jspecify.annotations.Nullable;

import org.springframework.data.redis.connection.RedisConnection;
import org.springframework.data.redis.connection.RedisConnectionFactory;

/**
 * Keys that several servers share in Redis, and of which each has a copy in memory: no
 * call waits for Redis.
 * <p>
 * The set <code>&lt;prefix&gt;{api-keys}</code> holds the ids, and a hash
 * <code>&lt;prefix&gt;{api-keys}:&lt;id&gt;</code> each key, with the fields
 * {@code hash}, {@code principal}, {@code authorities}, {@code expires-at},
 * {@code enabled}, {@code allowed-methods} and {@code allowed-addresses}; lists are
 * separated by commas. The copy is renewed at an interval, and at once when anything is
 * published on the channel <code>&lt;prefix&gt;{api-keys}</code>. An entry that is bad
 * counts as missing, and the log says so. While Redis does not answer, what was read last
 * stays in force; before it was read for the first time, calls with a key that nobody
 * else knows end with {@code UNAVAILABLE}. Thread-safe.
 *
 * @since 0.1.0
 */
public final class RedisApiKeys implements ApiKeySource, AutoCloseable {

	private static final Log logger = LogFactory.getLog(RedisApiKeys.class);

	private static final String NAME = "{api-keys}";

	private static final Set<String> FIELDS = Set.of("hash", "principal", "authorities", "expires-at", "enabled",
			"allowed-methods", "allowed-addresses");

	private final RedisConnectionFactory connectionFactory;

	private final String name;

	private final Duration interval;

	private final GrpcSecurityThreads threads;

	private final ApiKeyTable table = new ApiKeyTable();

	// Guarded by this
	private Map<String, String> complaints = Map.of();

	// Guarded by this
	private boolean reachable = true;

	// Written by one refresh at a time, and by whoever closes
	private volatile @Nullable RedisConnection subscription;

	private final Object lifecycle = new Object();

	private boolean closed;

	private boolean loading;

	private boolean again;

	private @Nullable Future<?> next;

	/**
	 * Creates a source that has read nothing yet.
	 * @param connectionFactory makes connections, which may be shared with others
	 * @param keyPrefix what the names of all keys start with
	 * @param interval how long a change that nobody published may go unnoticed; longer
	 * than zero
	 * @param threads where Redis is read; blocked by that, while no call is
	 */
	public RedisApiKeys(RedisConnectionFactory connectionFactory, String keyPrefix, Duration interval,
			GrpcSecurityThreads threads) {
		this.connectionFactory = connectionFactory;
		this.name = keyPrefix + NAME;
		this.interval = interval;
		this.threads = threads;
	}

	/** Begins to read, in the background: the server starts without Redis, too. */
	public void start() {
		loadSoon();
	}

	@Override
	public CompletionStage<Optional<ApiKey>> find(String id) {
		return this.table.find(id);
	}

	@Override
	public void addListener(ApiKeyListener listener) {
		this.table.addListener(listener);
	}

	/** Loads on another thread; if that goes on already, once more when it is done. */
	private void loadSoon() {
		synchronized (this.lifecycle) {
			if (this.closed) {
				return;
			}
			if (this.loading) {
				this.again = true;
				return;
			}
			this.loading = true;
			if (this.next != null) {
				this.next.cancel(false);
				this.next = null;
			}
		}
		try {
			this.threads.executor().execute(this::load);
		}
		catch (RejectedExecutionException ex) {
			logger.debug("The application ends, so API keys are not looked at any more", ex);
		}
	}

	private void load() {
		boolean more = true;
		while (more) {
			refresh();
			synchronized (this.lifecycle) {
				more = this.again && !this.closed;
				this.again = false;
				if (!more) {
					this.loading = false;
					if (!this.closed) {
						this.next = this.threads.scheduler()
							.schedule(this::loadSoon, this.interval.toNanos(), TimeUnit.NANOSECONDS);
					}
				}
			}
		}
	}

	private synchronized void refresh() {
		try {
			subscribe();
			int withdrawn = this.table.replace(read());
			if (!this.reachable) {
				this.reachable = true;
				logger.info("API keys can be read from Redis again");
			}
			if (withdrawn > 0) {
				logger.info("API keys were read again from Redis: there are " + this.table.size() + ", " + withdrawn
						+ " of the previous ones were withdrawn or changed");
			}
		}
		catch (RuntimeException ex) {
			if (this.reachable) {
				this.reachable = false;
				logger.warn((this.table.size() < 0)
						? "API keys cannot be read from Redis; calls that bring one are refused as unavailable"
						: "API keys cannot be read from Redis; those that were read last stay in force", ex);
			}
			else {
				logger.debug("API keys still cannot be read from Redis", ex);
			}
		}
	}

	/** First listens and then reads, so that no change falls in between. */
	private void subscribe() {
		RedisConnection current = this.subscription;
		if (current != null && current.isSubscribed()) {
			return;
		}
		unsubscribe();
		RedisConnection connection = this.connectionFactory.getConnection();
		try {
			connection.subscribe((message, pattern) -> loadSoon(), bytes(this.name));
		}
		catch (RuntimeException ex) {
			connection.close();
			throw ex;
		}
		this.subscription = connection;
		synchronized (this.lifecycle) {
			if (!this.closed) {
				return;
			}
		}
		unsubscribe();
	}

	private void unsubscribe() {
		RedisConnection current = this.subscription;
		this.subscription = null;
		if (current != null) {
			try {
				current.close();
			}
			catch (RuntimeException ex) {
				logger.debug("Connection to Redis could not be closed", ex);
			}
		}
	}

	private List<ApiKey> read() {
		List<ApiKey> keys = new ArrayList<>();
		Map<String, String> bad = new HashMap<>();
		try (RedisConnection connection = this.connectionFactory.getConnection()) {
			Set<byte[]> ids = connection.setCommands().sMembers(bytes(this.name));
			for (byte[] member : (ids != null) ? ids : Set.<byte[]>of()) {
				String id = new String(member, StandardCharsets.UTF_8);
				Map<byte[], byte[]> fields = connection.hashCommands().hGetAll(bytes(this.name + ":" + id));
				if (fields == null || fields.isEmpty()) {
					continue;
				}
				try {
					keys.add(key(id, text(fields)));
				}
				catch (IllegalArgumentException ex) {
					bad.put(id, String.valueOf(ex.getMessage()));
				}
			}
		}
		complain(bad);
		return keys;
	}

	private void complain(Map<String, String> bad) {
		bad.forEach((id, reason) -> {
			if (!reason.equals(this.complaints.get(id))) {
				logger.warn("API key " + (id.matches("[A-Za-z0-9_-]{1,64}") ? "'" + id + "'" : "with a bad id")
						+ " in Redis cannot be used: " + reason);
			}
		});
		this.complaints = bad;
	}

	private static ApiKey key(String id, Map<String, String> fields) {
		for (String field : fields.keySet()) {
			if (!FIELDS.contains(field)) {
				throw new IllegalArgumentException(
						"it has a field that is none of " + FIELDS.stream().sorted().toList());
			}
		}
		String hash = fields.get("hash");
		if (hash == null) {
			throw new IllegalArgumentException("it has no field 'hash'");
		}
		ApiKey.Builder key = ApiKey.builder(id, hash)
			.authorities(list(fields, "authorities"))
			.allowedMethods(list(fields, "allowed-methods"))
			.allowedAddresses(list(fields, "allowed-addresses"))
			.enabled(enabled(fields))
			.expiresAt(expiresAt(fields));
		String principal = fields.get("principal");
		return ((principal != null) ? key.principal(principal) : key).build();
	}

	private static List<String> list(Map<String, String> fields, String field) {
		String text = fields.getOrDefault(field, "");
		List<String> elements = new ArrayList<>();
		if (!text.isBlank()) {
			for (String element : text.split(",", -1)) {
				elements.add(element.strip());
			}
		}
		else if (fields.containsKey(field)) {
			// Who writes down nothing that is allowed does not mean everything
			throw new IllegalArgumentException("its field '" + field + "' is empty: leave it out instead");
		}
		return elements;
	}

	private static boolean enabled(Map<String, String> fields) {
		String text = fields.getOrDefault("enabled", "true");
		if (!text.equals("true") && !text.equals("false")) {
			throw new IllegalArgumentException("its field 'enabled' is neither true nor false");
		}
		return text.equals("true");
	}

	private static @Nullable Instant expiresAt(Map<String, String> fields) {
		String text = fields.get("expires-at");
		try {
			return (text != null) ? Instant.parse(text) : null;
		}
		catch (DateTimeParseException ex) {
			throw new IllegalArgumentException("its field 'expires-at' is no instant such as 2030-01-31T00:00:00Z", ex);
		}
	}

	private static Map<String, String> text(Map<byte[], byte[]> fields) {
		Map<String, String> text = new HashMap<>();
		fields.forEach((field, value) -> text.put(new String(field, StandardCharsets.UTF_8),
				new String(value, StandardCharsets.UTF_8)));
		return text;
	}

	private static byte[] bytes(String text) {
		return text.getBytes(StandardCharsets.UTF_8);
	}

	@Override
	public void close() {
		synchronized (this.lifecycle) {
			this.closed = true;
			if (this.next != null) {
				this.next.cancel(false);
				this.next = null;
			}
		}
		unsubscribe();
	}

}
