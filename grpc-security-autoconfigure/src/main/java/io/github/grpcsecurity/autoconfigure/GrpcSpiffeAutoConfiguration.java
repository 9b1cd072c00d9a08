package io.github.grpcsecurity.autoconfigure;

import io.github.grpcsecurity.server.GrpcSecurityThreads;
import io.github.grpcsecurity.tls.ClientAuth;
import io.github.grpcsecurity.tls.SpiffeTrust;
import io.github.grpcsecurity.tls.TlsConfigurationException;
import io.github.grpcsecurity.tls.TlsLocation;

import org.springframework.boot.autoconfigure.AutoConfiguration;
import org.springframework.boot.autoconfigure.condition.ConditionalOnBooleanProperty;
import org.springframework.boot.autoconfigure.condition.ConditionalOnMissingBean;
import org.springframework.boot.autoconfigure.condition.ConditionalOnProperty;
import org.springframework.boot.context.properties.EnableConfigurationProperties;
import org.springframework.boot.io.ApplicationResourceLoader;
import org.springframework.context.annotation.Bean;
import org.springframework.core.io.ResourceLoader;
import org.springframework.util.ClassUtils;

/**
 * Auto-configuration for trust in the SPIFFE IDs of clients.
 *
 * @since 0.1.0
 */
@AutoConfiguration(before = GrpcTransportAutoConfiguration.class, after = GrpcSecurityAutoConfiguration.class)
@ConditionalOnBooleanProperty(name = "grpc.security.enabled", matchIfMissing = true)
@EnableConfigurationProperties(GrpcTlsProperties.class)
public final class GrpcSpiffeAutoConfiguration {

	private static final String BUNDLE_MAP = "grpc.security.tls.spiffe.bundle-map";

	private static final String JACKSON = "tools.jackson.databind.json.JsonMapper";

	@Bean
	@ConditionalOnMissingBean
	@ConditionalOnProperty(BUNDLE_MAP)
	SpiffeTrust grpcSpiffeTrust(GrpcTlsProperties properties, ResourceLoader resources, GrpcSecurityThreads threads) {
		if (!ClassUtils.isPresent(JACKSON, resources.getClassLoader())) {
			throw new TlsConfigurationException(BUNDLE_MAP + " is set, but Jackson, which reads it, is missing.",
					"Add tools.jackson.core:jackson-databind, or remove grpc.security.tls.spiffe.*.");
		}
		if (properties.clientAuth() == ClientAuth.NONE) {
			throw new TlsConfigurationException(
					BUNDLE_MAP
							+ " is set, but grpc.security.tls.client-auth is 'none', so no client shows an identity.",
					"Set grpc.security.tls.client-auth to require or optional, or remove grpc.security.tls.spiffe.*.");
		}
		String value = String.valueOf(properties.spiffe().bundleMap());
		TlsLocation location = new TlsLocation(BUNDLE_MAP, value,
				ApplicationResourceLoader.get(resources, true).getResource(value));
		SpiffeTrust trust = new SpiffeTrust(location, properties.spiffe().trustDomains());
		trust.poll(threads.scheduler(), threads.executor(), properties.reloadInterval());
		return trust;
	}

}
