package io.github.grpcsecurity.testing;

import java.io.IOException;
import java.io.OutputStream;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.security.AlgorithmParameters;
import java.security.KeyStore;
import java.security.KeyStoreException;
import java.security.PrivateKey;
import java.security.cert.X509Certificate;
import java.time.Duration;
import java.time.Instant;
import java.util.Base64;
import java.util.Locale;
import java.util.function.Consumer;

import javax.crypto.Cipher;
import javax.crypto.EncryptedPrivateKeyInfo;
import javax.crypto.SecretKeyFactory;
import javax.crypto.spec.PBEKeySpec;

import io.netty.pkitesting.CertificateBuilder;
import io.netty.pkitesting.X509Bundle;

/**
 * A certificate authority with a server and a client, as objects and as files in every
 * format. Each instance is another authority.
 */
public final class TestCertificates {

	/** Name of the client in its certificate. */
	public static final String CLIENT_URI = "spiffe://test/client";

	private final Path directory;

	private final X509Bundle ca;

	private final X509Bundle server;

	private final X509Bundle client;

	private TestCertificates(Path directory) {
		this.directory = directory;
		try {
			this.ca = template().subject("CN=Test CA").setIsCertificateAuthority(true).buildSelfSigned();
		}
		catch (Exception ex) {
			throw new IllegalStateException(ex);
		}
		this.server = issue((builder) -> {
		});
		this.client = issueClient((builder) -> {
		});
	}

	/**
	 * Makes an authority whose files go into a directory, such as a JUnit temporary one.
	 */
	public static TestCertificates in(Path directory) {
		return new TestCertificates(directory);
	}

	/** Makes an authority without files. */
	public static TestCertificates create() {
		try {
			Path directory = Files.createTempDirectory("test-certificates");
			directory.toFile().deleteOnExit();
			return new TestCertificates(directory);
		}
		catch (IOException ex) {
			throw new UncheckedIOException(ex);
		}
	}

	private static CertificateBuilder template() {
		Instant now = Instant.now();
		return new CertificateBuilder().ecp256()
			.notBefore(now.minus(Duration.ofHours(1)))
			.notAfter(now.plus(Duration.ofDays(1)));
	}

	/** Issues a server certificate for loopback addresses, changed as needed. */
	public X509Bundle issue(Consumer<CertificateBuilder> customizer) {
		CertificateBuilder builder = template().subject("CN=Test server")
			.addSanDnsName("localhost")
			.addSanIpAddress("127.0.0.1")
			.addExtendedKeyUsageServerAuth();
		return issue(builder, customizer);
	}

	/** Issues a client certificate, changed as needed. */
	public X509Bundle issueClient(Consumer<CertificateBuilder> customizer) {
		CertificateBuilder builder;
		try {
			builder = template().subject("CN=Test client").addSanUriName(CLIENT_URI).addExtendedKeyUsageClientAuth();
		}
		catch (Exception ex) {
			throw new IllegalStateException(ex);
		}
		return issue(builder, customizer);
	}

	private X509Bundle issue(CertificateBuilder builder, Consumer<CertificateBuilder> customizer) {
		customizer.accept(builder);
		try {
			return builder.buildIssuedBy(this.ca);
		}
		catch (Exception ex) {
			throw new IllegalStateException(ex);
		}
	}

	public X509Bundle ca() {
		return this.ca;
	}

	public X509Bundle server() {
		return this.server;
	}

	public X509Bundle client() {
		return this.client;
	}

	public Path caPem() {
		return write("ca.pem", this.ca.getCertificatePEM());
	}

	public Path serverPem() {
		return certificatePem("server.pem", this.server);
	}

	public Path serverKeyPem() {
		return keyPem("server-key.pem", this.server);
	}

	public Path clientPem() {
		return certificatePem("client.pem", this.client);
	}

	public Path clientKeyPem() {
		return keyPem("client-key.pem", this.client);
	}

	/** Writes a certificate with its intermediates. */
	public Path certificatePem(String name, X509Bundle bundle) {
		return write(name, bundle.getCertificatePathPEM());
	}

	/** Writes a private key that only its owner can read. */
	public Path keyPem(String name, X509Bundle bundle) {
		Path file = write(name, bundle.getPrivateKeyPEM());
		if (file.getFileSystem().supportedFileAttributeViews().contains("posix")) {
			try {
				Files.setPosixFilePermissions(file, PosixFilePermissions.fromString("rw-------"));
			}
			catch (IOException ex) {
				throw new UncheckedIOException(ex);
			}
		}
		return file;
	}

	/** Writes the key of the server, encrypted (PKCS #8, PBES2). */
	public Path encryptedServerKeyPem(String password) {
		String algorithm = "PBEWithHmacSHA256AndAES_256";
		try {
			Cipher cipher = Cipher.getInstance(algorithm);
			cipher.init(Cipher.ENCRYPT_MODE,
					SecretKeyFactory.getInstance(algorithm).generateSecret(new PBEKeySpec(password.toCharArray())));
			byte[] encrypted = cipher.doFinal(this.server.getKeyPair().getPrivate().getEncoded());
			// Named PBES2 in the file, whatever the cipher
			AlgorithmParameters parameters = AlgorithmParameters.getInstance("PBES2");
			parameters.init(cipher.getParameters().getEncoded());
			byte[] info = new EncryptedPrivateKeyInfo(parameters, encrypted).getEncoded();
			return write("server-key-encrypted.pem",
					"-----BEGIN ENCRYPTED PRIVATE KEY-----\n"
							+ Base64.getMimeEncoder(64, new byte[] { '\n' }).encodeToString(info)
							+ "\n-----END ENCRYPTED PRIVATE KEY-----\n");
		}
		catch (Exception ex) {
			throw new IllegalStateException(ex);
		}
	}

	/** Writes a keystore with the server's key under the alias "server". */
	public Path serverKeyStore(String type, String password) {
		return keyStore("server." + type.toLowerCase(Locale.ROOT), type, password,
				(store) -> setKey(store, "server", this.server, password));
	}

	/** Writes a keystore with the certificate of the authority. */
	public Path trustStore(String type, String password) {
		return keyStore("trust." + type.toLowerCase(Locale.ROOT), type, password, (store) -> {
			try {
				store.setCertificateEntry("ca", this.ca.getCertificate());
			}
			catch (KeyStoreException ex) {
				throw new IllegalStateException(ex);
			}
		});
	}

	/** Writes a keystore with whatever a test needs. */
	public Path keyStore(String name, String type, String password, Consumer<KeyStore> content) {
		try {
			KeyStore store = KeyStore.getInstance(type);
			store.load(null, null);
			content.accept(store);
			Path file = this.directory.resolve(name);
			try (OutputStream out = Files.newOutputStream(file)) {
				store.store(out, password.toCharArray());
			}
			return file;
		}
		catch (Exception ex) {
			throw new IllegalStateException(ex);
		}
	}

	/** Puts a key and its chain into a keystore. */
	public static void setKey(KeyStore store, String alias, X509Bundle bundle, String password) {
		try {
			PrivateKey key = bundle.getKeyPair().getPrivate();
			X509Certificate[] chain = bundle.getCertificatePath();
			store.setKeyEntry(alias, key, password.toCharArray(), chain);
		}
		catch (Exception ex) {
			throw new IllegalStateException(ex);
		}
	}

	/** Writes a text file next to the others. */
	public Path write(String name, String content) {
		try {
			return Files.writeString(this.directory.resolve(name), content);
		}
		catch (IOException ex) {
			throw new UncheckedIOException(ex);
		}
	}

}
