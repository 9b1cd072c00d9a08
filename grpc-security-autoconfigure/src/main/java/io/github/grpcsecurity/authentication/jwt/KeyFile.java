package io.github.grpcsecurity.authentication.jwt;

import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.security.KeyFactory;
import java.security.NoSuchAlgorithmException;
import java.security.PublicKey;
import java.security.cert.CertificateException;
import java.security.cert.CertificateFactory;
import java.security.interfaces.ECPublicKey;
import java.security.interfaces.RSAPublicKey;
import java.security.spec.InvalidKeySpecException;
import java.security.spec.X509EncodedKeySpec;
import java.text.ParseException;
import java.util.ArrayList;
import java.util.Base64;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;

import com.nimbusds.jose.jwk.AsymmetricJWK;
import com.nimbusds.jose.jwk.Curve;
import com.nimbusds.jose.jwk.ECKey;
import com.nimbusds.jose.jwk.JWK;
import com.nimbusds.jose.jwk.RSAKey;

import org.springframework.core.io.Resource;

/**
 * Reads the public keys of an issuer from a file: a JWK set, or PEM with public keys or
 * one certificate. Unlike a key server, a file must be good as a whole: somebody wrote it
 * for us.
 */
final class KeyFile {

	private static final Pattern PEM_BLOCK = Pattern
		.compile("-----BEGIN ([A-Z0-9 ]+)-----([A-Za-z0-9+/=\\s]+)-----END \\1-----");

	private KeyFile() {
	}

	/**
	 * Reads a file.
	 * @throws IllegalArgumentException if it is not good; the message names what is wrong
	 * and the way out, and quotes nothing of the file
	 */
	static VerificationKeys read(Resource file) {
		String text;
		try {
			text = file.getContentAsString(StandardCharsets.UTF_8).strip();
		}
		catch (IOException ex) {
			throw new IllegalArgumentException("the file cannot be read: make sure that it exists and is readable", ex);
		}
		List<JWK> keys = text.startsWith("{") ? jwkSet(text) : pem(text);
		if (keys.stream().anyMatch((key) -> key.isPrivate() && key instanceof AsymmetricJWK)) {
			throw privateKey();
		}
		try {
			return VerificationKeys.of(keys);
		}
		catch (IllegalArgumentException ex) {
			throw new IllegalArgumentException("the file has a key that cannot verify tokens: " + ex.getMessage(), ex);
		}
	}

	private static IllegalArgumentException privateKey() {
		return new IllegalArgumentException("the file has a private key: a server that verifies tokens must not have"
				+ " it; give the file with the public key only");
	}

	private static List<JWK> jwkSet(String json) {
		List<JWK> keys = new ArrayList<>();
		try {
			for (Map<String, Object> candidate : VerificationKeys.candidates(json)) {
				keys.add(JWK.parse(candidate));
			}
		}
		catch (ParseException ex) {
			// No cause: its message may quote the file
			throw new IllegalArgumentException("the file is no JWK set: write {\"keys\": [...]} with public keys");
		}
		if (keys.isEmpty()) {
			throw new IllegalArgumentException("the JWK set in the file is empty: add the public key of the issuer");
		}
		return keys;
	}

	private static List<JWK> pem(String text) {
		List<JWK> keys = new ArrayList<>();
		int certificates = 0;
		Matcher blocks = PEM_BLOCK.matcher(text);
		while (blocks.find()) {
			String label = String.valueOf(blocks.group(1));
			byte[] content = decode(String.valueOf(blocks.group(2)));
			if (label.equals("PUBLIC KEY")) {
				keys.add(jwk(publicKey(content)));
			}
			else if (label.equals("CERTIFICATE")) {
				certificates++;
				keys.add(jwk(certificateKey(content)));
			}
			else if (label.endsWith("PRIVATE KEY")) {
				throw privateKey();
			}
			else {
				throw new IllegalArgumentException("the file has a PEM block '" + label
						+ "': give a 'PUBLIC KEY' (openssl pkey -pubout) or a 'CERTIFICATE'");
			}
		}
		if (keys.isEmpty()) {
			throw new IllegalArgumentException(
					"the file has no key: give a PEM 'PUBLIC KEY', a PEM 'CERTIFICATE' or a JWK set");
		}
		if (certificates > 1) {
			throw new IllegalArgumentException("the file has " + certificates + " certificates: give only the one whose"
					+ " key signs the tokens, or whoever owns another of them could sign tokens, too");
		}
		return keys;
	}

	private static byte[] decode(String base64) {
		try {
			return Base64.getMimeDecoder().decode(base64);
		}
		catch (IllegalArgumentException ex) {
			throw new IllegalArgumentException("the file has a PEM block that is damaged", ex);
		}
	}

	private static PublicKey certificateKey(byte[] content) {
		try {
			return CertificateFactory.getInstance("X.509")
				.generateCertificate(new ByteArrayInputStream(content))
				.getPublicKey();
		}
		catch (CertificateException ex) {
			throw new IllegalArgumentException("the file has a certificate that is damaged", ex);
		}
	}

	private static PublicKey publicKey(byte[] content) {
		return Stream.of("RSA", "EC", "Ed25519")
			.map((algorithm) -> publicKey(algorithm, content))
			.flatMap(Optional::stream)
			.findFirst()
			.orElseThrow(() -> new IllegalArgumentException(
					"the file has a public key that is neither RSA, EC nor Ed25519"));
	}

	private static Optional<PublicKey> publicKey(String algorithm, byte[] content) {
		try {
			return Optional.of(KeyFactory.getInstance(algorithm).generatePublic(new X509EncodedKeySpec(content)));
		}
		catch (InvalidKeySpecException ex) {
			return Optional.empty();
		}
		catch (NoSuchAlgorithmException ex) {
			throw new IllegalStateException(ex);
		}
	}

	private static JWK jwk(PublicKey key) {
		if (key instanceof RSAPublicKey rsa) {
			return new RSAKey.Builder(rsa).build();
		}
		if (key instanceof ECPublicKey ec) {
			Curve curve = Curve.forECParameterSpec(ec.getParams());
			if (curve == null) {
				throw new IllegalArgumentException("the file has an EC key on a curve that tokens cannot use");
			}
			return new ECKey.Builder(curve, ec).build();
		}
		if (key.getAlgorithm().equals("EdDSA") && key.getEncoded().length == 44) {
			return VerificationKeys.ed25519(key);
		}
		throw new IllegalArgumentException("the file has a key that is neither RSA, EC nor Ed25519");
	}

}
