package io.github.grpcsecurity.autoconfigure;

import io.github.grpcsecurity.dev.DevDirectory;
import io.github.grpcsecurity.tls.AltsPeerStage;
import io.github.grpcsecurity.tls.AltsTransport;
import io.github.grpcsecurity.tls.SpiffeTrust;
import io.github.grpcsecurity.tls.TlsHandshakeListener;
import io.github.grpcsecurity.tls.TlsMaterialSource;
import io.github.grpcsecurity.tls.TransportConfigurer;
import io.github.grpcsecurity.tls.WorkloadApi;
import io.grpc.alts.AltsServerCredentials;
import io.grpc.netty.shaded.io.grpc.netty.NettyServerBuilder;

import org.springframework.beans.factory.ObjectProvider;
import org.springframework.boot.autoconfigure.AutoConfiguration;
import org.springframework.boot.autoconfigure.condition.ConditionalOnBooleanProperty;
import org.springframework.boot.autoconfigure.condition.ConditionalOnClass;
import org.springframework.boot.autoconfigure.condition.ConditionalOnMissingBean;
import org.springframework.boot.autoconfigure.condition.ConditionalOnProperty;
import org.springframework.boot.autoconfigure.ssl.SslAutoConfiguration;
import org.springframework.boot.context.properties.EnableConfigurationProperties;
import org.springframework.boot.ssl.SslBundles;
import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Configuration;
import org.springframework.context.annotation.Lazy;
import org.springframework.core.env.Environment;
import org.springframework.core.io.ResourceLoader;

/**
 * Serves TLS, or plaintext where that has been asked for by name.
 *
 * @since 0.1.0
 */
@AutoConfiguration(after = { SslAutoConfiguration.class, GrpcDevAutoConfiguration.class })
@ConditionalOnBooleanProperty(name = "grpc.security.enabled", matchIfMissing = true)
@EnableConfigurationProperties({ GrpcSecurityProperties.class, GrpcTlsProperties.class })
public final class GrpcTransportAutoConfiguration {

	@Bean
	@ConditionalOnMissingBean
	TransportConfigurer grpcTransportConfigurer(GrpcSecurityProperties security, GrpcTlsProperties tls,
			Environment environment, ResourceLoader resources, ObjectProvider<TlsMaterialSource> source,
			ObjectProvider<SslBundles> bundles, ObjectProvider<DevDirectory> dev, ObjectProvider<AltsTransport> alts,
			ObjectProvider<TlsHandshakeListener> listeners, ObjectProvider<SpiffeTrust> spiffe,
			ObjectProvider<WorkloadApi> workload) {
		return new TransportSetup(security, tls, environment, resources).configurer(source.getIfAvailable(),
				bundles.getIfAvailable(), dev.getIfAvailable(), alts::getIfAvailable,
				listeners.orderedStream().toList(), spiffe.getIfAvailable(), workload.getIfAvailable());
	}

	/** Speaks ALTS where Google Cloud offers it. */
	@Configuration(proxyBeanMethods = false)
	@ConditionalOnProperty(name = "grpc.security.transport", havingValue = "alts")
	@ConditionalOnClass({ AltsServerCredentials.class, NettyServerBuilder.class })
	static final class AltsConfiguration {

		// The checks of the transport come before the one for Google Cloud
		@Bean
		@Lazy
		@ConditionalOnMissingBean
		AltsTransport grpcAltsTransport() {
			return AltsTransport.onGoogleCloud();
		}

		@Bean
		AltsPeerStage grpcAltsPeerStage() {
			return new AltsPeerStage();
		}

	}

}
