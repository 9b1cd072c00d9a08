package io.github.grpcsecurity.authentication.live;

import java.util.Collection;

import org.jspecify.annotations.Nullable;

/**
 * Some of the open calls, hung up in a hashed wheel by the time at which they have to
 * end. To add a call and to remove it take constant time. Thread-safe.
 */
final class OpenCalls {

	/** The deadline of calls that have none. */
	static final long NEVER = Long.MAX_VALUE;

	/** A slot is this many bits of milliseconds wide: 64 ms. */
	static final int SLOT_BITS = 6;

	static final int SLOTS = 512;

	/** One list for each slot, and one for the calls that never run out. */
	private final @Nullable OpenCall[] first = new OpenCall[SLOTS + 1];

	// Guarded by this
	private int size;

	// Guarded by this
	private int expiring;

	private static int index(OpenCall call) {
		return (call.deadline == NEVER) ? SLOTS : (int) (call.deadline >> SLOT_BITS) & (SLOTS - 1);
	}

	synchronized void add(OpenCall added) {
		int index = index(added);
		OpenCall head = this.first[index];
		added.next = head;
		if (head != null) {
			head.previous = added;
		}
		this.first[index] = added;
		this.size++;
		if (index != SLOTS) {
			this.expiring++;
		}
	}

	synchronized void remove(OpenCall removed) {
		int index = index(removed);
		OpenCall before = removed.previous;
		OpenCall after = removed.next;
		if (before == null) {
			if (this.first[index] != removed) {
				// Was taken out because it has run out
				return;
			}
			this.first[index] = after;
		}
		else {
			before.next = after;
		}
		if (after != null) {
			after.previous = before;
		}
		removed.previous = null;
		removed.next = null;
		this.size--;
		if (index != SLOTS) {
			this.expiring--;
		}
	}

	/**
	 * Takes out what has run out, in the slots of a span of time.
	 * @param from number of the first slot, counted from the epoch
	 * @param to number of the last slot; at most one turn of the wheel later
	 * @param now milliseconds of the epoch
	 * @param taken receives the calls
	 */
	synchronized void takeExpired(long from, long to, long now, Collection<OpenCall> taken) {
		if (this.expiring == 0) {
			return;
		}
		for (long slot = from; slot <= to; slot++) {
			OpenCall call = this.first[(int) slot & (SLOTS - 1)];
			while (call != null) {
				OpenCall next = call.next;
				if (call.deadline <= now) {
					remove(call);
					taken.add(call);
				}
				call = next;
			}
		}
	}

	synchronized void copyTo(Collection<OpenCall> calls) {
		for (OpenCall head : this.first) {
			for (OpenCall call = head; call != null; call = call.next) {
				calls.add(call);
			}
		}
	}

	synchronized int size() {
		return this.size;
	}

	/** How many of the calls have a deadline. */
	synchronized int expiring() {
		return this.expiring;
	}

}
