package io.github.grpcsecurity.hardening;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeUnit;

import io.github.grpcsecurity.server.ServerBuilderConfigurer;
import io.grpc.ServerBuilder;
import org.apache.commons.logging.Log;
import org.apache.commons.logging.LogFactory;

/**
 * Sets the limits of connections on the builder of a server, and says once for each
 * transport which of them it cannot keep.
 *
 * @since 0.1.0
 */
public final class ConnectionLimitsConfigurer implements ServerBuilderConfigurer {

	private static final Log logger = LogFactory.getLog(ConnectionLimitsConfigurer.class);

	private static final String NETTY = "io.grpc.netty.NettyServerBuilder";

	private static final String SHADED_NETTY = "io.grpc.netty.shaded.io.grpc.netty.NettyServerBuilder";

	private static final String IN_PROCESS = "io.grpc.inprocess.InProcessServerBuilder";

	private final ConnectionLimits limits;

	private final Set<String> reported = ConcurrentHashMap.newKeySet();

	/**
	 * Creates a configurer.
	 * @param limits what to set
	 */
	public ConnectionLimitsConfigurer(ConnectionLimits limits) {
		this.limits = limits;
	}

	@Override
	public void configure(ServerBuilder<?> builder) {
		// By name: each Netty is optional, and the class of an absent one must not load
		String type = builder.getClass().getName();
		if (type.equals(NETTY)) {
			NettyLimits.configure(builder, this.limits);
			configureConnections(builder);
			report(type, List.of());
		}
		else if (type.equals(SHADED_NETTY)) {
			ShadedNettyLimits.configure(builder, this.limits);
			configureConnections(builder);
			report(type, List.of());
		}
		else if (type.equals(IN_PROCESS)) {
			// There are no connections, and messages are handed over as objects
			builder.maxInboundMetadataSize(this.limits.maxInboundMetadataSize());
			if (this.reported.add(type)) {
				logger.info("An in-process gRPC server keeps only max-inbound-metadata-size of grpc.security.limits: "
						+ "it has no connections, and messages are not serialized.");
			}
		}
		else {
			report(type, configureOther(builder));
		}
	}

	private void configureConnections(ServerBuilder<?> builder) {
		ConnectionLimits limits = this.limits;
		builder.maxInboundMessageSize(limits.maxInboundMessageSize());
		builder.permitKeepAliveTime(nanos(limits.permitKeepAliveTime()), TimeUnit.NANOSECONDS);
		builder.permitKeepAliveWithoutCalls(limits.permitKeepAliveWithoutCalls());
		builder.maxConnectionIdle(nanos(limits.maxConnectionIdle()), TimeUnit.NANOSECONDS);
		builder.maxConnectionAge(nanos(limits.maxConnectionAge()), TimeUnit.NANOSECONDS);
		builder.maxConnectionAgeGrace(nanos(limits.maxConnectionAgeGrace()), TimeUnit.NANOSECONDS);
	}

	private List<String> configureOther(ServerBuilder<?> builder) {
		ConnectionLimits limits = this.limits;
		List<String> missing = new ArrayList<>(List.of("max-concurrent-calls-per-connection", "max-reset-frames"));
		attempt("max-inbound-message-size", missing,
				() -> builder.maxInboundMessageSize(limits.maxInboundMessageSize()));
		attempt("max-inbound-metadata-size", missing,
				() -> builder.maxInboundMetadataSize(limits.maxInboundMetadataSize()));
		attempt("permit-keep-alive-time", missing,
				() -> builder.permitKeepAliveTime(nanos(limits.permitKeepAliveTime()), TimeUnit.NANOSECONDS));
		attempt("permit-keep-alive-without-calls", missing,
				() -> builder.permitKeepAliveWithoutCalls(limits.permitKeepAliveWithoutCalls()));
		attempt("max-connection-idle", missing,
				() -> builder.maxConnectionIdle(nanos(limits.maxConnectionIdle()), TimeUnit.NANOSECONDS));
		attempt("max-connection-age", missing,
				() -> builder.maxConnectionAge(nanos(limits.maxConnectionAge()), TimeUnit.NANOSECONDS));
		attempt("max-connection-age-grace", missing,
				() -> builder.maxConnectionAgeGrace(nanos(limits.maxConnectionAgeGrace()), TimeUnit.NANOSECONDS));
		return missing;
	}

	private static void attempt(String name, List<String> missing, Runnable setting) {
		try {
			setting.run();
		}
		catch (UnsupportedOperationException ex) {
			missing.add(name);
		}
	}

	private void report(String type, List<String> missing) {
		if (!this.reported.add(type)) {
			return;
		}
		if (missing.isEmpty()) {
			logger.info("Limits of gRPC connections: " + this.limits);
		}
		else {
			logger.warn("The gRPC server is built with " + type + ", which cannot keep these limits of "
					+ "grpc.security.limits: " + String.join(", ", missing) + ". Limit connections in front of it.");
		}
	}

	private static long nanos(Duration duration) {
		try {
			return duration.toNanos();
		}
		catch (ArithmeticException ex) {
			return Long.MAX_VALUE;
		}
	}

}
