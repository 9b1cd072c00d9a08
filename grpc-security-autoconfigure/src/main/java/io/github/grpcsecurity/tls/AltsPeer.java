package io.github.grpcsecurity.tls;

import io.grpc.Attributes;
import io.grpc.alts.AltsContext;
import io.grpc.alts.AltsContextUtil;
import org.jspecify.annotations.Nullable;

/**
 * Who is at the other end of a connection that speaks ALTS.
 *
 * @param serviceAccount service account that the peer runs as
 * @since 0.1.0
 */
public record AltsPeer(String serviceAccount) {

	private static final String PREFIX = "alts:";

	/**
	 * Finds the peer of a connection.
	 * @param attributes what the transport knows about the connection
	 * @return the peer; {@code null} if the connection does not speak ALTS, or its peer
	 * runs as nobody
	 */
	public static @Nullable AltsPeer of(Attributes attributes) {
		return AltsContextUtil.check(attributes) ? of(AltsContextUtil.createFrom(attributes)) : null;
	}

	static @Nullable AltsPeer of(AltsContext context) {
		String account = context.getPeerServiceAccount();
		return account.isEmpty() ? null : new AltsPeer(account);
	}

	/**
	 * Name of the peer, in a form that no certificate and no token has.
	 * @return {@code alts:} and the service account
	 */
	public String identity() {
		return PREFIX + this.serviceAccount;
	}

}
