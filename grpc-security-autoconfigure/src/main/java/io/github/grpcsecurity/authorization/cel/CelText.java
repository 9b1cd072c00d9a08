package io.github.grpcsecurity.authorization.cel;

import io.github.grpcsecurity.server.SecuredCall;
import org.jspecify.annotations.Nullable;

/**
 * An expression whose value is a text, such as the tenant of a call. Thread-safe.
 *
 * @since 0.1.0
 */
public final class CelText {

	private final CelCondition.Part expression;

	private final boolean needsIdentity;

	CelText(CelCondition.Part expression, boolean needsIdentity) {
		this.expression = expression;
		this.needsIdentity = needsIdentity;
	}

	/**
	 * Evaluates the expression when a call starts. Never throws.
	 * @param call the call
	 * @return its value; {@code null} if it has none, as when it reads a claim that is
	 * not there
	 */
	public @Nullable String of(SecuredCall call) {
		Object value = this.expression.evaluate(call, null, new RequestHeaders(call.headers()));
		return (value instanceof String || value instanceof Number || value instanceof Boolean) ? value.toString()
				: null;
	}

	/**
	 * Whether it looks at who calls.
	 * @return whether it has a meaning only after authentication
	 */
	public boolean needsIdentity() {
		return this.needsIdentity;
	}

}
