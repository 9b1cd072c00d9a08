package io.github.grpcsecurity.autoconfigure;

import java.util.Set;

import com.nimbusds.jwt.proc.JWTProcessor;
import io.github.grpcsecurity.authentication.jwt.JwtIssuer;
import io.github.grpcsecurity.dev.DevDirectory;

import org.springframework.boot.autoconfigure.AutoConfiguration;
import org.springframework.boot.autoconfigure.condition.ConditionalOnBean;
import org.springframework.boot.autoconfigure.condition.ConditionalOnClass;
import org.springframework.boot.autoconfigure.condition.ConditionalOnMissingBean;
import org.springframework.boot.autoconfigure.condition.NoneNestedConditions;
import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Conditional;
import org.springframework.core.io.FileSystemResource;
import org.springframework.security.oauth2.jwt.JwtDecoder;

/**
 * Trusts tokens that are signed with the throw-away key of the development mode, as long
 * as nobody says whose tokens to trust.
 *
 * @since 0.1.0
 */
@AutoConfiguration(after = GrpcDevAutoConfiguration.class, before = GrpcJwtAutoConfiguration.class,
		afterName = "org.springframework.boot.security.oauth2.server.resource.autoconfigure.OAuth2ResourceServerAutoConfiguration")
@ConditionalOnClass({ JwtDecoder.class, JWTProcessor.class })
@ConditionalOnBean(DevDirectory.class)
@Conditional(GrpcDevJwtAutoConfiguration.NoIssuersConfigured.class)
public final class GrpcDevJwtAutoConfiguration {

	@Bean
	@ConditionalOnMissingBean({ JwtIssuer.class, JwtDecoder.class })
	JwtIssuer grpcDevJwtIssuer(DevDirectory directory) {
		return JwtIssuer.of(directory.issuer())
			.audiences(Set.of(directory.audience()))
			.publicKeys(new FileSystemResource(directory.jwkSet()))
			.build();
	}

	/** The properties name no issuer. */
	static final class NoIssuersConfigured extends NoneNestedConditions {

		NoIssuersConfigured() {
			super(ConfigurationPhase.REGISTER_BEAN);
		}

		@Conditional(GrpcJwtAutoConfiguration.IssuersCondition.class)
		static final class Configured {

		}

	}

}
