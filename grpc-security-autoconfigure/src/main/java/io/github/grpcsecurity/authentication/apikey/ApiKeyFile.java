package io.github.grpcsecurity.authentication.apikey;

import java.io.IOException;
import java.io.InputStream;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.time.Duration;
import java.util.Arrays;
import java.util.Collection;
import java.util.Optional;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.Future;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.TimeUnit;

import io.github.grpcsecurity.server.GrpcSecurityThreads;
import org.apache.commons.logging.Log;
import org.apache.commons.logging.LogFactory;
import org.jspecify.annotations.Nullable;

import org.springframework.core.io.Resource;

/**
 * Keys in a file, which is looked at again and again.
 * <p>
 * Looks at the content, never at the time of the file. What differs is read a second time
 * before it is taken, so that nothing half-written is; and it is taken as a whole or not
 * at all: while the file is missing or bad, the keys that it had last stay in force and
 * the log says so, once. Thread-safe.
 *
 * @since 0.1.0
 */
public final class ApiKeyFile implements ApiKeySource, AutoCloseable {

	private static final Log logger = LogFactory.getLog(ApiKeyFile.class);

	private static final Duration LONGEST_SETTLING = Duration.ofSeconds(1);

	private final Resource file;

	private final Parser parser;

	private final Duration interval;

	private final Duration settling;

	private final GrpcSecurityThreads threads;

	private final ApiKeyTable table = new ApiKeyTable();

	// Guarded by this
	private byte[] adopted = new byte[0];

	// Guarded by this
	private byte[] seen = new byte[0];

	// Guarded by this
	private @Nullable String complaint;

	private final Object lifecycle = new Object();

	private boolean closed;

	private @Nullable Future<?> next;

	/**
	 * Creates a source that has read nothing yet.
	 * @param file where the keys are
	 * @param parser reads the keys
	 * @param interval how long a change may go unnoticed; zero for not looking again
	 * @param threads where the file is read
	 */
	public ApiKeyFile(Resource file, Parser parser, Duration interval, GrpcSecurityThreads threads) {
		this.file = file;
		this.parser = parser;
		this.interval = interval;
		Duration tenth = interval.dividedBy(10);
		this.settling = (tenth.compareTo(LONGEST_SETTLING) < 0) ? tenth : LONGEST_SETTLING;
		this.threads = threads;
	}

	/**
	 * Reads the file, and begins to look at it.
	 * @throws IllegalArgumentException if it cannot be read or is bad: what a server
	 * starts with must be good
	 */
	public void start() {
		try {
			byte[] content = read();
			synchronized (this) {
				adopt(content);
			}
		}
		catch (IOException ex) {
			throw new IllegalArgumentException("the file cannot be read: make sure that it exists and is readable", ex);
		}
		schedule(this.interval.minus(this.settling));
	}

	@Override
	public CompletionStage<Optional<ApiKey>> find(String id) {
		return this.table.find(id);
	}

	@Override
	public void addListener(ApiKeyListener listener) {
		this.table.addListener(listener);
	}

	private byte[] read() throws IOException {
		try (InputStream in = this.file.getInputStream()) {
			return in.readAllBytes();
		}
	}

	private int adopt(byte[] content) {
		int withdrawn = this.table.replace(this.parser.parse(content));
		this.adopted = sha256(content);
		this.complaint = null;
		return withdrawn;
	}

	/**
	 * Looks at the file now.
	 * @return whether it has to be looked at again soon, for it differs
	 */
	synchronized boolean look() {
		try {
			byte[] content = read();
			byte[] digest = sha256(content);
			if (Arrays.equals(digest, this.adopted)) {
				this.complaint = null;
				return false;
			}
			if (!Arrays.equals(digest, this.seen)) {
				this.seen = digest;
				return true;
			}
			int withdrawn = adopt(content);
			logger.info("API keys were read again from " + this.file + ": there are " + this.table.size() + ", "
					+ withdrawn + " of the previous ones were withdrawn or changed");
		}
		catch (IOException ex) {
			complain("it cannot be read");
		}
		catch (RuntimeException ex) {
			complain(String.valueOf(ex.getMessage()));
		}
		return false;
	}

	private void complain(String reason) {
		if (!reason.equals(this.complaint)) {
			this.complaint = reason;
			logger.warn("API keys could not be read again from " + this.file + ", so the previous ones stay in force: "
					+ reason);
		}
	}

	private void schedule(Duration delay) {
		synchronized (this.lifecycle) {
			if (!this.closed && !this.interval.isZero()) {
				this.next = this.threads.scheduler().schedule(this::poll, delay.toNanos(), TimeUnit.NANOSECONDS);
			}
		}
	}

	// One look plans the next, so there are never two
	private void poll() {
		try {
			this.threads.executor().execute(() -> {
				boolean soon = false;
				try {
					soon = look();
				}
				finally {
					schedule(soon ? this.settling : this.interval.minus(this.settling));
				}
			});
		}
		catch (RejectedExecutionException ex) {
			logger.debug("The application ends, so API keys are not looked at any more", ex);
		}
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
	}

	private static byte[] sha256(byte[] content) {
		try {
			return MessageDigest.getInstance("SHA-256").digest(content);
		}
		catch (NoSuchAlgorithmException ex) {
			throw new IllegalStateException("Every Java platform has SHA-256", ex);
		}
	}

	/** Reads the keys in a file. */
	@FunctionalInterface
	public interface Parser {

		/**
		 * Reads all keys.
		 * @param content what is in the file
		 * @return the keys
		 * @throws IllegalArgumentException if anything about it is bad; the message says
		 * what, and quotes no hash
		 */
		Collection<ApiKey> parse(byte[] content);

	}

}
