package io.github.grpcsecurity.autoconfigure;

import java.util.List;
import java.util.Set;

import org.springframework.beans.factory.config.BeanDefinition;
import org.springframework.beans.factory.config.ConfigurableListableBeanFactory;
import org.springframework.boot.autoconfigure.service.connection.ConnectionDetails;
import org.springframework.boot.context.properties.bind.Bindable;
import org.springframework.boot.context.properties.bind.Binder;
import org.springframework.core.env.Environment;
import org.springframework.data.redis.connection.RedisConnectionFactory;

/**
 * Whether somebody told Spring Data Redis where its server is. The starter brings a
 * connection factory in any case, to a server on localhost that nobody may ever have
 * started.
 *
 * @param configured whether a server was named
 * @param reason what says so, to end a sentence
 */
record ConfiguredRedis(boolean configured, String reason) {

	private static final List<String> PROPERTIES = List.of("spring.data.redis.url", "spring.data.redis.host",
			"spring.data.redis.port");

	private static final List<String> LISTS = List.of("spring.data.redis.sentinel.nodes",
			"spring.data.redis.cluster.nodes", "spring.data.redis.masterreplica.nodes");

	private static final Set<String> BOOT_CONFIGURATIONS = Set.of(
			"org.springframework.boot.data.redis.autoconfigure.LettuceConnectionConfiguration",
			"org.springframework.boot.data.redis.autoconfigure.JedisConnectionConfiguration");

	private static final String BOOT_DETAILS = "org.springframework.boot.data.redis.autoconfigure.DataRedisConnectionDetails";

	private static final String PROPERTIES_DETAILS = "org.springframework.boot.data.redis.autoconfigure.PropertiesDataRedisConnectionDetails";

	static ConfiguredRedis find(ConfigurableListableBeanFactory beanFactory, Environment environment) {
		Binder binder = Binder.get(environment);
		for (String property : PROPERTIES) {
			if (binder.bind(property, String.class).isBound()) {
				return new ConfiguredRedis(true, property + " is set");
			}
		}
		for (String property : LISTS) {
			if (binder.bind(property, Bindable.listOf(String.class)).isBound()) {
				return new ConfiguredRedis(true, property + " is set");
			}
		}
		for (String name : beanFactory.getBeanNamesForType(ConnectionDetails.class)) {
			if (namesRedis(beanFactory.getBean(name).getClass())) {
				return new ConfiguredRedis(true, "the bean '" + name + "' says where it is");
			}
		}
		for (String name : beanFactory.getBeanNamesForType(RedisConnectionFactory.class)) {
			if (!madeByBoot(beanFactory, name)) {
				return new ConfiguredRedis(true, "the bean '" + name + "' connects to it");
			}
		}
		return new ConfiguredRedis(false, "no property under spring.data.redis names a server");
	}

	private static boolean namesRedis(Class<?> type) {
		if (type.getName().equals(PROPERTIES_DETAILS)) {
			return false;
		}
		for (Class<?> current = type; current != null; current = current.getSuperclass()) {
			for (Class<?> implemented : current.getInterfaces()) {
				if (implemented.getName().equals(BOOT_DETAILS)) {
					return true;
				}
			}
		}
		return false;
	}

	private static boolean madeByBoot(ConfigurableListableBeanFactory beanFactory, String name) {
		if (!beanFactory.containsBeanDefinition(name)) {
			return false;
		}
		BeanDefinition definition = beanFactory.getMergedBeanDefinition(name);
		String configuration = definition.getFactoryBeanName();
		return configuration != null && BOOT_CONFIGURATIONS.contains(configuration);
	}

}
