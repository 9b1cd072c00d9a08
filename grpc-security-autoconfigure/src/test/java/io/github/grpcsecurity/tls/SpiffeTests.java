package io.github.grpcsecurity.tls;

import java.math.BigInteger;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.cert.CertificateException;
import java.security.cert.X509Certificate;
import java.security.interfaces.ECPublicKey;
import java.security.interfaces.RSAPublicKey;
import java.util.Base64;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.Consumer;

import io.github.grpcsecurity.testing.TestCertificates;
import io.netty.pkitesting.CertificateBuilder;
import io.netty.pkitesting.CertificateBuilder.KeyUsage;
import io.netty.pkitesting.X509Bundle;
import org.awaitility.Awaitility;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

import org.springframework.boot.test.system.CapturedOutput;
import org.springframework.boot.test.system.OutputCaptureExtension;
import org.springframework.core.io.FileSystemResource;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;
import static org.assertj.core.api.Assertions.assertThatIllegalArgumentException;
import static org.assertj.core.api.Assertions.assertThatNoException;

@ExtendWith(OutputCaptureExtension.class)
class SpiffeTests {

	private static final TestCertificates BANK = TestCertificates.create();

	private static final TestCertificates PARTNER = TestCertificates.create();

	private static final String BANK_KEY = jwk(BANK.ca().getCertificate());

	private static final String PARTNER_KEY = jwk(PARTNER.ca().getCertificate());

	@TempDir
	Path directory;

	@ParameterizedTest
	@ValueSource(
			strings = { "spiffe://bank", "spiffe://bank/teller", "spiffe://b_a-n.k9/A/b.c/_-/...", "spiffe://1/2" })
	void parseWhenIdIsGoodThenItIsKept(String id) {
		assertThat(SpiffeId.parse(id)).hasToString(id);
	}

	@ParameterizedTest
	@ValueSource(strings = { "", "spiffe:", "spiffe://", "spiffe:///x", "SPIFFE://bank/x", "http://bank/x",
			"spiffe://Bank/x", "spiffe://bank:80/x", "spiffe://me@bank/x", "spiffe://bank/", "spiffe://bank/x/",
			"spiffe://bank//x", "spiffe://bank/./x", "spiffe://bank/..", "spiffe://bank/x?y", "spiffe://bank/x#y",
			"spiffe://bank/%41", "spiffe://bank/\u00e9", "spiffe://b\u00e4nk/x", "spiffe://bank/x\u0000",
			"spiffe://bank?x" })
	void parseWhenIdIsBadThenIsRefused(String id) {
		assertThatIllegalArgumentException().isThrownBy(() -> SpiffeId.parse(id));
	}

	@Test
	void parseWhenIdIsTooLongThenIsRefused() {
		String longest = "spiffe://bank/" + "x".repeat(2048 - 14);

		assertThatNoException().isThrownBy(() -> SpiffeId.parse(longest));
		assertThatIllegalArgumentException().isThrownBy(() -> SpiffeId.parse(longest + "x"));
		assertThatIllegalArgumentException().isThrownBy(() -> SpiffeId.parse("spiffe://" + "x".repeat(256)));
	}

	@Test
	void checkWhenDomainVouchesThenIsTrusted() throws Exception {
		SpiffeTrust trust = trust(map("bank", BANK_KEY, "partner", PARTNER_KEY));

		assertThatNoException().isThrownBy(() -> check(trust, svid(BANK, "spiffe://bank/teller")));
		assertThatNoException().isThrownBy(() -> check(trust, svid(PARTNER, "spiffe://partner/clerk")));
		assertThat(trust.trustDomains()).containsExactly("bank", "partner");
	}

	@Test
	void checkWhenAnotherDomainVouchesThenIsRefused() throws Exception {
		SpiffeTrust trust = trust(map("bank", BANK_KEY, "partner", PARTNER_KEY));

		assertRefused(trust, svid(PARTNER, "spiffe://bank/teller"), "");
		assertRefused(trust, svid(BANK, "spiffe://partner/clerk"), "");
	}

	@Test
	void checkWhenDomainIsUnknownOrNotAdmittedThenIsRefused() throws Exception {
		SpiffeTrust trust = trust(map("bank", BANK_KEY, "partner", PARTNER_KEY), "bank");

		assertThatNoException().isThrownBy(() -> check(trust, svid(BANK, "spiffe://bank/teller")));
		assertRefused(trust, svid(PARTNER, "spiffe://partner/clerk"), "unknown, or not admitted");
		assertRefused(trust, svid(BANK, "spiffe://other/clerk"), "unknown, or not admitted");
		assertThat(trust.trustDomains()).containsExactly("bank");
	}

	@Test
	void checkWhenCertificateIsNoSvidThenIsRefused() throws Exception {
		SpiffeTrust trust = trust(map("bank", BANK_KEY));

		assertRefused(trust, svid(BANK, "spiffe://bank/a", "spiffe://bank/b"), "more than one URI");
		assertRefused(trust, svid(BANK, "spiffe://bank/a", "https://bank.example"), "more than one URI");
		assertRefused(trust, svid(BANK), "has no URI");
		assertRefused(trust, svid(BANK, "spiffe://bank"), "names a trust domain, not a peer");
		assertRefused(trust, svid(BANK, "https://bank/teller"), "no SPIFFE ID");
		assertRefused(trust, svid(BANK, "spiffe://bank/teller/"), "no SPIFFE ID");
		assertRefused(trust, svid(BANK, (builder) -> builder.setIsCertificateAuthority(true), "spiffe://bank/teller"),
				"that of an authority");
		for (KeyUsage usage : new KeyUsage[] { KeyUsage.keyCertSign, KeyUsage.cRLSign }) {
			assertRefused(trust, svid(BANK, (builder) -> builder.setKeyUsage(true, KeyUsage.digitalSignature, usage),
					"spiffe://bank/teller"), "may sign others");
		}
		assertThatNoException().isThrownBy(() -> check(trust, svid(BANK,
				(builder) -> builder.setKeyUsage(true, KeyUsage.digitalSignature).addSanDnsName("teller.example"),
				"spiffe://bank/teller")));
		assertThatExceptionOfType(CertificateException.class)
			.isThrownBy(() -> trust.trustManager().checkClientTrusted(new X509Certificate[0], "EC"));
	}

	@Test
	void checkWhenRootIsRsaThenIsTrusted() throws Exception {
		X509Bundle root = new CertificateBuilder().rsa2048()
			.subject("CN=Root")
			.setIsCertificateAuthority(true)
			.buildSelfSigned();
		SpiffeTrust trust = trust(map("bank", jwk(root.getCertificate())));
		X509Certificate leaf = new CertificateBuilder().ecp256()
			.subject("CN=x")
			.addSanUriName("spiffe://bank/x")
			.buildIssuedBy(root)
			.getCertificate();

		assertThatNoException().isThrownBy(() -> check(trust, leaf));
	}

	@Test
	void newWhenOtherKeysAreInBundleThenOnlyX509OnesCount() throws Exception {
		String token = "{\"use\":\"jwt-svid\",\"kid\":\"1\",\"kty\":\"EC\"}";

		assertThat(trust(map("bank", BANK_KEY + "," + token)).trustDomains()).containsExactly("bank");
	}

	@Test
	void newWhenFileIsNotGoodThenSaysWhy() throws Exception {
		String use = "\"use\":\"x509-svid\"";
		assertBad("nothing", "it is no JSON");
		assertBad("{} {}", "it is no JSON");
		assertBad("{}", "it has no object 'trust_domains' with at least one trust domain");
		assertBad("{\"trust_domains\":{}}", "it has no object 'trust_domains' with at least one trust domain");
		assertBad("[]", "it has no object 'trust_domains' with at least one trust domain");
		assertBad(map("spiffe://bank", BANK_KEY), "one of its trust domains has a name that is not allowed");
		assertBad("{\"trust_domains\":{\"bank\":{\"keys\":[" + BANK_KEY + "]},\"bank\":{\"keys\":[" + BANK_KEY + "]}}}",
				"it is no JSON");
		assertBad("{\"trust_domains\":{\"bank\":{}}}", "its trust domain 'bank' has no array 'keys'");
		assertBad("{\"trust_domains\":{\"bank\":null}}", "its trust domain 'bank' has no array 'keys'");
		assertBad(map("bank", ""), "its trust domain 'bank' has no key whose use is 'x509-svid'");
		assertBad(map("bank", BANK_KEY.replace("x509-svid", "tls")),
				"its trust domain 'bank' has a key whose use is not 'x509-svid'");
		assertBad(map("bank", BANK_KEY.replace(use, use + ",\"kid\":\"1\"")),
				"its trust domain 'bank' has an x509-svid key with a 'kid', which SPIFFE forbids");
		assertBad(map("bank", BANK_KEY.replace("\"EC\"", "\"OKP\"")),
				"its trust domain 'bank' has a key that is neither RSA nor EC, or not that of its certificate");
		assertBad(map("bank", BANK_KEY.replaceFirst("\"x5c\":\\[(.*)]", "\"x5c\":[$1,$1]")),
				"its trust domain 'bank' has a key whose 'x5c' is not exactly one certificate");
		assertBad(map("bank", BANK_KEY.replaceFirst("\"x5c\":\\[.*]", "\"x5c\":[]")),
				"its trust domain 'bank' has a key whose 'x5c' is not exactly one certificate");
		assertBad(map("bank", BANK_KEY.replaceFirst("\"x5c\":\\[\"....", "\"x5c\":[\"AAAA")),
				"its trust domain 'bank' has a certificate that cannot be read");
		assertBad(map("bank", jwk(BANK.client().getCertificate())),
				"its trust domain 'bank' has a certificate that is not of an authority");
		assertBad(map("bank", PARTNER_KEY.replaceFirst("\"x5c\":.*", BANK_KEY.substring(BANK_KEY.indexOf("\"x5c\"")))),
				"its trust domain 'bank' has a key that is neither RSA nor EC, or not that of its certificate");
		assertBad(map("bank", BANK_KEY).replace("\"spiffe_sequence\":1", "\"spiffe_sequence\":\"1\""),
				"its trust domain 'bank' has a 'spiffe_sequence' that is no whole number");
		assertBad(map("bank", BANK_KEY + "," + PARTNER_KEY.replace("x509-svid", "")),
				"its trust domain 'bank' has a key whose use is not 'x509-svid'");
	}

	@Test
	void newWhenAdmittedDomainIsNotInFileThenSaysWhichAreThere() throws Exception {
		write(map("bank", BANK_KEY, "partner", PARTNER_KEY));

		assertThatExceptionOfType(TlsConfigurationException.class)
			.isThrownBy(() -> new SpiffeTrust(location(), List.of("spiffe://bank")))
			.withMessage(
					"grpc.security.tls.spiffe.trust-domains has 'spiffe://bank', which is not in a SPIFFE bundle map "
							+ "(grpc.security.tls.spiffe.bundle-map): it has bank, partner.");
	}

	@Test
	void reloadWhenContentIsGoodThenNewRootsAreInForceAndListenersKnow() throws Exception {
		SpiffeTrust trust = trust(map("bank", BANK_KEY));
		AtomicInteger changes = new AtomicInteger();
		trust.onChange(changes::incrementAndGet);

		assertThat(trust.reload()).isFalse();
		write(map("bank", PARTNER_KEY));
		assertThat(trust.reload()).isTrue();
		assertThat(changes).hasValue(1);
		assertRefused(trust, svid(BANK, "spiffe://bank/teller"), "");
		assertThatNoException().isThrownBy(() -> check(trust, svid(PARTNER, "spiffe://bank/teller")));
	}

	@Test
	void reloadWhenOneKeyIsBadThenAllOldRootsStayAndThatIsLoggedOnce(CapturedOutput output) throws Exception {
		SpiffeTrust trust = trust(map("bank", BANK_KEY));
		AtomicInteger changes = new AtomicInteger();
		trust.onChange(changes::incrementAndGet);

		write(map("bank", BANK_KEY, "partner", PARTNER_KEY + "," + BANK_KEY.replace("x509-svid", "tls")));
		assertThat(trust.reload()).isFalse();
		assertThat(trust.reload()).isFalse();
		assertThat(trust.trustDomains()).containsExactly("bank");
		assertThatNoException().isThrownBy(() -> check(trust, svid(BANK, "spiffe://bank/teller")));
		assertThat(output.getOut().split("Reload of ", -1)).hasSize(2);
		assertThat(output)
			.contains("failed; the old roots stay in force: its trust domain 'partner' has a key whose use "
					+ "is not 'x509-svid'");

		Files.delete(file());
		assertThat(trust.reload()).isFalse();
		assertThat(trust.trustDomains()).containsExactly("bank");
		write(map("bank", BANK_KEY, "partner", PARTNER_KEY));
		assertThat(trust.reload()).isTrue();
		assertThat(trust.trustDomains()).containsExactly("bank", "partner");
		assertThat(changes).hasValue(1);
	}

	@Test
	void pollWhenFileChangesThenItIsRead() throws Exception {
		SpiffeTrust trust = trust(map("bank", BANK_KEY));
		ScheduledExecutorService scheduler = Executors.newSingleThreadScheduledExecutor();
		try {
			trust.poll(scheduler, Runnable::run, java.time.Duration.ofMillis(10));
			write(map("partner", PARTNER_KEY));

			Awaitility.await().until(() -> trust.trustDomains().contains("partner"));
			trust.close();
		}
		finally {
			scheduler.shutdownNow();
		}
	}

	@Test
	void pollWhenALookTakesLongThenThereIsNoSecondOne() throws Exception {
		SpiffeTrust trust = trust(map("bank", BANK_KEY));
		List<Runnable> looks = new CopyOnWriteArrayList<>();
		ScheduledExecutorService scheduler = Executors.newSingleThreadScheduledExecutor();
		try {
			trust.poll(scheduler, looks::add, java.time.Duration.ofMillis(1));
			Awaitility.await().until(() -> looks.size() == 1);
			scheduler.schedule(() -> {
			}, 50, TimeUnit.MILLISECONDS).get(10, TimeUnit.SECONDS);

			assertThat(looks).hasSize(1);
			looks.get(0).run();
			Awaitility.await().until(() -> looks.size() == 2);
			trust.close();
		}
		finally {
			scheduler.shutdownNow();
		}
	}

	private void assertBad(String json, String problem) throws Exception {
		write(json);
		assertThatExceptionOfType(TlsConfigurationException.class)
			.isThrownBy(() -> new SpiffeTrust(location(), List.of()))
			.withMessage("grpc.security.tls.spiffe.bundle-map is '" + file() + "', but that is no SPIFFE bundle map: "
					+ problem + ".");
	}

	private static void assertRefused(SpiffeTrust trust, X509Certificate leaf, String problem) {
		assertThatExceptionOfType(CertificateException.class).isThrownBy(() -> check(trust, leaf))
			.withMessageContaining(problem);
	}

	private static void check(SpiffeTrust trust, X509Certificate leaf) throws CertificateException {
		trust.trustManager().checkClientTrusted(new X509Certificate[] { leaf }, "UNKNOWN");
	}

	private SpiffeTrust trust(String json, String... domains) throws Exception {
		write(json);
		return new SpiffeTrust(location(), List.of(domains));
	}

	private Path file() {
		return this.directory.resolve("bundles.json");
	}

	private TlsLocation location() {
		return new TlsLocation("grpc.security.tls.spiffe.bundle-map", file().toString(),
				new FileSystemResource(file()));
	}

	private void write(String json) throws Exception {
		Files.writeString(file(), json);
	}

	private static X509Certificate svid(TestCertificates authority, String... uris) throws Exception {
		return svid(authority, (builder) -> {
		}, uris);
	}

	private static X509Certificate svid(TestCertificates authority, Consumer<CertificateBuilder> customizer,
			String... uris) throws Exception {
		CertificateBuilder builder = new CertificateBuilder().ecp256()
			.subject("CN=workload")
			.addExtendedKeyUsageClientAuth();
		for (String uri : uris) {
			builder.addSanUriName(uri);
		}
		customizer.accept(builder);
		return builder.buildIssuedBy(authority.ca()).getCertificate();
	}

	static String map(String... domainsAndKeys) {
		StringBuilder json = new StringBuilder();
		for (int i = 0; i < domainsAndKeys.length; i += 2) {
			json.append((i > 0) ? "," : "")
				.append("\"" + domainsAndKeys[i] + "\":{\"spiffe_sequence\":1,\"spiffe_refresh_hint\":5,\"keys\":["
						+ domainsAndKeys[i + 1] + "]}");
		}
		return "{\"trust_domains\":{" + json + "}}";
	}

	static String jwk(X509Certificate certificate) {
		try {
			String key = (certificate.getPublicKey() instanceof RSAPublicKey rsa)
					? "\"kty\":\"RSA\",\"n\":\"" + base64(rsa.getModulus()) + "\",\"e\":\""
							+ base64(rsa.getPublicExponent()) + "\""
					: "\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\""
							+ base64(((ECPublicKey) certificate.getPublicKey()).getW().getAffineX()) + "\",\"y\":\""
							+ base64(((ECPublicKey) certificate.getPublicKey()).getW().getAffineY()) + "\"";
			return "{\"use\":\"x509-svid\"," + key + ",\"x5c\":[\""
					+ Base64.getEncoder().encodeToString(certificate.getEncoded()) + "\"]}";
		}
		catch (Exception ex) {
			throw new IllegalStateException(ex);
		}
	}

	private static String base64(BigInteger number) {
		return Base64.getUrlEncoder().withoutPadding().encodeToString(number.toByteArray());
	}

}
