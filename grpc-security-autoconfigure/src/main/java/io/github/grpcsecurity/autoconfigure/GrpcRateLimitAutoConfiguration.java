package io.github.grpcsecurity.autoconfigure;

import java.util.List;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.function.Consumer;

import io.github.grpcsecurity.autoconfigure.GrpcRateLimitProperties.Store;
import io.github.grpcsecurity.ratelimit.FailoverRateLimiter;
import io.github.grpcsecurity.ratelimit.InMemoryRateLimiter;
import io.github.grpcsecurity.ratelimit.LeasingPermits;
import io.github.grpcsecurity.ratelimit.MicrometerRateLimitObserver;
import io.github.grpcsecurity.ratelimit.PeerLimitStage;
import io.github.grpcsecurity.ratelimit.PrincipalLimitStage;
import io.github.grpcsecurity.ratelimit.RateLimitObserver;
import io.github.grpcsecurity.ratelimit.RateLimitRule;
import io.github.grpcsecurity.ratelimit.RateLimitRules;
import io.github.grpcsecurity.ratelimit.RateLimiter;
import io.github.grpcsecurity.ratelimit.RecentRateLimits;
import io.github.grpcsecurity.ratelimit.SharedPermits;
import io.github.grpcsecurity.ratelimit.SharedPermitsMetrics;
import io.github.grpcsecurity.ratelimit.redis.RedisRateLimiter;
import io.github.grpcsecurity.server.GrpcSecurityThreads;
import io.github.grpcsecurity.server.GrpcServerSecurity;
import io.lettuce.core.AbstractRedisClient;
import io.micrometer.core.instrument.MeterRegistry;
import org.apache.commons.logging.Log;
import org.apache.commons.logging.LogFactory;

import org.springframework.beans.factory.BeanFactory;
import org.springframework.beans.factory.ObjectProvider;
import org.springframework.beans.factory.config.ConfigurableListableBeanFactory;
import org.springframework.boot.actuate.autoconfigure.endpoint.condition.ConditionalOnAvailableEndpoint;
import org.springframework.boot.actuate.endpoint.annotation.Endpoint;
import org.springframework.boot.autoconfigure.AutoConfiguration;
import org.springframework.boot.autoconfigure.condition.ConditionalOnBean;
import org.springframework.boot.autoconfigure.condition.ConditionalOnBooleanProperty;
import org.springframework.boot.autoconfigure.condition.ConditionalOnClass;
import org.springframework.boot.autoconfigure.condition.ConditionalOnMissingBean;
import org.springframework.boot.context.properties.EnableConfigurationProperties;
import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Configuration;
import org.springframework.core.annotation.Order;
import org.springframework.core.env.Environment;
import org.springframework.core.io.ResourceLoader;
import org.springframework.data.redis.connection.RedisConnectionFactory;
import org.springframework.data.redis.connection.lettuce.LettuceConnectionFactory;

/**
 * Limits the rate of gRPC calls by the rules under {@code grpc.security.rate-limit}.
 *
 * @since 0.1.0
 */
@AutoConfiguration(afterName = { "org.springframework.boot.data.redis.autoconfigure.DataRedisAutoConfiguration",
		"org.springframework.boot.micrometer.metrics.autoconfigure.CompositeMeterRegistryAutoConfiguration" })
@ConditionalOnBooleanProperty(name = "grpc.security.enabled", matchIfMissing = true)
@EnableConfigurationProperties(GrpcRateLimitProperties.class)
public final class GrpcRateLimitAutoConfiguration {

	private static final Log logger = LogFactory.getLog(GrpcRateLimitAutoConfiguration.class);

	private static final String STORE = "grpc.security.rate-limit.store";

	private static final String PERMITS = "permits";

	@Bean
	RateLimitKeys grpcRateLimitKeys(BeanFactory beans, ObjectProvider<RateLimitExpressions> expressions) {
		return new RateLimitKeys(beans, expressions.getIfAvailable());
	}

	@Bean
	GrpcRateLimitRules grpcRateLimitRules(GrpcRateLimitProperties properties, RateLimitKeys keys,
			ResourceLoader resources) {
		return GrpcRateLimitRules.of(properties, keys, resources.getClassLoader());
	}

	@Bean
	RateLimitRules grpcRateLimitRulesInForce(GrpcRateLimitRules rules, ObjectProvider<GrpcServerSecurity> security) {
		RateLimitRules inForce = new RateLimitRules(rules.rules(), rules.concurrency());
		inForce.onUpdate((changed) -> security.orderedStream().forEach(GrpcServerSecurity::refresh));
		return inForce;
	}

	@Bean
	GrpcRateLimitReloader grpcRateLimitReloader(Environment environment, RateLimitKeys keys, RateLimitRules rules,
			ResourceLoader resources) {
		return new GrpcRateLimitReloader(environment, keys, rules, resources);
	}

	@Bean
	@ConditionalOnMissingBean
	PeerLimitStage grpcPeerLimitStage(RateLimitRules rules, RateLimiter limiter,
			ObjectProvider<RateLimitObserver> observers) {
		return new PeerLimitStage(rules, limiter, RateLimitObservers.of(observers));
	}

	@Bean
	@ConditionalOnMissingBean
	PrincipalLimitStage grpcPrincipalLimitStage(RateLimitRules rules, RateLimiter limiter,
			ObjectProvider<RateLimitObserver> observers) {
		return new PrincipalLimitStage(rules, limiter, RateLimitObservers.of(observers));
	}

	/** Whether permits belong in Redis, and who says so. */
	private static ConfiguredRedis redis(GrpcRateLimitProperties properties, ConfigurableListableBeanFactory beans,
			Environment environment) {
		return switch (properties.store()) {
			case MEMORY -> new ConfiguredRedis(false, STORE + " is 'memory'");
			case REDIS -> new ConfiguredRedis(true, STORE + " is 'redis'");
			case AUTO -> ConfiguredRedis.find(beans, environment);
		};
	}

	private static RateLimiter inMemory(RateLimitRules rules, String reason) {
		onFirstRules(rules, () -> logger.info("Rate limits are kept in this server alone, because " + reason));
		return memory();
	}

	/**
	 * Where permits belong in Redis, and no connection leads there, each server would
	 * admit the whole limit: there must be no rules, neither now nor later.
	 */
	private static RateLimiter withoutRules(GrpcRateLimitProperties properties, RateLimitRules rules,
			ConfiguredRedis redis, ConfigurableListableBeanFactory beans) {
		if (properties.store() == Store.REDIS) {
			throw MissingRedisException.of(STORE, PERMITS, redis.reason(), beans);
		}
		onFirstRules(rules, () -> {
			throw MissingRedisException.of(STORE, PERMITS,
					"Rate limits are to be kept in Redis, because " + redis.reason(), beans);
		});
		return memory();
	}

	private static InMemoryRateLimiter memory() {
		return new InMemoryRateLimiter(InMemoryRateLimiter.DEFAULT_MAX_KEYS, System::nanoTime);
	}

	/**
	 * Does something once there are rules whose permits are kept somewhere, now or after
	 * a change, which is undone if that throws.
	 */
	private static void onFirstRules(RateLimitRules rules, Runnable action) {
		AtomicBoolean done = new AtomicBoolean();
		Consumer<List<RateLimitRule>> look = (inForce) -> {
			if (!done.get() && inForce.stream().anyMatch(RateLimitRule::needsStore)) {
				action.run();
				done.set(true);
			}
		};
		look.accept(rules.all());
		rules.onUpdate(look);
	}

	@Configuration(proxyBeanMethods = false)
	@Order(1)
	@ConditionalOnClass({ LettuceConnectionFactory.class, AbstractRedisClient.class })
	static class LettuceConfiguration {

		@Bean
		@ConditionalOnMissingBean
		RateLimiter grpcRateLimiter(GrpcRateLimitProperties properties, RateLimitRules rules,
				GrpcSecurityThreads threads, ObjectProvider<LettuceConnectionFactory> connectionFactories,
				ConfigurableListableBeanFactory beanFactory, Environment environment) {
			ConfiguredRedis redis = redis(properties, beanFactory, environment);
			if (!redis.configured()) {
				return inMemory(rules, redis.reason());
			}
			LettuceConnectionFactory connectionFactory = connectionFactories.getIfUnique();
			if (connectionFactory == null) {
				return withoutRules(properties, rules, redis, beanFactory);
			}
			return inRedis(properties, rules, threads, connectionFactory, redis.reason());
		}

		private static RateLimiter inRedis(GrpcRateLimitProperties properties, RateLimitRules rules,
				GrpcSecurityThreads threads, LettuceConnectionFactory connectionFactory, String reason) {
			RedisRateLimiter redis = new RedisRateLimiter(connectionFactory, properties.redis().keyPrefix(),
					threads.executor());
			FailoverRateLimiter limiter = new FailoverRateLimiter(shared(properties, redis, threads), memory(),
					rules.all(), properties.expectedInstances(), properties.redis().timeout(), threads.scheduler(),
					System::nanoTime);
			rules.onUpdate(limiter::update);
			onFirstRules(rules, () -> {
				logger.info("Rate limits are kept in Redis, because " + reason);
				limiter.connect();
			});
			return limiter;
		}

		private static SharedPermits shared(GrpcRateLimitProperties properties, RedisRateLimiter redis,
				GrpcSecurityThreads threads) {
			if (!properties.lease().enabled()) {
				return redis;
			}
			return new LeasingPermits(redis, properties.lease().ttl(), properties.lease().maxShare(),
					properties.redis().timeout(), LeasingPermits.DEFAULT_MAX_KEYS, threads.scheduler(),
					threads.executor(), System::nanoTime);
		}

		@Bean
		LeaseRelease grpcLeaseRelease(RateLimiter limiter) {
			return new LeaseRelease(limiter);
		}

	}

	/** Spring Data Redis without Lettuce. */
	@Configuration(proxyBeanMethods = false)
	@Order(2)
	@ConditionalOnClass(RedisConnectionFactory.class)
	static class OtherRedisConfiguration {

		@Bean
		@ConditionalOnMissingBean
		RateLimiter grpcRateLimiter(GrpcRateLimitProperties properties, RateLimitRules rules,
				ConfigurableListableBeanFactory beanFactory, Environment environment) {
			ConfiguredRedis redis = redis(properties, beanFactory, environment);
			return redis.configured() ? withoutRules(properties, rules, redis, beanFactory)
					: inMemory(rules, redis.reason());
		}

	}

	@Configuration(proxyBeanMethods = false)
	@Order(3)
	static class MemoryConfiguration {

		@Bean
		@ConditionalOnMissingBean
		RateLimiter grpcRateLimiter(GrpcRateLimitProperties properties, RateLimitRules rules) {
			if (properties.store() == Store.REDIS) {
				throw MissingRedisException.none(STORE, PERMITS, STORE + " is 'redis'");
			}
			return inMemory(rules, "Spring Data Redis is not on the class path");
		}

	}

	@Configuration(proxyBeanMethods = false)
	@ConditionalOnClass(MeterRegistry.class)
	@ConditionalOnBean(MeterRegistry.class)
	static class MetricsConfiguration {

		@Bean
		@ConditionalOnMissingBean
		MicrometerRateLimitObserver grpcRateLimitMetrics(RateLimitRules rules, MeterRegistry registry) {
			MicrometerRateLimitObserver metrics = new MicrometerRateLimitObserver(rules.all(), registry);
			metrics.update(rules.all(), rules.concurrency());
			rules.onUpdate((changed) -> metrics.update(changed, rules.concurrency()));
			return metrics;
		}

		@Bean
		@ConditionalOnMissingBean
		SharedPermitsMetrics grpcSharedPermitsMetrics(RateLimitRules rules, RateLimiter limiter,
				MeterRegistry registry) {
			SharedPermitsMetrics metrics = new SharedPermitsMetrics(rules.all(), limiter, registry);
			rules.onUpdate(metrics::update);
			return metrics;
		}

	}

	/** Keys that are expressions, where there is CEL. */
	@Configuration(proxyBeanMethods = false)
	@ConditionalOnClass(name = "dev.cel.bundle.Cel")
	static class CelConfiguration {

		@Bean
		CelRateLimitExpressions grpcRateLimitExpressions() {
			return new CelRateLimitExpressions();
		}

	}

	/** Counts for the actuator what each rule did of late. */
	@Configuration(proxyBeanMethods = false)
	@ConditionalOnClass({ Endpoint.class, ConditionalOnAvailableEndpoint.class })
	static class EndpointConfiguration {

		@Bean
		@ConditionalOnMissingBean
		@ConditionalOnAvailableEndpoint(endpoint = GrpcSecurityEndpoint.class)
		RecentRateLimits grpcRecentRateLimits(RateLimitRules rules) {
			RecentRateLimits recent = new RecentRateLimits(System::nanoTime);
			rules.onUpdate((changed) -> recent.update(changed, rules.concurrency()));
			return recent;
		}

	}

}
