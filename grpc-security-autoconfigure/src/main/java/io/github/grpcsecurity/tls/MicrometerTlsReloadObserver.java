package io.github.grpcsecurity.tls;

import java.math.BigInteger;
import java.security.cert.X509Certificate;
import java.time.Duration;
import java.time.InstantSource;
import java.util.ArrayList;
import java.util.List;

import io.micrometer.core.instrument.Counter;
import io.micrometer.core.instrument.MeterRegistry;
import io.micrometer.core.instrument.MultiGauge;
import io.micrometer.core.instrument.Tags;
import org.jspecify.annotations.Nullable;

/**
 * Counts reloads, as {@code grpc.security.tls.reload} with the tag {@code result}, and
 * shows for each certificate in use how many seconds it is still valid, as
 * {@code grpc.security.tls.certificate.expiry} with the tags {@code role},
 * {@code subject} and {@code serial}. The number is negative once it has expired.
 *
 * @since 0.1.0
 */
public final class MicrometerTlsReloadObserver implements TlsReloadObserver {

	/** Name of the counter; its tag is {@code result}. */
	public static final String RELOAD = "grpc.security.tls.reload";

	/**
	 * Name of the gauge; its tags are {@code role}, {@code subject} and {@code serial}.
	 */
	public static final String EXPIRY = "grpc.security.tls.certificate.expiry";

	private final InstantSource clock;

	private final Counter successes;

	private final Counter failures;

	private final MultiGauge expiry;

	/**
	 * Registers the meters.
	 * @param registry where they are registered
	 * @param current what is in force; {@code null} if the server does not use this
	 * library's TLS
	 * @param clock tells how long certificates are still valid
	 */
	public MicrometerTlsReloadObserver(MeterRegistry registry, @Nullable TlsMaterial current, InstantSource clock) {
		this.clock = clock;
		this.successes = counter(registry, "success");
		this.failures = counter(registry, "failure");
		this.expiry = MultiGauge.builder(EXPIRY)
			.description("Time until a certificate in use expires")
			.baseUnit("seconds")
			.register(registry);
		if (current != null) {
			show(current);
		}
	}

	private static Counter counter(MeterRegistry registry, String result) {
		return Counter.builder(RELOAD)
			.description("Reloads of certificates, keys and trust anchors")
			.tag("result", result)
			.register(registry);
	}

	@Override
	public void reloaded(TlsMaterial material) {
		this.successes.increment();
		show(material);
	}

	@Override
	public void failed(RuntimeException cause) {
		this.failures.increment();
	}

	private void show(TlsMaterial material) {
		List<MultiGauge.Row<?>> rows = new ArrayList<>();
		rows.add(row("server", material.leaf()));
		material.chain().stream().skip(1).forEach((certificate) -> rows.add(row("intermediate", certificate)));
		material.trustAnchors().forEach((certificate) -> rows.add(row("trust-anchor", certificate)));
		this.expiry.register(rows, true);
	}

	private MultiGauge.Row<?> row(String role, X509Certificate certificate) {
		BigInteger serial = certificate.getSerialNumber();
		Tags tags = Tags.of("role", role, "subject", certificate.getSubjectX500Principal().getName(), "serial",
				serial.toString(16));
		return MultiGauge.Row.of(tags, certificate, this::secondsLeft);
	}

	private double secondsLeft(X509Certificate certificate) {
		return Duration.between(this.clock.instant(), certificate.getNotAfter().toInstant()).toSeconds();
	}

}
