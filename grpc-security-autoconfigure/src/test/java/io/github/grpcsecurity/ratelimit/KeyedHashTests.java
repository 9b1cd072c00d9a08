package io.github.grpcsecurity.ratelimit;

import java.util.stream.IntStream;

import org.junit.jupiter.api.Test;

import static org.assertj.core.api.Assertions.assertThat;

class KeyedHashTests {

	private static final int PLACES = 64;

	@Test
	void placeWhenKeysAreManyThenEachPlaceGetsItsPart() {
		KeyedHash hash = new KeyedHash();
		int[] counts = new int[PLACES];
		for (int i = 0; i < 64_000; i++) {
			counts[hash.place("per-peer", "2001:db8:0:" + Integer.toHexString(i) + "::", PLACES)]++;
		}

		assertThat(IntStream.of(counts).boxed()).allSatisfy((count) -> assertThat(count).isBetween(700, 1300));
	}

	@Test
	void placeWhenKeysMeetForOneSecretThenNotForAnother() {
		long met = IntStream.range(0, 1000).filter((i) -> {
			KeyedHash hash = new KeyedHash();
			// To Java, these are the same
			return hash.place("r", "AaAaBBBB", PLACES) == hash.place("r", "BBBBAaAa", PLACES);
		}).count();

		assertThat(met).isLessThan(60);
	}

	@Test
	void placeWhenTextIsTheSameThenPlaceIs() {
		KeyedHash hash = new KeyedHash();

		assertThat(hash.place("r", "", PLACES)).isEqualTo(hash.place("r", "", PLACES));
		assertThat(hash.place("r", "\uffff\uffff\uffff\uffff", 7)).isBetween(0, 6);
		assertThat(hash.place("r", "k", 1)).isZero();
	}

	@Test
	void placeWhenTextsAreDividedElsewhereThenTheyAreOthers() {
		long met = IntStream.range(0, 1000).filter((i) -> {
			KeyedHash hash = new KeyedHash();
			return hash.place("abc", "def", PLACES) == hash.place("abcd", "ef", PLACES);
		}).count();

		assertThat(met).isLessThan(60);
	}

}
