package io.github.grpcsecurity.audit;

import java.util.ArrayDeque;
import java.util.Deque;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.Condition;
import java.util.concurrent.locks.ReentrantLock;

import org.jspecify.annotations.Nullable;

/**
 * Where records wait for the thread that writes them: bounded, and never in the way of a
 * call. When it is full, records of refusals take the place of others.
 * <p>
 * There are two lanes because of that; records leave in the order in which they came.
 */
final class AuditQueue {

	/**
	 * How long the writer looks away before it looks for more, so that under load a call
	 * need not wake it up: that costs more than all else here.
	 */
	private static final long LINGER_NANOS = TimeUnit.MILLISECONDS.toNanos(5);

	private final int capacity;

	private final ReentrantLock lock = new ReentrantLock();

	private final Condition changed = this.lock.newCondition();

	private final Condition written = this.lock.newCondition();

	// Everything below is guarded by lock

	private final Deque<Entry> permits = new ArrayDeque<>();

	private final Deque<Entry> refusals = new ArrayDeque<>();

	private long sequence;

	private boolean wakeUp;

	private boolean writing;

	private boolean closed;

	private Losses unreported = Losses.NONE;

	private Losses total = Losses.NONE;

	AuditQueue(int capacity) {
		this.capacity = capacity;
	}

	/** Puts a record in, or drops it or another one. Never waits for a sink. */
	void offer(GrpcAuditRecord record) {
		this.lock.lock();
		try {
			if (this.closed) {
				lost(record.denied());
				return;
			}
			if (this.permits.size() + this.refusals.size() >= this.capacity) {
				boolean replaces = record.denied() && this.permits.pollLast() != null;
				lost(record.denied() && !replaces);
				if (!replaces) {
					return;
				}
			}
			(record.denied() ? this.refusals : this.permits).addLast(new Entry(this.sequence++, record));
			if (this.wakeUp) {
				this.wakeUp = false;
				this.changed.signal();
			}
		}
		finally {
			this.lock.unlock();
		}
	}

	private void lost(boolean refusal) {
		this.unreported = this.unreported.plus(refusal);
		this.total = this.total.plus(refusal);
	}

	/**
	 * Waits for records and moves some out.
	 * @param batch receives them
	 * @param limit how many to move at most
	 * @return {@code false} when no more will come
	 */
	boolean take(List<GrpcAuditRecord> batch, int limit) throws InterruptedException {
		this.lock.lockInterruptibly();
		try {
			this.writing = false;
			if (empty()) {
				this.written.signalAll();
				long linger = LINGER_NANOS;
				while (empty() && !this.closed) {
					if (linger > 0) {
						linger = this.changed.awaitNanos(linger);
					}
					else {
						this.wakeUp = true;
						this.changed.await();
					}
				}
				this.wakeUp = false;
			}
			while (batch.size() < limit) {
				Deque<Entry> lane = next();
				if (lane == null) {
					break;
				}
				batch.add(lane.removeFirst().record());
			}
			this.writing = !batch.isEmpty();
			return this.writing;
		}
		finally {
			this.lock.unlock();
		}
	}

	private @Nullable Deque<Entry> next() {
		Entry permit = this.permits.peekFirst();
		Entry refusal = this.refusals.peekFirst();
		if (permit == null) {
			return (refusal != null) ? this.refusals : null;
		}
		return (refusal != null && refusal.sequence() < permit.sequence()) ? this.refusals : this.permits;
	}

	private boolean empty() {
		return this.permits.isEmpty() && this.refusals.isEmpty();
	}

	/** How many records wait. */
	int size() {
		this.lock.lock();
		try {
			return this.permits.size() + this.refusals.size();
		}
		finally {
			this.lock.unlock();
		}
	}

	/** What was lost and not reported yet, once there is room again. */
	Losses recovered() {
		this.lock.lock();
		try {
			if (this.permits.size() + this.refusals.size() > this.capacity / 2) {
				return Losses.NONE;
			}
			Losses losses = this.unreported;
			this.unreported = Losses.NONE;
			return losses;
		}
		finally {
			this.lock.unlock();
		}
	}

	Losses total() {
		this.lock.lock();
		try {
			return this.total;
		}
		finally {
			this.lock.unlock();
		}
	}

	/** Waits until everything is written. */
	boolean awaitWritten(long nanos) throws InterruptedException {
		long remaining = nanos;
		this.lock.lockInterruptibly();
		try {
			while (!empty() || this.writing) {
				if (remaining <= 0) {
					return false;
				}
				this.changed.signal();
				remaining = this.written.awaitNanos(remaining);
			}
			return true;
		}
		finally {
			this.lock.unlock();
		}
	}

	/** Takes no more records; what is in can still be taken out. */
	void close() {
		this.lock.lock();
		try {
			this.closed = true;
			this.changed.signal();
		}
		finally {
			this.lock.unlock();
		}
	}

	private record Entry(long sequence, GrpcAuditRecord record) {
	}

	/**
	 * Records that were dropped.
	 *
	 * @param permits how many that told of no refusal
	 * @param refusals how many that told of one
	 */
	record Losses(long permits, long refusals) {

		static final Losses NONE = new Losses(0, 0);

		Losses plus(boolean refusal) {
			return refusal ? new Losses(this.permits, this.refusals + 1) : new Losses(this.permits + 1, this.refusals);
		}

		boolean any() {
			return this.permits + this.refusals > 0;
		}

	}

}
