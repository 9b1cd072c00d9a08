package io.github.grpcsecurity.autoconfigure;

import java.util.Map;
import java.util.Objects;

import org.jspecify.annotations.Nullable;

import org.springframework.boot.autoconfigure.condition.ConditionMessage;
import org.springframework.boot.autoconfigure.condition.ConditionOutcome;
import org.springframework.boot.autoconfigure.condition.SpringBootCondition;
import org.springframework.boot.context.properties.bind.Binder;
import org.springframework.context.annotation.ConditionContext;
import org.springframework.core.env.Environment;
import org.springframework.core.type.AnnotatedTypeMetadata;

/** Finds out whether a property has a value. */
final class OnSetPropertyCondition extends SpringBootCondition {

	@Override
	public ConditionOutcome getMatchOutcome(ConditionContext context, AnnotatedTypeMetadata metadata) {
		Map<String, @Nullable Object> attributes = Objects
			.requireNonNull(metadata.getAnnotationAttributes(ConditionalOnSetProperty.class.getName()));
		String property = String.valueOf(attributes.get("value"));
		boolean set = isSet(context.getEnvironment(), property);
		return new ConditionOutcome(set,
				ConditionMessage.forCondition(property).because(set ? "it is set" : "it is not set"));
	}

	/** Whether a property has a value, and not only a place where one could stand. */
	static boolean isSet(Environment environment, String property) {
		String value = Binder.get(environment).bind(property, String.class).orElse(null);
		return value != null && !value.isEmpty();
	}

	/** What a setting says: nothing, if it is empty as {@code ~} in YAML is. */
	static @Nullable String valueOf(@Nullable String setting) {
		return (setting != null && setting.isEmpty()) ? null : setting;
	}

}
