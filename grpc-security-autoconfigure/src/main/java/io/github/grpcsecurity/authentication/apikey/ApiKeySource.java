package io.github.grpcsecurity.authentication.apikey;

import java.util.Optional;
import java.util.concurrent.CompletionStage;

/**
 * Knows API keys by their id. Beans of this type are asked after the keys in the
 * properties, in their order; the first that knows an id decides.
 * <p>
 * Called by many threads at once and must not block: a source that has to ask over the
 * network answers with a stage that completes later. It is asked for each call with a key
 * whose id no source before it knows, whatever a stranger makes up, so a slow one should
 * remember what it found and what it did not.
 *
 * @since 0.1.0
 */
public interface ApiKeySource {

	/**
	 * Looks up a key.
	 * @param id what the caller sent before the first dot; well-formed, but not verified
	 * @return completes with the key, or empty if there is none. One that completes
	 * exceptionally, or not in time, fails the call with {@code UNAVAILABLE}.
	 */
	CompletionStage<Optional<ApiKey>> find(String id);

	/**
	 * Registers who wants to hear of keys that are withdrawn. Called at startup. A source
	 * that does not override this never tells, so that open streams outlive its keys.
	 * @param listener is told of each change
	 */
	default void addListener(ApiKeyListener listener) {
	}

}
