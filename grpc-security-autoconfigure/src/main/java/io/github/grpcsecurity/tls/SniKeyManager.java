package io.github.grpcsecurity.tls;

import java.net.Socket;
import java.security.Principal;
import java.security.PrivateKey;
import java.security.cert.X509Certificate;
import java.util.List;

import javax.net.ssl.ExtendedSSLSession;
import javax.net.ssl.SNIHostName;
import javax.net.ssl.SNIServerName;
import javax.net.ssl.SSLEngine;
import javax.net.ssl.SSLSession;
import javax.net.ssl.X509ExtendedKeyManager;

import org.jspecify.annotations.Nullable;

/**
 * A key manager that answers from the credentials of the host that the client asked for.
 * <p>
 * Aliases carry the number of the host, so that the chain and the key that TLS asks for
 * later come from the same place.
 */
final class SniKeyManager extends X509ExtendedKeyManager {

	private static final char SEPARATOR = '/';

	private final X509ExtendedKeyManager usual;

	private final SniCertificates certificates;

	private final List<X509ExtendedKeyManager> managers;

	SniKeyManager(X509ExtendedKeyManager usual, SniCertificates certificates) {
		this.usual = usual;
		this.certificates = certificates;
		this.managers = certificates.keyManagers();
	}

	// Only from the host's own credentials, even if they have no key of this type: TLS
	// asks for the next type then, and would otherwise take another host's certificate
	@Override
	public @Nullable String chooseEngineServerAlias(String keyType, Principal @Nullable [] issuers, SSLEngine engine) {
		int position = position(engine);
		X509ExtendedKeyManager manager = (position >= 0) ? this.managers.get(position) : this.usual;
		String alias = manager.chooseEngineServerAlias(keyType, issuers, engine);
		return (alias != null && position >= 0) ? position + "" + SEPARATOR + alias : alias;
	}

	private int position(@Nullable SSLEngine engine) {
		SSLSession session = (engine != null) ? engine.getHandshakeSession() : null;
		if (session instanceof ExtendedSSLSession extended) {
			for (SNIServerName name : extended.getRequestedServerNames()) {
				if (name instanceof SNIHostName host) {
					return this.certificates.find(host.getAsciiName());
				}
			}
		}
		return -1;
	}

	@Override
	public @Nullable String chooseServerAlias(String keyType, Principal @Nullable [] issuers, Socket socket) {
		return this.usual.chooseServerAlias(keyType, issuers, socket);
	}

	@Override
	public @Nullable String chooseEngineClientAlias(String[] keyTypes, Principal @Nullable [] issuers,
			SSLEngine engine) {
		return this.usual.chooseEngineClientAlias(keyTypes, issuers, engine);
	}

	@Override
	public @Nullable String chooseClientAlias(String[] keyTypes, Principal @Nullable [] issuers, Socket socket) {
		return this.usual.chooseClientAlias(keyTypes, issuers, socket);
	}

	@Override
	public String @Nullable [] getServerAliases(String keyType, Principal @Nullable [] issuers) {
		return this.usual.getServerAliases(keyType, issuers);
	}

	@Override
	public String @Nullable [] getClientAliases(String keyType, Principal @Nullable [] issuers) {
		return this.usual.getClientAliases(keyType, issuers);
	}

	@Override
	public X509Certificate @Nullable [] getCertificateChain(String alias) {
		return manager(alias).getCertificateChain(withoutPosition(alias));
	}

	@Override
	public @Nullable PrivateKey getPrivateKey(String alias) {
		return manager(alias).getPrivateKey(withoutPosition(alias));
	}

	private X509ExtendedKeyManager manager(String alias) {
		int end = alias.indexOf(SEPARATOR);
		return (end < 0) ? this.usual : this.managers.get(Integer.parseInt(alias.substring(0, end)));
	}

	private static String withoutPosition(String alias) {
		return alias.substring(alias.indexOf(SEPARATOR) + 1);
	}

}
