package io.github.grpcsecurity.authentication.jwt;

import java.security.interfaces.RSAPrivateKey;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.stream.Stream;

import com.nimbusds.jose.JWSAlgorithm;
import com.nimbusds.jose.JWSHeader;
import com.nimbusds.jose.jwk.JWKSet;
import com.nimbusds.jose.jwk.KeyOperation;
import com.nimbusds.jose.jwk.RSAKey;
import io.netty.pkitesting.CertificateBuilder;
import io.netty.pkitesting.X509Bundle;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestFactory;

import org.springframework.core.io.FileSystemResource;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatIllegalArgumentException;

class KeyFileTests {

	private static VerificationKeys read(String content) {
		return KeyFile.read(TestTokens.file(content));
	}

	private static X509Bundle certificate(String name) throws Exception {
		return new CertificateBuilder().algorithm(CertificateBuilder.Algorithm.ecp256)
			.subject("CN=" + name)
			.setIsCertificateAuthority(true)
			.buildSelfSigned();
	}

	@Test
	void readWhenFileHasPublicKeysThenEachVerifiesItsAlgorithm() throws Exception {
		String pem = TestTokens.pem("PUBLIC KEY", TestTokens.RSA.getPublic().getEncoded())
				+ TestTokens.pem("PUBLIC KEY", TestTokens.EC.getPublic().getEncoded())
				+ TestTokens.pem("PUBLIC KEY", TestTokens.ED25519.getPublic().getEncoded());
		for (String content : new String[] { pem, TestTokens.jwkSet() }) {
			VerificationKeys keys = read(content);

			assertThat(keys.size()).isEqualTo(3);
			for (JWSAlgorithm algorithm : new JWSAlgorithm[] { JWSAlgorithm.RS256, JWSAlgorithm.PS256,
					JWSAlgorithm.ES256, JWSAlgorithm.EdDSA }) {
				assertThat(keys.select(new JWSHeader(algorithm))).as("%s", algorithm).hasSize(1);
			}
			assertThat(keys.has(new JWSHeader(JWSAlgorithm.ES384))).isFalse();
		}
	}

	@Test
	void readWhenFileHasACertificateThenItsKeyVerifies() throws Exception {
		VerificationKeys keys = read(certificate("idp").getCertificatePathPEM());

		assertThat(keys.has(new JWSHeader.Builder(JWSAlgorithm.ES256).keyID("any").build())).isTrue();
	}

	@TestFactory
	Stream<DynamicTest> badFiles() throws Exception {
		Map<String, String> bad = new LinkedHashMap<>();
		bad.put(TestTokens.pem("PRIVATE KEY", TestTokens.RSA.getPrivate().getEncoded()), "has a private key");
		bad.put(TestTokens.pem("RSA PRIVATE KEY", new byte[32]), "has a private key");
		RSAKey privateKey = new RSAKey.Builder(TestTokens.rsa(TestTokens.RSA, "rsa"))
			.privateKey((RSAPrivateKey) TestTokens.RSA.getPrivate())
			.build();
		bad.put(new JWKSet(privateKey).toString(false), "has a private key");
		bad.put(TestTokens.pem("PUBLIC KEY", TestTokens.pair("RSA", 1024).getPublic().getEncoded()),
				"an RSA key of 1024 bits; at least 2048 are needed");
		bad.put(TestTokens.publishedWithEncryptionKey(), "its 'use' is not 'sig'");
		bad.put(TestTokens.jwkSet(new RSAKey.Builder(TestTokens.rsa(TestTokens.RSA, "rsa"))
			.keyOperations(java.util.Set.of(KeyOperation.ENCRYPT))
			.build()), "its 'key_ops' do not contain 'verify'");
		bad.put("{\"keys\":[{\"kty\":\"oct\",\"k\":\"c2VjcmV0\"}]}", "it is a symmetric key");
		bad.put("{\"keys\":[]}", "is empty");
		bad.put("{\"keys\":7}", "is no JWK set");
		bad.put("{", "is no JWK set");
		bad.put("", "has no key");
		bad.put("hello", "has no key");
		bad.put(TestTokens.pem("RSA PUBLIC KEY", new byte[32]),
				"has a PEM block 'RSA PUBLIC KEY': give a 'PUBLIC KEY'");
		bad.put(TestTokens.pem("PUBLIC KEY", new byte[32]), "neither RSA, EC nor Ed25519");
		bad.put(TestTokens.pem("CERTIFICATE", new byte[32]), "a certificate that is damaged");
		bad.put(TestTokens.pem("PUBLIC KEY", TestTokens.pair("X25519", 255).getPublic().getEncoded()),
				"neither RSA, EC nor Ed25519");
		bad.put(certificate("a").getCertificatePathPEM() + certificate("b").getCertificatePathPEM(),
				"has 2 certificates");
		return bad.entrySet()
			.stream()
			.map((entry) -> DynamicTest.dynamicTest(entry.getValue(),
					() -> assertThatIllegalArgumentException().isThrownBy(() -> read(entry.getKey()))
						.withMessageContaining(entry.getValue())));
	}

	@Test
	void readWhenFileIsMissingThenItFails() {
		assertThatIllegalArgumentException().isThrownBy(() -> KeyFile.read(new FileSystemResource("/nowhere/key.pem")))
			.withMessageContaining("cannot be read");
	}

}
