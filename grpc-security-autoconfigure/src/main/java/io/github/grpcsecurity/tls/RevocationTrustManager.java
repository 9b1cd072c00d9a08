package io.github.grpcsecurity.tls;

import java.net.Socket;
import java.security.cert.CertificateException;
import java.security.cert.X509Certificate;

import javax.net.ssl.SSLEngine;
import javax.net.ssl.X509ExtendedTrustManager;

/** Also refuses what another trust manager trusts, but what has been revoked. */
final class RevocationTrustManager extends X509ExtendedTrustManager {

	private final X509ExtendedTrustManager delegate;

	private final RevocationChecker revocation;

	RevocationTrustManager(X509ExtendedTrustManager delegate, RevocationChecker revocation) {
		this.delegate = delegate;
		this.revocation = revocation;
	}

	@Override
	public void checkClientTrusted(X509Certificate[] chain, String authType, SSLEngine engine)
			throws CertificateException {
		this.delegate.checkClientTrusted(chain, authType, engine);
		this.revocation.check(chain, getAcceptedIssuers());
	}

	@Override
	public void checkClientTrusted(X509Certificate[] chain, String authType, Socket socket)
			throws CertificateException {
		this.delegate.checkClientTrusted(chain, authType, socket);
		this.revocation.check(chain, getAcceptedIssuers());
	}

	@Override
	public void checkClientTrusted(X509Certificate[] chain, String authType) throws CertificateException {
		this.delegate.checkClientTrusted(chain, authType);
		this.revocation.check(chain, getAcceptedIssuers());
	}

	@Override
	public void checkServerTrusted(X509Certificate[] chain, String authType, SSLEngine engine)
			throws CertificateException {
		this.delegate.checkServerTrusted(chain, authType, engine);
		this.revocation.check(chain, getAcceptedIssuers());
	}

	@Override
	public void checkServerTrusted(X509Certificate[] chain, String authType, Socket socket)
			throws CertificateException {
		this.delegate.checkServerTrusted(chain, authType, socket);
		this.revocation.check(chain, getAcceptedIssuers());
	}

	@Override
	public void checkServerTrusted(X509Certificate[] chain, String authType) throws CertificateException {
		this.delegate.checkServerTrusted(chain, authType);
		this.revocation.check(chain, getAcceptedIssuers());
	}

	@Override
	public X509Certificate[] getAcceptedIssuers() {
		return this.delegate.getAcceptedIssuers();
	}

}
