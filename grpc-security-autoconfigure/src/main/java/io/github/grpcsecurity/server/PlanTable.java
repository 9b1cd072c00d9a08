package io.github.grpcsecurity.server;

import java.util.ArrayList;
import java.util.Collection;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;

import io.grpc.MethodDescriptor;

/**
 * The plans of all methods, compiled together and replaced together.
 */
final class PlanTable {

	private final List<CallStage> stages;

	private final Map<String, MethodPlan> plans;

	private final MethodPlan unknown;

	// Methods that a user's own fallback registry came up with later: bounded by what it
	// serves
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
	}

	private MethodPlan compile(SecuredMethod method) {
		MethodPlan.Builder builder = new MethodPlan.Builder(method);
		for (CallStage stage : this.stages) {
			stage.plan(method, builder.at(stage.stage()));
		}
		return builder.build();
	}

	MethodPlan plan(MethodDescriptor<?, ?> method) {
		if (method == FallbackRegistry.UNKNOWN) {
			return this.unknown;
		}
		MethodPlan plan = this.plans.get(method.getFullMethodName());
		if (plan == null) {
			plan = this.late.computeIfAbsent(method.getFullMethodName(),
					(name) -> compile(new SecuredMethod(method, null, null)));
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
