package io.github.grpcsecurity.autoconfigure;

import java.lang.annotation.Documented;
import java.lang.annotation.ElementType;
import java.lang.annotation.Retention;
import java.lang.annotation.RetentionPolicy;
import java.lang.annotation.Target;

import org.springframework.context.annotation.Conditional;

/**
 * Matches when a property has a value. Unlike Spring Boot's own condition, {@code ~} in
 * YAML, which arrives as an empty text, is none, and a value such as {@code false} is no
 * switch but a mistake that whoever reads it reports.
 */
@Documented
@Retention(RetentionPolicy.RUNTIME)
@Target({ ElementType.TYPE, ElementType.METHOD })
@Conditional(OnSetPropertyCondition.class)
@interface ConditionalOnSetProperty {

	/** Full name of the property. */
	String value();

}
