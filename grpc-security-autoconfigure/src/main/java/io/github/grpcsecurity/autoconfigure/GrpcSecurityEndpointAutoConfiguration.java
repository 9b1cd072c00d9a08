package io.github.grpcsecurity.autoconfigure;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.function.Function;

import io.github.grpcsecurity.authorization.AuthorizationExplainer;
import io.github.grpcsecurity.autoconfigure.GrpcSecurityEndpoint.LimitDescriptor;
import io.github.grpcsecurity.ratelimit.ConcurrencyLimiter;
import io.github.grpcsecurity.ratelimit.RateLimitObserver;
import io.github.grpcsecurity.ratelimit.RateLimitRules;
import io.github.grpcsecurity.ratelimit.RecentRateLimits;
import io.github.grpcsecurity.server.GrpcServerSecurity;
import org.jspecify.annotations.Nullable;

import org.springframework.beans.factory.ObjectProvider;
import org.springframework.boot.actuate.autoconfigure.endpoint.condition.ConditionalOnAvailableEndpoint;
import org.springframework.boot.actuate.endpoint.annotation.Endpoint;
import org.springframework.boot.autoconfigure.AutoConfiguration;
import org.springframework.boot.autoconfigure.condition.ConditionalOnBooleanProperty;
import org.springframework.boot.autoconfigure.condition.ConditionalOnClass;
import org.springframework.boot.autoconfigure.condition.ConditionalOnMissingBean;
import org.springframework.context.annotation.Bean;

/**
 * Auto-configuration for the actuator endpoint {@code grpcsecurity}.
 *
 * @since 0.1.0
 */
@AutoConfiguration(afterName = "org.springframework.boot.actuate.autoconfigure.endpoint.EndpointAutoConfiguration")
@ConditionalOnBooleanProperty(name = "grpc.security.enabled", matchIfMissing = true)
@ConditionalOnClass({ Endpoint.class, ConditionalOnAvailableEndpoint.class })
public final class GrpcSecurityEndpointAutoConfiguration {

	@Bean
	@ConditionalOnMissingBean
	@ConditionalOnAvailableEndpoint
	GrpcSecurityEndpoint grpcSecurityEndpoint(ObjectProvider<GrpcServerSecurity> security,
			ObjectProvider<AuthorizationExplainer> explainer, ObjectProvider<RateLimitRules> rules,
			ObjectProvider<ConcurrencyLimiter> concurrency, ObjectProvider<RecentRateLimits> recent) {
		return new GrpcSecurityEndpoint(security::getIfAvailable,
				explainer.getIfUnique(() -> new AuthorizationExplainer(security::getIfAvailable)),
				() -> limits(rules.getIfAvailable(), concurrency.getIfAvailable(), recent.getIfAvailable()));
	}

	private static List<LimitDescriptor> limits(@Nullable RateLimitRules rules,
			@Nullable ConcurrencyLimiter concurrency, @Nullable RecentRateLimits recent) {
		Function<String, Map<RateLimitObserver.Outcome, Long>> lastMinute = (rule) -> (recent != null) ? recent.of(rule)
				: Map.of();
		List<LimitDescriptor> limits = new ArrayList<>();
		if (rules != null) {
			rules.all().forEach((rule) -> limits.add(LimitDescriptor.of(rule, lastMinute.apply(rule.name()))));
		}
		if (concurrency != null) {
			concurrency.rules()
				.forEach((rule) -> limits
					.add(LimitDescriptor.of(rule, concurrency.limit(rule.name()), lastMinute.apply(rule.name()))));
		}
		return limits;
	}

}
