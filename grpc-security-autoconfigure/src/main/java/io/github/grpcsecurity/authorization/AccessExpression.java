package io.github.grpcsecurity.authorization;

import java.util.Set;
import java.util.function.Supplier;

import io.github.grpcsecurity.server.SecuredCall;
import org.apache.commons.logging.Log;
import org.apache.commons.logging.LogFactory;
import org.jspecify.annotations.Nullable;

import org.springframework.expression.EvaluationContext;
import org.springframework.expression.Expression;
import org.springframework.security.access.expression.SecurityExpressionHandler;
import org.springframework.security.authorization.AuthorizationManager;
import org.springframework.security.authorization.AuthorizationResult;
import org.springframework.security.core.Authentication;

/**
 * An expression that says whether a call is allowed. It allows only by saying so: one
 * that fails, or answers with something else than a decision, denies.
 *
 * @param <T> what the expression is evaluated about
 */
final class AccessExpression<T> {

	private static final Log logger = LogFactory.getLog(AccessExpression.class);

	private final Expression expression;

	private final SecurityExpressionHandler<T> handler;

	private final Set<String> messageVariables;

	private final String decidedBy;

	/**
	 * Creates an expression.
	 * @param expression the parsed expression
	 * @param handler makes the context it is evaluated in
	 * @param messageVariables the variables in it that name the message
	 * @param decidedBy where it stands, for the log
	 */
	AccessExpression(Expression expression, SecurityExpressionHandler<T> handler, Set<String> messageVariables,
			String decidedBy) {
		this.expression = expression;
		this.handler = handler;
		this.messageVariables = messageVariables;
		this.decidedBy = decidedBy;
	}

	boolean allows(SecuredCall call, T subject, @Nullable Object message) {
		try {
			Supplier<Authentication> authentication = call::authentication;
			EvaluationContext context = this.handler.createEvaluationContext(authentication, subject);
			for (String variable : this.messageVariables) {
				context.setVariable(variable, message);
			}
			return granted(this.expression.getValue(context), authentication, subject);
		}
		catch (RuntimeException | StackOverflowError ex) {
			// What callers send can make it fail: this must not become a log flood
			if (logger.isDebugEnabled()) {
				logger.debug("Call " + call.id() + " is denied, because the expression of " + this.decidedBy
						+ " cannot be evaluated", ex);
			}
			return false;
		}
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

}
