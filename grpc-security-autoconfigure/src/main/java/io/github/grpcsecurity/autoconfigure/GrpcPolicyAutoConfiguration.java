package io.github.grpcsecurity.autoconfigure;

import java.time.Duration;
import java.time.InstantSource;
import java.util.List;

import io.github.grpcsecurity.authorization.policy.FilePolicy;
import io.github.grpcsecurity.authorization.policy.InvalidPolicyException;
import io.github.grpcsecurity.authorization.policy.PolicyAuditLoggerFactory;
import io.github.grpcsecurity.authorization.policy.PolicyAuditLoggers;
import io.github.grpcsecurity.authorization.policy.PolicyFile;
import io.github.grpcsecurity.authorization.policy.PolicyObserver;
import io.github.grpcsecurity.authorization.policy.PolicyReloader;
import io.github.grpcsecurity.server.GrpcSecurityThreads;
import org.jspecify.annotations.Nullable;

import org.springframework.beans.factory.ObjectProvider;
import org.springframework.boot.autoconfigure.AutoConfiguration;
import org.springframework.boot.autoconfigure.condition.ConditionalOnBooleanProperty;
import org.springframework.boot.autoconfigure.condition.ConditionalOnMissingBean;
import org.springframework.boot.context.properties.EnableConfigurationProperties;
import org.springframework.boot.context.properties.source.InvalidConfigurationPropertyValueException;
import org.springframework.boot.io.ApplicationResourceLoader;
import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Condition;
import org.springframework.context.annotation.ConditionContext;
import org.springframework.context.annotation.Conditional;
import org.springframework.core.io.ResourceLoader;
import org.springframework.core.type.AnnotatedTypeMetadata;
import org.springframework.util.ClassUtils;

/**
 * Auto-configuration for policy files.
 *
 * @since 0.1.0
 */
@AutoConfiguration(after = GrpcSecurityAutoConfiguration.class, before = GrpcAuthorizationAutoConfiguration.class)
@ConditionalOnBooleanProperty(name = "grpc.security.enabled", matchIfMissing = true)
@Conditional(GrpcPolicyAutoConfiguration.OnPolicyFile.class)
@EnableConfigurationProperties({ GrpcPolicyProperties.class, GrpcTlsProperties.class })
public final class GrpcPolicyAutoConfiguration {

	private static final String PREFIX = "grpc.security.authorization.";

	private static final String INTERVAL = PREFIX + "policy-reload-interval";

	private static final Duration SHORTEST = Duration.ofMillis(100);

	private static final String JACKSON = "tools.jackson.core.json.JsonFactory";

	@Bean
	@ConditionalOnMissingBean
	PolicyAuditLoggers grpcPolicyAuditLoggers(ObjectProvider<PolicyAuditLoggerFactory> factories,
			GrpcSecurityThreads threads, ObjectProvider<PolicyObserver> observers) {
		return new PolicyAuditLoggers(factories.orderedStream().toList(), threads.executor(),
				observers.orderedStream().toList());
	}

	@Bean
	@ConditionalOnMissingBean
	FilePolicy grpcFilePolicy(GrpcPolicyProperties properties, ResourceLoader resources, PolicyAuditLoggers loggers,
			ObjectProvider<InstantSource> clock, ObjectProvider<PolicyObserver> observers) {
		InstantSource time = clock.getIfUnique(InstantSource::system);
		List<PolicyObserver> all = observers.orderedStream().toList();
		PolicyFile live = file(PolicyFile.Role.LIVE, PREFIX + "policy-file", properties.policyFile(), resources,
				loggers, time, all);
		PolicyFile shadow = file(PolicyFile.Role.SHADOW, PREFIX + "shadow-policy-file", properties.shadowPolicyFile(),
				resources, loggers, time, all);
		return new FilePolicy(live, shadow, properties.reevaluateStreams(), loggers, time, all);
	}

	private static @Nullable PolicyFile file(PolicyFile.Role role, String property, @Nullable String value,
			ResourceLoader resources, PolicyAuditLoggers loggers, InstantSource clock, List<PolicyObserver> observers) {
		if (value == null) {
			return null;
		}
		if (value.isBlank()) {
			throw new InvalidConfigurationPropertyValueException(property, value,
					"It names no file, and without one nothing of a policy would be enforced. Set it to a path, file:"
							+ " or classpath: location, or remove it.");
		}
		if (!ClassUtils.isPresent(JACKSON, resources.getClassLoader())) {
			throw new InvalidConfigurationPropertyValueException(property, value,
					"Jackson, which reads it, is missing. Add tools.jackson.core:jackson-core, or remove the property.");
		}
		try {
			return new PolicyFile(role, property, value,
					ApplicationResourceLoader.get(resources, true).getResource(value), loggers, clock, observers);
		}
		catch (InvalidPolicyException ex) {
			throw new InvalidConfigurationPropertyValueException(property, value,
					"The file is no usable policy. " + ex.getMessage());
		}
	}

	@Bean
	@ConditionalOnMissingBean
	PolicyReloader grpcPolicyReloader(FilePolicy policy, GrpcPolicyProperties properties, GrpcTlsProperties tls,
			GrpcSecurityThreads threads) {
		Duration own = properties.policyReloadInterval();
		Duration interval = (own != null) ? own : tls.reloadInterval();
		if (!interval.isZero() && interval.compareTo(SHORTEST) < 0) {
			throw new InvalidConfigurationPropertyValueException(
					(own != null) ? INTERVAL : "grpc.security.tls.reload-interval", interval,
					"Policy files are looked at every 100ms at most. Set it to a duration such as 10s, or to 0 to "
							+ "never look at them again");
		}
		return new PolicyReloader(policy.files(), interval, threads);
	}

	/**
	 * Whether there is a policy in force or a candidate. A name such as false, or a blank
	 * one, is a mistake to be reported, not a switch.
	 */
	static final class OnPolicyFile implements Condition {

		@Override
		public boolean matches(ConditionContext context, AnnotatedTypeMetadata metadata) {
			return OnSetPropertyCondition.isSet(context.getEnvironment(), PREFIX + "policy-file")
					|| OnSetPropertyCondition.isSet(context.getEnvironment(), PREFIX + "shadow-policy-file");
		}

	}

}
