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
import java.util.Collections;
import java.util.HexFormat;
import java.util.Iterator;
import java.util.Locale;

import io.github.grpcsecurity.server.GrpcCaller;
import io.github.grpcsecurity.server.SecuredCall;
import io.github.grpcsecurity.server.SecuredMethod;
import io.github.grpcsecurity.server.VerifiedCredential;
import io.grpc.Metadata;
import org.jspecify.annotations.Nullable;

/**
 * What a rule counts separately: {@code peer}, {@code principal}, {@code issuer},
 * {@code api-key}, {@code method}, {@code service}, {@code global}, {@code call},
 * {@code header:<name>}, or what a {@link RateLimitKeyResolver} finds. Immutable.
 * <p>
 * A peer is one IPv4 address or one IPv6 /64, which is what a single customer of a
 * network provider has at least. A principal is a name and who vouches for it: the issuer
 * of a token, or the kind of another credential. So the subject of a token never shares
 * permits with an API key of the same spelling. {@code issuer} counts each subject
 * ({@code sub}) of each issuer, whatever claim the principal is named after. Rules by
 * {@code principal}, {@code issuer} and {@code api-key} do not apply to callers without
 * such credentials. {@code call} counts the messages of each call by themselves, whoever
 * makes it, and needs no store of permits.
 * <p>
 * Calls without the header that a rule looks at share one key, and so do calls that send
 * it more than once: neither buys anything. What callers choose is hashed.
 *
 * @since 0.1.0
 */
public final class RateLimitKey {

	private static final String HEADER_PREFIX = "header:";

	private static final String UNKNOWN = "(unknown)";

	private static final String NONE = "(none)";

	private static final String SEVERAL = "(several)";

	private static final String KEYS = "peer, principal, issuer, api-key, method, service, global, call or header:<name>";

	/**
	 * What is hashed of a header: enough to tell tenants apart, not enough to keep busy.
	 */
	private static final int MAX_HEADER_LENGTH = 1024;

	private final Kind kind;

	private final String text;

	private final Metadata.@Nullable Key<String> header;

	private final @Nullable RateLimitKeyResolver own;

	private RateLimitKey(Kind kind, String text) {
		this(kind, text, null, null);
	}

	private RateLimitKey(Kind kind, String text, Metadata.@Nullable Key<String> header,
			@Nullable RateLimitKeyResolver own) {
		this.kind = kind;
		this.text = text;
		this.header = header;
		this.own = own;
	}

	/**
	 * A key that a resolver finds.
	 * @param text the key, as users write it; two keys with one text are the same
	 * @param resolver finds it
	 * @return the key
	 */
	public static RateLimitKey of(String text, RateLimitKeyResolver resolver) {
		return new RateLimitKey(Kind.OWN, text, null, resolver);
	}

	/**
	 * Whether a text names a key that needs no resolver.
	 * @param text the text
	 * @return whether {@link #parse} is to read it
	 */
	public static boolean known(String text) {
		return text.startsWith(HEADER_PREFIX) || Kind.named(text) != null;
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
		Kind kind = Kind.named(text);
		if (kind == null) {
			throw new IllegalArgumentException("there is no key '" + text + "'; use " + KEYS);
		}
		return new RateLimitKey(kind, text);
	}

	private static RateLimitKey header(String name) {
		String lowerCase = name.toLowerCase(Locale.ROOT);
		if (lowerCase.endsWith(Metadata.BINARY_HEADER_SUFFIX)) {
			throw new IllegalArgumentException("the header '" + name + "' is binary, which no rule can count by");
		}
		try {
			return new RateLimitKey(Kind.HEADER, HEADER_PREFIX + lowerCase,
					Metadata.Key.of(lowerCase, Metadata.ASCII_STRING_MARSHALLER), null);
		}
		catch (IllegalArgumentException ex) {
			throw new IllegalArgumentException("'" + name + "' is not the name of a header", ex);
		}
	}

	/** Whether the caller has to be known. */
	boolean needsIdentity() {
		return this.kind.needsIdentity || (this.own != null && this.own.needsIdentity());
	}

	/**
	 * Whether each call is counted by itself.
	 * @return whether this is the key {@code call}
	 */
	public boolean ofCall() {
		return this.kind == Kind.CALL;
	}

	/** Whether the server alone decides how many there are, and no caller. */
	boolean bounded() {
		return this.kind.bounded;
	}

	/** Prepares the key for calls to one method. */
	Resolver resolver(SecuredMethod method) {
		// The name of an unknown method is whatever the client sent
		String service = method.unknown() ? UNKNOWN : method.serviceName();
		String fullName = method.unknown() ? UNKNOWN : method.fullName();
		return switch (this.kind) {
			case PEER -> (call) -> peer(call.peerAddress());
			case PRINCIPAL -> (call) -> call.anonymous() ? null : principal(call.caller().credentials().get(0));
			case ISSUER -> (call) -> subject(call.caller());
			case API_KEY -> (call) -> apiKey(call.caller());
			case METHOD -> (call) -> fullName;
			case SERVICE -> (call) -> service;
			case GLOBAL -> (call) -> "all";
			case CALL -> SecuredCall::id;
			case HEADER -> (call) -> header(call.headers());
			case OWN -> this::own;
		};
	}

	/** Who vouches for a name is a part of it. */
	private static String principal(VerifiedCredential credential) {
		String name = credential.authentication().getName();
		String issuer = credential.issuer();
		String subject = credential.subject().name();
		return (issuer != null) ? hash("issuer", subject, issuer, name)
				: hash("kind", subject, credential.kind(), name);
	}

	private static @Nullable String subject(GrpcCaller caller) {
		for (VerifiedCredential credential : caller.credentials()) {
			String issuer = credential.issuer();
			if (issuer != null) {
				Object subject = credential.claims().get("sub");
				return hash("issuer", issuer,
						(subject instanceof String text) ? text : credential.authentication().getName());
			}
		}
		return null;
	}

	private static @Nullable String apiKey(GrpcCaller caller) {
		VerifiedCredential credential = caller.credential(VerifiedCredential.API_KEY);
		if (credential == null) {
			return null;
		}
		String id = credential.id();
		return hash((id != null) ? id : credential.authentication().getName());
	}

	private @Nullable String own(SecuredCall call) {
		String key = (this.own != null) ? this.own.resolve(call) : null;
		return (key != null) ? hash(key) : null;
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
		Iterator<String> values = values(headers, this.header);
		if (!values.hasNext()) {
			return NONE;
		}
		String value = values.next();
		if (values.hasNext()) {
			// A proxy, the handler and we might each count by another one of them
			return SEVERAL;
		}
		return hash((value.length() > MAX_HEADER_LENGTH) ? value.substring(0, MAX_HEADER_LENGTH) : value);
	}

	private static Iterator<String> values(Metadata headers, Metadata.Key<String> key) {
		Iterable<String> values = headers.getAll(key);
		return (values != null) ? values.iterator() : Collections.emptyIterator();
	}

	/** What callers choose freely may be long, secret or full of control characters. */
	private static String hash(String... parts) {
		try {
			MessageDigest digest = MessageDigest.getInstance("SHA-256");
			for (int i = 0; i < parts.length; i++) {
				byte[] part = parts[i].getBytes(StandardCharsets.UTF_8);
				if (i < parts.length - 1) {
					// Or what is moved from one part to the next would give the same
					digest.update((part.length + ":").getBytes(StandardCharsets.US_ASCII));
				}
				digest.update(part);
			}
			return HexFormat.of().formatHex(digest.digest(), 0, 16);
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

		PEER(false, false), PRINCIPAL(true, false), ISSUER(true, false), API_KEY(true, false), METHOD(false, true),
		SERVICE(false, true), GLOBAL(false, true), CALL(false, false), HEADER(false, false), OWN(false, false);

		private final boolean needsIdentity;

		private final boolean bounded;

		Kind(boolean needsIdentity, boolean bounded) {
			this.needsIdentity = needsIdentity;
			this.bounded = bounded;
		}

		static @Nullable Kind named(String text) {
			return switch (text) {
				case "peer" -> PEER;
				case "principal" -> PRINCIPAL;
				case "issuer" -> ISSUER;
				case "api-key" -> API_KEY;
				case "method" -> METHOD;
				case "service" -> SERVICE;
				case "global" -> GLOBAL;
				case "call" -> CALL;
				default -> null;
			};
		}

	}

	/** Finds whose permits a call takes. */
	@FunctionalInterface
	interface Resolver {

		@Nullable String resolve(SecuredCall call);

	}

}
