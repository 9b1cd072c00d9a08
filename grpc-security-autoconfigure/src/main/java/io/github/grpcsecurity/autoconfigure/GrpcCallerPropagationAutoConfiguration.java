package io.github.grpcsecurity.autoconfigure;

import java.util.List;

import io.github.grpcsecurity.propagation.CallerTaskDecorator;
import io.github.grpcsecurity.propagation.CoroutineCallerInterceptor;
import io.grpc.kotlin.CoroutineContextServerInterceptor;

import org.springframework.boot.autoconfigure.AutoConfiguration;
import org.springframework.boot.autoconfigure.condition.ConditionalOnBooleanProperty;
import org.springframework.boot.autoconfigure.condition.ConditionalOnClass;
import org.springframework.boot.autoconfigure.condition.ConditionalOnMissingBean;
import org.springframework.boot.autoconfigure.task.TaskExecutionAutoConfiguration;
import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Configuration;
import org.springframework.context.annotation.Fallback;
import org.springframework.core.Ordered;
import org.springframework.core.annotation.Order;

/**
 * Auto-configuration that takes the caller of a call along to tasks of Spring's executors
 * and to Kotlin coroutines.
 *
 * @since 0.1.0
 */
@AutoConfiguration(after = { GrpcSecurityAutoConfiguration.class, TaskExecutionAutoConfiguration.class })
@ConditionalOnBooleanProperty(name = "grpc.security.enabled", matchIfMissing = true)
public final class GrpcCallerPropagationAutoConfiguration {

	// Spring Boot puts all decorators together, the last one outermost: those of the user
	// run as the caller too. As a fallback it gets in the way of nobody who asks for one
	@Bean
	@Fallback
	@Order(Ordered.LOWEST_PRECEDENCE)
	@ConditionalOnMissingBean(name = "grpcCallerTaskDecorator", value = CallerTaskDecorator.class)
	CallerTaskDecorator grpcCallerTaskDecorator() {
		return new CallerTaskDecorator();
	}

	/** For services written in Kotlin. */
	@Configuration(proxyBeanMethods = false)
	@ConditionalOnClass(CoroutineContextServerInterceptor.class)
	static final class CoroutineConfiguration {

		@Bean
		@ConditionalOnMissingBean(name = "grpcCoroutineCallerCustomizer")
		GrpcServerSecurityCustomizer grpcCoroutineCallerCustomizer() {
			return (builder) -> builder.handlerInterceptors(List.of(new CoroutineCallerInterceptor()));
		}

	}

}
