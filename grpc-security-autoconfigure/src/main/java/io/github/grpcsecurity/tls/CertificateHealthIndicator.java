package io.github.grpcsecurity.tls;

import java.security.cert.X509Certificate;
import java.time.Duration;
import java.time.Instant;
import java.time.InstantSource;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

import org.jspecify.annotations.Nullable;

import org.springframework.boot.health.contributor.AbstractHealthIndicator;
import org.springframework.boot.health.contributor.Health;
import org.springframework.boot.health.contributor.Status;

/**
 * Warns before the certificate of the server expires, and is down once it has.
 * <p>
 * The warning is a status of its own, {@code WARNING}, that leaves the health of the
 * application as a whole alone: a server that works must not be taken away from its
 * clients. An intermediate certificate never takes the server down, because clients may
 * know another path; nor does a certificate for certain hosts (SNI), because others are
 * served.
 *
 * @since 0.1.0
 */
public final class CertificateHealthIndicator extends AbstractHealthIndicator {

	/** A certificate expires soon. */
	public static final Status WARNING = new Status("WARNING", "A certificate expires soon");

	private final @Nullable TlsCredentials credentials;

	private final SniCertificates sni;

	private final Duration warning;

	private final InstantSource clock;

	/**
	 * Creates an indicator.
	 * @param credentials what the server uses; {@code null} if it does not use this
	 * library's TLS, so that nothing is known
	 * @param sni what it uses for certain hosts
	 * @param warning how long before a certificate expires the warning begins
	 * @param clock tells the time
	 */
	public CertificateHealthIndicator(@Nullable TlsCredentials credentials, SniCertificates sni, Duration warning,
			InstantSource clock) {
		super("The certificates of the gRPC server cannot be looked at");
		this.credentials = credentials;
		this.sni = sni;
		this.warning = warning;
		this.clock = clock;
	}

	@Override
	protected void doHealthCheck(Health.Builder builder) {
		TlsCredentials current = this.credentials;
		if (current == null) {
			builder.unknown().withDetail("reason", "The gRPC server uses no certificates of grpc.security.tls");
			return;
		}
		Instant now = this.clock.instant();
		List<X509Certificate> chain = current.current().chain();
		Map<String, Object> hosts = new TreeMap<>();
		boolean warn = expiresSoon(now, chain);
		for (Map.Entry<String, TlsCredentials> host : this.sni.byHost().entrySet()) {
			List<X509Certificate> shown = host.getValue().current().chain();
			warn |= expiresSoon(now, shown);
			hosts.put(host.getKey(), details(now, shown));
		}
		builder.up();
		if (warn) {
			builder.status(WARNING);
		}
		if (expiresBy(now, chain.get(0))) {
			builder.down();
		}
		builder.withDetail("certificates", details(now, chain));
		if (!hosts.isEmpty()) {
			builder.withDetail("sni", hosts);
		}
	}

	private boolean expiresSoon(Instant now, List<X509Certificate> chain) {
		return chain.stream().anyMatch((certificate) -> expiresBy(now.plus(this.warning), certificate));
	}

	private static boolean expiresBy(Instant when, X509Certificate certificate) {
		return certificate.getNotAfter().toInstant().isBefore(when);
	}

	private static List<Map<String, Object>> details(Instant now, List<X509Certificate> chain) {
		return chain.stream().map((certificate) -> details(now, certificate)).toList();
	}

	private static Map<String, Object> details(Instant now, X509Certificate certificate) {
		Instant notAfter = certificate.getNotAfter().toInstant();
		Map<String, Object> details = new LinkedHashMap<>();
		details.put("subject", certificate.getSubjectX500Principal().getName());
		details.put("serial", certificate.getSerialNumber().toString(16));
		details.put("expires", notAfter.toString());
		details.put("daysLeft", Duration.between(now, notAfter).toDays());
		return details;
	}

}
