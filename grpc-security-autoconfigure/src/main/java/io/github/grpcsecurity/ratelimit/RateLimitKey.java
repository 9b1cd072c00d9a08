package io.github.grpcsecurity.ratelimit;

import java.net.Inet4Address;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.SocketAddress;
import java.net.UnknownHostException;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;
import java.util.Locale;

import io.github.grpcsecurity.server.SecuredCall;
import io.github.grpcsecurity.server.SecuredMethod;
import io.github.grpcsecurity.server.VerifiedCredential;
import io.grpc.Metadata;
import org.jspecify.annotations.Nullable;

/**
 * What a rule counts separately: {@code peer}, {@code principal}, {@code method},
 * {@code service}, {@code global} or {@code header:<name>}. Immutable.
 * <p>
 * A peer is one IPv4 address or one IPv6 /64, which is what a single customer of a
 * network provider has at least. Calls without the header that a rule looks at share one
 * key: leaving it out buys nothing. A rule by principal does not apply to callers without
 * credentials.
 *
 * @since 0.1.0
 */
public final class RateLimitKey {

	private static final String HEADER_PREFIX = "header:";

	private static final String UNKNOWN = "(unknown)";

	private final Kind kind;

	private final String text;

	private final Metadata.@Nullable Key<String> header;

	private RateLimitKey(Kind kind, String text, Metadata.@Nullable Key<String> header) {
		this.kind = kind;
		this.text = text;
		this.header = header;
	}

	/**
	 * Reads a key.
	 * @param text the key, as users write it
	 * @return the key
	 * @throws IllegalArgumentException if there is no such key; the message is a sentence
	 * that says what there is
	 */
	public static RateLimitKey parse(String text) {
		if (text.startsWith(HEADER_PREFIX)) {
			return header(text.substring(HEADER_PREFIX.length()));
		}
		return switch (text) {
			case "peer" -> new RateLimitKey(Kind.PEER, text, null);
			case "principal" -> new RateLimitKey(Kind.PRINCIPAL, text, null);
			case "method" -> new RateLimitKey(Kind.METHOD, text, null);
			case "service" -> new RateLimitKey(Kind.SERVICE, text, null);
			case "global" -> new RateLimitKey(Kind.GLOBAL, text, null);
			case "api-key", "issuer" -> throw new IllegalArgumentException("the key '" + text
					+ "' is not supported in this version; 'principal' counts each authenticated caller");
			default -> throw new IllegalArgumentException(
					"there is no key '" + text + "'; use peer, principal, method, service, global or header:<name>");
		};
	}

	private static RateLimitKey header(String name) {
		String lowerCase = name.toLowerCase(Locale.ROOT);
		if (lowerCase.endsWith(Metadata.BINARY_HEADER_SUFFIX)) {
			throw new IllegalArgumentException("the header '" + name + "' is binary, which no rule can count by");
		}
		try {
			return new RateLimitKey(Kind.HEADER, HEADER_PREFIX + lowerCase,
					Metadata.Key.of(lowerCase, Metadata.ASCII_STRING_MARSHALLER));
		}
		catch (IllegalArgumentException ex) {
			throw new IllegalArgumentException("'" + name + "' is not the name of a header", ex);
		}
	}

	/** Whether the caller has to be known. */
	boolean needsIdentity() {
		return this.kind == Kind.PRINCIPAL;
	}

	/** Prepares the key for calls to one method. */
	Resolver resolver(SecuredMethod method) {
		// The name of an unknown method is whatever the client sent
		String service = method.unknown() ? UNKNOWN : method.serviceName();
		String fullName = method.unknown() ? UNKNOWN : method.fullName();
		return switch (this.kind) {
			case PEER -> (call) -> peer(call.peerAddress());
			case PRINCIPAL -> (call) -> call.anonymous() ? null : hash(principal(call));
			case METHOD -> (call) -> fullName;
			case SERVICE -> (call) -> service;
			case GLOBAL -> (call) -> "all";
			case HEADER -> (call) -> header(call.headers());
		};
	}

	/**
	 * Names are given by issuers, each to its own: those of others, and the ids of keys
	 * and certificates, may be the same, and must not take the permits of this one.
	 */
	private static String principal(SecuredCall call) {
		List<VerifiedCredential> credentials = call.caller().credentials();
		String name = call.authentication().getName();
		if (credentials.isEmpty()) {
			return name;
		}
		VerifiedCredential named = credentials.get(0);
		String issuer = named.issuer();
		return String.join("\n", named.subject().name(), (issuer != null) ? issuer : "", name);
	}

	static String peer(@Nullable SocketAddress address) {
		if (address instanceof InetSocketAddress inet && inet.getAddress() != null) {
			InetAddress ip = inet.getAddress();
			return (ip instanceof Inet4Address) ? ip.getHostAddress() : network(ip.getAddress());
		}
		return (address != null) ? hash(address.toString()) : UNKNOWN;
	}

	private static String network(byte[] address) {
		Arrays.fill(address, 8, 16, (byte) 0);
		try {
			return InetAddress.getByAddress(address).getHostAddress() + "/64";
		}
		catch (UnknownHostException ex) {
			throw new IllegalStateException("An IPv6 address has 16 bytes", ex);
		}
	}

	private @Nullable String header(Metadata headers) {
		if (this.header == null) {
			return null;
		}
		Iterable<String> values = headers.getAll(this.header);
		return (values != null) ? hash(String.join(",", values)) : "(none)";
	}

	/** What callers choose freely may be long, secret or full of control characters. */
	private static String hash(String value) {
		try {
			byte[] digest = MessageDigest.getInstance("SHA-256").digest(value.getBytes(StandardCharsets.UTF_8));
			return HexFormat.of().formatHex(digest, 0, 16);
		}
		catch (NoSuchAlgorithmException ex) {
			throw new IllegalStateException("Every Java platform has SHA-256", ex);
		}
	}

	@Override
	public boolean equals(Object other) {
		return other instanceof RateLimitKey that && this.text.equals(that.text);
	}

	@Override
	public int hashCode() {
		return this.text.hashCode();
	}

	/** The key as users write it. */
	@Override
	public String toString() {
		return this.text;
	}

	private enum Kind {

		PEER, PRINCIPAL, METHOD, SERVICE, GLOBAL, HEADER

	}

	/** Finds whose permits a call takes. */
	@FunctionalInterface
	interface Resolver {

		@Nullable String resolve(SecuredCall call);

	}

}
