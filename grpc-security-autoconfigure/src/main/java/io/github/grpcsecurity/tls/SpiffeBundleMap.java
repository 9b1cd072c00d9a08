package io.github.grpcsecurity.tls;

import java.io.ByteArrayInputStream;
import java.math.BigInteger;
import java.security.GeneralSecurityException;
import java.security.KeyStore;
import java.security.PublicKey;
import java.security.cert.CertificateException;
import java.security.cert.CertificateFactory;
import java.security.cert.X509Certificate;
import java.security.interfaces.ECPublicKey;
import java.security.interfaces.RSAPublicKey;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Base64;
import java.util.Collection;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;

import javax.net.ssl.TrustManager;
import javax.net.ssl.TrustManagerFactory;
import javax.net.ssl.X509ExtendedTrustManager;

import org.jspecify.annotations.Nullable;
import tools.jackson.core.JacksonException;
import tools.jackson.core.StreamReadFeature;
import tools.jackson.databind.DeserializationFeature;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/**
 * The roots of each trust domain, such as from a file as gRFC A87 defines it. It is good
 * as a whole or not at all: one bad key voids it. Immutable.
 */
final class SpiffeBundleMap {

	/** Keys for tokens, which may stand in the same bundle. */
	private static final Set<String> OTHER_USES = Set.of("jwt-svid", "wit-svid");

	private static final JsonMapper JSON = JsonMapper.builder()
		.enable(StreamReadFeature.STRICT_DUPLICATE_DETECTION)
		.enable(DeserializationFeature.FAIL_ON_TRAILING_TOKENS)
		.build();

	private final Map<String, X509ExtendedTrustManager> domains;

	private SpiffeBundleMap(Map<String, X509ExtendedTrustManager> domains) {
		this.domains = domains;
	}

	/**
	 * Reads a map.
	 * @throws IllegalArgumentException if it is not good; the message says what is wrong
	 */
	static SpiffeBundleMap parse(byte[] json) {
		JsonNode root;
		try {
			root = JSON.readTree(json);
		}
		catch (JacksonException ex) {
			throw new IllegalArgumentException("it is no JSON", ex);
		}
		JsonNode domains = root.path("trust_domains");
		if (!domains.isObject() || domains.isEmpty()) {
			throw new IllegalArgumentException("it has no object 'trust_domains' with at least one trust domain");
		}
		Map<String, X509ExtendedTrustManager> found = new LinkedHashMap<>();
		for (Map.Entry<String, JsonNode> domain : domains.properties()) {
			String name = domain.getKey();
			if (!SpiffeId.isTrustDomain(name)) {
				throw new IllegalArgumentException("one of its trust domains has a name that is not allowed");
			}
			try {
				found.put(name, trustManager(roots(domain.getValue())));
			}
			catch (IllegalArgumentException ex) {
				throw new IllegalArgumentException("its trust domain '" + name + "' " + ex.getMessage(), ex);
			}
		}
		return new SpiffeBundleMap(found);
	}

	/**
	 * Makes a map of roots that are certificates already.
	 * @throws IllegalArgumentException if it is not good; the message says what is wrong
	 */
	static SpiffeBundleMap of(Map<String, ? extends Collection<X509Certificate>> roots) {
		Map<String, X509ExtendedTrustManager> found = new LinkedHashMap<>();
		roots.forEach((name, certificates) -> {
			if (!SpiffeId.isTrustDomain(name)) {
				throw new IllegalArgumentException("one of its trust domains has a name that is not allowed");
			}
			if (certificates.isEmpty()) {
				throw new IllegalArgumentException("its trust domain '" + name + "' has no certificate");
			}
			for (X509Certificate certificate : certificates) {
				if (certificate.getBasicConstraints() < 0) {
					throw new IllegalArgumentException(
							"its trust domain '" + name + "' has a certificate that is not of an authority");
				}
			}
			found.put(name, trustManager(List.copyOf(certificates)));
		});
		return new SpiffeBundleMap(found);
	}

	private static List<X509Certificate> roots(JsonNode bundle) {
		for (String number : List.of("spiffe_sequence", "spiffe_refresh_hint")) {
			JsonNode value = bundle.path(number);
			if (!value.isMissingNode() && !(value.isIntegralNumber() && value.bigIntegerValue().signum() >= 0)) {
				throw new IllegalArgumentException("has a '" + number + "' that is no whole number");
			}
		}
		JsonNode keys = bundle.path("keys");
		if (!keys.isArray()) {
			throw new IllegalArgumentException("has no array 'keys'");
		}
		List<X509Certificate> roots = new ArrayList<>();
		for (JsonNode key : keys) {
			if (!OTHER_USES.contains(key.path("use").asString(""))) {
				roots.add(root(key));
			}
		}
		if (roots.isEmpty()) {
			throw new IllegalArgumentException("has no key whose use is 'x509-svid'");
		}
		return roots;
	}

	private static X509Certificate root(JsonNode key) {
		if (!key.path("use").asString("").equals("x509-svid")) {
			throw new IllegalArgumentException("has a key whose use is not 'x509-svid'");
		}
		if (key.has("kid")) {
			throw new IllegalArgumentException("has an x509-svid key with a 'kid', which SPIFFE forbids");
		}
		JsonNode x5c = key.path("x5c");
		if (!x5c.isArray() || x5c.size() != 1 || !x5c.path(0).isString()) {
			throw new IllegalArgumentException("has a key whose 'x5c' is not exactly one certificate");
		}
		X509Certificate certificate = certificate(x5c.path(0).asString());
		if (certificate.getBasicConstraints() < 0) {
			throw new IllegalArgumentException("has a certificate that is not of an authority");
		}
		if (!fits(key, certificate.getPublicKey())) {
			throw new IllegalArgumentException("has a key that is neither RSA nor EC, or not that of its certificate");
		}
		return certificate;
	}

	private static X509Certificate certificate(String base64) {
		try {
			byte[] der = Base64.getDecoder().decode(base64);
			return (X509Certificate) CertificateFactory.getInstance("X.509")
				.generateCertificate(new ByteArrayInputStream(der));
		}
		catch (IllegalArgumentException | CertificateException ex) {
			throw new IllegalArgumentException("has a certificate that cannot be read", ex);
		}
	}

	private static boolean fits(JsonNode key, PublicKey certified) {
		return switch (key.path("kty").asString("")) {
			case "RSA" -> certified instanceof RSAPublicKey rsa && rsa.getModulus().equals(number(key, "n"))
					&& rsa.getPublicExponent().equals(number(key, "e"));
			case "EC" ->
				certified instanceof ECPublicKey elliptic && elliptic.getW().getAffineX().equals(number(key, "x"))
						&& elliptic.getW().getAffineY().equals(number(key, "y"));
			default -> false;
		};
	}

	private static @Nullable BigInteger number(JsonNode key, String name) {
		try {
			byte[] bytes = Base64.getUrlDecoder().decode(key.path(name).asString(""));
			return (bytes.length > 0) ? new BigInteger(1, bytes) : null;
		}
		catch (IllegalArgumentException ex) {
			return null;
		}
	}

	private static X509ExtendedTrustManager trustManager(List<X509Certificate> roots) {
		try {
			KeyStore store = KeyStore.getInstance("PKCS12");
			store.load(null, null);
			for (int i = 0; i < roots.size(); i++) {
				store.setCertificateEntry("root-" + i, roots.get(i));
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
		catch (GeneralSecurityException | java.io.IOException ex) {
			throw new IllegalArgumentException("has certificates that Java cannot use", ex);
		}
	}

	Set<String> names() {
		return new TreeSet<>(this.domains.keySet());
	}

	/** The roots of all domains. */
	Set<X509Certificate> roots() {
		Set<X509Certificate> roots = new HashSet<>();
		this.domains.values().forEach((domain) -> roots.addAll(Arrays.asList(domain.getAcceptedIssuers())));
		return roots;
	}

	/** Trusts what the roots of one domain have issued; {@code null} if it is unknown. */
	@Nullable X509ExtendedTrustManager domain(String name) {
		return this.domains.get(name);
	}

}
