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
	 * Adds this feature's checks to the plan of a method.
	 * @param method the method, or the stand-in for all unknown methods
	 * @param plan receives the checks
	 */
	void plan(SecuredMethod method, MethodPlan.Builder plan);

	/**
	 * Called when all methods have been planned and before any call runs by these plans:
	 * the place to find settings that apply to no method. Throwing has the same effect as
	 * in {@link #plan}.
	 * @param methods all methods of the server, at least one, without the stand-in for
	 * unknown ones
	 */
	default void planned(Collection<SecuredMethod> methods) {
	}

}
