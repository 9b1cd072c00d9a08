package io.github.grpcsecurity.proxy;

import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;

import io.github.grpcsecurity.server.AddressRange;
import io.github.grpcsecurity.server.PeerIdentity;
import io.github.grpcsecurity.server.SecuredCall;

/**
 * The proxies that may say for whom they speak: by their address, or by a URI in the
 * certificate that they show, such as a SPIFFE ID. Immutable.
 *
 * @since 0.1.0
 */
public final class TrustedProxies {

	private final List<AddressRange> ranges;

	private final Set<String> uris;

	private TrustedProxies(List<AddressRange> ranges, Set<String> uris) {
		this.ranges = List.copyOf(ranges);
		this.uris = Set.copyOf(uris);
	}

	/**
	 * Reads whom to trust.
	 * @param proxies addresses, blocks of addresses and URIs
	 * @return the proxies
	 * @throws IllegalArgumentException if one of them is neither; the message quotes it
	 * and says what is wrong
	 */
	public static TrustedProxies parse(List<String> proxies) {
		List<AddressRange> ranges = new ArrayList<>();
		Set<String> uris = new HashSet<>();
		for (String proxy : proxies) {
			String text = proxy.strip();
			if (text.contains("://")) {
				uris.add(text);
				continue;
			}
			try {
				ranges.add(AddressRange.parse(text));
			}
			catch (IllegalArgumentException ex) {
				throw new IllegalArgumentException("'" + text + "' cannot be trusted: " + ex.getMessage()
						+ "; name proxies by address, block or URI", ex);
			}
		}
		return new TrustedProxies(ranges, uris);
	}

	boolean isEmpty() {
		return this.ranges.isEmpty() && this.uris.isEmpty();
	}

	/** Whether the peer at the other end of the connection is such a proxy. */
	boolean contains(SecuredCall call) {
		if (isEmpty()) {
			return false;
		}
		if (call.remoteAddress() instanceof InetSocketAddress remote && remote.getAddress() != null
				&& contains(remote.getAddress())) {
			return true;
		}
		if (this.uris.isEmpty()) {
			return false;
		}
		PeerIdentity identity = call.peerIdentity();
		return identity != null && identity.kind() == PeerIdentity.Kind.URI
				&& identity.names().stream().anyMatch(this.uris::contains);
	}

	boolean contains(InetAddress address) {
		for (AddressRange range : this.ranges) {
			if (range.contains(address)) {
				return true;
			}
		}
		return false;
	}

	@Override
	public String toString() {
		List<Object> all = new ArrayList<>(this.ranges);
		all.addAll(this.uris);
		return all.toString();
	}

}
