package io.github.grpcsecurity.autoconfigure;

import java.util.List;

import org.springframework.boot.context.properties.ConfigurationProperties;
import org.springframework.boot.context.properties.bind.DefaultValue;

/**
 * Settings for authentication that are about no single kind of credential.
 *
 * @param requirements Which kinds of credential calls need, of which the first whose
 * patterns match a method counts. Methods without one need what authorization asks for.
 * @param forwardCredentials Whether handlers see the headers that carry credentials.
 * @param onCredentialExpiry What happens to a call that is open when the first of its
 * credentials runs out: "close" ends it, "ignore" lets it go on.
 * @since 0.1.0
 */
@ConfigurationProperties("grpc.security.authentication")
public record GrpcAuthenticationProperties(@DefaultValue List<Requirement> requirements,
		@DefaultValue("false") boolean forwardCredentials,
		@DefaultValue("close") OnCredentialExpiry onCredentialExpiry) {

	/** What can happen to a call whose credentials run out. */
	public enum OnCredentialExpiry {

		/** It ends with {@code UNAUTHENTICATED}. */
		CLOSE,

		/** It goes on as if nothing had happened. */
		IGNORE

	}

	/**
	 * Which kinds of credential calls of some methods need.
	 *
	 * @param methods Patterns of the methods, such as bank.Admin/*. Health checks and
	 * reflection need credentials only if a pattern spells out their service.
	 * @param anyOf Kinds of which the caller must present at least one: jwt,
	 * opaque-token, certificate, api-key, basic.
	 * @param allOf Kinds of which the caller must present every one.
	 */
	public record Requirement(@DefaultValue List<String> methods, @DefaultValue List<String> anyOf,
			@DefaultValue List<String> allOf) {

	}

}
