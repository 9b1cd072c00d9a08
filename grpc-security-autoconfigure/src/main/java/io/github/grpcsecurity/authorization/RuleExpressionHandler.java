package io.github.grpcsecurity.authorization;

import java.util.Objects;

import io.github.grpcsecurity.server.SecuredCall;
import org.jspecify.annotations.Nullable;

import org.springframework.security.access.expression.AbstractSecurityExpressionHandler;
import org.springframework.security.access.expression.SecurityExpressionOperations;
import org.springframework.security.access.expression.SecurityExpressionRoot;
import org.springframework.security.core.Authentication;

/**
 * Evaluates the expressions of rules, which look at the caller but at no message.
 */
final class RuleExpressionHandler extends AbstractSecurityExpressionHandler<SecuredCall> {

	@Override
	protected SecurityExpressionOperations createSecurityExpressionRoot(@Nullable Authentication authentication,
			SecuredCall call) {
		Authentication caller = Objects.requireNonNull(authentication, "authentication");
		Root root = new Root(caller, call);
		root.setAuthorizationManagerFactory(getAuthorizationManagerFactory());
		root.setPermissionEvaluator(getPermissionEvaluator());
		return root;
	}

	/** What an expression can name without a prefix. */
	static final class Root extends SecurityExpressionRoot<SecuredCall> {

		Root(Authentication authentication, SecuredCall call) {
			super(() -> authentication, call);
		}

	}

}
