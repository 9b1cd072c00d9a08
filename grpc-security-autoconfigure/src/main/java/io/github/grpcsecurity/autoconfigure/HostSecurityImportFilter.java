package io.github.grpcsecurity.autoconfigure;

import java.util.Set;

import org.jspecify.annotations.Nullable;

import org.springframework.boot.autoconfigure.AutoConfigurationImportFilter;
import org.springframework.boot.autoconfigure.AutoConfigurationMetadata;
import org.springframework.context.EnvironmentAware;
import org.springframework.core.env.Environment;

/**
 * Keeps the security that gRPC servers bring themselves out of the application, as long
 * as ours is on.
 * <p>
 * That of {@code net.devh} does not even load with Spring Security 7 once there is an
 * {@code AuthenticationManager} bean, and that of Spring Boot would authenticate every
 * call a second time, health checks included.
 *
 * @since 0.1.0
 */
public final class HostSecurityImportFilter implements AutoConfigurationImportFilter, EnvironmentAware {

	private static final Set<String> REPLACED = Set.of(
			"net.devh.boot.grpc.server.autoconfigure.GrpcServerSecurityAutoConfiguration",
			"org.springframework.boot.grpc.server.autoconfigure.security.GrpcServerOAuth2ResourceServerAutoConfiguration");

	private @Nullable Environment environment;

	@Override
	public void setEnvironment(Environment environment) {
		this.environment = environment;
	}

	@Override
	public boolean[] match(@Nullable String[] autoConfigurationClasses,
			AutoConfigurationMetadata autoConfigurationMetadata) {
		boolean replace = this.environment == null
				|| this.environment.getProperty("grpc.security.enabled", Boolean.class, true);
		boolean[] matches = new boolean[autoConfigurationClasses.length];
		for (int i = 0; i < matches.length; i++) {
			String name = autoConfigurationClasses[i];
			matches[i] = !replace || name == null || !REPLACED.contains(name);
		}
		return matches;
	}

}
