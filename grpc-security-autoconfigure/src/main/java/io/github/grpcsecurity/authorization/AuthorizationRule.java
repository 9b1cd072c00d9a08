package io.github.grpcsecurity.authorization;

import java.util.List;
import java.util.Objects;

import org.jspecify.annotations.Nullable;

/**
 * Says who may call the methods that its patterns match. The first rule that matches a
 * method is the only one that counts for it; rules in the shadow do not count.
 *
 * @param methods patterns such as {@code bank.Accounts/Get*}, at least one
 * @param access {@code permit}, {@code deny}, {@code authenticated}, or an expression
 * such as {@code hasAuthority('SCOPE_accounts.read')}
 * @param when a condition that has to hold as well; {@code null} if there is none
 * @param name names the rule in audit events and metrics; {@code null} for one that goes
 * by its place
 * @param hideExistence whether what it refuses looks as if it did not exist
 * @param sensitive whether it takes no API key alone
 * @param shadow whether it only counts and notes what it would refuse
 * @since 0.1.0
 */
public record AuthorizationRule(List<String> methods, String access, @Nullable String when, @Nullable String name,
		boolean hideExistence, boolean sensitive, boolean shadow) {

	public AuthorizationRule {
		methods = List.copyOf(methods);
		Objects.requireNonNull(access, "access");
	}

	/**
	 * A rule that is nothing but patterns and access.
	 * @param methods patterns, at least one
	 * @param access {@code permit}, {@code deny}, {@code authenticated}, or an expression
	 */
	public AuthorizationRule(List<String> methods, String access) {
		this(methods, access, null, null, false, false, false);
	}

}
