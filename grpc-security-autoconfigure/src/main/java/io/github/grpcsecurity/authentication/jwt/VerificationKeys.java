package io.github.grpcsecurity.authentication.jwt;

import java.security.GeneralSecurityException;
import java.security.Key;
import java.security.KeyFactory;
import java.security.PublicKey;
import java.security.spec.X509EncodedKeySpec;
import java.text.ParseException;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Set;

import com.nimbusds.jose.JOSEException;
import com.nimbusds.jose.JWSAlgorithm;
import com.nimbusds.jose.JWSHeader;
import com.nimbusds.jose.jwk.AsymmetricJWK;
import com.nimbusds.jose.jwk.Curve;
import com.nimbusds.jose.jwk.ECKey;
import com.nimbusds.jose.jwk.JWK;
import com.nimbusds.jose.jwk.JWKMatcher;
import com.nimbusds.jose.jwk.KeyOperation;
import com.nimbusds.jose.jwk.KeyUse;
import com.nimbusds.jose.jwk.OctetKeyPair;
import com.nimbusds.jose.jwk.RSAKey;
import com.nimbusds.jose.util.Base64URL;
import com.nimbusds.jose.util.JSONObjectUtils;
import org.apache.commons.logging.Log;
import org.apache.commons.logging.LogFactory;
import org.jspecify.annotations.Nullable;

/**
 * The public keys of an issuer, ready to verify signatures: only the public half of
 * asymmetric keys that are strong enough and meant for signatures ever gets in here.
 */
final class VerificationKeys {

	private static final Log logger = LogFactory.getLog(VerificationKeys.class);

	static final int MIN_RSA_BITS = 2048;

	private static final byte[] ED25519_PREFIX = HexFormat.of().parseHex("302a300506032b6570032100");

	private final List<VerificationKey> keys;

	private VerificationKeys(List<VerificationKey> keys) {
		this.keys = List.copyOf(keys);
	}

	private record VerificationKey(JWK jwk, PublicKey key) {
	}

	static VerificationKeys of(Collection<? extends JWK> jwks) {
		List<VerificationKey> keys = new ArrayList<>();
		for (JWK jwk : jwks) {
			keys.add(prepare(jwk));
		}
		return new VerificationKeys(keys);
	}

	/**
	 * Reads a JWK set as key servers publish it. Keys that cannot verify signatures are
	 * left out, as RFC 7517 5 asks for.
	 * @throws ParseException if it is no JWK set, or nothing in it is of use
	 */
	static VerificationKeys parsePublished(String json) throws ParseException {
		List<VerificationKey> keys = new ArrayList<>();
		for (Map<String, Object> candidate : candidates(json)) {
			try {
				keys.add(prepare(JWK.parse(candidate)));
			}
			catch (ParseException | IllegalArgumentException ex) {
				// One key of an unknown kind must not take the others with it
				logger.debug("Left out a key that cannot verify tokens", ex);
			}
		}
		if (keys.isEmpty()) {
			throw new ParseException("no key in it verifies signatures", 0);
		}
		return new VerificationKeys(keys);
	}

	static List<Map<String, Object>> candidates(String json) throws ParseException {
		Map<String, Object>[] candidates = JSONObjectUtils.getJSONObjectArray(JSONObjectUtils.parse(json), "keys");
		if (candidates == null) {
			throw new ParseException("no JWK set", 0);
		}
		return List.of(candidates);
	}

	private static VerificationKey prepare(JWK jwk) {
		if (!(jwk instanceof AsymmetricJWK asymmetric)) {
			throw new IllegalArgumentException("it is a symmetric key");
		}
		if (jwk.getKeyUse() != null && !KeyUse.SIGNATURE.equals(jwk.getKeyUse())) {
			throw new IllegalArgumentException("its 'use' is not 'sig'");
		}
		Set<KeyOperation> operations = jwk.getKeyOperations();
		if (operations != null && !operations.contains(KeyOperation.VERIFY)) {
			throw new IllegalArgumentException("its 'key_ops' do not contain 'verify'");
		}
		if (jwk instanceof RSAKey && jwk.size() < MIN_RSA_BITS) {
			throw new IllegalArgumentException(
					"it is an RSA key of " + jwk.size() + " bits; at least " + MIN_RSA_BITS + " are needed");
		}
		try {
			PublicKey key = (jwk instanceof OctetKeyPair pair) ? ed25519(pair) : asymmetric.toPublicKey();
			return new VerificationKey(jwk.toPublicJWK(), key);
		}
		catch (JOSEException | GeneralSecurityException ex) {
			throw new IllegalArgumentException("it is of a kind that this Java does not know", ex);
		}
	}

	// Nimbus leaves these keys to Tink; the JDK knows them itself
	private static PublicKey ed25519(OctetKeyPair pair) throws GeneralSecurityException {
		byte[] point = pair.getDecodedX();
		if (!Curve.Ed25519.equals(pair.getCurve()) || point.length != 32) {
			throw new IllegalArgumentException("it is no Ed25519 key");
		}
		byte[] encoded = new byte[ED25519_PREFIX.length + point.length];
		System.arraycopy(ED25519_PREFIX, 0, encoded, 0, ED25519_PREFIX.length);
		System.arraycopy(point, 0, encoded, ED25519_PREFIX.length, point.length);
		return KeyFactory.getInstance("Ed25519").generatePublic(new X509EncodedKeySpec(encoded));
	}

	static OctetKeyPair ed25519(PublicKey key) {
		byte[] encoded = key.getEncoded();
		byte[] point = new byte[32];
		System.arraycopy(encoded, encoded.length - point.length, point, 0, point.length);
		return new OctetKeyPair.Builder(Curve.Ed25519, Base64URL.encode(point)).build();
	}

	/**
	 * The keys that may have signed a token. Key type, curve, {@code use} and {@code alg}
	 * of a key must fit the algorithm; a {@code kid} must be the same, unless the key has
	 * none, as keys from PEM files.
	 */
	List<Key> select(JWSHeader header) {
		JWKMatcher matcher = JWKMatcher.forJWSHeader(header);
		if (matcher == null) {
			return List.of();
		}
		JWKMatcher nameless = (header.getKeyID() != null) ? nameless(matcher) : null;
		List<Key> selected = new ArrayList<>(1);
		for (VerificationKey key : this.keys) {
			if (fits(key.jwk(), header) && matches(key.jwk(), matcher, nameless)) {
				selected.add(key.key());
			}
		}
		return selected;
	}

	private static JWKMatcher nameless(JWKMatcher matcher) {
		return new JWKMatcher.Builder(matcher).keyID(null).x509CertSHA256Thumbprint(null).build();
	}

	// The matcher leaves the curves of elliptic keys to the verifier
	private static boolean fits(JWK key, JWSHeader header) {
		if (key instanceof ECKey ec) {
			Set<Curve> curves = Curve.forJWSAlgorithm(header.getAlgorithm());
			return curves != null && curves.contains(ec.getCurve());
		}
		return true;
	}

	private static boolean matches(JWK key, JWKMatcher matcher, @Nullable JWKMatcher nameless) {
		return matcher.matches(key) || (nameless != null && key.getKeyID() == null && nameless.matches(key));
	}

	boolean has(JWSHeader header) {
		return !select(header).isEmpty();
	}

	/** Whether some key could verify some token of one of these algorithms. */
	boolean fits(Collection<JWSAlgorithm> algorithms) {
		return algorithms.stream().anyMatch((algorithm) -> has(new JWSHeader(algorithm)));
	}

	int size() {
		return this.keys.size();
	}

}
