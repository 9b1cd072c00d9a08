package io.github.grpcsecurity.tls;

import java.security.cert.CRLException;

/**
 * Walks through DER (ITU-T X.690) without making an object for each element. Every length
 * is checked against what is there.
 */
final class DerReader {

	static final int BOOLEAN = 0x01;

	static final int INTEGER = 0x02;

	static final int OBJECT_IDENTIFIER = 0x06;

	static final int UTC_TIME = 0x17;

	static final int GENERALIZED_TIME = 0x18;

	static final int SEQUENCE = 0x30;

	private static final int LONG_FORM = 0x80;

	private final byte[] bytes;

	private int position;

	DerReader(byte[] bytes) {
		this.bytes = bytes;
	}

	int position() {
		return this.position;
	}

	/** The tag of the next element; -1 if there is none before this end. */
	int tag(int end) {
		return (this.position < end) ? this.bytes[this.position] & 0xff : -1;
	}

	/** Goes to the content of the next element and tells where it ends. */
	int enter(int tag, int end) throws CRLException {
		if (tag(end) != tag) {
			throw new CRLException("unexpected content at byte " + this.position);
		}
		this.position++;
		long length = length(end);
		if (length > end - this.position) {
			throw new CRLException("it ends before byte " + (this.position + length));
		}
		return this.position + (int) length;
	}

	/** Goes past the next element. */
	void skip(int tag, int end) throws CRLException {
		this.position = enter(tag, end);
	}

	void skipTo(int position) {
		this.position = position;
	}

	private long length(int end) throws CRLException {
		int first = next(end);
		if (first < LONG_FORM) {
			return first;
		}
		int count = first - LONG_FORM;
		if (count == 0 || count > 4) {
			throw new CRLException("a length that DER does not allow at byte " + this.position);
		}
		long length = 0;
		for (int i = 0; i < count; i++) {
			length = (length << 8) | next(end);
		}
		return length;
	}

	private int next(int end) throws CRLException {
		if (this.position >= end) {
			throw new CRLException("it ends within a length");
		}
		return this.bytes[this.position++] & 0xff;
	}

}
