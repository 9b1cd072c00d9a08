package io.github.grpcsecurity.autoconfigure;

import io.github.grpcsecurity.authentication.alts.AltsCredentialAuthenticator;
import io.github.grpcsecurity.tls.AltsPeer;
import io.grpc.alts.AltsContextUtil;

import org.springframework.boot.autoconfigure.AutoConfiguration;
import org.springframework.boot.autoconfigure.condition.ConditionalOnBooleanProperty;
import org.springframework.boot.autoconfigure.condition.ConditionalOnClass;
import org.springframework.boot.autoconfigure.condition.ConditionalOnMissingBean;
import org.springframework.boot.autoconfigure.condition.ConditionalOnProperty;
import org.springframework.context.annotation.Bean;

/**
 * Identifies callers by the service accounts of ALTS.
 *
 * @since 0.1.0
 */
@AutoConfiguration(before = GrpcAuthenticationAutoConfiguration.class)
@ConditionalOnBooleanProperty(name = "grpc.security.enabled", matchIfMissing = true)
@ConditionalOnProperty(name = "grpc.security.transport", havingValue = "alts")
@ConditionalOnClass(AltsContextUtil.class)
public final class GrpcAltsAuthenticationAutoConfiguration {

	@Bean
	@ConditionalOnMissingBean
	AltsCredentialAuthenticator grpcAltsCredentialAuthenticator() {
		return new AltsCredentialAuthenticator((call) -> {
			AltsPeer peer = AltsPeer.of(call.attributes());
			return (peer != null) ? peer.identity() : null;
		});
	}

}
