package io.github.grpcsecurity.server;

import java.util.Collection;

/**
 * One feature's part in the pipeline.
 * <p>
 * At startup, and again when its settings change, a stage looks at every method of the
 * server and puts into that method's plan what has to be checked there. What it resolves
 * here (patterns, annotations, settings) need not be looked up for each call.
 * <p>
 * Stages that share a {@link SecurityStage} run in the order of their beans. A stage that
 * throws stops the start of the server, or leaves the plans in force as they are.
 *
 * @since 0.1.0
 */
public interface CallStage {

	/**
	 * Where in the pipeline the checks of this feature run.
	 * @return the stage; the same at every call
	 */
	SecurityStage stage();

	/**
	 * Looks at all methods of the server before their plans are compiled: the place to
	 * find settings that name no method. An exception counts as one of {@link #plan}.
	 * @param methods all methods that the server has; at least one
	 */
	default void validate(Collection<SecuredMethod> methods) {
	}

	/**
	 * Adds this feature's checks to the plan of a method.
	 * @param method the method, or the stand-in for all unknown methods
	 * @param plan receives the checks
	 */
	void plan(SecuredMethod method, MethodPlan.Builder plan);

}
