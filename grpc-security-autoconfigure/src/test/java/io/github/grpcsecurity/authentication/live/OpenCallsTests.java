package io.github.grpcsecurity.authentication.live;

import java.lang.management.ManagementFactory;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;

import com.sun.management.ThreadMXBean;
import org.junit.jupiter.api.Test;

import static org.assertj.core.api.Assertions.assertThat;

class OpenCallsTests {

	private final OpenCalls calls = new OpenCalls();

	private OpenCall add(long deadline) {
		OpenCall call = new OpenCall(null, deadline, this.calls);
		this.calls.add(call);
		return call;
	}

	private List<OpenCall> take(long from, long to) {
		List<OpenCall> taken = new ArrayList<>();
		this.calls.takeExpired(from >> OpenCalls.SLOT_BITS, to >> OpenCalls.SLOT_BITS, to, taken);
		return taken;
	}

	@Test
	void takeWhenSomeAreDueThenOnlyThose() {
		OpenCall due = add(1000);
		OpenCall sameSlot = add(1001);
		OpenCall nextTurn = add(1000 + (OpenCalls.SLOTS << OpenCalls.SLOT_BITS));
		add(OpenCalls.NEVER);

		assertThat(take(900, 1000)).containsExactly(due);
		assertThat(take(1000, 1001)).containsExactly(sameSlot);
		assertThat(this.calls.size()).isEqualTo(2);
		assertThat(this.calls.expiring()).isEqualTo(1);
		assertThat(take(nextTurn.deadline, nextTurn.deadline)).containsExactly(nextTurn);
	}

	@Test
	void removeWhenCallWasTakenThenNothingElseIsLost() {
		OpenCall due = add(1000);
		OpenCall other = add(1010);
		take(1000, 1000);
		due.accept(io.grpc.Status.OK);
		due.accept(io.grpc.Status.OK);

		assertThat(this.calls.size()).isEqualTo(1);
		other.accept(io.grpc.Status.OK);
		assertThat(this.calls.size()).isZero();
		assertThat(this.calls.expiring()).isZero();
	}

	@Test
	void listWhenCallsComeAndGoInAnyOrderThenItHoldsThoseThatAreThere() {
		Random random = new Random(42);
		List<OpenCall> there = new ArrayList<>();
		for (int i = 0; i < 20_000; i++) {
			if (there.isEmpty() || random.nextInt(3) > 0) {
				there.add(add((random.nextInt(10) == 0) ? OpenCalls.NEVER : random.nextInt(100_000)));
			}
			else {
				there.remove(random.nextInt(there.size())).accept(io.grpc.Status.OK);
			}
		}
		List<OpenCall> listed = new ArrayList<>();
		this.calls.copyTo(listed);

		assertThat(listed).containsExactlyInAnyOrderElementsOf(there);
		assertThat(this.calls.size()).isEqualTo(there.size());
	}

	@Test
	void addWhenCallsAreWatchedThenEachCostsFewBytesAndLittleTime() {
		ThreadMXBean threads = (ThreadMXBean) ManagementFactory.getThreadMXBean();
		int count = 100_000;
		long bytes = 0;
		long nanos = 0;
		for (int round = 0; round < 10; round++) {
			OpenCall[] open = new OpenCall[count];
			long before = threads.getCurrentThreadAllocatedBytes();
			long start = System.nanoTime();
			for (int i = 0; i < count; i++) {
				open[i] = add(1_000_000L + i);
			}
			bytes = threads.getCurrentThreadAllocatedBytes() - before;
			for (OpenCall call : open) {
				call.accept(io.grpc.Status.OK);
			}
			nanos = System.nanoTime() - start;
		}
		System.out.printf("A watched call: %d bytes, %d ns to add and remove it%n", bytes / count, nanos / count);

		// Besides, the call keeps a list of callbacks, of another 48 bytes at most
		assertThat(bytes / count).isLessThan(100);
	}

}
