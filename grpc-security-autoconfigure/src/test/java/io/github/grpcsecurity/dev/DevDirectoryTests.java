package io.github.grpcsecurity.dev;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.security.PrivateKey;
import java.security.Signature;
import java.security.cert.X509Certificate;
import java.time.Duration;
import java.time.Instant;
import java.time.InstantSource;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;

import com.nimbusds.jose.jwk.JWK;
import com.nimbusds.jose.jwk.JWKSet;
import com.nimbusds.jose.jwk.KeyUse;
import io.github.grpcsecurity.testing.TestCertificates;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

import org.springframework.boot.context.properties.source.InvalidConfigurationPropertyValueException;
import org.springframework.boot.ssl.pem.PemContent;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;

class DevDirectoryTests {

	private static final Instant NOW = Instant.now();

	@TempDir
	Path temporary;

	@Test
	void prepareWhenDirectoryIsMissingThenMakesExactlyTheseFiles() throws IOException {
		DevDirectory dev = prepare(NOW);

		assertThat(contents(dev).keySet()).containsExactlyInAnyOrder("ca.pem", "server.pem", "server-key.pem",
				"client.pem", "client-key.pem", "jwt-key.pem", "jwks.json");
		assertThat(PosixFilePermissions.toString(Files.getPosixFilePermissions(dev.path()))).isEqualTo("rwx------");
		for (Path file : List.of(dev.serverKey(), dev.clientKey(), dev.jwtKey())) {
			assertThat(PosixFilePermissions.toString(Files.getPosixFilePermissions(file))).isEqualTo("rw-------");
			assertThat(file).content().startsWith("-----BEGIN PRIVATE KEY-----\n");
		}
	}

	@Test
	void prepareWhenMadeThenCertificatesHaveTheirNames() throws Exception {
		DevDirectory dev = prepare(NOW);

		X509Certificate server = certificate(dev.serverCertificate());
		X509Certificate client = certificate(dev.clientCertificate());
		server.verify(certificate(dev.caCertificate()).getPublicKey());
		client.verify(certificate(dev.caCertificate()).getPublicKey());
		assertThat(server.getSubjectAlternativeNames()).extracting((name) -> name.get(1).toString())
			.containsExactlyInAnyOrder("localhost", "127.0.0.1", "0:0:0:0:0:0:0:1");
		assertThat(client.getSubjectAlternativeNames()).extracting((name) -> name.get(1).toString())
			.containsExactly("spiffe://dev/client");
		assertThat(server.getBasicConstraints()).isEqualTo(-1);
	}

	@Test
	void prepareWhenMadeThenJwkSetHasPublicHalfOfSigningKey() throws Exception {
		DevDirectory dev = prepare(NOW);

		JWKSet set = JWKSet.parse(Files.readString(dev.jwkSet()));
		JWK key = set.getKeys().get(0);
		assertThat(set.getKeys()).hasSize(1);
		assertThat(key.isPrivate()).isFalse();
		assertThat(key.getKeyID()).isEqualTo(key.computeThumbprint().toString());
		assertThat(key.getAlgorithm().getName()).isEqualTo("RS256");
		assertThat(key.getKeyUse()).isEqualTo(KeyUse.SIGNATURE);
		PrivateKey privateKey = PemContent.load(dev.jwtKey()).getPrivateKey();
		Signature signature = Signature.getInstance("SHA256withRSA");
		signature.initSign(privateKey);
		byte[] signed = signature.sign();
		signature.initVerify(key.toRSAKey().toRSAPublicKey());
		assertThat(signature.verify(signed)).isTrue();
		assertThat(dev.issuer()).isEqualTo("https://dev.grpc-security.local");
		assertThat(dev.audience()).isEqualTo("dev");
	}

	@Test
	void prepareWhenFilesAreThereThenUsesThemAgain() throws IOException {
		DevDirectory first = prepare(NOW);
		Map<String, String> before = contents(first);

		DevDirectory second = prepare(NOW.plus(Duration.ofDays(20)));

		assertThat(contents(second)).isEqualTo(before);
		assertThat(first.banner()).contains("Has made throw-away credentials");
		assertThat(second.banner()).contains("Uses throw-away credentials that were made before");
	}

	@Test
	void prepareWhenCertificatesRunOutThenMakesNewOnes() throws IOException {
		Map<String, String> before = contents(prepare(NOW));

		Map<String, String> after = contents(prepare(NOW.plus(Duration.ofDays(29)).plusSeconds(60)));

		assertThat(after.keySet()).isEqualTo(before.keySet());
		after.forEach((name, content) -> assertThat(content).isNotEqualTo(before.get(name)));
	}

	@ParameterizedTest
	@ValueSource(strings = { "ca.pem", "server.pem", "server-key.pem", "client.pem", "client-key.pem", "jwt-key.pem",
			"jwks.json" })
	void prepareWhenFileIsMissingOrBrokenThenMakesNewOnes(String name) throws IOException {
		DevDirectory dev = prepare(NOW);
		String before = contents(dev).get("server.pem");

		Files.delete(dev.path().resolve(name));
		assertThat(contents(prepare(NOW)).get("server.pem")).isNotEqualTo(before);
		before = contents(dev).get("client.pem");
		Files.writeString(dev.path().resolve(name), "broken");
		assertThat(contents(prepare(NOW)).get("client.pem")).isNotEqualTo(before);
	}

	@Test
	void prepareWhenKeyBecameReadableThenTakesPermissionAway() throws IOException {
		DevDirectory dev = prepare(NOW);
		Files.setPosixFilePermissions(dev.jwtKey(), PosixFilePermissions.fromString("rw-r--r--"));

		prepare(NOW);

		assertThat(PosixFilePermissions.toString(Files.getPosixFilePermissions(dev.jwtKey()))).isEqualTo("rw-------");
	}

	@Test
	void prepareWhenOthersCanWriteToDirectoryThenFails() throws IOException {
		Path directory = Files.createDirectory(this.temporary.resolve("dev"));
		Files.setPosixFilePermissions(directory, PosixFilePermissions.fromString("rwxrwxrwx"));

		assertThatExceptionOfType(InvalidConfigurationPropertyValueException.class).isThrownBy(() -> prepare(NOW))
			.satisfies((ex) -> {
				assertThat(ex.getName()).isEqualTo("grpc.security.dev.directory");
				assertThat(ex.getReason()).isEqualTo("other users can write to it and could change the files. Take "
						+ "the permission away (chmod go-w), or name another directory");
			});
	}

	@Test
	void prepareWhenDirectoryIsLinkThenFails() throws IOException {
		Path elsewhere = Files.createDirectory(this.temporary.resolve("elsewhere"));
		Files.createSymbolicLink(this.temporary.resolve("dev"), elsewhere);

		assertThatExceptionOfType(InvalidConfigurationPropertyValueException.class).isThrownBy(() -> prepare(NOW))
			.satisfies((ex) -> assertThat(ex.getReason()).isEqualTo("it is no directory, or a link. Name a directory"));
	}

	@Test
	void prepareWhenDirectoryHoldsKeysOfSomebodyThenLeavesThemAlone() throws IOException {
		Path directory = Files.createDirectory(this.temporary.resolve("dev"));
		TestCertificates real = TestCertificates.in(directory);
		Path key = real.serverKeyPem();
		String before = Files.readString(key);

		assertRefuses("server-key.pem");
		assertThat(directory).isDirectoryNotContaining("glob:**ca.pem");
		real.caPem();
		real.serverPem();
		assertRefuses("ca.pem");
		assertThat(key).hasContent(before);
	}

	private void assertRefuses(String name) {
		assertThatExceptionOfType(InvalidConfigurationPropertyValueException.class).isThrownBy(() -> prepare(NOW))
			.satisfies((ex) -> assertThat(ex.getReason()).isEqualTo(name + " in it was not made by development mode "
					+ "and would be overwritten. Name a directory that is used for nothing else"));
	}

	@Test
	void bannerSaysWhatWasMadeAndWhoCanUseIt() {
		DevDirectory dev = prepare(NOW);

		assertThat(dev.banner()).contains("DEVELOPMENT MODE (grpc.security.dev.enabled): never use this in production.",
				"Has made throw-away credentials in " + dev.path() + ":",
				"Whoever can read them on this machine can call this server, as anybody.");
	}

	private DevDirectory prepare(Instant now) {
		return DevDirectory.prepare(this.temporary.resolve("dev"), InstantSource.fixed(now));
	}

	private static Map<String, String> contents(DevDirectory dev) throws IOException {
		Map<String, String> contents = new HashMap<>();
		try (Stream<Path> files = Files.list(dev.path())) {
			for (Path file : files.toList()) {
				contents.put(file.getFileName().toString(), Files.readString(file));
			}
		}
		return contents;
	}

	private static X509Certificate certificate(Path file) throws IOException {
		return PemContent.load(file).getCertificates().get(0);
	}

}
