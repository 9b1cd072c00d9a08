package io.github.grpcsecurity.tls;

import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.security.GeneralSecurityException;
import java.security.Key;
import java.security.KeyStore;
import java.security.KeyStoreException;
import java.security.PrivateKey;
import java.security.UnrecoverableKeyException;
import java.security.cert.Certificate;
import java.security.cert.X509Certificate;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;

import org.jspecify.annotations.Nullable;

import org.springframework.boot.ssl.SslBundle;
import org.springframework.boot.ssl.SslStoreBundle;

/** Reads keys and certificates from keystores, be they files or part of an SSL bundle. */
final class KeyStoreReader {

	private static final String BUNDLE = "grpc.security.tls.bundle";

	private KeyStoreReader() {
	}

	static KeyAndChain keyAndChain(TlsStore store, @Nullable String alias, @Nullable String keyPassword) {
		KeyStore keyStore = open(store, "a keystore with a private key");
		store.location().warnIfWorldReadable();
		String password = (keyPassword != null) ? keyPassword : store.password();
		return keyAndChain(store.location().property(), store.location().toString(), keyStore, alias, password,
				"grpc.security.tls.key-alias", store.location().property() + "-password",
				"grpc.security.tls.key-password");
	}

	static List<X509Certificate> trustAnchors(TlsStore store) {
		KeyStore keyStore = open(store, "a keystore with certificates of authorities");
		List<X509Certificate> anchors = anchors(keyStore);
		if (anchors.isEmpty()) {
			throw new TlsConfigurationException(
					store.location() + " which holds no trusted certificate, only keys or nothing.",
					"Import the certificate of the authority: keytool -importcert -keystore FILE -file ca.pem.");
		}
		return anchors;
	}

	static KeyAndChain keyAndChain(String name, SslBundle bundle) {
		return keyAndChain(BUNDLE, name, bundle);
	}

	static KeyAndChain keyAndChain(String property, String name, SslBundle bundle) {
		SslStoreBundle stores = bundle.getStores();
		String what = property + " is '" + name + "',";
		KeyStore keyStore = (stores != null) ? stores.getKeyStore() : null;
		if (keyStore == null) {
			throw new TlsConfigurationException(what + " which holds no certificate of the server.",
					"Add a keystore to the bundle, as in spring.ssl.bundle.pem." + name + ".keystore.certificate and "
							+ "spring.ssl.bundle.pem." + name + ".keystore.private-key.");
		}
		String keyPassword = bundle.getKey().getPassword();
		String password = (keyPassword != null) ? keyPassword : stores.getKeyStorePassword();
		return keyAndChain(property, what, keyStore, bundle.getKey().getAlias(), password, "key.alias of the bundle",
				"key.password of the bundle", "key.password of the bundle");
	}

	static List<X509Certificate> trustAnchors(String name, SslBundle bundle) {
		SslStoreBundle stores = bundle.getStores();
		KeyStore trustStore = (stores != null) ? stores.getTrustStore() : null;
		return (trustStore != null) ? anchors(trustStore) : List.of();
	}

	private static KeyStore open(TlsStore store, String expected) {
		TlsLocation location = store.location();
		byte[] content = location.read(expected);
		String type = (store.type() != null) ? store.type() : "PKCS12";
		KeyStore keyStore;
		try {
			// A JDK also opens a JKS file when asked for PKCS12, and the other way round
			keyStore = KeyStore.getInstance(type);
		}
		catch (KeyStoreException ex) {
			throw new TlsConfigurationException(
					location.property() + "-type is '" + type + "', which Java does not know.",
					"Set " + location.property() + "-type to PKCS12 or JKS, or leave it out.", ex);
		}
		try {
			String password = store.password();
			keyStore.load(new ByteArrayInputStream(content), (password != null) ? password.toCharArray() : null);
			if (password == null && keyStore.size() == 0) {
				throw new TlsConfigurationException(location + " which shows nothing without a password.",
						"Set " + location.property() + "-password.");
			}
			return keyStore;
		}
		catch (IOException ex) {
			if (ex.getCause() instanceof UnrecoverableKeyException) {
				throw new TlsConfigurationException(location + " which the password does not open.",
						"Correct " + location.property() + "-password.", ex);
			}
			throw unreadable(location, type, ex);
		}
		catch (GeneralSecurityException ex) {
			throw unreadable(location, type, ex);
		}
	}

	private static TlsConfigurationException unreadable(TlsLocation location, String type, Exception cause) {
		return new TlsConfigurationException(location + " but that is no keystore of type " + type + ".",
				"Let " + location.property() + " name a PKCS12 or JKS file, or set " + location.property()
						+ "-type to what it is.",
				cause);
	}

	private static KeyAndChain keyAndChain(String origin, String what, KeyStore keyStore, @Nullable String alias,
			@Nullable String password, String aliasSetting, String passwordSetting, String keyPasswordSetting) {
		try {
			String chosen = (alias != null) ? alias : onlyKey(keyStore, what, aliasSetting);
			if (!keyStore.isKeyEntry(chosen)) {
				throw new TlsConfigurationException(what + " which holds no key with the alias '" + chosen + "'.",
						"Set " + aliasSetting + " to one of " + keys(keyStore) + ".");
			}
			Key key = keyStore.getKey(chosen, (password != null) ? password.toCharArray() : null);
			Certificate[] chain = keyStore.getCertificateChain(chosen);
			if (!(key instanceof PrivateKey privateKey) || chain == null) {
				throw new TlsConfigurationException(
						what + " where '" + chosen + "' is no private key with a certificate.",
						"Set " + aliasSetting + " to an entry that has both.");
			}
			return new KeyAndChain(origin, privateKey, x509(chain));
		}
		catch (UnrecoverableKeyException ex) {
			throw (password != null)
					? new TlsConfigurationException(what + " whose key the password does not open.",
							"Set " + keyPasswordSetting + " to the password of the key.", ex)
					: new TlsConfigurationException(what + " whose key needs a password.",
							"Set " + passwordSetting + ".", ex);
		}
		catch (GeneralSecurityException ex) {
			throw new TlsConfigurationException(what + " whose key cannot be read.", "Make the keystore anew.", ex);
		}
	}

	private static String onlyKey(KeyStore keyStore, String what, String aliasSetting) throws KeyStoreException {
		List<String> keys = keys(keyStore);
		if (keys.size() != 1) {
			throw keys.isEmpty()
					? new TlsConfigurationException(what + " which holds no private key.",
							"Add the key and the certificate of the server to it.")
					: new TlsConfigurationException(what + " which holds several keys: " + keys + ".",
							"Say which one with " + aliasSetting + ".");
		}
		return keys.get(0);
	}

	private static List<String> keys(KeyStore keyStore) throws KeyStoreException {
		List<String> keys = new ArrayList<>();
		for (String alias : Collections.list(keyStore.aliases())) {
			if (keyStore.isKeyEntry(alias)) {
				keys.add(alias);
			}
		}
		return keys;
	}

	private static List<X509Certificate> x509(Certificate[] chain) {
		List<X509Certificate> certificates = new ArrayList<>();
		for (Certificate certificate : chain) {
			certificates.add((X509Certificate) certificate);
		}
		return certificates;
	}

	private static List<X509Certificate> anchors(KeyStore keyStore) {
		try {
			List<X509Certificate> anchors = new ArrayList<>();
			for (String alias : Collections.list(keyStore.aliases())) {
				if (keyStore.isCertificateEntry(alias)
						&& keyStore.getCertificate(alias) instanceof X509Certificate certificate) {
					anchors.add(certificate);
				}
			}
			return anchors;
		}
		catch (KeyStoreException ex) {
			throw new IllegalStateException("The keystore was not loaded", ex);
		}
	}

}
