package io.github.grpcsecurity.authentication.revocation;

import java.time.Instant;
import java.util.Objects;

import org.jspecify.annotations.Nullable;

/**
 * One thing that is revoked. Immutable.
 *
 * @param kind what it is
 * @param issuer who issued it; {@code null} if that does not matter
 * @param name the {@code jti}, the {@code sub}, the {@code kid} or the id of the API key
 * @param before for subjects, the instant before which tokens have been issued;
 * {@code null} for everything else
 * @param until the instant from which nobody needs to remember this; {@link #FOREVER} if
 * there is none
 * @since 0.1.0
 */
public record Revocation(Kind kind, @Nullable String issuer, String name, @Nullable Instant before, Instant until) {

	/** The end of a revocation that has none: the last millisecond of the year 9999. */
	public static final Instant FOREVER = Instant.ofEpochMilli(253_402_300_799_999L);

	/**
	 * Checks that everything is there.
	 * @throws IllegalArgumentException if a name is empty, or {@code before} does not go
	 * with the kind
	 */
	public Revocation {
		Objects.requireNonNull(kind, "kind");
		if (name.isEmpty() || (issuer != null && issuer.isEmpty())) {
			throw new IllegalArgumentException("what is revoked has no name");
		}
		if ((before != null) != (kind == Kind.SUBJECT)) {
			throw new IllegalArgumentException("subjects, and nothing else, are revoked before an instant");
		}
		until = until.isAfter(FOREVER) ? FOREVER : until;
	}

	/** What can be revoked. */
	public enum Kind {

		/** One token, by its {@code jti}. */
		TOKEN,

		/** The tokens of a subject that were issued before an instant. */
		SUBJECT,

		/** All tokens that were signed with a key, by its {@code kid}. */
		KEY,

		/** One API key, by its id. */
		API_KEY

	}

}
