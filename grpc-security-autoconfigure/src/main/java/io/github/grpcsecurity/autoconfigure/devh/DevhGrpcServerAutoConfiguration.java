package io.github.grpcsecurity.autoconfigure.devh;

import java.util.Collection;
import java.util.List;

import io.github.grpcsecurity.autoconfigure.GrpcSecurityAutoConfiguration;
import io.github.grpcsecurity.autoconfigure.GrpcServerSecurityCustomizer;
import io.github.grpcsecurity.server.GrpcServerSecurity;
import io.github.grpcsecurity.server.SecuredService;
import io.grpc.ServerInterceptor;
import io.micrometer.core.instrument.binder.grpc.MetricCollectingServerInterceptor;
import io.micrometer.core.instrument.binder.grpc.ObservationGrpcServerInterceptor;
import net.devh.boot.grpc.server.security.interceptors.AuthenticatingServerInterceptor;
import net.devh.boot.grpc.server.serverfactory.GrpcServerConfigurer;
import net.devh.boot.grpc.server.service.GrpcServiceDefinition;
import net.devh.boot.grpc.server.service.GrpcServiceDiscoverer;

import org.springframework.beans.factory.ListableBeanFactory;
import org.springframework.beans.factory.ObjectProvider;
import org.springframework.boot.autoconfigure.AutoConfiguration;
import org.springframework.boot.autoconfigure.condition.ConditionalOnBooleanProperty;
import org.springframework.boot.autoconfigure.condition.ConditionalOnClass;
import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Configuration;
import org.springframework.core.Ordered;
import org.springframework.core.annotation.Order;

/**
 * Auto-configuration that secures the servers of {@code net.devh}.
 *
 * @since 0.1.0
 */
@AutoConfiguration(after = GrpcSecurityAutoConfiguration.class,
		beforeName = "net.devh.boot.grpc.server.autoconfigure.GrpcServerAutoConfiguration")
@ConditionalOnClass(GrpcServerConfigurer.class)
@ConditionalOnBooleanProperty(name = "grpc.security.enabled", matchIfMissing = true)
public final class DevhGrpcServerAutoConfiguration {

	/** Runs after the configurers of the user, so that the pipeline is outermost. */
	@Bean
	@Order(Ordered.LOWEST_PRECEDENCE)
	GrpcServerConfigurer grpcSecurityServerConfigurer(ObjectProvider<GrpcServerSecurity> security,
			ObjectProvider<GrpcServiceDiscoverer> discoverer, ListableBeanFactory beanFactory) {
		return (builder) -> security.getObject().install(builder, services(discoverer.getObject(), beanFactory));
	}

	private static List<SecuredService> services(GrpcServiceDiscoverer discoverer, ListableBeanFactory beanFactory) {
		Collection<GrpcServiceDefinition> found = discoverer.findGrpcServices();
		return found.stream()
			.map((service) -> new SecuredService(service.getDefinition(),
					beanFactory.containsBean(service.getBeanName()) ? beanFactory.getBean(service.getBeanName()) : null,
					service.getBeanName()))
			.toList();
	}

	/** For user code that reads the caller's identity where the server used to put it. */
	@Bean
	GrpcServerSecurityCustomizer grpcSecurityContextKeyCustomizer() {
		return (builder) -> builder.contextKey(AuthenticatingServerInterceptor.SECURITY_CONTEXT_KEY);
	}

	/** Lets the server's own metrics count refused calls. */
	@Configuration(proxyBeanMethods = false)
	@ConditionalOnClass({ MetricCollectingServerInterceptor.class, ObservationGrpcServerInterceptor.class })
	static final class MetricsConfiguration {

		@Bean
		GrpcServerSecurityCustomizer grpcSecurityMetricsCustomizer(ObjectProvider<ServerInterceptor> interceptors) {
			return (builder) -> builder.refusalObservers(interceptors.orderedStream()
				.filter((interceptor) -> interceptor instanceof MetricCollectingServerInterceptor
						|| interceptor instanceof ObservationGrpcServerInterceptor)
				.toList());
		}

	}

}
