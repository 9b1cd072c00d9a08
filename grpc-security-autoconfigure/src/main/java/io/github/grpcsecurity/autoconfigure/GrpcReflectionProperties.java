package io.github.grpcsecurity.autoconfigure;

import org.springframework.boot.context.properties.ConfigurationProperties;
import org.springframework.boot.context.properties.bind.DefaultValue;

/**
 * Settings for server reflection.
 *
 * @param access Who may use server reflection, which shows every method and message of
 * the server. While disabled, the service looks as if it was not there.
 * @since 0.1.0
 */
@ConfigurationProperties(prefix = "grpc.security.reflection", ignoreUnknownFields = false)
public record GrpcReflectionProperties(@DefaultValue("disabled") ReflectionAccess access) {

	/** Who may use server reflection. */
	public enum ReflectionAccess {

		/** Nobody; the service looks as if it was not there. */
		DISABLED,

		/** Every caller who is known. */
		AUTHENTICATED,

		/** Everybody, also without credentials. */
		PERMIT

	}

}
