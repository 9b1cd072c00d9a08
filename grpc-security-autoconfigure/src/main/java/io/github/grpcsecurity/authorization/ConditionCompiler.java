package io.github.grpcsecurity.authorization;

import io.grpc.MethodDescriptor;

/**
 * Compiles the conditions of rules.
 *
 * @since 0.1.0
 */
public interface ConditionCompiler {

	/**
	 * Checks what can be checked before the methods of the server are known.
	 * @param condition the condition as it is written
	 * @throws InvalidConditionException if it is no condition
	 */
	void check(String condition);

	/**
	 * Compiles a condition for a method, whose messages it may look at.
	 * @param condition the condition as it is written
	 * @param method the method
	 * @return the compiled condition
	 * @throws InvalidConditionException if it does not fit the method
	 */
	RuleCondition compile(String condition, MethodDescriptor<?, ?> method);

}
