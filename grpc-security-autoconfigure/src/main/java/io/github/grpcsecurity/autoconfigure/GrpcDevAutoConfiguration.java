package io.github.grpcsecurity.autoconfigure;

import java.nio.file.Path;
import java.time.InstantSource;

import io.github.grpcsecurity.dev.DevDirectory;
import org.apache.commons.logging.Log;
import org.apache.commons.logging.LogFactory;

import org.springframework.boot.autoconfigure.AutoConfiguration;
import org.springframework.boot.autoconfigure.condition.ConditionalOnBooleanProperty;
import org.springframework.boot.context.properties.EnableConfigurationProperties;
import org.springframework.boot.context.properties.source.InvalidConfigurationPropertyValueException;
import org.springframework.context.annotation.Bean;
import org.springframework.core.env.Environment;
import org.springframework.core.io.ResourceLoader;
import org.springframework.util.ClassUtils;

/**
 * Makes throw-away credentials for development, on loopback addresses only.
 *
 * @since 0.1.0
 */
@AutoConfiguration
@ConditionalOnBooleanProperty(name = "grpc.security.enabled", matchIfMissing = true)
@ConditionalOnBooleanProperty("grpc.security.dev.enabled")
@EnableConfigurationProperties(GrpcDevProperties.class)
public final class GrpcDevAutoConfiguration {

	private static final Log logger = LogFactory.getLog(GrpcDevAutoConfiguration.class);

	private static final String ENABLED = "grpc.security.dev.enabled";

	@Bean
	DevDirectory grpcDevDirectory(GrpcDevProperties properties, Environment environment, ResourceLoader resources) {
		HostServer host = new HostServer(environment);
		if (!host.isLocal()) {
			throw new InvalidConfigurationPropertyValueException(ENABLED, true,
					"Development mode works on this machine only, but the gRPC server listens on "
							+ host.describeAddress() + ". Set " + HostServer.ADDRESS
							+ "=127.0.0.1, or turn development mode off and set up TLS with grpc.security.tls.*");
		}
		if (!ClassUtils.isPresent("io.netty.pkitesting.CertificateBuilder", resources.getClassLoader())) {
			throw new InvalidConfigurationPropertyValueException(ENABLED, true,
					"Development mode makes certificates with a library that is not there. Add the dependency "
							+ "io.netty:netty-pkitesting, or turn development mode off");
		}
		Path directory = properties.directory();
		DevDirectory dev = DevDirectory.prepare(
				(directory != null) ? directory : Path.of(System.getProperty("java.io.tmpdir"), "grpc-security-dev"),
				InstantSource.system());
		logger.warn(dev.banner());
		if (environment.containsProperty(DevModeEnvironmentPostProcessor.MARKER)) {
			logger.warn(HostServer.ADDRESS
					+ " is not set: in development mode the gRPC server listens on 127.0.0.1 instead of all addresses.");
		}
		return dev;
	}

}
