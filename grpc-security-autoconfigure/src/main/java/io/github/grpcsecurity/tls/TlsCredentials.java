package io.github.grpcsecurity.tls;

import java.io.IOException;
import java.security.GeneralSecurityException;
import java.security.KeyStore;
import java.security.PrivateKey;
import java.security.Signature;
import java.security.cert.X509Certificate;
import java.security.spec.PSSParameterSpec;
import java.time.Instant;
import java.time.InstantSource;
import java.util.Collection;
import java.util.Locale;
import java.util.Map;

import javax.net.ssl.KeyManager;
import javax.net.ssl.KeyManagerFactory;
import javax.net.ssl.TrustManager;
import javax.net.ssl.TrustManagerFactory;
import javax.net.ssl.X509ExtendedKeyManager;
import javax.net.ssl.X509ExtendedTrustManager;

import org.jspecify.annotations.Nullable;

/**
 * The material that TLS uses right now, behind a key manager and a trust manager that
 * stay the same when it is exchanged. Thread-safe.
 *
 * @since 0.1.0
 */
public final class TlsCredentials {

	/**
	 * How many exchanges a handshake may outlive between choosing a key and taking it.
	 */
	private static final int KEPT = 8;

	private static final char[] NO_PASSWORD = new char[0];

	private static final Map<String, String> SIGNATURES = Map.of("RSA", "SHA256withRSA", "EC", "SHA256withECDSA",
			"EdDSA", "EdDSA", "RSASSA-PSS", "RSASSA-PSS");

	private final TlsMaterialSource source;

	private final String digest;

	private final ClientAuth clientAuth;

	private final InstantSource clock;

	private final SwappingKeyManager keyManager;

	private final X509ExtendedTrustManager trustManager;

	private final @Nullable RevocationChecker revocation;

	private final TrustEpoch epoch = new TrustEpoch();

	private final @Nullable SpiffeTrust spiffe;

	private volatile State state;

	/**
	 * Loads the material for the first time.
	 * @param source reads it
	 * @param clientAuth whether clients show certificates, for which trust anchors are
	 * needed
	 * @param clock tells whether certificates are valid
	 * @throws TlsConfigurationException if it cannot be read or cannot work
	 */
	public TlsCredentials(TlsMaterialSource source, ClientAuth clientAuth, InstantSource clock) {
		this(source, clientAuth, clock, null, null);
	}

	/**
	 * Loads the material for the first time, and trusts clients by more than its anchors.
	 * @param source reads it; its trust anchors must be empty if there is SPIFFE trust
	 * @param clientAuth whether clients show certificates, for which trust anchors are
	 * needed, or SPIFFE trust
	 * @param clock tells whether certificates are valid
	 * @param revocation tells whether they are revoked; {@code null} if nobody does
	 * @param spiffe verifies the certificates of clients; the trust anchors do if
	 * {@code null}
	 * @throws TlsConfigurationException if it cannot be read or cannot work
	 */
	public TlsCredentials(TlsMaterialSource source, ClientAuth clientAuth, InstantSource clock,
			@Nullable RevocationChecker revocation, @Nullable SpiffeTrust spiffe) {
		TlsContent content = TlsContent.of(source);
		this.source = source;
		this.digest = content.digest();
		this.spiffe = spiffe;
		this.clientAuth = clientAuth;
		this.clock = clock;
		this.state = new State(0, check(content.load()), null);
		this.keyManager = new SwappingKeyManager(this::stateOf, () -> this.state);
		this.trustManager = new GuardedTrustManager(trustManager(spiffe, revocation));
		this.revocation = revocation;
		if (revocation != null) {
			revocation.lists().issuers((spiffe != null) ? spiffe.roots() : current().trustAnchors());
			revocation.lists().onChange(this.epoch::advance);
		}
		if (spiffe != null) {
			spiffe.onChange(() -> trustChanged(spiffe.roots()));
		}
	}

	private X509ExtendedTrustManager trustManager(@Nullable SpiffeTrust spiffe,
			@Nullable RevocationChecker revocation) {
		if (spiffe != null) {
			SpiffeTrustManager trusted = spiffe.trustManager();
			return (revocation != null) ? new RevocationTrustManager(trusted, revocation) : trusted;
		}
		X509ExtendedTrustManager trusted = new SwappingTrustManager(() -> this.state.trustManager);
		return (revocation != null) ? new RevocationTrustManager(trusted, revocation) : trusted;
	}

	/**
	 * The material that new handshakes use.
	 * @return what is in force
	 */
	public TlsMaterial current() {
		return this.state.material;
	}

	TlsMaterialSource source() {
		return this.source;
	}

	/** Digest of the content that was loaded first. */
	String digest() {
		return this.digest;
	}

	/**
	 * Takes other material into use for new handshakes, if it can work; otherwise the
	 * present one stays.
	 */
	synchronized void replace(TlsMaterial material) {
		State last = this.state;
		this.state = new State(last.generation + 1, check(material), last);
		if (!last.material.trustAnchors().equals(material.trustAnchors())) {
			trustChanged(material.trustAnchors());
		}
	}

	private void trustChanged(Collection<X509Certificate> anchors) {
		try {
			if (this.revocation != null) {
				this.revocation.lists().issuers(anchors);
			}
		}
		finally {
			// It is in force already, whatever becomes of the lists
			this.epoch.advance();
		}
	}

	KeyManager keyManager() {
		return this.keyManager;
	}

	X509ExtendedTrustManager trustManager() {
		return this.trustManager;
	}

	ClientAuth clientAuth() {
		return this.clientAuth;
	}

	/** Advances whenever other clients are trusted than before. */
	TrustEpoch epoch() {
		return this.epoch;
	}

	@Nullable RevocationChecker revocation() {
		return this.revocation;
	}

	private @Nullable State stateOf(long generation) {
		State found = this.state;
		while (found != null && found.generation != generation) {
			found = found.last;
		}
		return found;
	}

	private TlsMaterial check(TlsMaterial material) {
		X509Certificate leaf = material.leaf();
		String certificate = "The certificate of " + leaf.getSubjectX500Principal() + " from " + material.origin();
		Instant now = this.clock.instant();
		if (now.isAfter(leaf.getNotAfter().toInstant())) {
			throw new TlsConfigurationException(certificate + " expired at " + leaf.getNotAfter().toInstant() + ".",
					"Renew the certificate.");
		}
		if (now.isBefore(leaf.getNotBefore().toInstant())) {
			throw new TlsConfigurationException(
					certificate + " is not valid before " + leaf.getNotBefore().toInstant() + ".",
					"Wait until then, use another certificate, or correct the clock, which says " + now + ".");
		}
		if (!fits(material.privateKey(), leaf)) {
			throw new TlsConfigurationException(certificate + " does not belong to the private key.",
					"Take the key for which the certificate was issued. In a chain, the certificate of the server "
							+ "comes first.");
		}
		CertificateChain.check(material);
		if (this.spiffe != null && !material.trustAnchors().isEmpty()) {
			throw new TlsConfigurationException(
					"It is said twice which client certificates to trust: with grpc.security.tls.spiffe.*, and with "
							+ "trust certificates, a trust store or the trust store of the bundle.",
					"Keep one of the two.");
		}
		if (this.clientAuth != ClientAuth.NONE && this.spiffe == null && material.trustAnchors().isEmpty()) {
			throw new TlsConfigurationException(
					"grpc.security.tls.client-auth is '" + this.clientAuth.name().toLowerCase(Locale.ROOT)
							+ "', but it is not said which client certificates to trust.",
					"Name the authority that issues them with grpc.security.tls.trust-certificates or "
							+ "grpc.security.tls.trust-store (or the trust store of the bundle), or set "
							+ "grpc.security.tls.client-auth to none.");
		}
		return material;
	}

	private static boolean fits(PrivateKey key, X509Certificate leaf) {
		String algorithm = SIGNATURES.get(leaf.getPublicKey().getAlgorithm());
		if (algorithm == null) {
			return key.getAlgorithm().equals(leaf.getPublicKey().getAlgorithm());
		}
		try {
			byte[] text = { 1, 2, 3, 4 };
			Signature signer = Signature.getInstance(algorithm);
			if (algorithm.equals("RSASSA-PSS")) {
				signer.setParameter(PSSParameterSpec.DEFAULT);
			}
			signer.initSign(key);
			signer.update(text);
			byte[] signature = signer.sign();
			signer.initVerify(leaf.getPublicKey());
			signer.update(text);
			return signer.verify(signature);
		}
		catch (GeneralSecurityException ex) {
			return false;
		}
	}

	/** One generation of material, with the managers made from it. */
	static final class State {

		final long generation;

		final TlsMaterial material;

		final X509ExtendedKeyManager keyManager;

		final @Nullable X509ExtendedTrustManager trustManager;

		/** For handshakes that began before the exchange. */
		private final @Nullable State last;

		State(long generation, TlsMaterial material, @Nullable State last) {
			this.generation = generation;
			this.material = material;
			this.last = (last != null) ? new State(last, KEPT) : null;
			try {
				this.keyManager = keyManager(material);
				this.trustManager = trustManager(material);
			}
			catch (GeneralSecurityException | IOException ex) {
				throw new TlsConfigurationException(
						"Java cannot use the key or the certificates from " + material.origin() + ".",
						"Use RSA or EC keys.", ex);
			}
		}

		private State(State state, int kept) {
			this.generation = state.generation;
			this.material = state.material;
			this.last = (state.last != null && kept > 1) ? new State(state.last, kept - 1) : null;
			this.keyManager = state.keyManager;
			this.trustManager = state.trustManager;
		}

		private static X509ExtendedKeyManager keyManager(TlsMaterial material)
				throws GeneralSecurityException, IOException {
			KeyStore store = emptyStore();
			store.setKeyEntry("key", material.privateKey(), NO_PASSWORD,
					material.chain().toArray(X509Certificate[]::new));
			KeyManagerFactory factory = KeyManagerFactory.getInstance(KeyManagerFactory.getDefaultAlgorithm());
			factory.init(store, NO_PASSWORD);
			for (KeyManager manager : factory.getKeyManagers()) {
				if (manager instanceof X509ExtendedKeyManager extended) {
					return extended;
				}
			}
			throw new GeneralSecurityException("No key manager for X.509 certificates");
		}

		private static @Nullable X509ExtendedTrustManager trustManager(TlsMaterial material)
				throws GeneralSecurityException, IOException {
			if (material.trustAnchors().isEmpty()) {
				return null;
			}
			KeyStore store = emptyStore();
			int count = 0;
			for (X509Certificate anchor : material.trustAnchors()) {
				store.setCertificateEntry("anchor-" + count++, anchor);
			}
			TrustManagerFactory factory = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
			factory.init(store);
			for (TrustManager manager : factory.getTrustManagers()) {
				if (manager instanceof X509ExtendedTrustManager extended) {
					return extended;
				}
			}
			throw new GeneralSecurityException("No trust manager for X.509 certificates");
		}

		private static KeyStore emptyStore() throws GeneralSecurityException, IOException {
			KeyStore store = KeyStore.getInstance("PKCS12");
			store.load(null, null);
			return store;
		}

	}

}
