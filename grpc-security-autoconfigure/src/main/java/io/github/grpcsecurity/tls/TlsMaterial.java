package io.github.grpcsecurity.tls;

import java.security.PrivateKey;
import java.security.cert.X509Certificate;
import java.util.Collection;
import java.util.LinkedHashSet;
import java.util.List;

import org.springframework.util.Assert;

/**
 * What a server proves itself with, and whom it trusts: private key, certificate chain
 * and trust anchors. They belong together and change together. Immutable.
 *
 * @since 0.1.0
 */
public final class TlsMaterial {

	private final String origin;

	private final PrivateKey privateKey;

	private final List<X509Certificate> chain;

	private final List<X509Certificate> trustAnchors;

	/**
	 * Puts key, chain and anchors together. Whether they fit is checked when they are
	 * used.
	 * @param origin where the certificate came from, such as the name of a property
	 * @param privateKey key of the first certificate in the chain
	 * @param chain certificate of the server, followed by its intermediates
	 * @param trustAnchors authorities whose clients are trusted; empty if clients show no
	 * certificates
	 */
	public TlsMaterial(String origin, PrivateKey privateKey, List<X509Certificate> chain,
			Collection<X509Certificate> trustAnchors) {
		Assert.notEmpty(chain, "A certificate is needed");
		this.origin = origin;
		this.privateKey = privateKey;
		this.chain = List.copyOf(chain);
		this.trustAnchors = List.copyOf(new LinkedHashSet<>(trustAnchors));
	}

	/**
	 * Where the certificate came from.
	 * @return such as {@code grpc.security.tls.certificate-chain}
	 */
	public String origin() {
		return this.origin;
	}

	PrivateKey privateKey() {
		return this.privateKey;
	}

	/**
	 * The certificate of the server, followed by its intermediates.
	 * @return an immutable list
	 */
	public List<X509Certificate> chain() {
		return this.chain;
	}

	/**
	 * The authorities whose clients are trusted.
	 * @return an immutable list
	 */
	public List<X509Certificate> trustAnchors() {
		return this.trustAnchors;
	}

	X509Certificate leaf() {
		return this.chain.get(0);
	}

	/** Whether key, chain and anchors are the same, wherever they came from. */
	boolean sameAs(TlsMaterial other) {
		return this.privateKey.equals(other.privateKey) && this.chain.equals(other.chain)
				&& this.trustAnchors.equals(other.trustAnchors);
	}

	@Override
	public String toString() {
		return "TlsMaterial[origin=" + this.origin + ", subject=" + leaf().getSubjectX500Principal() + ", trustAnchors="
				+ this.trustAnchors.size() + "]";
	}

}
