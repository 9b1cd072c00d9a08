package io.github.grpcsecurity.autoconfigure;

import java.time.Duration;
import java.time.temporal.ChronoUnit;

import io.github.grpcsecurity.hardening.ConnectionLimits;
import org.jspecify.annotations.Nullable;

import org.springframework.boot.context.properties.bind.Bindable;
import org.springframework.boot.context.properties.bind.Binder;
import org.springframework.boot.context.properties.source.InvalidConfigurationPropertyValueException;
import org.springframework.boot.convert.DurationUnit;
import org.springframework.core.env.Environment;
import org.springframework.util.unit.DataSize;

/**
 * Finds out which limits are in force: ours if set, else those of the server if set, else
 * our defaults.
 */
final class LimitsSetup {

	private static final String OURS = "grpc.security.limits.";

	private static final String THEIRS = "grpc.server.";

	private final GrpcLimitsProperties ours;

	private final HostLimits theirs;

	private final Binder binder;

	LimitsSetup(GrpcLimitsProperties ours, Environment environment) {
		this.ours = ours;
		this.binder = Binder.get(environment);
		this.theirs = this.binder.bindOrCreate("grpc.server", Bindable.of(HostLimits.class));
	}

	ConnectionLimits limits() {
		return new ConnectionLimits(
				atLeastOne("max-concurrent-calls-per-connection", this.ours.maxConcurrentCallsPerConnection()),
				size("max-inbound-message-size", this.ours.maxInboundMessageSize(),
						this.theirs.maxInboundMessageSize()),
				size("max-inbound-metadata-size", this.ours.maxInboundMetadataSize(),
						this.theirs.maxInboundMetadataSize()),
				atLeastOne("max-reset-frames", this.ours.maxResetFrames()), resetPeriod(),
				positive("permit-keep-alive-time", this.ours.permitKeepAliveTime(), this.theirs.permitKeepAliveTime()),
				choose("permit-keep-alive-without-calls", this.ours.permitKeepAliveWithoutCalls(),
						this.theirs.permitKeepAliveWithoutCalls()),
				positive("max-connection-idle", this.ours.maxConnectionIdle(), this.theirs.maxConnectionIdle()),
				positive("max-connection-age", this.ours.maxConnectionAge(), this.theirs.maxConnectionAge()),
				positive("max-connection-age-grace", this.ours.maxConnectionAgeGrace(),
						this.theirs.maxConnectionAgeGrace()));
	}

	private Duration resetPeriod() {
		Duration period = this.ours.maxResetFramesPeriod();
		if (period.compareTo(Duration.ofSeconds(1)) < 0 || period.toSeconds() > Integer.MAX_VALUE
				|| !period.equals(Duration.ofSeconds(period.toSeconds()))) {
			throw invalid("max-reset-frames-period", period, "Use whole seconds, such as 30s");
		}
		return period;
	}

	private static int atLeastOne(String name, int value) {
		if (value < 1) {
			throw invalid(name, value, "Use a number of at least 1");
		}
		return value;
	}

	private Duration positive(String name, Duration value, @Nullable Duration theirs) {
		Duration chosen = choose(name, value, theirs);
		if (chosen.isZero() || chosen.isNegative()) {
			throw new InvalidConfigurationPropertyValueException(isSet(name) ? OURS + name : THEIRS + name, chosen,
					"Use a positive duration, such as 5m");
		}
		return chosen;
	}

	private int size(String name, DataSize value, @Nullable DataSize theirs) {
		// To net.devh, -1 is no limit
		DataSize host = (theirs != null && theirs.toBytes() == -1) ? DataSize.ofBytes(Integer.MAX_VALUE) : theirs;
		DataSize chosen = choose(name, value, host);
		if (chosen.toBytes() < 1 || chosen.toBytes() > Integer.MAX_VALUE) {
			throw new InvalidConfigurationPropertyValueException(isSet(name) ? OURS + name : THEIRS + name, chosen,
					"Use a size of at least 1B and less than 2GB");
		}
		return (int) chosen.toBytes();
	}

	private <T> T choose(String name, T value, @Nullable T theirs) {
		if (theirs == null) {
			return value;
		}
		if (!isSet(name)) {
			return theirs;
		}
		if (!value.equals(theirs)) {
			throw invalid(name, value,
					THEIRS + name + " is '" + theirs + "'. Set one of the two, or both to the same value");
		}
		return value;
	}

	private boolean isSet(String name) {
		return this.binder.bind(OURS + name, String.class).isBound();
	}

	private static InvalidConfigurationPropertyValueException invalid(String name, Object value, String reason) {
		return new InvalidConfigurationPropertyValueException(OURS + name, value, reason);
	}

	/** What net.devh's server has settings for. */
	record HostLimits(@Nullable DataSize maxInboundMessageSize, @Nullable DataSize maxInboundMetadataSize,
			@DurationUnit(ChronoUnit.SECONDS) @Nullable Duration permitKeepAliveTime,
			@Nullable Boolean permitKeepAliveWithoutCalls,
			@DurationUnit(ChronoUnit.SECONDS) @Nullable Duration maxConnectionIdle,
			@DurationUnit(ChronoUnit.SECONDS) @Nullable Duration maxConnectionAge,
			@DurationUnit(ChronoUnit.SECONDS) @Nullable Duration maxConnectionAgeGrace) {

	}

}
