package io.github.grpcsecurity.autoconfigure;

import io.github.grpcsecurity.authentication.AuthenticationStage;
import io.github.grpcsecurity.authentication.CredentialAuthenticator;

import org.springframework.beans.factory.ObjectProvider;
import org.springframework.boot.autoconfigure.AutoConfiguration;
import org.springframework.boot.autoconfigure.condition.ConditionalOnBooleanProperty;
import org.springframework.boot.autoconfigure.condition.ConditionalOnMissingBean;
import org.springframework.context.annotation.Bean;

/**
 * Puts authentication into the pipeline, with every {@link CredentialAuthenticator} that
 * there is.
 *
 * @since 0.1.0
 */
@AutoConfiguration
@ConditionalOnBooleanProperty(name = "grpc.security.enabled", matchIfMissing = true)
public final class GrpcAuthenticationAutoConfiguration {

	@Bean
	@ConditionalOnMissingBean
	AuthenticationStage grpcAuthenticationStage(ObjectProvider<CredentialAuthenticator> authenticators) {
		return new AuthenticationStage(authenticators.orderedStream().toList());
	}

}
