package io.github.grpcsecurity.tls;

import java.io.EOFException;
import java.math.BigInteger;
import java.net.Socket;
import java.security.KeyPair;
import java.security.KeyPairGenerator;
import java.security.Principal;
import java.security.PrivateKey;
import java.security.cert.X509Certificate;
import java.security.spec.ECGenParameterSpec;
import java.time.Duration;
import java.time.Instant;
import java.time.InstantSource;
import java.util.ArrayList;
import java.util.Date;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;

import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLEngine;
import javax.net.ssl.SSLParameters;
import javax.net.ssl.SSLSocket;
import javax.net.ssl.TrustManager;
import javax.net.ssl.X509ExtendedKeyManager;

import io.github.grpcsecurity.server.GrpcSecurityThreads;
import io.github.grpcsecurity.server.GrpcServerSecurity;
import io.github.grpcsecurity.server.SecuredService;
import io.github.grpcsecurity.testing.CallType;
import io.github.grpcsecurity.testing.EchoService;
import io.github.grpcsecurity.testing.TestCertificates;
import io.grpc.ManagedChannel;
import io.grpc.Server;
import io.grpc.ServerBuilder;
import io.grpc.Status.Code;
import io.grpc.netty.GrpcSslContexts;
import io.grpc.netty.NettyChannelBuilder;
import io.netty.handler.ssl.SslContextBuilder;
import io.netty.handler.ssl.SslProvider;
import io.netty.pkitesting.CertificateBuilder;
import io.netty.pkitesting.X509Bundle;
import org.bouncycastle.asn1.x500.X500Name;
import org.bouncycastle.asn1.x509.BasicConstraints;
import org.bouncycastle.asn1.x509.Extension;
import org.bouncycastle.cert.X509v3CertificateBuilder;
import org.bouncycastle.cert.jcajce.JcaX509CertificateConverter;
import org.bouncycastle.cert.jcajce.JcaX509v3CertificateBuilder;
import org.bouncycastle.operator.jcajce.JcaContentSignerBuilder;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatIOException;

/**
 * Clients that show what no honest one would. Plain Netty has the TLS provider of the JDK
 * here, shaded Netty that of BoringSSL.
 */
class HostileClientIT {

	private static final List<String> JDK_CIPHERS = List.of("TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384",
			"TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256");

	private final TestCertificates certificates = TestCertificates.create();

	private final GrpcSecurityThreads threads = new GrpcSecurityThreads();

	private final List<ManagedChannel> channels = new ArrayList<>();

	private final EchoService service = new EchoService();

	private TlsCredentials credentials;

	private Server server;

	@AfterEach
	void stop() throws InterruptedException {
		this.channels.forEach(ManagedChannel::shutdownNow);
		this.server.shutdownNow();
		this.server.awaitTermination(10, TimeUnit.SECONDS);
		this.threads.close();
	}

	@ParameterizedTest
	@EnumSource
	void handshakeWhenChainHasManyPathsThenItIsRefusedAtOnce(NettyFlavour flavour) throws Exception {
		start(flavour);
		KeyPair key = newKey();
		List<X509Certificate> chain = new ArrayList<>();
		chain.add(certificate("CN=Hostile", key, "CN=One", false));
		for (int i = 0; i < 200; i++) {
			chain.add((i % 2 == 0) ? certificate("CN=One", newKey(), "CN=Other", true)
					: certificate("CN=Other", newKey(), "CN=One", true));
		}
		long begin = System.nanoTime();

		Code code = CallType.UNARY.call(channel(new FixedKeyManager(key.getPrivate(), chain))).code();

		assertThat(code).isEqualTo(Code.UNAVAILABLE);
		assertThat(Duration.ofNanos(System.nanoTime() - begin)).isLessThan(Duration.ofSeconds(5));
		assertThat(this.service.entered).hasValue(0);
	}

	@Test
	void renegotiateWhenTls12IsOfferedThenConnectionEnds() throws Exception {
		start(NettyFlavour.PLAIN);
		X509Bundle client = this.certificates.client();
		SSLContext context = SSLContext.getInstance("TLSv1.2");
		context.init(client.toKeyManagerFactory().getKeyManagers(),
				new TrustManager[] { this.certificates.ca().toTrustManager() }, null);
		try (SSLSocket socket = (SSLSocket) context.getSocketFactory()
			.createSocket("127.0.0.1", this.server.getPort())) {
			SSLParameters parameters = socket.getSSLParameters();
			parameters.setApplicationProtocols(new String[] { "h2" });
			socket.setSSLParameters(parameters);
			socket.setSoTimeout(10_000);
			CountDownLatch renegotiated = new CountDownLatch(2);
			socket.addHandshakeCompletedListener((event) -> renegotiated.countDown());
			socket.startHandshake();
			// A whole handshake, not a resumed one
			socket.getSession().invalidate();

			assertThatIOException().isThrownBy(() -> {
				socket.startHandshake();
				while (socket.getInputStream().read() >= 0) {
					assertThat(renegotiated.getCount()).isPositive();
				}
				throw new EOFException();
			});

			assertThat(renegotiated.getCount()).isPositive();
		}
	}

	/**
	 * Java's clients show no certificate of an authority that the server did not name.
	 */
	@ParameterizedTest
	@EnumSource
	void replaceWhenNewAuthorityHasAnotherNameThenItsClientsConnect(NettyFlavour flavour) throws Exception {
		start(flavour);
		X509Bundle authority = new CertificateBuilder().ecp256()
			.subject("CN=New CA")
			.setIsCertificateAuthority(true)
			.buildSelfSigned();
		X509Bundle client = new CertificateBuilder().ecp256().subject("CN=New client").buildIssuedBy(authority);
		SslContextBuilder context = GrpcSslContexts.configure(SslContextBuilder.forClient(), SslProvider.JDK)
			.trustManager(this.certificates.ca().getCertificate())
			.keyManager(client.getKeyPair().getPrivate(), client.getCertificatePath());

		this.credentials.replace(new TlsMaterial("test", this.certificates.server().getKeyPair().getPrivate(),
				List.of(this.certificates.server().getCertificatePath()),
				List.of(this.certificates.ca().getCertificate(), authority.getCertificate())));

		assertThat(CallType.UNARY.call(channel(context)).code()).isEqualTo(Code.OK);
	}

	/** Names no key of its issuer, so that every certificate of that name may be it. */
	private static X509Certificate certificate(String subject, KeyPair key, String issuer, boolean authority)
			throws Exception {
		Instant now = Instant.now();
		X509v3CertificateBuilder builder = new JcaX509v3CertificateBuilder(new X500Name(issuer),
				BigInteger.valueOf(System.nanoTime()), Date.from(now.minusSeconds(3600)),
				Date.from(now.plusSeconds(86_400)), new X500Name(subject), key.getPublic());
		if (authority) {
			builder.addExtension(Extension.basicConstraints, true, new BasicConstraints(true));
		}
		return new JcaX509CertificateConverter()
			.getCertificate(builder.build(new JcaContentSignerBuilder("SHA256withECDSA").build(key.getPrivate())));
	}

	private static KeyPair newKey() throws Exception {
		KeyPairGenerator generator = KeyPairGenerator.getInstance("EC");
		generator.initialize(new ECGenParameterSpec("secp256r1"));
		return generator.generateKeyPair();
	}

	private void start(NettyFlavour flavour, TestCertificates... trusted) throws Exception {
		this.credentials = new TlsCredentials(
				() -> material((trusted.length > 0) ? trusted : new TestCertificates[] { this.certificates }),
				ClientAuth.REQUIRE, InstantSource.system());
		PeerTrust trust = new PeerTrust(this.credentials, this.threads, InstantSource.system());
		TlsSettings settings = new TlsSettings(ClientAuth.REQUIRE, List.of("TLSv1.3", "TLSv1.2"),
				(flavour == NettyFlavour.PLAIN) ? JDK_CIPHERS : List.of(), Duration.ofSeconds(10));
		GrpcServerSecurity security = GrpcServerSecurity.builder()
			.stages(List.of(trust))
			.configurers(List.of(TransportConfigurer.tls(this.credentials, settings), trust))
			.executor(this.threads.executor())
			.build();
		ServerBuilder<?> builder = flavour.builder();
		security.install(builder, List.of(new SecuredService(this.service.bindService(), this.service, "echo")));
		this.server = builder.build().start();
	}

	private TlsMaterial material(TestCertificates... trusted) {
		List<X509Certificate> anchors = new ArrayList<>();
		for (TestCertificates one : trusted) {
			anchors.add(one.ca().getCertificate());
		}
		return new TlsMaterial("test", this.certificates.server().getKeyPair().getPrivate(),
				List.of(this.certificates.server().getCertificatePath()), anchors);
	}

	private ManagedChannel channel(X509ExtendedKeyManager keyManager) throws Exception {
		return channel(GrpcSslContexts.configure(SslContextBuilder.forClient(), SslProvider.JDK)
			.trustManager(this.certificates.ca().getCertificate())
			.keyManager(keyManager));
	}

	private ManagedChannel channel(SslContextBuilder context) throws Exception {
		ManagedChannel channel = NettyChannelBuilder.forAddress("127.0.0.1", this.server.getPort())
			.sslContext(context.build())
			.build();
		this.channels.add(channel);
		return channel;
	}

	/** Shows a chain that no keystore would take. */
	private static final class FixedKeyManager extends X509ExtendedKeyManager {

		private final PrivateKey key;

		private final List<X509Certificate> chain;

		FixedKeyManager(PrivateKey key, List<X509Certificate> chain) {
			this.key = key;
			this.chain = chain;
		}

		@Override
		public String chooseEngineClientAlias(String[] keyTypes, Principal @Nullable [] issuers, SSLEngine engine) {
			return "client";
		}

		@Override
		public String chooseClientAlias(String[] keyTypes, Principal @Nullable [] issuers, Socket socket) {
			return "client";
		}

		@Override
		public String[] getClientAliases(String keyType, Principal @Nullable [] issuers) {
			return new String[] { "client" };
		}

		@Override
		public String @Nullable [] getServerAliases(String keyType, Principal @Nullable [] issuers) {
			return null;
		}

		@Override
		public @Nullable String chooseServerAlias(String keyType, Principal @Nullable [] issuers, Socket socket) {
			return null;
		}

		@Override
		public X509Certificate[] getCertificateChain(String alias) {
			return this.chain.toArray(X509Certificate[]::new);
		}

		@Override
		public PrivateKey getPrivateKey(String alias) {
			return this.key;
		}

	}

}
