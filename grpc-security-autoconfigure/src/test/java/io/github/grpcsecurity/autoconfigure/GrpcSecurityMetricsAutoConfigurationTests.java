package io.github.grpcsecurity.autoconfigure;

import io.github.grpcsecurity.metrics.AuthenticationMetrics;
import io.github.grpcsecurity.metrics.CallMetrics;
import io.github.grpcsecurity.metrics.HandshakeMetrics;
import io.github.grpcsecurity.tls.TlsHandshakeListener;
import io.github.grpcsecurity.tls.TlsHandshakeResult;
import io.micrometer.core.instrument.MeterRegistry;
import io.micrometer.core.instrument.simple.SimpleMeterRegistry;
import org.junit.jupiter.api.Test;

import org.springframework.boot.autoconfigure.AutoConfigurations;
import org.springframework.boot.test.context.FilteredClassLoader;
import org.springframework.boot.test.context.runner.ApplicationContextRunner;

import static org.assertj.core.api.Assertions.assertThat;

class GrpcSecurityMetricsAutoConfigurationTests {

	private final ApplicationContextRunner runner = new ApplicationContextRunner()
		.withConfiguration(AutoConfigurations.of(GrpcSecurityMetricsAutoConfiguration.class));

	@Test
	void metricsWhenThereIsARegistryThenObserver() {
		this.runner.withBean(MeterRegistry.class, SimpleMeterRegistry::new)
			.run((context) -> assertThat(context).hasSingleBean(CallMetrics.class)
				.hasSingleBean(AuthenticationMetrics.class));
	}

	@Test
	void metricsWhenThereIsNoRegistryThenNone() {
		this.runner.run((context) -> assertThat(context).hasNotFailed().doesNotHaveBean(CallMetrics.class));
	}

	@Test
	void metricsWhenMicrometerIsMissingThenNone() {
		this.runner.withClassLoader(new FilteredClassLoader("io.micrometer"))
			.run((context) -> assertThat(context).hasNotFailed()
				.doesNotHaveBean("grpcCallMetrics")
				.doesNotHaveBean(TlsHandshakeListener.class));
	}

	@Test
	void metricsWhenSecurityIsOffThenNone() {
		this.runner.withBean(MeterRegistry.class, SimpleMeterRegistry::new)
			.withPropertyValues("grpc.security.enabled=false")
			.run((context) -> assertThat(context).doesNotHaveBean(CallMetrics.class));
	}

	@Test
	void metricsWhenHandshakesEndThenTheyAreCounted() {
		this.runner.withBean(MeterRegistry.class, SimpleMeterRegistry::new).run((context) -> {
			context.getBean(TlsHandshakeListener.class).completed(TlsHandshakeResult.CERTIFICATE_EXPIRED);

			assertThat(context.getBean(MeterRegistry.class)
				.get("grpc.server.tls.handshakes")
				.tag("grpc.tls.handshake.result", "CERTIFICATE_EXPIRED")
				.counter()
				.count()).isEqualTo(1);
		});
	}

	@Test
	void metricsWhenUserCountsHandshakesThenBacksOff() {
		this.runner.withBean(MeterRegistry.class, SimpleMeterRegistry::new)
			.withBean("own", HandshakeMetrics.class, () -> new HandshakeMetrics(new SimpleMeterRegistry()))
			.run((context) -> assertThat(context).hasSingleBean(HandshakeMetrics.class).hasBean("own"));
	}

	@Test
	void metricsWhenUserHasOwnThenBacksOff() {
		this.runner.withBean(MeterRegistry.class, SimpleMeterRegistry::new)
			.withBean("own", CallMetrics.class, () -> new CallMetrics(new SimpleMeterRegistry()))
			.run((context) -> assertThat(context).hasSingleBean(CallMetrics.class).hasBean("own"));
	}

}
