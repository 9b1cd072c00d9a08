package io.github.grpcsecurity.autoconfigure;

import java.nio.file.Path;
import java.security.KeyStore;
import java.util.ArrayList;
import java.util.List;

import io.github.grpcsecurity.server.GrpcSecurityThreads;
import io.github.grpcsecurity.testing.TestCertificates;
import io.github.grpcsecurity.tls.TransportConfigurer;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

import org.springframework.boot.autoconfigure.AutoConfigurations;
import org.springframework.boot.autoconfigure.ssl.SslAutoConfiguration;
import org.springframework.boot.diagnostics.FailureAnalysis;
import org.springframework.boot.ssl.SslBundle;
import org.springframework.boot.ssl.SslBundleRegistry;
import org.springframework.boot.ssl.SslStoreBundle;
import org.springframework.boot.test.context.assertj.AssertableApplicationContext;
import org.springframework.boot.test.context.runner.ApplicationContextRunner;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

class GrpcSniAutoConfigurationTests {

	private static final String ENTRY = "Give each entry of grpc.security.tls.sni a host, such as *.bank.example, and "
			+ "the name of the SSL bundle with its certificate.";

	@TempDir
	Path directory;

	private TestCertificates certificates;

	private ApplicationContextRunner runner;

	@BeforeEach
	void makeCertificates() {
		this.certificates = TestCertificates.in(this.directory);
		this.runner = new ApplicationContextRunner()
			.withConfiguration(AutoConfigurations.of(GrpcTransportAutoConfiguration.class, SslAutoConfiguration.class))
			.withPropertyValues("grpc.security.tls.certificate-chain=" + this.certificates.serverPem(),
					"grpc.security.tls.private-key=" + this.certificates.serverKeyPem(),
					"spring.ssl.bundle.pem.bank.keystore.certificate=" + this.certificates.serverPem(),
					"spring.ssl.bundle.pem.bank.keystore.private-key=" + this.certificates.serverKeyPem(),
					"spring.ssl.bundle.pem.trust.truststore.certificate=" + this.certificates.caPem());
	}

	@Test
	void runWhenNothingIsConfiguredThenNoHostHasItsOwnCertificate() {
		this.runner.run((context) -> assertThat(context.getBean(TransportConfigurer.class).sniCertificates().byHost())
			.isEmpty());
	}

	@Test
	void runWhenHostHasBundleThenItsCertificateIsUsed() {
		sni("*.bank.example", "bank")
			.run((context) -> assertThat(context.getBean(TransportConfigurer.class).sniCertificates().byHost())
				.hasEntrySatisfying("*.bank.example", (credentials) -> assertThat(credentials.current().chain())
					.containsExactly(this.certificates.server().getCertificatePath())));
	}

	@Test
	void runWhenBundleIsUpdatedThenItsHostHasTheNewCertificate() {
		TestCertificates renewed = TestCertificates.create();
		sni("*.Bank.example", "bank").withConfiguration(AutoConfigurations.of(GrpcTlsReloadAutoConfiguration.class))
			.withBean(GrpcSecurityThreads.class)
			.run((context) -> {
				SslBundle updated = SslBundle.of(SslStoreBundle.of(keyStore(renewed), "", null));
				context.getBean(SslBundleRegistry.class).updateBundle("bank", updated);

				await().untilAsserted(
						() -> assertThat(context.getBean(TransportConfigurer.class).sniCertificates().byHost().values())
							.singleElement()
							.satisfies((credentials) -> assertThat(credentials.current().chain())
								.containsExactly(renewed.server().getCertificatePath())));
			});
	}

	private static KeyStore keyStore(TestCertificates certificates) throws Exception {
		KeyStore keyStore = KeyStore.getInstance("PKCS12");
		keyStore.load(null, null);
		keyStore.setKeyEntry("server", certificates.server().getKeyPair().getPrivate(), new char[0],
				certificates.server().getCertificatePath());
		return keyStore;
	}

	@Test
	void runWhenBundleIsUnknownThenSaysSo() {
		sni("bank.example", "nope").run((context) -> assertFails(context,
				"grpc.security.tls.sni[0].bundle is 'nope', but there is no SSL bundle of that name.",
				"Define it with spring.ssl.bundle.pem.nope.* or spring.ssl.bundle.jks.nope.*, or correct the name."));
	}

	@Test
	void runWhenBundleHasNoKeyThenSaysSo() {
		sni("bank.example", "trust").run((context) -> assertFails(context,
				"grpc.security.tls.sni[0].bundle is 'trust', which holds no certificate of the server.",
				"Add a keystore to the bundle, as in spring.ssl.bundle.pem.trust.keystore.certificate and "
						+ "spring.ssl.bundle.pem.trust.keystore.private-key."));
	}

	@ParameterizedTest
	@CsvSource({ "host,bank.example,bundle", "bundle,bank,host" })
	void runWhenEntryIsIncompleteThenSaysSo(String present, String value, String missing) {
		this.runner.withPropertyValues("grpc.security.tls.sni[0]." + present + "=" + value)
			.run((context) -> assertFails(context, "grpc.security.tls.sni[0]." + missing + " is not set.", ENTRY));
	}

	@Test
	void runWhenHostIsNoneThenSaysSo() {
		sni("127.0.0.1", "bank").run((context) -> assertFails(context,
				"grpc.security.tls.sni has the host '127.0.0.1', which no client can ask for.",
				"Use a DNS name such as api.bank.example, or *.bank.example for all names one label longer. "
						+ "Addresses cannot be asked for: they get the server's usual certificate."));
	}

	@Test
	void runWhenHostAppearsTwiceThenSaysSo() {
		sni("bank.example", "bank", "bank.example", "bank").run((context) -> assertFails(context,
				"grpc.security.tls.sni names the host 'bank.example' twice.", "Keep one certificate for each host."));
	}

	@Test
	void runWhenServerHasItsOwnTlsThenFails() {
		new ApplicationContextRunner()
			.withConfiguration(AutoConfigurations.of(GrpcTransportAutoConfiguration.class, SslAutoConfiguration.class))
			.withPropertyValues("grpc.server.security.enabled=true", "grpc.security.tls.sni[0].host=bank.example",
					"grpc.security.tls.sni[0].bundle=bank")
			.run((context) -> assertFails(context,
					"grpc.server.security.enabled is 'true', so the server has its own TLS, but there is also "
							+ "grpc.security.tls.sni.",
					"Set up TLS in one place: remove grpc.server.security.*, or remove grpc.security.tls.* except "
							+ "handshake-timeout."));
	}

	private ApplicationContextRunner sni(String... hostsAndBundles) {
		List<String> properties = new ArrayList<>();
		for (int i = 0; i < hostsAndBundles.length; i += 2) {
			properties.add("grpc.security.tls.sni[" + i / 2 + "].host=" + hostsAndBundles[i]);
			properties.add("grpc.security.tls.sni[" + i / 2 + "].bundle=" + hostsAndBundles[i + 1]);
		}
		return this.runner.withPropertyValues(properties.toArray(String[]::new));
	}

	private static void assertFails(AssertableApplicationContext context, String description, String action) {
		assertThat(context).hasFailed();
		FailureAnalysis analysis = new TlsConfigurationFailureAnalyzer().analyze(context.getStartupFailure());
		assertThat(analysis.getDescription()).isEqualTo(description);
		assertThat(analysis.getAction()).isEqualTo(action);
	}

}
