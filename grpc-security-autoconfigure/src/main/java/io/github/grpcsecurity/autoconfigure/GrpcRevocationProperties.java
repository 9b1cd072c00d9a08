package io.github.grpcsecurity.autoconfigure;

import java.time.Duration;
import java.time.temporal.ChronoUnit;

import io.github.grpcsecurity.authentication.revocation.RevocationSettings.OnFailure;

import org.springframework.boot.context.properties.ConfigurationProperties;
import org.springframework.boot.context.properties.bind.DefaultValue;
import org.springframework.boot.convert.DurationUnit;

/**
 * Settings for revoking credentials before they run out.
 *
 * @param store Where revocations are kept. With "auto" they are kept in Redis if a server
 * is configured for Spring Data Redis, and in this server alone otherwise. The server
 * does not start if Redis is configured and no single Lettuce connection leads to it.
 * @param onFailure What happens to calls with tokens or API keys while it is not known
 * what is revoked: "deny" refuses them, "allow" lets them in.
 * @param pollInterval How often each server compares what it knows with Redis. Changes
 * are told at once; this finds those that got lost. Seconds are used if no unit is given.
 * @param maxAge How long a server goes on with what it knows while Redis does not answer.
 * Seconds are used if no unit is given.
 * @param subjectTtl How long a revoked subject is remembered: as long as the tokens of
 * its issuer live at most. Days are used if no unit is given.
 * @param maxEntries How many revocations a server keeps in memory. More are refused.
 * @param keyPrefix Start of the names of keys and channel in Redis.
 * @since 0.1.0
 */
@ConfigurationProperties(prefix = "grpc.security.authentication.revocation", ignoreUnknownFields = false)
public record GrpcRevocationProperties(@DefaultValue("auto") Store store, @DefaultValue("deny") OnFailure onFailure,
		@DefaultValue("30s") @DurationUnit(ChronoUnit.SECONDS) Duration pollInterval,
		@DefaultValue("10m") @DurationUnit(ChronoUnit.SECONDS) Duration maxAge,
		@DefaultValue("30d") @DurationUnit(ChronoUnit.DAYS) Duration subjectTtl, @DefaultValue("100000") int maxEntries,
		@DefaultValue("grpc-security:") String keyPrefix) {

	/** Where revocations can be kept. */
	public enum Store {

		/** In Redis if a server is configured, in memory otherwise. */
		AUTO,

		/** In Redis. */
		REDIS,

		/** In this server alone. */
		MEMORY,

		/** Nowhere: nothing can be revoked. */
		NONE

	}

}
