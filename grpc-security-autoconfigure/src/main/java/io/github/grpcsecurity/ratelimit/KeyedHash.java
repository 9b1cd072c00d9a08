package io.github.grpcsecurity.ratelimit;

import java.security.SecureRandom;

/**
 * Spreads keys by a secret, so that nobody outside can make up keys that meet: the
 * polynomial hashing of Carter and Wegman, modulo 2^61 - 1. Immutable.
 */
final class KeyedHash {

	private static final int BITS = 61;

	private static final long PRIME = (1L << BITS) - 1;

	/** So many characters fit below the prime. */
	private static final int BLOCK = 3;

	private final long secret = new SecureRandom().nextLong(1, PRIME);

	/** Where a key of a rule belongs, from 0 to one less than there are places. */
	int place(String rule, String key, int places) {
		long hash = add(add(0, rule), key);
		return (int) Math.floorMod(hash ^ (hash >>> (BITS / 2)), (long) places);
	}

	private long add(long before, String text) {
		long hash = before;
		int length = text.length();
		for (int i = 0; i < length; i += BLOCK) {
			long block = text.charAt(i);
			block |= (i + 1 < length) ? (long) text.charAt(i + 1) << Character.SIZE : 0;
			block |= (i + 2 < length) ? (long) text.charAt(i + 2) << (2 * Character.SIZE) : 0;
			hash = add(hash, block);
		}
		// Or the end of one text could be the start of another
		return add(hash, length);
	}

	private long add(long hash, long block) {
		long high = Math.multiplyHigh(hash, this.secret);
		long low = hash * this.secret;
		long product = (low & PRIME) + ((low >>> BITS) | (high << (Long.SIZE - BITS)));
		long sum = (product & PRIME) + (product >>> BITS) + block;
		return (sum >= PRIME) ? sum - PRIME : sum;
	}

}
