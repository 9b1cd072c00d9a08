package io.github.grpcsecurity.autoconfigure;

import java.util.ArrayList;
import java.util.List;

import org.jspecify.annotations.Nullable;

import org.springframework.beans.factory.ListableBeanFactory;
import org.springframework.data.redis.connection.RedisConnectionFactory;

/**
 * Something belongs in Redis, but there is no connection that leads there.
 */
final class MissingRedisException extends IllegalStateException {

	private static final long serialVersionUID = 1L;

	private static final String LETTUCE = "org.springframework.data.redis.connection.lettuce.LettuceConnectionFactory";

	private final String description;

	private final String action;

	private MissingRedisException(String description, String action) {
		super(description + " " + action);
		this.description = description;
		this.action = action;
	}

	/**
	 * Describes that there is no connection at all.
	 * @param property the property that says where something is kept
	 * @param kept what that is
	 * @param wish who wants it to be in Redis, as the start of a sentence
	 */
	static MissingRedisException none(String property, String kept, String wish) {
		return new MissingRedisException(wish + ", but there is no RedisConnectionFactory bean.",
				"Add spring-boot-starter-data-redis and set spring.data.redis.*, or " + alone(property, kept));
	}

	/**
	 * Describes that there is no single connection by Lettuce. Spring Data Redis has to
	 * be on the class path.
	 * @param property the property that says where something is kept
	 * @param kept what that is
	 * @param wish who wants it to be in Redis, as the start of a sentence
	 * @param beans where the connections are
	 */
	static MissingRedisException of(String property, String kept, String wish, ListableBeanFactory beans) {
		List<String> lettuce = new ArrayList<>();
		List<String> others = new ArrayList<>();
		for (String name : beans.getBeanNamesForType(RedisConnectionFactory.class)) {
			Class<?> type = beans.getType(name);
			if (isLettuce(type)) {
				lettuce.add(name);
			}
			else {
				others.add((type != null) ? name + " (" + type.getSimpleName() + ")" : name);
			}
		}
		if (!lettuce.isEmpty()) {
			return new MissingRedisException(
					wish + ", but there is more than one LettuceConnectionFactory bean, and none is @Primary: "
							+ String.join(", ", lettuce) + ".",
					"Mark the one to use as @Primary, or " + alone(property, kept));
		}
		if (!others.isEmpty()) {
			return new MissingRedisException(
					wish + ", but there is no LettuceConnectionFactory bean, only " + String.join(", ", others) + ".",
					"Connect with Lettuce, which spring-boot-starter-data-redis brings and"
							+ " spring.data.redis.client-type=lettuce chooses, or " + alone(property, kept));
		}
		return none(property, kept, wish);
	}

	/** By name: it may not be on the class path. */
	private static boolean isLettuce(@Nullable Class<?> type) {
		for (Class<?> current = type; current != null; current = current.getSuperclass()) {
			if (current.getName().equals(LETTUCE)) {
				return true;
			}
		}
		return false;
	}

	private static String alone(String property, String kept) {
		return "keep " + kept + " in this server alone with " + property + "=memory.";
	}

	/** What is wrong. */
	String description() {
		return this.description;
	}

	/** Each way out. */
	String action() {
		return this.action;
	}

}
