package io.github.grpcsecurity.autoconfigure;

import java.time.Duration;

import io.github.grpcsecurity.hardening.ConnectionLimits;
import io.github.grpcsecurity.hardening.ConnectionLimitsConfigurer;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

import org.springframework.boot.autoconfigure.AutoConfigurations;
import org.springframework.boot.context.properties.source.InvalidConfigurationPropertyValueException;
import org.springframework.boot.test.context.FilteredClassLoader;
import org.springframework.boot.test.context.runner.ApplicationContextRunner;

import static org.assertj.core.api.Assertions.assertThat;

class GrpcLimitsAutoConfigurationTests {

	private static final ConnectionLimits DEFAULTS = new ConnectionLimits(100, 4 * 1024 * 1024, 8 * 1024, 200,
			Duration.ofSeconds(30), Duration.ofMinutes(1), false, Duration.ofMinutes(30), Duration.ofHours(1),
			Duration.ofMinutes(5));

	private final ApplicationContextRunner runner = new ApplicationContextRunner()
		.withConfiguration(AutoConfigurations.of(GrpcLimitsAutoConfiguration.class));

	@Test
	void runWhenNothingIsSetThenDefaultsAreInForce() {
		this.runner.run((context) -> {
			assertThat(context).hasSingleBean(ConnectionLimitsConfigurer.class);
			assertThat(context.getBean(ConnectionLimits.class)).isEqualTo(DEFAULTS);
		});
	}

	@Test
	void runWhenDisabledThenDoesNothing() {
		this.runner.withPropertyValues("grpc.security.enabled=false")
			.run((context) -> assertThat(context).hasNotFailed().doesNotHaveBean(ConnectionLimitsConfigurer.class));
	}

	@Test
	void runWhenNettyIsMissingThenStillStarts() {
		this.runner.withClassLoader(new FilteredClassLoader("io.grpc.netty", "io.netty"))
			.run((context) -> assertThat(context).hasSingleBean(ConnectionLimitsConfigurer.class));
	}

	@Test
	void runWhenUserHasOwnBeansThenBacksOff() {
		ConnectionLimits own = new ConnectionLimits(1, 2, 3, 4, Duration.ofSeconds(5), Duration.ofSeconds(6), true,
				Duration.ofSeconds(7), Duration.ofSeconds(8), Duration.ofSeconds(9));
		this.runner.withBean(ConnectionLimits.class, () -> own)
			.run((context) -> assertThat(context.getBean(ConnectionLimits.class)).isSameAs(own));
	}

	@Test
	void runWhenOursAreSetThenTheyAreInForce() {
		this.runner
			.withPropertyValues("grpc.security.limits.max-concurrent-calls-per-connection=7",
					"grpc.security.limits.max-inbound-message-size=1MB",
					"grpc.security.limits.max-inbound-metadata-size=1KB", "grpc.security.limits.max-reset-frames=9",
					"grpc.security.limits.max-reset-frames-period=10", "grpc.security.limits.permit-keep-alive-time=11",
					"grpc.security.limits.permit-keep-alive-without-calls=true",
					"grpc.security.limits.max-connection-idle=12", "grpc.security.limits.max-connection-age=13m",
					"grpc.security.limits.max-connection-age-grace=14s")
			.run((context) -> assertThat(context.getBean(ConnectionLimits.class))
				.isEqualTo(new ConnectionLimits(7, 1024 * 1024, 1024, 9, Duration.ofSeconds(10), Duration.ofSeconds(11),
						true, Duration.ofSeconds(12), Duration.ofMinutes(13), Duration.ofSeconds(14))));
	}

	@Test
	void runWhenServersAreSetThenTheyAreInForce() {
		this.runner
			.withPropertyValues("grpc.server.max-inbound-message-size=1MB", "grpc.server.maxInboundMetadataSize=1024",
					"grpc.server.permit-keep-alive-time=11", "grpc.server.permit-keep-alive-without-calls=true",
					"grpc.server.max-connection-idle=12", "grpc.server.max-connection-age=13m",
					"grpc.server.max-connection-age-grace=14s")
			.run((context) -> assertThat(context.getBean(ConnectionLimits.class)).isEqualTo(
					new ConnectionLimits(100, 1024 * 1024, 1024, 200, Duration.ofSeconds(30), Duration.ofSeconds(11),
							true, Duration.ofSeconds(12), Duration.ofMinutes(13), Duration.ofSeconds(14))));
	}

	@Test
	void runWhenServerHasNoMessageLimitThenThereIsNone() {
		this.runner.withPropertyValues("grpc.server.max-inbound-message-size=-1")
			.run((context) -> assertThat(context.getBean(ConnectionLimits.class).maxInboundMessageSize())
				.isEqualTo(Integer.MAX_VALUE));
	}

	@ParameterizedTest
	@CsvSource({ "max-inbound-message-size,2MB,1MB,2097152B,1048576B", "max-inbound-metadata-size,2KB,1KB,2048B,1024B",
			"permit-keep-alive-time,2m,1m,PT2M,PT1M", "permit-keep-alive-without-calls,false,true,false,true",
			"max-connection-idle,2m,1m,PT2M,PT1M", "max-connection-age,2m,1m,PT2M,PT1M",
			"max-connection-age-grace,2m,1m,PT2M,PT1M" })
	void runWhenBothAreSetThenTheyMustAgree(String name, String ours, String theirs, String oursShown,
			String theirsShown) {
		this.runner
			.withPropertyValues("grpc.security.limits." + name + "=" + ours, "grpc.server." + name + "=" + theirs)
			.run((context) -> assertThat(context).getFailure()
				.rootCause()
				.isInstanceOfSatisfying(InvalidConfigurationPropertyValueException.class, (ex) -> {
					assertThat(ex.getName()).isEqualTo("grpc.security.limits." + name);
					assertThat(ex.getValue()).hasToString(oursShown);
					assertThat(ex.getReason()).isEqualTo("grpc.server." + name + " is '" + theirsShown
							+ "'. Set one of the two, or both to the same value");
				}));
		this.runner.withPropertyValues("grpc.security.limits." + name + "=" + ours, "grpc.server." + name + "=" + ours)
			.run((context) -> assertThat(context).hasNotFailed());
	}

	@ParameterizedTest
	@CsvSource({ "max-concurrent-calls-per-connection,0,Use a number of at least 1",
			"max-reset-frames,-1,Use a number of at least 1",
			"max-reset-frames-period,500ms,'Use whole seconds, such as 30s'",
			"max-reset-frames-period,0,'Use whole seconds, such as 30s'",
			"max-inbound-message-size,0,Use a size of at least 1B and less than 2GB",
			"max-inbound-message-size,2GB,Use a size of at least 1B and less than 2GB",
			"max-inbound-metadata-size,-1,Use a size of at least 1B and less than 2GB",
			"permit-keep-alive-time,0,'Use a positive duration, such as 5m'",
			"max-connection-idle,-1s,'Use a positive duration, such as 5m'",
			"max-connection-age,0,'Use a positive duration, such as 5m'",
			"max-connection-age-grace,0,'Use a positive duration, such as 5m'" })
	void runWhenValueIsBadThenNamesPropertyAndWayOut(String name, String value, String reason) {
		this.runner.withPropertyValues("grpc.security.limits." + name + "=" + value)
			.run((context) -> assertThat(context).getFailure()
				.rootCause()
				.isInstanceOfSatisfying(InvalidConfigurationPropertyValueException.class, (ex) -> {
					assertThat(ex.getName()).isEqualTo("grpc.security.limits." + name);
					assertThat(ex.getReason()).isEqualTo(reason);
				}));
	}

	@ParameterizedTest
	@ValueSource(strings = { "max-inbound-message-size=big", "max-connection-age=soon", "max-reset-frames=many" })
	void runWhenValueHasWrongTypeThenFails(String property) {
		this.runner.withPropertyValues("grpc.security.limits." + property)
			.run((context) -> assertThat(context).hasFailed());
	}

}
