package io.github.grpcsecurity.autoconfigure;

import java.nio.file.Path;
import java.time.Duration;
import java.time.InstantSource;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Supplier;

import io.github.grpcsecurity.autoconfigure.GrpcSecurityProperties.Transport;
import io.github.grpcsecurity.autoconfigure.GrpcTlsProperties.SniBundle;
import io.github.grpcsecurity.dev.DevDirectory;
import io.github.grpcsecurity.tls.AltsTransport;
import io.github.grpcsecurity.tls.ClientAuth;
import io.github.grpcsecurity.tls.ConfiguredTlsMaterial;
import io.github.grpcsecurity.tls.RevocationChecker.Undetermined;
import io.github.grpcsecurity.tls.SniCertificates;
import io.github.grpcsecurity.tls.SpiffeTrust;
import io.github.grpcsecurity.tls.TlsConfigurationException;
import io.github.grpcsecurity.tls.TlsCredentials;
import io.github.grpcsecurity.tls.TlsHandshakeListener;
import io.github.grpcsecurity.tls.TlsLocation;
import io.github.grpcsecurity.tls.TlsMaterialSource;
import io.github.grpcsecurity.tls.TlsSettings;
import io.github.grpcsecurity.tls.TlsStore;
import io.github.grpcsecurity.tls.TransportConfigurer;
import io.github.grpcsecurity.tls.WorkloadApi;
import org.apache.commons.logging.Log;
import org.apache.commons.logging.LogFactory;
import org.jspecify.annotations.Nullable;

import org.springframework.boot.context.properties.bind.Bindable;
import org.springframework.boot.context.properties.bind.Binder;
import org.springframework.boot.io.ApplicationResourceLoader;
import org.springframework.boot.ssl.NoSuchSslBundleException;
import org.springframework.boot.ssl.SslBundle;
import org.springframework.boot.ssl.SslBundles;
import org.springframework.boot.ssl.SslOptions;
import org.springframework.core.env.Environment;
import org.springframework.core.io.FileSystemResource;
import org.springframework.core.io.ResourceLoader;

/**
 * Finds out from the properties how the server is to be reached: with whose TLS, or
 * without.
 */
final class TransportSetup {

	private static final Log logger = LogFactory.getLog(TransportSetup.class);

	private static final String TLS = "grpc.security.tls.";

	private static final String TRANSPORT = "grpc.security.transport";

	/** Settings that mean nothing when the server's own TLS is used, or none. */
	private static final List<String> OWN_TLS = List.of("bundle", "certificate-chain", "private-key",
			"private-key-password", "key-store", "key-store-type", "key-store-password", "key-alias", "key-password",
			"trust-certificates", "trust-store", "trust-store-type", "trust-store-password", "client-auth", "protocols",
			"ciphers", "reload-interval", "expiry-warning", "spiffe.bundle-map", "spiffe.workload-api-socket",
			"spiffe.trust-domains", "crl.locations", "crl.undetermined", "crl.next-update-grace");

	/** Settings that mean nothing without another one. */
	private static final Map<String, String> NEEDED = needed();

	private final GrpcSecurityProperties security;

	private final GrpcTlsProperties tls;

	private final HostServer host;

	private final Binder binder;

	private final ResourceLoader resources;

	TransportSetup(GrpcSecurityProperties security, GrpcTlsProperties tls, Environment environment,
			ResourceLoader resources) {
		this.security = security;
		this.tls = tls;
		this.host = new HostServer(environment);
		this.binder = Binder.get(environment);
		this.resources = ApplicationResourceLoader.get(resources, true);
	}

	private static Map<String, String> needed() {
		Map<String, String> needed = new LinkedHashMap<>();
		needed.put("certificate-chain", "private-key");
		needed.put("private-key", "certificate-chain");
		needed.put("private-key-password", "private-key");
		needed.put("key-store-type", "key-store");
		needed.put("key-store-password", "key-store");
		needed.put("key-alias", "key-store");
		needed.put("key-password", "key-store");
		needed.put("trust-store-type", "trust-store");
		needed.put("trust-store-password", "trust-store");
		needed.put("crl.undetermined", "crl.locations");
		needed.put("crl.next-update-grace", "crl.locations");
		return needed;
	}

	TransportConfigurer configurer(@Nullable TlsMaterialSource userSource, @Nullable SslBundles bundles,
			@Nullable DevDirectory dev, Supplier<@Nullable AltsTransport> alts, List<TlsHandshakeListener> listeners,
			@Nullable SpiffeTrust spiffe, @Nullable WorkloadApi workload) {
		if (this.security.transport() == Transport.ALTS) {
			return alts(userSource, alts);
		}
		if (this.security.transport() == Transport.PLAINTEXT) {
			return plaintext(userSource);
		}
		if (this.host.hasTls()) {
			return hostTls(userSource);
		}
		checkTogether();
		TlsMaterialSource source = source(userSource, bundles, dev, spiffe, workload);
		if (source == null) {
			if (this.host.isInProcessOnly()) {
				return TransportConfigurer.asConfiguredByServer(handshakeTimeout());
			}
			throw noMaterial();
		}
		return TransportConfigurer.tls(
				new TlsCredentials(source, this.tls.clientAuth(), InstantSource.system(),
						new RevocationSetup(this.tls, this.resources).checker(), spiffe),
				settings(bundles), sni(bundles), listeners);
	}

	private TransportConfigurer alts(@Nullable TlsMaterialSource userSource, Supplier<@Nullable AltsTransport> alts) {
		if (this.host.hasTls()) {
			throw new TlsConfigurationException(TRANSPORT + " is 'alts', but " + HostServer.TLS + " is 'true'.",
					"Remove one of the two: a server speaks either ALTS or TLS.");
		}
		String own = firstOwnSetting(userSource);
		if (own != null) {
			throw new TlsConfigurationException(TRANSPORT + " is 'alts', but there is also " + own + ".", "Remove "
					+ TRANSPORT + " to serve TLS, or remove the settings of TLS: ALTS needs no certificates.");
		}
		if (this.host.isInProcessOnly()) {
			return TransportConfigurer.asConfiguredByServer(handshakeTimeout());
		}
		if (this.host.address().startsWith("unix:")) {
			throw new TlsConfigurationException(
					TRANSPORT + " is 'alts', but the gRPC server listens on " + this.host.describeAddress()
							+ ", which no other machine can reach.",
					"Let it listen on an IP address with " + HostServer.ADDRESS + ", or set " + TRANSPORT
							+ "=plaintext.");
		}
		AltsTransport transport = alts.get();
		if (transport == null) {
			throw new TlsConfigurationException(
					TRANSPORT + " is 'alts', but io.grpc:grpc-alts or io.grpc:grpc-netty-shaded is missing.",
					"Add both dependencies: ALTS works on shaded Netty only.");
		}
		return TransportConfigurer.alts(transport, handshakeTimeout());
	}

	private TransportConfigurer plaintext(@Nullable TlsMaterialSource userSource) {
		if (this.host.hasTls()) {
			throw new TlsConfigurationException(TRANSPORT + " is 'plaintext', but " + HostServer.TLS + " is 'true'.",
					"Remove one of the two.");
		}
		String own = firstOwnSetting(userSource);
		if (own != null) {
			throw new TlsConfigurationException(TRANSPORT + " is 'plaintext', but there is also " + own + ".",
					"Remove " + TRANSPORT + " to serve TLS, or remove the settings of TLS to serve plaintext.");
		}
		if (this.host.isLocal()) {
			logger.warn("The gRPC server speaks plaintext (" + TRANSPORT
					+ "). Every process on this machine that can listen in reads the calls; bearer tokens and "
					+ "API keys are refused, unless a trusted proxy on it vouches for the client "
					+ "(grpc.security.proxy.trusted).");
		}
		else if (this.security.allowInsecure()) {
			logger.warn("The gRPC server speaks plaintext on " + this.host.describeAddress()
					+ ", because grpc.security.allow-insecure is true. Everybody on the way can read and change the "
					+ "calls; bearer tokens and API keys are refused.");
		}
		else {
			throw new TlsConfigurationException(
					TRANSPORT + " is 'plaintext', but the gRPC server listens on " + this.host.describeAddress()
							+ ", where others can read the calls.",
					"Let it listen on this machine only with " + HostServer.ADDRESS
							+ "=127.0.0.1, or serve TLS with grpc.security.tls.*, or accept the risk with "
							+ "grpc.security.allow-insecure=true.");
		}
		return TransportConfigurer.asConfiguredByServer(handshakeTimeout());
	}

	private TransportConfigurer hostTls(@Nullable TlsMaterialSource userSource) {
		String own = firstOwnSetting(userSource);
		if (own != null) {
			throw new TlsConfigurationException(
					HostServer.TLS + " is 'true', so the server has its own TLS, but there is also " + own + ".",
					"Set up TLS in one place: remove grpc.server.security.*, or remove grpc.security.tls.* except "
							+ "handshake-timeout.");
		}
		return TransportConfigurer.asConfiguredByServer(handshakeTimeout());
	}

	private @Nullable String firstOwnSetting(@Nullable TlsMaterialSource userSource) {
		for (String name : OWN_TLS) {
			if (isSet(name)) {
				return TLS + name;
			}
		}
		if (!this.tls.sni().isEmpty()) {
			return TLS + "sni";
		}
		return (userSource != null) ? "a bean of type TlsMaterialSource" : null;
	}

	private boolean isSet(String name) {
		// As a list, which a single value is as well: an object is not found in the
		// elements
		// that a list in YAML becomes
		List<String> values = this.binder.bind(TLS + name, Bindable.listOf(String.class)).orElse(null);
		return values != null && !values.isEmpty();
	}

	private boolean isDefault(String name) {
		return name.equals("crl.undetermined") && this.tls.crl().undetermined() == Undetermined.DENY;
	}

	private Duration handshakeTimeout() {
		return new TlsSettings(this.tls.clientAuth(), List.of("TLSv1.3"), List.of(), this.tls.handshakeTimeout())
			.handshakeTimeout();
	}

	private void checkTogether() {
		NEEDED.forEach((name, needed) -> {
			if (isSet(name) && !isSet(needed) && !isDefault(name)) {
				throw new TlsConfigurationException(TLS + name + " is set, but " + TLS + needed + " is not.",
						"Set " + TLS + needed + " as well, or remove " + TLS + name + ".");
			}
		});
		if (isSet("spiffe.trust-domains") && !isSet("spiffe.bundle-map") && !isSet("spiffe.workload-api-socket")) {
			throw new TlsConfigurationException(
					TLS + "spiffe.trust-domains is set, but neither " + TLS + "spiffe.bundle-map nor " + TLS
							+ "spiffe.workload-api-socket is.",
					"Set one of the two as well, or remove " + TLS + "spiffe.trust-domains.");
		}
	}

	private @Nullable TlsMaterialSource source(@Nullable TlsMaterialSource userSource, @Nullable SslBundles bundles,
			@Nullable DevDirectory dev, @Nullable SpiffeTrust spiffe, @Nullable WorkloadApi workload) {
		if (userSource != null) {
			String[] locations = { "bundle", "certificate-chain", "key-store", "trust-certificates", "trust-store" };
			for (String location : locations) {
				checkOne("there is a bean of type TlsMaterialSource", location);
			}
			return userSource;
		}
		String bundle = this.tls.bundle();
		if (bundle != null) {
			for (String other : List.of("certificate-chain", "key-store", "trust-certificates", "trust-store")) {
				checkOne(TLS + "bundle is set", other);
			}
			return ConfiguredTlsMaterial.bundle(bundle, () -> bundle(bundle, bundles));
		}
		ConfiguredTlsMaterial identity = identity();
		if (identity != null) {
			return trusting(identity);
		}
		if (isSet("trust-certificates") || isSet("trust-store")) {
			throw new TlsConfigurationException(
					TLS + (isSet("trust-store") ? "trust-store" : "trust-certificates")
							+ " says whom to trust, but the server has no certificate of its own.",
					"Name it with " + TLS + "certificate-chain and " + TLS + "private-key, or with " + TLS
							+ "key-store.");
		}
		if (dev != null) {
			return devMaterial(dev, spiffe);
		}
		return (workload != null) ? workload.material() : null;
	}

	private void checkOne(String present, String other) {
		if (isSet(other)) {
			throw new TlsConfigurationException(
					"More than one source is configured for TLS: " + present + ", and " + TLS + other + " too.",
					"Keep one of the two.");
		}
	}

	private SniCertificates sni(@Nullable SslBundles bundles) {
		Map<String, TlsCredentials> hosts = new LinkedHashMap<>();
		for (int i = 0; i < this.tls.sni().size(); i++) {
			SniBundle certificate = this.tls.sni().get(i);
			String property = TLS + "sni[" + i + "]";
			String host = sniSetting(property + ".host", certificate.host());
			String name = sniSetting(property + ".bundle", certificate.bundle());
			TlsMaterialSource source = ConfiguredTlsMaterial.identity(property + ".bundle", name,
					() -> bundle(property + ".bundle", name, bundles));
			if (hosts.put(host, new TlsCredentials(source, ClientAuth.NONE, InstantSource.system())) != null) {
				throw SniCertificates.twice(host);
			}
		}
		return new SniCertificates(hosts);
	}

	private static String sniSetting(String property, @Nullable String value) {
		if (value == null || value.isBlank()) {
			throw new TlsConfigurationException(property + " is not set.",
					"Give each entry of grpc.security.tls.sni a host, such as *.bank.example, and the name of the SSL "
							+ "bundle with its certificate.");
		}
		return value;
	}

	private static SslBundle bundle(String name, @Nullable SslBundles bundles) {
		return bundle(TLS + "bundle", name, bundles);
	}

	private static SslBundle bundle(String property, String name, @Nullable SslBundles bundles) {
		String problem = property + " is '" + name + "', but there is no SSL bundle of that name.";
		String wayOut = "Define it with spring.ssl.bundle.pem." + name + ".* or spring.ssl.bundle.jks." + name
				+ ".*, or correct the name.";
		if (bundles == null) {
			throw new TlsConfigurationException(problem, wayOut);
		}
		try {
			return bundles.getBundle(name);
		}
		catch (NoSuchSslBundleException ex) {
			throw new TlsConfigurationException(problem, wayOut, ex);
		}
	}

	private @Nullable ConfiguredTlsMaterial identity() {
		String chain = this.tls.certificateChain();
		String key = this.tls.privateKey();
		String store = this.tls.keyStore();
		if (chain != null && key != null) {
			checkOne(TLS + "certificate-chain is set", "key-store");
			return ConfiguredTlsMaterial.pem(location("certificate-chain", chain), location("private-key", key),
					this.tls.privateKeyPassword());
		}
		if (store != null) {
			return ConfiguredTlsMaterial.keyStore(
					new TlsStore(location("key-store", store), this.tls.keyStoreType(), this.tls.keyStorePassword()),
					this.tls.keyAlias(), this.tls.keyPassword());
		}
		return null;
	}

	private ConfiguredTlsMaterial trusting(ConfiguredTlsMaterial identity) {
		String certificates = this.tls.trustCertificates();
		String store = this.tls.trustStore();
		if (certificates != null) {
			checkOne(TLS + "trust-certificates is set", "trust-store");
			return identity.trusting(location("trust-certificates", certificates));
		}
		if (store != null) {
			return identity.trusting(new TlsStore(location("trust-store", store), this.tls.trustStoreType(),
					this.tls.trustStorePassword()));
		}
		return identity;
	}

	private TlsLocation location(String name, String value) {
		return new TlsLocation(TLS + name, value, this.resources.getResource(value));
	}

	private static ConfiguredTlsMaterial devMaterial(DevDirectory dev, @Nullable SpiffeTrust spiffe) {
		ConfiguredTlsMaterial identity = ConfiguredTlsMaterial.pem(devLocation(dev, dev.serverCertificate()),
				devLocation(dev, dev.serverKey()), null);
		return (spiffe != null) ? identity : identity.trusting(devLocation(dev, dev.caCertificate()));
	}

	private static TlsLocation devLocation(DevDirectory dev, Path file) {
		return new TlsLocation("grpc.security.dev.directory", dev.path().toString(), new FileSystemResource(file));
	}

	private TlsSettings settings(@Nullable SslBundles bundles) {
		List<String> protocols = this.tls.protocols();
		List<String> ciphers = this.tls.ciphers();
		String bundle = this.tls.bundle();
		if (bundle != null) {
			SslOptions options = bundle(bundle, bundles).getOptions();
			String[] enabledProtocols = options.getEnabledProtocols();
			String[] enabledCiphers = options.getCiphers();
			protocols = (enabledProtocols != null && !isSet("protocols")) ? List.of(enabledProtocols) : protocols;
			ciphers = (enabledCiphers != null && !isSet("ciphers")) ? List.of(enabledCiphers) : ciphers;
		}
		return new TlsSettings(this.tls.clientAuth(), protocols, ciphers, this.tls.handshakeTimeout());
	}

	private static TlsConfigurationException noMaterial() {
		return new TlsConfigurationException(
				"The gRPC server has no certificate for TLS, and nobody has asked for plaintext.",
				"""
						Choose one of three ways:

						1. Serve TLS. Name a certificate and its private key:
						     grpc.security.tls.certificate-chain=file:/etc/tls/server.pem
						     grpc.security.tls.private-key=file:/etc/tls/server-key.pem
						   A keystore (grpc.security.tls.key-store) or an SSL bundle (grpc.security.tls.bundle) will do too.

						2. Develop on this machine, with throw-away certificates:
						     grpc.security.dev.enabled=true

						3. Serve plaintext on this machine only, such as behind a proxy that ends TLS:
						     grpc.security.transport=plaintext
						     grpc.server.address=127.0.0.1""");
	}

}
