package io.github.grpcsecurity.tls;

import java.io.IOException;
import java.io.InputStream;
import java.io.RandomAccessFile;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.security.PrivateKey;
import java.security.cert.X509Certificate;
import java.time.Duration;
import java.time.Instant;
import java.time.InstantSource;
import java.util.List;

import io.github.grpcsecurity.testing.TestCertificates;
import io.netty.pkitesting.X509Bundle;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.EnabledOnOs;
import org.junit.jupiter.api.condition.OS;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

import org.springframework.boot.ssl.SslBundle;
import org.springframework.boot.ssl.SslStoreBundle;
import org.springframework.boot.ssl.pem.PemSslStoreBundle;
import org.springframework.boot.ssl.pem.PemSslStoreDetails;
import org.springframework.boot.test.system.CapturedOutput;
import org.springframework.boot.test.system.OutputCaptureExtension;
import org.springframework.core.io.ByteArrayResource;
import org.springframework.core.io.FileSystemResource;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;

@ExtendWith(OutputCaptureExtension.class)
class TlsMaterialTests {

	@TempDir
	Path directory;

	private TestCertificates certificates;

	@BeforeEach
	void makeCertificates() {
		this.certificates = TestCertificates.in(this.directory);
	}

	@Test
	void loadWhenFileIsMissingThenSaysSo() {
		Path missing = this.directory.resolve("missing.pem");

		assertFails(pem(missing, this.certificates.serverKeyPem(), null),
				"chain is '" + missing + "', but there is no such file.",
				"Let chain name a PEM file with certificates that the server may read, as a path, file: or "
						+ "classpath: location.");
	}

	@Test
	void loadWhenFileIsUnreadableThenSaysSo() {
		TlsLocation unreadable = new TlsLocation("key", "key.pem", new ByteArrayResource(new byte[0]) {
			@Override
			public InputStream getInputStream() throws IOException {
				throw new java.nio.file.AccessDeniedException("key.pem");
			}
		});

		assertFails(ConfiguredTlsMaterial.pem(location("chain", this.certificates.serverPem()), unreadable, null),
				"key is 'key.pem', which cannot be read (AccessDeniedException).",
				"Let key name a PEM file with a private key that the server may read, as a path, file: or classpath: "
						+ "location.");
	}

	@Test
	@EnabledOnOs(OS.LINUX)
	void loadWhenFileHasNoEndThenSaysSo() throws IOException {
		Path huge = this.certificates.write("huge.pem", "");
		try (RandomAccessFile file = new RandomAccessFile(huge.toFile(), "rw")) {
			file.setLength(1L << 30);
		}
		TlsLocation key = location("key", this.certificates.serverKeyPem());

		assertThatExceptionOfType(TlsConfigurationException.class)
			.isThrownBy(() -> ConfiguredTlsMaterial.pem(location("chain", Path.of("/dev/zero")), key, null).load())
			.withMessage("chain is '/dev/zero', which cannot be read: it is no regular file.");
		assertThatExceptionOfType(TlsConfigurationException.class)
			.isThrownBy(() -> ConfiguredTlsMaterial.pem(location("chain", huge), key, null).load())
			.withMessage("chain is '" + huge + "', which cannot be read: it is longer than 16 MB.");
	}

	@Test
	void loadWhenPemHoldsNoCertificateThenSaysSo() {
		Path text = this.certificates.write("text.pem", "hello");

		assertFails(pem(text, this.certificates.serverKeyPem(), null),
				"chain is '" + text + "', but no certificate in it can be read.",
				"Let chain name a PEM file with certificates (BEGIN CERTIFICATE).");
	}

	@Test
	void loadWhenPemHoldsNoKeyThenSaysSo() {
		Path key = this.certificates.serverPem();

		assertFails(pem(this.certificates.serverPem(), key, null),
				"key is '" + key + "', but no private key in it can be read.",
				"Let key name a PEM file with a private key (BEGIN PRIVATE KEY, RSA PRIVATE KEY or EC PRIVATE KEY).");
	}

	@Test
	void loadWhenKeyIsEncryptedAndPasswordIsWrongThenSaysSo() {
		Path key = this.certificates.encryptedServerKeyPem("right");

		assertFails(pem(this.certificates.serverPem(), key, "wrong"),
				"key is '" + key + "', whose key the password does not open.",
				"Correct grpc.security.tls.private-key-password.");
		assertFails(pem(this.certificates.serverPem(), key, null),
				"key is '" + key + "', whose key is encrypted, and there is no password for it.",
				"Set grpc.security.tls.private-key-password.");
	}

	@Test
	void loadWhenKeyIsEncryptedInOldFormatThenSaysHowToConvertIt() {
		Path key = this.certificates.write("old.pem",
				"-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nAAAA\n-----END RSA PRIVATE KEY-----\n");

		assertFails(pem(this.certificates.serverPem(), key, "secret"),
				"key is '" + key + "', whose key is encrypted in OpenSSL's old format, which is not supported.",
				"Convert it: openssl pkcs8 -topk8 -v2 aes-256-cbc -in old.pem -out new.pem.");
	}

	@ParameterizedTest
	@CsvSource({ "PKCS12", "JKS" })
	void loadWhenStorePasswordIsWrongThenSaysSo(String type) {
		Path file = this.certificates.serverKeyStore(type, "secret");

		assertFails(ConfiguredTlsMaterial.keyStore(new TlsStore(location("store", file), type, "wrong!"), null, null),
				"store is '" + file + "', which the password does not open.", "Correct store-password.");
	}

	@Test
	void loadWhenStoreHasNoPasswordThenSaysSo() {
		Path file = this.certificates.serverKeyStore("PKCS12", "secret");

		assertFails(ConfiguredTlsMaterial.keyStore(new TlsStore(location("store", file), null, null), null, null),
				"store is '" + file + "', whose key needs a password.", "Set store-password.");
		Path trust = this.certificates.trustStore("PKCS12", "secret");
		assertFails(
				pem(this.certificates.serverPem(), this.certificates.serverKeyPem(), null)
					.trusting(new TlsStore(location("trust", trust), null, null)),
				"trust is '" + trust + "', which shows nothing without a password.", "Set trust-password.");
	}

	@Test
	void loadWhenStoreTypeIsNotSetThenItIsFoundOut() {
		for (String type : List.of("PKCS12", "JKS")) {
			Path file = this.certificates.serverKeyStore(type, "secret");

			TlsMaterial material = ConfiguredTlsMaterial
				.keyStore(new TlsStore(location("store", file), null, "secret"), null, null)
				.load();

			assertThat(material.leaf()).isEqualTo(this.certificates.server().getCertificate());
		}
	}

	@Test
	void loadWhenStoreTypeIsUnknownThenSaysSo() {
		Path file = this.certificates.serverKeyStore("PKCS12", "secret");

		assertFails(
				ConfiguredTlsMaterial.keyStore(new TlsStore(location("store", file), "PKCS13", "secret"), null, null),
				"store-type is 'PKCS13', which Java does not know.",
				"Set store-type to PKCS12 or JKS, or leave it out.");
	}

	@Test
	void loadWhenStoreIsNoKeystoreThenSaysSo() {
		Path file = this.certificates.serverPem();

		assertFails(ConfiguredTlsMaterial.keyStore(new TlsStore(location("store", file), null, "secret"), null, null),
				"store is '" + file + "', but that is no keystore of type PKCS12.",
				"Let store name a PKCS12 or JKS file, or set store-type to what it is.");
	}

	@Test
	void loadWhenStoreHoldsSeveralKeysThenAsksForAlias() {
		Path file = this.certificates.keyStore("several.p12", "PKCS12", "secret", (store) -> {
			TestCertificates.setKey(store, "one", this.certificates.server(), "secret");
			TestCertificates.setKey(store, "two", this.certificates.client(), "secret");
		});
		TlsStore store = new TlsStore(location("store", file), null, "secret");

		assertFails(ConfiguredTlsMaterial.keyStore(store, null, null),
				"store is '" + file + "', which holds several keys: [one, two].",
				"Say which one with grpc.security.tls.key-alias.");
		assertFails(ConfiguredTlsMaterial.keyStore(store, "three", null),
				"store is '" + file + "', which holds no key with the alias 'three'.",
				"Set grpc.security.tls.key-alias to one of [one, two].");
		assertThat(ConfiguredTlsMaterial.keyStore(store, "two", null).load().leaf())
			.isEqualTo(this.certificates.client().getCertificate());
	}

	@Test
	void loadWhenKeyHasAnotherPasswordThenItIsNeeded() {
		Path file = this.certificates.keyStore("two.jks", "JKS", "store-secret",
				(store) -> TestCertificates.setKey(store, "server", this.certificates.server(), "key-secret"));
		TlsStore store = new TlsStore(location("store", file), "JKS", "store-secret");

		assertFails(ConfiguredTlsMaterial.keyStore(store, null, null),
				"store is '" + file + "', whose key the password does not open.",
				"Set grpc.security.tls.key-password to the password of the key.");
		assertThat(ConfiguredTlsMaterial.keyStore(store, null, "key-secret").load().leaf())
			.isEqualTo(this.certificates.server().getCertificate());
	}

	@ParameterizedTest
	@CsvSource({ "PKCS12", "JKS" })
	void loadWhenTrustIsInStoreThenAnchorsAreRead(String type) {
		TlsStore store = new TlsStore(location("trust", this.certificates.trustStore(type, "secret")), type, "secret");

		assertThat(pem(this.certificates.serverPem(), this.certificates.serverKeyPem(), null).trusting(store)
			.load()
			.trustAnchors()).containsExactly(this.certificates.ca().getCertificate());
	}

	@Test
	void loadWhenTrustStoreHoldsOnlyKeysThenSaysSo() {
		Path file = this.certificates.serverKeyStore("PKCS12", "secret");
		ConfiguredTlsMaterial identity = pem(this.certificates.serverPem(), this.certificates.serverKeyPem(), null);

		assertFails(identity.trusting(new TlsStore(location("trust", file), null, "secret")),
				"trust is '" + file + "', which holds no trusted certificate, only keys or nothing.",
				"Import the certificate of the authority: keytool -importcert -keystore FILE -file ca.pem.");
	}

	@Test
	void loadWhenBundleHasStoresThenEverythingComesFromIt() {
		PemSslStoreDetails keyStore = PemSslStoreDetails.forCertificate(this.certificates.server().getCertificatePEM())
			.withPrivateKey(this.certificates.server().getPrivateKeyPEM());
		PemSslStoreDetails trustStore = PemSslStoreDetails.forCertificate(this.certificates.ca().getCertificatePEM());
		SslBundle bundle = SslBundle.of(new PemSslStoreBundle(keyStore, trustStore));

		TlsMaterial material = ConfiguredTlsMaterial.bundle("server", () -> bundle).load();

		assertThat(material.origin()).isEqualTo("grpc.security.tls.bundle");
		assertThat(material.leaf()).isEqualTo(this.certificates.server().getCertificate());
		assertThat(material.trustAnchors()).containsExactly(this.certificates.ca().getCertificate());
	}

	@Test
	void loadWhenBundleHasNoKeyThenSaysSo() {
		assertFails(ConfiguredTlsMaterial.bundle("trust", () -> SslBundle.of(SslStoreBundle.NONE)),
				"grpc.security.tls.bundle is 'trust', which holds no certificate of the server.",
				"Add a keystore to the bundle, as in spring.ssl.bundle.pem.trust.keystore.certificate and "
						+ "spring.ssl.bundle.pem.trust.keystore.private-key.");
	}

	@Test
	void loadWhenKeyIsWorldReadableThenWarns(CapturedOutput output) throws IOException {
		Path key = this.certificates.serverKeyPem();
		pem(this.certificates.serverPem(), key, null).load();
		assertThat(output).doesNotContain("Every user of this machine");

		Files.setPosixFilePermissions(key, PosixFilePermissions.fromString("rw-r--r--"));
		pem(this.certificates.serverPem(), key, null).load();

		assertThat(output).contains("Every user of this machine can read the private key in " + key
				+ " (key). Take the permission away: chmod o-r " + key);
	}

	@Test
	void useWhenCertificateIsExpiredThenFails() {
		Instant notAfter = Instant.parse("2020-01-02T03:04:05Z");
		X509Bundle expired = this.certificates
			.issue((builder) -> builder.notBefore(notAfter.minus(Duration.ofDays(1))).notAfter(notAfter));

		assertUseFails(material(expired, expired.getKeyPair().getPrivate()), ClientAuth.NONE,
				"The certificate of CN=Test server from chain expired at 2020-01-02T03:04:05Z.",
				"Renew the certificate.");
	}

	@Test
	void useWhenCertificateIsNotYetValidThenFails() {
		Instant notBefore = Instant.parse("2040-01-02T03:04:05Z");
		X509Bundle early = this.certificates
			.issue((builder) -> builder.notBefore(notBefore).notAfter(notBefore.plus(Duration.ofDays(1))));
		InstantSource clock = InstantSource.fixed(Instant.parse("2030-01-01T00:00:00Z"));

		assertThatExceptionOfType(TlsConfigurationException.class)
			.isThrownBy(() -> new TlsCredentials(() -> material(early, early.getKeyPair().getPrivate()),
					ClientAuth.NONE, clock))
			.withMessage("The certificate of CN=Test server from chain is not valid before 2040-01-02T03:04:05Z.")
			.satisfies((ex) -> assertThat(ex.wayOut())
				.isEqualTo("Wait until then, use another certificate, or correct the clock, which says "
						+ "2030-01-01T00:00:00Z."));
	}

	@Test
	void useWhenKeyDoesNotFitThenFails() {
		assertUseFails(material(this.certificates.server(), this.certificates.client().getKeyPair().getPrivate()),
				ClientAuth.NONE, "The certificate of CN=Test server from chain does not belong to the private key.",
				"Take the key for which the certificate was issued. In a chain, the certificate of the server "
						+ "comes first.");
	}

	@Test
	void useWhenChainHoldsStrangersThenFails() throws Exception {
		X509Bundle server = this.certificates.server();
		X509Certificate namesake = TestCertificates.create().ca().getCertificate();
		String wayOut = "Put the certificate of the server first, then the one that issued it, and so on, and nothing "
				+ "else.";

		assertUseFails(chain(server, server.getCertificate(), this.certificates.client().getCertificate()),
				ClientAuth.NONE, "In the chain from chain, certificate 2 (CN=Test client) did not issue certificate 1 "
						+ "(CN=Test server).",
				wayOut);
		assertUseFails(chain(server, server.getCertificate(), server.getCertificate()), ClientAuth.NONE,
				"In the chain from chain, certificate 2 (CN=Test server) did not issue certificate 1 "
						+ "(CN=Test server).",
				wayOut);
		assertUseFails(chain(server, server.getCertificate(), namesake), ClientAuth.NONE,
				"In the chain from chain, certificate 2 (CN=Test CA) did not issue certificate 1 (CN=Test server).",
				wayOut);
		TlsMaterial whole = chain(server, server.getCertificate(), this.certificates.ca().getCertificate());
		assertThat(new TlsCredentials(() -> whole, ClientAuth.NONE, InstantSource.system()).current()).isSameAs(whole);
	}

	private static TlsMaterial chain(X509Bundle server, X509Certificate... chain) {
		return new TlsMaterial("chain", server.getKeyPair().getPrivate(), List.of(chain), List.of());
	}

	@Test
	void loadWhenPemIsCutOffThenSaysSo() {
		String whole = this.certificates.server().getCertificatePEM() + this.certificates.ca().getCertificatePEM();
		Path cut = this.certificates.write("cut.pem", whole.substring(0, whole.length() - 50));
		Path good = this.certificates.serverPem();

		assertFails(pem(cut, this.certificates.serverKeyPem(), null),
				"chain is '" + cut + "', but that file is cut off: a BEGIN line lacks its END line.",
				"Write the file again, best under another name that is then renamed.");
		assertFails(pem(good, this.certificates.serverKeyPem(), null).trusting(location("trust", cut)),
				"trust is '" + cut + "', but that file is cut off: a BEGIN line lacks its END line.",
				"Write the file again, best under another name that is then renamed.");
	}

	@ParameterizedTest
	@CsvSource({ "OPTIONAL,optional", "REQUIRE,require" })
	void useWhenClientsShowCertificatesWithoutAnchorsThenFails(ClientAuth clientAuth, String value) {
		assertUseFails(material(this.certificates.server(), this.certificates.server().getKeyPair().getPrivate()),
				clientAuth,
				"grpc.security.tls.client-auth is '" + value
						+ "', but it is not said which client certificates to trust.",
				"Name the authority that issues them with grpc.security.tls.trust-certificates or "
						+ "grpc.security.tls.trust-store (or the trust store of the bundle), or set "
						+ "grpc.security.tls.client-auth to none.");
	}

	@Test
	void useWhenKeyIsRsaOrEd25519ThenItFits() {
		for (X509Bundle bundle : List.of(this.certificates.issue((builder) -> builder.rsa2048()), this.certificates
			.issue((builder) -> builder.algorithm(io.netty.pkitesting.CertificateBuilder.Algorithm.ed25519)))) {
			TlsMaterial material = material(bundle, bundle.getKeyPair().getPrivate());

			assertThat(new TlsCredentials(() -> material, ClientAuth.NONE, InstantSource.system()).current())
				.isSameAs(material);
		}
	}

	@Test
	void replaceWhenNewMaterialCannotWorkThenOldOneStays() {
		TlsMaterial good = material(this.certificates.server(), this.certificates.server().getKeyPair().getPrivate());
		TlsCredentials credentials = new TlsCredentials(() -> good, ClientAuth.NONE, InstantSource.system());

		assertThatExceptionOfType(TlsConfigurationException.class).isThrownBy(() -> credentials
			.replace(material(this.certificates.server(), this.certificates.client().getKeyPair().getPrivate())));
		assertThat(credentials.current()).isSameAs(good);
	}

	@Test
	void replaceWhenHandshakeIsUnderWayThenItKeepsItsPair() {
		X509Bundle old = this.certificates.server();
		X509Bundle renewed = this.certificates.issue((builder) -> {
		});
		TlsCredentials credentials = new TlsCredentials(() -> material(old, old.getKeyPair().getPrivate()),
				ClientAuth.NONE, InstantSource.system());
		SwappingKeyManager manager = (SwappingKeyManager) credentials.keyManager();
		String alias = manager.chooseServerAlias("EC", null, null);

		credentials.replace(material(renewed, renewed.getKeyPair().getPrivate()));

		assertThat(manager.getCertificateChain(alias)[0]).isEqualTo(old.getCertificate());
		assertThat(manager.getPrivateKey(alias)).isEqualTo(old.getKeyPair().getPrivate());
		String next = manager.chooseServerAlias("EC", null, null);
		assertThat(manager.getCertificateChain(next)[0]).isEqualTo(renewed.getCertificate());
		assertThat(manager.getPrivateKey(next)).isEqualTo(renewed.getKeyPair().getPrivate());
	}

	@Test
	void toStringWhenThereAreSecretsThenLeavesThemOut() {
		Path file = this.certificates.serverKeyStore("PKCS12", "secret-4711");
		TlsMaterial material = material(this.certificates.server(),
				this.certificates.server().getKeyPair().getPrivate());

		assertThat(new TlsStore(location("store", file), null, "secret-4711").toString()).isEqualTo("TlsStore[store]");
		assertThat(material).hasToString("TlsMaterial[origin=chain, subject=CN=Test server, trustAnchors=0]");
	}

	private static TlsMaterial material(X509Bundle bundle, PrivateKey key) {
		return new TlsMaterial("chain", key, List.of(bundle.getCertificatePath()), List.of());
	}

	private static ConfiguredTlsMaterial pem(Path chain, Path key, String password) {
		return ConfiguredTlsMaterial.pem(location("chain", chain), location("key", key), password);
	}

	private static TlsLocation location(String property, Path file) {
		return new TlsLocation(property, file.toString(), new FileSystemResource(file));
	}

	private static void assertFails(TlsMaterialSource source, String message, String wayOut) {
		assertThatExceptionOfType(TlsConfigurationException.class).isThrownBy(source::load)
			.withMessage(message)
			.satisfies((ex) -> assertThat(ex.wayOut()).isEqualTo(wayOut));
	}

	private static void assertUseFails(TlsMaterial material, ClientAuth clientAuth, String message, String wayOut) {
		assertThatExceptionOfType(TlsConfigurationException.class)
			.isThrownBy(() -> new TlsCredentials(() -> material, clientAuth, InstantSource.system()))
			.withMessage(message)
			.satisfies((ex) -> assertThat(ex.wayOut()).isEqualTo(wayOut));
	}

}
