package io.github.grpcsecurity.authorization;

import java.util.List;
import java.util.Objects;

/**
 * Says who may call the methods that its patterns match. The first rule that matches a
 * method is the only one that counts for it.
 *
 * @param methods patterns such as {@code bank.Accounts/Get*}, at least one
 * @param access {@code permit}, {@code deny}, {@code authenticated}, or an expression
 * such as {@code hasAuthority('SCOPE_accounts.read')}
 * @since 0.1.0
 */
public record AuthorizationRule(List<String> methods, String access) {

	public AuthorizationRule {
		methods = List.copyOf(methods);
		Objects.requireNonNull(access, "access");
	}

}
