package io.github.grpcsecurity.autoconfigure;

import io.github.grpcsecurity.authorization.AuthorizationExplainer;
import io.github.grpcsecurity.server.GrpcServerSecurity;

import org.springframework.beans.factory.ObjectProvider;
import org.springframework.boot.actuate.autoconfigure.endpoint.condition.ConditionalOnAvailableEndpoint;
import org.springframework.boot.actuate.endpoint.annotation.Endpoint;
import org.springframework.boot.autoconfigure.AutoConfiguration;
import org.springframework.boot.autoconfigure.condition.ConditionalOnBooleanProperty;
import org.springframework.boot.autoconfigure.condition.ConditionalOnClass;
import org.springframework.boot.autoconfigure.condition.ConditionalOnMissingBean;
import org.springframework.context.annotation.Bean;

/**
 * Auto-configuration for the actuator endpoint {@code grpcsecurity}.
 *
 * @since 0.1.0
 */
@AutoConfiguration(afterName = "org.springframework.boot.actuate.autoconfigure.endpoint.EndpointAutoConfiguration")
@ConditionalOnBooleanProperty(name = "grpc.security.enabled", matchIfMissing = true)
@ConditionalOnClass({ Endpoint.class, ConditionalOnAvailableEndpoint.class })
public final class GrpcSecurityEndpointAutoConfiguration {

	@Bean
	@ConditionalOnMissingBean
	@ConditionalOnAvailableEndpoint
	GrpcSecurityEndpoint grpcSecurityEndpoint(ObjectProvider<GrpcServerSecurity> security,
			ObjectProvider<AuthorizationExplainer> explainer) {
		return new GrpcSecurityEndpoint(security::getIfAvailable,
				explainer.getIfUnique(() -> new AuthorizationExplainer(security::getIfAvailable)));
	}

}
