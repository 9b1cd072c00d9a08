package io.github.grpcsecurity.metrics;

import io.micrometer.core.instrument.simple.SimpleMeterRegistry;
import org.junit.jupiter.api.Test;

import static org.assertj.core.api.Assertions.assertThat;

class HandshakeMetricsTests {

	private final SimpleMeterRegistry registry = new SimpleMeterRegistry();

	@Test
	void completedWhenHandshakesEndThenCountsByResult() {
		HandshakeMetrics metrics = new HandshakeMetrics(this.registry);
		metrics.completed("SUCCESS");
		metrics.completed("SUCCESS");
		metrics.completed("CERTIFICATE_REVOKED");

		assertThat(count("SUCCESS")).isEqualTo(2);
		assertThat(count("CERTIFICATE_REVOKED")).isEqualTo(1);
		assertThat(this.registry.getMeters()).hasSize(2);
	}

	private double count(String result) {
		return this.registry.get("grpc.server.tls.handshakes")
			.tag("grpc.tls.handshake.result", result)
			.counter()
			.count();
	}

}
