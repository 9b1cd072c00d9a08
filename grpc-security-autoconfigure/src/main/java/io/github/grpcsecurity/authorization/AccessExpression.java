package io.github.grpcsecurity.authorization;

import java.lang.reflect.InvocationTargetException;
import java.util.Set;
import java.util.function.Supplier;

import io.github.grpcsecurity.server.SecuredCall;
import io.github.grpcsecurity.server.Verdict;
import org.apache.commons.logging.Log;
import org.apache.commons.logging.LogFactory;
import org.jspecify.annotations.Nullable;

import org.springframework.expression.EvaluationContext;
import org.springframework.expression.EvaluationException;
import org.springframework.expression.Expression;
import org.springframework.expression.ExpressionInvocationTargetException;
import org.springframework.expression.spel.SpelEvaluationException;
import org.springframework.expression.spel.SpelMessage;
import org.springframework.security.access.AccessDeniedException;
import org.springframework.security.access.expression.SecurityExpressionHandler;
import org.springframework.security.authorization.AuthorizationManager;
import org.springframework.security.authorization.AuthorizationResult;
import org.springframework.security.core.Authentication;
import org.springframework.security.core.AuthenticationException;

/**
 * An expression that says whether a call is allowed. It allows only by saying so: one
 * that is broken, or answers with something else than a decision, denies.
 * <p>
 * Somebody whom the expression asks may be unable to answer: a bean that throws, a
 * {@code PermissionEvaluator} whose database is down. Then nobody has decided, and the
 * exception is passed on.
 *
 * @param <T> what the expression is evaluated about
 */
final class AccessExpression<T> {

	private static final Log logger = LogFactory.getLog(AccessExpression.class);

	private final Expression expression;

	private final SecurityExpressionHandler<T> handler;

	private final Set<String> messageVariables;

	private final Denial denial;

	private final boolean asksOthers;

	private final boolean part;

	/**
	 * Creates an expression.
	 * @param expression the parsed expression
	 * @param handler makes the context it is evaluated in
	 * @param messageVariables the variables in it that name the message
	 * @param denial how it denies
	 * @param asksOthers whether it asks somebody who may be unable to answer
	 * @param part whether it is one of several that were joined by {@code and}, which
	 * takes truth values only
	 */
	AccessExpression(Expression expression, SecurityExpressionHandler<T> handler, Set<String> messageVariables,
			Denial denial, boolean asksOthers, boolean part) {
		this.expression = expression;
		this.handler = handler;
		this.messageVariables = messageVariables;
		this.denial = denial;
		this.asksOthers = asksOthers;
		this.part = part;
	}

	Verdict check(SecuredCall call, T subject, @Nullable Object message) {
		try {
			Supplier<Authentication> authentication = call::authentication;
			EvaluationContext context = this.handler.createEvaluationContext(authentication, subject);
			for (String variable : this.messageVariables) {
				context.setVariable(variable, message);
			}
			Object result = this.part ? this.expression.getValue(context, Boolean.class)
					: this.expression.getValue(context);
			return this.denial.unless(granted(result, authentication, subject), call);
		}
		catch (AccessDeniedException ex) {
			return this.denial.of(call);
		}
		catch (AuthenticationException ex) {
			throw ex;
		}
		catch (RuntimeException | StackOverflowError ex) {
			return failed(call, ex);
		}
	}

	private Verdict failed(SecuredCall call, Throwable failure) {
		Throwable thrown = this.asksOthers ? thrownByOthers(failure) : null;
		if (thrown instanceof AccessDeniedException) {
			return this.denial.of(call);
		}
		if (thrown instanceof AuthenticationException ex) {
			throw ex;
		}
		if (thrown != null) {
			throw new UndecidedException("What " + this.denial.decidedBy() + " asks failed", thrown);
		}
		// What callers send can make it fail: this must not become a log flood
		if (logger.isDebugEnabled()) {
			logger.debug("Call " + call.id() + " is denied, because the expression of " + this.denial.decidedBy()
					+ " cannot be evaluated", failure);
		}
		return this.denial.failed(call);
	}

	/**
	 * What somebody threw whom the expression asked.
	 * @return {@code null} if the expression itself is broken, as by a {@code null} in
	 * what the caller sent
	 */
	private static @Nullable Throwable thrownByOthers(Throwable failure) {
		if (!(failure instanceof EvaluationException)) {
			return (failure instanceof RuntimeException) ? failure : null;
		}
		if (failure instanceof ExpressionInvocationTargetException) {
			return (failure.getCause() != null) ? failure.getCause() : failure;
		}
		if (failure instanceof SpelEvaluationException spel
				&& spel.getMessageCode() == SpelMessage.EXCEPTION_DURING_BEAN_RESOLUTION) {
			return failure;
		}
		for (Throwable cause = failure.getCause(); cause != null; cause = cause.getCause()) {
			if (cause instanceof InvocationTargetException invocation) {
				return invocation.getTargetException();
			}
		}
		return null;
	}

	@SuppressWarnings("unchecked")
	private boolean granted(@Nullable Object result, Supplier<Authentication> authentication, T subject) {
		Object decision = result;
		if (result instanceof AuthorizationManager<?> manager) {
			decision = ((AuthorizationManager<T>) manager).authorize(authentication, subject);
		}
		if (decision instanceof AuthorizationResult authorization) {
			return authorization.isGranted();
		}
		return Boolean.TRUE.equals(decision);
	}

	/** Nobody could say whether the call is allowed. */
	static final class UndecidedException extends RuntimeException {

		private static final long serialVersionUID = 1L;

		UndecidedException(String message, Throwable cause) {
			super(message, cause);
		}

	}

}
