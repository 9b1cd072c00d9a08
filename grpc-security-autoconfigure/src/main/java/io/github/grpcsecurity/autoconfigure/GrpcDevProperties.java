package io.github.grpcsecurity.autoconfigure;

import java.nio.file.Path;

import org.jspecify.annotations.Nullable;

import org.springframework.boot.context.properties.ConfigurationProperties;
import org.springframework.boot.context.properties.bind.DefaultValue;

/**
 * Settings for development without certificates and tokens of one's own.
 *
 * @param enabled Whether to make throw-away certificates and a key that signs tokens.
 * Works on loopback addresses only.
 * @param directory Directory for the throw-away credentials. 'grpc-security-dev' in the
 * one for temporary files if not set.
 * @since 0.1.0
 */
@ConfigurationProperties(prefix = "grpc.security.dev", ignoreUnknownFields = false)
public record GrpcDevProperties(@DefaultValue("false") boolean enabled, @Nullable Path directory) {

}
