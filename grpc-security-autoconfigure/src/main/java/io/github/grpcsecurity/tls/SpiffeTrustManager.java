package io.github.grpcsecurity.tls;

import java.net.Socket;
import java.security.cert.CertificateException;
import java.security.cert.X509Certificate;
import java.util.function.Function;

import javax.net.ssl.SSLEngine;
import javax.net.ssl.X509ExtendedTrustManager;

import org.jspecify.annotations.Nullable;

/**
 * Verifies X.509-SVIDs: one SPIFFE ID, in a certificate that cannot issue others, which
 * the roots of its own trust domain vouch for.
 */
final class SpiffeTrustManager extends X509ExtendedTrustManager {

	private static final int KEY_CERT_SIGN = 5;

	private static final int CRL_SIGN = 6;

	private final Function<String, @Nullable X509ExtendedTrustManager> domains;

	SpiffeTrustManager(Function<String, @Nullable X509ExtendedTrustManager> domains) {
		this.domains = domains;
	}

	@Override
	public void checkClientTrusted(X509Certificate[] chain, String authType, SSLEngine engine)
			throws CertificateException {
		domain(chain).checkClientTrusted(chain, authType, engine);
	}

	@Override
	public void checkClientTrusted(X509Certificate[] chain, String authType, Socket socket)
			throws CertificateException {
		domain(chain).checkClientTrusted(chain, authType, socket);
	}

	@Override
	public void checkClientTrusted(X509Certificate[] chain, String authType) throws CertificateException {
		domain(chain).checkClientTrusted(chain, authType);
	}

	@Override
	public void checkServerTrusted(X509Certificate[] chain, String authType, SSLEngine engine)
			throws CertificateException {
		domain(chain).checkServerTrusted(chain, authType, engine);
	}

	@Override
	public void checkServerTrusted(X509Certificate[] chain, String authType, Socket socket)
			throws CertificateException {
		domain(chain).checkServerTrusted(chain, authType, socket);
	}

	@Override
	public void checkServerTrusted(X509Certificate[] chain, String authType) throws CertificateException {
		domain(chain).checkServerTrusted(chain, authType);
	}

	/** The roots of the trust domain that vouches for the peer. */
	X509Certificate[] roots(X509Certificate[] chain) throws CertificateException {
		return domain(chain).getAcceptedIssuers();
	}

	private X509ExtendedTrustManager domain(X509Certificate[] chain) throws CertificateException {
		if (chain.length == 0) {
			throw new CertificateException("There is no certificate");
		}
		X509Certificate leaf = chain[0];
		if (leaf.getBasicConstraints() >= 0) {
			throw new CertificateException("The certificate is that of an authority, which no peer may use for itself");
		}
		boolean[] usage = leaf.getKeyUsage();
		if (usage != null && (usage[KEY_CERT_SIGN] || usage[CRL_SIGN])) {
			throw new CertificateException("The certificate may sign others, which that of a peer must not");
		}
		X509ExtendedTrustManager domain = this.domains.apply(SpiffeId.of(leaf).trustDomain());
		if (domain == null) {
			throw new CertificateException("The trust domain of the certificate is unknown, or not admitted");
		}
		return domain;
	}

	/**
	 * No hints: a client would leave its certificate out if its root came after the hints
	 * had been fixed.
	 */
	@Override
	public X509Certificate[] getAcceptedIssuers() {
		return new X509Certificate[0];
	}

}
