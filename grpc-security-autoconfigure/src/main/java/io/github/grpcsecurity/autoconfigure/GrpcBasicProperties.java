package io.github.grpcsecurity.autoconfigure;

import java.time.Duration;
import java.time.temporal.ChronoUnit;

import org.jspecify.annotations.Nullable;

import org.springframework.boot.context.properties.ConfigurationProperties;
import org.springframework.boot.context.properties.bind.DefaultValue;
import org.springframework.boot.convert.DurationUnit;

/**
 * Settings for user names with passwords (HTTP Basic).
 *
 * @param enabled Whether calls may authenticate with user name and password, against the
 * UserDetailsService of the application.
 * @param cacheTtl How long a password that was found good is remembered, so that not each
 * call costs a hash. Not at all if zero; five minutes at most. Seconds are used if no
 * unit is given.
 * @param maxConcurrentChecks Number of passwords that are checked at a time. Half of the
 * processors, and at least one, if not set.
 * @since 0.1.0
 */
@ConfigurationProperties(prefix = "grpc.security.authentication.basic", ignoreUnknownFields = false)
public record GrpcBasicProperties(@DefaultValue("false") boolean enabled,
		@DefaultValue("60s") @DurationUnit(ChronoUnit.SECONDS) Duration cacheTtl,
		@Nullable Integer maxConcurrentChecks) {

}
