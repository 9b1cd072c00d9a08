package io.github.grpcsecurity.autoconfigure;

import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.function.Function;

import io.github.grpcsecurity.server.CallObserver;
import io.github.grpcsecurity.server.CallStage;
import io.github.grpcsecurity.server.GrpcSecurityThreads;
import io.github.grpcsecurity.server.GrpcServerSecurity;
import io.github.grpcsecurity.server.ServerBuilderConfigurer;
import io.github.grpcsecurity.server.StatusTranslator;
import io.grpc.DecompressorRegistry;
import io.grpc.HandlerRegistry;

import org.springframework.beans.factory.ObjectProvider;
import org.springframework.boot.autoconfigure.AutoConfiguration;
import org.springframework.boot.autoconfigure.condition.ConditionalOnBooleanProperty;
import org.springframework.boot.autoconfigure.condition.ConditionalOnMissingBean;
import org.springframework.boot.context.properties.ConfigurationPropertiesBindHandlerAdvisor;
import org.springframework.boot.context.properties.EnableConfigurationProperties;
import org.springframework.boot.context.properties.bind.Binder;
import org.springframework.boot.context.properties.bind.PropertySourcesPlaceholdersResolver;
import org.springframework.boot.context.properties.source.ConfigurationPropertySource;
import org.springframework.boot.context.properties.source.ConfigurationPropertySources;
import org.springframework.boot.context.properties.source.UnboundElementsSourceFilter;
import org.springframework.context.annotation.Bean;
import org.springframework.core.env.Environment;

/**
 * Auto-configuration for the security pipeline of gRPC servers.
 * <p>
 * Features contribute beans of type {@link CallStage}, {@link CallObserver} and
 * {@link ServerBuilderConfigurer}; an adapter for the server in use installs the result.
 *
 * @since 0.1.0
 */
@AutoConfiguration
@ConditionalOnBooleanProperty(name = "grpc.security.enabled", matchIfMissing = true)
@EnableConfigurationProperties(GrpcErrorsProperties.class)
public final class GrpcSecurityAutoConfiguration {

	private static final Set<String> KEYS = Set.of("enabled", "transport", "allowinsecure", "tls", "dev",
			"authentication", "authorization", "ratelimit", "audit", "limits", "errors", "reflection", "proxy");

	private static final Set<String> AUTHENTICATION_KEYS = Set.of("jwt", "requirements", "forwardcredentials",
			"clientcertificate", "opaquetoken", "apikey", "basic", "failures", "oncredentialexpiry", "revocation");

	private static final Set<String> REQUIREMENT_KEYS = Set.of("methods", "anyof", "allof");

	GrpcSecurityAutoConfiguration(Environment environment) {
		// The environment of a process has names that others gave, such as those of
		// services
		// in a cluster; like Spring Boot, take only what was written as a property
		Function<ConfigurationPropertySource, Boolean> written = new UnboundElementsSourceFilter();
		List<ConfigurationPropertySource> sources = new ArrayList<>();
		ConfigurationPropertySources.get(environment).forEach((source) -> {
			if (written.apply(source)) {
				sources.add(source);
			}
		});
		SupportedKeys keys = new SupportedKeys(
				new Binder(sources, new PropertySourcesPlaceholdersResolver(environment)));
		keys.check("grpc.security", KEYS);
		keys.check("grpc.security.authentication", AUTHENTICATION_KEYS);
		keys.checkElements("grpc.security.authentication.requirements", REQUIREMENT_KEYS);
	}

	@Bean
	static ConfigurationPropertiesBindHandlerAdvisor grpcEmptySettings() {
		return new EmptySettings();
	}

	@Bean
	@ConditionalOnMissingBean
	GrpcSecurityThreads grpcSecurityThreads() {
		return new GrpcSecurityThreads();
	}

	@Bean
	@ConditionalOnMissingBean
	StatusTranslator grpcStatusTranslator(GrpcErrorsProperties properties) {
		return new StatusTranslator(properties.exposeDescriptions());
	}

	@Bean
	@ConditionalOnMissingBean
	GrpcServerSecurity grpcServerSecurity(ObjectProvider<CallStage> stages, ObjectProvider<CallObserver> observers,
			ObjectProvider<ServerBuilderConfigurer> configurers, StatusTranslator translator,
			GrpcSecurityThreads threads, ObjectProvider<HandlerRegistry> fallbackRegistry,
			ObjectProvider<DecompressorRegistry> decompressors,
			ObjectProvider<GrpcServerSecurityCustomizer> customizers) {
		GrpcServerSecurity.Builder builder = GrpcServerSecurity.builder()
			.stages(stages.orderedStream().toList())
			.observers(observers.orderedStream().toList())
			.configurers(configurers.orderedStream().toList())
			.statusTranslator(translator)
			.executor(threads.executor())
			.fallbackRegistry(fallbackRegistry.getIfUnique());
		decompressors.ifUnique(builder::decompressorRegistry);
		customizers.orderedStream().forEach((customizer) -> customizer.customize(builder));
		return builder.build();
	}

}
