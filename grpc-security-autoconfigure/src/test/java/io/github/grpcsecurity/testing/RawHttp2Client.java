package io.github.grpcsecurity.testing;

import java.io.ByteArrayOutputStream;
import java.io.DataInputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.HashMap;
import java.util.Map;

/** Speaks HTTP/2 frame by frame over plaintext, as no decent client would. */
public final class RawHttp2Client implements AutoCloseable {

	public static final int DATA = 0;

	public static final int HEADERS = 1;

	public static final int RST_STREAM = 3;

	public static final int SETTINGS = 4;

	public static final int PING = 6;

	public static final int GOAWAY = 7;

	private static final int CANCEL = 8;

	private static final int END_STREAM = 1;

	private static final int END_HEADERS = 4;

	/** The least that a system grants. */
	private static final int TINY = 1024;

	private final Socket socket;

	private final DataInputStream in;

	private final OutputStream out;

	public RawHttp2Client(int port) throws IOException {
		this(port, new Socket());
	}

	private RawHttp2Client(int port, Socket socket) throws IOException {
		this.socket = socket;
		this.socket.connect(new InetSocketAddress("127.0.0.1", port));
		this.socket.setSoTimeout(10_000);
		this.in = new DataInputStream(this.socket.getInputStream());
		this.out = this.socket.getOutputStream();
		this.out.write("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".getBytes(StandardCharsets.US_ASCII));
		this.out.write(frame(SETTINGS, 0, 0, new byte[0]));
		this.out.flush();
	}

	/** A client with hardly any room for what it does not read. */
	public static RawHttp2Client thatReadsNothing(int port) throws IOException {
		Socket socket = new Socket();
		socket.setReceiveBufferSize(TINY);
		return new RawHttp2Client(port, socket);
	}

	public void send(byte[] frames) throws IOException {
		this.out.write(frames);
		this.out.flush();
	}

	/** The start of a call on a stream, and its cancellation right after. */
	public static byte[] callAndReset(int stream, String path) throws IOException {
		ByteArrayOutputStream frames = new ByteArrayOutputStream();
		frames.write(call(stream, path));
		frames.write(frame(RST_STREAM, 0, stream, ByteBuffer.allocate(4).putInt(CANCEL).array()));
		return frames.toByteArray();
	}

	/** The headers of a call on a stream. */
	public static byte[] call(int stream, String path) throws IOException {
		return call(stream, path, Map.of());
	}

	/** The headers of a call on a stream, with more of them than there have to be. */
	public static byte[] call(int stream, String path, Map<String, String> headers) throws IOException {
		ByteArrayOutputStream block = new ByteArrayOutputStream();
		// RFC 7541: indexed POST and http, then literals that are not indexed
		block.write(0x83);
		block.write(0x86);
		literal(block, new byte[] { 0x04 }, path);
		literal(block, new byte[] { 0x01 }, "localhost");
		literal(block, new byte[] { 0x0f, 0x10 }, "application/grpc");
		block.write(0);
		literal(block, new byte[] { 2, 't', 'e' }, "trailers");
		for (Map.Entry<String, String> header : headers.entrySet()) {
			block.write(0);
			block.write(header.getKey().length());
			literal(block, header.getKey().getBytes(StandardCharsets.US_ASCII), header.getValue());
		}
		return frame(HEADERS, END_HEADERS, stream, block.toByteArray());
	}

	/** The only message of a call on a stream, and the end of what the client sends. */
	public static byte[] message(int stream, byte[] message) {
		return frame(DATA, END_STREAM, stream, framed(message));
	}

	/** A message of a call on a stream that goes on. */
	public static byte[] openMessage(int stream, byte[] message) {
		return frame(DATA, 0, stream, framed(message));
	}

	/** The first half of a message. */
	public static byte[] halfMessage(int stream, byte[] message) {
		byte[] framed = framed(message);
		return frame(DATA, 0, stream, Arrays.copyOf(framed, framed.length / 2));
	}

	private static byte[] framed(byte[] message) {
		return ByteBuffer.allocate(5 + message.length).put((byte) 0).putInt(message.length).put(message).array();
	}

	public static byte[] ping() {
		return frame(PING, 0, 0, new byte[8]);
	}

	private static void literal(ByteArrayOutputStream block, byte[] name, String value) throws IOException {
		block.write(name);
		block.write(value.length());
		block.write(value.getBytes(StandardCharsets.US_ASCII));
	}

	private static byte[] frame(int type, int flags, int stream, byte[] payload) {
		return ByteBuffer.allocate(9 + payload.length)
			.putInt((payload.length << 8) | type)
			.put((byte) flags)
			.putInt(stream)
			.put(payload)
			.array();
	}

	/** Reads frames up to one of this type; fails if there is none. */
	public byte[] await(int type) throws IOException {
		while (true) {
			int lengthAndType = this.in.readInt();
			this.in.readByte();
			this.in.readInt();
			byte[] payload = this.in.readNBytes(lengthAndType >>> 8);
			if ((lengthAndType & 0xff) == type) {
				return payload;
			}
		}
	}

	/**
	 * Counts the answers to pings until the server says good-bye or has answered this
	 * many.
	 */
	public int awaitPings(int count) throws IOException {
		int answers = 0;
		while (answers < count) {
			int lengthAndType = this.in.readInt();
			this.in.readByte();
			this.in.readInt();
			this.in.readNBytes(lengthAndType >>> 8);
			if ((lengthAndType & 0xff) == GOAWAY) {
				return answers;
			}
			answers += ((lengthAndType & 0xff) == PING) ? 1 : 0;
		}
		return answers;
	}

	/** Reads the settings of the server. */
	public Map<Integer, Long> settings() throws IOException {
		ByteBuffer payload = ByteBuffer.wrap(await(SETTINGS));
		Map<Integer, Long> settings = new HashMap<>();
		while (payload.hasRemaining()) {
			settings.put((int) payload.getShort(), payload.getInt() & 0xffffffffL);
		}
		return settings;
	}

	@Override
	public void close() throws IOException {
		this.socket.close();
	}

}
