package io.github.grpcsecurity.server;

import java.net.InetAddress;
import java.net.UnknownHostException;
import java.util.Arrays;

import org.jspecify.annotations.Nullable;

/**
 * A block of IPv4 or IPv6 addresses, such as {@code 10.0.0.0/8} (RFC 4632, RFC 4291).
 * IPv4 addresses written as IPv6 ones count as IPv4. Immutable.
 *
 * @param network the first address of the block
 * @param prefixLength how many leading bits all addresses of the block have in common
 * @since 0.1.0
 */
public record AddressRange(InetAddress network, int prefixLength) {

	/**
	 * Reads a block, or a single address.
	 * @param text the block as users write it; names are never looked up
	 * @return the block
	 * @throws IllegalArgumentException if it is none, or covers all addresses; the
	 * message is the end of a sentence that says why
	 */
	public static AddressRange parse(String text) {
		int slash = text.indexOf('/');
		InetAddress network = address((slash < 0) ? text : text.substring(0, slash));
		if (network == null) {
			throw new IllegalArgumentException(
					"it is neither an IP address nor a block of them such as 10.0.0.0/8 or fd00::/8");
		}
		int bits = network.getAddress().length * Byte.SIZE;
		int length = (slash < 0) ? bits : prefixLength(text.substring(slash + 1));
		if (length < 0 || length > bits) {
			throw new IllegalArgumentException("the number after the slash is not between 1 and " + bits);
		}
		if (length == 0) {
			throw new IllegalArgumentException("it covers all addresses");
		}
		byte[] masked = mask(network.getAddress(), length);
		if (!Arrays.equals(masked, network.getAddress())) {
			throw new IllegalArgumentException(
					"the address has bits set after the first " + length + ", so it is unclear which block is meant");
		}
		return new AddressRange(network, length);
	}

	private static int prefixLength(String text) {
		return text.matches("[0-9]{1,3}") ? Integer.parseInt(text) : -1;
	}

	/**
	 * Reads one address; never looks up a name.
	 * @param text the address as people write it
	 * @return the address; {@code null} if it is none
	 */
	public static @Nullable InetAddress address(String text) {
		try {
			if (text.indexOf(':') >= 0) {
				// Brackets say that it is an IPv6 literal, so that nothing is looked up
				return text.matches("[0-9a-fA-F:.]{2,45}") ? InetAddress.getByName("[" + text + "]") : null;
			}
			byte[] octets = octets(text);
			return (octets != null) ? InetAddress.getByAddress(octets) : null;
		}
		catch (UnknownHostException ex) {
			return null;
		}
	}

	// Java would also take 10.1 for 10.0.0.1, and others take 010 for 8
	private static byte @Nullable [] octets(String text) {
		if (text.length() > 15) {
			return null;
		}
		String[] parts = text.split("\\.", -1);
		if (parts.length != 4) {
			return null;
		}
		byte[] octets = new byte[4];
		for (int i = 0; i < 4; i++) {
			if (!parts[i].matches("0|[1-9][0-9]{0,2}") || Integer.parseInt(parts[i]) > 255) {
				return null;
			}
			octets[i] = (byte) Integer.parseInt(parts[i]);
		}
		return octets;
	}

	/**
	 * Whether an address belongs to the block.
	 * @param address an address
	 * @return whether it does; never for one of the other family
	 */
	public boolean contains(InetAddress address) {
		byte[] candidate = address.getAddress();
		byte[] expected = this.network.getAddress();
		if (candidate.length != expected.length) {
			return false;
		}
		int whole = this.prefixLength / Byte.SIZE;
		for (int i = 0; i < whole; i++) {
			if (candidate[i] != expected[i]) {
				return false;
			}
		}
		int rest = this.prefixLength % Byte.SIZE;
		return rest == 0 || ((candidate[whole] ^ expected[whole]) & (0xff << (Byte.SIZE - rest)) & 0xff) == 0;
	}

	private static byte[] mask(byte[] address, int length) {
		byte[] masked = address.clone();
		for (int i = 0; i < masked.length; i++) {
			int keep = Math.max(0, Math.min(Byte.SIZE, length - i * Byte.SIZE));
			masked[i] &= (byte) (0xff << (Byte.SIZE - keep));
		}
		return masked;
	}

	@Override
	public String toString() {
		return this.network.getHostAddress() + "/" + this.prefixLength;
	}

}
