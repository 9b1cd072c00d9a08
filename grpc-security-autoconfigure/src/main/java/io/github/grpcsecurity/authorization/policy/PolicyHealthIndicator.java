package io.github.grpcsecurity.authorization.policy;

import java.util.LinkedHashMap;
import java.util.Locale;
import java.util.Map;

import org.springframework.boot.health.contributor.AbstractHealthIndicator;
import org.springframework.boot.health.contributor.Health;
import org.springframework.boot.health.contributor.Status;

/**
 * Shows which policies are in force, and warns while a policy file has content that
 * cannot be used.
 * <p>
 * The warning is a status of its own, {@code WARNING}, that leaves the health of the
 * application as a whole alone: the last good policy works, and a server must not be
 * taken away from its clients by a typing error.
 *
 * @since 0.1.0
 */
public final class PolicyHealthIndicator extends AbstractHealthIndicator {

	/** A policy file cannot be used, and the policy before it is in force. */
	public static final Status WARNING = new Status("WARNING", "A policy file cannot be used");

	private final FilePolicy policy;

	/**
	 * Creates an indicator.
	 * @param policy what is in force
	 */
	public PolicyHealthIndicator(FilePolicy policy) {
		super("The policies of the gRPC server cannot be looked at");
		this.policy = policy;
	}

	@Override
	protected void doHealthCheck(Health.Builder builder) {
		builder.up();
		for (PolicyFile file : this.policy.files()) {
			if (file.lastError() != null) {
				builder.status(WARNING);
			}
			builder.withDetail(file.role().name().toLowerCase(Locale.ROOT), details(file));
		}
	}

	private static Map<String, Object> details(PolicyFile file) {
		AuthorizationPolicy policy = file.policy();
		Map<String, Object> details = new LinkedHashMap<>();
		details.put("policy", policy.name());
		details.put("hash", policy.hash());
		details.put("rules", policy.size());
		details.put("since", file.since().toString());
		details.put("ageSeconds", file.age().toSeconds());
		String error = file.lastError();
		if (error != null) {
			details.put("lastError", error);
			details.put("failingSince", String.valueOf(file.failingSince()));
		}
		return details;
	}

}
