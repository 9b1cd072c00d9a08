package io.github.grpcsecurity.authentication.apikey;

import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.CopyOnWriteArrayList;

import org.apache.commons.logging.Log;
import org.apache.commons.logging.LogFactory;
import org.jspecify.annotations.Nullable;

/**
 * Keys in memory, which are replaced all at once: no call sees half a change.
 * <p>
 * Until it was filled for the first time nobody can tell whether a key is good, and calls
 * with one end with {@code UNAVAILABLE}. Thread-safe.
 *
 * @since 0.1.0
 */
public final class ApiKeyTable implements ApiKeySource {

	private static final Log logger = LogFactory.getLog(ApiKeyTable.class);

	private static final CompletionStage<Optional<ApiKey>> NONE = CompletableFuture.completedStage(Optional.empty());

	private final List<ApiKeyListener> listeners = new CopyOnWriteArrayList<>();

	private volatile @Nullable Map<String, Entry> entries;

	/** Creates a table that was not filled yet. */
	public ApiKeyTable() {
	}

	@Override
	public CompletionStage<Optional<ApiKey>> find(String id) {
		Map<String, Entry> current = this.entries;
		if (current == null) {
			return CompletableFuture.failedStage(new IllegalStateException("API keys have not been loaded yet"));
		}
		Entry entry = current.get(id);
		return (entry != null) ? entry.answer() : NONE;
	}

	@Override
	public void addListener(ApiKeyListener listener) {
		this.listeners.add(listener);
	}

	/**
	 * Puts other keys in force and tells the listeners which of the old ones are gone or
	 * differ.
	 * @param keys all keys there are now
	 * @return how many keys are not what they were
	 * @throws IllegalArgumentException if two have the same id; nothing changes then
	 */
	public synchronized int replace(Collection<ApiKey> keys) {
		Map<String, Entry> next = new HashMap<>(keys.size() * 2);
		for (ApiKey key : keys) {
			if (next.put(key.id(), new Entry(key)) != null) {
				throw new IllegalArgumentException("two keys have the id '" + key.id() + "': give each its own");
			}
		}
		Map<String, Entry> previous = this.entries;
		this.entries = next;
		if (previous == null) {
			return 0;
		}
		Set<String> withdrawn = new TreeSet<>();
		previous.forEach((id, entry) -> {
			Entry now = next.get(id);
			if (now == null || !now.key().equals(entry.key())) {
				withdrawn.add(id);
			}
		});
		if (!withdrawn.isEmpty()) {
			tell(Set.copyOf(withdrawn));
		}
		return withdrawn.size();
	}

	private void tell(Set<String> withdrawn) {
		for (ApiKeyListener listener : this.listeners) {
			try {
				listener.withdrawn(withdrawn);
			}
			catch (RuntimeException ex) {
				logger.error("A listener for withdrawn API keys failed", ex);
			}
		}
	}

	/**
	 * How many keys there are.
	 * @return the number; -1 before the table was filled
	 */
	public int size() {
		Map<String, Entry> current = this.entries;
		return (current != null) ? current.size() : -1;
	}

	/** A key, and the answer that was made for it once. */
	private record Entry(ApiKey key, CompletionStage<Optional<ApiKey>> answer) {

		Entry(ApiKey key) {
			this(key, CompletableFuture.completedStage(Optional.of(key)));
		}

	}

}
