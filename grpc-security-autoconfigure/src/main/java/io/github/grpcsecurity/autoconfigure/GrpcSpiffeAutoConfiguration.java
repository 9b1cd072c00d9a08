package io.github.grpcsecurity.autoconfigure;

import java.time.Duration;

import io.github.grpcsecurity.server.GrpcSecurityThreads;
import io.github.grpcsecurity.tls.ClientAuth;
import io.github.grpcsecurity.tls.SpiffeTrust;
import io.github.grpcsecurity.tls.TlsConfigurationException;
import io.github.grpcsecurity.tls.TlsLocation;
import io.github.grpcsecurity.tls.WorkloadApi;

import org.springframework.boot.autoconfigure.AutoConfiguration;
import org.springframework.boot.autoconfigure.condition.ConditionalOnBooleanProperty;
import org.springframework.boot.autoconfigure.condition.ConditionalOnMissingBean;
import org.springframework.boot.context.properties.EnableConfigurationProperties;
import org.springframework.boot.io.ApplicationResourceLoader;
import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Configuration;
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

	private static final String JAVA_SPIFFE = "io.spiffe.workloadapi.grpc.SpiffeWorkloadAPIGrpc";

	private static final String JACKSON = "tools.jackson.databind.json.JsonMapper";

	@Bean
	@ConditionalOnMissingBean
	@ConditionalOnSetProperty(BUNDLE_MAP)
	SpiffeTrust grpcSpiffeTrust(GrpcTlsProperties properties, ResourceLoader resources, GrpcSecurityThreads threads) {
		if (!ClassUtils.isPresent(JACKSON, resources.getClassLoader())) {
			throw new TlsConfigurationException(BUNDLE_MAP + " is set, but Jackson, which reads it, is missing.",
					"Add tools.jackson.core:jackson-databind, or remove grpc.security.tls.spiffe.*.");
		}
		checkClientsShowIdentities(BUNDLE_MAP, properties);
		Duration interval = GrpcTlsReloadAutoConfiguration.interval(properties);
		String value = String.valueOf(properties.spiffe().bundleMap());
		TlsLocation location = new TlsLocation(BUNDLE_MAP, value,
				ApplicationResourceLoader.get(resources, true).getResource(value));
		SpiffeTrust trust = new SpiffeTrust(location, properties.spiffe().trustDomains());
		trust.poll(threads.scheduler(), threads.executor(), interval);
		return trust;
	}

	private static void checkClientsShowIdentities(String property, GrpcTlsProperties properties) {
		if (properties.clientAuth() == ClientAuth.NONE) {
			throw new TlsConfigurationException(
					property + " is set, but grpc.security.tls.client-auth is 'none', so no client shows an identity.",
					"Set grpc.security.tls.client-auth to require or optional, or remove grpc.security.tls.spiffe.*.");
		}
	}

	/** Gets roots, and the server's own SVID, from a SPIFFE agent. */
	@Configuration(proxyBeanMethods = false)
	@ConditionalOnSetProperty(WorkloadApi.PROPERTY)
	@ConditionalOnMissingBean(SpiffeTrust.class)
	static final class WorkloadApiConfiguration {

		@Bean
		@ConditionalOnMissingBean
		WorkloadApi grpcWorkloadApi(GrpcTlsProperties properties, ResourceLoader resources,
				GrpcSecurityThreads threads) {
			if (properties.spiffe().bundleMap() != null) {
				throw new TlsConfigurationException("It is said twice where the roots of trust domains are: "
						+ BUNDLE_MAP + " is set, and " + WorkloadApi.PROPERTY + " too.", "Keep one of the two.");
			}
			if (!ClassUtils.isPresent(JAVA_SPIFFE, resources.getClassLoader())) {
				throw new TlsConfigurationException(
						WorkloadApi.PROPERTY + " is set, but java-spiffe, which reads the answers, is missing.",
						"Add io.spiffe:java-spiffe-core, or remove " + WorkloadApi.PROPERTY + ".");
			}
			checkClientsShowIdentities(WorkloadApi.PROPERTY, properties);
			return WorkloadApi.connect(String.valueOf(properties.spiffe().workloadApiSocket()),
					properties.spiffe().trustDomains(), threads.scheduler());
		}

		@Bean
		SpiffeTrust grpcWorkloadTrust(WorkloadApi workload) {
			return workload.trust();
		}

	}

}
