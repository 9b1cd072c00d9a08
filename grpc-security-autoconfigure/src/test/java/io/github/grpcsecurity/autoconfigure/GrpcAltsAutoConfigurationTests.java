package io.github.grpcsecurity.autoconfigure;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;

import io.github.grpcsecurity.authentication.alts.AltsCredentialAuthenticator;
import io.github.grpcsecurity.tls.AltsPeerStage;
import io.github.grpcsecurity.tls.AltsTransport;
import io.github.grpcsecurity.tls.TlsMaterialSource;
import io.github.grpcsecurity.tls.TransportConfigurer;
import io.grpc.alts.AltsServerCredentials;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

import org.springframework.boot.autoconfigure.AutoConfigurations;
import org.springframework.boot.diagnostics.FailureAnalysis;
import org.springframework.boot.test.context.FilteredClassLoader;
import org.springframework.boot.test.context.assertj.AssertableApplicationContext;
import org.springframework.boot.test.context.runner.ApplicationContextRunner;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assumptions.assumeThat;

class GrpcAltsAutoConfigurationTests {

	private static final Path PRODUCT_NAME = Path.of("/sys/class/dmi/id/product_name");

	private final ApplicationContextRunner runner = new ApplicationContextRunner()
		.withConfiguration(AutoConfigurations.of(GrpcTransportAutoConfiguration.class,
				GrpcAltsAuthenticationAutoConfiguration.class))
		.withPropertyValues("grpc.security.transport=alts");

	private static void assumeElsewhere() {
		try {
			assumeThat(Files.readString(PRODUCT_NAME)).doesNotContain("Google");
		}
		catch (IOException ex) {
			// No firmware that could say so
		}
	}

	@Test
	void runWhenThisIsNotGoogleCloudThenStartFails() {
		assumeElsewhere();
		this.runner.run((context) -> assertFails(context,
				"grpc.security.transport is 'alts', but this is no Linux machine of Google Cloud (" + PRODUCT_NAME
						+ " does not say so), and ALTS works nowhere else.",
				"Run the server on Google Cloud. Elsewhere, remove grpc.security.transport and set up TLS with "
						+ "grpc.security.tls.*."));
	}

	@Test
	void runWhenUserHasTransportThenItIsUsed() {
		withHandshaker().run((context) -> assertThat(context).hasNotFailed()
			.hasSingleBean(AltsTransport.class)
			.hasSingleBean(AltsPeerStage.class)
			.hasSingleBean(AltsCredentialAuthenticator.class)
			.hasSingleBean(TransportConfigurer.class));
	}

	@Test
	void runWhenTransportIsTlsThenNothingOfAltsIsThere() {
		this.runner.withPropertyValues("grpc.security.transport=plaintext", "grpc.server.address=127.0.0.1")
			.run((context) -> assertThat(context).hasNotFailed()
				.doesNotHaveBean(AltsTransport.class)
				.doesNotHaveBean(AltsCredentialAuthenticator.class)
				.doesNotHaveBean(AltsPeerStage.class));
	}

	@Test
	void runWhenDisabledThenNothingHappens() {
		this.runner.withPropertyValues("grpc.security.enabled=false")
			.run((context) -> assertThat(context).hasNotFailed()
				.doesNotHaveBean(TransportConfigurer.class)
				.doesNotHaveBean(AltsPeerStage.class));
	}

	@Test
	void runWhenUserHasOwnAuthenticatorThenBacksOff() {
		AltsCredentialAuthenticator own = new AltsCredentialAuthenticator((call) -> null);
		withHandshaker().withBean(AltsCredentialAuthenticator.class, () -> own)
			.run((context) -> assertThat(context.getBean(AltsCredentialAuthenticator.class)).isSameAs(own));
	}

	@ParameterizedTest
	@ValueSource(strings = { "io.grpc.alts", "io.grpc.netty.shaded" })
	void runWhenLibraryIsMissingThenNamesIt(String missing) {
		this.runner.withClassLoader(new FilteredClassLoader(missing))
			.run((context) -> assertFails(context,
					"grpc.security.transport is 'alts', but io.grpc:grpc-alts or io.grpc:grpc-netty-shaded is missing.",
					"Add both dependencies: ALTS works on shaded Netty only."));
	}

	@ParameterizedTest
	@CsvSource({ "bundle=server,bundle", "certificate-chain=server.pem,certificate-chain",
			"client-auth=require,client-auth", "reload-interval=1m,reload-interval", "protocols=TLSv1.3,protocols",
			"sni[0].host=bank.example,sni" })
	void runWhenThereAreSettingsOfTlsThenFails(String setting, String name) {
		withHandshaker().withPropertyValues("grpc.security.tls." + setting)
			.run((context) -> assertFails(context,
					"grpc.security.transport is 'alts', but there is also grpc.security.tls." + name + ".",
					"Remove grpc.security.transport to serve TLS, or remove the settings of TLS: ALTS needs no "
							+ "certificates."));
	}

	@Test
	void runWhenUserHasMaterialForTlsThenFails() {
		withHandshaker().withBean(TlsMaterialSource.class, () -> () -> null)
			.run((context) -> assertFails(context,
					"grpc.security.transport is 'alts', but there is also a bean of type TlsMaterialSource.",
					"Remove grpc.security.transport to serve TLS, or remove the settings of TLS: ALTS needs no "
							+ "certificates."));
	}

	@Test
	void runWhenServerHasItsOwnTlsThenFails() {
		withHandshaker().withPropertyValues("grpc.server.security.enabled=true")
			.run((context) -> assertFails(context,
					"grpc.security.transport is 'alts', but grpc.server.security.enabled is 'true'.",
					"Remove one of the two: a server speaks either ALTS or TLS."));
	}

	@Test
	void runWhenServerListensOnDomainSocketThenFails() {
		withHandshaker().withPropertyValues("grpc.server.address=unix:/tmp/bank.sock")
			.run((context) -> assertFails(context,
					"grpc.security.transport is 'alts', but the gRPC server listens on 'unix:/tmp/bank.sock' "
							+ "(grpc.server.address), which no other machine can reach.",
					"Let it listen on an IP address with grpc.server.address, or set grpc.security.transport="
							+ "plaintext."));
	}

	@Test
	void runWhenServerIsInProcessOnlyThenAnyMachineWillDo() {
		this.runner.withPropertyValues("grpc.server.port=-1", "grpc.server.in-process-name=bank")
			.run((context) -> assertThat(context).hasNotFailed());
	}

	private ApplicationContextRunner withHandshaker() {
		return this.runner.withBean("ownTransport", AltsTransport.class,
				() -> new AltsTransport(AltsServerCredentials.newBuilder().enableUntrustedAltsForTesting().build()));
	}

	private static void assertFails(AssertableApplicationContext context, String description, String action) {
		assertThat(context).hasFailed();
		FailureAnalysis analysis = new TlsConfigurationFailureAnalyzer().analyze(context.getStartupFailure());
		assertThat(analysis.getDescription()).isEqualTo(description);
		assertThat(analysis.getAction()).isEqualTo(action);
	}

}
