package io.github.grpcsecurity.authorization;

import java.lang.reflect.AccessibleObject;
import java.lang.reflect.Method;

import org.aopalliance.intercept.MethodInvocation;
import org.jspecify.annotations.Nullable;

/**
 * What Spring Security's expressions see of a call: the method that is about to be
 * invoked, on which object, and with which message. It cannot be invoked from here.
 */
final class CallInvocation implements MethodInvocation {

	private final Method method;

	private final Object target;

	private final @Nullable Object[] arguments;

	CallInvocation(Method method, Object target, @Nullable Object[] arguments) {
		this.method = method;
		this.target = target;
		this.arguments = arguments;
	}

	@Override
	public Method getMethod() {
		return this.method;
	}

	@Override
	public @Nullable Object[] getArguments() {
		return this.arguments;
	}

	@Override
	public Object getThis() {
		return this.target;
	}

	@Override
	public AccessibleObject getStaticPart() {
		return this.method;
	}

	@Override
	public Object proceed() {
		throw new UnsupportedOperationException("An authorization decision does not invoke the method");
	}

}
