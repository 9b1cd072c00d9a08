package io.github.grpcsecurity.tls;

import java.security.cert.X509Certificate;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Function;
import java.util.function.Supplier;
import java.util.function.UnaryOperator;

import org.jspecify.annotations.Nullable;

import org.springframework.boot.ssl.SslBundle;

/**
 * Material from where the properties say: PEM files, keystores or an SSL bundle. Each
 * load reads them again.
 *
 * @since 0.1.0
 */
public final class ConfiguredTlsMaterial implements TlsMaterialSource {

	private final List<TlsLocation> files;

	private final Function<UnaryOperator<TlsLocation>, KeyAndChain> identity;

	private final Function<UnaryOperator<TlsLocation>, List<X509Certificate>> trust;

	private ConfiguredTlsMaterial(List<TlsLocation> files, Function<UnaryOperator<TlsLocation>, KeyAndChain> identity,
			Function<UnaryOperator<TlsLocation>, List<X509Certificate>> trust) {
		this.files = files;
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
		return new ConfiguredTlsMaterial(List.of(chain, key),
				(files) -> PemReader.keyAndChain(files.apply(chain), files.apply(key), keyPassword),
				(files) -> List.of());
	}

	/**
	 * A certificate and its key in a keystore.
	 * @param store the keystore
	 * @param alias which key to take; needed if there are several
	 * @param keyPassword password of the key; that of the store unless set
	 * @return material that trusts nobody
	 */
	public static ConfiguredTlsMaterial keyStore(TlsStore store, @Nullable String alias, @Nullable String keyPassword) {
		return new ConfiguredTlsMaterial(List.of(store.location()),
				(files) -> KeyStoreReader.keyAndChain(store.at(files.apply(store.location())), alias, keyPassword),
				(files) -> List.of());
	}

	/**
	 * Everything from an SSL bundle, trust included.
	 * @param name name of the bundle
	 * @param bundle gives the bundle as it is now
	 * @return material that trusts what the bundle trusts
	 */
	public static ConfiguredTlsMaterial bundle(String name, Supplier<SslBundle> bundle) {
		return new ConfiguredTlsMaterial(List.of(), (files) -> KeyStoreReader.keyAndChain(name, bundle.get()),
				(files) -> KeyStoreReader.trustAnchors(name, bundle.get()));
	}

	/**
	 * A certificate and its key from an SSL bundle.
	 * @param property name of the property that names the bundle
	 * @param name name of the bundle
	 * @param bundle gives the bundle as it is now
	 * @return material that trusts nobody
	 */
	public static ConfiguredTlsMaterial identity(String property, String name, Supplier<SslBundle> bundle) {
		return new ConfiguredTlsMaterial(List.of(), (files) -> KeyStoreReader.keyAndChain(property, name, bundle.get()),
				(files) -> List.of());
	}

	/**
	 * Trusts the certificates in a PEM file.
	 * @param certificates file with the certificates of authorities
	 * @return material with the same key and chain
	 */
	public ConfiguredTlsMaterial trusting(TlsLocation certificates) {
		return trusting(certificates, (files) -> PemReader.certificates(files.apply(certificates)));
	}

	/**
	 * Trusts the certificates in a keystore.
	 * @param store keystore with the certificates of authorities
	 * @return material with the same key and chain
	 */
	public ConfiguredTlsMaterial trusting(TlsStore store) {
		return trusting(store.location(),
				(files) -> KeyStoreReader.trustAnchors(store.at(files.apply(store.location()))));
	}

	private ConfiguredTlsMaterial trusting(TlsLocation location,
			Function<UnaryOperator<TlsLocation>, List<X509Certificate>> trust) {
		List<TlsLocation> all = new ArrayList<>(this.files);
		all.add(location);
		return new ConfiguredTlsMaterial(all, this.identity, trust);
	}

	@Override
	public TlsMaterial load() {
		return load(UnaryOperator.identity());
	}

	/** Reads everything from other places than the ones that were configured. */
	TlsMaterial load(UnaryOperator<TlsLocation> places) {
		KeyAndChain found = this.identity.apply(places);
		return new TlsMaterial(found.origin(), found.key(), found.chain(), this.trust.apply(places));
	}

	/** The files that are read; none for a bundle. */
	List<TlsLocation> files() {
		return this.files;
	}

}
