package io.github.grpcsecurity.autoconfigure;

import java.nio.file.Path;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;

import io.github.grpcsecurity.server.GrpcSecurityThreads;
import io.github.grpcsecurity.testing.TestCertificates;
import io.github.grpcsecurity.tls.TlsMaterial;
import io.github.grpcsecurity.tls.TlsReloadObserver;
import io.github.grpcsecurity.tls.TlsReloader;
import io.github.grpcsecurity.tls.TransportConfigurer;
import io.netty.pkitesting.X509Bundle;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

import org.springframework.boot.autoconfigure.AutoConfigurations;
import org.springframework.boot.autoconfigure.ssl.SslAutoConfiguration;
import org.springframework.boot.context.properties.source.InvalidConfigurationPropertyValueException;
import org.springframework.boot.ssl.SslBundle;
import org.springframework.boot.ssl.SslBundleRegistry;
import org.springframework.boot.ssl.pem.PemSslStoreBundle;
import org.springframework.boot.ssl.pem.PemSslStoreDetails;
import org.springframework.boot.test.context.FilteredClassLoader;
import org.springframework.boot.test.context.runner.ApplicationContextRunner;
import org.springframework.boot.test.system.CapturedOutput;
import org.springframework.boot.test.system.OutputCaptureExtension;
import org.springframework.context.ApplicationContext;

import static org.assertj.core.api.Assertions.assertThat;

@ExtendWith(OutputCaptureExtension.class)
class GrpcTlsReloadAutoConfigurationTests {

	@TempDir
	Path directory;

	private TestCertificates certificates;

	private final Latch latch = new Latch();

	private final ApplicationContextRunner runner = new ApplicationContextRunner()
		.withConfiguration(AutoConfigurations.of(GrpcTlsReloadAutoConfiguration.class,
				GrpcTransportAutoConfiguration.class, GrpcSecurityAutoConfiguration.class, SslAutoConfiguration.class))
		.withBean(TlsReloadObserver.class, () -> this.latch);

	@BeforeEach
	void makeCertificates() {
		this.certificates = TestCertificates.in(this.directory);
	}

	@Test
	void runWhenFilesChangeThenTheyAreTakenIntoUse() {
		X509Bundle renewed = renew();
		pem().withPropertyValues("grpc.security.tls.reload-interval=100ms").run((context) -> {
			write(renewed);

			assertThat(this.latch.adopted.await(30, TimeUnit.SECONDS)).isTrue();
			assertServes(context, renewed);
		});
	}

	@Test
	void runWhenNothingIsSetThenLooksEveryTenSeconds() {
		pem().run((context) -> {
			assertThat(context.getBean(TlsReloader.class).isRunning()).isTrue();
			assertThat(context.getBean(GrpcTlsProperties.class).reloadInterval()).hasSeconds(10);
			assertThat(planned(context)).isEqualTo(1);
		});
	}

	@ParameterizedTest
	@ValueSource(strings = { "0", "0s" })
	void runWhenIntervalIsZeroThenNobodyLooks(String interval) {
		pem().withPropertyValues("grpc.security.tls.reload-interval=" + interval)
			.run((context) -> assertThat(planned(context)).isZero());
	}

	@Test
	void runWhenServerIsPlaintextThenNobodyLooks() {
		this.runner.withPropertyValues("grpc.security.transport=plaintext", "grpc.server.address=127.0.0.1")
			.run((context) -> {
				assertThat(context).hasNotFailed();
				assertThat(planned(context)).isZero();
			});
	}

	@ParameterizedTest
	@CsvSource({ "-1s", "99ms", "1ns" })
	void runWhenIntervalIsTooShortThenFailsAndSaysWhatToDo(String interval) {
		pem().withPropertyValues("grpc.security.tls.reload-interval=" + interval).run((context) -> {
			assertThat(context).hasFailed();
			assertThat(context.getStartupFailure()).rootCause()
				.isInstanceOfSatisfying(InvalidConfigurationPropertyValueException.class, (failure) -> {
					assertThat(failure.getName()).isEqualTo("grpc.security.tls.reload-interval");
					assertThat(failure.getReason()).isEqualTo("Certificates are looked at every 100ms at most. Set it "
							+ "to a duration such as 10s, or to 0 to never look at them again");
				});
		});
	}

	@Test
	void runWhenIntervalIsNoDurationThenFails() {
		pem().withPropertyValues("grpc.security.tls.reload-interval=often")
			.run((context) -> assertThat(context).hasFailed());
	}

	@Test
	void runWhenBundleIsUpdatedThenItIsTakenIntoUse() {
		X509Bundle renewed = renew();
		bundle().run((context) -> {
			assertThat(context).hasNotFailed();

			context.getBean(SslBundleRegistry.class).updateBundle("server", bundle(renewed, renewed));

			assertThat(this.latch.adopted.await(30, TimeUnit.SECONDS)).isTrue();
			assertServes(context, renewed);
		});
	}

	@Test
	void runWhenBundleIsUpdatedWithPairThatDoesNotFitThenOldOneServes(CapturedOutput output) {
		bundle().run((context) -> {
			context.getBean(SslBundleRegistry.class).updateBundle("server", bundle(renew(), renew()));

			assertThat(this.latch.refused.await(30, TimeUnit.SECONDS)).isTrue();
			assertServes(context, this.certificates.server());
			assertThat(output).containsOnlyOnce("TLS reload failed; serving the old certificate of CN=Test server");
		});
	}

	@Test
	void runWhenIntervalIsZeroThenUpdatesOfBundleAreNotTaken() {
		bundle().withPropertyValues("grpc.security.tls.reload-interval=0").run((context) -> {
			X509Bundle renewed = renew();

			context.getBean(SslBundleRegistry.class).updateBundle("server", bundle(renewed, renewed));

			// Nothing was handed over to other threads either
			assertThat(planned(context)).isZero();
			assertServes(context, this.certificates.server());
		});
	}

	@Test
	void runWhenSpringBootReloadsFilesOfBundleThenTheyAreTakenIntoUse() {
		X509Bundle renewed = renew();
		bundle()
			.withPropertyValues("spring.ssl.bundle.pem.server.reload-on-update=true",
					"spring.ssl.bundle.watch.file.quiet-period=100ms")
			.run((context) -> {
				write(renewed);

				assertThat(this.latch.adopted.await(60, TimeUnit.SECONDS)).isTrue();
				assertServes(context, renewed);
			});
	}

	@Test
	void runWhenUserHasOwnReloaderThenBacksOff() {
		pem()
			.withBean("own", TlsReloader.class,
					() -> new TlsReloader(null, java.time.Duration.ZERO, new GrpcSecurityThreads(),
							java.util.List.of()))
			.run((context) -> assertThat(context).hasSingleBean(TlsReloader.class).hasBean("own"));
	}

	@Test
	void runWhenSecurityIsOffThenThereIsNone() {
		pem().withPropertyValues("grpc.security.enabled=false")
			.run((context) -> assertThat(context).hasNotFailed().doesNotHaveBean(TlsReloader.class));
	}

	@Test
	void runWhenMicrometerIsMissingThenReloadsAllTheSame() {
		pem().withClassLoader(new FilteredClassLoader("io.micrometer")).run((context) -> {
			X509Bundle renewed = renew();
			write(renewed);

			assertThat(context.getBean(TlsReloader.class).reload()).isTrue();
			assertServes(context, renewed);
		});
	}

	private ApplicationContextRunner pem() {
		return this.runner.withPropertyValues("grpc.security.tls.certificate-chain=" + this.certificates.serverPem(),
				"grpc.security.tls.private-key=" + this.certificates.serverKeyPem());
	}

	private ApplicationContextRunner bundle() {
		return this.runner.withPropertyValues("grpc.security.tls.bundle=server",
				"spring.ssl.bundle.pem.server.keystore.certificate=" + this.certificates.serverPem(),
				"spring.ssl.bundle.pem.server.keystore.private-key=" + this.certificates.serverKeyPem(),
				"spring.ssl.bundle.pem.server.truststore.certificate=" + this.certificates.caPem());
	}

	private SslBundle bundle(X509Bundle certificate, X509Bundle key) {
		return SslBundle.of(new PemSslStoreBundle(
				PemSslStoreDetails.forCertificate(certificate.getCertificatePEM())
					.withPrivateKey(key.getPrivateKeyPEM()),
				PemSslStoreDetails.forCertificate(this.certificates.ca().getCertificatePEM())));
	}

	private X509Bundle renew() {
		return this.certificates.issue((builder) -> {
		});
	}

	private void write(X509Bundle pair) {
		this.certificates.certificatePem("server.pem", pair);
		this.certificates.keyPem("server-key.pem", pair);
	}

	private static int planned(ApplicationContext context) {
		return context.getBean(GrpcSecurityThreads.class).scheduler().getQueue().size();
	}

	private static void assertServes(ApplicationContext context, X509Bundle expected) {
		assertThat(context.getBean(TransportConfigurer.class).credentials().current().chain().get(0))
			.isEqualTo(expected.getCertificate());
	}

	private static final class Latch implements TlsReloadObserver {

		private final CountDownLatch adopted = new CountDownLatch(1);

		private final CountDownLatch refused = new CountDownLatch(1);

		@Override
		public void reloaded(TlsMaterial material) {
			this.adopted.countDown();
		}

		@Override
		public void failed(RuntimeException cause) {
			this.refused.countDown();
		}

	}

}
