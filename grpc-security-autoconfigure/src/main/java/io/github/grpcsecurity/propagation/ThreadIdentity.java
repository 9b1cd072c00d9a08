package io.github.grpcsecurity.propagation;

import org.jspecify.annotations.Nullable;

import org.springframework.security.core.context.SecurityContext;
import org.springframework.security.core.context.SecurityContextHolder;

/** The identity of the current thread, as {@link SecurityContextHolder} has it. */
final class ThreadIdentity {

	private ThreadIdentity() {
	}

	/**
	 * The identity of this thread.
	 * @return the identity; {@code null} if there is none
	 */
	static @Nullable SecurityContext current() {
		SecurityContext context = SecurityContextHolder.getContext();
		return (context.getAuthentication() != null) ? context : null;
	}

	/**
	 * Gives this thread another identity.
	 * @param identity the identity; {@code null} for none
	 * @return what to set again afterwards
	 */
	static @Nullable SecurityContext replace(@Nullable SecurityContext identity) {
		SecurityContext previous = current();
		set(identity);
		return previous;
	}

	static void set(@Nullable SecurityContext identity) {
		if (identity != null) {
			SecurityContextHolder.setContext(identity);
		}
		else {
			SecurityContextHolder.clearContext();
		}
	}

}
