package io.github.grpcsecurity.autoconfigure;

import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Instant;
import java.time.InstantSource;

import io.github.grpcsecurity.server.CallStage;
import io.github.grpcsecurity.server.GrpcSecurityThreads;
import io.github.grpcsecurity.server.GrpcServerSecurity;
import io.github.grpcsecurity.server.SecurityStage;
import io.github.grpcsecurity.server.ServerBuilderConfigurer;
import io.github.grpcsecurity.testing.TestCertificates;
import io.github.grpcsecurity.tls.PeerTrust;
import io.github.grpcsecurity.tls.RevocationReload;
import io.github.grpcsecurity.tls.TestCrl;
import io.github.grpcsecurity.tls.TlsConfigurationException;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
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
import static org.awaitility.Awaitility.await;

@ExtendWith(OutputCaptureExtension.class)
class GrpcPeerTrustAutoConfigurationTests {

	@TempDir
	Path directory;

	private final ApplicationContextRunner runner = new ApplicationContextRunner()
		.withConfiguration(AutoConfigurations.of(GrpcPeerTrustAutoConfiguration.class,
				GrpcSecurityAutoConfiguration.class, GrpcTransportAutoConfiguration.class, SslAutoConfiguration.class));

	@Test
	void runWhenTlsIsServedThenPeersAreWatchedFirstOfAll() {
		mutualTls().run((context) -> {
			assertThat(context).hasSingleBean(PeerTrust.class).hasSingleBean(RevocationReload.class);
			assertThat(context.getBean(GrpcServerSecurity.class).stages())
				.containsExactly(context.getBean(PeerTrust.class));
			assertThat(context.getBean(PeerTrust.class)).isInstanceOf(ServerBuilderConfigurer.class)
				.isInstanceOfSatisfying(CallStage.class,
						(stage) -> assertThat(stage.stage()).isEqualTo(SecurityStage.ADMISSION));
		});
	}

	@Test
	void runWhenDisabledThenDoesNothing() {
		mutualTls().withPropertyValues("grpc.security.enabled=false")
			.run((context) -> assertThat(context).hasNotFailed().doesNotHaveBean(PeerTrust.class));
	}

	@Test
	void runWhenTransportIsMissingThenBacksOff() {
		new ApplicationContextRunner().withConfiguration(AutoConfigurations.of(GrpcPeerTrustAutoConfiguration.class))
			.run((context) -> assertThat(context).hasNotFailed().doesNotHaveBean(PeerTrust.class));
	}

	@Test
	void runWhenNettyIsMissingThenStillStarts() {
		mutualTls().withClassLoader(new FilteredClassLoader("io.grpc.netty", "io.netty"))
			.run((context) -> assertThat(context).hasSingleBean(PeerTrust.class));
	}

	@Test
	void runWhenTransportIsPlaintextThenStillStarts() {
		this.runner.withPropertyValues("grpc.security.transport=plaintext", "grpc.server.address=127.0.0.1")
			.run((context) -> assertThat(context).hasSingleBean(PeerTrust.class));
	}

	@Test
	void runWhenUserHasOwnThenBacksOff() {
		PeerTrust own = new PeerTrust(null, new GrpcSecurityThreads(), InstantSource.system());
		mutualTls().withBean(PeerTrust.class, () -> own)
			.run((context) -> assertThat(context.getBean(PeerTrust.class)).isSameAs(own));
	}

	@Test
	void runWhenListsAreConfiguredThenTheyAreReadAndReloaded(CapturedOutput output) {
		mutualTls()
			.withPropertyValues("grpc.security.tls.crl.locations=" + this.directory.resolve("missing.crl"),
					"grpc.security.tls.crl.undetermined=allow", "grpc.security.tls.reload-interval=100ms")
			.run((context) -> {
				assertThat(context).hasNotFailed();
				assertThat(output).contains("missing.crl: NoSuchFileException");
				TestCertificates.in(this.directory).write("missing.crl", "bad");
				await().until(() -> output.toString().contains("missing.crl: unexpected content at byte 0"));
			});
	}

	@Test
	void runWhenListsAreConfiguredWithoutClientCertificatesThenFails() {
		mutualTls()
			.withPropertyValues("grpc.security.tls.client-auth=none",
					"grpc.security.tls.crl.locations[0]=" + this.directory)
			.run((context) -> assertFails(context,
					"grpc.security.tls.crl.locations is set, but grpc.security.tls.client-auth is 'none', so that no "
							+ "client shows a certificate that could be revoked.",
					"Set grpc.security.tls.client-auth to require or optional, or remove "
							+ "grpc.security.tls.crl.locations."));
	}

	@ParameterizedTest
	@ValueSource(strings = { "http://127.0.0.1/ca.crl", "classpath:no-such.crl" })
	void runWhenLocationIsNoFileThenFails(String location) {
		mutualTls().withPropertyValues("grpc.security.tls.crl.locations=" + location)
			.run((context) -> assertFails(context,
					"grpc.security.tls.crl.locations has '" + location + "', which is no place in the file system.",
					"Let grpc.security.tls.crl.locations name files with certificate revocation lists, or directories "
							+ "that hold nothing else, as paths or file: locations."));
	}

	@Test
	void runWhenGraceIsNegativeThenFails() {
		mutualTls()
			.withPropertyValues("grpc.security.tls.crl.locations=" + this.directory,
					"grpc.security.tls.crl.next-update-grace=-1s")
			.run((context) -> assertFails(context,
					"grpc.security.tls.crl.next-update-grace is 'PT-1S', so that lists would be out of force before "
							+ "they are due.",
					"Set it to a duration such as 1d, to 0 for no grace, or remove it to keep lists in force until "
							+ "they are replaced."));
	}

	@Test
	void runWhenGraceIsOverThenOutdatedListsSayNothing(CapturedOutput output) throws Exception {
		TestCertificates certificates = TestCertificates.in(this.directory);
		Files.write(this.directory.resolve("ca.crl"),
				TestCrl.of(certificates.ca()).nextUpdate(Instant.now().minusSeconds(61)).der());
		mutualTls()
			.withPropertyValues("grpc.security.tls.crl.locations=" + this.directory.resolve("ca.crl"),
					"grpc.security.tls.crl.next-update-grace=60")
			.run((context) -> assertThat(context).hasNotFailed());
		assertThat(output).contains("its grace is over (grpc.security.tls.crl.next-update-grace)");
	}

	@Test
	void runWhenUndeterminedIsUnknownThenFails() {
		mutualTls().withPropertyValues("grpc.security.tls.crl.undetermined=maybe")
			.run((context) -> assertThat(context).hasFailed());
	}

	@Test
	void runWhenTransportIsPlaintextThenListsAreRefused() {
		this.runner
			.withPropertyValues("grpc.security.transport=plaintext", "grpc.server.address=127.0.0.1",
					"grpc.security.tls.crl.locations[0]=" + this.directory)
			.run((context) -> assertFails(context,
					"grpc.security.transport is 'plaintext', but there is also grpc.security.tls.crl.locations.",
					"Remove grpc.security.transport to serve TLS, or remove the settings of TLS to serve plaintext."));
	}

	private static void assertFails(AssertableApplicationContext context, String description, String action) {
		assertThat(context).hasFailed();
		Throwable failure = context.getStartupFailure();
		assertThat(failure).hasRootCauseInstanceOf(TlsConfigurationException.class);
		FailureAnalysis analysis = new TlsConfigurationFailureAnalyzer().analyze(failure);
		assertThat(analysis.getDescription()).isEqualTo(description);
		assertThat(analysis.getAction()).isEqualTo(action);
	}

	private ApplicationContextRunner mutualTls() {
		TestCertificates certificates = TestCertificates.in(this.directory);
		return this.runner.withPropertyValues("grpc.security.tls.certificate-chain=" + certificates.serverPem(),
				"grpc.security.tls.private-key=" + certificates.serverKeyPem(),
				"grpc.security.tls.trust-certificates=" + certificates.caPem(),
				"grpc.security.tls.client-auth=require");
	}

}
