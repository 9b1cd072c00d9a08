package io.github.grpcsecurity.autoconfigure;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.cert.X509Certificate;
import java.security.interfaces.ECPublicKey;
import java.util.ArrayList;
import java.util.Base64;
import java.util.List;

import io.github.grpcsecurity.testing.TestCertificates;
import io.github.grpcsecurity.testing.TestWorkloadApi;
import io.github.grpcsecurity.tls.SpiffeTrust;
import io.github.grpcsecurity.tls.TlsConfigurationException;
import io.github.grpcsecurity.tls.TlsCredentials;
import io.github.grpcsecurity.tls.TransportConfigurer;
import io.github.grpcsecurity.tls.WorkloadApi;
import io.spiffe.workloadapi.grpc.Workload.X509SVIDResponse;
import org.awaitility.Awaitility;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

import org.springframework.boot.autoconfigure.AutoConfigurations;
import org.springframework.boot.context.properties.source.InvalidConfigurationPropertyValueException;
import org.springframework.boot.diagnostics.FailureAnalysis;
import org.springframework.boot.test.context.FilteredClassLoader;
import org.springframework.boot.test.context.assertj.AssertableApplicationContext;
import org.springframework.boot.test.context.runner.ApplicationContextRunner;

import static org.assertj.core.api.Assertions.assertThat;

class GrpcSpiffeAutoConfigurationTests {

	private static final String MAP = "grpc.security.tls.spiffe.bundle-map=";

	private static final String SOCKET = "grpc.security.tls.spiffe.workload-api-socket=";

	private static final String REQUIRE = "grpc.security.tls.client-auth=require";

	@TempDir
	Path directory;

	private TestCertificates certificates;

	private Path file;

	private ApplicationContextRunner runner;

	@BeforeEach
	void makeCertificates() throws Exception {
		this.certificates = TestCertificates.in(this.directory);
		this.file = this.directory.resolve("bundles.json");
		write("bank");
		this.runner = new ApplicationContextRunner()
			.withConfiguration(AutoConfigurations.of(GrpcSpiffeAutoConfiguration.class,
					GrpcTransportAutoConfiguration.class, GrpcSecurityAutoConfiguration.class))
			.withPropertyValues("grpc.security.tls.certificate-chain=" + this.certificates.serverPem(),
					"grpc.security.tls.private-key=" + this.certificates.serverKeyPem());
	}

	@Test
	void runWhenNothingIsConfiguredThenThereIsNoSpiffeTrust() {
		this.runner.run((context) -> assertThat(context).hasNotFailed().doesNotHaveBean(SpiffeTrust.class));
	}

	@Test
	void runWhenDisabledThenDoesNothing() {
		this.runner.withPropertyValues("grpc.security.enabled=false", MAP + "missing.json")
			.run((context) -> assertThat(context).hasNotFailed().doesNotHaveBean(SpiffeTrust.class));
	}

	@Test
	void runWhenBundleMapIsConfiguredThenNoOtherTrustIsNeeded() {
		this.runner.withPropertyValues(MAP + this.file, REQUIRE, "grpc.security.tls.spiffe.trust-domains=bank")
			.run((context) -> {
				assertThat(context.getBean(SpiffeTrust.class).trustDomains()).containsExactly("bank");
				assertThat(context.getBean(TransportConfigurer.class).credentials()).isNotNull();
			});
	}

	@Test
	void runWhenFileChangesThenItIsReadAfterInterval() {
		this.runner.withPropertyValues(MAP + this.file, REQUIRE, "grpc.security.tls.reload-interval=100ms")
			.run((context) -> {
				write("partner");
				Awaitility.await().until(() -> context.getBean(SpiffeTrust.class).trustDomains().contains("partner"));
			});
	}

	@ParameterizedTest
	@ValueSource(strings = { "-1s", "99ms" })
	void runWhenIntervalIsTooShortThenNamesTheProperty(String interval) {
		this.runner.withPropertyValues(MAP + this.file, REQUIRE, "grpc.security.tls.reload-interval=" + interval)
			.run((context) -> assertThat(context.getStartupFailure()).rootCause()
				.isInstanceOfSatisfying(InvalidConfigurationPropertyValueException.class,
						(failure) -> assertThat(failure.getName()).isEqualTo("grpc.security.tls.reload-interval")));
	}

	@Test
	void runWhenUserHasOwnTrustThenBacksOff() {
		this.runner.withPropertyValues(MAP + this.file, REQUIRE).run((context) -> {
			SpiffeTrust own = context.getBean(SpiffeTrust.class);
			this.runner.withPropertyValues(REQUIRE)
				.withBean(SpiffeTrust.class, () -> own)
				.run((other) -> assertThat(other).hasNotFailed().getBean(SpiffeTrust.class).isSameAs(own));
		});
	}

	@Test
	void runWhenJacksonIsMissingThenSaysSo() {
		this.runner.withPropertyValues(MAP + this.file, REQUIRE)
			.withClassLoader(new FilteredClassLoader("tools.jackson"))
			.run((context) -> assertFails(context,
					"grpc.security.tls.spiffe.bundle-map is set, but Jackson, which reads it, is missing.",
					"Add tools.jackson.core:jackson-databind, or remove grpc.security.tls.spiffe.*."));
		this.runner.withClassLoader(new FilteredClassLoader("tools.jackson"))
			.run((context) -> assertThat(context).hasNotFailed());
	}

	@Test
	void runWhenClientsShowNoCertificatesThenSaysSo() {
		this.runner.withPropertyValues(MAP + this.file)
			.run((context) -> assertFails(context,
					"grpc.security.tls.spiffe.bundle-map is set, but grpc.security.tls.client-auth is 'none', so no "
							+ "client shows an identity.",
					"Set grpc.security.tls.client-auth to require or optional, or remove grpc.security.tls.spiffe.*."));
	}

	@Test
	void runWhenFileIsMissingThenSaysSo() {
		this.runner.withPropertyValues(MAP + "missing.json", REQUIRE)
			.run((context) -> assertFails(context,
					"grpc.security.tls.spiffe.bundle-map is 'missing.json', but there is no such file.",
					"Let grpc.security.tls.spiffe.bundle-map name a SPIFFE bundle map that the server may read, as a "
							+ "path, file: or classpath: location."));
	}

	@Test
	void runWhenTrustDomainIsUnknownThenSaysSo() {
		this.runner.withPropertyValues(MAP + this.file, REQUIRE, "grpc.security.tls.spiffe.trust-domains=bnak")
			.run((context) -> assertFails(context,
					"grpc.security.tls.spiffe.trust-domains has 'bnak', which is not in a SPIFFE bundle map "
							+ "(grpc.security.tls.spiffe.bundle-map): it has bank.",
					"Correct the name, without spiffe:// and path, or add the trust domain to the bundle map."));
	}

	@ParameterizedTest
	@ValueSource(strings = { "trust-domains", "trust-domains[0]" })
	void runWhenTrustDomainsStandAloneThenSaysSo(String name) {
		this.runner.withPropertyValues(REQUIRE, "grpc.security.tls.spiffe." + name + "=bank")
			.run((context) -> assertFails(context,
					"grpc.security.tls.spiffe.trust-domains is set, but neither grpc.security.tls.spiffe.bundle-map nor "
							+ "grpc.security.tls.spiffe.workload-api-socket is.",
					"Set one of the two as well, or remove grpc.security.tls.spiffe.trust-domains."));
	}

	@Test
	void runWhenThereAreTrustCertificatesTooThenSaysSo() {
		this.runner
			.withPropertyValues(MAP + this.file, REQUIRE,
					"grpc.security.tls.trust-certificates=" + this.certificates.caPem())
			.run((context) -> assertFails(context,
					"It is said twice which client certificates to trust: with grpc.security.tls.spiffe.*, and with "
							+ "trust certificates, a trust store or the trust store of the bundle.",
					"Keep one of the two."));
	}

	@Test
	void runWhenWorkloadApiIsConfiguredThenRootsAndCertificateComeFromIt() throws Exception {
		try (TestWorkloadApi agent = agent()) {
			new ApplicationContextRunner()
				.withConfiguration(
						AutoConfigurations.of(GrpcSpiffeAutoConfiguration.class, GrpcTransportAutoConfiguration.class,
								GrpcSecurityAutoConfiguration.class, GrpcTlsReloadAutoConfiguration.class))
				.withPropertyValues(SOCKET + agent.socket(), REQUIRE, "grpc.security.tls.reload-interval=0")
				.run((context) -> {
					assertThat(context).hasNotFailed();
					assertThat(context.getBean(SpiffeTrust.class).trustDomains()).containsExactly("bank");
					TlsCredentials credentials = context.getBean(TransportConfigurer.class).credentials();
					X509Certificate first = credentials.current().chain().get(0);
					assertThat(credentials.current().origin()).isEqualTo(WorkloadApi.PROPERTY);

					agent.send(response());
					Awaitility.await().until(() -> !credentials.current().chain().get(0).equals(first));
				});
			Awaitility.await().until(() -> agent.streams.stream().allMatch(TestWorkloadApi::isCancelled));
		}
	}

	@Test
	void runWhenServerHasOwnCertificateThenOnlyRootsComeFromWorkloadApi() throws Exception {
		try (TestWorkloadApi agent = agent()) {
			this.runner
				.withPropertyValues(SOCKET + agent.socket(), REQUIRE, "grpc.security.tls.spiffe.trust-domains=bank")
				.run((context) -> {
					assertThat(context.getBean(SpiffeTrust.class).trustDomains()).containsExactly("bank");
					assertThat(context.getBean(TransportConfigurer.class).credentials().current().origin())
						.contains("certificate-chain");
				});
		}
	}

	@Test
	void runWhenSocketIsOnAnotherMachineThenSaysSo() {
		this.runner.withPropertyValues(SOCKET + "tcp://10.1.2.3:1", REQUIRE)
			.run((context) -> assertFails(context,
					"grpc.security.tls.spiffe.workload-api-socket is 'tcp://10.1.2.3:1', but that is on another machine, "
							+ "and the Workload API is plaintext.",
					"Set it to the socket of the agent on this machine, such as unix:/run/spire/agent.sock or "
							+ "tcp://127.0.0.1:8081."));
	}

	@Test
	void runWhenUserHasOwnTrustThenWorkloadApiIsNotAsked() {
		this.runner.withPropertyValues(MAP + this.file, REQUIRE).run((context) -> {
			SpiffeTrust own = context.getBean(SpiffeTrust.class);
			this.runner.withPropertyValues(REQUIRE, SOCKET + "tcp://127.0.0.1:1")
				.withBean(SpiffeTrust.class, () -> own)
				.run((other) -> assertThat(other).hasNotFailed().doesNotHaveBean(WorkloadApi.class));
		});
	}

	@Test
	void runWhenJavaSpiffeIsMissingThenSaysSo() {
		this.runner.withPropertyValues(SOCKET + "tcp://127.0.0.1:1", REQUIRE)
			.withClassLoader(new FilteredClassLoader("io.spiffe"))
			.run((context) -> assertFails(context,
					"grpc.security.tls.spiffe.workload-api-socket is set, but java-spiffe, which reads the answers, is "
							+ "missing.",
					"Add io.spiffe:java-spiffe-core, or remove grpc.security.tls.spiffe.workload-api-socket."));
		this.runner.withPropertyValues(MAP + this.file, REQUIRE)
			.withClassLoader(new FilteredClassLoader("io.spiffe"))
			.run((context) -> assertThat(context).hasNotFailed().hasSingleBean(SpiffeTrust.class));
	}

	@Test
	void runWhenThereIsBundleMapTooThenSaysSo() {
		this.runner.withPropertyValues(MAP + this.file, SOCKET + "tcp://127.0.0.1:1", REQUIRE)
			.run((context) -> assertFails(context,
					"It is said twice where the roots of trust domains are: grpc.security.tls.spiffe.bundle-map is set, "
							+ "and grpc.security.tls.spiffe.workload-api-socket too.",
					"Keep one of the two."));
	}

	@Test
	void runWhenWorkloadApiIsConfiguredAndClientsShowNoCertificatesThenSaysSo() {
		this.runner.withPropertyValues(SOCKET + "tcp://127.0.0.1:1")
			.run((context) -> assertFails(context,
					"grpc.security.tls.spiffe.workload-api-socket is set, but grpc.security.tls.client-auth is 'none', so "
							+ "no client shows an identity.",
					"Set grpc.security.tls.client-auth to require or optional, or remove grpc.security.tls.spiffe.*."));
	}

	@Test
	void runWhenServerSpeaksPlaintextThenWorkloadApiIsRefused() throws Exception {
		try (TestWorkloadApi agent = agent()) {
			new ApplicationContextRunner()
				.withConfiguration(AutoConfigurations.of(GrpcSpiffeAutoConfiguration.class,
						GrpcTransportAutoConfiguration.class, GrpcSecurityAutoConfiguration.class))
				.withPropertyValues("grpc.security.transport=plaintext", "grpc.server.address=127.0.0.1",
						SOCKET + agent.socket(), REQUIRE)
				.run((context) -> assertThat(context).getFailure()
					.hasStackTraceContaining("but there is also grpc.security.tls."));
		}
	}

	private TestWorkloadApi agent() throws Exception {
		TestWorkloadApi agent = new TestWorkloadApi();
		agent.send(response());
		return agent;
	}

	private X509SVIDResponse response() {
		String id = "spiffe://bank/server";
		return TestWorkloadApi.response(this.certificates, id, TestWorkloadApi.svid(this.certificates, id),
				(builder) -> {
				});
	}

	@ParameterizedTest
	@ValueSource(strings = { "grpc.security.transport=plaintext", "grpc.server.security.enabled=true" })
	void runWhenServerDoesNotServeOurTlsThenFails(String property) {
		new ApplicationContextRunner()
			.withConfiguration(AutoConfigurations.of(GrpcSpiffeAutoConfiguration.class,
					GrpcTransportAutoConfiguration.class, GrpcSecurityAutoConfiguration.class))
			.withPropertyValues(property, "grpc.server.address=127.0.0.1", MAP + this.file, REQUIRE)
			.run((context) -> assertThat(context).getFailure()
				.hasStackTraceContaining("but there is also grpc.security.tls."));
	}

	private void write(String... domains) throws IOException {
		ECPublicKey key = (ECPublicKey) this.certificates.ca().getCertificate().getPublicKey();
		Base64.Encoder url = Base64.getUrlEncoder();
		List<String> bundles = new ArrayList<>();
		try {
			for (String domain : domains) {
				bundles.add(
						"\"%s\":{\"keys\":[{\"use\":\"x509-svid\",\"kty\":\"EC\",\"x\":\"%s\",\"y\":\"%s\",\"x5c\":[\"%s\"]}]}"
							.formatted(domain, url.encodeToString(key.getW().getAffineX().toByteArray()),
									url.encodeToString(key.getW().getAffineY().toByteArray()), Base64.getEncoder()
										.encodeToString(this.certificates.ca().getCertificate().getEncoded())));
			}
		}
		catch (java.security.cert.CertificateEncodingException ex) {
			throw new IllegalStateException(ex);
		}
		Files.writeString(this.file, "{\"trust_domains\":{" + String.join(",", bundles) + "}}");
	}

	private static void assertFails(AssertableApplicationContext context, String description, String action) {
		assertThat(context).hasFailed();
		assertThat(context.getStartupFailure()).hasStackTraceContaining(TlsConfigurationException.class.getName());
		FailureAnalysis analysis = new TlsConfigurationFailureAnalyzer().analyze(context.getStartupFailure());
		assertThat(analysis.getDescription()).isEqualTo(description);
		assertThat(analysis.getAction()).isEqualTo(action);
	}

}
