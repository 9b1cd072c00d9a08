package io.github.grpcsecurity.autoconfigure;

import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.time.InstantSource;
import java.util.concurrent.atomic.AtomicReference;

import io.github.grpcsecurity.testing.TestCertificates;
import io.github.grpcsecurity.tls.CertificateHealthIndicator;
import io.github.grpcsecurity.tls.SniCertificates;
import io.github.grpcsecurity.tls.TlsReloader;
import io.netty.pkitesting.CertificateBuilder;
import io.netty.pkitesting.X509Bundle;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

import org.springframework.boot.autoconfigure.AutoConfigurations;
import org.springframework.boot.autoconfigure.ssl.SslAutoConfiguration;
import org.springframework.boot.context.properties.source.InvalidConfigurationPropertyValueException;
import org.springframework.boot.health.actuate.endpoint.HttpCodeStatusMapper;
import org.springframework.boot.health.actuate.endpoint.StatusAggregator;
import org.springframework.boot.health.autoconfigure.actuate.endpoint.HealthEndpointAutoConfiguration;
import org.springframework.boot.health.autoconfigure.registry.HealthContributorRegistryAutoConfiguration;
import org.springframework.boot.health.contributor.Health;
import org.springframework.boot.health.contributor.Status;
import org.springframework.boot.health.registry.HealthContributorRegistry;
import org.springframework.boot.test.context.FilteredClassLoader;
import org.springframework.boot.test.context.runner.ApplicationContextRunner;
import org.springframework.context.ApplicationContext;

import static org.assertj.core.api.Assertions.assertThat;

class GrpcCertificateHealthAutoConfigurationTests {

	@TempDir
	Path directory;

	private TestCertificates certificates;

	private X509Bundle server;

	private final AtomicReference<Instant> now = new AtomicReference<>(Instant.now());

	private final ApplicationContextRunner runner = new ApplicationContextRunner()
		.withConfiguration(AutoConfigurations.of(GrpcCertificateHealthAutoConfiguration.class,
				GrpcTlsReloadAutoConfiguration.class, GrpcTransportAutoConfiguration.class,
				GrpcSecurityAutoConfiguration.class, HealthContributorRegistryAutoConfiguration.class,
				HealthEndpointAutoConfiguration.class))
		.withPropertyValues("management.endpoints.web.exposure.include=health")
		.withBean(InstantSource.class, () -> this.now::get);

	@BeforeEach
	void makeCertificates() {
		this.certificates = TestCertificates.in(this.directory);
		this.server = issue(Duration.ofDays(90));
	}

	@Test
	void healthWhenCertificateIsValidForLongThenUpWithDetails() {
		pem().run((context) -> {
			before(Duration.ofDays(14).plusSeconds(1));

			Health health = health(context);

			assertThat(health.getStatus()).isEqualTo(Status.UP);
			assertThat(health.getDetails().get("certificates")).asString()
				.isEqualTo("[{subject=CN=Test server, serial="
						+ this.server.getCertificate().getSerialNumber().toString(16) + ", expires="
						+ this.server.getCertificate().getNotAfter().toInstant() + ", daysLeft=14}]");
		});
	}

	@Test
	void healthWhenCertificateExpiresSoonThenWarnsWithoutTakingServerDown() {
		pem().run((context) -> {
			before(Duration.ofDays(14).minusSeconds(1));

			Status status = health(context).getStatus();

			assertThat(status).isEqualTo(CertificateHealthIndicator.WARNING);
			assertThat(context.getBean(StatusAggregator.class).getAggregateStatus(Status.UP, status))
				.isEqualTo(Status.UP);
			assertThat(context.getBean(HttpCodeStatusMapper.class).getStatusCode(status)).isEqualTo(200);
		});
	}

	@Test
	void healthWhenCertificateIsExpiredThenDown() {
		pem().run((context) -> {
			before(Duration.ofSeconds(-1));

			assertThat(health(context).getStatus()).isEqualTo(Status.DOWN);
		});
	}

	@Test
	void healthWhenCertificateIsRenewedThenUpAgain() {
		pem().run((context) -> {
			before(Duration.ofSeconds(-1));
			X509Bundle renewed = issue(Duration.ofDays(180));
			this.certificates.certificatePem("server.pem", renewed);
			this.certificates.keyPem("server-key.pem", renewed);

			assertThat(context.getBean(TlsReloader.class).reload()).isTrue();

			assertThat(health(context).getStatus()).isEqualTo(Status.UP);
		});
	}

	@Test
	void healthWhenOnlyIntermediateIsExpiredThenWarns() throws Exception {
		X509Bundle shortLived = this.certificates.issue((builder) -> builder.subject("CN=Intermediate")
			.setIsCertificateAuthority(true)
			.notAfter(Instant.now().plus(Duration.ofDays(30))));
		this.server = new CertificateBuilder().subject("CN=Test server")
			.notAfter(Instant.now().plus(Duration.ofDays(90)))
			.buildIssuedBy(shortLived);
		Path chain = this.certificates.write("chain.pem",
				this.server.getCertificatePEM() + shortLived.getCertificatePEM());
		pem().withPropertyValues("grpc.security.tls.certificate-chain=" + chain).run((context) -> {
			before(Duration.ofDays(50));

			assertThat(health(context).getStatus()).isEqualTo(CertificateHealthIndicator.WARNING);
		});
	}

	@Test
	void healthWhenCertificateOfAHostExpiresThenWarnsAndNamesIt() {
		X509Bundle api = this.certificates.issue(
				(builder) -> builder.subject("CN=api.bank.example").notAfter(Instant.now().plus(Duration.ofDays(30))));
		String bundle = "spring.ssl.bundle.pem.api.keystore.";
		pem().withConfiguration(AutoConfigurations.of(SslAutoConfiguration.class))
			.withPropertyValues("grpc.security.tls.sni[0].host=api.bank.example", "grpc.security.tls.sni[0].bundle=api",
					bundle + "certificate=" + this.certificates.certificatePem("api.pem", api),
					bundle + "private-key=" + this.certificates.keyPem("api-key.pem", api))
			.run((context) -> {
				assertThat(health(context).getStatus()).isEqualTo(Status.UP);
				this.now.set(api.getCertificate().getNotAfter().toInstant().minus(Duration.ofDays(1)));

				Health health = health(context);

				assertThat(health.getStatus()).isEqualTo(CertificateHealthIndicator.WARNING);
				assertThat(health.getDetails().get("sni")).asString()
					.startsWith("{api.bank.example=[{subject=CN=api.bank.example, ")
					.endsWith("daysLeft=1}]}");
				// Others are served: only the server's usual certificate takes it down
				this.now.set(api.getCertificate().getNotAfter().toInstant().plusSeconds(1));
				assertThat(health(context).getStatus()).isEqualTo(CertificateHealthIndicator.WARNING);
			});
	}

	@Test
	void healthWhenWarningIsConfiguredThenItBeginsThen() {
		pem().withPropertyValues("grpc.security.tls.expiry-warning=2").run((context) -> {
			before(Duration.ofDays(2).plusSeconds(1));
			assertThat(health(context).getStatus()).isEqualTo(Status.UP);
			before(Duration.ofDays(2).minusSeconds(1));
			assertThat(health(context).getStatus()).isEqualTo(CertificateHealthIndicator.WARNING);
		});
		pem().withPropertyValues("grpc.security.tls.expiry-warning=0").run((context) -> {
			before(Duration.ofSeconds(1));
			assertThat(health(context).getStatus()).isEqualTo(Status.UP);
		});
	}

	@Test
	void healthWhenServerIsPlaintextThenUnknown() {
		this.runner.withPropertyValues("grpc.security.transport=plaintext", "grpc.server.address=127.0.0.1")
			.run((context) -> assertThat(health(context).getStatus()).isEqualTo(Status.UNKNOWN));
	}

	@Test
	void runWhenServerIsPlaintextAndWarningIsSetThenFails() {
		this.runner
			.withPropertyValues("grpc.security.transport=plaintext", "grpc.server.address=127.0.0.1",
					"grpc.security.tls.expiry-warning=1d")
			.run((context) -> assertThat(context.getStartupFailure())
				.hasStackTraceContaining("grpc.security.transport is 'plaintext', but there is also "
						+ "grpc.security.tls.expiry-warning."));
	}

	@Test
	void runWhenWarningIsNegativeThenFailsAndSaysWhatToDo() {
		pem().withPropertyValues("grpc.security.tls.expiry-warning=-1d")
			.run((context) -> assertThat(context.getStartupFailure()).rootCause()
				.isInstanceOfSatisfying(InvalidConfigurationPropertyValueException.class, (failure) -> {
					assertThat(failure.getName()).isEqualTo("grpc.security.tls.expiry-warning");
					assertThat(failure.getReason())
						.isEqualTo("A warning cannot come after the certificate has expired. "
								+ "Set it to a duration such as 14d, or to 0 for no warning");
				}));
	}

	@ParameterizedTest
	@ValueSource(strings = { "management.health.grpc-certificates.enabled=false",
			"management.health.grpccertificates.enabled=false", "management.health.defaults.enabled=false",
			"grpc.security.enabled=false" })
	void runWhenSwitchedOffThenThereIsNone(String property) {
		pem().withPropertyValues(property)
			.run((context) -> assertThat(context).hasNotFailed().doesNotHaveBean(CertificateHealthIndicator.class));
	}

	@Test
	void runWhenHealthIsMissingThenStartsWithout() {
		pem().withClassLoader(new FilteredClassLoader("org.springframework.boot.health"))
			.run((context) -> assertThat(context).hasNotFailed().doesNotHaveBean("grpcCertificatesHealthIndicator"));
	}

	@Test
	void runWhenUserHasOwnThenBacksOff() {
		pem()
			.withBean("grpcCertificatesHealthIndicator", CertificateHealthIndicator.class,
					() -> new CertificateHealthIndicator(null, SniCertificates.none(), Duration.ZERO, this.now::get))
			.run((context) -> assertThat(health(context).getStatus()).isEqualTo(Status.UNKNOWN));
	}

	private X509Bundle issue(Duration validity) {
		return this.certificates.issue((builder) -> builder.notAfter(Instant.now().plus(validity)));
	}

	private void before(Duration expiry) {
		this.now.set(this.server.getCertificate().getNotAfter().toInstant().minus(expiry));
	}

	private static Health health(ApplicationContext context) {
		return ((CertificateHealthIndicator) context.getBean(HealthContributorRegistry.class)
			.getContributor("grpcCertificates")).health();
	}

	private ApplicationContextRunner pem() {
		return this.runner.withPropertyValues(
				"grpc.security.tls.certificate-chain=" + this.certificates.certificatePem("server.pem", this.server),
				"grpc.security.tls.private-key=" + this.certificates.keyPem("server-key.pem", this.server));
	}

}
