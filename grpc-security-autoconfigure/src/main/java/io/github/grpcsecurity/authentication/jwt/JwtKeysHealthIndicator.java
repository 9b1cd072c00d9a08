package io.github.grpcsecurity.authentication.jwt;

import java.time.Instant;
import java.util.LinkedHashMap;
import java.util.Map;

import org.springframework.boot.health.contributor.AbstractHealthIndicator;
import org.springframework.boot.health.contributor.Health;
import org.springframework.boot.health.contributor.Status;

/**
 * Tells whether the keys of the configured issuers can be fetched.
 * <p>
 * From the first fetch that fails the status is {@code DEGRADED}, which leaves the health
 * of the application as a whole alone: tokens are still verified with the last good keys,
 * and a server that works must not be taken away from its clients. Once keys are too old
 * to be trusted, or if there never were any, it is down. Issuers that a
 * {@link JwtIssuerResolver} named do not count: callers choose which of them are asked.
 *
 * @since 0.1.0
 */
public final class JwtKeysHealthIndicator extends AbstractHealthIndicator {

	/** Keys cannot be fetched at the moment; the last good ones are in force. */
	public static final Status DEGRADED = new Status("DEGRADED", "Keys of an issuer cannot be fetched");

	private final JwtCredentialAuthenticator authenticator;

	/**
	 * Creates an indicator.
	 * @param authenticator fetches the keys
	 */
	public JwtKeysHealthIndicator(JwtCredentialAuthenticator authenticator) {
		super("The keys of the issuers of tokens cannot be looked at");
		this.authenticator = authenticator;
	}

	@Override
	protected void doHealthCheck(Health.Builder builder) {
		boolean degraded = false;
		boolean down = false;
		Map<String, Object> issuers = new LinkedHashMap<>();
		for (Map.Entry<String, RemoteKeys> entry : this.authenticator.remoteKeys().entrySet()) {
			RemoteKeys keys = entry.getValue();
			boolean failing = keys.lastFailure() != null;
			degraded |= failing;
			down |= failing && keys.current() == null;
			issuers.put(entry.getKey(), details(keys));
		}
		builder.up();
		if (degraded) {
			builder.status(DEGRADED);
		}
		if (down) {
			builder.down();
		}
		builder.withDetail("issuers", issuers);
	}

	private static Map<String, Object> details(RemoteKeys keys) {
		Map<String, Object> details = new LinkedHashMap<>();
		VerificationKeys current = keys.current();
		details.put("keys", (current != null) ? current.size() : 0);
		Instant fetched = keys.fetched();
		details.put("fetched", (fetched != null) ? fetched.toString() : "never");
		String failure = keys.lastFailure();
		if (failure != null) {
			details.put("failure", failure);
		}
		return details;
	}

}
