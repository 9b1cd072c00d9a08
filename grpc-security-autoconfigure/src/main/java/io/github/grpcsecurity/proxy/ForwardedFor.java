package io.github.grpcsecurity.proxy;

import java.net.InetAddress;

import io.github.grpcsecurity.server.AddressRange;
import org.jspecify.annotations.Nullable;

/**
 * Finds the client in a list of addresses to which each proxy has added the one before
 * it. It is read from the right, past the proxies that are trusted, up to the first
 * address that is not: what stands further left may be made up.
 */
final class ForwardedFor {

	private ForwardedFor() {
	}

	static InetAddress client(String list, TrustedProxies proxies, int count) throws MalformedHeaderException {
		String[] hops = list.split(",", -1);
		if (count > 0) {
			return client(hops, count);
		}
		InetAddress client = null;
		for (int i = hops.length - 1; i >= 0; i--) {
			client = address(hops[i].strip());
			if (client == null) {
				throw new MalformedHeaderException("the list of forwarding addresses has something else in it");
			}
			if (!proxies.contains(client)) {
				return client;
			}
		}
		if (client == null) {
			throw new MalformedHeaderException("the list of forwarding addresses is empty");
		}
		return client;
	}

	/**
	 * The proxies are known by their number alone: each of them has added one address.
	 */
	private static InetAddress client(String[] hops, int count) throws MalformedHeaderException {
		if (hops.length < count) {
			throw new MalformedHeaderException("the list of forwarding addresses is shorter than the chain of proxies");
		}
		InetAddress client = address(hops[hops.length - count].strip());
		if (client == null) {
			throw new MalformedHeaderException("the list of forwarding addresses has something else in it");
		}
		return client;
	}

	/** Some proxies add the port. */
	private static @Nullable InetAddress address(String hop) {
		if (hop.startsWith("[")) {
			int end = hop.indexOf(']');
			String address = (end > 0) ? hop.substring(1, end) : "";
			return (address.indexOf(':') >= 0 && port(hop.substring(end + 1))) ? AddressRange.address(address) : null;
		}
		int colon = hop.indexOf(':');
		if (colon >= 0 && colon == hop.lastIndexOf(':')) {
			return port(hop.substring(colon)) ? AddressRange.address(hop.substring(0, colon)) : null;
		}
		return AddressRange.address(hop);
	}

	private static boolean port(String text) {
		return text.isEmpty() || text.matches(":[0-9]{1,5}");
	}

}
