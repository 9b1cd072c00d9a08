package io.github.grpcsecurity.tls;

import java.security.cert.Certificate;
import java.security.cert.X509Certificate;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Consumer;

import javax.net.ssl.SSLPeerUnverifiedException;
import javax.net.ssl.SSLSession;

import io.github.grpcsecurity.server.Refusal;
import io.github.grpcsecurity.server.SecuredCall;
import io.grpc.Attributes;
import io.grpc.Status;
import org.jspecify.annotations.Nullable;

/**
 * A connection whose TLS handshake is over: what its peer has shown, what became of the
 * last look at it, and the calls that are open. Thread-safe.
 */
final class PeerConnection implements Comparable<PeerConnection> {

	static final Attributes.Key<PeerConnection> KEY = Attributes.Key
		.create("io.github.grpcsecurity.tls.PeerConnection");

	private static final X509Certificate[] NONE = new X509Certificate[0];

	private final long id;

	private final X509Certificate[] chain;

	private final long expiresAt;

	private final Object monitor = new Object();

	private volatile @Nullable Verification verification;

	private volatile boolean expired;

	/** The first of the open calls. Guarded by this. */
	private @Nullable OpenCall first;

	/**
	 * Takes down who is connected.
	 * @param id tells connections apart
	 * @param session the session, new or resumed
	 * @param now milliseconds of the epoch
	 */
	PeerConnection(long id, SSLSession session, long now) {
		this.id = id;
		this.chain = chain(session);
		this.expiresAt = expiry(this.chain, now);
	}

	private static X509Certificate[] chain(SSLSession session) {
		try {
			Certificate[] shown = session.getPeerCertificates();
			X509Certificate[] chain = new X509Certificate[shown.length];
			for (int i = 0; i < shown.length; i++) {
				chain[i] = (X509Certificate) shown[i];
			}
			return chain;
		}
		catch (SSLPeerUnverifiedException ex) {
			return NONE;
		}
	}

	// An intermediate that has expired already cannot be what the peer is trusted by
	private static long expiry(X509Certificate[] chain, long now) {
		if (chain.length == 0) {
			return Long.MAX_VALUE;
		}
		long expiry = chain[0].getNotAfter().toInstant().toEpochMilli();
		for (X509Certificate certificate : chain) {
			long end = certificate.getNotAfter().toInstant().toEpochMilli();
			if (end >= now) {
				expiry = Math.min(expiry, end);
			}
		}
		return expiry;
	}

	/** Whether the peer has shown no certificate. */
	boolean anonymous() {
		return this.chain.length == 0;
	}

	X509Certificate[] chain() {
		return this.chain.clone();
	}

	X509Certificate leaf() {
		return this.chain[0];
	}

	/** The last millisecond at which what the peer has shown is valid. */
	long expiresAt() {
		return this.expiresAt;
	}

	/**
	 * Whether what the peer has shown has expired. It stays so even if the clock is set
	 * back: the peer has been told to connect anew.
	 */
	boolean expired(long now) {
		if (!this.expired && now > this.expiresAt) {
			this.expired = true;
		}
		return this.expired;
	}

	/** What the last look at the chain said, and in which epoch that was. */
	@Nullable Verification verification() {
		return this.verification;
	}

	/**
	 * Held while the chain is verified: one look is enough for calls that start together.
	 */
	Object monitor() {
		return this.monitor;
	}

	void verification(Verification verification) {
		this.verification = verification;
	}

	/** Keeps a call until it is over. */
	void opened(SecuredCall call) {
		OpenCall added = new OpenCall(call);
		synchronized (this) {
			added.next = this.first;
			if (this.first != null) {
				this.first.previous = added;
			}
			this.first = added;
		}
		call.onClosed(added);
	}

	private synchronized void closed(OpenCall call) {
		if (call.previous != null) {
			call.previous.next = call.next;
		}
		else {
			this.first = call.next;
		}
		if (call.next != null) {
			call.next.previous = call.previous;
		}
	}

	synchronized boolean idle() {
		return this.first == null;
	}

	synchronized List<SecuredCall> openCalls() {
		List<SecuredCall> calls = new ArrayList<>();
		OpenCall open = this.first;
		while (open != null) {
			calls.add(open.call);
			open = open.next;
		}
		return calls;
	}

	/** Ends all open calls and tells how many there were. */
	int end(Refusal refusal) {
		int ended = 0;
		for (SecuredCall call : openCalls()) {
			if (call.end(refusal)) {
				ended++;
			}
		}
		return ended;
	}

	/** By expiry, so that the one to expire next comes first. */
	@Override
	public int compareTo(PeerConnection other) {
		int order = Long.compare(this.expiresAt, other.expiresAt);
		return (order != 0) ? order : Long.compare(this.id, other.id);
	}

	@Override
	public boolean equals(@Nullable Object other) {
		return this == other;
	}

	@Override
	public int hashCode() {
		return Long.hashCode(this.id);
	}

	/**
	 * What a look at the chain said.
	 *
	 * @param epoch the epoch of the trust it was compared with
	 * @param refusal why the peer is not trusted; {@code null} if it is
	 */
	record Verification(long epoch, @Nullable Refusal refusal) {
	}

	/** A link of the list of open calls, and what takes it out again. */
	private final class OpenCall implements Consumer<Status> {

		private final SecuredCall call;

		private @Nullable OpenCall previous;

		private @Nullable OpenCall next;

		OpenCall(SecuredCall call) {
			this.call = call;
		}

		@Override
		public void accept(Status status) {
			closed(this);
		}

	}

}
