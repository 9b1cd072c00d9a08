package io.github.grpcsecurity.autoconfigure;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;

import io.github.grpcsecurity.dev.DevDirectory;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.AutoConfigurations;
import org.springframework.boot.context.properties.source.InvalidConfigurationPropertyValueException;
import org.springframework.boot.test.context.FilteredClassLoader;
import org.springframework.boot.test.context.runner.ApplicationContextRunner;
import org.springframework.boot.test.system.CapturedOutput;
import org.springframework.boot.test.system.OutputCaptureExtension;
import org.springframework.core.env.MapPropertySource;
import org.springframework.core.env.StandardEnvironment;

import static org.assertj.core.api.Assertions.assertThat;

@ExtendWith(OutputCaptureExtension.class)
class GrpcDevAutoConfigurationTests {

	@TempDir
	Path temporary;

	private final ApplicationContextRunner runner = new ApplicationContextRunner()
		.withConfiguration(AutoConfigurations.of(GrpcDevAutoConfiguration.class));

	@Test
	void runWhenNotEnabledThenMakesNothing() {
		this.runner.run((context) -> assertThat(context).doesNotHaveBean(DevDirectory.class));
		this.runner.withPropertyValues("grpc.security.dev.enabled=true", "grpc.security.enabled=false")
			.run((context) -> assertThat(context).doesNotHaveBean(DevDirectory.class));
	}

	@Test
	void runWhenEnabledThenMakesFilesAndSaysSoLoudly(CapturedOutput output) {
		Path directory = this.temporary.resolve("dev");

		enabled(directory).withPropertyValues("grpc.server.address=127.0.0.1")
			.run((context) -> assertThat(context.getBean(DevDirectory.class).path()).isEqualTo(directory));

		assertThat(directory.resolve("jwks.json")).exists();
		assertThat(output)
			.contains("DEVELOPMENT MODE (grpc.security.dev.enabled): never use this in production.",
					directory.toString())
			.doesNotContain("is not set");
	}

	@ParameterizedTest
	@CsvSource({ "0.0.0.0,'''0.0.0.0'' (grpc.server.address)'", "10.1.2.3,'''10.1.2.3'' (grpc.server.address)'",
			"*,all addresses of this machine (grpc.server.address is '*')" })
	void runWhenServerIsReachableThenFails(String address, String described) {
		Path directory = this.temporary.resolve("dev");

		enabled(directory).withPropertyValues("grpc.server.address=" + address)
			.run((context) -> assertThat(context).getFailure()
				.rootCause()
				.isInstanceOfSatisfying(InvalidConfigurationPropertyValueException.class, (ex) -> {
					assertThat(ex.getName()).isEqualTo("grpc.security.dev.enabled");
					assertThat(ex.getReason()).isEqualTo("Development mode works on this machine only, but the gRPC "
							+ "server listens on " + described + ". Set grpc.server.address=127.0.0.1, or turn "
							+ "development mode off and set up TLS with grpc.security.tls.*");
				}));
		assertThat(Files.exists(directory)).isFalse();
	}

	@Test
	void runWhenLibraryIsMissingThenNamesDependency() {
		enabled(this.temporary.resolve("dev")).withPropertyValues("grpc.server.address=127.0.0.1")
			.withClassLoader(new FilteredClassLoader("io.netty.pkitesting"))
			.run((context) -> assertThat(context).getFailure()
				.rootCause()
				.isInstanceOfSatisfying(InvalidConfigurationPropertyValueException.class,
						(ex) -> assertThat(ex.getReason()).isEqualTo("Development mode makes certificates with a "
								+ "library that is not there. Add the dependency io.netty:netty-pkitesting, or turn "
								+ "development mode off")));
	}

	@Test
	void runWhenAddressIsNotSetThenServerListensOnLoopback(CapturedOutput output) {
		enabled(this.temporary.resolve("dev"))
			.withInitializer((context) -> new DevModeEnvironmentPostProcessor()
				.postProcessEnvironment(context.getEnvironment(), new SpringApplication()))
			.run((context) -> assertThat(context.getEnvironment().getProperty("grpc.server.address"))
				.isEqualTo("127.0.0.1"));

		assertThat(output).contains("grpc.server.address is not set: in development mode the gRPC server listens on "
				+ "127.0.0.1 instead of all addresses.");
	}

	@Test
	void postProcessWhenAddressIsSetOrModeIsOffThenChangesNothing() {
		assertThat(addressAfter(Map.of("grpc.security.dev.enabled", "true", "grpc.server.address", "::1")))
			.isEqualTo("::1");
		assertThat(addressAfter(Map.of())).isNull();
		assertThat(addressAfter(Map.of("grpc.security.dev.enabled", "true", "grpc.security.enabled", "false")))
			.isNull();
		assertThat(addressAfter(Map.of("grpc.security.dev.enabled", "true"))).isEqualTo("127.0.0.1");
	}

	private static String addressAfter(Map<String, Object> properties) {
		StandardEnvironment environment = new StandardEnvironment();
		environment.getPropertySources().addFirst(new MapPropertySource("test", properties));
		new DevModeEnvironmentPostProcessor().postProcessEnvironment(environment, new SpringApplication());
		return environment.getProperty("grpc.server.address");
	}

	private ApplicationContextRunner enabled(Path directory) {
		return this.runner.withPropertyValues("grpc.security.dev.enabled=true",
				"grpc.security.dev.directory=" + directory);
	}

}
