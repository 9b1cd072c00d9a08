package io.github.grpcsecurity.tls;

import java.util.Arrays;

/**
 * A set of serial numbers that needs little more memory than their bytes: all of them
 * stand in one array, and a hash table holds where. Looking one up costs the same however
 * many there are. Immutable once built.
 */
final class SerialNumbers {

	private static final int MAX_LENGTH = 255;

	/** A byte with the length of each number, then its bytes. */
	private final byte[] numbers;

	/** Positions in the array, plus one; open addressing, at most half full. */
	private final int[] table;

	private final int size;

	private SerialNumbers(byte[] numbers, int[] table, int size) {
		this.numbers = numbers;
		this.table = table;
		this.size = size;
	}

	int size() {
		return this.size;
	}

	boolean contains(byte[] number) {
		int from = start(number, 0, number.length);
		int length = number.length - from;
		return length <= MAX_LENGTH && this.table[slot(this.numbers, this.table, number, from, length)] != 0;
	}

	// Two's complement may be padded; the same number has the same bytes without it
	private static int start(byte[] bytes, int from, int end) {
		int start = from;
		while (start < end - 1
				&& ((bytes[start] == 0 && bytes[start + 1] >= 0) || (bytes[start] == -1 && bytes[start + 1] < 0))) {
			start++;
		}
		return start;
	}

	/** Where a number stands in the table, or where there is room for it. */
	private static int slot(byte[] numbers, int[] table, byte[] bytes, int from, int length) {
		int slot = hash(bytes, from, length) & (table.length - 1);
		while (table[slot] != 0) {
			int at = table[slot] - 1;
			if ((numbers[at] & 0xff) == length
					&& Arrays.equals(numbers, at + 1, at + 1 + length, bytes, from, from + length)) {
				break;
			}
			slot = (slot + 1) & (table.length - 1);
		}
		return slot;
	}

	private static int hash(byte[] bytes, int from, int length) {
		int hash = length;
		for (int i = from; i < from + length; i++) {
			hash = (hash ^ bytes[i]) * 0x01000193;
		}
		hash ^= hash >>> 15;
		hash *= 0x2c1b3c6d;
		return hash ^ (hash >>> 13);
	}

	/** Collects serial numbers. Not thread-safe. */
	static final class Builder {

		private byte[] numbers = new byte[256];

		private int length;

		private int size;

		/** Adds the number between two positions. */
		boolean add(byte[] bytes, int from, int end) {
			int start = start(bytes, from, end);
			int count = end - start;
			if (count < 1 || count > MAX_LENGTH) {
				return false;
			}
			if (this.numbers.length - this.length < count + 1) {
				this.numbers = Arrays.copyOf(this.numbers,
						Math.max(this.numbers.length + (this.numbers.length >> 1), this.length + count + 1));
			}
			this.numbers[this.length++] = (byte) count;
			System.arraycopy(bytes, start, this.numbers, this.length, count);
			this.length += count;
			this.size++;
			return true;
		}

		SerialNumbers build() {
			byte[] all = Arrays.copyOf(this.numbers, this.length);
			int[] table = new int[Math.max(2, Integer.highestOneBit(Math.max(1, this.size)) << 2)];
			int at = 0;
			int different = 0;
			while (at < all.length) {
				int count = all[at] & 0xff;
				int slot = slot(all, table, all, at + 1, count);
				if (table[slot] == 0) {
					table[slot] = at + 1;
					different++;
				}
				at += count + 1;
			}
			return new SerialNumbers(all, table, different);
		}

	}

}
