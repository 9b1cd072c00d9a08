package io.github.grpcsecurity.dev;

import java.io.IOException;
import java.math.BigInteger;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.security.KeyPairGenerator;
import java.security.MessageDigest;
import java.security.PrivateKey;
import java.security.PublicKey;
import java.security.Signature;
import java.security.cert.X509Certificate;
import java.security.interfaces.RSAPrivateCrtKey;
import java.time.Duration;
import java.time.Instant;
import java.util.Arrays;
import java.util.Base64;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;

import javax.security.auth.x500.X500Principal;

import io.netty.pkitesting.CertificateBuilder;
import io.netty.pkitesting.CertificateBuilder.KeyUsage;
import io.netty.pkitesting.X509Bundle;
import org.jspecify.annotations.Nullable;

import org.springframework.boot.ssl.pem.PemContent;

/** The contents of the files: makes them, and tells whether they can be used again. */
final class DevFiles {

	static final String CA_CERTIFICATE = "ca.pem";

	static final String SERVER_CERTIFICATE = "server.pem";

	static final String SERVER_KEY = "server-key.pem";

	static final String CLIENT_CERTIFICATE = "client.pem";

	static final String CLIENT_KEY = "client-key.pem";

	static final String JWT_KEY = "jwt-key.pem";

	static final String JWK_SET = "jwks.json";

	static final List<String> NAMES = List.of(CA_CERTIFICATE, SERVER_CERTIFICATE, SERVER_KEY, CLIENT_CERTIFICATE,
			CLIENT_KEY, JWT_KEY, JWK_SET);

	private static final Set<String> PRIVATE = Set.of(SERVER_KEY, CLIENT_KEY, JWT_KEY);

	private static final String CA_NAME = "CN=gRPC Security throw-away CA for development";

	private static final Duration VALIDITY = Duration.ofDays(30);

	private static final Duration RENEW_BEFORE = Duration.ofDays(1);

	private final Map<String, String> contents;

	private DevFiles(Map<String, String> contents) {
		this.contents = contents;
	}

	static boolean isPrivate(String name) {
		return PRIVATE.contains(name);
	}

	/** What is there, or {@code null} if something is missing. */
	static @Nullable DevFiles read(Path directory, String caCertificate) throws IOException {
		Map<String, String> contents = new LinkedHashMap<>();
		for (String name : NAMES) {
			Path file = directory.resolve(name);
			if (!Files.isRegularFile(file)) {
				return null;
			}
			contents.put(name, content(file, caCertificate));
		}
		return new DevFiles(contents);
	}

	/**
	 * The name of a file that cannot come from here: a certificate of another authority,
	 * or anything at all where no certificate of ours is.
	 */
	static @Nullable String findForeign(Path directory, String caCertificate) throws IOException {
		String present = null;
		boolean ours = false;
		for (String name : NAMES) {
			Path file = directory.resolve(name);
			if (!Files.isRegularFile(file) || Files.size(file) == 0) {
				continue;
			}
			present = name;
			X509Certificate certificate = name.endsWith(".pem") ? certificateIn(content(file, caCertificate)) : null;
			if (certificate != null) {
				if (!certificate.getIssuerX500Principal().equals(new X500Principal(CA_NAME))) {
					return name;
				}
				ours = true;
			}
		}
		return ours ? null : present;
	}

	private static @Nullable X509Certificate certificateIn(String text) {
		try {
			PemContent content = PemContent.of(text);
			List<X509Certificate> found = (content != null) ? content.getCertificates() : List.of();
			return found.isEmpty() ? null : found.get(0);
		}
		catch (IllegalStateException ex) {
			return null;
		}
	}

	private static String content(Path file, String caCertificate) throws IOException {
		return file.endsWith(CA_CERTIFICATE) ? caCertificate : Files.readString(file, StandardCharsets.ISO_8859_1);
	}

	static DevFiles generate(Instant now) {
		try {
			return generateFrom(new CertificateBuilder().ecp256()
				.notBefore(now.minus(Duration.ofHours(1)))
				.notAfter(now.plus(VALIDITY)));
		}
		catch (Exception ex) {
			throw new IllegalStateException("Cannot make credentials for development", ex);
		}
	}

	private static DevFiles generateFrom(CertificateBuilder template) throws Exception {
		X509Bundle ca = template.copy()
			.subject(CA_NAME)
			.setIsCertificateAuthority(true)
			.setKeyUsage(true, KeyUsage.keyCertSign, KeyUsage.cRLSign)
			.buildSelfSigned();
		X509Bundle server = template.copy()
			.subject("CN=localhost")
			.addSanDnsName("localhost")
			.addSanIpAddress("127.0.0.1")
			.addSanIpAddress("::1")
			.setKeyUsage(true, KeyUsage.digitalSignature)
			.addExtendedKeyUsageServerAuth()
			.buildIssuedBy(ca);
		X509Bundle client = template.copy()
			.subject("CN=dev-client")
			.addSanUriName("spiffe://dev/client")
			.setKeyUsage(true, KeyUsage.digitalSignature)
			.addExtendedKeyUsageClientAuth()
			.buildIssuedBy(ca);
		// RSA, because its signatures come out of openssl as JWS wants them
		KeyPairGenerator generator = KeyPairGenerator.getInstance("RSA");
		generator.initialize(2048);
		RSAPrivateCrtKey jwtKey = (RSAPrivateCrtKey) generator.generateKeyPair().getPrivate();

		Map<String, String> contents = new LinkedHashMap<>();
		contents.put(CA_CERTIFICATE, ca.getCertificatePEM());
		contents.put(SERVER_CERTIFICATE, server.getCertificatePEM());
		contents.put(SERVER_KEY, pem(server.getKeyPair().getPrivate()));
		contents.put(CLIENT_CERTIFICATE, client.getCertificatePEM());
		contents.put(CLIENT_KEY, pem(client.getKeyPair().getPrivate()));
		contents.put(JWT_KEY, pem(jwtKey));
		contents.put(JWK_SET, jwkSet(jwtKey.getModulus(), jwtKey.getPublicExponent()));
		return new DevFiles(contents);
	}

	private static String pem(PrivateKey key) {
		return "-----BEGIN PRIVATE KEY-----\n"
				+ Base64.getMimeEncoder(64, new byte[] { '\n' }).encodeToString(key.getEncoded())
				+ "\n-----END PRIVATE KEY-----\n";
	}

	private static String jwkSet(BigInteger modulus, BigInteger exponent) throws GeneralSecurityException {
		String n = base64(unsigned(modulus));
		String e = base64(unsigned(exponent));
		// RFC 7638: the hash of just these members, in this order
		String thumbprint = "{\"e\":\"" + e + "\",\"kty\":\"RSA\",\"n\":\"" + n + "\"}";
		String kid = base64(
				MessageDigest.getInstance("SHA-256").digest(thumbprint.getBytes(StandardCharsets.US_ASCII)));
		return "{\"keys\":[{\"kty\":\"RSA\",\"kid\":\"" + kid + "\",\"alg\":\"RS256\",\"use\":\"sig\",\"n\":\"" + n
				+ "\",\"e\":\"" + e + "\"}]}\n";
	}

	private static byte[] unsigned(BigInteger number) {
		byte[] bytes = number.toByteArray();
		return (bytes[0] == 0) ? Arrays.copyOfRange(bytes, 1, bytes.length) : bytes;
	}

	private static String base64(byte[] bytes) {
		return Base64.getUrlEncoder().withoutPadding().encodeToString(bytes);
	}

	Map<String, String> contents() {
		return this.contents;
	}

	Instant expiresAt() {
		Instant expiresAt = Instant.MAX;
		for (String name : List.of(CA_CERTIFICATE, SERVER_CERTIFICATE, CLIENT_CERTIFICATE)) {
			Instant end = certificate(name).getNotAfter().toInstant();
			expiresAt = end.isBefore(expiresAt) ? end : expiresAt;
		}
		return expiresAt;
	}

	/** Whether everything can be read, fits together and lasts for another day. */
	boolean isUsable(Instant now) {
		try {
			X509Certificate ca = certificate(CA_CERTIFICATE);
			X509Certificate server = certificate(SERVER_CERTIFICATE);
			X509Certificate client = certificate(CLIENT_CERTIFICATE);
			server.verify(ca.getPublicKey());
			client.verify(ca.getPublicKey());
			for (X509Certificate certificate : List.of(ca, server, client)) {
				if (now.isBefore(certificate.getNotBefore().toInstant())) {
					return false;
				}
			}
			RSAPrivateCrtKey jwtKey = (RSAPrivateCrtKey) key(JWT_KEY);
			return now.plus(RENEW_BEFORE).isBefore(expiresAt())
					&& fit(key(SERVER_KEY), server.getPublicKey(), "SHA256withECDSA")
					&& fit(key(CLIENT_KEY), client.getPublicKey(), "SHA256withECDSA")
					&& jwkSet(jwtKey.getModulus(), jwtKey.getPublicExponent()).equals(this.contents.get(JWK_SET));
		}
		catch (GeneralSecurityException | RuntimeException ex) {
			return false;
		}
	}

	private static boolean fit(PrivateKey key, PublicKey publicKey, String algorithm) throws GeneralSecurityException {
		Signature signature = Signature.getInstance(algorithm);
		signature.initSign(key);
		signature.update((byte) 1);
		byte[] signed = signature.sign();
		signature.initVerify(publicKey);
		signature.update((byte) 1);
		return signature.verify(signed);
	}

	private X509Certificate certificate(String name) {
		return pem(name).getCertificates().get(0);
	}

	private PrivateKey key(String name) {
		PrivateKey key = pem(name).getPrivateKey();
		if (key == null) {
			throw new IllegalStateException("No key in " + name);
		}
		return key;
	}

	private PemContent pem(String name) {
		return Objects.requireNonNull(PemContent.of(this.contents.get(name)));
	}

}
