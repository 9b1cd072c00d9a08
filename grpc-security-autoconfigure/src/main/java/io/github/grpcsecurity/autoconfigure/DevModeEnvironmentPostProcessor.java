package io.github.grpcsecurity.autoconfigure;

import java.util.Map;

import org.springframework.boot.EnvironmentPostProcessor;
import org.springframework.boot.SpringApplication;
import org.springframework.boot.context.properties.bind.Binder;
import org.springframework.core.Ordered;
import org.springframework.core.env.ConfigurableEnvironment;
import org.springframework.core.env.MapPropertySource;

/**
 * Lets the server listen on a loopback address in development mode, unless an address has
 * been set.
 */
final class DevModeEnvironmentPostProcessor implements EnvironmentPostProcessor, Ordered {

	/** Tells that the address comes from here. */
	static final String MARKER = "grpc-security.dev-mode.address";

	private static final String SOURCE = "grpcSecurityDevMode";

	@Override
	public void postProcessEnvironment(ConfigurableEnvironment environment, SpringApplication application) {
		Binder binder = Binder.get(environment);
		boolean enabled = !Boolean.FALSE.equals(binder.bind("grpc.security.enabled", Boolean.class).orElse(true));
		boolean dev = Boolean.TRUE.equals(binder.bind("grpc.security.dev.enabled", Boolean.class).orElse(false));
		if (enabled && dev && !new HostServer(environment).hasAddress()) {
			environment.getPropertySources()
				.addLast(new MapPropertySource(SOURCE, Map.of(HostServer.ADDRESS, "127.0.0.1", MARKER, "127.0.0.1")));
		}
	}

	@Override
	public int getOrder() {
		return Ordered.LOWEST_PRECEDENCE;
	}

}
