package io.github.grpcsecurity.authentication.certificate;

import java.util.HexFormat;
import java.util.List;
import java.util.Locale;

import io.github.grpcsecurity.server.PeerIdentity;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatIllegalArgumentException;

class CertificateMappingTests {

	@ParameterizedTest
	@CsvSource(delimiter = '|',
			value = { "spiffe://bank/teller | spiffe://bank/teller | true",
					"spiffe://bank/teller | spiffe://bank/teller/2 | false",
					"spiffe://bank/teller | spiffe://BANK/teller | false",
					"spiffe://bank/teller | spiffe://bank/teller? | false",
					"spiffe://bank/tellers/* | spiffe://bank/tellers/a/b | true",
					"spiffe://bank/tellers/* | spiffe://bank/tellers/ | false",
					"spiffe://bank/tellers/* | spiffe://bank/tellers | false",
					"spiffe://bank/* | spiffe://bank.evil/x | false" })
	void matchesWhenUri(String mapping, String uri, boolean matches) {
		assertThat(matches(mapping, PeerIdentity.of(List.of("urn:other", uri), List.of(), null, null)))
			.isEqualTo(matches);
	}

	@ParameterizedTest
	@CsvSource({ "Teller.bank.example, teller.BANK.example, true", "teller.bank.example, xteller.bank.example, false",
			"*.bank.example, teller.bank.example, true", "*.bank.example, a.teller.bank.example, false",
			"*.bank.example, bank.example, false", "*.bank.example, .bank.example, false",
			"*.bank.example, evilbank.example, false" })
	void matchesWhenDnsName(String mapping, String name, boolean matches) {
		assertThat(matches(mapping, PeerIdentity.of(List.of(), List.of("other.example", name), null, null)))
			.isEqualTo(matches);
	}

	@ParameterizedTest
	@CsvSource(delimiter = '|',
			value = { "CN=teller,O=Bank | CN=teller,O=Bank | true", "cn=Teller, o=bank | CN=teller,O=Bank | true",
					"CN=teller | CN=teller,O=Bank | false", "O=Bank,CN=teller | CN=teller,O=Bank | false",
					"CN=teller | no subject at all | false", "CN=teller | CN=\uff54eller | false",
					"CN=teller | CN=\u24e3eller | false", "CN=m\u00fcller | CN=M\u00dcLLER | true" })
	void matchesWhenSubject(String mapping, String subject, boolean matches) {
		assertThat(matches(mapping, PeerIdentity.of(List.of(), List.of(), subject, null))).isEqualTo(matches);
	}

	@Test
	void matchesWhenFingerprintThenNoDnsNamePassesForOne() {
		byte[] sha256 = new byte[32];
		sha256[0] = (byte) 0xab;
		String fingerprint = HexFormat.of().formatHex(sha256);
		for (String mapping : List.of(fingerprint, fingerprint.toUpperCase(Locale.ROOT))) {
			assertThat(matches(mapping, PeerIdentity.of(List.of(), List.of(), null, sha256))).isTrue();
			assertThat(matches(mapping, PeerIdentity.of(List.of(), List.of(), null, new byte[32]))).isFalse();
			assertThat(matches(mapping, PeerIdentity.of(List.of(), List.of(fingerprint), null, null))).isFalse();
		}
	}

	@ParameterizedTest
	@CsvSource(delimiter = '|', value = { "spiffe://bank/teller | DNS", "spiffe://bank/teller | SUBJECT",
			"teller.example | URI", "CN=teller | URI", "CN=teller | DNS" })
	void matchesWhenNameIsOfAnotherKindThenNever(String name, PeerIdentity.Kind kind) {
		PeerIdentity identity = switch (kind) {
			case URI -> PeerIdentity.of(List.of(name), List.of(), null, null);
			case DNS -> PeerIdentity.of(List.of(), List.of(name), null, null);
			default -> PeerIdentity.of(List.of(), List.of(), name, null);
		};

		assertThat(matches(name, identity)).isFalse();
	}

	@ParameterizedTest
	@CsvSource(delimiter = '|',
			value = { "'' | it is empty", "spiffe://*/teller | only as the last segment",
					"spiffe://* | it stands for every URI", "spiffe://bank/tell* | only as the last segment",
					"spiffe://*/* | only as the last segment", "te*ller.example | only as the first label",
					"* | only as the first label", "CN=teller,,= | written like a subject" })
	void createWhenMalformedThenSaysWhy(String mapping, String message) {
		assertThatIllegalArgumentException().isThrownBy(() -> new CertificateMapping(mapping, List.of()))
			.withMessageContaining(message);
	}

	private static boolean matches(String mapping, PeerIdentity identity) {
		return new CertificateMapping(mapping, List.of("A")).matches(identity);
	}

}
