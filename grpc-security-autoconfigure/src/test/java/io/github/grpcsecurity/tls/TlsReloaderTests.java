package io.github.grpcsecurity.tls;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.attribute.FileTime;
import java.time.Duration;
import java.time.Instant;
import java.time.InstantSource;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicReference;

import io.github.grpcsecurity.server.GrpcSecurityThreads;
import io.github.grpcsecurity.testing.TestCertificates;
import io.netty.pkitesting.CertificateBuilder;
import io.netty.pkitesting.X509Bundle;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

import org.springframework.boot.test.system.CapturedOutput;
import org.springframework.boot.test.system.OutputCaptureExtension;
import org.springframework.core.io.ClassPathResource;
import org.springframework.core.io.FileSystemResource;

import static org.assertj.core.api.Assertions.assertThat;

@ExtendWith(OutputCaptureExtension.class)
class TlsReloaderTests {

	private static final String FAILED = "TLS reload failed; serving the old certificate of CN=Test server";

	private static final String RELOADED = "TLS reloaded: new connections get the certificate of CN=Test server";

	@TempDir
	Path directory;

	private final GrpcSecurityThreads threads = new GrpcSecurityThreads();

	private final AtomicReference<Instant> now = new AtomicReference<>(Instant.now());

	private final InstantSource clock = this.now::get;

	private final Recorder recorder = new Recorder();

	private TestCertificates certificates;

	private Path chain;

	private Path key;

	private Path trust;

	@BeforeEach
	void makeCertificates() {
		this.certificates = TestCertificates.in(this.directory);
		this.chain = this.certificates.serverPem();
		this.key = this.certificates.serverKeyPem();
		this.trust = this.certificates.caPem();
	}

	@AfterEach
	void stop() {
		this.threads.close();
	}

	@Test
	void lookWhenNothingChangedThenNothingHappens(CapturedOutput output) {
		TlsCredentials credentials = credentials(ClientAuth.REQUIRE);
		TlsMaterial before = credentials.current();
		TlsReloader reloader = reloader(credentials);

		assertThat(reloader.look()).isEqualTo(Duration.ofSeconds(9));
		assertThat(reloader.look()).isEqualTo(Duration.ofSeconds(9));
		assertThat(credentials.current()).isSameAs(before);
		assertThat(this.recorder.adopted).isEmpty();
		assertThat(output).doesNotContain("TLS reload");
	}

	@Test
	void lookWhenPairChangedThenItIsAdoptedOnceItIsSeenTwice(CapturedOutput output) {
		TlsCredentials credentials = credentials(ClientAuth.REQUIRE);
		TlsReloader reloader = reloader(credentials);
		X509Bundle renewed = renew();

		write(renewed);

		assertThat(reloader.look()).isEqualTo(Duration.ofSeconds(1));
		assertThat(credentials.current().leaf()).isEqualTo(this.certificates.server().getCertificate());
		assertThat(reloader.look()).isEqualTo(Duration.ofSeconds(9));
		assertThat(credentials.current().leaf()).isEqualTo(renewed.getCertificate());
		assertThat(credentials.current().privateKey()).isEqualTo(renewed.getKeyPair().getPrivate());
		assertThat(this.recorder.adopted).containsExactly(credentials.current());
		assertThat(output).containsOnlyOnce(
				RELOADED + " (serial number " + renewed.getCertificate().getSerialNumber().toString(16) + ", expires "
						+ renewed.getCertificate().getNotAfter().toInstant() + ") from chain; trusted authorities: 1.");
	}

	@Test
	void lookWhenFilesAreStillBeingWrittenThenWaitsInSilence(CapturedOutput output) {
		TlsCredentials credentials = credentials(ClientAuth.NONE);
		TlsReloader reloader = reloader(credentials);
		X509Bundle renewed = renew();

		this.certificates.certificatePem("server.pem", renewed);
		assertThat(reloader.look()).isEqualTo(Duration.ofSeconds(1));
		this.certificates.keyPem("server-key.pem", renewed);
		assertThat(reloader.look()).isEqualTo(Duration.ofSeconds(1));
		assertThat(reloader.look()).isEqualTo(Duration.ofSeconds(9));

		assertThat(credentials.current().leaf()).isEqualTo(renewed.getCertificate());
		assertThat(output).doesNotContain(FAILED);
	}

	@Test
	void reloadWhenOnlyCertificateIsRenewedThenItIsAdopted() throws Exception {
		TlsCredentials credentials = credentials(ClientAuth.NONE);
		X509Bundle renewed = sameKey();

		this.certificates.certificatePem("server.pem", renewed);

		assertThat(reloader(credentials).reload()).isTrue();
		assertThat(credentials.current().leaf()).isEqualTo(renewed.getCertificate());
		assertThat(credentials.current().privateKey()).isEqualTo(this.certificates.server().getKeyPair().getPrivate());
	}

	@Test
	void reloadWhenTimesOfFilesStayTheSameThenContentDecides() throws Exception {
		FileTime time = FileTime.from(Instant.parse("2026-01-01T00:00:00Z"));
		Files.setLastModifiedTime(this.chain, time);
		Files.setLastModifiedTime(this.key, time);
		TlsCredentials credentials = credentials(ClientAuth.NONE);
		TlsReloader reloader = reloader(credentials);
		X509Bundle renewed = sameKey();

		this.certificates.certificatePem("server.pem", renewed);
		Files.setLastModifiedTime(this.chain, time);

		assertThat(reloader.reload()).isTrue();
		assertThat(credentials.current().leaf()).isEqualTo(renewed.getCertificate());
	}

	@Test
	void reloadWhenOnlyTimesOfFilesChangeThenNothingHappens() throws Exception {
		TlsCredentials credentials = credentials(ClientAuth.NONE);
		TlsMaterial before = credentials.current();

		Files.setLastModifiedTime(this.chain, FileTime.from(Instant.now().plusSeconds(60)));

		assertThat(reloader(credentials).reload()).isFalse();
		assertThat(credentials.current()).isSameAs(before);
	}

	@Test
	void reloadWhenFilesAreWrittenOtherwiseButSayTheSameThenNothingHappens(CapturedOutput output) throws Exception {
		TlsCredentials credentials = credentials(ClientAuth.NONE);
		TlsMaterial before = credentials.current();

		Files.writeString(this.chain, "# renewed by nobody\n" + Files.readString(this.chain));

		assertThat(reloader(credentials).reload()).isFalse();
		assertThat(credentials.current()).isSameAs(before);
		assertThat(this.recorder.adopted).isEmpty();
		assertThat(output).doesNotContain("TLS reload");
	}

	@Test
	void reloadWhenLinkOfKubernetesIsSwappedThenBothFilesChange() throws Exception {
		Path volume = Files.createDirectory(this.directory.resolve("volume"));
		Path data = Files.createSymbolicLink(volume.resolve("..data"), secret(volume, "..1", this.chain, this.key));
		Path tlsCrt = Files.createSymbolicLink(volume.resolve("tls.crt"), Path.of("..data/tls.crt"));
		Path tlsKey = Files.createSymbolicLink(volume.resolve("tls.key"), Path.of("..data/tls.key"));
		TlsCredentials credentials = new TlsCredentials(
				ConfiguredTlsMaterial.pem(location("chain", tlsCrt), location("key", tlsKey), null), ClientAuth.NONE,
				this.clock);
		TlsReloader reloader = reloader(credentials);
		X509Bundle renewed = renew();
		write(renewed);
		Path next = Files.createSymbolicLink(volume.resolve("..data_tmp"), secret(volume, "..2", this.chain, this.key));
		assertThat(reloader.reload()).isFalse();

		Files.move(next, data, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);

		assertThat(reloader.reload()).isTrue();
		assertThat(credentials.current().leaf()).isEqualTo(renewed.getCertificate());
	}

	private static Path secret(Path volume, String name, Path chain, Path key) throws IOException {
		Path directory = Files.createDirectory(volume.resolve(name));
		Files.copy(chain, directory.resolve("tls.crt"));
		Files.copy(key, directory.resolve("tls.key"));
		return Path.of(name);
	}

	@Test
	void lookWhenPairDoesNotFitThenOldOneServesAndIsReportedOnce(CapturedOutput output) {
		TlsCredentials credentials = credentials(ClientAuth.NONE);
		TlsMaterial before = credentials.current();
		TlsReloader reloader = reloader(credentials);

		this.certificates.certificatePem("server.pem", renew());
		for (int i = 0; i < 5; i++) {
			reloader.look();
		}

		assertThat(credentials.current()).isSameAs(before);
		assertThat(output).containsOnlyOnce(FAILED)
			.contains("The certificate of CN=Test server from chain does not belong to the private key. Take the key "
					+ "for which the certificate was issued.");
		// The first look only notices
		assertThat(this.recorder.failures).hasSize(4);
	}

	@Test
	void reloadWhenContentIsBadInAnotherWayThenThatIsReportedToo(CapturedOutput output) {
		TlsCredentials credentials = credentials(ClientAuth.NONE);
		TlsReloader reloader = reloader(credentials);

		this.certificates.certificatePem("server.pem", renew());
		reloader.reload();
		this.certificates.certificatePem("server.pem", renew());
		reloader.reload();
		reloader.reload();

		assertThat(output.getOut().split(FAILED, -1)).hasSize(3);
	}

	@Test
	void reloadWhenBadContentIsFollowedByGoodThenItIsAdopted(CapturedOutput output) {
		TlsCredentials credentials = credentials(ClientAuth.NONE);
		TlsReloader reloader = reloader(credentials);
		X509Bundle renewed = renew();

		this.certificates.certificatePem("server.pem", renewed);
		assertThat(reloader.reload()).isFalse();
		this.certificates.keyPem("server-key.pem", renewed);
		assertThat(reloader.reload()).isTrue();

		assertThat(credentials.current().leaf()).isEqualTo(renewed.getCertificate());
		assertThat(output).containsOnlyOnce(FAILED).containsOnlyOnce(RELOADED);
	}

	@Test
	void reloadWhenBadContentIsTakenBackThenTheSameMistakeIsReportedAgain(CapturedOutput output) throws Exception {
		TlsReloader reloader = reloader(credentials(ClientAuth.NONE));
		String good = Files.readString(this.chain);

		for (int i = 0; i < 2; i++) {
			Files.writeString(this.chain, "oops");
			reloader.reload();
			Files.writeString(this.chain, good);
			reloader.reload();
		}

		assertThat(output.getOut().split(FAILED, -1)).hasSize(3);
		assertThat(output).doesNotContain(RELOADED);
	}

	@Test
	void reloadWhenFileIsDeletedThenOldOneServes(CapturedOutput output) throws Exception {
		TlsCredentials credentials = credentials(ClientAuth.NONE);
		TlsMaterial before = credentials.current();
		TlsReloader reloader = reloader(credentials);

		Files.delete(this.key);

		assertThat(reloader.reload()).isFalse();
		assertThat(reloader.reload()).isFalse();
		assertThat(credentials.current()).isSameAs(before);
		assertThat(output).containsOnlyOnce("key is '" + this.key + "', but there is no such file.");
	}

	@Test
	void reloadWhenChainIsCutOffThenOldOneServes(CapturedOutput output) throws Exception {
		TlsCredentials credentials = credentials(ClientAuth.NONE);
		TlsMaterial before = credentials.current();
		String whole = sameKey().getCertificatePathPEM() + this.certificates.ca().getCertificatePEM();

		Files.writeString(this.chain, whole.substring(0, whole.length() - 100));

		assertThat(reloader(credentials).reload()).isFalse();
		assertThat(credentials.current()).isSameAs(before);
		assertThat(output).containsOnlyOnce(
				"chain is '" + this.chain + "', but that file is cut off: a BEGIN line lacks its END line.");
	}

	@ParameterizedTest
	@ValueSource(strings = { "", "not a certificate" })
	void reloadWhenTrustGetsLostThenOldOneServes(String content) throws Exception {
		TlsCredentials credentials = credentials(ClientAuth.REQUIRE);
		TlsMaterial before = credentials.current();

		write(renew());
		Files.writeString(this.trust, content);

		assertThat(reloader(credentials).reload()).isFalse();
		assertThat(credentials.current()).isSameAs(before);
	}

	@Test
	void reloadWhenSourceLosesAnchorsThenOldOneServes(CapturedOutput output) {
		List<TlsMaterial> materials = new ArrayList<>(List.of(material(List.of(this.certificates.ca()))));
		TlsCredentials credentials = new TlsCredentials(() -> materials.get(0), ClientAuth.REQUIRE, this.clock);

		materials.set(0, material(List.of()));

		assertThat(reloader(credentials).reload()).isFalse();
		assertThat(credentials.current().trustAnchors()).hasSize(1);
		assertThat(output).contains("grpc.security.tls.client-auth is 'require', but it is not said which client "
				+ "certificates to trust.");
	}

	@Test
	void reloadWhenOnlyTrustChangesThenItIsAdopted() throws Exception {
		TlsCredentials credentials = credentials(ClientAuth.REQUIRE);
		X509Bundle other = TestCertificates.create().ca();

		Files.writeString(this.trust, other.getCertificatePEM());

		assertThat(reloader(credentials).reload()).isTrue();
		assertThat(credentials.current().trustAnchors()).containsExactly(other.getCertificate());
		assertThat(credentials.current().leaf()).isEqualTo(this.certificates.server().getCertificate());
	}

	@Test
	void reloadWhenCertificateIsNotYetValidThenItIsAdoptedOnceItIs(CapturedOutput output) {
		TlsCredentials credentials = credentials(ClientAuth.NONE);
		TlsReloader reloader = reloader(credentials);
		Instant notBefore = this.now.get().plus(Duration.ofHours(2));
		X509Bundle early = this.certificates.issue((builder) -> builder.notBefore(notBefore));

		write(early);
		assertThat(reloader.reload()).isFalse();
		assertThat(reloader.reload()).isFalse();
		this.now.set(notBefore.plusSeconds(1));
		assertThat(reloader.reload()).isTrue();

		assertThat(credentials.current().leaf()).isEqualTo(early.getCertificate());
		assertThat(output).containsOnlyOnce(FAILED);
	}

	@Test
	void reloadWhenCertificateIsExpiredThenOldOneServes(CapturedOutput output) {
		TlsCredentials credentials = credentials(ClientAuth.NONE);

		write(this.certificates.issue((builder) -> builder.notBefore(this.now.get().minus(Duration.ofDays(2)))
			.notAfter(this.now.get().minus(Duration.ofDays(1)))));

		assertThat(reloader(credentials).reload()).isFalse();
		assertThat(output).contains("The certificate of CN=Test server from chain expired at ");
	}

	@ParameterizedTest
	@ValueSource(strings = { "PKCS12", "JKS" })
	void reloadWhenKeystoresChangeThenTheyAreAdopted(String type) throws Exception {
		Path store = this.certificates.serverKeyStore(type, "secret");
		Path trustStore = this.certificates.trustStore(type, "secret");
		TlsCredentials credentials = new TlsCredentials(
				ConfiguredTlsMaterial.keyStore(new TlsStore(location("store", store), type, "secret"), "server", null)
					.trusting(new TlsStore(location("trust", trustStore), type, "secret")),
				ClientAuth.REQUIRE, this.clock);
		TlsReloader reloader = reloader(credentials);
		TestCertificates others = TestCertificates.create();
		Files.copy(others.serverKeyStore(type, "other-secret"), store, StandardCopyOption.REPLACE_EXISTING);
		assertThat(reloader.reload()).isFalse();

		Files.copy(others.serverKeyStore(type, "secret"), store, StandardCopyOption.REPLACE_EXISTING);
		Files.copy(others.trustStore(type, "secret"), trustStore, StandardCopyOption.REPLACE_EXISTING);

		assertThat(reloader.reload()).isTrue();
		assertThat(credentials.current().leaf()).isEqualTo(others.server().getCertificate());
		assertThat(credentials.current().trustAnchors()).containsExactly(others.ca().getCertificate());
	}

	@Test
	void reloadWhenUserSourceFailsThenOldOneServesAndCauseIsLogged(CapturedOutput output) {
		AtomicReference<@Nullable RuntimeException> failure = new AtomicReference<>();
		TlsMaterial good = material(List.of());
		TlsCredentials credentials = new TlsCredentials(() -> {
			RuntimeException ex = failure.get();
			if (ex != null) {
				throw ex;
			}
			return good;
		}, ClientAuth.NONE, this.clock);
		TlsReloader reloader = reloader(credentials);

		failure.set(new IllegalStateException("The vault is sealed"));
		assertThat(reloader.reload()).isFalse();
		assertThat(reloader.reload()).isFalse();

		assertThat(credentials.current()).isSameAs(good);
		assertThat(output).containsOnlyOnce(FAILED).contains("IllegalStateException: The vault is sealed");
	}

	@Test
	void reloadWhenMaterialIsOnClassPathThenItIsNeverReadAgain() {
		AtomicInteger reads = new AtomicInteger();
		ClassPathResource inJar = new ClassPathResource("server.pem") {
			@Override
			public java.io.InputStream getInputStream() throws IOException {
				reads.incrementAndGet();
				return Files.newInputStream(TlsReloaderTests.this.chain);
			}

			@Override
			public boolean exists() {
				return true;
			}
		};
		TlsCredentials credentials = new TlsCredentials(ConfiguredTlsMaterial
			.pem(new TlsLocation("chain", "classpath:server.pem", inJar), location("key", this.key), null),
				ClientAuth.NONE, this.clock);
		this.certificates.certificatePem("server.pem", renew());

		assertThat(reloader(credentials).reload()).isFalse();
		assertThat(reads).hasValue(1);
	}

	@Test
	void reloadWhenServerHasNoMaterialOfOursThenNothingHappens() {
		TlsReloader reloader = new TlsReloader(null, Duration.ofSeconds(10), this.threads, List.of());

		reloader.start();

		assertThat(reloader.reload()).isFalse();
		assertThat(this.threads.scheduler().getQueue()).isEmpty();
		reloader.stop();
	}

	@Test
	void reloadWhenObserverFailsThenOthersAreStillTold() {
		TlsCredentials credentials = credentials(ClientAuth.NONE);
		TlsReloadObserver failing = new TlsReloadObserver() {
			@Override
			public void reloaded(TlsMaterial material) {
				throw new IllegalStateException("observer");
			}
		};
		TlsReloader reloader = new TlsReloader(credentials, Duration.ofSeconds(10), this.threads,
				List.of(failing, this.recorder));

		write(renew());

		assertThat(reloader.reload()).isTrue();
		assertThat(this.recorder.adopted).hasSize(1);
	}

	@Test
	void startWhenIntervalIsZeroThenNobodyLooks() {
		TlsReloader reloader = new TlsReloader(credentials(ClientAuth.NONE), Duration.ZERO, this.threads, List.of());

		reloader.start();

		assertThat(reloader.isRunning()).isTrue();
		assertThat(this.threads.scheduler().getQueue()).isEmpty();
	}

	@Test
	void startWhenFilesChangeThenTheyAreFoundWithoutHelp() throws Exception {
		TlsCredentials credentials = credentials(ClientAuth.NONE);
		CountDownLatch adopted = new CountDownLatch(1);
		TlsReloader reloader = new TlsReloader(credentials, Duration.ofMillis(100), this.threads,
				List.of(new TlsReloadObserver() {
					@Override
					public void reloaded(TlsMaterial material) {
						assertThat(Thread.currentThread().getName()).doesNotContain("timer");
						adopted.countDown();
					}
				}));
		reloader.start();
		X509Bundle renewed = renew();

		write(renewed);

		assertThat(adopted.await(30, TimeUnit.SECONDS)).isTrue();
		assertThat(credentials.current().leaf()).isEqualTo(renewed.getCertificate());
		reloader.stop();
		assertThat(reloader.isRunning()).isFalse();
	}

	@Test
	void stopWhenStartedThenNothingIsPlannedAnyMore() {
		TlsReloader reloader = reloader(credentials(ClientAuth.NONE));

		reloader.start();
		assertThat(this.threads.scheduler().getQueue()).hasSize(1);
		reloader.stop();

		assertThat(this.threads.scheduler().getQueue()).isEmpty();
	}

	private X509Bundle renew() {
		return this.certificates.issue((builder) -> {
		});
	}

	private X509Bundle sameKey() throws Exception {
		return new CertificateBuilder().subject("CN=Test server")
			.publicKey(this.certificates.server().getKeyPair().getPublic())
			.addSanDnsName("localhost")
			.notBefore(this.now.get().minus(Duration.ofHours(1)))
			.notAfter(this.now.get().plus(Duration.ofDays(2)))
			.buildIssuedBy(this.certificates.ca());
	}

	private void write(X509Bundle bundle) {
		this.certificates.certificatePem("server.pem", bundle);
		this.certificates.keyPem("server-key.pem", bundle);
	}

	private TlsMaterial material(List<X509Bundle> anchors) {
		return new TlsMaterial("vault", this.certificates.server().getKeyPair().getPrivate(),
				List.of(this.certificates.server().getCertificatePath()),
				anchors.stream().map(X509Bundle::getCertificate).toList());
	}

	private TlsCredentials credentials(ClientAuth clientAuth) {
		ConfiguredTlsMaterial source = ConfiguredTlsMaterial.pem(location("chain", this.chain),
				location("key", this.key), null);
		return new TlsCredentials(
				(clientAuth != ClientAuth.NONE) ? source.trusting(location("trust", this.trust)) : source, clientAuth,
				this.clock);
	}

	private TlsReloader reloader(TlsCredentials credentials) {
		return new TlsReloader(credentials, Duration.ofSeconds(10), this.threads, List.of(this.recorder));
	}

	private static TlsLocation location(String property, Path file) {
		return new TlsLocation(property, file.toString(), new FileSystemResource(file));
	}

	private static final class Recorder implements TlsReloadObserver {

		private final List<TlsMaterial> adopted = new ArrayList<>();

		private final List<RuntimeException> failures = new ArrayList<>();

		@Override
		public void reloaded(TlsMaterial material) {
			this.adopted.add(material);
		}

		@Override
		public void failed(RuntimeException cause) {
			this.failures.add(cause);
		}

	}

}
