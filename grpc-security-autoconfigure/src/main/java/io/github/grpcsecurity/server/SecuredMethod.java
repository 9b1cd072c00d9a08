package io.github.grpcsecurity.server;

import java.util.Objects;

import io.grpc.MethodDescriptor;
import org.jspecify.annotations.Nullable;

/**
 * One RPC of the server, as the features see it when they compile its plan.
 *
 * @param descriptor the gRPC method; for unknown methods a stand-in whose name no client
 * can send
 * @param bean the object that implements the service, without proxies where they can be
 * looked through; {@code null} when there is none, as for unknown methods
 * @param beanName name of the bean that implements the service
 * @since 0.1.0
 */
public record SecuredMethod(MethodDescriptor<?, ?> descriptor, @Nullable Object bean, @Nullable String beanName) {

	public SecuredMethod {
		Objects.requireNonNull(descriptor, "descriptor");
	}

	/**
	 * Name of the method as gRPC writes it.
	 * @return {@code package.Service/Method}
	 */
	public String fullName() {
		return this.descriptor.getFullMethodName();
	}

	/**
	 * Name of the service.
	 * @return {@code package.Service}
	 */
	public String serviceName() {
		return Objects.requireNonNullElse(this.descriptor.getServiceName(), "");
	}

	/**
	 * Name of the method inside its service.
	 * @return {@code Method}
	 */
	public String bareName() {
		return Objects.requireNonNullElse(this.descriptor.getBareMethodName(), "");
	}

	/**
	 * Whether this stands for all methods that the server does not have.
	 * @return {@code true} for the one plan that unknown methods share
	 */
	public boolean unknown() {
		return this.descriptor == FallbackRegistry.UNKNOWN;
	}

}
