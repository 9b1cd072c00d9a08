package io.github.grpcsecurity.server;

import java.util.Objects;

import io.grpc.ServerServiceDefinition;
import org.jspecify.annotations.Nullable;

/**
 * A service as the host server found it.
 *
 * @param definition the service with the host's own interceptors around its handlers
 * @param bean the object that implements the service; {@code null} if it is not known
 * @param beanName name of that bean; {@code null} if it is not known
 * @since 0.1.0
 */
public record SecuredService(ServerServiceDefinition definition, @Nullable Object bean, @Nullable String beanName) {

	public SecuredService {
		Objects.requireNonNull(definition, "definition");
	}

}
