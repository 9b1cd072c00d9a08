package io.github.grpcsecurity.audit;

import java.util.LinkedHashMap;
import java.util.Map;

import org.jspecify.annotations.Nullable;

import org.springframework.boot.actuate.audit.listener.AuditApplicationEvent;
import org.springframework.context.ApplicationEventPublisher;

/**
 * Publishes each record as an {@link AuditApplicationEvent}, for Spring Boot's
 * {@code AuditEventRepository} and whoever else listens.
 * <p>
 * Listeners run on the thread that writes records, never on one that carries a call. What
 * is not printable ASCII is escaped as in JSON, since listeners print these events.
 *
 * @since 0.1.0
 */
public final class ApplicationEventAuditSink implements AuditSink {

	private final ApplicationEventPublisher publisher;

	/**
	 * Creates a sink.
	 * @param publisher publishes the events
	 */
	public ApplicationEventAuditSink(ApplicationEventPublisher publisher) {
		this.publisher = publisher;
	}

	@Override
	public void write(GrpcAuditRecord record) {
		Map<String, @Nullable Object> data = new LinkedHashMap<>();
		record.fields().forEach((name, value) -> data.put(JsonText.visible(name), visible(value)));
		String principal = record.principal();
		this.publisher.publishEvent(new AuditApplicationEvent(record.time(),
				(principal != null) ? JsonText.visible(principal) : "", record.type(), data));
	}

	private static Object visible(Object value) {
		return (value instanceof String text) ? JsonText.visible(text) : value;
	}

}
