package io.github.grpcsecurity.autoconfigure;

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
import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Configuration;
import org.springframework.core.Ordered;
import org.springframework.core.annotation.Order;

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

	@Bean
	@ConditionalOnMissingBean
	MessageLimitStage grpcMessageLimitStage(RateLimitRules rules, RateLimiter limiter,
			ObjectProvider<RateLimitObserver> observers, GrpcSecurityThreads threads) {
		return new MessageLimitStage(rules, limiter, RateLimitObservers.of(observers), threads.scheduler(),
				System::nanoTime);
	}

	@Bean
	@ConditionalOnMissingBean
	ConcurrencyLimiter grpcConcurrencyLimiter(RateLimitRules rules) {
		return new ConcurrencyLimiter(rules, System::nanoTime);
	}

	// What these refuse must not take permits
	@Bean
	@Order(Ordered.HIGHEST_PRECEDENCE + 100)
	ConcurrencyStage grpcConcurrencyStage(ConcurrencyLimiter limiter, ObjectProvider<RateLimitObserver> observers) {
		return ConcurrencyStage.beforeAuthentication(limiter, RateLimitObservers.of(observers));
	}

	@Bean
	@Order(Ordered.HIGHEST_PRECEDENCE + 100)
	ConcurrencyStage grpcPrincipalConcurrencyStage(ConcurrencyLimiter limiter,
			ObjectProvider<RateLimitObserver> observers) {
		return ConcurrencyStage.afterAuthentication(limiter, RateLimitObservers.of(observers));
	}

	@Configuration(proxyBeanMethods = false)
	@ConditionalOnClass(MeterRegistry.class)
	@ConditionalOnBean(MeterRegistry.class)
	static class MetricsConfiguration {

		@Bean
		@ConditionalOnMissingBean
		ConcurrencyMetrics grpcConcurrencyMetrics(ConcurrencyLimiter limiter, RateLimitRules rules,
				MeterRegistry registry) {
			ConcurrencyMetrics metrics = new ConcurrencyMetrics(limiter, registry);
			rules.onUpdate((changed) -> metrics.update());
			return metrics;
		}

	}

}
