package io.github.grpcsecurity.autoconfigure;

import java.util.ArrayList;
import java.util.List;

import io.github.grpcsecurity.authentication.AuthenticationGate;
import io.github.grpcsecurity.authentication.AuthenticationObserver;
import io.github.grpcsecurity.authentication.AuthenticationStage;
import io.github.grpcsecurity.authentication.CredentialAuthenticator;
import io.github.grpcsecurity.authentication.CredentialRequirement;

import org.springframework.beans.factory.ObjectProvider;
import org.springframework.boot.autoconfigure.AutoConfiguration;
import org.springframework.boot.autoconfigure.condition.ConditionalOnBooleanProperty;
import org.springframework.boot.autoconfigure.condition.ConditionalOnMissingBean;
import org.springframework.boot.context.properties.EnableConfigurationProperties;
import org.springframework.boot.context.properties.source.InvalidConfigurationPropertyValueException;
import org.springframework.context.annotation.Bean;

/**
 * Puts authentication into the pipeline, with every {@link CredentialAuthenticator} that
 * there is.
 *
 * @since 0.1.0
 */
@AutoConfiguration
@ConditionalOnBooleanProperty(name = "grpc.security.enabled", matchIfMissing = true)
@EnableConfigurationProperties(GrpcAuthenticationProperties.class)
public final class GrpcAuthenticationAutoConfiguration {

	private static final String REQUIREMENTS = "grpc.security.authentication.requirements";

	@Bean
	@ConditionalOnMissingBean
	AuthenticationStage grpcAuthenticationStage(GrpcAuthenticationProperties properties,
			ObjectProvider<CredentialAuthenticator> authenticators, ObjectProvider<AuthenticationGate> gates,
			ObjectProvider<AuthenticationObserver> observers) {
		AuthenticationStage.Builder builder = AuthenticationStage.builder()
			.authenticators(authenticators.orderedStream().toList())
			.requirements(requirements(properties))
			.gates(gates.orderedStream().toList())
			.observers(observers.orderedStream().toList())
			.forwardCredentials(properties.forwardCredentials());
		try {
			return builder.build();
		}
		catch (IllegalArgumentException ex) {
			throw new InvalidConfigurationPropertyValueException(REQUIREMENTS, properties.requirements(),
					ex.getMessage() + ".");
		}
	}

	private static List<CredentialRequirement> requirements(GrpcAuthenticationProperties properties) {
		List<CredentialRequirement> requirements = new ArrayList<>();
		for (GrpcAuthenticationProperties.Requirement requirement : properties.requirements()) {
			try {
				requirements
					.add(new CredentialRequirement(requirement.methods(), requirement.anyOf(), requirement.allOf()));
			}
			catch (IllegalArgumentException ex) {
				throw new InvalidConfigurationPropertyValueException(REQUIREMENTS + "[" + requirements.size() + "]",
						requirement, ex.getMessage() + ".");
			}
		}
		return requirements;
	}

}
