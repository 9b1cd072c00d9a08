package io.github.grpcsecurity.tls;

import java.net.Socket;
import java.security.cert.CertificateException;
import java.security.cert.X509Certificate;
import java.util.function.Supplier;

import javax.net.ssl.SSLEngine;
import javax.net.ssl.X509ExtendedTrustManager;

import org.jspecify.annotations.Nullable;

/**
 * A trust manager that answers from the material in force; without anchors it trusts
 * nobody.
 */
final class SwappingTrustManager extends X509ExtendedTrustManager {

	private final Supplier<@Nullable X509ExtendedTrustManager> current;

	SwappingTrustManager(Supplier<@Nullable X509ExtendedTrustManager> current) {
		this.current = current;
	}

	@Override
	public void checkClientTrusted(X509Certificate[] chain, String authType, SSLEngine engine)
			throws CertificateException {
		manager().checkClientTrusted(chain, authType, engine);
	}

	@Override
	public void checkClientTrusted(X509Certificate[] chain, String authType, Socket socket)
			throws CertificateException {
		manager().checkClientTrusted(chain, authType, socket);
	}

	@Override
	public void checkClientTrusted(X509Certificate[] chain, String authType) throws CertificateException {
		manager().checkClientTrusted(chain, authType);
	}

	@Override
	public void checkServerTrusted(X509Certificate[] chain, String authType, SSLEngine engine)
			throws CertificateException {
		manager().checkServerTrusted(chain, authType, engine);
	}

	@Override
	public void checkServerTrusted(X509Certificate[] chain, String authType, Socket socket)
			throws CertificateException {
		manager().checkServerTrusted(chain, authType, socket);
	}

	@Override
	public void checkServerTrusted(X509Certificate[] chain, String authType) throws CertificateException {
		manager().checkServerTrusted(chain, authType);
	}

	@Override
	public X509Certificate[] getAcceptedIssuers() {
		X509ExtendedTrustManager manager = this.current.get();
		return (manager != null) ? manager.getAcceptedIssuers() : new X509Certificate[0];
	}

	private X509ExtendedTrustManager manager() throws CertificateException {
		X509ExtendedTrustManager manager = this.current.get();
		if (manager == null) {
			throw new CertificateException("There are no trust anchors");
		}
		return manager;
	}

}
