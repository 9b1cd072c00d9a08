package io.github.grpcsecurity.autoconfigure;

import java.time.Duration;
import java.time.temporal.ChronoUnit;

import org.springframework.boot.context.properties.ConfigurationProperties;
import org.springframework.boot.context.properties.bind.DefaultValue;
import org.springframework.boot.convert.DurationUnit;
import org.springframework.util.unit.DataSize;

/**
 * Settings for what a client may do with a connection. What is not set here is taken from
 * the settings of the server itself, if it has any.
 *
 * @param maxConcurrentCallsPerConnection Calls that a connection may have in flight.
 * @param maxInboundMessageSize Size of a message above which the call is refused.
 * @param maxInboundMetadataSize Size of the metadata of a call above which it may be
 * refused. At twice the size it is.
 * @param maxResetFrames Streams that a client may reset within the period before its
 * connection is closed.
 * @param maxResetFramesPeriod Period for counting resets, in whole seconds. Seconds are
 * used if no unit is given.
 * @param permitKeepAliveTime Shortest pause between keep-alive pings of a client. Seconds
 * are used if no unit is given.
 * @param permitKeepAliveWithoutCalls Whether clients may send keep-alive pings while no
 * call is in flight.
 * @param maxConnectionIdle Time without calls after which a connection is closed. Seconds
 * are used if no unit is given.
 * @param maxConnectionAge Age at which a connection is closed, give or take a tenth.
 * Seconds are used if no unit is given.
 * @param maxConnectionAgeGrace Time that calls get to finish on a connection that is too
 * old. Seconds are used if no unit is given.
 * @since 0.1.0
 */
@ConfigurationProperties(prefix = "grpc.security.limits", ignoreUnknownFields = false)
public record GrpcLimitsProperties(@DefaultValue("100") int maxConcurrentCallsPerConnection,
		@DefaultValue("4MB") DataSize maxInboundMessageSize, @DefaultValue("8KB") DataSize maxInboundMetadataSize,
		@DefaultValue("200") int maxResetFrames,
		@DefaultValue("30s") @DurationUnit(ChronoUnit.SECONDS) Duration maxResetFramesPeriod,
		@DefaultValue("1m") @DurationUnit(ChronoUnit.SECONDS) Duration permitKeepAliveTime,
		@DefaultValue("false") boolean permitKeepAliveWithoutCalls,
		@DefaultValue("30m") @DurationUnit(ChronoUnit.SECONDS) Duration maxConnectionIdle,
		@DefaultValue("1h") @DurationUnit(ChronoUnit.SECONDS) Duration maxConnectionAge,
		@DefaultValue("5m") @DurationUnit(ChronoUnit.SECONDS) Duration maxConnectionAgeGrace) {

}
