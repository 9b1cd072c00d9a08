package io.github.grpcsecurity.authentication.revocation;

import java.time.Duration;

/**
 * How revocations are kept and shared.
 *
 * @param onFailure what becomes of credentials about which nothing is known
 * @param pollInterval how often the store is compared with what this server knows
 * @param maxAge how long after the last comparison this server trusts what it knows
 * @param subjectTtl how long a subject stays revoked if nothing else is said
 * @param maxEntries how much this server can know
 * @since 0.1.0
 */
public record RevocationSettings(OnFailure onFailure, Duration pollInterval, Duration maxAge, Duration subjectTtl,
		int maxEntries) {

	/** What becomes of credentials about which nothing is known. */
	public enum OnFailure {

		/** Their calls are refused with {@code UNAVAILABLE}. */
		DENY,

		/** They count as good, unless this server knows better. */
		ALLOW

	}

}
