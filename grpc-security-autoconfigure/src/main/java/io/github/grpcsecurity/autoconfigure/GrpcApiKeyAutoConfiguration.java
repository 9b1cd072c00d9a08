package io.github.grpcsecurity.autoconfigure;

import java.time.Duration;
import java.time.InstantSource;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

import io.github.grpcsecurity.authentication.apikey.ApiKeyAuthenticator;
import io.github.grpcsecurity.authentication.apikey.ApiKeyFile;
import io.github.grpcsecurity.authentication.apikey.ApiKeyListener;
import io.github.grpcsecurity.authentication.apikey.ApiKeySource;
import io.github.grpcsecurity.authentication.apikey.ApiKeyTable;
import io.github.grpcsecurity.authentication.apikey.redis.RedisApiKeys;
import io.github.grpcsecurity.server.GrpcSecurityThreads;

import org.springframework.beans.factory.ObjectProvider;
import org.springframework.boot.autoconfigure.AutoConfiguration;
import org.springframework.boot.autoconfigure.condition.AnyNestedCondition;
import org.springframework.boot.autoconfigure.condition.ConditionMessage;
import org.springframework.boot.autoconfigure.condition.ConditionOutcome;
import org.springframework.boot.autoconfigure.condition.ConditionalOnBean;
import org.springframework.boot.autoconfigure.condition.ConditionalOnBooleanProperty;
import org.springframework.boot.autoconfigure.condition.ConditionalOnClass;
import org.springframework.boot.autoconfigure.condition.ConditionalOnMissingBean;
import org.springframework.boot.autoconfigure.condition.ConditionalOnMissingClass;
import org.springframework.boot.autoconfigure.condition.SpringBootCondition;
import org.springframework.boot.context.properties.EnableConfigurationProperties;
import org.springframework.boot.context.properties.bind.Bindable;
import org.springframework.boot.context.properties.bind.Binder;
import org.springframework.boot.context.properties.source.InvalidConfigurationPropertyValueException;
import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.ConditionContext;
import org.springframework.context.annotation.Conditional;
import org.springframework.context.annotation.Configuration;
import org.springframework.core.Ordered;
import org.springframework.core.ResolvableType;
import org.springframework.core.annotation.Order;
import org.springframework.core.env.Environment;
import org.springframework.core.io.ResourceLoader;
import org.springframework.core.type.AnnotatedTypeMetadata;
import org.springframework.data.redis.connection.RedisConnectionFactory;

/**
 * Verifies API keys as soon as somebody knows some: the properties, a file, Redis, or an
 * {@link ApiKeySource} bean. {@link ApiKeyListener} beans hear of keys that are
 * withdrawn.
 *
 * @since 0.1.0
 */
@AutoConfiguration(before = GrpcAuthenticationAutoConfiguration.class,
		afterName = "org.springframework.boot.data.redis.autoconfigure.DataRedisAutoConfiguration")
@ConditionalOnBooleanProperty(name = "grpc.security.enabled", matchIfMissing = true)
@Conditional(GrpcApiKeyAutoConfiguration.SomebodyKnowsKeys.class)
@EnableConfigurationProperties(GrpcApiKeyProperties.class)
public final class GrpcApiKeyAutoConfiguration {

	private static final String PREFIX = ConfiguredApiKeys.PREFIX;

	private static final Duration SHORTEST_INTERVAL = Duration.ofMillis(100);

	GrpcApiKeyAutoConfiguration(Environment environment) {
		ConfiguredApiKeys.checkNames(Binder.get(environment));
	}

	@Bean
	@Order(Ordered.HIGHEST_PRECEDENCE)
	@ConditionalOnMissingBean(name = "grpcApiKeyTable")
	ApiKeyTable grpcApiKeyTable(GrpcApiKeyProperties properties) {
		ApiKeyTable table = new ApiKeyTable();
		table.replace(ConfiguredApiKeys.convert(properties.keys(), PREFIX + ".keys", InstantSource.system().instant()));
		return table;
	}

	@Bean
	@Order(Ordered.HIGHEST_PRECEDENCE + 1)
	@ConditionalOnMissingBean
	@ConditionalOnSetProperty(PREFIX + ".location")
	ApiKeyFile grpcApiKeyFile(GrpcApiKeyProperties properties, ResourceLoader resources, GrpcSecurityThreads threads) {
		requireInterval(properties, true);
		String location = String.valueOf(properties.location());
		InstantSource clock = InstantSource.system();
		ApiKeyFile file = new ApiKeyFile(resources.getResource(location),
				(content) -> ConfiguredApiKeys.parse(content, clock.instant()), properties.reloadInterval(), threads);
		try {
			file.start();
		}
		catch (IllegalArgumentException ex) {
			throw new InvalidApiKeyException(PREFIX + ".location", String.valueOf(ex.getMessage()));
		}
		return file;
	}

	@Bean
	@ConditionalOnMissingBean
	ApiKeyAuthenticator grpcApiKeyAuthenticator(GrpcApiKeyProperties properties, ObjectProvider<ApiKeySource> sources,
			ObjectProvider<ApiKeyListener> listeners) {
		Duration timeout = properties.lookupTimeout();
		if (timeout.isNegative() || timeout.isZero()) {
			throw new InvalidConfigurationPropertyValueException(PREFIX + ".lookup-timeout", timeout,
					"A call has to wait for some time. Set it to a duration such as 1s.");
		}
		List<ApiKeySource> ordered = new ArrayList<>(sources.orderedStream().toList());
		ApiKeyAuthenticator authenticator;
		try {
			authenticator = new ApiKeyAuthenticator(properties.header(), ordered, timeout, InstantSource.system());
		}
		catch (IllegalArgumentException ex) {
			throw new InvalidConfigurationPropertyValueException(PREFIX + ".header", properties.header(),
					ex.getMessage() + ".");
		}
		listeners.orderedStream().forEach(authenticator::addListener);
		return authenticator;
	}

	private static void requireInterval(GrpcApiKeyProperties properties, boolean mayBeZero) {
		Duration interval = properties.reloadInterval();
		if (interval.compareTo(SHORTEST_INTERVAL) < 0 && !(mayBeZero && interval.isZero())) {
			throw new InvalidConfigurationPropertyValueException(PREFIX + ".reload-interval", interval,
					"API keys are looked at every 100ms at most. Set it to a duration such as 10s"
							+ (mayBeZero ? ", or to 0 to never look at the file again." : "."));
		}
	}

	@Configuration(proxyBeanMethods = false)
	@ConditionalOnBooleanProperty(PREFIX + ".redis.enabled")
	@ConditionalOnClass(RedisConnectionFactory.class)
	static class RedisConfiguration {

		@Bean(initMethod = "start")
		@Order(Ordered.HIGHEST_PRECEDENCE + 2)
		@ConditionalOnMissingBean
		RedisApiKeys grpcRedisApiKeys(GrpcApiKeyProperties properties,
				ObjectProvider<RedisConnectionFactory> connectionFactories, GrpcSecurityThreads threads) {
			requireInterval(properties, false);
			RedisConnectionFactory connectionFactory = connectionFactories.getIfUnique();
			if (connectionFactory == null) {
				throw missing(connectionFactories.stream().findAny().isPresent());
			}
			return new RedisApiKeys(connectionFactory, properties.redis().keyPrefix(), properties.reloadInterval(),
					threads);
		}

	}

	@Configuration(proxyBeanMethods = false)
	@ConditionalOnBooleanProperty(PREFIX + ".redis.enabled")
	@ConditionalOnMissingClass("org.springframework.data.redis.connection.RedisConnectionFactory")
	static class MissingRedisConfiguration {

		MissingRedisConfiguration() {
			throw missing(false);
		}

	}

	private static InvalidConfigurationPropertyValueException missing(boolean several) {
		return new InvalidConfigurationPropertyValueException(PREFIX + ".redis.enabled", true,
				several ? "There is more than one RedisConnectionFactory bean. Mark the one to use as @Primary."
						: "There is no RedisConnectionFactory bean. Add spring-boot-starter-data-redis and set"
								+ " spring.data.redis.*, or keep keys in the properties or a file.");
	}

	/** Somebody knows keys. */
	static final class SomebodyKnowsKeys extends AnyNestedCondition {

		SomebodyKnowsKeys() {
			super(ConfigurationPhase.REGISTER_BEAN);
		}

		@Conditional(KeysCondition.class)
		static final class ByProperty {

		}

		@ConditionalOnSetProperty(PREFIX + ".location")
		static final class ByFile {

		}

		@ConditionalOnBooleanProperty(PREFIX + ".redis.enabled")
		static final class ByRedis {

		}

		@ConditionalOnBean(ApiKeySource.class)
		static final class ByBean {

		}

	}

	/** There is at least one key in the properties, good or not. */
	static final class KeysCondition extends SpringBootCondition {

		private static final Bindable<List<Map<String, Object>>> KEYS = Bindable.of(ResolvableType.forClassWithGenerics(
				List.class, ResolvableType.forClassWithGenerics(Map.class, String.class, Object.class)));

		@Override
		public ConditionOutcome getMatchOutcome(ConditionContext context, AnnotatedTypeMetadata metadata) {
			boolean bound = Binder.get(context.getEnvironment()).bind(PREFIX + ".keys", KEYS).isBound();
			return new ConditionOutcome(bound,
					ConditionMessage.forCondition(PREFIX + ".keys").because(bound ? "it is set" : "it is not set"));
		}

	}

}
