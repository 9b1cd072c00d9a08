package io.github.grpcsecurity.tls;

import java.nio.file.Files;
import java.nio.file.Path;
import java.security.cert.CertificateException;
import java.security.cert.X509Certificate;
import java.time.Duration;
import java.time.Instant;
import java.time.InstantSource;
import java.util.List;

import io.github.grpcsecurity.testing.TestCertificates;
import io.github.grpcsecurity.tls.RevocationChecker.Undetermined;
import io.netty.pkitesting.CertificateBuilder;
import io.netty.pkitesting.CertificateBuilder.KeyUsage;
import io.netty.pkitesting.X509Bundle;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;
import static org.assertj.core.api.Assertions.assertThatNoException;

/** The scenarios of gRFC A69, and some that it leaves out. */
class RevocationCheckerTests {

	@TempDir
	Path directory;

	private final TestCertificates certificates = TestCertificates.create();

	private final X509Bundle ca = this.certificates.ca();

	private final X509Bundle client = this.certificates.client();

	@ParameterizedTest
	@EnumSource
	void checkWhenListsNameNoneOfTheChainThenPasses(Undetermined undetermined) throws Exception {
		X509Bundle intermediate = intermediate(KeyUsage.keyCertSign, KeyUsage.cRLSign);
		X509Bundle leaf = issuedBy(intermediate);
		write("ca.crl", TestCrl.of(this.ca).revoke(this.client.getCertificate()).der());
		write("intermediate.crl", TestCrl.of(intermediate).der());

		assertThatNoException().isThrownBy(() -> check(undetermined, leaf));
	}

	@ParameterizedTest
	@EnumSource
	void checkWhenLeafIsRevokedThenSaysWhich(Undetermined undetermined) throws Exception {
		write("ca.crl", TestCrl.of(this.ca).revoke(this.client.getCertificate()).der());

		assertThatExceptionOfType(RevocationException.class).isThrownBy(() -> check(undetermined, this.client))
			.withMessage("revoked (CN=Test client, serial "
					+ this.client.getCertificate().getSerialNumber().toString(16) + ")")
			.satisfies((ex) -> assertThat(ex.status()).isEqualTo(RevocationStatus.REVOKED));
	}

	@ParameterizedTest
	@EnumSource
	void checkWhenIntermediateIsRevokedThenSaysWhich(Undetermined undetermined) throws Exception {
		X509Bundle intermediate = intermediate(KeyUsage.keyCertSign, KeyUsage.cRLSign);
		X509Bundle leaf = issuedBy(intermediate);
		write("ca.crl", TestCrl.of(this.ca).revoke(intermediate.getCertificate()).der());
		write("intermediate.crl", TestCrl.of(intermediate).der());

		assertThatExceptionOfType(RevocationException.class).isThrownBy(() -> check(undetermined, leaf))
			.withMessageStartingWith("revoked (CN=Intermediate, serial ");
	}

	@Test
	void checkWhenThereIsNoListThenUndeterminedDecides() {
		assertUndetermined(this.client);
	}

	@Test
	void checkWhenIntermediateHasNoListThenUndeterminedDecides() throws Exception {
		X509Bundle intermediate = intermediate(KeyUsage.keyCertSign, KeyUsage.cRLSign);
		write("ca.crl", TestCrl.of(this.ca).der());

		assertUndetermined(issuedBy(intermediate));
	}

	@Test
	void checkWhenListIsSignedByAnotherAuthorityOfTheSameNameThenItDoesNotCount() throws Exception {
		TestCertificates malicious = TestCertificates.create();
		assertThat(malicious.ca().getCertificate().getSubjectX500Principal())
			.isEqualTo(this.ca.getCertificate().getSubjectX500Principal());
		write("malicious.crl", TestCrl.of(malicious.ca()).revoke(this.client.getCertificate()).der());
		assertUndetermined(this.client);

		write("ca.crl", TestCrl.of(this.ca).revoke(this.client.getCertificate()).der());
		write("malicious.crl", TestCrl.of(malicious.ca()).thisUpdate(Instant.now()).der());
		assertThatExceptionOfType(RevocationException.class).isThrownBy(() -> check(Undetermined.ALLOW, this.client))
			.withMessageStartingWith("revoked");
	}

	@Test
	void checkWhenIssuerMayNotSignListsThenUndeterminedDecides() throws Exception {
		X509Bundle intermediate = intermediate(KeyUsage.keyCertSign);
		X509Bundle leaf = issuedBy(intermediate);
		write("ca.crl", TestCrl.of(this.ca).der());
		write("intermediate.crl", TestCrl.of(intermediate).revoke(leaf.getCertificate()).der());

		assertUndetermined(leaf);
	}

	@Test
	void checkWhenSignatureIsDamagedThenUndeterminedDecides() throws Exception {
		byte[] der = TestCrl.of(this.ca).revoke(this.client.getCertificate()).der();
		der[der.length - 1] ^= 1;
		write("ca.crl", der);

		assertUndetermined(this.client);
	}

	@Test
	void checkWhenThereAreSeveralListsThenTheNewestDecides() throws Exception {
		Instant now = Instant.now();
		write("a.crl", TestCrl.of(this.ca).thisUpdate(now.minusSeconds(60)).der());
		write("b.crl", TestCrl.of(this.ca).thisUpdate(now).revoke(this.client.getCertificate()).der());
		write("c.crl", TestCrl.of(this.ca).thisUpdate(now.minusSeconds(30)).der());

		assertThatExceptionOfType(RevocationException.class).isThrownBy(() -> check(Undetermined.DENY, this.client));

		write("a.crl", TestCrl.of(this.ca).thisUpdate(now.plusSeconds(5)).der());
		assertThatNoException().isThrownBy(() -> check(Undetermined.DENY, this.client));
	}

	@Test
	void checkWhenListIsOutdatedThenItStaysInForce() throws Exception {
		write("ca.crl",
				TestCrl.of(this.ca)
					.thisUpdate(Instant.now().minus(Duration.ofDays(9)))
					.nextUpdate(Instant.now().minus(Duration.ofDays(2)))
					.revoke(this.client.getCertificate())
					.der());

		assertThatExceptionOfType(RevocationException.class).isThrownBy(() -> check(Undetermined.DENY, this.client))
			.withMessageStartingWith("revoked");
	}

	@Test
	void checkWhenRevokedIntermediateIsHiddenBehindAnotherCertificateOfItThenStillRefuses() throws Exception {
		X509Bundle intermediate = intermediate(KeyUsage.keyCertSign, KeyUsage.cRLSign);
		X509Bundle leaf = issuedBy(intermediate);
		X509Certificate other = template().subject("CN=Intermediate")
			.publicKey(intermediate.getKeyPair().getPublic())
			.setIsCertificateAuthority(true)
			.buildIssuedBy(this.ca)
			.getCertificate();
		write("ca.crl", TestCrl.of(this.ca).revoke(intermediate.getCertificate()).der());
		write("intermediate.crl", TestCrl.of(intermediate).der());
		X509Certificate[] chain = { leaf.getCertificate(), other, intermediate.getCertificate() };

		assertThatExceptionOfType(RevocationException.class)
			.isThrownBy(() -> checker(Undetermined.DENY).check(chain, anchors()));
	}

	@Test
	void checkWhenCertificateIsTrustedItselfThenItsRevocationIsNotAsked() throws Exception {
		X509Certificate[] chain = { this.client.getCertificate() };

		assertThatNoException().isThrownBy(() -> checker(Undetermined.DENY).check(chain, chain));
	}

	@Test
	void trustManagerWhenChainIsUntrustedThenListsAreNotAsked() throws Exception {
		write("ca.crl", TestCrl.of(this.ca).der());
		TlsMaterial material = new TlsMaterial("test", this.certificates.server().getKeyPair().getPrivate(),
				List.of(this.certificates.server().getCertificatePath()), List.of(this.ca.getCertificate()));
		TlsCredentials credentials = new TlsCredentials(() -> material, ClientAuth.REQUIRE, InstantSource.system(),
				checker(Undetermined.DENY), null);
		X509Certificate[] stranger = TestCertificates.create().client().getCertificatePath();

		assertThatNoException()
			.isThrownBy(() -> credentials.trustManager().checkClientTrusted(this.client.getCertificatePath(), "EC"));
		assertThatExceptionOfType(CertificateException.class)
			.isThrownBy(() -> credentials.trustManager().checkClientTrusted(stranger, "EC"))
			.isNotInstanceOf(RevocationException.class);
	}

	private void assertUndetermined(X509Bundle leaf) {
		assertThatNoException().isThrownBy(() -> check(Undetermined.ALLOW, leaf));
		assertThatExceptionOfType(RevocationException.class).isThrownBy(() -> check(Undetermined.DENY, leaf))
			.withMessageStartingWith("revocation undetermined (CN=Test client, serial ")
			.satisfies((ex) -> assertThat(ex.status()).isEqualTo(RevocationStatus.UNDETERMINED));
	}

	private void check(Undetermined undetermined, X509Bundle leaf) throws RevocationException {
		checker(undetermined).check(leaf.getCertificatePath(), anchors());
	}

	private RevocationChecker checker(Undetermined undetermined) {
		return new RevocationChecker(new CertificateRevocationLists(List.of(this.directory), InstantSource.system()),
				undetermined);
	}

	private X509Certificate[] anchors() {
		return new X509Certificate[] { this.ca.getCertificate() };
	}

	private X509Bundle intermediate(KeyUsage... usages) throws Exception {
		return template().subject("CN=Intermediate")
			.setIsCertificateAuthority(true)
			.setKeyUsage(true, usages)
			.buildIssuedBy(this.ca);
	}

	private static X509Bundle issuedBy(X509Bundle issuer) throws Exception {
		return template().subject("CN=Test client").addExtendedKeyUsageClientAuth().buildIssuedBy(issuer);
	}

	private static CertificateBuilder template() {
		Instant now = Instant.now();
		return new CertificateBuilder().ecp256()
			.notBefore(now.minus(Duration.ofHours(1)))
			.notAfter(now.plus(Duration.ofHours(1)));
	}

	private void write(String name, byte[] content) throws Exception {
		Files.write(this.directory.resolve(name), content);
	}

}
