package io.github.grpcsecurity.audit;

import java.time.Instant;
import java.util.ArrayList;
import java.util.List;

import io.github.grpcsecurity.audit.AuditQueue.Losses;
import io.github.grpcsecurity.audit.GrpcAuditRecord.Kind;
import org.junit.jupiter.api.Test;

import static org.assertj.core.api.Assertions.assertThat;

class AuditQueueTests {

	private final AuditQueue queue = new AuditQueue(4);

	@Test
	void takeThenRecordsOfBothLanesComeInTheOrderOfTheirArrival() throws Exception {
		offer("p1", "R2", "R3", "p4");

		assertThat(take(3)).containsExactly("p1", "R2", "R3");
		assertThat(take(3)).containsExactly("p4");
		assertThat(this.queue.total()).isEqualTo(Losses.NONE);
	}

	@Test
	void offerWhenFullThenRefusalTakesThePlaceOfAPermit() throws Exception {
		offer("p1", "R2", "p3", "p4", "R5", "p6");

		assertThat(take(9)).containsExactly("p1", "R2", "p3", "R5");
		assertThat(this.queue.total()).isEqualTo(new Losses(2, 0));
	}

	@Test
	void offerWhenFullOfRefusalsThenLatestIsDropped() throws Exception {
		offer("R1", "R2", "R3", "R4", "R5", "p6");

		assertThat(take(9)).containsExactly("R1", "R2", "R3", "R4");
		assertThat(this.queue.total()).isEqualTo(new Losses(1, 1));
	}

	@Test
	void recoveredWhenThereIsRoomThenTellsLossesOnce() throws Exception {
		offer("p1", "p2", "p3", "p4", "p5");
		assertThat(this.queue.recovered()).isEqualTo(Losses.NONE);
		take(2);

		assertThat(this.queue.recovered()).isEqualTo(new Losses(1, 0));
		assertThat(this.queue.recovered()).isEqualTo(Losses.NONE);
		assertThat(this.queue.total()).isEqualTo(new Losses(1, 0));
	}

	@Test
	void takeWhenClosedThenGivesWhatIsLeftAndEnds() throws Exception {
		offer("p1");
		this.queue.close();
		offer("p2");

		assertThat(take(9)).containsExactly("p1");
		assertThat(this.queue.take(new ArrayList<>(), 1)).isFalse();
		assertThat(this.queue.total()).isEqualTo(new Losses(1, 0));
	}

	@Test
	void awaitWrittenWhenRecordsAreStillInHandThenWaits() throws Exception {
		offer("p1");
		take(1);

		assertThat(this.queue.awaitWritten(1_000_000)).isFalse();
		this.queue.close();
		this.queue.take(new ArrayList<>(), 1);
		assertThat(this.queue.awaitWritten(0)).isTrue();
	}

	private void offer(String... ids) {
		for (String id : ids) {
			this.queue.offer(GrpcAuditRecord.builder(Kind.DECISION, id, Instant.EPOCH, "test")
				.denied(id.startsWith("R"))
				.build());
		}
	}

	private List<String> take(int limit) throws InterruptedException {
		List<GrpcAuditRecord> batch = new ArrayList<>();
		assertThat(this.queue.take(batch, limit)).isTrue();
		return batch.stream().map(GrpcAuditRecord::id).toList();
	}

}
