package io.github.grpcsecurity.sample;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyStore;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Base64;
import java.util.List;

import io.github.grpcsecurity.sample.proto.AccountsGrpc;
import io.github.grpcsecurity.sample.proto.GetBalanceRequest;
import io.grpc.Grpc;
import io.grpc.ManagedChannel;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.TlsChannelCredentials;
import io.netty.pkitesting.CertificateBuilder;
import io.netty.pkitesting.X509Bundle;
import net.devh.boot.grpc.server.event.GrpcServerStartedEvent;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

import org.springframework.boot.SpringBootConfiguration;
import org.springframework.boot.autoconfigure.EnableAutoConfiguration;
import org.springframework.boot.builder.SpringApplicationBuilder;
import org.springframework.context.ConfigurableApplicationContext;
import org.springframework.context.annotation.Import;
import org.springframework.context.event.EventListener;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;

/**
 * The configurations that the README shows, with files of this test in the place of a
 * bank's.
 */
class ReadmeConfigurationIT {

	private static final String PASSWORD = "test-password";

	@TempDir
	private Path directory;

	@BeforeEach
	void makeFiles() throws Exception {
		X509Bundle authority = new CertificateBuilder().subject("CN=test CA")
			.setIsCertificateAuthority(true)
			.buildSelfSigned();
		X509Bundle server = new CertificateBuilder().subject("CN=server")
			.addSanIpAddress("127.0.0.1")
			.notAfter(Instant.now().plusSeconds(3600))
			.buildIssuedBy(authority);
		write("clients-ca.crt", authority.getCertificatePEM());
		write("tls.crt", server.getCertificatePEM());
		write("tls.key", server.getPrivateKeyPEM());
		X509Bundle batch = new CertificateBuilder().subject("CN=batch")
			.ecp256()
			.setIsCertificateAuthority(true)
			.buildSelfSigned();
		write("batch.pem",
				"-----BEGIN PUBLIC KEY-----\n"
						+ Base64.getMimeEncoder(64, "\n".getBytes(StandardCharsets.US_ASCII))
							.encodeToString(batch.getCertificate().getPublicKey().getEncoded())
						+ "\n-----END PUBLIC KEY-----\n");
		KeyStore keyStore = KeyStore.getInstance("PKCS12");
		keyStore.load(null, null);
		keyStore.setKeyEntry("server", server.getKeyPair().getPrivate(), PASSWORD.toCharArray(),
				server.getCertificatePath());
		try (var out = Files.newOutputStream(this.directory.resolve("server.p12"))) {
			keyStore.store(out, PASSWORD.toCharArray());
		}
	}

	private void write(String name, String text) throws IOException {
		Files.writeString(this.directory.resolve(name), text);
	}

	@Test
	void minimalConfigurationWhenStartedThenCallsWithoutTokenAreRefused() throws IOException {
		assertEnds("application-minimal.yml", Status.Code.UNAUTHENTICATED);
	}

	@Test
	void featuresConfigurationWhenStartedThenClientsWithoutCertificateGetNoConnection() throws IOException {
		assertEnds("application-features.yml", Status.Code.UNAVAILABLE);
	}

	private void assertEnds(String file, Status.Code expected) throws IOException {
		try (ConfigurableApplicationContext context = run(file)) {
			ManagedChannel channel = channel(context);
			try {
				assertThatExceptionOfType(StatusRuntimeException.class).isThrownBy(() -> balance(channel))
					.satisfies((ex) -> assertThat(ex.getStatus().getCode()).isEqualTo(expected));
			}
			finally {
				channel.shutdownNow();
			}
		}
	}

	/** Starts the bank's service with a file of the README, but for the paths in it. */
	private ConfigurableApplicationContext run(String file) throws IOException {
		String text = new String(ReadmeConfigurationIT.class.getResourceAsStream("/" + file).readAllBytes(),
				StandardCharsets.UTF_8);
		Path copy = this.directory.resolve(file);
		Files.writeString(copy, text.replace("file:/etc/bank/", "file:" + this.directory + "/"));
		return new SpringApplicationBuilder(Bank.class)
			.properties("spring.config.location=file:" + copy, "grpc.server.port=0", "grpc.server.address=127.0.0.1",
					"BANK_KEY_STORE_PASSWORD=" + PASSWORD, "spring.main.banner-mode=off")
			.run();
	}

	private ManagedChannel channel(ConfigurableApplicationContext context) throws IOException {
		return Grpc.newChannelBuilder("127.0.0.1:" + context.getBean(Ports.class).ports.get(0),
				TlsChannelCredentials.newBuilder()
					.trustManager(this.directory.resolve("clients-ca.crt").toFile())
					.build())
			.build();
	}

	private static void balance(ManagedChannel channel) {
		AccountsGrpc.newBlockingStub(channel).getBalance(GetBalanceRequest.newBuilder().setAccount("alice").build());
	}

	@SpringBootConfiguration
	@EnableAutoConfiguration
	@Import({ AccountsService.class, Ledger.class, Ports.class })
	static class Bank {

	}

	static class Ports {

		private final List<Integer> ports = new ArrayList<>();

		@EventListener
		void started(GrpcServerStartedEvent event) {
			this.ports.add(event.getServer().getPort());
		}

	}

}
