package io.github.grpcsecurity.authentication;

import java.util.Collection;
import java.util.List;
import java.util.Set;

import io.github.grpcsecurity.server.GrpcCaller;
import io.github.grpcsecurity.server.MethodPattern;
import io.github.grpcsecurity.server.Refusal;
import io.github.grpcsecurity.server.SecuredCall;
import io.github.grpcsecurity.server.SecuredMethod;
import io.github.grpcsecurity.server.Verdict;
import org.jspecify.annotations.Nullable;

/**
 * Says which kinds of credential a call needs. It comes before authorization and never
 * widens it.
 * <p>
 * Health checks and reflection need credentials only if a pattern spells out their
 * service. Immutable.
 *
 * @since 0.1.0
 */
public final class CredentialRequirement {

	private static final String PROPERTY = "grpc.security.authentication.requirements";

	private final List<MethodPattern> methods;

	private final List<String> anyOf;

	private final List<String> allOf;

	private final Verdict refusal;

	/**
	 * Creates a requirement.
	 * @param methods patterns of the methods it is about, such as {@code bank.Admin/*}
	 * @param anyOf kinds of which a caller must have presented one; empty for no such
	 * condition
	 * @param allOf kinds of which a caller must have presented each
	 * @throws IllegalArgumentException if there is no pattern or a malformed one, or
	 * nothing is required
	 */
	public CredentialRequirement(Collection<String> methods, Collection<String> anyOf, Collection<String> allOf) {
		if (methods.isEmpty()) {
			throw new IllegalArgumentException("it needs at least one method pattern, such as package.Service/*");
		}
		if (anyOf.isEmpty() && allOf.isEmpty()) {
			throw new IllegalArgumentException("it requires nothing: name kinds of credential in any-of or all-of");
		}
		this.methods = methods.stream().map(MethodPattern::parse).toList();
		this.anyOf = List.copyOf(anyOf);
		this.allOf = List.copyOf(allOf);
		this.refusal = Verdict.refuse(Refusal.unauthenticated("caller did not present " + condition()));
	}

	static @Nullable CredentialRequirement first(List<CredentialRequirement> requirements, SecuredMethod method) {
		if (method.unknown()) {
			return null;
		}
		return requirements.stream().filter((requirement) -> requirement.matches(method)).findFirst().orElse(null);
	}

	private boolean matches(SecuredMethod method) {
		boolean byName = method.serviceName().equals("grpc.health.v1.Health")
				|| method.serviceName().startsWith("grpc.reflection.");
		return this.methods.stream()
			.anyMatch((pattern) -> pattern.matches(method)
					&& (!byName || pattern.toString().startsWith(method.serviceName() + "/")));
	}

	/** Refuses kinds that nobody verifies: no call could ever pass. */
	void requireKinds(Set<String> verified) {
		for (List<String> kinds : List.of(this.anyOf, this.allOf)) {
			for (String kind : kinds) {
				if (!verified.contains(kind)) {
					throw new IllegalArgumentException(PROPERTY + " asks for '" + kind
							+ "', which nothing here verifies. Kinds that can be had are " + verified
							+ ": configure this one, or ask for another");
				}
			}
		}
	}

	/** Refuses patterns that are about no method, for they are misspelt. */
	void requireMatches(Collection<SecuredMethod> methods) {
		for (MethodPattern pattern : this.methods) {
			if (methods.stream().noneMatch(pattern::matches)) {
				throw new IllegalArgumentException(PROPERTY + " has the pattern '" + pattern
						+ "', which matches no method of this server, so it would protect nothing. The methods are "
						+ String.join(", ", methods.stream().map(SecuredMethod::fullName).toList()));
			}
		}
	}

	Verdict check(SecuredCall call) {
		GrpcCaller caller = call.caller();
		for (String kind : this.allOf) {
			if (caller.credential(kind) == null) {
				return this.refusal;
			}
		}
		if (this.anyOf.isEmpty()) {
			return Verdict.proceed();
		}
		for (String kind : this.anyOf) {
			if (caller.credential(kind) != null) {
				return Verdict.proceed();
			}
		}
		return this.refusal;
	}

	private String condition() {
		if (this.anyOf.isEmpty()) {
			return "all of " + this.allOf;
		}
		return (this.allOf.isEmpty() ? "" : "all of " + this.allOf + " and ") + "any of " + this.anyOf;
	}

	@Override
	public String toString() {
		return "caller presented " + condition();
	}

}
