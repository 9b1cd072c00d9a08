package io.github.grpcsecurity.tls;

import java.io.ByteArrayOutputStream;
import java.io.DataOutputStream;
import java.io.File;
import java.io.IOException;
import java.io.InputStream;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.time.Duration;
import java.time.InstantSource;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;

import io.github.grpcsecurity.testing.EchoService;
import io.github.grpcsecurity.testing.TestCertificates;
import io.grpc.Server;
import io.grpc.ServerBuilder;
import io.netty.pkitesting.CertificateBuilder.Algorithm;
import io.netty.pkitesting.X509Bundle;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assumptions.assumeThat;

/** What a scanner sees of the server. */
class TlsScanIT {

	private static final int SSL_3 = 0x0300;

	private static final int TLS_1_0 = 0x0301;

	private static final int TLS_1_1 = 0x0302;

	private static final int TLS_1_2 = 0x0303;

	/** ECDHE with AES-GCM or ChaCha20, for RSA and EC keys. */
	private static final List<Integer> SAFE = List.of(0xc02b, 0xc02c, 0xc02f, 0xc030, 0xcca8, 0xcca9);

	private static final int ALERT = 21;

	private static final int HANDSHAKE = 22;

	private final TestCertificates certificates = TestCertificates.create();

	private Server server;

	@AfterEach
	void stop() throws InterruptedException {
		if (this.server != null) {
			this.server.shutdownNow();
			this.server.awaitTermination(10, TimeUnit.SECONDS);
		}
	}

	@ParameterizedTest
	@EnumSource
	void scanWhenNothingIsConfiguredThenNoOldVersionIsServed(NettyFlavour flavour) throws Exception {
		start(flavour, this.certificates.server(), "TLSv1.3");

		for (int version : new int[] { SSL_3, TLS_1_0, TLS_1_1, TLS_1_2 }) {
			assertThat(answer(version, allSuites())).as("version %x", version).isEqualTo(ALERT);
		}
	}

	@ParameterizedTest
	@EnumSource
	void scanWhenTls12IsConfiguredThenNoOlderVersionIsServed(NettyFlavour flavour) throws Exception {
		start(flavour, this.certificates.server(), "TLSv1.3", "TLSv1.2");

		assertThat(answer(TLS_1_2, allSuites())).isEqualTo(HANDSHAKE);
		for (int version : new int[] { SSL_3, TLS_1_0, TLS_1_1 }) {
			assertThat(answer(version, allSuites())).as("version %x", version).isEqualTo(ALERT);
		}
	}

	@ParameterizedTest
	@EnumSource
	void scanWhenTls12IsConfiguredThenOnlySafeSuitesAreServed(NettyFlavour flavour) throws Exception {
		for (Algorithm algorithm : List.of(Algorithm.ecp256, Algorithm.rsa2048)) {
			start(flavour, this.certificates.issue((builder) -> builder.algorithm(algorithm)), "TLSv1.3", "TLSv1.2");

			List<Integer> weak = allSuites();
			weak.removeAll(SAFE);
			// The server would take any one it has
			assertThat(answer(TLS_1_2, weak)).isEqualTo(ALERT);
			assertThat(answer(TLS_1_2, SAFE)).isEqualTo(HANDSHAKE);
			stop();
		}
	}

	@ParameterizedTest
	@EnumSource
	void opensslWhenNothingIsConfiguredThenSeesTls13Only(NettyFlavour flavour) throws Exception {
		assumeThat(openssl("version", null)).startsWith("OpenSSL");
		start(flavour, this.certificates.server(), "TLSv1.3");

		for (String version : List.of("-tls1", "-tls1_1", "-tls1_2")) {
			assertThat(client(version, "-cipher", "ALL:@SECLEVEL=0", "-alpn", "h2")).as(version)
				.contains("Cipher is (NONE)")
				.doesNotContain("New, TLS");
		}
		assertThat(client("-tls1_3", "-alpn", "h2")).contains("New, TLSv1.3, Cipher is TLS_AES_", "ALPN protocol: h2");
	}

	@ParameterizedTest
	@EnumSource
	void opensslWhenTls12IsConfiguredThenSeesForwardSecretAeadSuitesOnly(NettyFlavour flavour) throws Exception {
		assumeThat(openssl("version", null)).startsWith("OpenSSL");
		start(flavour, this.certificates.issue((builder) -> builder.algorithm(Algorithm.rsa2048)), "TLSv1.3",
				"TLSv1.2");

		assertThat(client("-tls1_2", "-alpn", "h2")).contains("New, TLSv1.2, Cipher is ECDHE-RSA-");
		assertThat(client("-tls1_2", "-alpn", "h2", "-cipher",
				"ALL:COMPLEMENTOFALL:!ECDHE+AESGCM:!ECDHE+CHACHA20:@SECLEVEL=0"))
			.contains("Cipher is (NONE)");
	}

	/** Waits until the server hangs up: this client would stay. */
	@ParameterizedTest
	@EnumSource
	void opensslWhenItOffersNoHttp2ThenServerHangsUp(NettyFlavour flavour) throws Exception {
		assumeThat(openssl("version", null)).startsWith("OpenSSL");
		start(flavour, this.certificates.server(), "TLSv1.3");

		assertThat(openssl("s_client -tls1_3 -connect 127.0.0.1:" + this.server.getPort(), null))
			.contains("No ALPN negotiated");
		assertThat(openssl("s_client -tls1_3 -alpn http/1.1 -connect 127.0.0.1:" + this.server.getPort(), null))
			.doesNotContain("ALPN protocol: http/1.1");
	}

	private String client(String... options) throws Exception {
		return openssl("s_client -connect 127.0.0.1:" + this.server.getPort() + " " + String.join(" ", options), "Q\n");
	}

	/** Runs openssl to its end; empty if there is none on this machine. */
	private static String openssl(String arguments, String input) throws Exception {
		List<String> command = new ArrayList<>(List.of("openssl"));
		command.addAll(List.of(arguments.split(" ")));
		File output = File.createTempFile("openssl", ".txt");
		Process process;
		try {
			process = new ProcessBuilder(command).redirectErrorStream(true).redirectOutput(output).start();
		}
		catch (IOException ex) {
			return "";
		}
		try {
			if (input != null) {
				process.getOutputStream().write(input.getBytes(StandardCharsets.US_ASCII));
				process.getOutputStream().flush();
			}
			assertThat(process.waitFor(20, TimeUnit.SECONDS)).as("openssl %s ends", arguments).isTrue();
			return new String(Files.readAllBytes(output.toPath()), StandardCharsets.ISO_8859_1);
		}
		catch (IOException ex) {
			// It ended before it read its input
			return new String(Files.readAllBytes(output.toPath()), StandardCharsets.ISO_8859_1);
		}
		finally {
			process.destroyForcibly();
			output.delete();
		}
	}

	/**
	 * Every suite before TLS 1.3 with RC4, 3DES, CBC, CCM, GCM, ChaCha20, or no cipher.
	 */
	private static List<Integer> allSuites() {
		List<Integer> suites = new ArrayList<>();
		Stream.of(new int[] { 0x0001, 0x00c5 }, new int[] { 0xc001, 0xc0af }, new int[] { 0xcca8, 0xccae })
			.forEach((range) -> {
				for (int suite = range[0]; suite <= range[1]; suite++) {
					suites.add(suite);
				}
			});
		return suites;
	}

	/** The type of the first record that the server answers to a hello. */
	private int answer(int version, List<Integer> suites) throws IOException {
		try (Socket socket = new Socket("127.0.0.1", this.server.getPort())) {
			socket.setSoTimeout(10_000);
			socket.getOutputStream().write(hello(version, suites));
			InputStream in = socket.getInputStream();
			int type = in.read();
			// Hanging up is as good as an alert
			return (type == -1) ? ALERT : type;
		}
	}

	private static byte[] hello(int version, List<Integer> suites) throws IOException {
		ByteArrayOutputStream extensions = new ByteArrayOutputStream();
		extension(extensions, 10, 0, 6, 0, 29, 0, 23, 0, 24);
		extension(extensions, 11, 1, 0);
		extension(extensions, 13, 0, 14, 4, 3, 5, 3, 8, 4, 8, 5, 4, 1, 2, 1, 2, 3);
		extension(extensions, 16, 0, 3, 2, 'h', '2');
		ByteArrayOutputStream body = new ByteArrayOutputStream();
		DataOutputStream out = new DataOutputStream(body);
		out.writeShort(version);
		out.write(new byte[32]);
		out.writeByte(0);
		out.writeShort(suites.size() * 2);
		for (int suite : suites) {
			out.writeShort(suite);
		}
		out.write(new byte[] { 1, 0 });
		out.writeShort(extensions.size());
		extensions.writeTo(out);
		ByteArrayOutputStream hello = new ByteArrayOutputStream();
		DataOutputStream records = new DataOutputStream(hello);
		records.writeByte(HANDSHAKE);
		records.writeShort(Math.min(version, TLS_1_0));
		records.writeShort(body.size() + 4);
		records.writeByte(1);
		records.writeByte(0);
		records.writeShort(body.size());
		body.writeTo(records);
		return hello.toByteArray();
	}

	private static void extension(ByteArrayOutputStream extensions, int type, int... content) {
		for (int value : new int[] { 0, type, 0, content.length }) {
			extensions.write(value);
		}
		for (int value : content) {
			extensions.write(value);
		}
	}

	private void start(NettyFlavour flavour, X509Bundle certificate, String... protocols) throws IOException {
		TlsSettings settings = new TlsSettings(ClientAuth.NONE, List.of(protocols), List.of(), Duration.ofSeconds(10));
		TlsMaterial material = new TlsMaterial("test", certificate.getKeyPair().getPrivate(),
				List.of(certificate.getCertificatePath()), List.of());
		ServerBuilder<?> builder = flavour.builder().addService(new EchoService());
		TransportConfigurer
			.tls(new TlsCredentials(() -> material, settings.clientAuth(), InstantSource.system()), settings)
			.configure(builder);
		this.server = builder.build().start();
	}

}
