package io.github.grpcsecurity.tls;

import java.security.cert.X509Certificate;
import java.util.List;
import java.util.function.Supplier;

import org.jspecify.annotations.Nullable;

import org.springframework.boot.ssl.SslBundle;

/**
 * Material from where the properties say: PEM files, keystores or an SSL bundle. Each
 * load reads them again.
 *
 * @since 0.1.0
 */
public final class ConfiguredTlsMaterial implements TlsMaterialSource {

	private final Supplier<KeyAndChain> identity;

	private final Supplier<List<X509Certificate>> trust;

	private ConfiguredTlsMaterial(Supplier<KeyAndChain> identity, Supplier<List<X509Certificate>> trust) {
		this.identity = identity;
		this.trust = trust;
	}

	/**
	 * A certificate and its key in PEM files.
	 * @param chain file with the certificate of the server, then its intermediates
	 * @param key file with the private key
	 * @param keyPassword password of an encrypted key
	 * @return material that trusts nobody
	 */
	public static ConfiguredTlsMaterial pem(TlsLocation chain, TlsLocation key, @Nullable String keyPassword) {
		return new ConfiguredTlsMaterial(() -> PemReader.keyAndChain(chain, key, keyPassword), List::of);
	}

	/**
	 * A certificate and its key in a keystore.
	 * @param store the keystore
	 * @param alias which key to take; needed if there are several
	 * @param keyPassword password of the key; that of the store unless set
	 * @return material that trusts nobody
	 */
	public static ConfiguredTlsMaterial keyStore(TlsStore store, @Nullable String alias, @Nullable String keyPassword) {
		return new ConfiguredTlsMaterial(() -> KeyStoreReader.keyAndChain(store, alias, keyPassword), List::of);
	}

	/**
	 * Everything from an SSL bundle, trust included.
	 * @param name name of the bundle
	 * @param bundle gives the bundle as it is now
	 * @return material that trusts what the bundle trusts
	 */
	public static ConfiguredTlsMaterial bundle(String name, Supplier<SslBundle> bundle) {
		return new ConfiguredTlsMaterial(() -> KeyStoreReader.keyAndChain(name, bundle.get()),
				() -> KeyStoreReader.trustAnchors(name, bundle.get()));
	}

	/**
	 * A certificate and its key from an SSL bundle.
	 * @param property name of the property that names the bundle
	 * @param name name of the bundle
	 * @param bundle gives the bundle as it is now
	 * @return material that trusts nobody
	 */
	public static ConfiguredTlsMaterial identity(String property, String name, Supplier<SslBundle> bundle) {
		return new ConfiguredTlsMaterial(() -> KeyStoreReader.keyAndChain(property, name, bundle.get()), List::of);
	}

	/**
	 * Trusts the certificates in a PEM file.
	 * @param certificates file with the certificates of authorities
	 * @return material with the same key and chain
	 */
	public ConfiguredTlsMaterial trusting(TlsLocation certificates) {
		return new ConfiguredTlsMaterial(this.identity, () -> PemReader.certificates(certificates));
	}

	/**
	 * Trusts the certificates in a keystore.
	 * @param store keystore with the certificates of authorities
	 * @return material with the same key and chain
	 */
	public ConfiguredTlsMaterial trusting(TlsStore store) {
		return new ConfiguredTlsMaterial(this.identity, () -> KeyStoreReader.trustAnchors(store));
	}

	@Override
	public TlsMaterial load() {
		KeyAndChain found = this.identity.get();
		return new TlsMaterial(found.origin(), found.key(), found.chain(), this.trust.get());
	}

}
