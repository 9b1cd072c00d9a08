package io.github.grpcsecurity.autoconfigure;

import java.net.URI;
import java.time.InstantSource;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

import javax.net.ssl.SSLContext;

import io.github.grpcsecurity.authorization.opa.MicrometerOpaObserver;
import io.github.grpcsecurity.authorization.opa.OpaObserver;
import io.github.grpcsecurity.authorization.opa.OpaPolicy;
import io.github.grpcsecurity.server.GrpcSecurityThreads;
import io.github.grpcsecurity.server.MethodPattern;
import io.micrometer.core.instrument.MeterRegistry;
import org.jspecify.annotations.Nullable;

import org.springframework.beans.factory.ObjectProvider;
import org.springframework.boot.autoconfigure.AutoConfiguration;
import org.springframework.boot.autoconfigure.condition.ConditionalOnBean;
import org.springframework.boot.autoconfigure.condition.ConditionalOnBooleanProperty;
import org.springframework.boot.autoconfigure.condition.ConditionalOnClass;
import org.springframework.boot.autoconfigure.condition.ConditionalOnMissingBean;
import org.springframework.boot.context.properties.EnableConfigurationProperties;
import org.springframework.boot.context.properties.bind.Bindable;
import org.springframework.boot.context.properties.bind.Binder;
import org.springframework.boot.context.properties.source.InvalidConfigurationPropertyValueException;
import org.springframework.boot.io.ApplicationResourceLoader;
import org.springframework.boot.ssl.NoSuchSslBundleException;
import org.springframework.boot.ssl.SslBundles;
import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Condition;
import org.springframework.context.annotation.ConditionContext;
import org.springframework.context.annotation.Conditional;
import org.springframework.context.annotation.Configuration;
import org.springframework.core.ResolvableType;
import org.springframework.core.env.Environment;
import org.springframework.core.io.Resource;
import org.springframework.core.io.ResourceLoader;
import org.springframework.core.type.AnnotatedTypeMetadata;
import org.springframework.util.ClassUtils;
import org.springframework.util.StringUtils;

/**
 * Auto-configuration for asking an Open Policy Agent about calls.
 *
 * @since 0.1.0
 */
@AutoConfiguration(after = GrpcSecurityAutoConfiguration.class, before = GrpcAuthorizationAutoConfiguration.class,
		afterName = { "org.springframework.boot.autoconfigure.ssl.SslAutoConfiguration",
				"org.springframework.boot.micrometer.metrics.autoconfigure.CompositeMeterRegistryAutoConfiguration" })
@ConditionalOnBooleanProperty(name = "grpc.security.enabled", matchIfMissing = true)
@Conditional(GrpcOpaAutoConfiguration.OnOpa.class)
@EnableConfigurationProperties(GrpcOpaProperties.class)
public final class GrpcOpaAutoConfiguration {

	private static final String PREFIX = "grpc.security.authorization.opa";

	private static final String API_KEY_HEADER = "grpc.security.authentication.api-key.header";

	private static final String JSON_FORMAT = "com.google.protobuf.util.JsonFormat";

	private static final String CAFFEINE = "com.github.benmanes.caffeine.cache.Caffeine";

	@Bean
	@ConditionalOnMissingBean
	OpaPolicy grpcOpaPolicy(GrpcOpaProperties properties, GrpcSecurityThreads threads, ResourceLoader resources,
			Environment environment, ObjectProvider<SslBundles> bundles, ObjectProvider<InstantSource> clock,
			ObjectProvider<OpaObserver> observers) {
		URI uri = uri(properties.url());
		OpaPolicy.Builder builder = builder(uri, properties, threads).methods(methods(properties.methods()))
			.includeMessage(properties.includeMessage())
			.includeCertificate(properties.includeCertificate())
			.forwardCredentials(properties.forwardCredentials())
			.credentialHeader(environment.getProperty(API_KEY_HEADER, "x-api-key"))
			.allowOnFailure(properties.onFailure() == GrpcOpaProperties.OnFailure.ALLOW)
			.shadow(properties.mode() == GrpcOpaProperties.Mode.SHADOW)
			.observers(observers.orderedStream().toList());
		clock.ifUnique(builder::clock);
		apply("path", properties.path(), () -> builder.path(properties.path()));
		apply("timeout", properties.timeout(), () -> builder.timeout(properties.timeout()));
		apply("max-concurrent", properties.maxConcurrent(), () -> builder.maxConcurrent(properties.maxConcurrent()));
		apply("cache-ttl", properties.cacheTtl(), () -> builder.cacheTtl(properties.cacheTtl()));
		apply("max-message-size", properties.maxMessageSize(), () -> builder
			.maxMessageSize(Math.toIntExact(Math.min(properties.maxMessageSize().toBytes(), Integer.MAX_VALUE))));
		requireClasses(properties, resources.getClassLoader());
		String bundle = properties.bundle();
		if (bundle != null) {
			builder.tls(tls(uri, bundle, bundles.getIfAvailable()));
		}
		OpaPolicy policy = build(builder, properties.tokenFile(), resources);
		if (bundle != null) {
			bundles.ifAvailable(
					(all) -> all.addBundleUpdateHandler(bundle, (updated) -> policy.tls(updated.createSslContext())));
		}
		return policy;
	}

	private static URI uri(@Nullable String url) {
		if (!StringUtils.hasText(url)) {
			throw new InvalidConfigurationPropertyValueException(PREFIX + ".url", url,
					"It is not known where OPA is, and without asking it calls would pass that it is meant to refuse."
							+ " Set it to an address such as https://opa.example:8181, or remove all of " + PREFIX
							+ ".");
		}
		try {
			return URI.create(url);
		}
		catch (IllegalArgumentException ex) {
			throw new InvalidConfigurationPropertyValueException(PREFIX + ".url", url,
					"It is not an address such as https://opa.example:8181.");
		}
	}

	private static OpaPolicy.Builder builder(URI uri, GrpcOpaProperties properties, GrpcSecurityThreads threads) {
		try {
			return OpaPolicy.builder(uri, threads.executor());
		}
		catch (IllegalArgumentException ex) {
			throw new InvalidConfigurationPropertyValueException(PREFIX + ".url", properties.url(),
					"OPA cannot be asked there: " + ex.getMessage() + ".");
		}
	}

	private static List<MethodPattern> methods(List<String> patterns) {
		if (patterns.isEmpty()) {
			throw new InvalidConfigurationPropertyValueException(PREFIX + ".methods", patterns,
					"OPA would be asked about nothing. Write **, or a pattern such as package.Service/*.");
		}
		List<MethodPattern> methods = new ArrayList<>();
		for (int i = 0; i < patterns.size(); i++) {
			try {
				methods.add(MethodPattern.parse(patterns.get(i)));
			}
			catch (IllegalArgumentException ex) {
				throw new InvalidConfigurationPropertyValueException(PREFIX + ".methods[" + i + "]", patterns.get(i),
						ex.getMessage() + ".");
			}
		}
		return methods;
	}

	private static void requireClasses(GrpcOpaProperties properties, @Nullable ClassLoader classLoader) {
		if (properties.includeMessage() && !ClassUtils.isPresent(JSON_FORMAT, classLoader)) {
			throw new InvalidConfigurationPropertyValueException(PREFIX + ".include-message", true,
					"What writes messages as JSON is missing. Add com.google.protobuf:protobuf-java-util.");
		}
		if (!properties.cacheTtl().isZero() && !ClassUtils.isPresent(CAFFEINE, classLoader)) {
			throw new InvalidConfigurationPropertyValueException(PREFIX + ".cache-ttl", properties.cacheTtl(),
					"The cache is missing. Add com.github.ben-manes.caffeine:caffeine, or remove the property.");
		}
	}

	private static SSLContext tls(URI uri, String bundle, @Nullable SslBundles bundles) {
		if (!"https".equalsIgnoreCase(uri.getScheme())) {
			throw new InvalidConfigurationPropertyValueException(PREFIX + ".bundle", bundle,
					"There is no TLS to an address that is not https. Remove it, or change " + PREFIX + ".url.");
		}
		try {
			if (bundles != null) {
				return bundles.getBundle(bundle).createSslContext();
			}
		}
		catch (NoSuchSslBundleException ex) {
			// Said below
		}
		throw new InvalidConfigurationPropertyValueException(PREFIX + ".bundle", bundle,
				"There is no SSL bundle of that name. Define it with spring.ssl.bundle.pem." + bundle
						+ ".* or spring.ssl.bundle.jks." + bundle + ".*, or correct the name.");
	}

	private static OpaPolicy build(OpaPolicy.Builder builder, @Nullable String tokenFile, ResourceLoader resources) {
		if (tokenFile == null) {
			return builder.build();
		}
		if (tokenFile.isBlank()) {
			throw new InvalidConfigurationPropertyValueException(PREFIX + ".token-file", tokenFile,
					"It names no file. Set it to a path, file: or classpath: location, or remove it.");
		}
		Resource file = ApplicationResourceLoader.get(resources, true).getResource(tokenFile);
		try {
			return builder.tokenFile(file).build();
		}
		catch (IllegalArgumentException ex) {
			throw new InvalidConfigurationPropertyValueException(PREFIX + ".token-file", tokenFile,
					"There is no token in it: " + ex.getMessage() + ".");
		}
	}

	private static void apply(String name, Object value, Runnable setting) {
		ConfiguredSetting.apply(PREFIX + "." + name, value, setting);
	}

	/** Times OPA's answers. */
	@Configuration(proxyBeanMethods = false)
	@ConditionalOnClass(MeterRegistry.class)
	@ConditionalOnBean(MeterRegistry.class)
	static class Metrics {

		@Bean
		@ConditionalOnMissingBean
		MicrometerOpaObserver grpcOpaMetrics(MeterRegistry registry) {
			return new MicrometerOpaObserver(registry);
		}

	}

	/**
	 * Whether anything is said about OPA. What leaves out where it is must not be as if
	 * nothing was said.
	 */
	static final class OnOpa implements Condition {

		@Override
		public boolean matches(ConditionContext context, AnnotatedTypeMetadata metadata) {
			ResolvableType map = ResolvableType.forClassWithGenerics(Map.class, String.class, Object.class);
			return Binder.get(context.getEnvironment()).bind(PREFIX, Bindable.of(map)).isBound();
		}

	}

}
