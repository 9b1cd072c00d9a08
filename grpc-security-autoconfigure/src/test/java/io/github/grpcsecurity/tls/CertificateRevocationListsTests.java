package io.github.grpcsecurity.tls;

import java.io.RandomAccessFile;
import java.math.BigInteger;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.attribute.FileTime;
import java.security.cert.CRLException;
import java.security.cert.X509Certificate;
import java.time.Duration;
import java.time.Instant;
import java.time.InstantSource;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicReference;

import io.github.grpcsecurity.server.GrpcSecurityThreads;
import io.github.grpcsecurity.testing.TestCertificates;
import io.netty.pkitesting.X509Bundle;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.EnabledOnOs;
import org.junit.jupiter.api.condition.OS;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.io.TempDir;

import org.springframework.boot.test.system.CapturedOutput;
import org.springframework.boot.test.system.OutputCaptureExtension;
import org.springframework.util.StringUtils;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

@ExtendWith(OutputCaptureExtension.class)
class CertificateRevocationListsTests {

	@TempDir
	Path directory;

	private final TestCertificates certificates = TestCertificates.create();

	private final X509Bundle ca = this.certificates.ca();

	private final X509Certificate client = this.certificates.client().getCertificate();

	private final AtomicInteger changes = new AtomicInteger();

	@Test
	void reloadWhenNothingHasChangedThenNobodyIsTold() throws Exception {
		write("ca.crl", TestCrl.of(this.ca).der());
		CertificateRevocationLists lists = lists();
		Files.setLastModifiedTime(this.directory.resolve("ca.crl"), FileTime.from(Instant.now().minusSeconds(99)));

		lists.reload();

		assertThat(this.changes).hasValue(0);
	}

	@Test
	void reloadWhenContentChangesButTimesDoNotThenItIsSeen() throws Exception {
		Path file = write("ca.crl", TestCrl.of(this.ca).der());
		CertificateRevocationLists lists = lists();
		FileTime modified = Files.getLastModifiedTime(file);

		write("ca.crl", TestCrl.of(this.ca).revoke(this.client).der());
		Files.setLastModifiedTime(file, modified);
		lists.reload();

		assertThat(status(lists)).isEqualTo(RevocationStatus.REVOKED);
		assertThat(this.changes).hasValue(1);
	}

	@Test
	void reloadWhenListIsAddedAndDeletedThenBothApply() throws Exception {
		CertificateRevocationLists lists = lists();
		assertThat(status(lists)).isEqualTo(RevocationStatus.UNDETERMINED);

		write("ca.pem", TestCrl.of(this.ca).revoke(this.client).pem().getBytes());
		lists.reload();
		assertThat(status(lists)).isEqualTo(RevocationStatus.REVOKED);

		Files.delete(this.directory.resolve("ca.pem"));
		lists.reload();
		lists.reload();
		assertThat(status(lists)).isEqualTo(RevocationStatus.UNDETERMINED);
		assertThat(this.changes).hasValue(2);
	}

	@Test
	@EnabledOnOs(OS.LINUX)
	void reloadWhenFileHasNoEndThenItIsNotReadAndOthersAre(CapturedOutput output) throws Exception {
		Path endless = Files.createSymbolicLink(this.directory.resolve("endless.crl"), Path.of("/dev/zero"));
		Path huge = this.directory.resolve("huge.crl");
		try (RandomAccessFile file = new RandomAccessFile(huge.toFile(), "rw")) {
			file.setLength(300L * 1024 * 1024);
		}
		write("ca.crl", TestCrl.of(this.ca).revoke(this.client).der());

		assertThat(status(lists())).isEqualTo(RevocationStatus.REVOKED);
		assertThat(output).contains(endless + ": it is no regular file").contains(huge + ": it is longer than 256 MB");
	}

	@Test
	void reloadWhenOneFileIsBadThenOthersAreUpdatedAndNothingIsDropped(CapturedOutput output) throws Exception {
		X509Bundle other = TestCertificates.create().ca();
		write("ca.crl", TestCrl.of(this.ca).revoke(this.client).der());
		write("other.crl", TestCrl.of(other).der());
		CertificateRevocationLists lists = lists();

		byte[] whole = TestCrl.of(this.ca).der();
		write("half.crl", Arrays.copyOf(whole, whole.length / 2));
		Files.delete(this.directory.resolve("ca.crl"));
		write("other.crl", TestCrl.of(other).revoke(BigInteger.TEN).der());
		lists.reload();
		lists.reload();

		assertThat(status(lists)).isEqualTo(RevocationStatus.REVOKED);
		assertThat(this.changes).hasValue(1);
		assertThat(StringUtils.countOccurrencesOf(output.toString(), "cannot be read; what was read before"))
			.isEqualTo(1);
		assertThat(output).contains(this.directory.resolve("half.crl") + ": it ends before byte " + whole.length);

		Files.delete(this.directory.resolve("half.crl"));
		lists.reload();
		assertThat(status(lists)).isEqualTo(RevocationStatus.UNDETERMINED);
		assertThat(output).contains("can be read again");
	}

	@Test
	void reloadWhenListIsDamagedThenTheLastGoodOneStays(CapturedOutput output) throws Exception {
		write("ca.crl", TestCrl.of(this.ca).revoke(this.client).der());
		CertificateRevocationLists lists = lists();

		write("ca.crl", "no list at all".getBytes());
		lists.reload();
		lists.reload();

		assertThat(status(lists)).isEqualTo(RevocationStatus.REVOKED);
		assertThat(this.changes).hasValue(0);
		assertThat(StringUtils.countOccurrencesOf(output.toString(), "cannot be read; what was read before"))
			.isEqualTo(1);
	}

	@Test
	void reloadWhenLocationIsMissingThenSaysSoAndGoesOn(CapturedOutput output) throws Exception {
		Path file = this.directory.resolve("later.crl");
		CertificateRevocationLists lists = new CertificateRevocationLists(List.of(file), InstantSource.system());
		assertThat(output).contains(file + ": NoSuchFileException");

		write("later.crl", TestCrl.of(this.ca).revoke(this.client).der());
		lists.reload();
		assertThat(status(lists)).isEqualTo(RevocationStatus.REVOKED);

		Files.delete(file);
		lists.reload();
		assertThat(status(lists)).isEqualTo(RevocationStatus.REVOKED);
	}

	@Test
	void reloadWhenDirectoryIsSwappedBehindALinkThenContentIsSeen() throws Exception {
		Path first = Files.createDirectory(this.directory.resolve("..first"));
		Path second = Files.createDirectory(this.directory.resolve("..second"));
		Files.write(first.resolve("ca.crl"), TestCrl.of(this.ca).der());
		Files.write(second.resolve("ca.crl"), TestCrl.of(this.ca).revoke(this.client).der());
		Path data = this.directory.resolve("..data");
		Files.createSymbolicLink(data, first);
		Files.createSymbolicLink(this.directory.resolve("ca.crl"), Path.of("..data", "ca.crl"));
		CertificateRevocationLists lists = lists();
		assertThat(status(lists)).isEqualTo(RevocationStatus.UNREVOKED);

		Files.delete(data);
		Files.createSymbolicLink(data, second);
		lists.reload();

		assertThat(status(lists)).isEqualTo(RevocationStatus.REVOKED);
	}

	@Test
	void reloadWhenPemHoldsSeveralListsThenAllCount() throws Exception {
		X509Bundle other = TestCertificates.create().ca();
		write("all.pem",
				("Two lists\n" + TestCrl.of(other).pem() + TestCrl.of(this.ca).revoke(this.client).pem()).getBytes());

		assertThat(status(lists())).isEqualTo(RevocationStatus.REVOKED);
	}

	@Test
	void reloadWhenListIsOfAnUnsupportedKindThenItIsBad(CapturedOutput output) throws Exception {
		write("delta.crl", TestCrl.of(this.ca).extension(27, true, new byte[] { 2, 1, 1 }).der());
		write("part.crl", TestCrl.of(this.ca).extension(28, true, new byte[] { 0x30, 0 }).der());
		write("indirect.crl", TestCrl.of(this.ca).revokeForAnotherIssuer(BigInteger.ONE).der());
		write("unknown.crl", TestCrl.of(this.ca).extension(99, true, new byte[] { 5, 0 }).der());

		assertThat(status(lists())).isEqualTo(RevocationStatus.UNDETERMINED);
		assertThat(output).contains("delta.crl: it is a delta CRL")
			.contains("part.crl: it covers only a part")
			.contains("indirect.crl: it is an indirect CRL")
			.contains("unknown.crl: it has an unknown critical extension");
	}

	@Test
	void reloadWhenListIsOutdatedThenWarnsOnce(CapturedOutput output) throws Exception {
		write("ca.crl", TestCrl.of(this.ca).nextUpdate(Instant.now().minus(Duration.ofHours(1))).der());
		CertificateRevocationLists lists = lists();
		lists.reload();

		assertThat(status(lists)).isEqualTo(RevocationStatus.UNREVOKED);
		assertThat(StringUtils.countOccurrencesOf(output.toString(), "should have been replaced by")).isEqualTo(1);
	}

	@Test
	void statusWhenGraceOfAnOutdatedListIsOverThenItNamesNobodyAsGoodAnyMore() throws Exception {
		Instant nextUpdate = Instant.parse("2040-01-01T00:00:00Z");
		AtomicReference<Instant> now = new AtomicReference<>(nextUpdate.plus(Duration.ofHours(1)));
		write("ca.crl", TestCrl.of(this.ca).revoke(BigInteger.TEN).nextUpdate(nextUpdate).der());
		CertificateRevocationLists lists = new CertificateRevocationLists(List.of(this.directory), now::get,
				Duration.ofHours(1));
		lists.onChange(this.changes::incrementAndGet);
		assertThat(status(lists)).isEqualTo(RevocationStatus.UNREVOKED);

		now.set(nextUpdate.plus(Duration.ofHours(1)).plusMillis(1));

		assertThat(status(lists)).isEqualTo(RevocationStatus.UNDETERMINED);
		assertThat(lists.reload()).isTrue();
		assertThat(lists.reload()).isTrue();
		// Those who are connected are verified again, once
		assertThat(this.changes).hasValue(1);
		write("ca.crl", TestCrl.of(this.ca).revoke(this.client).nextUpdate(nextUpdate).der());
		lists.reload();
		assertThat(status(lists)).isEqualTo(RevocationStatus.REVOKED);
		write("ca.crl", TestCrl.of(this.ca).nextUpdate(nextUpdate.plus(Duration.ofDays(1))).der());
		lists.reload();
		assertThat(status(lists)).isEqualTo(RevocationStatus.UNREVOKED);
	}

	@Test
	void parseWhenBytesAreCutOrChangedThenNeverFailsOtherwiseThanDamaged() throws Exception {
		byte[] der = TestCrl.of(this.ca).revoke(this.client).revoke(BigInteger.TEN).der();
		Random random = new Random(1);
		int read = 0;
		for (int i = 0; i < 2_000; i++) {
			byte[] damaged = Arrays.copyOf(der, (i % 2 == 0) ? der.length : random.nextInt(der.length));
			if (damaged.length > 0) {
				damaged[random.nextInt(damaged.length)] = (byte) random.nextInt();
			}
			try {
				RevocationList.parse(damaged).signedBy(this.ca.getKeyPair().getPublic());
				read++;
			}
			catch (CRLException ex) {
				assertThat(ex).hasMessageNotContaining("null");
			}
		}
		assertThat(read).isPositive();
	}

	@Test
	void statusWhenListHasAMillionEntriesThenLookupCostsTheSame() throws Exception {
		Random random = new Random(1);
		TestCrl million = TestCrl.of(this.ca);
		for (int i = 0; i < 1_000_000; i++) {
			million.revoke(new BigInteger(127, random));
		}
		million.revoke(this.client);
		byte[] der = million.der();
		long begin = System.nanoTime();
		RevocationList list = RevocationList.parse(der);
		long parsed = System.nanoTime();
		assertThat(list.signedBy(this.ca.getKeyPair().getPublic())).isTrue();

		assertThat(list.size()).isEqualTo(1_000_001);
		assertThat(list.revokes(this.client.getSerialNumber())).isTrue();
		Random again = new Random(1);
		for (int i = 0; i < 1_000_000; i++) {
			assertThat(list.revokes(new BigInteger(127, again))).isTrue();
		}
		lookups(list);
		long largeNanos = lookups(list);
		assertThat(Duration.ofNanos(parsed - begin)).isLessThan(Duration.ofSeconds(20));
		// A cache miss or two more, not a million comparisons
		assertThat(largeNanos).isLessThan(20_000);
	}

	private static long lookups(RevocationList list) {
		Random random = new Random(2);
		BigInteger[] serials = new BigInteger[1000];
		for (int i = 0; i < serials.length; i++) {
			serials[i] = new BigInteger(127, random);
		}
		int found = 0;
		long begin = System.nanoTime();
		for (int i = 0; i < 200_000; i++) {
			found += list.revokes(serials[i % serials.length]) ? 1 : 0;
		}
		long nanos = (System.nanoTime() - begin) / 200_000;
		assertThat(found).isZero();
		return nanos;
	}

	@Test
	void containsWhenNumbersArePaddedOrNegativeThenTheirValueCounts() {
		SerialNumbers.Builder builder = new SerialNumbers.Builder();
		byte[] padded = { 0, 0, 5 };
		builder.add(padded, 0, 3);
		byte[] negative = { -1, -1, -128 };
		builder.add(negative, 0, 3);
		builder.add(padded, 2, 3);
		SerialNumbers numbers = builder.build();

		assertThat(numbers.size()).isEqualTo(2);
		assertThat(numbers.contains(BigInteger.valueOf(5).toByteArray())).isTrue();
		assertThat(numbers.contains(BigInteger.valueOf(-128).toByteArray())).isTrue();
		assertThat(numbers.contains(BigInteger.valueOf(128).toByteArray())).isFalse();
		assertThat(numbers.contains(BigInteger.ZERO.toByteArray())).isFalse();
		assertThat(new SerialNumbers.Builder().build().contains(padded)).isFalse();
	}

	@Test
	void revocationReloadWhenIntervalPassesThenChangeIsSeen() throws Exception {
		write("ca.crl", TestCrl.of(this.ca).der());
		CertificateRevocationLists lists = lists();
		TlsMaterial material = new TlsMaterial("test", this.certificates.server().getKeyPair().getPrivate(),
				List.of(this.certificates.server().getCertificatePath()), List.of(this.ca.getCertificate()));
		TlsCredentials credentials = new TlsCredentials(() -> material, ClientAuth.REQUIRE, InstantSource.system(),
				new RevocationChecker(lists, RevocationChecker.Undetermined.DENY), null);
		List<Boolean> looks = new CopyOnWriteArrayList<>();
		RevocationReloadObserver broken = (complete) -> {
			throw new IllegalStateException("test");
		};
		List<RevocationReloadObserver> observers = List.of(broken, looks::add);
		try (GrpcSecurityThreads threads = new GrpcSecurityThreads();
				RevocationReload reload = new RevocationReload(credentials, threads, Duration.ofMillis(20),
						observers)) {
			assertThat(reload).isNotNull();
			write("ca.crl", TestCrl.of(this.ca).revoke(this.client).der());

			await().until(() -> status(lists) == RevocationStatus.REVOKED);
			await().until(() -> credentials.epoch().current() == 1);
			await().until(() -> looks.contains(true));
			assertThat(looks).doesNotContain(false);
			write("ca.crl", new byte[] { 1 });

			await().until(() -> looks.contains(false));
			assertThat(credentials.epoch().current()).isEqualTo(1);
		}
	}

	private CertificateRevocationLists lists() {
		CertificateRevocationLists lists = new CertificateRevocationLists(List.of(this.directory),
				InstantSource.system());
		lists.onChange(this.changes::incrementAndGet);
		return lists;
	}

	private RevocationStatus status(CertificateRevocationLists lists) {
		return lists.status(this.client, this.ca.getCertificate());
	}

	@Test
	void reloadWhenAListIsMissingForAMomentThenItStaysInForce() throws Exception {
		Path file = write("ca.crl", TestCrl.of(this.ca).revoke(this.client).der());
		CertificateRevocationLists lists = lists();
		byte[] content = Files.readAllBytes(file);
		Files.delete(file);
		lists.reload();
		assertThat(status(lists)).isEqualTo(RevocationStatus.REVOKED);

		write("ca.crl", content);
		lists.reload();
		Files.delete(file);
		lists.reload();

		assertThat(status(lists)).isEqualTo(RevocationStatus.REVOKED);
		assertThat(this.changes).hasValue(0);
		lists.reload();
		assertThat(status(lists)).isEqualTo(RevocationStatus.UNDETERMINED);
	}

	private Path write(String name, byte[] content) throws Exception {
		Path file = Files.createTempFile(this.directory, ".", null);
		Files.write(file, content);
		return Files.move(file, this.directory.resolve(name), StandardCopyOption.ATOMIC_MOVE);
	}

}
