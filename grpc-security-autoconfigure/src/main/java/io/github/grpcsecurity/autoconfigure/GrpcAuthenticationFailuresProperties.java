package io.github.grpcsecurity.autoconfigure;

import java.time.Duration;
import java.time.temporal.ChronoUnit;

import org.springframework.boot.context.properties.ConfigurationProperties;
import org.springframework.boot.context.properties.bind.DefaultValue;
import org.springframework.boot.convert.DurationUnit;

/**
 * Settings for limiting how often a peer may present bad credentials.
 *
 * @param limit Number of bad credentials per period and peer, after which those of the
 * peer are not looked at for a while. No limit if zero.
 * @param period Length of the period. Seconds are used if no unit is given.
 * @since 0.1.0
 */
@ConfigurationProperties(prefix = "grpc.security.authentication.failures", ignoreUnknownFields = false)
public record GrpcAuthenticationFailuresProperties(@DefaultValue("20") long limit,
		@DefaultValue("1m") @DurationUnit(ChronoUnit.SECONDS) Duration period) {

}
