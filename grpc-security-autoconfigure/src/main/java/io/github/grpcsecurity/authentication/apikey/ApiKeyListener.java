package io.github.grpcsecurity.authentication.apikey;

import java.util.Set;

/**
 * Hears which API keys are no longer what they were: removed, disabled, or changed in any
 * way. What is still going on with such a key, such as an open stream, should end; if the
 * key is still good, its owner comes back and is judged anew.
 * <p>
 * Running out is not reported: credentials tell when they do.
 *
 * @since 0.1.0
 */
@FunctionalInterface
public interface ApiKeyListener {

	/**
	 * Called after the change is in force, so that a call which begins later is judged by
	 * it. On any thread, one change of a source after the other; must neither block nor
	 * throw.
	 * @param ids ids of the keys, as in
	 * {@link io.github.grpcsecurity.server.VerifiedCredential#id()}; not empty
	 */
	void withdrawn(Set<String> ids);

}
