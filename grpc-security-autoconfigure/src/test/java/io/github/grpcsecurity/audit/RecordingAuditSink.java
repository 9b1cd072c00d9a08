package io.github.grpcsecurity.audit;

import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.atomic.AtomicInteger;

/** Keeps every record. */
class RecordingAuditSink implements AuditSink {

	final List<GrpcAuditRecord> records = new CopyOnWriteArrayList<>();

	final AtomicInteger flushes = new AtomicInteger();

	@Override
	public void write(GrpcAuditRecord record) {
		this.records.add(record);
	}

	@Override
	public void flush() {
		this.flushes.incrementAndGet();
	}

	List<GrpcAuditRecord> of(GrpcAuditRecord.Kind kind) {
		return this.records.stream().filter((record) -> record.kind() == kind).toList();
	}

}
