package io.github.grpcsecurity.autoconfigure;

import java.util.List;

import io.github.grpcsecurity.ratelimit.ConcurrencyLimiter;
import io.github.grpcsecurity.ratelimit.ConcurrencyMetrics;
import io.github.grpcsecurity.ratelimit.ConcurrencyStage;
import io.github.grpcsecurity.ratelimit.MessageLimitStage;
import io.github.grpcsecurity.ratelimit.RateLimitObserver;
import io.github.grpcsecurity.ratelimit.RateLimitRules;
import io.github.grpcsecurity.ratelimit.RateLimiter;
import io.github.grpcsecurity.server.GrpcSecurityThreads;
import io.micrometer.core.instrument.MeterRegistry;

import org.springframework.beans.factory.ObjectProvider;
import org.springframework.boot.autoconfigure.AutoConfiguration;
import org.springframework.boot.autoconfigure.condition.ConditionalOnBean;
import org.springframework.boot.autoconfigure.condition.ConditionalOnBooleanProperty;
import org.springframework.boot.autoconfigure.condition.ConditionalOnClass;
import org.springframework.boot.autoconfigure.condition.ConditionalOnMissingBean;
import org.springframework.boot.context.properties.source.InvalidConfigurationPropertyValueException;
import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Configuration;
import org.springframework.core.Ordered;
import org.springframework.core.annotation.Order;
import org.springframework.core.io.ResourceLoader;
import org.springframework.util.ClassUtils;

/**
 * Limits the messages and the calls in flight by the rules under
 * {@code grpc.security.rate-limit} that ask for it.
 *
 * @since 0.1.0
 */
@AutoConfiguration(after = GrpcRateLimitAutoConfiguration.class,
		afterName = "org.springframework.boot.micrometer.metrics.autoconfigure.CompositeMeterRegistryAutoConfiguration")
@ConditionalOnBooleanProperty(name = "grpc.security.enabled", matchIfMissing = true)
public final class GrpcFlowLimitAutoConfiguration {

	private static final String ADAPTIVE_LIBRARY = "com.netflix.concurrency.limits.Limit";

	@Bean
	@ConditionalOnMissingBean
	MessageLimitStage grpcMessageLimitStage(RateLimitRules rules, RateLimiter limiter,
			ObjectProvider<RateLimitObserver> observers, GrpcSecurityThreads threads) {
		List<RateLimitObserver> all = observers.orderedStream().toList();
		return new MessageLimitStage(rules, limiter,
				(rule, outcome) -> all.forEach((observer) -> observer.applied(rule, outcome)), threads.scheduler(),
				System::nanoTime);
	}

	@Bean
	@ConditionalOnMissingBean
	ConcurrencyLimiter grpcConcurrencyLimiter(GrpcRateLimitRules rules, GrpcRateLimitProperties properties,
			ResourceLoader resources) {
		for (int i = 0; i < properties.rules().size(); i++) {
			Object adaptive = properties.rules().get(i).adaptive();
			if (adaptive != null && !ClassUtils.isPresent(ADAPTIVE_LIBRARY, resources.getClassLoader())) {
				throw new InvalidConfigurationPropertyValueException(
						"grpc.security.rate-limit.rules[" + i + "].adaptive", adaptive,
						"Adaptive limits need com.netflix.concurrency-limits:concurrency-limits-core on the"
								+ " class path. Add it, or set a fixed concurrency.");
			}
		}
		return new ConcurrencyLimiter(rules.concurrency(), System::nanoTime);
	}

	// What these refuse must not take permits
	@Bean
	@Order(Ordered.HIGHEST_PRECEDENCE + 100)
	ConcurrencyStage grpcConcurrencyStage(ConcurrencyLimiter limiter) {
		return ConcurrencyStage.beforeAuthentication(limiter);
	}

	@Bean
	@Order(Ordered.HIGHEST_PRECEDENCE + 100)
	ConcurrencyStage grpcPrincipalConcurrencyStage(ConcurrencyLimiter limiter) {
		return ConcurrencyStage.afterAuthentication(limiter);
	}

	@Configuration(proxyBeanMethods = false)
	@ConditionalOnClass(MeterRegistry.class)
	@ConditionalOnBean(MeterRegistry.class)
	static class MetricsConfiguration {

		@Bean
		@ConditionalOnMissingBean
		ConcurrencyMetrics grpcConcurrencyMetrics(ConcurrencyLimiter limiter, MeterRegistry registry) {
			return new ConcurrencyMetrics(limiter, registry);
		}

	}

}
