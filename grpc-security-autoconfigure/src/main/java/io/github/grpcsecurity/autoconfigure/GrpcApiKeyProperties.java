package io.github.grpcsecurity.autoconfigure;

import java.time.Duration;
import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.List;

import org.jspecify.annotations.Nullable;

import org.springframework.boot.context.properties.ConfigurationProperties;
import org.springframework.boot.context.properties.bind.DefaultValue;
import org.springframework.boot.convert.DurationUnit;

/**
 * Settings for verifying API keys.
 *
 * @param header Name of the header that carries the key.
 * @param keys Keys that are known, by their hash.
 * @param location File with more keys, as YAML with a list 'keys' like the one here. It
 * is read again when its content changes.
 * @param reloadInterval How long a changed file, or a change in Redis that nobody
 * published, may go unnoticed. Never if zero, for files. Seconds are used if no unit is
 * given.
 * @param lookupTimeout How long a call waits at most for an ApiKeySource of the
 * application that answers later. Milliseconds are used if no unit is given.
 * @param redis Settings for keys in Redis.
 * @since 0.1.0
 */
// Unknown keys are refused by ConfiguredApiKeys, which shows no value: it may be a secret
@ConfigurationProperties("grpc.security.authentication.api-key")
public record GrpcApiKeyProperties(@DefaultValue("x-api-key") String header, @DefaultValue List<Key> keys,
		@Nullable String location, @DefaultValue("10s") @DurationUnit(ChronoUnit.SECONDS) Duration reloadInterval,
		@DefaultValue("1s") @DurationUnit(ChronoUnit.MILLIS) Duration lookupTimeout, @DefaultValue Redis redis) {

	public GrpcApiKeyProperties {
		location = OnSetPropertyCondition.valueOf(location);
	}

	/**
	 * A key.
	 *
	 * @param id What the key starts with, up to its first dot.
	 * @param hash Lower-case hexadecimal SHA-256 of the whole key, after 'sha256:'. Never
	 * the key itself.
	 * @param principal Name of the client, for clients with several keys. The id if not
	 * set.
	 * @param authorities Authorities of the client, such as ROLE_PARTNER.
	 * @param expiresAt First instant at which the key is not good any more, such as
	 * 2030-01-31T00:00:00Z. Never if not set.
	 * @param enabled Whether the key is in use.
	 * @param allowedMethods Patterns of the methods that the key is good for, such as
	 * bank.Accounts/Get*. All methods if empty.
	 * @param allowedAddresses Addresses, and blocks of them such as 10.0.0.0/8, from
	 * which the key may be used. All addresses if empty.
	 */
	public record Key(@Nullable String id, @Nullable String hash, @Nullable String principal,
			@DefaultValue List<String> authorities, @Nullable Instant expiresAt, @DefaultValue("true") boolean enabled,
			@DefaultValue List<String> allowedMethods, @DefaultValue List<String> allowedAddresses) {

		public Key {
			principal = OnSetPropertyCondition.valueOf(principal);
		}

		@Override
		public String toString() {
			return "Key[id=" + this.id + "]";
		}

	}

	/**
	 * Settings for keys in Redis.
	 *
	 * @param enabled Whether keys are also taken from Redis.
	 * @param keyPrefix Start of the names of all keys in Redis.
	 */
	public record Redis(@DefaultValue("false") boolean enabled, @DefaultValue("grpc-security:") String keyPrefix) {

	}

}
