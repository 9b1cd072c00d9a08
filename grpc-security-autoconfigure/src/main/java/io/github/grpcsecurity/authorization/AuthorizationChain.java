package io.github.grpcsecurity.authorization;

import java.util.ArrayList;
import java.util.List;
import java.util.function.Predicate;

import io.github.grpcsecurity.server.MethodPlan;
import io.github.grpcsecurity.server.SecurityStage;

/**
 * Everything that has an opinion about a method, in the order in which it is asked. It is
 * part of the plan of the method, so that whoever explains a decision asks the very
 * opinions that calls ask.
 *
 * @param shadows those that are asked but not heeded
 * @param opinions those of which each has to allow
 */
record AuthorizationChain(List<Opinion> shadows, List<Opinion> opinions) {

	/** Name of the detail of a plan. */
	static final String DETAIL = "authorization";

	private static final String SHADOW = "shadow: ";

	AuthorizationChain {
		shadows = List.copyOf(shadows);
		opinions = List.copyOf(opinions);
	}

	/** The chain of a method; empty if nothing here decides about it. */
	static AuthorizationChain of(MethodPlan plan) {
		return (plan.details().get(DETAIL) instanceof AuthorizationChain chain) ? chain
				: new AuthorizationChain(List.of(), List.of());
	}

	void addTo(MethodPlan.Builder plan, DecisionRecorder recorder, Predicate<Opinion> noted) {
		// A rule in the shadow is to count the calls that it would count in the open
		this.shadows.forEach((opinion) -> recorder.shadow(opinion, plan));
		this.opinions.forEach((opinion) -> recorder.record(opinion, noted.test(opinion)).addTo(plan));
		plan.detail(DETAIL, this);
	}

	/** Descriptions, those of shadows marked and at the end. */
	List<String> descriptions() {
		List<String> descriptions = new ArrayList<>();
		this.opinions.forEach((opinion) -> descriptions.add(opinion.description()));
		this.shadows.forEach((opinion) -> descriptions.add(SHADOW + opinion.description()));
		return descriptions;
	}

	/** What else decides about the method, added by somebody who is not known here. */
	List<String> others(MethodPlan plan) {
		List<String> own = descriptions();
		return plan.describe()
			.stream()
			.filter((step) -> step.stage() == SecurityStage.AUTHORIZATION && !own.contains(step.description()))
			.map(MethodPlan.StepDescription::description)
			.toList();
	}

	@Override
	public String toString() {
		return descriptions().toString();
	}

}
