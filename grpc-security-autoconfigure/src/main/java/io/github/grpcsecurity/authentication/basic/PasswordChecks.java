package io.github.grpcsecurity.authentication.basic;

import java.util.ArrayDeque;
import java.util.Queue;
import java.util.concurrent.Executor;
import java.util.concurrent.RejectedExecutionException;

import org.jspecify.annotations.Nullable;

/**
 * Runs what is expensive on purpose: a few at a time, with a short queue, so that a flood
 * of passwords leaves processors for everybody else. Thread-safe.
 */
final class PasswordChecks {

	private final Executor executor;

	private final int maxRunning;

	private final int maxWaiting;

	private final Queue<Runnable> waiting = new ArrayDeque<>();

	private int running;

	PasswordChecks(Executor executor, int maxRunning, int maxWaiting) {
		this.executor = executor;
		this.maxRunning = maxRunning;
		this.maxWaiting = maxWaiting;
	}

	/**
	 * Runs a check now or soon.
	 * @param check must not throw
	 * @return {@code false} if there are too many already; it is not run then
	 */
	boolean run(Runnable check) {
		synchronized (this) {
			if (this.running >= this.maxRunning) {
				return this.waiting.size() < this.maxWaiting && this.waiting.add(check);
			}
			this.running++;
		}
		try {
			this.executor.execute(() -> runAll(check));
			return true;
		}
		catch (RejectedExecutionException ex) {
			synchronized (this) {
				this.running--;
			}
			return false;
		}
	}

	private void runAll(Runnable first) {
		Runnable check = first;
		while (check != null) {
			try {
				check.run();
			}
			finally {
				check = next();
			}
		}
	}

	private synchronized @Nullable Runnable next() {
		Runnable check = this.waiting.poll();
		if (check == null) {
			this.running--;
		}
		return check;
	}

}
