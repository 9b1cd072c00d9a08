package io.github.grpcsecurity.autoconfigure;

import java.util.List;

import io.github.grpcsecurity.ratelimit.ConcurrencyLimiter;
import io.github.grpcsecurity.ratelimit.ConcurrencyMetrics;
import io.github.grpcsecurity.ratelimit.ConcurrencyRule;
import io.github.grpcsecurity.ratelimit.ConcurrencyStage;
import io.github.grpcsecurity.ratelimit.MessageLimitStage;
import io.github.grpcsecurity.ratelimit.RateLimitObserver;
import io.github.grpcsecurity.ratelimit.RateLimitRule;
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
		return new MessageLimitStage(rules, limiter, Observers.of(observers), threads.scheduler(), System::nanoTime);
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
		return ConcurrencyStage.beforeAuthentication(limiter, Observers.of(observers));
	}

	@Bean
	@Order(Ordered.HIGHEST_PRECEDENCE + 100)
	ConcurrencyStage grpcPrincipalConcurrencyStage(ConcurrencyLimiter limiter,
			ObjectProvider<RateLimitObserver> observers) {
		return ConcurrencyStage.afterAuthentication(limiter, Observers.of(observers));
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

	/** All who learn what rules do. */
	private record Observers(List<RateLimitObserver> all) implements RateLimitObserver {

		static Observers of(ObjectProvider<RateLimitObserver> observers) {
			return new Observers(observers.orderedStream().toList());
		}

		@Override
		public void applied(RateLimitRule rule, Outcome outcome) {
			this.all.forEach((observer) -> observer.applied(rule, outcome));
		}

		@Override
		public void applied(ConcurrencyRule rule, Outcome outcome) {
			this.all.forEach((observer) -> observer.applied(rule, outcome));
		}

	}

}
