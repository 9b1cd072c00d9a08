package io.github.grpcsecurity.audit;

import java.io.IOException;

/**
 * Takes audit records to where they are kept. Every bean of this type gets every record.
 * <p>
 * A sink is called by one thread at a time, never by one that carries a call, so it may
 * block. While it does, the other sinks wait and records queue up; once the queue is full
 * they are dropped. What a sink throws is logged, and neither calls nor other sinks
 * notice.
 *
 * @since 0.1.0
 */
@FunctionalInterface
public interface AuditSink {

	/**
	 * Writes a record.
	 * @param record the record, which has nothing in it that must not be kept
	 * @throws IOException if the record could not be written; it is not offered again
	 */
	void write(GrpcAuditRecord record) throws IOException;

	/**
	 * Makes sure that everything written so far is safe. Called when no more records are
	 * waiting, and at shutdown.
	 * @throws IOException if that is not possible
	 */
	default void flush() throws IOException {
	}

}
