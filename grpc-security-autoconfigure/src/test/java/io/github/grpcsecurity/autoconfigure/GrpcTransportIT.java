package io.github.grpcsecurity.autoconfigure;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

import io.github.grpcsecurity.dev.DevDirectory;
import io.github.grpcsecurity.server.ServerBuilderConfigurer;
import io.github.grpcsecurity.testing.CallType;
import io.github.grpcsecurity.testing.EchoService;
import io.github.grpcsecurity.testing.TestCertificates;
import io.grpc.ChannelCredentials;
import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import io.grpc.ManagedChannel;
import io.grpc.Status;
import io.grpc.TlsChannelCredentials;
import io.micrometer.core.instrument.MeterRegistry;
import io.micrometer.core.instrument.simple.SimpleMeterRegistry;
import io.netty.pkitesting.X509Bundle;
import net.devh.boot.grpc.server.autoconfigure.GrpcServerAutoConfiguration;
import net.devh.boot.grpc.server.autoconfigure.GrpcServerFactoryAutoConfiguration;
import net.devh.boot.grpc.server.event.GrpcServerStartedEvent;
import net.devh.boot.grpc.server.serverfactory.GrpcServerConfigurer;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.io.TempDir;

import org.springframework.beans.factory.ObjectProvider;
import org.springframework.boot.SpringApplication;
import org.springframework.boot.WebApplicationType;
import org.springframework.boot.autoconfigure.ImportAutoConfiguration;
import org.springframework.boot.autoconfigure.ssl.SslAutoConfiguration;
import org.springframework.boot.test.system.CapturedOutput;
import org.springframework.boot.test.system.OutputCaptureExtension;
import org.springframework.context.ConfigurableApplicationContext;
import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Configuration;
import org.springframework.context.event.EventListener;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatException;
import static org.awaitility.Awaitility.await;

@ExtendWith(OutputCaptureExtension.class)
class GrpcTransportIT {

	@TempDir
	Path temporary;

	private TestCertificates certificates;

	@BeforeEach
	void makeCertificates() {
		this.certificates = TestCertificates.in(this.temporary);
	}

	@Test
	void startWhenNothingIsConfiguredThenAnalysisShowsThreeWaysOut(CapturedOutput output) {
		assertThatException().isThrownBy(() -> start());

		assertThat(output).contains("APPLICATION FAILED TO START",
				"The gRPC server has no certificate for TLS, and nobody has asked for plaintext.",
				"1. Serve TLS. Name a certificate and its private key:",
				"2. Develop on this machine, with throw-away certificates:",
				"3. Serve plaintext on this machine only, such as behind a proxy that ends TLS:");
	}

	@Test
	void startWhenDevModeIsOnThenClientsCallOverMutualTls(CapturedOutput output) throws Exception {
		try (ConfigurableApplicationContext context = start("grpc.security.dev.enabled=true",
				"grpc.security.dev.directory=" + this.temporary.resolve("dev"),
				"grpc.security.tls.client-auth=require")) {
			DevDirectory dev = context.getBean(DevDirectory.class);
			ChannelCredentials client = TlsChannelCredentials.newBuilder()
				.trustManager(dev.caCertificate().toFile())
				.keyManager(dev.clientCertificate().toFile(), dev.clientKey().toFile())
				.build();
			ChannelCredentials stranger = TlsChannelCredentials.newBuilder()
				.trustManager(dev.caCertificate().toFile())
				.build();

			for (CallType type : CallType.values()) {
				assertThat(call(context, "localhost", client, type)).isEqualTo(Status.Code.OK);
				assertThat(call(context, "127.0.0.1", client, type)).isEqualTo(Status.Code.OK);
			}
			assertThat(call(context, "localhost", stranger, CallType.UNARY)).isEqualTo(Status.Code.UNAVAILABLE);
			assertThat(context.getEnvironment().getProperty("grpc.server.address")).isEqualTo("127.0.0.1");
			assertThat(context.getBean(Application.class).started.get(0).getAddress()).isEqualTo("127.0.0.1");
		}
		assertThat(output).contains("DEVELOPMENT MODE", "grpc.server.address is not set");
	}

	@Test
	void startWhenServerHasItsOwnTlsThenItServesThat() throws Exception {
		try (ConfigurableApplicationContext context = start("grpc.server.address=127.0.0.1",
				"grpc.server.security.enabled=true",
				"grpc.server.security.certificate-chain=file:" + this.certificates.serverPem(),
				"grpc.server.security.private-key=file:" + this.certificates.serverKeyPem())) {
			assertThat(call(context, "localhost", trusting(), CallType.UNARY)).isEqualTo(Status.Code.OK);
		}
	}

	@Test
	void startWhenBundleIsConfiguredThenServerListensWithIt() throws Exception {
		try (ConfigurableApplicationContext context = start("grpc.server.address=*", "grpc.security.tls.bundle=server",
				"spring.ssl.bundle.pem.server.keystore.certificate=" + this.certificates.serverPem(),
				"spring.ssl.bundle.pem.server.keystore.private-key=" + this.certificates.serverKeyPem())) {
			assertThat(call(context, "localhost", trusting(), CallType.UNARY)).isEqualTo(Status.Code.OK);
			assertThat(call(context, "localhost", InsecureChannelCredentials.create(), CallType.UNARY))
				.isEqualTo(Status.Code.UNAVAILABLE);
		}
	}

	@Test
	void startWhenThereAreMetricsThenHandshakesAreCounted() throws Exception {
		try (ConfigurableApplicationContext context = start("grpc.server.address=127.0.0.1",
				"grpc.security.tls.certificate-chain=" + this.certificates.serverPem(),
				"grpc.security.tls.private-key=" + this.certificates.serverKeyPem())) {
			assertThat(call(context, "localhost", trusting(), CallType.UNARY)).isEqualTo(Status.Code.OK);
			ChannelCredentials stranger = TlsChannelCredentials.newBuilder()
				.trustManager(TestCertificates.create().caPem().toFile())
				.build();
			assertThat(call(context, "localhost", stranger, CallType.UNARY)).isEqualTo(Status.Code.UNAVAILABLE);

			MeterRegistry registry = context.getBean(MeterRegistry.class);
			await().untilAsserted(() -> {
				for (String result : List.of("SUCCESS", "UNKNOWN_FAILURE")) {
					assertThat(registry.get("grpc.server.tls.handshakes")
						.tag("grpc.tls.handshake.result", result)
						.counter()
						.count()).as(result).isPositive();
				}
			});
		}
	}

	@Test
	void startWhenHostHasItsOwnBundleThenClientsSeeItsCertificate() throws Exception {
		X509Bundle bank = this.certificates.issue((server) -> server.subject("CN=bank").addSanDnsName("bank.example"));
		try (ConfigurableApplicationContext context = start("grpc.server.address=127.0.0.1",
				"grpc.security.tls.certificate-chain=" + this.certificates.serverPem(),
				"grpc.security.tls.private-key=" + this.certificates.serverKeyPem(),
				"grpc.security.tls.sni[0].host=bank.example", "grpc.security.tls.sni[0].bundle=bank",
				"spring.ssl.bundle.pem.bank.keystore.certificate=" + this.certificates.certificatePem("bank.pem", bank),
				"spring.ssl.bundle.pem.bank.keystore.private-key=" + this.certificates.keyPem("bank-key.pem", bank))) {
			int port = context.getBean(Application.class).started.get(0).getPort();
			for (String host : List.of("bank.example", "localhost")) {
				ManagedChannel channel = Grpc.newChannelBuilderForAddress("127.0.0.1", port, trusting())
					.overrideAuthority(host)
					.build();
				assertThat(CallType.UNARY.call(channel).code()).as(host).isEqualTo(Status.Code.OK);
				channel.shutdownNow();
			}
		}
	}

	@Test
	void startWhenPlaintextIsAskedForThenServerSpeaksIt() throws Exception {
		try (ConfigurableApplicationContext context = start("grpc.server.address=127.0.0.1",
				"grpc.security.transport=plaintext")) {
			assertThat(call(context, "localhost", InsecureChannelCredentials.create(), CallType.UNARY))
				.isEqualTo(Status.Code.OK);
		}
	}

	private ChannelCredentials trusting() throws Exception {
		return TlsChannelCredentials.newBuilder().trustManager(this.certificates.caPem().toFile()).build();
	}

	private static ConfigurableApplicationContext start(String... properties) {
		SpringApplication application = new SpringApplication(Application.class);
		application.setWebApplicationType(WebApplicationType.NONE);
		List<String> arguments = new ArrayList<>(List.of("--grpc.server.port=0"));
		for (String property : properties) {
			arguments.add("--" + property);
		}
		return application.run(arguments.toArray(String[]::new));
	}

	private static Status.Code call(ConfigurableApplicationContext context, String host, ChannelCredentials credentials,
			CallType type) {
		int port = context.getBean(Application.class).started.get(0).getPort();
		ManagedChannel channel = Grpc.newChannelBuilderForAddress(host, port, credentials).build();
		try {
			return type.call(channel).code();
		}
		finally {
			channel.shutdownNow();
		}
	}

	/** Hands the builder over to our configurers as late as the server allows. */
	@Configuration(proxyBeanMethods = false)
	@ImportAutoConfiguration({ GrpcServerAutoConfiguration.class, GrpcServerFactoryAutoConfiguration.class,
			SslAutoConfiguration.class, GrpcDevAutoConfiguration.class, GrpcLimitsAutoConfiguration.class,
			GrpcSecurityMetricsAutoConfiguration.class, GrpcTransportAutoConfiguration.class })
	static class Application {

		final List<GrpcServerStartedEvent> started = new ArrayList<>();

		@Bean
		MeterRegistry meterRegistry() {
			return new SimpleMeterRegistry();
		}

		@Bean
		GrpcServerConfigurer echoConfigurer(ObjectProvider<ServerBuilderConfigurer> configurers) {
			return (builder) -> {
				builder.addService(new EchoService());
				configurers.orderedStream().forEach((configurer) -> configurer.configure(builder));
			};
		}

		@EventListener
		void onStarted(GrpcServerStartedEvent event) {
			this.started.add(event);
		}

	}

}
