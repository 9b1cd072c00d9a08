package io.github.grpcsecurity.audit;

import org.apache.commons.logging.Log;
import org.apache.commons.logging.LogFactory;

/**
 * Writes each record as a line of JSON to the logger {@value #LOGGER_NAME}, at level
 * INFO.
 * <p>
 * The line is the whole message. For a file that holds nothing else, give that logger an
 * appender of its own whose pattern is {@code %msg%n}, and switch its additivity off.
 *
 * @since 0.1.0
 */
public final class LoggerAuditSink implements AuditSink {

	/** Name of the logger. */
	public static final String LOGGER_NAME = "grpc.security.audit";

	private static final Log audit = LogFactory.getLog(LOGGER_NAME);

	@Override
	public void write(GrpcAuditRecord record) {
		if (audit.isInfoEnabled()) {
			audit.info(record.toJson());
		}
	}

}
