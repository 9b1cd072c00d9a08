package io.github.grpcsecurity.autoconfigure;

import java.time.Duration;
import java.time.temporal.ChronoUnit;
import java.util.List;

import io.github.grpcsecurity.tls.ClientAuth;
import io.github.grpcsecurity.tls.RevocationChecker.Undetermined;
import org.jspecify.annotations.Nullable;

import org.springframework.boot.context.properties.ConfigurationProperties;
import org.springframework.boot.context.properties.bind.DefaultValue;
import org.springframework.boot.convert.DurationUnit;

/**
 * Settings for TLS on gRPC servers. The certificate of the server comes from one of an
 * SSL bundle, PEM files or a keystore.
 *
 * @param bundle Name of the SSL bundle with key, certificates and trust.
 * @param certificateChain PEM file with the certificate of the server, followed by its
 * intermediates.
 * @param privateKey PEM file with the private key of the server.
 * @param privateKeyPassword Password of the private key, if its PEM file is encrypted.
 * @param keyStore Keystore with the private key and the certificate of the server.
 * @param keyStoreType Type of the keystore, such as PKCS12 or JKS. Found out if not set.
 * @param keyStorePassword Password of the keystore.
 * @param keyAlias Alias of the key in the keystore. Needed if there are several.
 * @param keyPassword Password of the key in the keystore. That of the keystore if not
 * set.
 * @param trustCertificates PEM file with the certificates of authorities whose clients
 * are trusted.
 * @param trustStore Keystore with the certificates of authorities whose clients are
 * trusted.
 * @param trustStoreType Type of the truststore, such as PKCS12 or JKS. Found out if not
 * set.
 * @param trustStorePassword Password of the truststore.
 * @param clientAuth Whether clients are asked for a certificate, and turned away without
 * one.
 * @param protocols Versions of TLS that are offered, out of TLSv1.3 and TLSv1.2.
 * @param ciphers Cipher suites that are offered, by their Java names. All that HTTP/2
 * deems safe if not set.
 * @param handshakeTimeout Time a client may take until it is connected. Seconds are used
 * if no unit is given.
 * @param reloadInterval Time within which changed certificates, keys and trust anchors
 * are taken into use. Seconds are used if no unit is given; 0 to keep what was loaded at
 * startup.
 * @param expiryWarning Time before a certificate expires from which on the health
 * contributor warns. Days are used if no unit is given; 0 for no warning.
 * @param crl Revocation of client certificates.
 * @param sni Other certificates for clients that ask for certain hosts (SNI).
 * @param spiffe How clients are known by their SPIFFE IDs.
 * @since 0.1.0
 */
@ConfigurationProperties(prefix = "grpc.security.tls", ignoreUnknownFields = false)
public record GrpcTlsProperties(@Nullable String bundle, @Nullable String certificateChain, @Nullable String privateKey,
		@Nullable String privateKeyPassword, @Nullable String keyStore, @Nullable String keyStoreType,
		@Nullable String keyStorePassword, @Nullable String keyAlias, @Nullable String keyPassword,
		@Nullable String trustCertificates, @Nullable String trustStore, @Nullable String trustStoreType,
		@Nullable String trustStorePassword, @DefaultValue("none") ClientAuth clientAuth,
		@DefaultValue("TLSv1.3") List<String> protocols, @DefaultValue List<String> ciphers,
		@DefaultValue("10s") @DurationUnit(ChronoUnit.SECONDS) Duration handshakeTimeout,
		@DefaultValue("10s") @DurationUnit(ChronoUnit.SECONDS) Duration reloadInterval,
		@DefaultValue("14d") @DurationUnit(ChronoUnit.DAYS) Duration expiryWarning, @DefaultValue Crl crl,
		@DefaultValue List<SniBundle> sni, @DefaultValue Spiffe spiffe) {

	public GrpcTlsProperties {
		// Not the passwords of stores: an empty one is one
		bundle = OnSetPropertyCondition.valueOf(bundle);
		certificateChain = OnSetPropertyCondition.valueOf(certificateChain);
		privateKey = OnSetPropertyCondition.valueOf(privateKey);
		privateKeyPassword = OnSetPropertyCondition.valueOf(privateKeyPassword);
		keyStore = OnSetPropertyCondition.valueOf(keyStore);
		keyStoreType = OnSetPropertyCondition.valueOf(keyStoreType);
		keyAlias = OnSetPropertyCondition.valueOf(keyAlias);
		keyPassword = OnSetPropertyCondition.valueOf(keyPassword);
		trustCertificates = OnSetPropertyCondition.valueOf(trustCertificates);
		trustStore = OnSetPropertyCondition.valueOf(trustStore);
		trustStoreType = OnSetPropertyCondition.valueOf(trustStoreType);
	}

	/**
	 * A certificate for those who ask for a host.
	 *
	 * @param host DNS name, or *. and one for all names that are one label longer.
	 * @param bundle Name of the SSL bundle with key and certificates.
	 */
	public record SniBundle(@Nullable String host, @Nullable String bundle) {
	}

	/**
	 * Settings for clients with SPIFFE IDs.
	 *
	 * @param trustDomains Trust domains whose clients are admitted. All of which there
	 * are roots if not set.
	 * @param bundleMap JSON file with the roots of each trust domain, as gRFC A87 defines
	 * it.
	 * @param workloadApiSocket Address of the SPIFFE Workload API from which the roots of
	 * each trust domain come, such as unix:/run/spire/agent.sock.
	 */
	public record Spiffe(@DefaultValue List<String> trustDomains, @Nullable String bundleMap,
			@Nullable String workloadApiSocket) {

		public Spiffe {
			bundleMap = OnSetPropertyCondition.valueOf(bundleMap);
			workloadApiSocket = OnSetPropertyCondition.valueOf(workloadApiSocket);
		}

	}

	/** Leaves out the passwords. */
	@Override
	public String toString() {
		return "GrpcTlsProperties[bundle=" + this.bundle + ", certificateChain=" + this.certificateChain
				+ ", privateKey=" + this.privateKey + ", keyStore=" + this.keyStore + ", keyStoreType="
				+ this.keyStoreType + ", keyAlias=" + this.keyAlias + ", trustCertificates=" + this.trustCertificates
				+ ", trustStore=" + this.trustStore + ", trustStoreType=" + this.trustStoreType + ", clientAuth="
				+ this.clientAuth + ", protocols=" + this.protocols + ", ciphers=" + this.ciphers
				+ ", handshakeTimeout=" + this.handshakeTimeout + ", reloadInterval=" + this.reloadInterval
				+ ", expiryWarning=" + this.expiryWarning + ", crl=" + this.crl + ", sni=" + this.sni + ", spiffe="
				+ this.spiffe + "]";
	}

	/**
	 * Settings for certificate revocation lists.
	 *
	 * @param locations Files with certificate revocation lists in PEM or DER, or
	 * directories that hold nothing else. No revocation is checked if not set.
	 * @param undetermined What happens to a client certificate about which no list says
	 * anything, because its issuer has none or it cannot be read.
	 * @param nextUpdateGrace Time after its nextUpdate at which a list that was not
	 * replaced no longer counts, except for those it names. Seconds are used if no unit
	 * is given; lists count until they are replaced if not set.
	 */
	public record Crl(@DefaultValue List<String> locations, @DefaultValue("deny") Undetermined undetermined,
			@DurationUnit(ChronoUnit.SECONDS) @Nullable Duration nextUpdateGrace) {
	}

}
