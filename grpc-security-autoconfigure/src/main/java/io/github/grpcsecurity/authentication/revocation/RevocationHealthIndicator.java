package io.github.grpcsecurity.authentication.revocation;

import java.time.Duration;

import org.springframework.boot.health.contributor.AbstractHealthIndicator;
import org.springframework.boot.health.contributor.Health;
import org.springframework.boot.health.contributor.Status;

/**
 * Tells how well this server knows what others have revoked.
 * <p>
 * While the store does not answer but the server goes on, its status is {@code WARNING},
 * which leaves the health of the application as a whole alone. It is out of service once
 * calls are refused because too little is known.
 *
 * @since 0.1.0
 */
public final class RevocationHealthIndicator extends AbstractHealthIndicator {

	/** What others have revoked lately may not be known here. */
	public static final Status WARNING = new Status("WARNING", "Revocations cannot be compared");

	private final CredentialRevocations revocations;

	/**
	 * Creates an indicator.
	 * @param revocations what this server knows
	 */
	public RevocationHealthIndicator(CredentialRevocations revocations) {
		super("The revocations cannot be looked at");
		this.revocations = revocations;
	}

	@Override
	protected void doHealthCheck(Health.Builder builder) {
		builder.up();
		if (this.revocations.degraded()) {
			builder.status(WARNING);
		}
		if (this.revocations.refusing()) {
			builder.outOfService();
		}
		builder.withDetail("shared", this.revocations.shared()).withDetail("entries", this.revocations.size());
		Duration age = this.revocations.age();
		if (this.revocations.shared() && age != null) {
			builder.withDetail("ageSeconds", age.toSeconds());
		}
	}

}
