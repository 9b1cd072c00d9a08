package io.github.grpcsecurity.autoconfigure;

import java.time.Duration;
import java.time.InstantSource;
import java.util.concurrent.TimeUnit;

import io.github.grpcsecurity.authentication.revocation.CredentialRevocations;
import io.github.grpcsecurity.authentication.revocation.RevocationSettings;
import io.github.grpcsecurity.authentication.revocation.RevocationStore;
import io.github.grpcsecurity.authentication.revocation.redis.RedisRevocationStore;
import io.github.grpcsecurity.autoconfigure.GrpcRevocationProperties.Store;
import io.github.grpcsecurity.server.GrpcSecurityThreads;
import io.lettuce.core.AbstractRedisClient;
import io.micrometer.core.instrument.Gauge;
import io.micrometer.core.instrument.MeterRegistry;
import io.micrometer.core.instrument.TimeGauge;
import io.micrometer.core.instrument.binder.MeterBinder;
import org.apache.commons.logging.Log;
import org.apache.commons.logging.LogFactory;
import org.jspecify.annotations.Nullable;

import org.springframework.beans.factory.ObjectProvider;
import org.springframework.beans.factory.config.ConfigurableListableBeanFactory;
import org.springframework.boot.autoconfigure.AutoConfiguration;
import org.springframework.boot.autoconfigure.condition.ConditionalOnBooleanProperty;
import org.springframework.boot.autoconfigure.condition.ConditionalOnClass;
import org.springframework.boot.autoconfigure.condition.ConditionalOnMissingBean;
import org.springframework.boot.autoconfigure.condition.ConditionalOnMissingClass;
import org.springframework.boot.autoconfigure.condition.NoneNestedConditions;
import org.springframework.boot.autoconfigure.condition.ConditionalOnProperty;
import org.springframework.boot.context.properties.EnableConfigurationProperties;
import org.springframework.boot.context.properties.source.InvalidConfigurationPropertyValueException;
import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Conditional;
import org.springframework.context.annotation.Configuration;
import org.springframework.core.env.Environment;
import org.springframework.data.redis.connection.RedisConnectionFactory;
import org.springframework.data.redis.connection.lettuce.LettuceConnectionFactory;

/**
 * Lets an application revoke credentials, in this server or in all that share a Redis or
 * a {@link RevocationStore} of the application.
 *
 * @since 0.1.0
 */
@AutoConfiguration(after = GrpcSecurityAutoConfiguration.class,
		afterName = "org.springframework.boot.data.redis.autoconfigure.DataRedisAutoConfiguration")
@ConditionalOnBooleanProperty(name = "grpc.security.enabled", matchIfMissing = true)
@Conditional(GrpcRevocationAutoConfiguration.RevocationIsOn.class)
@EnableConfigurationProperties(GrpcRevocationProperties.class)
public final class GrpcRevocationAutoConfiguration {

	private static final Log logger = LogFactory.getLog(GrpcRevocationAutoConfiguration.class);

	private static final String PREFIX = "grpc.security.authentication.revocation";

	private static final String STORE = PREFIX + ".store";

	private static final String REVOCATIONS = "revocations";

	private static final Duration MIN_POLL_INTERVAL = Duration.ofMillis(100);

	@Bean(initMethod = "start")
	@ConditionalOnMissingBean
	CredentialRevocations grpcCredentialRevocations(GrpcRevocationProperties properties, GrpcSecurityThreads threads,
			ObjectProvider<RevocationStore> stores, ObjectProvider<SharedRevocations> shared) {
		RevocationSettings settings = settings(properties);
		InstantSource clock = InstantSource.system();
		RevocationStore store = null;
		if (properties.store() != Store.MEMORY) {
			store = stores.getIfUnique();
			if (store == null) {
				SharedRevocations redis = shared.getIfAvailable();
				store = (redis != null) ? redis.find(clock) : null;
			}
			if (store == null && properties.store() == Store.REDIS) {
				throw MissingRedisException.none(STORE, REVOCATIONS, STORE + " is 'redis'");
			}
		}
		return new CredentialRevocations(store, settings, threads.scheduler(), clock, System::nanoTime);
	}

	private static RevocationSettings settings(GrpcRevocationProperties properties) {
		if (properties.pollInterval().compareTo(MIN_POLL_INTERVAL) < 0) {
			throw new InvalidConfigurationPropertyValueException(PREFIX + ".poll-interval", properties.pollInterval(),
					"It must be at least 100ms; changes are told at once anyway.");
		}
		if (properties.maxAge().compareTo(properties.pollInterval()) < 0) {
			throw new InvalidConfigurationPropertyValueException(PREFIX + ".max-age", properties.maxAge(),
					"It must not be shorter than poll-interval, or what is known would be too old before it is compared.");
		}
		if (properties.subjectTtl().isNegative() || properties.subjectTtl().isZero()) {
			throw new InvalidConfigurationPropertyValueException(PREFIX + ".subject-ttl", properties.subjectTtl(),
					"It must be positive, and as long as the tokens of your issuers live at most.");
		}
		if (properties.maxEntries() < 1) {
			throw new InvalidConfigurationPropertyValueException(PREFIX + ".max-entries", properties.maxEntries(),
					"It must be positive. To switch revocation off, set " + PREFIX + ".store=none.");
		}
		return new RevocationSettings(properties.onFailure(), properties.pollInterval(), properties.maxAge(),
				properties.subjectTtl(), properties.maxEntries());
	}

	/** Whether revocations belong in Redis, and who says so. */
	private static ConfiguredRedis redis(GrpcRevocationProperties properties, ConfigurableListableBeanFactory beans,
			Environment environment) {
		return (properties.store() == Store.REDIS) ? new ConfiguredRedis(true, STORE + " is 'redis'")
				: ConfiguredRedis.find(beans, environment);
	}

	/** In one server alone, what is revoked would be let in by all others. */
	private static MissingRedisException missing(GrpcRevocationProperties properties, ConfiguredRedis redis,
			ConfigurableListableBeanFactory beans) {
		String wish = (properties.store() == Store.REDIS) ? redis.reason()
				: "Revocations are to be kept in Redis, because " + redis.reason();
		return MissingRedisException.of(STORE, REVOCATIONS, wish, beans);
	}

	/** Finds out whether revocations are shared. */
	@FunctionalInterface
	interface SharedRevocations {

		@Nullable RevocationStore find(InstantSource clock);

	}

	@Configuration(proxyBeanMethods = false)
	@ConditionalOnClass({ LettuceConnectionFactory.class, AbstractRedisClient.class })
	static class LettuceConfiguration {

		@Bean
		SharedRevocations grpcSharedRevocations(GrpcRevocationProperties properties, GrpcSecurityThreads threads,
				ObjectProvider<LettuceConnectionFactory> connectionFactories,
				ConfigurableListableBeanFactory beanFactory, Environment environment) {
			return (clock) -> {
				ConfiguredRedis redis = redis(properties, beanFactory, environment);
				if (!redis.configured()) {
					return null;
				}
				LettuceConnectionFactory connectionFactory = connectionFactories.getIfUnique();
				if (connectionFactory == null) {
					throw missing(properties, redis, beanFactory);
				}
				logger.info("Revocations are kept in Redis, because " + redis.reason());
				return new RedisRevocationStore(connectionFactory, properties.keyPrefix(), threads.executor(), clock);
			};
		}

	}

	/** Spring Data Redis without Lettuce. */
	@Configuration(proxyBeanMethods = false)
	@ConditionalOnClass(RedisConnectionFactory.class)
	@ConditionalOnMissingClass("io.lettuce.core.AbstractRedisClient")
	static class OtherRedisConfiguration {

		@Bean
		SharedRevocations grpcSharedRevocations(GrpcRevocationProperties properties,
				ConfigurableListableBeanFactory beanFactory, Environment environment) {
			return (clock) -> {
				ConfiguredRedis redis = redis(properties, beanFactory, environment);
				if (redis.configured()) {
					throw missing(properties, redis, beanFactory);
				}
				return null;
			};
		}

	}

	@Configuration(proxyBeanMethods = false)
	@ConditionalOnClass(MeterRegistry.class)
	static class MetricsConfiguration {

		@Bean
		MeterBinder grpcRevocationMetrics(ObjectProvider<CredentialRevocations> provider) {
			return (registry) -> provider.ifUnique((revocations) -> {
				Gauge.builder("grpc.security.revocations", revocations, CredentialRevocations::size)
					.description("Revocations that this server knows of")
					.register(registry);
				TimeGauge
					.builder("grpc.security.revocations.age", revocations, TimeUnit.MILLISECONDS,
							GrpcRevocationAutoConfiguration::age)
					.description("Time since this server last compared what it knows with others; NaN before the first")
					.register(registry);
			});
		}

	}

	private static double age(CredentialRevocations revocations) {
		Duration age = revocations.age();
		return (age != null) ? age.toMillis() : Double.NaN;
	}

	/** Unless somebody switched it off by name. */
	static final class RevocationIsOn extends NoneNestedConditions {

		RevocationIsOn() {
			super(ConfigurationPhase.PARSE_CONFIGURATION);
		}

		@ConditionalOnProperty(name = PREFIX + ".store", havingValue = "none")
		static final class SwitchedOff {

		}

	}

}
