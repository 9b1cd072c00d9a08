package io.github.grpcsecurity.autoconfigure;

import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;

import io.github.grpcsecurity.authorization.Access;
import io.github.grpcsecurity.authorization.AuthorizationExplainer;
import io.github.grpcsecurity.authorization.AuthorizationObserver;
import io.github.grpcsecurity.authorization.AuthorizationRule;
import io.github.grpcsecurity.authorization.AuthorizationStage;
import io.github.grpcsecurity.authorization.CallPolicy;
import io.github.grpcsecurity.authorization.ConditionCompiler;
import io.github.grpcsecurity.authorization.MicrometerAuthorizationObserver;
import io.github.grpcsecurity.authorization.cel.CelConditionCompiler;
import io.github.grpcsecurity.server.GrpcServerSecurity;
import io.github.grpcsecurity.server.SecuredCall;
import io.micrometer.core.instrument.MeterRegistry;
import org.aopalliance.intercept.MethodInvocation;
import org.jspecify.annotations.Nullable;

import org.springframework.beans.factory.ObjectProvider;
import org.springframework.boot.autoconfigure.AutoConfiguration;
import org.springframework.boot.autoconfigure.condition.ConditionalOnBean;
import org.springframework.boot.autoconfigure.condition.ConditionalOnBooleanProperty;
import org.springframework.boot.autoconfigure.condition.ConditionalOnClass;
import org.springframework.boot.autoconfigure.condition.ConditionalOnMissingBean;
import org.springframework.boot.context.properties.EnableConfigurationProperties;
import org.springframework.boot.context.properties.bind.Bindable;
import org.springframework.boot.context.properties.bind.Binder;
import org.springframework.boot.context.properties.source.InvalidConfigurationPropertyValueException;
import org.springframework.context.ApplicationContext;
import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Configuration;
import org.springframework.core.ResolvableType;
import org.springframework.core.env.Environment;
import org.springframework.security.access.PermissionEvaluator;
import org.springframework.security.access.expression.method.MethodSecurityExpressionHandler;
import org.springframework.security.access.hierarchicalroles.RoleHierarchy;
import org.springframework.security.authorization.AuthorizationManagerFactory;
import org.springframework.security.config.core.GrantedAuthorityDefaults;
import org.springframework.security.core.annotation.AnnotationTemplateExpressionDefaults;
import org.springframework.util.ClassUtils;

/**
 * Auto-configuration for who may call what: rules, annotations on service methods, health
 * checks and server reflection.
 *
 * @since 0.1.0
 */
@AutoConfiguration(
		afterName = "org.springframework.boot.micrometer.metrics.autoconfigure.CompositeMeterRegistryAutoConfiguration")
@ConditionalOnBooleanProperty(name = "grpc.security.enabled", matchIfMissing = true)
@EnableConfigurationProperties({ GrpcAuthorizationProperties.class, GrpcReflectionProperties.class })
public final class GrpcAuthorizationAutoConfiguration {

	private static final String PREFIX = "grpc.security.authorization";

	private static final String GRANTED_AUTHORITY_DEFAULTS = "org.springframework.security.config.core.GrantedAuthorityDefaults";

	private static final Set<String> KEYS = Set.of("defaultaccess", "rules", "healthaccess", "policyfile",
			"policyreloadinterval", "shadowpolicyfile", "reevaluatestreams", "opa");

	private static final Set<String> RULE_KEYS = Set.of("methods", "access", "when", "name", "hideexistence",
			"sensitive", "shadow");

	@Bean
	@ConditionalOnMissingBean
	AuthorizationStage grpcAuthorizationStage(GrpcAuthorizationProperties properties,
			GrpcReflectionProperties reflection, Environment environment, ApplicationContext context,
			ObjectProvider<MethodSecurityExpressionHandler> expressionHandler,
			ObjectProvider<RoleHierarchy> roleHierarchy, ObjectProvider<PermissionEvaluator> permissionEvaluator,
			ObjectProvider<AuthorizationManagerFactory<MethodInvocation>> methodManagers,
			ObjectProvider<AuthorizationManagerFactory<SecuredCall>> callManagers,
			ObjectProvider<AuthorizationManagerFactory<Object>> managers,
			ObjectProvider<AnnotationTemplateExpressionDefaults> templateDefaults, ObjectProvider<CallPolicy> policies,
			ObjectProvider<ConditionCompiler> conditions, ObjectProvider<AuthorizationObserver> observers) {
		SupportedKeys keys = new SupportedKeys(Binder.get(environment));
		keys.check(PREFIX, KEYS);
		keys.checkElements(PREFIX + ".rules", RULE_KEYS);
		AuthorizationStage.Builder builder = AuthorizationStage.builder()
			.defaultAccess(Access.valueOf(properties.defaultAccess().name()))
			.healthAccess(Access.valueOf(properties.healthAccess().name()))
			.reflectionAccess(reflectionAccess(reflection.access()))
			.policies(policies.orderedStream().toList())
			.rules(rules(properties))
			.expressionHandler(expressionHandler.getIfUnique())
			.roleHierarchy(roleHierarchy.getIfUnique())
			.permissionEvaluator(permissionEvaluator.getIfUnique())
			.authorizationManagers(methodManagers.getIfUnique(() -> managers(managers)),
					callManagers.getIfUnique(() -> managers(managers)))
			.rolePrefix(rolePrefix(context))
			.conditions(conditions.getIfUnique())
			.observer(observer(observers.orderedStream().toList()))
			.applicationContext(context);
		templateDefaults.ifUnique(builder::templateDefaults);
		return builder.build();
	}

	@Bean
	@ConditionalOnMissingBean
	AuthorizationExplainer grpcAuthorizationExplainer(ObjectProvider<GrpcServerSecurity> security) {
		return new AuthorizationExplainer(security::getIfAvailable);
	}

	/** One that decides about any object also decides about calls. */
	@SuppressWarnings("unchecked")
	private static <T> @Nullable AuthorizationManagerFactory<T> managers(
			ObjectProvider<AuthorizationManagerFactory<Object>> managers) {
		return (AuthorizationManagerFactory<T>) (AuthorizationManagerFactory<?>) managers.getIfUnique();
	}

	private static String rolePrefix(ApplicationContext context) {
		return ClassUtils.isPresent(GRANTED_AUTHORITY_DEFAULTS, context.getClassLoader()) ? RolePrefix.of(context)
				: "ROLE_";
	}

	private static Access reflectionAccess(GrpcReflectionProperties.ReflectionAccess access) {
		return switch (access) {
			case DISABLED -> Access.DENY;
			case AUTHENTICATED -> Access.AUTHENTICATED;
			case PERMIT -> Access.PERMIT;
		};
	}

	private static List<AuthorizationRule> rules(GrpcAuthorizationProperties properties) {
		List<AuthorizationRule> rules = new ArrayList<>();
		for (GrpcAuthorizationProperties.Rule rule : properties.rules()) {
			rules.add(new AuthorizationRule(rule.methods(), (rule.access() != null) ? rule.access() : "", rule.when(),
					rule.name(), rule.hideExistence(), rule.sensitive(), rule.shadow()));
		}
		return rules;
	}

	private static AuthorizationObserver observer(List<AuthorizationObserver> observers) {
		return (observers.size() == 1) ? observers.get(0) : (rule, outcome) -> {
			for (AuthorizationObserver observer : observers) {
				observer.decided(rule, outcome);
			}
		};
	}

	/** Compiles conditions where there is CEL. */
	@Configuration(proxyBeanMethods = false)
	@ConditionalOnClass(name = "dev.cel.bundle.Cel")
	static class CelConfiguration {

		@Bean
		@ConditionalOnMissingBean(ConditionCompiler.class)
		CelConditionCompiler grpcAuthorizationConditions() {
			return new CelConditionCompiler();
		}

	}

	/** Counts what is decided where there are metrics. */
	@Configuration(proxyBeanMethods = false)
	@ConditionalOnClass(MeterRegistry.class)
	@ConditionalOnBean(MeterRegistry.class)
	static class MetricsConfiguration {

		@Bean
		@ConditionalOnMissingBean
		MicrometerAuthorizationObserver grpcAuthorizationMetrics(MeterRegistry registry) {
			return new MicrometerAuthorizationObserver(registry);
		}

	}

	/** Keeps a class away that need not be there. */
	private static final class RolePrefix {

		static String of(ApplicationContext context) {
			GrantedAuthorityDefaults defaults = context.getBeanProvider(GrantedAuthorityDefaults.class).getIfUnique();
			return (defaults != null) ? defaults.getRolePrefix() : "ROLE_";
		}

	}

}
