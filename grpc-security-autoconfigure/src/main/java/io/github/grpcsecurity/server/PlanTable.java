package io.github.grpcsecurity.server;

import java.util.ArrayList;
import java.util.Collection;
import java.util.Collections;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;

import io.grpc.MethodDescriptor;
import org.apache.commons.logging.Log;
import org.apache.commons.logging.LogFactory;

/**
 * The plans of all methods, compiled together and replaced together.
 */
final class PlanTable {

	private static final Log logger = LogFactory.getLog(PlanTable.class);

	private static final int MAX_LATE = 10_000;

	private final List<CallStage> stages;

	private final Map<String, MethodPlan> plans;

	private final MethodPlan unknown;

	// Methods that nobody named at startup, each compiled once
	private final Map<String, MethodPlan> late = new ConcurrentHashMap<>();

	PlanTable(List<CallStage> stages, Collection<SecuredMethod> methods) {
		this.stages = new ArrayList<>(stages);
		this.stages.sort(Comparator.comparing(CallStage::stage));
		Map<String, MethodPlan> compiled = new LinkedHashMap<>();
		for (SecuredMethod method : methods) {
			compiled.put(method.fullName(), compile(method));
		}
		this.plans = compiled;
		this.unknown = compile(new SecuredMethod(FallbackRegistry.UNKNOWN, null, null));
		if (!methods.isEmpty()) {
			Collection<SecuredMethod> planned = Collections.unmodifiableCollection(methods);
			this.stages.forEach((stage) -> stage.planned(planned));
		}
	}

	private MethodPlan compile(SecuredMethod method) {
		return builder(method).build();
	}

	private MethodPlan.Builder builder(SecuredMethod method) {
		MethodPlan.Builder builder = new MethodPlan.Builder(method);
		for (CallStage stage : this.stages) {
			stage.plan(method, builder.at(stage.stage()));
		}
		return builder;
	}

	/**
	 * A method of the user's own fallback registry is like any other. One that was added
	 * to the server behind our back is not: nobody knows the bean behind it, so
	 * annotations on it would not count, and its malformed messages would not be seen.
	 */
	private MethodPlan compileLate(MethodDescriptor<?, ?> method) {
		if (RequestParsing.guarded(method)) {
			return compile(new SecuredMethod(method, null, null));
		}
		logger.error("The gRPC method " + method.getFullMethodName()
				+ " is refused: its service was added to the server without being a service bean, so nobody knows "
				+ "what secures it. Make it a bean that the server finds.");
		return builder(new SecuredMethod(method, null, null)).at(SecurityStage.AUTHORIZATION)
			.check("not a service bean: refused",
					(call) -> Verdict.refuse(call.anonymous() ? Refusal.unauthenticated("not a service bean")
							: Refusal.accessDenied("not a service bean")))
			.build();
	}

	MethodPlan plan(MethodDescriptor<?, ?> method) {
		if (method == FallbackRegistry.UNKNOWN) {
			return this.unknown;
		}
		MethodPlan plan = this.plans.get(method.getFullMethodName());
		if (plan == null) {
			plan = this.late.get(method.getFullMethodName());
		}
		if (plan == null) {
			plan = compileLate(method);
			if (this.late.size() < MAX_LATE) {
				this.late.put(method.getFullMethodName(), plan);
			}
		}
		return plan;
	}

	List<MethodPlan> all() {
		List<MethodPlan> all = new ArrayList<>(this.plans.values());
		all.addAll(this.late.values());
		all.add(this.unknown);
		return all;
	}

}
