package io.github.grpcsecurity.tls;

import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.math.BigInteger;
import java.security.AlgorithmParameters;
import java.security.GeneralSecurityException;
import java.security.PublicKey;
import java.security.Signature;
import java.security.cert.CRLException;
import java.security.cert.CertificateFactory;
import java.security.cert.X509CRL;
import java.security.spec.PSSParameterSpec;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Date;
import java.util.List;
import java.util.Set;

import javax.security.auth.x500.X500Principal;

import org.jspecify.annotations.Nullable;

/**
 * One certificate revocation list (RFC 5280 section 5), kept small: of its entries only
 * the serial numbers remain, and what was signed only until its signer has been found.
 * <p>
 * Java's own class makes several objects for each entry. It still reads everything but
 * the entries. Thread-safe.
 */
final class RevocationList {

	private static final String DELTA_CRL_INDICATOR = "2.5.29.27";

	private static final String ISSUING_DISTRIBUTION_POINT = "2.5.29.28";

	private static final int MAX_STRANGERS = 32;

	/** The list without its entries. */
	private final X509CRL frame;

	private final SerialNumbers revoked;

	// Guarded by this; null once the signer is known
	private byte @Nullable [] signed;

	// Guarded by this
	private byte @Nullable [] signer;

	/** Keys that have not signed the list. Guarded by this. */
	private final List<byte[]> strangers = new ArrayList<>(0);

	private RevocationList(X509CRL frame, SerialNumbers revoked, byte[] signed) {
		this.frame = frame;
		this.revoked = revoked;
		this.signed = signed;
	}

	/**
	 * Reads a list.
	 * @throws CRLException if it is damaged, or of a kind that cannot be used as the one
	 * list of its issuer
	 */
	static RevocationList parse(byte[] der) throws CRLException {
		DerReader reader = new DerReader(der);
		int end = reader.enter(DerReader.SEQUENCE, der.length);
		if (end != der.length) {
			throw new CRLException("something follows after byte " + end);
		}
		int signedFrom = reader.position();
		int signedEnd = reader.enter(DerReader.SEQUENCE, end);
		int headFrom = reader.position();
		if (reader.tag(signedEnd) == DerReader.INTEGER) {
			reader.skip(DerReader.INTEGER, signedEnd);
		}
		reader.skip(DerReader.SEQUENCE, signedEnd);
		reader.skip(DerReader.SEQUENCE, signedEnd);
		skipTime(reader, signedEnd);
		int tag = reader.tag(signedEnd);
		if (tag == DerReader.UTC_TIME || tag == DerReader.GENERALIZED_TIME) {
			skipTime(reader, signedEnd);
		}
		int headEnd = reader.position();
		SerialNumbers revoked = (reader.tag(signedEnd) == DerReader.SEQUENCE) ? entries(reader, der, signedEnd)
				: new SerialNumbers.Builder().build();
		int tailFrom = reader.position();
		X509CRL frame = frame(der, headFrom, headEnd, tailFrom, signedEnd);
		checkUsable(frame);
		return new RevocationList(frame, revoked, Arrays.copyOfRange(der, signedFrom, signedEnd));
	}

	private static SerialNumbers entries(DerReader reader, byte[] der, int end) throws CRLException {
		SerialNumbers.Builder serials = new SerialNumbers.Builder();
		int entriesEnd = reader.enter(DerReader.SEQUENCE, end);
		while (reader.position() < entriesEnd) {
			int entryEnd = reader.enter(DerReader.SEQUENCE, entriesEnd);
			int serialEnd = reader.enter(DerReader.INTEGER, entryEnd);
			if (!serials.add(der, reader.position(), serialEnd)) {
				throw new CRLException("a serial number of " + (serialEnd - reader.position()) + " bytes");
			}
			reader.skipTo(serialEnd);
			skipTime(reader, entryEnd);
			if (reader.position() < entryEnd) {
				checkEntryExtensions(reader, der, entryEnd);
			}
			if (reader.position() != entryEnd) {
				throw new CRLException("unexpected content at byte " + reader.position());
			}
		}
		return serials.build();
	}

	// RFC 5280 5.3: an entry with an unknown critical extension makes the list unusable;
	// that of indirect lists, the certificate issuer, is always critical
	private static void checkEntryExtensions(DerReader reader, byte[] der, int end) throws CRLException {
		int extensionsEnd = reader.enter(DerReader.SEQUENCE, end);
		while (reader.position() < extensionsEnd) {
			int extensionEnd = reader.enter(DerReader.SEQUENCE, extensionsEnd);
			reader.skip(DerReader.OBJECT_IDENTIFIER, extensionEnd);
			if (reader.tag(extensionEnd) == DerReader.BOOLEAN) {
				int valueEnd = reader.enter(DerReader.BOOLEAN, extensionEnd);
				if (reader.position() == valueEnd || der[reader.position()] != 0) {
					throw new CRLException("it is an indirect CRL, which is not supported");
				}
			}
			reader.skipTo(extensionEnd);
		}
	}

	private static void skipTime(DerReader reader, int end) throws CRLException {
		boolean utc = reader.tag(end) == DerReader.UTC_TIME;
		reader.skip(utc ? DerReader.UTC_TIME : DerReader.GENERALIZED_TIME, end);
	}

	private static X509CRL frame(byte[] der, int headFrom, int headEnd, int tailFrom, int tailEnd) throws CRLException {
		ByteArrayOutputStream content = new ByteArrayOutputStream();
		content.write(der, headFrom, headEnd - headFrom);
		content.write(der, tailFrom, tailEnd - tailFrom);
		byte[] list = sequence(content.toByteArray());
		content.reset();
		content.writeBytes(list);
		content.write(der, tailEnd, der.length - tailEnd);
		try {
			return (X509CRL) CertificateFactory.getInstance("X.509")
				.generateCRL(new ByteArrayInputStream(sequence(content.toByteArray())));
		}
		catch (CRLException ex) {
			throw ex;
		}
		catch (GeneralSecurityException ex) {
			throw new CRLException("Java cannot read it", ex);
		}
	}

	private static byte[] sequence(byte[] content) {
		byte[] length = BigInteger.valueOf(content.length).toByteArray();
		ByteArrayOutputStream out = new ByteArrayOutputStream(content.length + 8);
		out.write(DerReader.SEQUENCE);
		if (content.length < 0x80) {
			out.write(content.length);
		}
		else {
			int from = (length[0] == 0) ? 1 : 0;
			out.write(0x80 + length.length - from);
			out.write(length, from, length.length - from);
		}
		out.writeBytes(content);
		return out.toByteArray();
	}

	private static void checkUsable(X509CRL frame) throws CRLException {
		if (frame.getExtensionValue(DELTA_CRL_INDICATOR) != null) {
			throw new CRLException("it is a delta CRL, which is not supported");
		}
		if (frame.getExtensionValue(ISSUING_DISTRIBUTION_POINT) != null) {
			throw new CRLException("it covers only a part of what its issuer signed (issuing distribution point), "
					+ "which is not supported");
		}
		Set<String> critical = frame.getCriticalExtensionOIDs();
		if (critical != null && !critical.isEmpty()) {
			throw new CRLException("it has an unknown critical extension " + critical);
		}
		if (frame.getSigAlgName().startsWith("MD")) {
			throw new CRLException("it is signed with " + frame.getSigAlgName() + ", which is broken");
		}
	}

	X500Principal issuer() {
		return this.frame.getIssuerX500Principal();
	}

	Instant thisUpdate() {
		return this.frame.getThisUpdate().toInstant();
	}

	@Nullable Instant nextUpdate() {
		Date next = this.frame.getNextUpdate();
		return (next != null) ? next.toInstant() : null;
	}

	int size() {
		return this.revoked.size();
	}

	boolean revokes(BigInteger serial) {
		return this.revoked.contains(serial.toByteArray());
	}

	/** Whether a key signed the list. Found out once for each key. */
	synchronized boolean signedBy(PublicKey key) {
		byte[] encoded = key.getEncoded();
		byte[] content = this.signed;
		if (content == null) {
			return Arrays.equals(this.signer, encoded);
		}
		if (this.strangers.stream().anyMatch((stranger) -> Arrays.equals(stranger, encoded))) {
			return false;
		}
		if (verify(key, content)) {
			this.signer = encoded;
			this.signed = null;
			this.strangers.clear();
			return true;
		}
		if (this.strangers.size() < MAX_STRANGERS) {
			this.strangers.add(encoded);
		}
		return false;
	}

	private boolean verify(PublicKey key, byte[] content) {
		try {
			Signature signature = Signature.getInstance(this.frame.getSigAlgName());
			byte[] parameters = this.frame.getSigAlgParams();
			signature.initVerify(key);
			if (parameters != null && this.frame.getSigAlgName().contains("PSS")) {
				AlgorithmParameters pss = AlgorithmParameters.getInstance("RSASSA-PSS");
				pss.init(parameters);
				signature.setParameter(pss.getParameterSpec(PSSParameterSpec.class));
			}
			signature.update(content);
			return signature.verify(this.frame.getSignature());
		}
		catch (GeneralSecurityException | IOException ex) {
			// A key of another kind, or a signature that makes no sense: not this signer
			return false;
		}
	}

}
