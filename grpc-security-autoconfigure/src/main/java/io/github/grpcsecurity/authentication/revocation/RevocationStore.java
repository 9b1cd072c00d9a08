package io.github.grpcsecurity.authentication.revocation;

import java.util.Collection;
import java.util.concurrent.CompletionStage;
import java.util.function.Consumer;

import org.jspecify.annotations.Nullable;

/**
 * Where several servers share what has been revoked. It only ever grows, except that what
 * is over may be forgotten.
 * <p>
 * A bean of this type is used instead of Redis. No call ever waits for it: each server
 * keeps a copy, which it compares every now and then. Called by one thread at a time,
 * except for {@link #add}; must not block, but answers later.
 *
 * @since 0.1.0
 */
public interface RevocationStore extends AutoCloseable {

	/**
	 * Asks to be told of changes. Called once, before everything else. Telling is a
	 * matter of speed: what gets lost is found when the copies are compared.
	 * @param revoked wants to hear of everything that anybody adds, from any thread
	 * @param missed wants to hear when changes may have been missed, such as after
	 * connecting again
	 */
	void follow(Consumer<Revocation> revoked, Runnable missed);

	/**
	 * Reads everything that is revoked.
	 * @param version the version of what the server knows; {@code null} if it knows
	 * nothing
	 * @return what there is now; completes exceptionally if that cannot be found out
	 */
	CompletionStage<Contents> load(@Nullable String version);

	/**
	 * Adds what is not there yet. Where there is the same with an earlier end, the later
	 * end counts.
	 * @param revocations what is revoked
	 * @return completes when other servers can read it
	 */
	CompletionStage<?> add(Collection<Revocation> revocations);

	/** Stops following. */
	@Override
	default void close() {
	}

	/**
	 * What a store holds.
	 *
	 * @param version changes whenever something is added or gets lost; {@code null} if
	 * the store cannot tell, so that everything is read each time
	 * @param revocations everything that is revoked; {@code null} if nothing has changed
	 * since the version that was asked with
	 */
	record Contents(@Nullable String version, @Nullable Collection<Revocation> revocations) {
	}

}
