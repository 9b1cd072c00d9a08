package io.github.grpcsecurity.metrics;

import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;

import io.micrometer.core.instrument.Counter;
import io.micrometer.core.instrument.MeterRegistry;

/**
 * Counts the TLS handshakes of the server by how they ended, under the names of gRFC
 * A118. Thread-safe.
 *
 * @since 0.1.0
 */
public final class HandshakeMetrics {

	/** Name of the counter. */
	public static final String HANDSHAKES = "grpc.server.tls.handshakes";

	/** Name of its tag. */
	public static final String RESULT = "grpc.tls.handshake.result";

	private final MeterRegistry registry;

	private final Map<String, Counter> counters = new ConcurrentHashMap<>();

	/**
	 * Creates the metrics.
	 * @param registry where the meters are registered
	 */
	public HandshakeMetrics(MeterRegistry registry) {
		this.registry = registry;
	}

	/**
	 * Counts a handshake.
	 * @param result one of the words of A118, never anything that a client chose
	 */
	public void completed(String result) {
		this.counters.computeIfAbsent(result, this::counter).increment();
	}

	private Counter counter(String result) {
		return Counter.builder(HANDSHAKES)
			.description("TLS handshakes with the server")
			.baseUnit("handshakes")
			.tag(RESULT, result)
			.register(this.registry);
	}

}
