package io.github.grpcsecurity.autoconfigure;

import java.time.Duration;
import java.time.InstantSource;
import java.util.ArrayList;
import java.util.List;

import io.github.grpcsecurity.audit.ApplicationEventAuditSink;
import io.github.grpcsecurity.audit.AuditLog;
import io.github.grpcsecurity.audit.AuditRule;
import io.github.grpcsecurity.audit.AuditRuleStage;
import io.github.grpcsecurity.audit.AuditSink;
import io.github.grpcsecurity.audit.LoggerAuditSink;
import io.micrometer.core.instrument.FunctionCounter;
import io.micrometer.core.instrument.binder.MeterBinder;
import org.apache.commons.logging.Log;
import org.apache.commons.logging.LogFactory;
import org.jspecify.annotations.Nullable;

import org.springframework.beans.factory.ObjectProvider;
import org.springframework.boot.actuate.audit.listener.AuditApplicationEvent;
import org.springframework.boot.autoconfigure.AutoConfiguration;
import org.springframework.boot.autoconfigure.condition.ConditionalOnBooleanProperty;
import org.springframework.boot.autoconfigure.condition.ConditionalOnClass;
import org.springframework.boot.autoconfigure.condition.ConditionalOnMissingBean;
import org.springframework.boot.context.properties.EnableConfigurationProperties;
import org.springframework.boot.context.properties.source.InvalidConfigurationPropertyValueException;
import org.springframework.context.ApplicationEventPublisher;
import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Configuration;

/**
 * Auto-configuration for the audit of gRPC calls.
 *
 * @since 0.1.0
 */
@AutoConfiguration
@ConditionalOnBooleanProperty(name = "grpc.security.enabled", matchIfMissing = true)
public final class GrpcAuditAutoConfiguration {

	private static final Log logger = LogFactory.getLog(GrpcAuditAutoConfiguration.class);

	private static final Duration SHUTDOWN_GRACE = Duration.ofSeconds(10);

	@Configuration(proxyBeanMethods = false)
	@ConditionalOnBooleanProperty(name = "grpc.security.audit.enabled", matchIfMissing = true)
	@EnableConfigurationProperties(GrpcAuditProperties.class)
	static class AuditConfiguration {

		@Bean
		@ConditionalOnMissingBean
		AuditRuleStage grpcAuditRuleStage(GrpcAuditProperties properties) {
			return new AuditRuleStage(rules(properties.rules()));
		}

		private static List<AuditRule> rules(@Nullable List<GrpcAuditProperties.Rule> rules) {
			List<AuditRule> converted = new ArrayList<>();
			if (rules != null) {
				rules.forEach((rule) -> converted.add(new AuditRule(rule.methods(), rule.level(), rule.outcome())));
			}
			return converted;
		}

		@Bean
		@ConditionalOnMissingBean
		AuditLog grpcAuditLog(GrpcAuditProperties properties, AuditRuleStage rules, ObjectProvider<AuditSink> sinks) {
			if (properties.queueCapacity() < 1) {
				throw new InvalidConfigurationPropertyValueException("grpc.security.audit.queue-capacity",
						properties.queueCapacity(),
						"At least one record must be able to wait. To record nothing, set grpc.security.audit.enabled to false.");
			}
			List<AuditSink> all = sinks.orderedStream().toList();
			if (all.isEmpty()) {
				logger
					.warn("gRPC calls are not audited: there is no sink. Set grpc.security.audit.log.enabled to true, "
							+ "or define a bean of type AuditSink");
			}
			return new AuditLog(rules, all, properties.queueCapacity(), SHUTDOWN_GRACE, InstantSource.system());
		}

		@Bean
		@ConditionalOnMissingBean
		@ConditionalOnBooleanProperty(name = "grpc.security.audit.log.enabled", matchIfMissing = true)
		LoggerAuditSink grpcAuditLoggerSink() {
			return new LoggerAuditSink();
		}

		@Configuration(proxyBeanMethods = false)
		@ConditionalOnClass(AuditApplicationEvent.class)
		@ConditionalOnBooleanProperty(name = "grpc.security.audit.application-events", matchIfMissing = true)
		static class ApplicationEventConfiguration {

			@Bean
			@ConditionalOnMissingBean
			ApplicationEventAuditSink grpcAuditApplicationEventSink(ApplicationEventPublisher publisher) {
				return new ApplicationEventAuditSink(publisher);
			}

		}

		@Configuration(proxyBeanMethods = false)
		@ConditionalOnClass(MeterBinder.class)
		static class MetricsConfiguration {

			@Bean
			MeterBinder grpcAuditMetrics(AuditLog log) {
				return (registry) -> {
					FunctionCounter.builder("grpc.security.audit.dropped", log, (audit) -> audit.dropped(false))
						.description("Audit records that were dropped")
						.tag("denied", "false")
						.register(registry);
					FunctionCounter.builder("grpc.security.audit.dropped", log, (audit) -> audit.dropped(true))
						.description("Audit records that were dropped")
						.tag("denied", "true")
						.register(registry);
					FunctionCounter.builder("grpc.security.audit.failed", log, AuditLog::failed)
						.description("Audit records that a sink failed to write")
						.register(registry);
				};
			}

		}

	}

	@Configuration(proxyBeanMethods = false)
	@ConditionalOnBooleanProperty(name = "grpc.security.audit.enabled", havingValue = false)
	static class NoAuditConfiguration {

		NoAuditConfiguration() {
			logger.warn("gRPC calls are not audited, because grpc.security.audit.enabled is false");
		}

	}

}
