package io.github.grpcsecurity.tls;

import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.security.cert.CertificateEncodingException;
import java.security.cert.X509Certificate;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.function.Supplier;

import org.springframework.core.io.ClassPathResource;

/**
 * What a source held at one moment: key, chain and trust in one digest.
 * <p>
 * Files are read once, so that what was compared is what is parsed. Times of files do not
 * matter, nor does how they were exchanged.
 */
final class TlsContent {

	private final String digest;

	private final Supplier<TlsMaterial> material;

	private TlsContent(MessageDigest digest, Supplier<TlsMaterial> material) {
		this.digest = HexFormat.of().formatHex(digest.digest());
		this.material = material;
	}

	/** Looks at a source. What is wrong with it shows when it is loaded. */
	static TlsContent of(TlsMaterialSource source) {
		return (source instanceof ConfiguredTlsMaterial files && !files.files().isEmpty()) ? ofFiles(files)
				: ofMaterial(source);
	}

	private static TlsContent ofFiles(ConfiguredTlsMaterial source) {
		MessageDigest digest = sha256();
		Map<TlsLocation, TlsLocation> frozen = new HashMap<>();
		for (TlsLocation location : source.files()) {
			// What is in a jar does not change
			if (!(location.resource() instanceof ClassPathResource)) {
				TlsLocation copy = location.frozen();
				((FrozenResource) copy.resource()).addTo(digest);
				frozen.put(location, copy);
			}
		}
		return new TlsContent(digest, () -> source.load((location) -> frozen.getOrDefault(location, location)));
	}

	private static TlsContent ofMaterial(TlsMaterialSource source) {
		MessageDigest digest = sha256();
		try {
			TlsMaterial material = source.load();
			byte[] key = material.privateKey().getEncoded();
			// A key that never leaves its device is known by its certificate
			digest.update((key != null) ? sha256().digest(key) : new byte[0]);
			add(digest, material.chain());
			add(digest, material.trustAnchors());
			return new TlsContent(digest, () -> material);
		}
		catch (RuntimeException ex) {
			digest.update(ex.toString().getBytes(StandardCharsets.UTF_8));
			return new TlsContent(digest, () -> {
				throw ex;
			});
		}
	}

	private static void add(MessageDigest digest, List<X509Certificate> certificates) {
		digest.update((certificates.size() + "\n").getBytes(StandardCharsets.UTF_8));
		for (X509Certificate certificate : certificates) {
			try {
				digest.update(certificate.getEncoded());
			}
			catch (CertificateEncodingException ex) {
				throw new IllegalStateException("A certificate was not made from bytes", ex);
			}
		}
	}

	private static MessageDigest sha256() {
		try {
			return MessageDigest.getInstance("SHA-256");
		}
		catch (NoSuchAlgorithmException ex) {
			throw new IllegalStateException("Java has no SHA-256", ex);
		}
	}

	String digest() {
		return this.digest;
	}

	TlsMaterial load() {
		return this.material.get();
	}

}
