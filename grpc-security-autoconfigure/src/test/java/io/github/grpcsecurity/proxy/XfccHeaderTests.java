package io.github.grpcsecurity.proxy;

import java.net.URLEncoder;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.util.Base64;
import java.util.HexFormat;
import java.util.Random;

import io.github.grpcsecurity.server.PeerIdentity;
import io.github.grpcsecurity.server.PeerIdentity.Kind;
import io.github.grpcsecurity.testing.TestCertificates;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;

class XfccHeaderTests {

	private static final String HASH = "468ed33be74eee6556d90c0149c1309e9ba61d6425303443c0748a02dd8de688";

	private static final TestCertificates CERTIFICATES = TestCertificates.create();

	@ParameterizedTest
	@CsvSource(delimiter = '|', quoteCharacter = '`',
			value = {
					"By=spiffe://a/b;Hash=" + HASH
							+ ";Subject=\"/C=US/CN=x\";URI=spiffe://bank/teller | URI | spiffe://bank/teller",
					"uri=spiffe://bank/teller | URI | spiffe://bank/teller",
					"URI=spiffe://bank/one;URI=urn:two;DNS=x.example | URI | spiffe://bank/one",
					"URI=\"urn:a;b,c=d\" | URI | urn:a;b,c=d", "URI=http://x/?a=b | URI | http://x/?a=b",
					"URI=\"urn:a\\\"b\" | URI | urn:a\"b", "URI=\"urn:a\\\\b\" | URI | urn:a\\\\b",
					"DNS=a.example;DNS=b.example;Subject=\"CN=x\" | DNS | a.example",
					"Subject=\"CN=x,O=y\" | SUBJECT | CN=x,O=y",
					"Subject=\"O=Bank\\, Inc,CN=\\\"q\\\"\" | SUBJECT | O=Bank\\, Inc,CN=\\\"q\\\"",
					"Hash=" + HASH + " | FINGERPRINT | " + HASH, "Hash=" + HASH + ";URI= | FINGERPRINT | " + HASH,
					"Hash=" + HASH + ";Subject=\"\";URI= | FINGERPRINT | " + HASH,
					"URI=spiffe://evil/admin,URI=spiffe://bank/teller | URI | spiffe://bank/teller",
					"URI=\"spiffe://evil/admin\" , By=x;URI=spiffe://bank/teller; | URI | spiffe://bank/teller",
					"URI=urn:a;Later=whatever | URI | urn:a" })
	void readWhenHeaderIsGoodThenLastElementTellsWhoItIs(String header, Kind kind, String name) throws Exception {
		PeerIdentity identity = new XfccHeader().read(header);

		assertThat(identity.kind()).isEqualTo(kind);
		assertThat(identity.name()).isEqualTo(name);
	}

	@ParameterizedTest
	@ValueSource(strings = { "", " ", ",", ";", "=", "URI", "URI=x,", ",URI=x", "URI=x;;DNS=y", "By=spiffe://a/b",
			"URI=", "Subject=\"\"", "URI=\"x", "URI=\"x\\", "URI=\"x\\\"", "URI=\"x\"y", "URI=x\"y\"", "URI=x\u0007",
			"URI=\"x\u0007\"", "URI=x\u00e9", "U RI=x", "=x", "Hash=12", "Hash=zz", "Hash=" + HASH + ";Hash=" + HASH,
			"Subject=\"CN=a\";Subject=\"CN=b\"", "Subject=\"no name\"", "Cert=\"x\"", "Cert=\"%\"", "Cert=\"%zz\"",
			"Chain=\"x\"", "Cert=\"-----BEGIN CERTIFICATE-----%0A-----END CERTIFICATE-----\"",
			"Cert=\"-----BEGIN CERTIFICATE-----%0A!!!%0A-----END CERTIFICATE-----\"",
			"URI=spiffe://evil/admin;Subject=\",Hash=" + HASH + ";Subject=\"CN=real\";URI=spiffe://bank/teller",
			"URI=spiffe://evil/admin;Subject=\",Hash=" + HASH + ";Subject=\"\";URI=spiffe://bank/teller",
			"URI=spiffe://evil/admin;Subject=\",Hash=" + HASH + ";URI=spiffe://bank/teller" })
	void readWhenHeaderIsMalformedThenSaysSoAndQuotesNothing(String header) {
		assertThatExceptionOfType(MalformedHeaderException.class).isThrownBy(() -> new XfccHeader().read(header))
			.withMessageMatching(
					"(x-forwarded-client-cert has|x-forwarded-client-cert tells|the forwarded certificate) [a-zA-Z0-9 ,-]+");
	}

	@Test
	void readWhenCertificateIsThereThenItIsReadAndItsHashCompared() throws Exception {
		byte[] der = CERTIFICATES.client().getCertificate().getEncoded();
		String hash = HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(der));
		String pem = encode(CERTIFICATES.client().getCertificatePEM());
		String chain = encode(CERTIFICATES.client().getCertificatePEM() + CERTIFICATES.ca().getCertificatePEM());

		for (String header : new String[] { "Cert=\"" + pem + "\"", "Hash=" + hash + ";Cert=\"" + pem + "\"",
				"Hash=" + hash + ";Chain=\"" + chain + "\"", "Cert=\"" + pem + "\";Chain=\"" + chain + "\"" }) {
			PeerIdentity identity = new XfccHeader().read(header);
			assertThat(identity.name()).isEqualTo(TestCertificates.CLIENT_URI);
			assertThat(identity.certificateSha256()).isEqualTo(HexFormat.of().parseHex(hash));
		}
		assertThatExceptionOfType(MalformedHeaderException.class)
			.isThrownBy(() -> new XfccHeader().read("Hash=" + HASH + ";Cert=\"" + pem + "\""));
		assertThatExceptionOfType(MalformedHeaderException.class)
			.isThrownBy(() -> new XfccHeader().read("Cert=\"" + chain + "\""));
	}

	/** Whatever a client puts in front, the proxy has the last word or the call fails. */
	@Test
	void readWhenAnythingStandsBeforeTheProxysElementThenNobodyElseIsBelieved() {
		String[] pieces = { "URI=", "spiffe://evil/admin", ",", ";", "\"", "\\", "=", "Subject=", "Hash=", HASH, "By=",
				" ", "Cert=", "x", "%22", "DNS=evil", "\t" };
		String[] appended = { "By=spiffe://p;Hash=" + HASH + ";Subject=\"CN=real\";URI=spiffe://bank/teller",
				"Hash=" + HASH + ";URI=spiffe://bank/teller", "URI=spiffe://bank/teller;Subject=\"\"" };
		Random random = new Random(42);
		int good = 0;
		for (int i = 0; i < 200_000; i++) {
			StringBuilder header = new StringBuilder();
			for (int j = random.nextInt(12); j >= 0; j--) {
				header.append(pieces[random.nextInt(pieces.length)]);
			}
			header.append(',').append(appended[random.nextInt(appended.length)]);
			try {
				assertThat(new XfccHeader().read(header.toString()).names()).containsExactly("spiffe://bank/teller");
				good++;
			}
			catch (MalformedHeaderException ex) {
				// The other way to be safe
			}
		}
		assertThat(good).isPositive();
	}

	@Test
	void readWhenHeaderIsNoiseThenFailsInOneWayOnly() {
		Random random = new Random(7);
		for (int i = 0; i < 100_000; i++) {
			StringBuilder header = new StringBuilder();
			for (int j = random.nextInt(40); j >= 0; j--) {
				header.append((char) random.nextInt(128));
			}
			try {
				new XfccHeader().read(header.toString());
				new ClientCertHeader().read(header.toString());
			}
			catch (MalformedHeaderException ex) {
				// As it should
			}
		}
	}

	@Test
	void readWhenHeaderIsOfRfc9440ThenCertificateTellsWhoItIs() throws Exception {
		byte[] der = CERTIFICATES.client().getCertificate().getEncoded();
		String header = ":" + Base64.getEncoder().encodeToString(der) + ":";

		assertThat(new ClientCertHeader().read(header).name()).isEqualTo(TestCertificates.CLIENT_URI);
		ClientCertHeader.checkChain(header + ", " + header);
	}

	@ParameterizedTest
	@ValueSource(strings = { "", ":", "::", ":AA==:", "AA==", ":!:", "\"x\"", ":MA==:;a=1", ":MA==:,:MA==:" })
	void readWhenHeaderOfRfc9440IsMalformedThenSaysSo(String header) {
		assertThatExceptionOfType(MalformedHeaderException.class).isThrownBy(() -> new ClientCertHeader().read(header));
		assertThatExceptionOfType(MalformedHeaderException.class).isThrownBy(() -> ClientCertHeader.checkChain(header));
	}

	@Test
	void readWhenSomethingFollowsTheCertificateThenIsMalformed() throws Exception {
		byte[] der = CERTIFICATES.client().getCertificate().getEncoded();
		byte[] longer = java.util.Arrays.copyOf(der, der.length + 1);

		assertThatExceptionOfType(MalformedHeaderException.class)
			.isThrownBy(() -> new ClientCertHeader().read(":" + Base64.getEncoder().encodeToString(longer) + ":"));
	}

	private static String encode(String text) {
		return URLEncoder.encode(text, StandardCharsets.US_ASCII).replace("+", "%20");
	}

}
