package io.github.grpcsecurity.authentication.basic;

import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.RejectedExecutionException;

import org.junit.jupiter.api.Test;

import static org.assertj.core.api.Assertions.assertThat;

class PasswordChecksTests {

	private final List<Runnable> started = new ArrayList<>();

	private final List<String> run = new ArrayList<>();

	private final List<String> dropped = new ArrayList<>();

	private final PasswordChecks checks = new PasswordChecks(this.started::add, 1, 4);

	private void check(String peer, String name) {
		this.checks.run(peer, () -> this.run.add(name), () -> this.dropped.add(name));
	}

	@Test
	void runWhenOnePeerFloodsThenOthersGetAPlaceAndTheirTurn() {
		for (int i = 0; i < 7; i++) {
			check("flood", "f" + i);
		}
		assertThat(this.dropped).containsExactly("f5", "f6");

		check("alice", "a");
		check("bob", "b");
		assertThat(this.dropped).containsExactly("f5", "f6", "f4", "f3");

		assertThat(this.started).hasSize(1);
		this.started.get(0).run();
		assertThat(this.run).containsExactly("f0", "f1", "a", "b", "f2");
	}

	@Test
	void runWhenAllPeersHaveTheSameNumberOfPlacesThenNobodyIsDisplaced() {
		check("first", "0");
		for (String peer : List.of("a", "b", "c", "d", "e")) {
			check(peer, peer);
		}
		assertThat(this.dropped).containsExactly("e");
		this.started.get(0).run();
		assertThat(this.run).containsExactly("0", "a", "b", "c", "d");

		// All places are there again
		check("x", "x");
		assertThat(this.started).hasSize(2);
	}

	@Test
	void runWhenThereIsNoThreadThenDroppedAndTriedAgainNextTime() {
		boolean[] closed = { true };
		PasswordChecks closing = new PasswordChecks((task) -> {
			if (closed[0]) {
				throw new RejectedExecutionException();
			}
			task.run();
		}, 1, 4);
		closing.run("a", () -> this.run.add("1"), () -> this.dropped.add("1"));
		closed[0] = false;
		closing.run("a", () -> this.run.add("2"), () -> this.dropped.add("2"));

		assertThat(this.dropped).containsExactly("1");
		assertThat(this.run).containsExactly("2");
	}

}
