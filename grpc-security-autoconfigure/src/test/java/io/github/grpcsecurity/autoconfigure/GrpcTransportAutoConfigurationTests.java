package io.github.grpcsecurity.autoconfigure;

import java.nio.file.Path;
import java.time.Duration;
import java.util.List;

import io.github.grpcsecurity.dev.DevDirectory;
import io.github.grpcsecurity.server.ServerBuilderConfigurer;
import io.github.grpcsecurity.testing.TestCertificates;
import io.github.grpcsecurity.tls.ClientAuth;
import io.github.grpcsecurity.tls.RevocationChecker.Undetermined;
import io.github.grpcsecurity.tls.TlsConfigurationException;
import io.github.grpcsecurity.tls.TlsCredentials;
import io.github.grpcsecurity.tls.TlsMaterial;
import io.github.grpcsecurity.tls.TlsMaterialSource;
import io.github.grpcsecurity.tls.TransportConfigurer;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

import org.springframework.boot.autoconfigure.AutoConfigurations;
import org.springframework.boot.autoconfigure.ssl.SslAutoConfiguration;
import org.springframework.boot.diagnostics.FailureAnalysis;
import org.springframework.boot.test.context.FilteredClassLoader;
import org.springframework.boot.test.context.assertj.AssertableApplicationContext;
import org.springframework.boot.test.context.runner.ApplicationContextRunner;
import org.springframework.boot.test.system.CapturedOutput;
import org.springframework.boot.test.system.OutputCaptureExtension;

import static org.assertj.core.api.Assertions.assertThat;

@ExtendWith(OutputCaptureExtension.class)
class GrpcTransportAutoConfigurationTests {

	@TempDir
	Path directory;

	private TestCertificates certificates;

	private final ApplicationContextRunner runner = new ApplicationContextRunner().withConfiguration(AutoConfigurations
		.of(GrpcTransportAutoConfiguration.class, GrpcDevAutoConfiguration.class, SslAutoConfiguration.class));

	@BeforeEach
	void makeCertificates() {
		this.certificates = TestCertificates.in(this.directory);
	}

	@Test
	void runWhenNothingIsConfiguredThenShowsThreeWaysOut() {
		this.runner.run((context) -> assertFails(context,
				"The gRPC server has no certificate for TLS, and nobody has asked for plaintext.",
				"""
						Choose one of three ways:

						1. Serve TLS. Name a certificate and its private key:
						     grpc.security.tls.certificate-chain=file:/etc/tls/server.pem
						     grpc.security.tls.private-key=file:/etc/tls/server-key.pem
						   A keystore (grpc.security.tls.key-store) or an SSL bundle (grpc.security.tls.bundle) will do too.

						2. Develop on this machine, with throw-away certificates:
						     grpc.security.dev.enabled=true

						3. Serve plaintext on this machine only, such as behind a proxy that ends TLS:
						     grpc.security.transport=plaintext
						     grpc.server.address=127.0.0.1"""));
	}

	@Test
	void runWhenDisabledThenDoesNothing() {
		this.runner.withPropertyValues("grpc.security.enabled=false")
			.run((context) -> assertThat(context).hasNotFailed().doesNotHaveBean(TransportConfigurer.class));
	}

	@Test
	void runWhenServerIsInProcessOnlyThenNoCertificateIsNeeded() {
		this.runner.withPropertyValues("grpc.server.port=-1", "grpc.server.in-process-name=test")
			.run((context) -> assertThat(credentials(context)).isNull());
	}

	@Test
	void runWhenUserHasOwnConfigurerThenBacksOff() {
		TransportConfigurer own = TransportConfigurer.asConfiguredByServer(Duration.ofSeconds(1));
		this.runner.withBean(TransportConfigurer.class, () -> own)
			.run((context) -> assertThat(context.getBean(ServerBuilderConfigurer.class)).isSameAs(own));
	}

	@Test
	void runWhenNettyIsMissingThenStillStarts() {
		pem().withClassLoader(new FilteredClassLoader("io.grpc.netty", "io.netty"))
			.run((context) -> assertThat(credentials(context)).isNotNull());
	}

	@Test
	void runWhenPemIsConfiguredThenItIsServed() {
		pem()
			.withPropertyValues("grpc.security.tls.trust-certificates=" + this.certificates.caPem(),
					"grpc.security.tls.client-auth=require")
			.run(this::assertServesTestCertificate);
	}

	@Test
	void runWhenPemIsEncryptedThenPasswordOpensIt() {
		this.runner
			.withPropertyValues("grpc.security.tls.certificate-chain=file:" + this.certificates.serverPem(),
					"grpc.security.tls.private-key=file:" + this.certificates.encryptedServerKeyPem("secret"),
					"grpc.security.tls.private-key-password=secret")
			.run(this::assertServesTestCertificate);
	}

	@ParameterizedTest
	@ValueSource(strings = { "PKCS12", "JKS" })
	void runWhenKeyStoreIsConfiguredThenItIsServed(String type) {
		this.runner
			.withPropertyValues("grpc.security.tls.key-store=" + this.certificates.serverKeyStore(type, "secret"),
					"grpc.security.tls.key-store-type=" + type, "grpc.security.tls.key-store-password=secret",
					"grpc.security.tls.key-alias=server", "grpc.security.tls.key-password=secret",
					"grpc.security.tls.trust-store=" + this.certificates.trustStore(type, "trusted"),
					"grpc.security.tls.trust-store-type=" + type, "grpc.security.tls.trust-store-password=trusted",
					"grpc.security.tls.client-auth=optional")
			.run((context) -> {
				assertServesTestCertificate(context);
				assertThat(credentials(context).current().trustAnchors())
					.containsExactly(this.certificates.ca().getCertificate());
			});
	}

	@Test
	void runWhenBundleIsConfiguredThenItIsServed() {
		bundle("grpc.security.tls.bundle=server", "grpc.security.tls.client-auth=require")
			.run(this::assertServesTestCertificate);
	}

	@Test
	void runWhenBundleHasBadProtocolThenFailsUnlessOurPropertyIsSet() {
		ApplicationContextRunner bundle = bundle("grpc.security.tls.bundle=server",
				"spring.ssl.bundle.pem.server.options.enabled-protocols=TLSv1.1");

		bundle.run((context) -> assertFails(context,
				"grpc.security.tls.protocols has 'TLSv1.1', which is broken and not offered.",
				"Set grpc.security.tls.protocols to TLSv1.3, or to TLSv1.3 and TLSv1.2."));
		bundle.withPropertyValues("grpc.security.tls.protocols=TLSv1.2").run(this::assertServesTestCertificate);
		bundle.withPropertyValues("grpc.security.tls.protocols[0]=TLSv1.2").run(this::assertServesTestCertificate);
	}

	@Test
	void runWhenBundleIsUnknownThenSaysSo() {
		this.runner.withPropertyValues("grpc.security.tls.bundle=nope")
			.run((context) -> assertFails(context,
					"grpc.security.tls.bundle is 'nope', but there is no SSL bundle of that name.",
					"Define it with spring.ssl.bundle.pem.nope.* or spring.ssl.bundle.jks.nope.*, or correct the "
							+ "name."));
	}

	@Test
	void runWhenUserHasSourceThenItIsServed() {
		this.runner.withBean(TlsMaterialSource.class, () -> this::material).run(this::assertServesTestCertificate);
	}

	@Test
	void runWhenMoreThanOneSourceIsConfiguredThenNamesTwo() {
		bundle("grpc.security.tls.bundle=server", "grpc.security.tls.key-store=server.p12")
			.run((context) -> assertFails(context,
					"More than one source is configured for TLS: grpc.security.tls.bundle is set, and "
							+ "grpc.security.tls.key-store too.",
					"Keep one of the two."));
		pem().withPropertyValues("grpc.security.tls.key-store=server.p12")
			.run((context) -> assertFails(context,
					"More than one source is configured for TLS: grpc.security.tls.certificate-chain is set, and "
							+ "grpc.security.tls.key-store too.",
					"Keep one of the two."));
		pem().withPropertyValues("grpc.security.tls.trust-certificates=ca.pem", "grpc.security.tls.trust-store=t.p12")
			.run((context) -> assertFails(context,
					"More than one source is configured for TLS: grpc.security.tls.trust-certificates is set, and "
							+ "grpc.security.tls.trust-store too.",
					"Keep one of the two."));
		pem().withBean(TlsMaterialSource.class, () -> this::material)
			.run((context) -> assertFails(context,
					"More than one source is configured for TLS: there is a bean of type TlsMaterialSource, and "
							+ "grpc.security.tls.certificate-chain too.",
					"Keep one of the two."));
	}

	@Test
	void runWhenSettingLacksItsPartnerThenNamesBoth() {
		this.runner.withPropertyValues("grpc.security.tls.certificate-chain=server.pem")
			.run((context) -> assertFails(context,
					"grpc.security.tls.certificate-chain is set, but grpc.security.tls.private-key is not.",
					"Set grpc.security.tls.private-key as well, or remove grpc.security.tls.certificate-chain."));
		pem().withPropertyValues("grpc.security.tls.key-alias=server")
			.run((context) -> assertFails(context,
					"grpc.security.tls.key-alias is set, but grpc.security.tls.key-store is not.",
					"Set grpc.security.tls.key-store as well, or remove grpc.security.tls.key-alias."));
		pem().withPropertyValues("grpc.security.tls.crl.undetermined=allow")
			.run((context) -> assertFails(context,
					"grpc.security.tls.crl.undetermined is set, but grpc.security.tls.crl.locations is not.",
					"Set grpc.security.tls.crl.locations as well, or remove grpc.security.tls.crl.undetermined."));
	}

	@Test
	void runWhenThereIsOnlyTrustThenAsksForCertificate() {
		this.runner.withPropertyValues("grpc.security.tls.trust-certificates=" + this.certificates.caPem())
			.run((context) -> assertFails(context,
					"grpc.security.tls.trust-certificates says whom to trust, but the server has no certificate of "
							+ "its own.",
					"Name it with grpc.security.tls.certificate-chain and grpc.security.tls.private-key, or with "
							+ "grpc.security.tls.key-store."));
	}

	@Test
	void runWhenFileIsMissingThenNamesPropertyAndFile() {
		this.runner
			.withPropertyValues("grpc.security.tls.certificate-chain=file:/nowhere/server.pem",
					"grpc.security.tls.private-key=file:/nowhere/key.pem")
			.run((context) -> assertFails(context,
					"grpc.security.tls.certificate-chain is 'file:/nowhere/server.pem', but there is no such file.",
					"Let grpc.security.tls.certificate-chain name a PEM file with certificates that the server may "
							+ "read, as a path, file: or classpath: location."));
	}

	@Test
	void runWhenCertificateIsRequiredWithoutAnchorsThenFails() {
		pem().withPropertyValues("grpc.security.tls.client-auth=require")
			.run((context) -> assertFails(context,
					"grpc.security.tls.client-auth is 'require', but it is not said which client certificates to "
							+ "trust.",
					"Name the authority that issues them with grpc.security.tls.trust-certificates or "
							+ "grpc.security.tls.trust-store (or the trust store of the bundle), or set "
							+ "grpc.security.tls.client-auth to none."));
	}

	@ParameterizedTest
	@ValueSource(strings = { "grpc.security.transport=carrier-pigeon", "grpc.security.tls.client-auth=maybe",
			"grpc.security.tls.handshake-timeout=soon", "grpc.security.tls.handshake-timeout=0",
			"grpc.security.tls.ciphers=NULL", "grpc.security.tls.protocols=SSLv3" })
	void runWhenValueIsBadThenFails(String property) {
		pem().withPropertyValues(property).run((context) -> assertThat(context).hasFailed());
	}

	@ParameterizedTest
	@ValueSource(strings = { "127.0.0.1", "127.8.7.6", "::1", "[::1]", "localhost", "unix:/run/grpc.sock" })
	void runWhenPlaintextIsLocalThenStartsAndSaysSo(String address, CapturedOutput output) {
		this.runner.withPropertyValues("grpc.security.transport=plaintext", "grpc.server.address=" + address)
			.run((context) -> assertThat(credentials(context)).isNull());
		assertThat(output).contains("The gRPC server speaks plaintext (grpc.security.transport).");
	}

	@Test
	void runWhenPlaintextIsOnAllAddressesThenFails() {
		this.runner.withPropertyValues("grpc.security.transport=plaintext")
			.run((context) -> assertFails(context,
					"grpc.security.transport is 'plaintext', but the gRPC server listens on all addresses of this "
							+ "machine (grpc.server.address is '*'), where others can read the calls.",
					"Let it listen on this machine only with grpc.server.address=127.0.0.1, or serve TLS with "
							+ "grpc.security.tls.*, or accept the risk with grpc.security.allow-insecure=true."));
	}

	@ParameterizedTest
	@ValueSource(strings = { "0.0.0.0", "::", "10.0.0.1", "grpc.example", "localhost.example", "*" })
	void runWhenPlaintextIsReachableThenFails(String address) {
		this.runner.withPropertyValues("grpc.security.transport=plaintext", "grpc.server.address=" + address)
			.run((context) -> assertThat(context).hasFailed());
	}

	@Test
	void runWhenInsecureIsAllowedThenWarns(CapturedOutput output) {
		this.runner
			.withPropertyValues("grpc.security.transport=plaintext", "grpc.security.allow-insecure=true",
					"grpc.server.address=0.0.0.0")
			.run((context) -> assertThat(credentials(context)).isNull());

		assertThat(output.getOut()).containsOnlyOnce("The gRPC server speaks plaintext on '0.0.0.0' "
				+ "(grpc.server.address), because grpc.security.allow-insecure is true. Everybody on the way can read "
				+ "and change the calls; bearer tokens and API keys are refused.");
	}

	@Test
	void runWhenPlaintextMeetsTlsThenNamesBoth() {
		pem().withPropertyValues("grpc.security.transport=plaintext", "grpc.server.address=127.0.0.1")
			.run((context) -> assertFails(context,
					"grpc.security.transport is 'plaintext', but there is also grpc.security.tls.certificate-chain.",
					"Remove grpc.security.transport to serve TLS, or remove the settings of TLS to serve plaintext."));
		this.runner
			.withPropertyValues("grpc.security.transport=plaintext", "grpc.server.address=127.0.0.1",
					"grpc.server.security.enabled=true")
			.run((context) -> assertFails(context,
					"grpc.security.transport is 'plaintext', but grpc.server.security.enabled is 'true'.",
					"Remove one of the two."));
	}

	@ParameterizedTest
	@CsvSource({ "protocols[0],TLSv1.3", "protocols,TLSv1.3", "ciphers[0],TLS_AES_128_GCM_SHA256", "reload-interval,1m",
			"crl.locations[0],/etc/tls/crl", "crl.undetermined,allow", "crl.next-update-grace,1h",
			"spiffe.trust-domains[0],bank.example", "sni[0].host,api.bank.example" })
	void runWhenPlaintextMeetsASettingThatMeansNothingThenNamesIt(String name, String value) {
		String property = "grpc.security.tls." + name.replaceFirst("\\[0].*", "");
		this.runner
			.withPropertyValues("grpc.security.transport=plaintext", "grpc.server.address=127.0.0.1",
					"grpc.security.tls." + name + "=" + value)
			.run((context) -> assertFails(context,
					"grpc.security.transport is 'plaintext', but there is also " + property + ".",
					"Remove grpc.security.transport to serve TLS, or remove the settings of TLS to serve plaintext."));
	}

	@Test
	void runWhenServerHasItsOwnTlsThenItIsLeftAlone() {
		this.runner
			.withPropertyValues("grpc.server.security.enabled=true", "grpc.security.tls.handshake-timeout=5s",
					"grpc.security.transport=tls")
			.run((context) -> assertThat(credentials(context)).isNull());
	}

	@Test
	void runWhenServerAndWeHaveTlsThenNamesBoth() {
		pem().withPropertyValues("grpc.server.security.enabled=true")
			.run((context) -> assertFails(context,
					"grpc.server.security.enabled is 'true', so the server has its own TLS, but there is also "
							+ "grpc.security.tls.certificate-chain.",
					"Set up TLS in one place: remove grpc.server.security.*, or remove grpc.security.tls.* except "
							+ "handshake-timeout."));
		this.runner.withPropertyValues("grpc.server.security.enabled=true", "grpc.security.tls.client-auth=require")
			.run((context) -> assertFails(context,
					"grpc.server.security.enabled is 'true', so the server has its own TLS, but there is also "
							+ "grpc.security.tls.client-auth.",
					"Set up TLS in one place: remove grpc.server.security.*, or remove grpc.security.tls.* except "
							+ "handshake-timeout."));
	}

	@Test
	void runWhenDevModeIsOnThenItsCertificateIsServed() {
		dev().withPropertyValues("grpc.security.tls.client-auth=require").run((context) -> {
			TlsMaterial material = credentials(context).current();
			assertThat(material.chain().get(0).getSubjectX500Principal().getName()).isEqualTo("CN=localhost");
			assertThat(material.trustAnchors()).hasSize(1);
		});
	}

	@Test
	void runWhenDevModeMeetsMaterialThenMaterialIsServed() {
		dev()
			.withPropertyValues("grpc.security.tls.certificate-chain=" + this.certificates.serverPem(),
					"grpc.security.tls.private-key=" + this.certificates.serverKeyPem())
			.run((context) -> {
				assertServesTestCertificate(context);
				assertThat(context).hasSingleBean(DevDirectory.class);
			});
	}

	@Test
	void toStringWhenThereArePasswordsThenLeavesThemOut() {
		this.runner.withPropertyValues("grpc.security.transport=plaintext", "grpc.server.address=127.0.0.1")
			.run((context) -> assertThat(new GrpcTlsProperties(null, null, null, "s3cret", null, null, "s3cret", null,
					"s3cret", null, null, null, "s3cret", ClientAuth.NONE, List.of(), List.of(), Duration.ZERO,
					Duration.ZERO, Duration.ZERO, new GrpcTlsProperties.Crl(List.of(), Undetermined.DENY, null),
					List.of(), new GrpcTlsProperties.Spiffe(List.of(), null, null))
				.toString()).doesNotContain("s3cret"));
	}

	private ApplicationContextRunner dev() {
		return this.runner.withPropertyValues("grpc.security.dev.enabled=true", "grpc.server.address=127.0.0.1",
				"grpc.security.dev.directory=" + this.directory.resolve("dev"));
	}

	private ApplicationContextRunner pem() {
		return this.runner.withPropertyValues("grpc.security.tls.certificate-chain=" + this.certificates.serverPem(),
				"grpc.security.tls.private-key=" + this.certificates.serverKeyPem());
	}

	private ApplicationContextRunner bundle(String... properties) {
		return this.runner
			.withPropertyValues("spring.ssl.bundle.pem.server.keystore.certificate=" + this.certificates.serverPem(),
					"spring.ssl.bundle.pem.server.keystore.private-key=" + this.certificates.serverKeyPem(),
					"spring.ssl.bundle.pem.server.truststore.certificate=" + this.certificates.caPem())
			.withPropertyValues(properties);
	}

	private TlsMaterial material() {
		return new TlsMaterial("a vault", this.certificates.server().getKeyPair().getPrivate(),
				List.of(this.certificates.server().getCertificatePath()), List.of());
	}

	private void assertServesTestCertificate(AssertableApplicationContext context) {
		assertThat(credentials(context).current().chain().get(0))
			.isEqualTo(this.certificates.server().getCertificate());
	}

	private static TlsCredentials credentials(AssertableApplicationContext context) {
		assertThat(context).hasNotFailed();
		return context.getBean(TransportConfigurer.class).credentials();
	}

	private static void assertFails(AssertableApplicationContext context, String description, String action) {
		assertThat(context).hasFailed();
		assertThat(context.getStartupFailure()).hasStackTraceContaining(TlsConfigurationException.class.getName())
			.satisfies((failure) -> {
				FailureAnalysis analysis = new TlsConfigurationFailureAnalyzer().analyze(failure);
				assertThat(analysis.getDescription()).isEqualTo(description);
				assertThat(analysis.getAction()).isEqualTo(action);
			});
	}

}
