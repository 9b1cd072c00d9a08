package io.github.grpcsecurity.tls;

import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.atomic.AtomicLong;

/**
 * Counts the changes of whom the server trusts: other authorities, other revocation
 * lists. What was verified in an older epoch has to be verified again. Thread-safe.
 */
final class TrustEpoch {

	private final AtomicLong value = new AtomicLong();

	private final List<Runnable> listeners = new CopyOnWriteArrayList<>();

	long current() {
		return this.value.get();
	}

	/** Begins another epoch. To be called after the change is in force. */
	void advance() {
		this.value.incrementAndGet();
		this.listeners.forEach(Runnable::run);
	}

	/** Tells of each new epoch, on the thread that changed the trust. */
	void onAdvance(Runnable listener) {
		this.listeners.add(listener);
	}

}
