package io.github.grpcsecurity.authorization.opa;

import java.nio.ByteBuffer;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.time.Duration;
import java.util.concurrent.CompletableFuture;
import java.util.function.Function;
import java.util.function.LongSupplier;

import com.github.benmanes.caffeine.cache.AsyncCache;
import com.github.benmanes.caffeine.cache.Caffeine;
import com.github.benmanes.caffeine.cache.Expiry;
import io.github.grpcsecurity.authorization.opa.OpaObserver.Outcome;

/**
 * Remembers decisions for a while, by the SHA-256 of the whole question. However many
 * calls ask the same at once, OPA is asked once. What is no decision is not remembered.
 * Thread-safe.
 */
final class AnswerCache {

	static final int MAX_ENTRIES = 10_000;

	private final AsyncCache<ByteBuffer, OpaAnswer> answers;

	AnswerCache(Duration ttl, LongSupplier nanoClock) {
		this.answers = Caffeine.newBuilder()
			.maximumSize(MAX_ENTRIES)
			.ticker(nanoClock::getAsLong)
			.executor(Runnable::run)
			.expireAfter(Expiry.creating((ByteBuffer key, OpaAnswer answer) -> decision(answer) ? ttl : Duration.ZERO))
			.buildAsync();
	}

	private static boolean decision(OpaAnswer answer) {
		return answer.outcome() == Outcome.ALLOW || answer.outcome() == Outcome.DENY;
	}

	/**
	 * Answers from memory or asks.
	 * @param input the question
	 * @param client is asked unless the answer is known or on its way
	 * @return the answer, and whether nobody had to be asked
	 */
	Known ask(byte[] input, Function<byte[], CompletableFuture<OpaAnswer>> client) {
		boolean[] asked = { false };
		CompletableFuture<OpaAnswer> answer = this.answers.get(ByteBuffer.wrap(sha256(input)), (key, ignored) -> {
			asked[0] = true;
			return client.apply(input);
		});
		return new Known(answer, !asked[0]);
	}

	private static byte[] sha256(byte[] input) {
		try {
			return MessageDigest.getInstance("SHA-256").digest(input);
		}
		catch (NoSuchAlgorithmException ex) {
			throw new IllegalStateException("Every Java platform has SHA-256", ex);
		}
	}

	/**
	 * An answer, or one on its way.
	 *
	 * @param answer the answer
	 * @param remembered whether nobody had to be asked
	 */
	record Known(CompletableFuture<OpaAnswer> answer, boolean remembered) {
	}

}
