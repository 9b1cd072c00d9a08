package io.github.grpcsecurity.authentication.jwt;

import java.util.concurrent.CompletableFuture;

import org.jspecify.annotations.Nullable;

/**
 * Where the public keys of an issuer come from. Nothing here blocks.
 */
interface IssuerKeys extends AutoCloseable {

	/**
	 * The keys in force.
	 * @return the keys; {@code null} when there are none that could be trusted
	 */
	@Nullable VerificationKeys current();

	/**
	 * Looks for newer keys, because a token names one that is not there. Looks are shared
	 * and limited: calls may ask as often as they like.
	 * @return completes, never exceptionally, with whether the source of the keys answers
	 */
	CompletableFuture<Boolean> refresh();

	/**
	 * Starts to fetch keys in the background.
	 * @return completes, never exceptionally, with whether there are keys
	 */
	default CompletableFuture<Boolean> start() {
		return CompletableFuture.completedFuture(true);
	}

	/** Tells how the fetching goes; {@code null} for keys that never change. */
	default @Nullable RemoteKeys remote() {
		return null;
	}

	@Override
	default void close() {
	}

	/** Keys that never change. */
	static IssuerKeys fixed(VerificationKeys keys) {
		return new IssuerKeys() {
			@Override
			public VerificationKeys current() {
				return keys;
			}

			@Override
			public CompletableFuture<Boolean> refresh() {
				return CompletableFuture.completedFuture(true);
			}
		};
	}

}
