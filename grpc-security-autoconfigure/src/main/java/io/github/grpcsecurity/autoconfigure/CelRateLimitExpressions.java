package io.github.grpcsecurity.autoconfigure;

import java.util.Objects;

import io.github.grpcsecurity.authorization.InvalidConditionException;
import io.github.grpcsecurity.authorization.cel.CelConditionCompiler;
import io.github.grpcsecurity.authorization.cel.CelText;
import io.github.grpcsecurity.ratelimit.RateLimitKeyResolver;
import io.github.grpcsecurity.server.SecuredCall;

/**
 * Keys in CEL, with the variables that conditions of authorization rules have. Calls for
 * which an expression has no value share one key: to leave out what it looks at buys
 * nothing.
 */
final class CelRateLimitExpressions implements RateLimitExpressions {

	private static final String NO_VALUE = "";

	private final CelConditionCompiler compiler = new CelConditionCompiler();

	@Override
	public RateLimitKeyResolver compile(String expression) {
		try {
			return new Resolver(this.compiler.compileText(expression));
		}
		catch (InvalidConditionException ex) {
			throw new IllegalArgumentException(ex.getMessage(), ex);
		}
	}

	private record Resolver(CelText text) implements RateLimitKeyResolver {

		@Override
		public String resolve(SecuredCall call) {
			return Objects.requireNonNullElse(this.text.of(call), NO_VALUE);
		}

		@Override
		public boolean needsIdentity() {
			return this.text.needsIdentity();
		}

	}

}
