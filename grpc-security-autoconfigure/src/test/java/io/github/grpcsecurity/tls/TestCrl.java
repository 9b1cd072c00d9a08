package io.github.grpcsecurity.tls;

import java.io.ByteArrayOutputStream;
import java.math.BigInteger;
import java.nio.charset.StandardCharsets;
import java.security.GeneralSecurityException;
import java.security.PrivateKey;
import java.security.Signature;
import java.security.cert.X509Certificate;
import java.time.Duration;
import java.time.Instant;
import java.time.ZoneOffset;
import java.time.format.DateTimeFormatter;
import java.util.Base64;

import io.netty.pkitesting.X509Bundle;

/** Writes certificate revocation lists, good ones and odd ones. */
public final class TestCrl {

	private static final DateTimeFormatter TIME = DateTimeFormatter.ofPattern("yyyyMMddHHmmss'Z'")
		.withZone(ZoneOffset.UTC);

	private static final byte[] ECDSA_WITH_SHA256 = tlv(0x30,
			new byte[] { 6, 8, 0x2a, (byte) 0x86, 0x48, (byte) 0xce, 0x3d, 4, 3, 2 });

	private final byte[] issuer;

	private final PrivateKey key;

	private final ByteArrayOutputStream entries = new ByteArrayOutputStream();

	private final ByteArrayOutputStream extensions = new ByteArrayOutputStream();

	private Instant thisUpdate = Instant.now().minus(Duration.ofMinutes(1));

	private Instant nextUpdate = Instant.now().plus(Duration.ofDays(1));

	private TestCrl(byte[] issuer, PrivateKey key) {
		this.issuer = issuer;
		this.key = key;
	}

	public static TestCrl of(X509Bundle issuer) {
		return new TestCrl(issuer.getCertificate().getSubjectX500Principal().getEncoded(),
				issuer.getKeyPair().getPrivate());
	}

	TestCrl revoke(X509Certificate... certificates) {
		for (X509Certificate certificate : certificates) {
			revoke(certificate.getSerialNumber());
		}
		return this;
	}

	TestCrl revoke(BigInteger serial) {
		this.entries.writeBytes(tlv(0x30, concat(tlv(2, serial.toByteArray()), time(this.thisUpdate))));
		return this;
	}

	TestCrl revokeForAnotherIssuer(BigInteger serial) {
		byte[] extension = tlv(0x30,
				concat(new byte[] { 6, 3, 0x55, 0x1d, 29, 1, 1, -1 }, tlv(4, tlv(0x30, new byte[0]))));
		this.entries
			.writeBytes(tlv(0x30, concat(tlv(2, serial.toByteArray()), time(this.thisUpdate), tlv(0x30, extension))));
		return this;
	}

	TestCrl thisUpdate(Instant time) {
		this.thisUpdate = time;
		return this;
	}

	public TestCrl nextUpdate(Instant time) {
		this.nextUpdate = time;
		return this;
	}

	/** Adds an extension 2.5.29.x. */
	TestCrl extension(int number, boolean critical, byte[] value) {
		byte[] oid = { 6, 3, 0x55, 0x1d, (byte) number };
		byte[] flag = critical ? new byte[] { 1, 1, -1 } : new byte[0];
		this.extensions.writeBytes(tlv(0x30, concat(oid, flag, tlv(4, value))));
		return this;
	}

	public byte[] der() {
		byte[] list = (this.entries.size() > 0) ? tlv(0x30, this.entries.toByteArray()) : new byte[0];
		byte[] more = (this.extensions.size() > 0) ? tlv(0xa0, tlv(0x30, this.extensions.toByteArray())) : new byte[0];
		byte[] signed = tlv(0x30, concat(new byte[] { 2, 1, 1 }, ECDSA_WITH_SHA256, this.issuer, time(this.thisUpdate),
				time(this.nextUpdate), list, more));
		try {
			Signature signature = Signature.getInstance("SHA256withECDSA");
			signature.initSign(this.key);
			signature.update(signed);
			return tlv(0x30, concat(signed, ECDSA_WITH_SHA256, tlv(3, concat(new byte[] { 0 }, signature.sign()))));
		}
		catch (GeneralSecurityException ex) {
			throw new IllegalStateException(ex);
		}
	}

	String pem() {
		return "-----BEGIN X509 CRL-----\n" + Base64.getMimeEncoder(64, new byte[] { '\n' }).encodeToString(der())
				+ "\n-----END X509 CRL-----\n";
	}

	private static byte[] time(Instant time) {
		return tlv(0x18, TIME.format(time).getBytes(StandardCharsets.US_ASCII));
	}

	static byte[] tlv(int tag, byte[] content) {
		ByteArrayOutputStream out = new ByteArrayOutputStream();
		out.write(tag);
		if (content.length < 0x80) {
			out.write(content.length);
		}
		else {
			byte[] length = BigInteger.valueOf(content.length).toByteArray();
			int from = (length[0] == 0) ? 1 : 0;
			out.write(0x80 + length.length - from);
			out.write(length, from, length.length - from);
		}
		out.writeBytes(content);
		return out.toByteArray();
	}

	static byte[] concat(byte[]... parts) {
		ByteArrayOutputStream out = new ByteArrayOutputStream();
		for (byte[] part : parts) {
			out.writeBytes(part);
		}
		return out.toByteArray();
	}

}
