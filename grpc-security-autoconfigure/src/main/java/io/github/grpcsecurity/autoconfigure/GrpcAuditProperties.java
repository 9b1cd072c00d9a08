package io.github.grpcsecurity.autoconfigure;

import java.util.List;

import io.github.grpcsecurity.audit.AuditLevel;
import io.github.grpcsecurity.audit.AuditOutcome;
import org.jspecify.annotations.Nullable;

import org.springframework.boot.context.properties.ConfigurationProperties;
import org.springframework.boot.context.properties.bind.DefaultValue;

/**
 * Settings for the audit of gRPC calls.
 *
 * @param enabled Whether to record a decision and a completion of each call.
 * @param rules Rules that say what is recorded about which calls. The first that names a
 * method holds; calls that none names are recorded.
 * @param queueCapacity Number of records that may wait to be written. When that many
 * wait, records are dropped, those of refusals last.
 * @param log Settings for the audit log.
 * @param applicationEvents Whether to publish each record as an AuditApplicationEvent of
 * Spring Boot.
 * @since 0.1.0
 */
@ConfigurationProperties(prefix = "grpc.security.audit", ignoreUnknownFields = false)
public record GrpcAuditProperties(@DefaultValue("true") boolean enabled, @Nullable List<Rule> rules,
		@DefaultValue("10000") int queueCapacity, @DefaultValue Log log,
		@DefaultValue("true") boolean applicationEvents) {

	/**
	 * What is recorded about the calls of some methods.
	 *
	 * @param methods Methods the rule is for, such as bank.Accounts/Get, bank.Accounts/*
	 * or ** for all, unknown ones among them.
	 * @param level How much is recorded.
	 * @param outcome Which of the calls are recorded.
	 */
	public record Rule(@DefaultValue List<String> methods, @DefaultValue("metadata") AuditLevel level,
			@DefaultValue("all") AuditOutcome outcome) {
	}

	/**
	 * Settings for the audit log.
	 *
	 * @param enabled Whether to write each record as a line of JSON to the logger
	 * grpc.security.audit.
	 */
	public record Log(@DefaultValue("true") boolean enabled) {
	}

}
