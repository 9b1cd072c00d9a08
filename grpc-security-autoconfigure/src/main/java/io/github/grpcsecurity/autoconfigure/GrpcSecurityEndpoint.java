package io.github.grpcsecurity.autoconfigure;

import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Supplier;

import io.github.grpcsecurity.server.CallStage;
import io.github.grpcsecurity.server.GrpcServerSecurity;
import io.github.grpcsecurity.server.MethodPlan;
import io.github.grpcsecurity.server.SecurityStage;
import org.jspecify.annotations.Nullable;

import org.springframework.boot.actuate.endpoint.annotation.Endpoint;
import org.springframework.boot.actuate.endpoint.annotation.ReadOperation;

/**
 * Actuator endpoint that shows what calls pass through: the order of the stages, and what
 * is checked for each method.
 * <p>
 * It shows the very plans that calls execute, as they are at that moment.
 *
 * @since 0.1.0
 */
@Endpoint(id = "grpcsecurity")
public final class GrpcSecurityEndpoint {

	private final Supplier<@Nullable GrpcServerSecurity> security;

	/**
	 * Creates an endpoint.
	 * @param security gives the security of the server; {@code null} when there is no
	 * server
	 */
	public GrpcSecurityEndpoint(Supplier<@Nullable GrpcServerSecurity> security) {
		this.security = security;
	}

	/**
	 * Shows the security of the server as it is now.
	 * @return a description without secrets
	 */
	@ReadOperation
	public SecurityDescriptor security() {
		GrpcServerSecurity current = this.security.get();
		if (current == null) {
			return new SecurityDescriptor(List.of(), List.of());
		}
		return new SecurityDescriptor(current.stages().stream().map(StageDescriptor::of).toList(),
				current.plans().stream().map(MethodDescriptor::of).toList());
	}

	/**
	 * The security of a server.
	 *
	 * @param stages what calls pass through, in this order
	 * @param methods every method and what is checked there; the last stands for all that
	 * the server does not have
	 */
	public record SecurityDescriptor(List<StageDescriptor> stages, List<MethodDescriptor> methods) {
	}

	/**
	 * One feature's part in the pipeline.
	 *
	 * @param stage where it stands
	 * @param type name of its class
	 */
	public record StageDescriptor(SecurityStage stage, String type) {

		static StageDescriptor of(CallStage stage) {
			return new StageDescriptor(stage.stage(), stage.getClass().getName());
		}

	}

	/**
	 * A method and what is checked when it is called.
	 *
	 * @param method its name as gRPC writes it
	 * @param type which side streams
	 * @param bean name of the bean that implements the service
	 * @param checks the checks in the order in which they run
	 * @param details what else features noted about it, such as the audit level
	 */
	public record MethodDescriptor(String method, String type, @Nullable String bean,
			List<MethodPlan.StepDescription> checks, Map<String, Object> details) {

		static MethodDescriptor of(MethodPlan plan) {
			Map<String, Object> details = new LinkedHashMap<>();
			plan.details().forEach((name, value) -> details.put(name, printable(value)));
			return new MethodDescriptor(plan.method().fullName(), plan.method().descriptor().getType().name(),
					plan.method().beanName(), plan.describe(), details);
		}

		// A feature's own objects are not made to be taken apart by a serializer
		private static Object printable(Object value) {
			return (value instanceof Number || value instanceof Boolean) ? value : value.toString();
		}

	}

}
