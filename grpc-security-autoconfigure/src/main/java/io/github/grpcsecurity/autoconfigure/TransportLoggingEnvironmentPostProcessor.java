package io.github.grpcsecurity.autoconfigure;

import java.util.HashMap;
import java.util.List;
import java.util.Map;

import org.springframework.boot.EnvironmentPostProcessor;
import org.springframework.boot.SpringApplication;
import org.springframework.core.env.ConfigurableEnvironment;
import org.springframework.core.env.MapPropertySource;

/**
 * Quiets the loggers by which gRPC's Netty transport writes a stack trace for each
 * malformed frame or header. Anybody who can connect brings such lines about, a hundred
 * of them for a kilobyte, before any limit or check is asked. A level that the
 * application sets wins.
 *
 * @since 0.1.0
 */
public final class TransportLoggingEnvironmentPostProcessor implements EnvironmentPostProcessor {

	private static final Map<String, String> LEVELS = Map.of("NettyServerHandler", "ERROR", "NettyServerStream",
			"ERROR", "NettyServerTransport.connections", "WARN");

	private static final List<String> PACKAGES = List.of("io.grpc.netty.", "io.grpc.netty.shaded.io.grpc.netty.");

	@Override
	public void postProcessEnvironment(ConfigurableEnvironment environment, SpringApplication application) {
		if (!environment.getProperty("grpc.security.enabled", Boolean.class, true)) {
			return;
		}
		Map<String, Object> levels = new HashMap<>();
		for (String prefix : PACKAGES) {
			LEVELS.forEach((logger, level) -> levels.put("logging.level." + prefix + logger, level));
		}
		environment.getPropertySources().addLast(new MapPropertySource("grpcSecurityTransportLogging", levels));
	}

}
