package io.github.grpcsecurity.tls;

import java.net.Socket;
import java.security.Principal;
import java.security.PrivateKey;
import java.security.cert.X509Certificate;
import java.util.function.BiFunction;
import java.util.function.Function;
import java.util.function.LongFunction;
import java.util.function.Supplier;

import javax.net.ssl.SSLEngine;
import javax.net.ssl.X509ExtendedKeyManager;

import org.jspecify.annotations.Nullable;

/**
 * A key manager that answers from the material in force.
 * <p>
 * TLS asks for an alias first and for its chain and its key later: the alias carries the
 * generation of the material, so that a handshake never mixes two of them.
 */
final class SwappingKeyManager extends X509ExtendedKeyManager {

	private static final String NO_CIPHER_YET = "SSL_NULL_WITH_NULL_NULL";

	private final LongFunction<TlsCredentials.@Nullable State> states;

	private final Supplier<TlsCredentials.State> current;

	SwappingKeyManager(LongFunction<TlsCredentials.@Nullable State> states, Supplier<TlsCredentials.State> current) {
		this.states = states;
		this.current = current;
	}

	/**
	 * Chooses no key for a client that shakes hands again: Java's TLS 1.2 would let it,
	 * as often as it likes and as somebody else, though HTTP/2 forbids it (RFC 9113
	 * 9.2.1).
	 */
	@Override
	public @Nullable String chooseEngineServerAlias(String keyType, Principal @Nullable [] issuers,
			@Nullable SSLEngine engine) {
		if (engine != null && !NO_CIPHER_YET.equals(engine.getSession().getCipherSuite())) {
			return null;
		}
		return choose((manager) -> manager.chooseEngineServerAlias(keyType, issuers, engine));
	}

	@Override
	public @Nullable String chooseServerAlias(String keyType, Principal @Nullable [] issuers, Socket socket) {
		return choose((manager) -> manager.chooseServerAlias(keyType, issuers, socket));
	}

	@Override
	public @Nullable String chooseEngineClientAlias(String[] keyTypes, Principal @Nullable [] issuers,
			SSLEngine engine) {
		return choose((manager) -> manager.chooseEngineClientAlias(keyTypes, issuers, engine));
	}

	@Override
	public @Nullable String chooseClientAlias(String[] keyTypes, Principal @Nullable [] issuers, Socket socket) {
		return choose((manager) -> manager.chooseClientAlias(keyTypes, issuers, socket));
	}

	private @Nullable String choose(Function<X509ExtendedKeyManager, @Nullable String> chooser) {
		TlsCredentials.State state = this.current.get();
		String alias = chooser.apply(state.keyManager);
		return (alias != null) ? state.generation + ":" + alias : null;
	}

	@Override
	public String @Nullable [] getServerAliases(String keyType, Principal @Nullable [] issuers) {
		TlsCredentials.State state = this.current.get();
		return named(state, state.keyManager.getServerAliases(keyType, issuers));
	}

	@Override
	public String @Nullable [] getClientAliases(String keyType, Principal @Nullable [] issuers) {
		TlsCredentials.State state = this.current.get();
		return named(state, state.keyManager.getClientAliases(keyType, issuers));
	}

	private static String @Nullable [] named(TlsCredentials.State state, String @Nullable [] aliases) {
		if (aliases == null) {
			return null;
		}
		String[] named = new String[aliases.length];
		for (int i = 0; i < aliases.length; i++) {
			named[i] = state.generation + ":" + aliases[i];
		}
		return named;
	}

	@Override
	public X509Certificate @Nullable [] getCertificateChain(String alias) {
		return find(alias, X509ExtendedKeyManager::getCertificateChain);
	}

	@Override
	public @Nullable PrivateKey getPrivateKey(String alias) {
		return find(alias, X509ExtendedKeyManager::getPrivateKey);
	}

	private <T> @Nullable T find(String alias, BiFunction<X509ExtendedKeyManager, String, T> getter) {
		int colon = alias.indexOf(':');
		if (colon < 0) {
			return null;
		}
		TlsCredentials.State state = this.states.apply(Long.parseLong(alias.substring(0, colon)));
		return (state != null) ? getter.apply(state.keyManager, alias.substring(colon + 1)) : null;
	}

}
