package io.github.grpcsecurity.server;

import java.security.MessageDigest;
import java.util.HexFormat;
import java.util.List;
import java.util.function.Consumer;

import io.github.grpcsecurity.server.PeerIdentity.Kind;
import io.netty.pkitesting.CertificateBuilder;
import org.junit.jupiter.api.Test;

import static org.assertj.core.api.Assertions.assertThat;

class PeerIdentityTests {

	@Test
	void ofWhenThereAreUrisThenTheyComeBeforeDnsNamesAndSubject() throws Exception {
		PeerIdentity identity = identity((builder) -> {
			builder.addSanDnsName("admin.example");
			builder.addSanUriName(java.net.URI.create("spiffe://bank/teller"));
			builder.addSanUriName(java.net.URI.create("urn:second"));
		});

		assertThat(identity.kind()).isEqualTo(Kind.URI);
		assertThat(identity.name()).isEqualTo("spiffe://bank/teller").isEqualTo(identity.toString());
		assertThat(identity.names()).containsExactly("spiffe://bank/teller", "urn:second");
	}

	@Test
	void ofWhenThereIsNoUriThenDnsNamesCount() throws Exception {
		PeerIdentity identity = identity((
				builder) -> builder.addSanIpAddress("192.0.2.1").addSanDnsName("a.example").addSanDnsName("b.example"));

		assertThat(identity.kind()).isEqualTo(Kind.DNS);
		assertThat(identity.names()).containsExactly("a.example", "b.example");
	}

	@Test
	void ofWhenThereAreNoAlternativeNamesThenSubjectCountsAsRfc2253WritesIt() throws Exception {
		PeerIdentity identity = identity((builder) -> {
		});

		assertThat(identity.kind()).isEqualTo(Kind.SUBJECT);
		assertThat(identity.name()).isEqualTo("CN=Alice,O=Bank\\, Inc");
	}

	@Test
	void ofWhenAlternativeNamesCannotBeReadThenSubjectDoesNotCount() throws Exception {
		PeerIdentity identity = identity(
				(builder) -> builder.addExtensionOctetString("2.5.29.17", false, new byte[] { 0x30, 0x03, 0x06 }));

		assertThat(identity.kind()).isEqualTo(Kind.FINGERPRINT);
	}

	@Test
	void certificateSha256WhenChangedByItsReaderThenIdentityStays() throws Exception {
		var bundle = builder((builder) -> {
		}).buildSelfSigned();
		PeerIdentity identity = PeerIdentity.of(bundle.getCertificate());
		byte[] expected = MessageDigest.getInstance("SHA-256").digest(bundle.getCertificate().getEncoded());

		identity.certificateSha256()[0]++;

		assertThat(identity.certificateSha256()).isEqualTo(expected);
	}

	@Test
	void ofWhenOnlyDigestIsKnownThenItIsTheName() {
		byte[] digest = new byte[32];

		PeerIdentity identity = PeerIdentity.of(List.of(), List.of(), "", digest);

		assertThat(identity.kind()).isEqualTo(Kind.FINGERPRINT);
		assertThat(identity.name()).isEqualTo(HexFormat.of().formatHex(digest));
		assertThat(PeerIdentity.of(List.of(), List.of(), null, null)).isNull();
	}

	private static PeerIdentity identity(Consumer<CertificateBuilder> customizer) throws Exception {
		return PeerIdentity.of(builder(customizer).buildSelfSigned().getCertificate());
	}

	private static CertificateBuilder builder(Consumer<CertificateBuilder> customizer) {
		CertificateBuilder builder = new CertificateBuilder().ecp256()
			.setIsCertificateAuthority(true)
			.subject("CN=Alice, O=Bank\\, Inc");
		customizer.accept(builder);
		return builder;
	}

}
