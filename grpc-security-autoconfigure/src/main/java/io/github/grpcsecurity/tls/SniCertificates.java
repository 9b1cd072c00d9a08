package io.github.grpcsecurity.tls;

import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;

import javax.net.ssl.KeyManager;
import javax.net.ssl.X509ExtendedKeyManager;

/**
 * Certificates that a server shows to clients that ask for certain hosts (SNI). Other
 * clients, and those that name no host, see the server's usual one. Immutable; what the
 * credentials hold may be exchanged.
 * <p>
 * A host is a DNS name, or {@code *.} and one, which stands for exactly one more label as
 * in certificates. A name goes before a pattern.
 *
 * @since 0.1.0
 */
public final class SniCertificates {

	private static final String PROPERTY = "grpc.security.tls.sni";

	private static final String LABEL = "[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?";

	private static final String HOST = "(\\*\\.)?" + LABEL + "(\\." + LABEL + ")*";

	private final Map<String, TlsCredentials> hosts;

	private final Map<String, Integer> positions = new HashMap<>();

	/**
	 * Creates the certificates.
	 * @param hosts which credentials to use for which host
	 * @throws TlsConfigurationException if one is no host, or appears twice
	 */
	public SniCertificates(Map<String, TlsCredentials> hosts) {
		Map<String, TlsCredentials> normalized = new LinkedHashMap<>();
		hosts.forEach((host, credentials) -> {
			if (normalized.put(checked(host), credentials) != null) {
				throw twice(host);
			}
		});
		this.hosts = normalized;
		normalized.keySet().forEach((host) -> this.positions.put(host, this.positions.size()));
	}

	/**
	 * Complains about a host that is named twice.
	 * @param host the host
	 * @return the exception to throw
	 */
	public static TlsConfigurationException twice(String host) {
		return new TlsConfigurationException(PROPERTY + " names the host '" + host + "' twice.",
				"Keep one certificate for each host.");
	}

	/**
	 * No certificates for certain hosts.
	 * @return certificates that no host has
	 */
	public static SniCertificates none() {
		return new SniCertificates(Map.of());
	}

	private static String checked(String host) {
		String normalized = host.trim().toLowerCase(Locale.ROOT);
		if (!normalized.matches(HOST) || normalized.matches("[0-9.]+")) {
			throw new TlsConfigurationException(PROPERTY + " has the host '" + host + "', which no client can ask for.",
					"Use a DNS name such as api.bank.example, or *.bank.example for all names one label longer. "
							+ "Addresses cannot be asked for: they get the server's usual certificate.");
		}
		return normalized;
	}

	/**
	 * The credentials of all hosts, such as for exchanging what they hold.
	 * @return credentials by host
	 */
	public Map<String, TlsCredentials> byHost() {
		return Map.copyOf(this.hosts);
	}

	/** Chooses by host, and otherwise from the server's usual credentials. */
	KeyManager keyManager(TlsCredentials usual) {
		return this.hosts.isEmpty() ? usual.keyManager()
				: new SniKeyManager((X509ExtendedKeyManager) usual.keyManager(), this);
	}

	/** Key managers in the order of {@link #find}. */
	List<X509ExtendedKeyManager> keyManagers() {
		return this.hosts.values()
			.stream()
			.map((credentials) -> (X509ExtendedKeyManager) credentials.keyManager())
			.toList();
	}

	/** Number of the credentials for a host; negative if there are none. */
	int find(String host) {
		String name = host.toLowerCase(Locale.ROOT);
		if (name.endsWith(".")) {
			name = name.substring(0, name.length() - 1);
		}
		Integer exact = this.positions.get(name);
		if (exact != null) {
			return exact;
		}
		int dot = name.indexOf('.');
		return (dot > 0) ? this.positions.getOrDefault("*" + name.substring(dot), -1) : -1;
	}

}
