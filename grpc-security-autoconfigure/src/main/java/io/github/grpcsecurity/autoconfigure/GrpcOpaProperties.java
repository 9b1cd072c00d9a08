package io.github.grpcsecurity.autoconfigure;

import java.time.Duration;
import java.time.temporal.ChronoUnit;
import java.util.List;

import org.jspecify.annotations.Nullable;

import org.springframework.boot.context.properties.ConfigurationProperties;
import org.springframework.boot.context.properties.bind.DefaultValue;
import org.springframework.boot.convert.DurationUnit;
import org.springframework.util.unit.DataSize;

/**
 * Settings for asking an Open Policy Agent.
 *
 * @param url Address of OPA, without /v1/data. Must be HTTPS, except on loopback.
 * @param path Package and rule that decide, with slashes in between.
 * @param mode Whether calls are refused that OPA denies, or only counted.
 * @param methods Patterns of the methods that OPA is asked about. Health checks and
 * reflection count only where a pattern spells out their service.
 * @param timeout How long an answer may take. Milliseconds are used if no unit is given.
 * @param onFailure What to do with calls for which OPA cannot be asked.
 * @param maxConcurrent Number of answers that may be outstanding. Calls beyond are as
 * those for which OPA cannot be asked.
 * @param includeMessage Whether OPA is asked about each message, and sees it, and not
 * only once when a call starts.
 * @param maxMessageSize Size of the largest message that OPA is asked about. Larger ones
 * are refused.
 * @param includeCertificate Whether OPA sees the certificate of the client.
 * @param forwardCredentials Whether OPA sees the headers that hold tokens, keys and
 * cookies.
 * @param cacheTtl For how long a decision is remembered, 0 to ask each time. Seconds are
 * used if no unit is given.
 * @param bundle Name of the SSL bundle that HTTPS to OPA is spoken with.
 * @param tokenFile File with the bearer token by which OPA knows this server, as a path,
 * file: or classpath: location. It is read again when it may have changed.
 * @since 0.1.0
 */
@ConfigurationProperties(prefix = "grpc.security.authorization.opa", ignoreUnknownFields = false)
public record GrpcOpaProperties(@Nullable String url, @DefaultValue("envoy/authz/allow") String path,
		@DefaultValue("enforce") Mode mode, @DefaultValue("**") List<String> methods,
		@DefaultValue("100ms") @DurationUnit(ChronoUnit.MILLIS) Duration timeout,
		@DefaultValue("deny") OnFailure onFailure, @DefaultValue("256") int maxConcurrent,
		@DefaultValue("false") boolean includeMessage, @DefaultValue("1MB") DataSize maxMessageSize,
		@DefaultValue("false") boolean includeCertificate, @DefaultValue("false") boolean forwardCredentials,
		@DefaultValue("0s") @DurationUnit(ChronoUnit.SECONDS) Duration cacheTtl, @Nullable String bundle,
		@Nullable String tokenFile) {

	/** What is made of OPA's answers. */
	public enum Mode {

		/** What it denies is refused. */
		ENFORCE,

		/** It is asked and counted, and refuses nothing. */
		SHADOW

	}

	/** What to do when OPA cannot be asked. */
	public enum OnFailure {

		/** Calls are refused. */
		DENY,

		/** Calls pass, if nothing else refuses them. */
		ALLOW

	}

}
