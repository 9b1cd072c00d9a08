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

	private final @Nullable TlsCredentials credentials;

	private final SniCertificates sni;

	private final InstantSource clock;

	private final Counter successes;

	private final Counter failures;

	private final MultiGauge expiry;

	/**
	 * Registers the meters.
	 * @param registry where they are registered
	 * @param credentials what the server uses; {@code null} if it does not use this
	 * library's TLS
	 * @param sni what it uses for certain hosts
	 * @param clock tells how long certificates are still valid
	 */
	public MicrometerTlsReloadObserver(MeterRegistry registry, @Nullable TlsCredentials credentials,
			SniCertificates sni, InstantSource clock) {
		this.credentials = credentials;
		this.sni = sni;
		this.clock = clock;
		this.successes = counter(registry, "success");
		this.failures = counter(registry, "failure");
		this.expiry = MultiGauge.builder(EXPIRY)
			.description("Time until a certificate in use expires")
			.baseUnit("seconds")
			.register(registry);
		show();
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
		show();
	}

	@Override
	public void failed(RuntimeException cause) {
		this.failures.increment();
	}

	// All of them, because rows that are left out disappear. The material of each host is
	// exchanged by itself, maybe by several threads at once
	private synchronized void show() {
		List<MultiGauge.Row<?>> rows = new ArrayList<>();
		if (this.credentials != null) {
			add(rows, this.credentials.current());
		}
		this.sni.byHost().values().forEach((host) -> add(rows, host.current()));
		this.expiry.register(rows, true);
	}

	private void add(List<MultiGauge.Row<?>> rows, TlsMaterial material) {
		rows.add(row("server", material.leaf()));
		material.chain().stream().skip(1).forEach((certificate) -> rows.add(row("intermediate", certificate)));
		material.trustAnchors().forEach((certificate) -> rows.add(row("trust-anchor", certificate)));
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
