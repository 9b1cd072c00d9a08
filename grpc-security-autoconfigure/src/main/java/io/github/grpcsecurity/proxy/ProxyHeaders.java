package io.github.grpcsecurity.proxy;

import java.net.InetSocketAddress;
import java.net.SocketAddress;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;

import io.github.grpcsecurity.server.ForwardedPeer;
import io.github.grpcsecurity.server.PeerIdentity;
import io.github.grpcsecurity.server.PeerResolver;
import io.github.grpcsecurity.server.Refusal;
import io.github.grpcsecurity.server.SecuredCall;
import io.grpc.Metadata;
import org.jspecify.annotations.Nullable;

/**
 * Believes what trusted proxies say about their clients, and takes the headers by which
 * they say so from everybody else.
 * <p>
 * Behind a trusted proxy the client is known by what the proxy says, never by the
 * connection, which is that of the proxy. A header of a trusted proxy that cannot be read
 * refuses the call. Headers of this kind that no proxy was asked to send are taken out
 * even there: a proxy may pass on what its client made up.
 *
 * @since 0.1.0
 */
public final class ProxyHeaders implements PeerResolver {

	/** The audit detail that names the headers that were taken out. */
	public static final String STRIPPED_NOTE = "proxy.headers_stripped";

	/** The audit detail with the address of the trusted proxy. */
	public static final String PROXY_NOTE = "proxy.address";

	private static final String FORWARDED = "forwarded";

	private static final String FORWARDED_FOR = "x-forwarded-for";

	/** Headers that mean something else to the server. */
	private static final Set<String> TAKEN = Set.of("authorization", "content-type", "user-agent", "te", "host");

	private final TrustedProxies proxies;

	private final Metadata.Key<String> certificateHeader;

	private final Metadata.@Nullable Key<String> chainHeader;

	private final Metadata.Key<String> addressHeader;

	private final int hops;

	private final ForwardedCertificate certificates;

	/** What nobody but a trusted proxy may send. */
	private final List<Metadata.Key<String>> reserved;

	/** What not even a trusted proxy may send. */
	private final List<Metadata.Key<String>> unused;

	/**
	 * Creates the resolver.
	 * @param proxies whom to trust
	 * @param certificateHeader where proxies put the certificate of their client:
	 * {@code client-cert} is read as RFC 9440 says, any other one as Envoy writes
	 * {@code x-forwarded-client-cert}
	 * @param addressHeader where proxies put the address of their client, as in
	 * {@code x-forwarded-for}
	 * @throws IllegalArgumentException if a name cannot be used; the message is a
	 * sentence
	 */
	public ProxyHeaders(TrustedProxies proxies, String certificateHeader, String addressHeader) {
		this(proxies, certificateHeader, addressHeader, 0);
	}

	/**
	 * Creates a resolver for a chain of proxies whose length is known.
	 * @param proxies whom to trust
	 * @param certificateHeader where proxies put the certificate of their client
	 * @param addressHeader where proxies put the address of their client
	 * @param hops how many proxies are in the chain, each of which adds an address; with
	 * 0, the client is the last one in the list who is not trusted
	 * @throws IllegalArgumentException if a name cannot be used; the message is a
	 * sentence
	 */
	public ProxyHeaders(TrustedProxies proxies, String certificateHeader, String addressHeader, int hops) {
		this.proxies = proxies;
		this.hops = hops;
		this.certificateHeader = certificateKey(certificateHeader);
		this.addressHeader = addressKey(addressHeader);
		if (this.certificateHeader.name().equals(this.addressHeader.name())) {
			throw new IllegalArgumentException("The certificate and the address of a client cannot be in one header.");
		}
		boolean rfc9440 = this.certificateHeader.name().equals(ClientCertHeader.NAME);
		this.certificates = rfc9440 ? new ClientCertHeader() : new XfccHeader();
		this.chainHeader = rfc9440 ? key(ClientCertHeader.CHAIN_NAME) : null;
		Map<String, Metadata.Key<String>> all = new LinkedHashMap<>();
		for (String name : List.of(XfccHeader.NAME, ClientCertHeader.NAME, ClientCertHeader.CHAIN_NAME, FORWARDED_FOR,
				FORWARDED, this.certificateHeader.name(), this.addressHeader.name())) {
			all.put(name, key(name));
		}
		this.reserved = List.copyOf(all.values());
		all.remove(this.certificateHeader.name());
		all.remove(this.addressHeader.name());
		if (this.chainHeader != null) {
			all.remove(this.chainHeader.name());
		}
		this.unused = List.copyOf(all.values());
	}

	/**
	 * Checks the name of a header with the certificate of a client.
	 * @param name the name
	 * @throws IllegalArgumentException if it cannot be used; the message is a sentence
	 */
	public static void checkCertificateHeader(String name) {
		certificateKey(name);
	}

	private static Metadata.Key<String> certificateKey(String name) {
		Metadata.Key<String> key = key(name);
		if (key.name().equals(ClientCertHeader.CHAIN_NAME)) {
			throw new IllegalArgumentException(
					"'" + ClientCertHeader.CHAIN_NAME + "' has no certificate of the client: name '"
							+ ClientCertHeader.NAME + "', its chain comes along.");
		}
		if (key.name().equals(FORWARDED) || key.name().equals(FORWARDED_FOR)) {
			throw new IllegalArgumentException("'" + key.name() + "' has no certificate: name '" + XfccHeader.NAME
					+ "' or '" + ClientCertHeader.NAME + "'.");
		}
		return key;
	}

	private static Metadata.Key<String> addressKey(String name) {
		Metadata.Key<String> key = key(name);
		if (key.name().equals(FORWARDED)) {
			throw new IllegalArgumentException(
					"The header 'forwarded' (RFC 7239) is not supported: let the proxy send '" + FORWARDED_FOR + "'.");
		}
		return key;
	}

	private static Metadata.Key<String> key(String name) {
		String lowerCase = name.strip().toLowerCase(Locale.ROOT);
		if (lowerCase.endsWith(Metadata.BINARY_HEADER_SUFFIX) || lowerCase.startsWith("grpc-")
				|| lowerCase.startsWith(":") || TAKEN.contains(lowerCase)) {
			throw new IllegalArgumentException("The header '" + name + "' cannot be used for this: it is binary, or "
					+ "means something else to gRPC.");
		}
		try {
			return Metadata.Key.of(lowerCase, Metadata.ASCII_STRING_MARSHALLER);
		}
		catch (IllegalArgumentException ex) {
			throw new IllegalArgumentException("'" + name + "' is not the name of a header.", ex);
		}
	}

	@Override
	public @Nullable Refusal resolve(SecuredCall call) {
		if (!this.proxies.contains(call)) {
			strip(call, this.reserved);
			return null;
		}
		strip(call, this.unused);
		Metadata headers = call.headers();
		try {
			call.forwarded(new ForwardedPeer(address(headers), identity(headers)));
		}
		catch (MalformedHeaderException ex) {
			this.reserved.forEach(headers::discardAll);
			return Refusal.malformed("trusted proxy: " + ex.getMessage());
		}
		if (call.remoteAddress() instanceof InetSocketAddress proxy && proxy.getAddress() != null) {
			call.note(PROXY_NOTE, proxy.getAddress().getHostAddress());
		}
		return null;
	}

	private static void strip(SecuredCall call, List<Metadata.Key<String>> keys) {
		Metadata headers = call.headers();
		List<String> stripped = null;
		for (Metadata.Key<String> key : keys) {
			if (headers.containsKey(key)) {
				headers.discardAll(key);
				stripped = (stripped != null) ? stripped : new ArrayList<>(2);
				stripped.add(key.name());
			}
		}
		if (stripped != null) {
			call.note(STRIPPED_NOTE, String.join(", ", stripped));
		}
	}

	private @Nullable SocketAddress address(Metadata headers) throws MalformedHeaderException {
		String list = joined(headers, this.addressHeader);
		return (list != null) ? new InetSocketAddress(ForwardedFor.client(list, this.proxies, this.hops), 0) : null;
	}

	private @Nullable PeerIdentity identity(Metadata headers) throws MalformedHeaderException {
		String certificate = joined(headers, this.certificateHeader);
		String chain = (this.chainHeader != null) ? joined(headers, this.chainHeader) : null;
		if (certificate == null) {
			if (chain != null) {
				throw new MalformedHeaderException("there is a chain of certificates without the one of the client");
			}
			return null;
		}
		if (chain != null) {
			ClientCertHeader.checkChain(chain);
		}
		return this.certificates.read(certificate);
	}

	/** Several headers of one name are one list (RFC 9110 5.3). */
	private static @Nullable String joined(Metadata headers, Metadata.Key<String> key) {
		Iterable<String> values = headers.getAll(key);
		return (values != null) ? String.join(",", values) : null;
	}

	@Override
	public String toString() {
		return "ProxyHeaders[trusted=" + this.proxies + ", certificate=" + this.certificateHeader.name() + ", address="
				+ this.addressHeader.name() + "]";
	}

}
