package io.github.grpcsecurity.autoconfigure;

import java.util.List;
import java.util.Map;

import org.junit.jupiter.api.Test;

import org.springframework.boot.SpringApplication;
import org.springframework.core.env.MapPropertySource;
import org.springframework.mock.env.MockEnvironment;

import static org.assertj.core.api.Assertions.assertThat;

class TransportLoggingEnvironmentPostProcessorTests {

	private static final String LOGGER = "logging.level.io.grpc.netty.shaded.io.grpc.netty.NettyServerHandler";

	private final TransportLoggingEnvironmentPostProcessor processor = new TransportLoggingEnvironmentPostProcessor();

	@Test
	void postProcessWhenNothingIsSetThenFramesOfStrangersWriteNoStackTraces() throws ClassNotFoundException {
		MockEnvironment environment = new MockEnvironment();

		this.processor.postProcessEnvironment(environment, new SpringApplication());

		assertThat(environment.getProperty(LOGGER)).isEqualTo("ERROR");
		for (String prefix : List.of("io.grpc.netty.", "io.grpc.netty.shaded.io.grpc.netty.")) {
			for (String type : List.of("NettyServerHandler", "NettyServerStream")) {
				assertThat(environment.getProperty("logging.level." + prefix + type)).isEqualTo("ERROR");
				assertThat(Class.forName(prefix + type, false, getClass().getClassLoader())).isNotNull();
			}
		}
	}

	@Test
	void postProcessWhenApplicationSetsALevelThenItWins() {
		MockEnvironment environment = new MockEnvironment();
		environment.getPropertySources().addFirst(new MapPropertySource("application", Map.of(LOGGER, "DEBUG")));

		this.processor.postProcessEnvironment(environment, new SpringApplication());

		assertThat(environment.getProperty(LOGGER)).isEqualTo("DEBUG");
	}

	@Test
	void postProcessWhenSecurityIsOffThenLoggersAreLeftAlone() {
		MockEnvironment environment = new MockEnvironment().withProperty("grpc.security.enabled", "false");

		this.processor.postProcessEnvironment(environment, new SpringApplication());

		assertThat(environment.getProperty(LOGGER)).isNull();
	}

}
