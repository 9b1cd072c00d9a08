package io.github.grpcsecurity.authentication.jwt;

import java.time.Duration;
import java.time.InstantSource;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.LongAdder;
import java.util.function.Predicate;

import io.github.grpcsecurity.authentication.TokenHash;
import org.jspecify.annotations.Nullable;

import org.springframework.security.core.Authentication;

/**
 * Tokens that were verified a short while ago, so that the next call with one costs a
 * hash instead of a signature. Bad tokens are never in here, so nobody can fill it who
 * has not as many good ones.
 * <p>
 * When it is full, the hand of a clock goes round and takes out the first entry that
 * nobody used since it came by the last time.
 */
final class VerifiedTokenCache {

	private final int maxEntries;

	private final long ttlMillis;

	private final InstantSource clock;

	private final TokenHash.Hasher hasher;

	private final ConcurrentHashMap<TokenHash, Entry> entries = new ConcurrentHashMap<>();

	private final LongAdder hits = new LongAdder();

	private final LongAdder misses = new LongAdder();

	// Guarded by this
	private final List<Entry> ring = new ArrayList<>();

	// Guarded by this
	private int hand;

	VerifiedTokenCache(int maxEntries, Duration ttl, int maxTokenSize, InstantSource clock) {
		this.maxEntries = maxEntries;
		this.ttlMillis = ttl.toMillis();
		this.clock = clock;
		this.hasher = new TokenHash.Hasher(maxTokenSize);
	}

	/** What is remembered of a token. */
	static final class Entry {

		private final TokenHash hash;

		private final VerifiedToken token;

		private final Authentication authentication;

		private final long until;

		private volatile boolean used;

		private Entry(TokenHash hash, VerifiedToken token, Authentication authentication, long until) {
			this.hash = hash;
			this.token = token;
			this.authentication = authentication;
			this.until = until;
		}

		VerifiedToken token() {
			return this.token;
		}

		/** The identity as it was when the token was verified, for another call. */
		Authentication authentication() {
			return this.authentication;
		}

	}

	/**
	 * Finds a token that is still good.
	 * @param token not longer than the largest token
	 */
	@Nullable Entry find(String token) {
		Entry entry = this.entries.get(this.hasher.hash(token));
		if (entry == null) {
			this.misses.increment();
			return null;
		}
		long now = this.clock.millis();
		if (now >= entry.until || !entry.token.good(now)) {
			this.entries.remove(entry.hash, entry);
			this.misses.increment();
			return null;
		}
		if (!entry.used) {
			entry.used = true;
		}
		this.hits.increment();
		return entry;
	}

	void put(String value, VerifiedToken token, Authentication authentication) {
		Entry entry = new Entry(this.hasher.hash(value), token, authentication, this.clock.millis() + this.ttlMillis);
		synchronized (this) {
			if (this.ring.size() < this.maxEntries) {
				this.ring.add(entry);
			}
			else {
				this.ring.set(freeSlot(), entry);
			}
			this.entries.put(entry.hash, entry);
		}
	}

	private int freeSlot() {
		// Others use entries meanwhile: the second round takes one whether it is used or
		// not
		for (int i = 0;; i++) {
			int slot = this.hand;
			this.hand = (slot + 1 < this.maxEntries) ? slot + 1 : 0;
			Entry candidate = this.ring.get(slot);
			if (!candidate.used || i >= this.maxEntries || this.entries.get(candidate.hash) != candidate) {
				this.entries.remove(candidate.hash, candidate);
				return slot;
			}
			candidate.used = false;
		}
	}

	void evict(Predicate<VerifiedToken> condition) {
		this.entries.values().removeIf((entry) -> condition.test(entry.token));
	}

	int size() {
		return this.entries.size();
	}

	long hits() {
		return this.hits.sum();
	}

	long misses() {
		return this.misses.sum();
	}

}
