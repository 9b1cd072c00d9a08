package io.github.grpcsecurity.autoconfigure;

import java.time.Duration;
import java.time.temporal.ChronoUnit;
import java.util.List;

import io.github.grpcsecurity.tls.ClientAuth;
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
 * @param spiffe How clients are known by their SPIFFE IDs.
 * @since 0.1.0
 */
@ConfigurationProperties("grpc.security.tls")
public record GrpcTlsProperties(@Nullable String bundle, @Nullable String certificateChain, @Nullable String privateKey,
		@Nullable String privateKeyPassword, @Nullable String keyStore, @Nullable String keyStoreType,
		@Nullable String keyStorePassword, @Nullable String keyAlias, @Nullable String keyPassword,
		@Nullable String trustCertificates, @Nullable String trustStore, @Nullable String trustStoreType,
		@Nullable String trustStorePassword, @DefaultValue("none") ClientAuth clientAuth,
		@DefaultValue("TLSv1.3") List<String> protocols, @DefaultValue List<String> ciphers,
		@DefaultValue("10s") @DurationUnit(ChronoUnit.SECONDS) Duration handshakeTimeout, @DefaultValue Spiffe spiffe) {

	/**
	 * Settings for clients with SPIFFE IDs.
	 *
	 * @param trustDomains Trust domains whose clients are admitted. All in the bundle map
	 * if not set.
	 * @param bundleMap JSON file with the roots of each trust domain, as gRFC A87 defines
	 * it.
	 */
	public record Spiffe(@DefaultValue List<String> trustDomains, @Nullable String bundleMap) {

	}

	/** Leaves out the passwords. */
	@Override
	public String toString() {
		return "GrpcTlsProperties[bundle=" + this.bundle + ", certificateChain=" + this.certificateChain
				+ ", privateKey=" + this.privateKey + ", keyStore=" + this.keyStore + ", keyStoreType="
				+ this.keyStoreType + ", keyAlias=" + this.keyAlias + ", trustCertificates=" + this.trustCertificates
				+ ", trustStore=" + this.trustStore + ", trustStoreType=" + this.trustStoreType + ", clientAuth="
				+ this.clientAuth + ", protocols=" + this.protocols + ", ciphers=" + this.ciphers
				+ ", handshakeTimeout=" + this.handshakeTimeout + ", spiffe=" + this.spiffe + "]";
	}

}
