package io.github.grpcsecurity.authentication.basic;

import java.util.ArrayDeque;
import java.util.Deque;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.concurrent.Executor;
import java.util.concurrent.RejectedExecutionException;

import org.jspecify.annotations.Nullable;

/**
 * Runs what is expensive on purpose: a few at a time, with a short queue, so that a flood
 * of passwords leaves processors for everybody else. Peers take turns, and when there is
 * no place left the one that has most of them gives one up, so that nobody keeps others
 * from logging in. Thread-safe.
 */
final class PasswordChecks {

	private final Executor executor;

	private final int maxRunning;

	private final int maxWaiting;

	/** By peer, the one whose turn it is first. None of the queues is empty. */
	private final Map<Object, Deque<Check>> waiting = new LinkedHashMap<>();

	private int places;

	private int running;

	PasswordChecks(Executor executor, int maxRunning, int maxWaiting) {
		this.executor = executor;
		this.maxRunning = maxRunning;
		this.maxWaiting = maxWaiting;
	}

	/**
	 * Runs a check now or soon, if there is room for it.
	 * @param peer who asks for it
	 * @param check must not throw
	 * @param dropped runs instead of the check, here and now or later, when there is no
	 * room
	 */
	void run(Object peer, Runnable check, Runnable dropped) {
		Check added = new Check(check, dropped);
		Check tooMany;
		synchronized (this) {
			if (this.running < this.maxRunning) {
				this.running++;
				tooMany = null;
			}
			else {
				tooMany = queue(peer, added);
				added = null;
			}
		}
		if (tooMany != null) {
			tooMany.dropped().run();
		}
		if (added != null) {
			start(added);
		}
	}

	private void start(Check check) {
		try {
			this.executor.execute(() -> runAll(check.work()));
		}
		catch (RejectedExecutionException ex) {
			synchronized (this) {
				this.running--;
			}
			check.dropped().run();
		}
	}

	/** Finds a place, and says who has none then. */
	private @Nullable Check queue(Object peer, Check added) {
		Check displaced = null;
		if (this.places == this.maxWaiting) {
			Object greediest = greediest();
			Deque<Check> own = this.waiting.get(peer);
			Deque<Check> most = (greediest != null) ? this.waiting.get(greediest) : null;
			if (most == null || most.size() <= 1 + ((own != null) ? own.size() : 0)) {
				return added;
			}
			displaced = most.pollLast();
			this.places--;
		}
		this.waiting.computeIfAbsent(peer, (first) -> new ArrayDeque<>(2)).add(added);
		this.places++;
		return displaced;
	}

	private @Nullable Object greediest() {
		Object greediest = null;
		int most = 0;
		for (Map.Entry<Object, Deque<Check>> queue : this.waiting.entrySet()) {
			if (queue.getValue().size() > most) {
				most = queue.getValue().size();
				greediest = queue.getKey();
			}
		}
		return greediest;
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
		Iterator<Map.Entry<Object, Deque<Check>>> turns = this.waiting.entrySet().iterator();
		if (!turns.hasNext()) {
			this.running--;
			return null;
		}
		Map.Entry<Object, Deque<Check>> turn = turns.next();
		Object peer = turn.getKey();
		Deque<Check> queue = turn.getValue();
		turns.remove();
		Check check = queue.remove();
		this.places--;
		if (!queue.isEmpty()) {
			this.waiting.put(peer, queue);
		}
		return check.work();
	}

	/**
	 * A check that waits.
	 *
	 * @param work the check
	 * @param dropped runs instead of it when it loses its place
	 */
	private record Check(Runnable work, Runnable dropped) {
	}

}
