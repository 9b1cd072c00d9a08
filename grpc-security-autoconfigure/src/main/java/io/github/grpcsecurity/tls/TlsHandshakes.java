package io.github.grpcsecurity.tls;

import java.net.Socket;
import java.security.cert.CertificateException;
import java.security.cert.X509Certificate;
import java.util.List;
import java.util.concurrent.atomic.AtomicInteger;

import javax.net.ssl.SSLEngine;
import javax.net.ssl.TrustManager;
import javax.net.ssl.X509ExtendedTrustManager;

import io.grpc.Attributes;
import io.grpc.Grpc;
import io.grpc.ServerBuilder;
import io.grpc.ServerTransportFilter;
import org.apache.commons.logging.Log;
import org.apache.commons.logging.LogFactory;
import org.jspecify.annotations.Nullable;

/**
 * Tells listeners how handshakes end.
 * <p>
 * gRPC tells of connections that are up, and of those that end without ever having been;
 * the reason is known only where the certificate of the client is checked. A connection
 * whose certificate was refused has been told of by the time it ends, so as many ends are
 * passed over as there were refusals.
 */
final class TlsHandshakes {

	private static final Log logger = LogFactory.getLog(TlsHandshakes.class);

	private final List<TlsHandshakeListener> listeners;

	/** Connections that were told of but have not ended yet. */
	private final AtomicInteger refused = new AtomicInteger();

	TlsHandshakes(List<TlsHandshakeListener> listeners) {
		this.listeners = List.copyOf(listeners);
	}

	/** Listens to the connections of a server. */
	void watch(ServerBuilder<?> builder) {
		if (!this.listeners.isEmpty()) {
			builder.addTransportFilter(new Filter());
		}
	}

	/** Listens to what the trust manager of a server says about clients. */
	TrustManager watch(TrustManager manager) {
		return (!this.listeners.isEmpty() && manager instanceof X509ExtendedTrustManager extended)
				? new WatchedTrustManager(extended) : manager;
	}

	private void tell(TlsHandshakeResult result) {
		for (TlsHandshakeListener listener : this.listeners) {
			try {
				listener.completed(result);
			}
			catch (RuntimeException ex) {
				logger.error("A listener to TLS handshakes failed", ex);
			}
		}
	}

	private CertificateException refused(CertificateException refusal) {
		this.refused.incrementAndGet();
		tell(TlsHandshakeResult.of(refusal));
		return refusal;
	}

	private boolean hasBeenTold() {
		return this.refused.getAndUpdate((count) -> Math.max(0, count - 1)) > 0;
	}

	private final class Filter extends ServerTransportFilter {

		@Override
		public Attributes transportReady(Attributes attributes) {
			if (attributes.get(Grpc.TRANSPORT_ATTR_SSL_SESSION) != null) {
				tell(TlsHandshakeResult.SUCCESS);
			}
			return attributes;
		}

		// The attributes are those of transportReady: there are none if it never ran
		@Override
		public void transportTerminated(@Nullable Attributes attributes) {
			if (attributes == null && !hasBeenTold()) {
				tell(TlsHandshakeResult.UNKNOWN_FAILURE);
			}
		}

	}

	private final class WatchedTrustManager extends X509ExtendedTrustManager {

		private final X509ExtendedTrustManager manager;

		WatchedTrustManager(X509ExtendedTrustManager manager) {
			this.manager = manager;
		}

		@Override
		public void checkClientTrusted(X509Certificate[] chain, String authType, SSLEngine engine)
				throws CertificateException {
			try {
				this.manager.checkClientTrusted(chain, authType, engine);
			}
			catch (CertificateException ex) {
				throw refused(ex);
			}
		}

		@Override
		public void checkClientTrusted(X509Certificate[] chain, String authType, Socket socket)
				throws CertificateException {
			try {
				this.manager.checkClientTrusted(chain, authType, socket);
			}
			catch (CertificateException ex) {
				throw refused(ex);
			}
		}

		@Override
		public void checkClientTrusted(X509Certificate[] chain, String authType) throws CertificateException {
			try {
				this.manager.checkClientTrusted(chain, authType);
			}
			catch (CertificateException ex) {
				throw refused(ex);
			}
		}

		@Override
		public void checkServerTrusted(X509Certificate[] chain, String authType, SSLEngine engine)
				throws CertificateException {
			this.manager.checkServerTrusted(chain, authType, engine);
		}

		@Override
		public void checkServerTrusted(X509Certificate[] chain, String authType, Socket socket)
				throws CertificateException {
			this.manager.checkServerTrusted(chain, authType, socket);
		}

		@Override
		public void checkServerTrusted(X509Certificate[] chain, String authType) throws CertificateException {
			this.manager.checkServerTrusted(chain, authType);
		}

		@Override
		public X509Certificate[] getAcceptedIssuers() {
			return this.manager.getAcceptedIssuers();
		}

	}

}
