package io.github.grpcsecurity.tls;

import java.net.Socket;
import java.security.cert.CertificateException;
import java.security.cert.X509Certificate;

import javax.net.ssl.SSLEngine;
import javax.net.ssl.X509ExtendedTrustManager;

/**
 * What TLS gets to see of a trust manager: it looks at no chain that is longer than any
 * in use, and gives no hints about whom it trusts.
 * <p>
 * A peer that is not trusted yet decides what is in its chain, and Java tries every path
 * through it: forty certificates that could have issued each other take it half a minute.
 * Java's TLS refuses more than ten, and Netty hands over the first ten of what BoringSSL
 * got; the limit here does not depend on either.
 * <p>
 * BoringSSL asks for the hints once and for all. Clients such as Java's and Go's would
 * leave out a certificate whose authority came later.
 */
final class GuardedTrustManager extends X509ExtendedTrustManager {

	/** The limit of Java's TLS. */
	static final int MAX_CERTIFICATES = 10;

	private final X509ExtendedTrustManager delegate;

	GuardedTrustManager(X509ExtendedTrustManager delegate) {
		this.delegate = delegate;
	}

	@Override
	public void checkClientTrusted(X509Certificate[] chain, String authType, SSLEngine engine)
			throws CertificateException {
		this.delegate.checkClientTrusted(bounded(chain), authType, engine);
	}

	@Override
	public void checkClientTrusted(X509Certificate[] chain, String authType, Socket socket)
			throws CertificateException {
		this.delegate.checkClientTrusted(bounded(chain), authType, socket);
	}

	@Override
	public void checkClientTrusted(X509Certificate[] chain, String authType) throws CertificateException {
		this.delegate.checkClientTrusted(bounded(chain), authType);
	}

	@Override
	public void checkServerTrusted(X509Certificate[] chain, String authType, SSLEngine engine)
			throws CertificateException {
		this.delegate.checkServerTrusted(bounded(chain), authType, engine);
	}

	@Override
	public void checkServerTrusted(X509Certificate[] chain, String authType, Socket socket)
			throws CertificateException {
		this.delegate.checkServerTrusted(bounded(chain), authType, socket);
	}

	@Override
	public void checkServerTrusted(X509Certificate[] chain, String authType) throws CertificateException {
		this.delegate.checkServerTrusted(bounded(chain), authType);
	}

	private static X509Certificate[] bounded(X509Certificate[] chain) throws CertificateException {
		if (chain.length > MAX_CERTIFICATES) {
			throw new CertificateException(
					"The chain has " + chain.length + " certificates, which is more than " + MAX_CERTIFICATES);
		}
		return chain;
	}

	@Override
	public X509Certificate[] getAcceptedIssuers() {
		return new X509Certificate[0];
	}

}
