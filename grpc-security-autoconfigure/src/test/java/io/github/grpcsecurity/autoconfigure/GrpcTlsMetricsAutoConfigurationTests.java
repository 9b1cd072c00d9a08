package io.github.grpcsecurity.autoconfigure;

import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.time.InstantSource;
import java.util.List;
import java.util.concurrent.atomic.AtomicReference;

import io.github.grpcsecurity.testing.TestCertificates;
import io.github.grpcsecurity.tls.MicrometerTlsReloadObserver;
import io.github.grpcsecurity.tls.SniCertificates;
import io.github.grpcsecurity.tls.TestCrl;
import io.github.grpcsecurity.tls.TlsReloader;
import io.micrometer.core.instrument.Counter;
import io.micrometer.core.instrument.Gauge;
import io.micrometer.core.instrument.MeterRegistry;
import io.micrometer.core.instrument.simple.SimpleMeterRegistry;
import io.netty.pkitesting.X509Bundle;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

import org.springframework.boot.autoconfigure.AutoConfigurations;
import org.springframework.boot.autoconfigure.ssl.SslAutoConfiguration;
import org.springframework.boot.ssl.DefaultSslBundleRegistry;
import org.springframework.boot.ssl.SslBundle;
import org.springframework.boot.ssl.pem.PemSslStoreBundle;
import org.springframework.boot.ssl.pem.PemSslStoreDetails;
import org.springframework.boot.test.context.FilteredClassLoader;
import org.springframework.boot.test.context.runner.ApplicationContextRunner;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

class GrpcTlsMetricsAutoConfigurationTests {

	private static final String EXPIRY = "grpc.security.tls.certificate.expiry";

	@TempDir
	Path directory;

	private TestCertificates certificates;

	private final AtomicReference<Instant> now = new AtomicReference<>(Instant.now());

	private final SimpleMeterRegistry registry = new SimpleMeterRegistry();

	private final ApplicationContextRunner runner = new ApplicationContextRunner()
		.withConfiguration(
				AutoConfigurations.of(GrpcTlsMetricsAutoConfiguration.class, GrpcTlsReloadAutoConfiguration.class,
						GrpcTransportAutoConfiguration.class, GrpcSecurityAutoConfiguration.class))
		.withBean(InstantSource.class, () -> this.now::get);

	@BeforeEach
	void makeCertificates() {
		this.certificates = TestCertificates.in(this.directory);
	}

	@Test
	void runWhenServerHasCertificatesThenEachShowsSecondsLeft() {
		pem().withBean(MeterRegistry.class, () -> this.registry).run((context) -> {
			Instant notAfter = this.certificates.server().getCertificate().getNotAfter().toInstant();
			this.now.set(notAfter.minus(Duration.ofDays(3)));
			Gauge server = gauge("server");

			assertThat(server.value()).isEqualTo(Duration.ofDays(3).toSeconds());
			assertThat(server.getId().getBaseUnit()).isEqualTo("seconds");
			assertThat(server.getId().getTag("subject")).isEqualTo("CN=Test server");
			assertThat(server.getId().getTag("serial"))
				.isEqualTo(this.certificates.server().getCertificate().getSerialNumber().toString(16));
			assertThat(gauge("trust-anchor").getId().getTag("subject")).isEqualTo("CN=Test CA");
			this.now.set(notAfter.plusSeconds(5));
			assertThat(server.value()).isEqualTo(-5);
		});
	}

	@Test
	void runWhenCertificateIsReplacedThenOnlyTheNewOneIsShown() {
		pem().withBean(MeterRegistry.class, () -> this.registry).run((context) -> {
			X509Bundle renewed = this.certificates.issue((builder) -> {
			});
			this.certificates.certificatePem("server.pem", renewed);
			this.certificates.keyPem("server-key.pem", renewed);

			assertThat(context.getBean(TlsReloader.class).reload()).isTrue();

			assertThat(this.registry.find(EXPIRY).tag("role", "server").gauges()).singleElement()
				.satisfies((gauge) -> assertThat(gauge.getId().getTag("serial"))
					.isEqualTo(renewed.getCertificate().getSerialNumber().toString(16)));
			assertThat(reloads("success")).isOne();
			assertThat(reloads("failure")).isZero();
		});
	}

	@Test
	void runWhenThereAreCertificatesForHostsThenEachIsShownAndStaysShown() {
		X509Bundle api = this.certificates.issue((builder) -> builder.subject("CN=api.bank.example"));
		String bundle = "spring.ssl.bundle.pem.api.keystore.";
		pem().withBean(MeterRegistry.class, () -> this.registry)
			.withConfiguration(AutoConfigurations.of(SslAutoConfiguration.class))
			.withPropertyValues("grpc.security.tls.sni[0].host=api.bank.example", "grpc.security.tls.sni[0].bundle=api",
					bundle + "certificate=" + this.certificates.certificatePem("api.pem", api),
					bundle + "private-key=" + this.certificates.keyPem("api-key.pem", api))
			.run((context) -> {
				assertThat(subjects()).containsExactlyInAnyOrder("CN=Test server", "CN=api.bank.example");
				X509Bundle renewed = this.certificates.issue((builder) -> builder.subject("CN=renewed.bank.example"));
				DefaultSslBundleRegistry bundles = context.getBean(DefaultSslBundleRegistry.class);

				bundles.updateBundle("api",
						SslBundle
							.of(new PemSslStoreBundle(PemSslStoreDetails.forCertificate(renewed.getCertificatePathPEM())
								.withPrivateKey(renewed.getPrivateKeyPEM()), null)));

				await().untilAsserted(() -> assertThat(subjects()).containsExactlyInAnyOrder("CN=Test server",
						"CN=renewed.bank.example"));
			});
	}

	private List<String> subjects() {
		return this.registry.find(EXPIRY)
			.tag("role", "server")
			.gauges()
			.stream()
			.map((gauge) -> gauge.getId().getTag("subject"))
			.toList();
	}

	@Test
	void runWhenRevocationListsAreLookedAtThenEachLookIsCounted() throws Exception {
		Path list = this.directory.resolve("ca.crl");
		Files.write(list, TestCrl.of(this.certificates.ca()).der());
		pem().withBean(MeterRegistry.class, () -> this.registry)
			.withConfiguration(AutoConfigurations.of(GrpcPeerTrustAutoConfiguration.class))
			.withPropertyValues("grpc.security.tls.client-auth=require", "grpc.security.tls.crl.locations=" + list,
					"grpc.security.tls.reload-interval=100ms")
			.run((context) -> {
				await().until(() -> looks("success") > 0);
				assertThat(looks("failure")).isZero();
				Files.writeString(list, "bad");

				await().until(() -> looks("failure") > 0);
			});
	}

	private double looks(String result) {
		Counter counter = this.registry.find("grpc.security.tls.crl.reload").tag("result", result).counter();
		return (counter != null) ? counter.count() : 0;
	}

	@Test
	void runWhenThereAreNoRevocationListsThenThereIsNoMeterOfThem() {
		pem().withBean(MeterRegistry.class, () -> this.registry)
			.run((context) -> assertThat(this.registry.find("grpc.security.tls.crl.reload").counters()).isEmpty());
	}

	@Test
	void runWhenReloadFailsThenItIsCounted() {
		pem().withBean(MeterRegistry.class, () -> this.registry).run((context) -> {
			Files.writeString(this.directory.resolve("server.pem"), "oops");

			assertThat(context.getBean(TlsReloader.class).reload()).isFalse();

			assertThat(reloads("failure")).isOne();
			assertThat(reloads("success")).isZero();
		});
	}

	@Test
	void runWhenServerIsPlaintextThenNothingIsShown() {
		this.runner.withBean(MeterRegistry.class, () -> this.registry)
			.withPropertyValues("grpc.security.transport=plaintext", "grpc.server.address=127.0.0.1")
			.run((context) -> {
				assertThat(context).hasNotFailed();
				assertThat(this.registry.find(EXPIRY).gauges()).isEmpty();
			});
	}

	@Test
	void runWhenThereIsNoRegistryThenNone() {
		pem().run((context) -> assertThat(context).hasNotFailed().doesNotHaveBean(MicrometerTlsReloadObserver.class));
	}

	@Test
	void runWhenMicrometerIsMissingThenNone() {
		pem().withClassLoader(new FilteredClassLoader("io.micrometer"))
			.run((context) -> assertThat(context).hasNotFailed().doesNotHaveBean("grpcTlsReloadObserver"));
	}

	@Test
	void runWhenSecurityIsOffThenNone() {
		pem().withBean(MeterRegistry.class, () -> this.registry)
			.withPropertyValues("grpc.security.enabled=false")
			.run((context) -> assertThat(context).doesNotHaveBean(MicrometerTlsReloadObserver.class));
	}

	@Test
	void runWhenUserHasOwnThenBacksOff() {
		pem().withBean(MeterRegistry.class, () -> this.registry)
			.withBean("own", MicrometerTlsReloadObserver.class,
					() -> new MicrometerTlsReloadObserver(new SimpleMeterRegistry(), null, SniCertificates.none(),
							this.now::get))
			.run((context) -> assertThat(context).hasSingleBean(MicrometerTlsReloadObserver.class).hasBean("own"));
	}

	private ApplicationContextRunner pem() {
		return this.runner.withPropertyValues("grpc.security.tls.certificate-chain=" + this.certificates.serverPem(),
				"grpc.security.tls.private-key=" + this.certificates.serverKeyPem(),
				"grpc.security.tls.trust-certificates=" + this.certificates.caPem());
	}

	private Gauge gauge(String role) {
		return this.registry.get(EXPIRY).tag("role", role).gauge();
	}

	private double reloads(String result) {
		return this.registry.get("grpc.security.tls.reload").tag("result", result).counter().count();
	}

}
