package io.github.grpcsecurity.tls;

import java.net.Socket;
import java.security.cert.CertificateException;
import java.security.cert.X509Certificate;

import javax.net.ssl.SSLEngine;
import javax.net.ssl.X509ExtendedTrustManager;

/** Also refuses what another trust manager trusts, but what has been revoked. */
final class RevocationTrustManager extends X509ExtendedTrustManager {

	private final X509ExtendedTrustManager delegate;

	private final Anchors anchors;

	private final RevocationChecker revocation;

	/** Where whoever is trusted is trusted by the same authorities. */
	RevocationTrustManager(X509ExtendedTrustManager delegate, RevocationChecker revocation) {
		this(delegate, (chain) -> delegate.getAcceptedIssuers(), revocation);
	}

	/** Where each trust domain has authorities of its own. */
	RevocationTrustManager(SpiffeTrustManager delegate, RevocationChecker revocation) {
		this(delegate, delegate::roots, revocation);
	}

	private RevocationTrustManager(X509ExtendedTrustManager delegate, Anchors anchors, RevocationChecker revocation) {
		this.delegate = delegate;
		this.anchors = anchors;
		this.revocation = revocation;
	}

	@Override
	public void checkClientTrusted(X509Certificate[] chain, String authType, SSLEngine engine)
			throws CertificateException {
		this.delegate.checkClientTrusted(chain, authType, engine);
		this.revocation.check(chain, this.anchors.of(chain));
	}

	@Override
	public void checkClientTrusted(X509Certificate[] chain, String authType, Socket socket)
			throws CertificateException {
		this.delegate.checkClientTrusted(chain, authType, socket);
		this.revocation.check(chain, this.anchors.of(chain));
	}

	@Override
	public void checkClientTrusted(X509Certificate[] chain, String authType) throws CertificateException {
		this.delegate.checkClientTrusted(chain, authType);
		this.revocation.check(chain, this.anchors.of(chain));
	}

	@Override
	public void checkServerTrusted(X509Certificate[] chain, String authType, SSLEngine engine)
			throws CertificateException {
		this.delegate.checkServerTrusted(chain, authType, engine);
		this.revocation.check(chain, this.anchors.of(chain));
	}

	@Override
	public void checkServerTrusted(X509Certificate[] chain, String authType, Socket socket)
			throws CertificateException {
		this.delegate.checkServerTrusted(chain, authType, socket);
		this.revocation.check(chain, this.anchors.of(chain));
	}

	@Override
	public void checkServerTrusted(X509Certificate[] chain, String authType) throws CertificateException {
		this.delegate.checkServerTrusted(chain, authType);
		this.revocation.check(chain, this.anchors.of(chain));
	}

	@Override
	public X509Certificate[] getAcceptedIssuers() {
		return this.delegate.getAcceptedIssuers();
	}

	/** Finds the authorities that a chain is trusted by. */
	@FunctionalInterface
	private interface Anchors {

		X509Certificate[] of(X509Certificate[] chain) throws CertificateException;

	}

}
