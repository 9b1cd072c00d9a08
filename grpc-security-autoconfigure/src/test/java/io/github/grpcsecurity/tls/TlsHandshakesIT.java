package io.github.grpcsecurity.tls;

import java.net.Socket;
import java.security.cert.CertPathValidatorException;
import java.security.cert.CertPathValidatorException.BasicReason;
import java.security.cert.CertificateException;
import java.security.cert.X509Certificate;
import java.time.Duration;
import java.time.Instant;
import java.time.InstantSource;
import java.util.List;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;

import javax.net.ssl.SSLEngine;
import javax.net.ssl.X509ExtendedTrustManager;

import io.github.grpcsecurity.testing.CallType;
import io.github.grpcsecurity.testing.EchoService;
import io.github.grpcsecurity.testing.TestCertificates;
import io.grpc.ManagedChannel;
import io.grpc.Server;
import io.grpc.ServerBuilder;
import io.grpc.Status;
import io.grpc.netty.GrpcSslContexts;
import io.grpc.netty.NettyChannelBuilder;
import io.netty.handler.ssl.SslContextBuilder;
import io.netty.pkitesting.CertificateBuilder;
import io.netty.pkitesting.X509Bundle;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;

/** How real handshakes end, in the words of A118. */
class TlsHandshakesIT {

	private final TestCertificates certificates = TestCertificates.create();

	private final BlockingQueue<TlsHandshakeResult> results = new LinkedBlockingQueue<>();

	private Server server;

	@AfterEach
	void stop() throws InterruptedException {
		if (this.server != null) {
			this.server.shutdownNow();
			this.server.awaitTermination(10, TimeUnit.SECONDS);
		}
	}

	@ParameterizedTest
	@EnumSource
	void handshakeWhenCertificateIsGoodThenSuccess(NettyFlavour flavour) throws Exception {
		start(flavour, ClientAuth.REQUIRE, Duration.ofSeconds(10), "TLSv1.3", "TLSv1.2");

		assertThat(call(this.certificates.client(), "TLSv1.3")).isEqualTo(Status.Code.OK);
		assertResult(TlsHandshakeResult.SUCCESS);
		assertThat(call(this.certificates.client(), "TLSv1.2")).isEqualTo(Status.Code.OK);
		assertResult(TlsHandshakeResult.SUCCESS);
	}

	@ParameterizedTest
	@EnumSource
	void handshakeWhenCertificateIsExpiredThenExpired(NettyFlavour flavour) throws Exception {
		Instant now = Instant.now();
		assertRefused(flavour, this.certificates.issueClient(
				(client) -> client.notBefore(now.minus(Duration.ofHours(2))).notAfter(now.minus(Duration.ofHours(1)))),
				TlsHandshakeResult.CERTIFICATE_EXPIRED);
	}

	@ParameterizedTest
	@EnumSource
	void handshakeWhenCertificateIsFromTheFutureThenNotYetValid(NettyFlavour flavour) throws Exception {
		Instant now = Instant.now();
		assertRefused(flavour, this.certificates.issueClient(
				(client) -> client.notBefore(now.plus(Duration.ofHours(1))).notAfter(now.plus(Duration.ofHours(2)))),
				TlsHandshakeResult.CERTIFICATE_NOT_YET_VALID);
	}

	@ParameterizedTest
	@EnumSource
	void handshakeWhenAuthorityOnlyHasTheNameOfATrustedOneThenAuthorityInvalid(NettyFlavour flavour) throws Exception {
		assertRefused(flavour, TestCertificates.create().client(), TlsHandshakeResult.CERTIFICATE_AUTHORITY_INVALID);
	}

	/** Not on the wire: clients keep a certificate that no authority would accept. */
	@Test
	void watchWhenCertificateSignedItselfThenAuthorityInvalid() throws Exception {
		X509Bundle selfSigned = new CertificateBuilder().ecp256()
			.subject("CN=Nobody")
			.setIsCertificateAuthority(true)
			.buildSelfSigned();
		TlsHandshakes handshakes = new TlsHandshakes(List.of(this.results::add));
		X509ExtendedTrustManager watched = (X509ExtendedTrustManager) handshakes
			.watch(credentials(ClientAuth.REQUIRE).trustManager());

		assertThatExceptionOfType(CertificateException.class)
			.isThrownBy(() -> watched.checkClientTrusted(selfSigned.getCertificatePath(), "EC"));
		assertThat(this.results).containsExactly(TlsHandshakeResult.CERTIFICATE_AUTHORITY_INVALID);
	}

	private void assertRefused(NettyFlavour flavour, X509Bundle client, TlsHandshakeResult result) throws Exception {
		start(flavour, ClientAuth.OPTIONAL, Duration.ofSeconds(10), "TLSv1.3", "TLSv1.2");

		for (String protocol : List.of("TLSv1.3", "TLSv1.2")) {
			assertThat(call(client, protocol)).isEqualTo(Status.Code.UNAVAILABLE);
			assertResult(result);
		}
		assertThat(call(null, "TLSv1.3")).isEqualTo(Status.Code.OK);
		assertResult(TlsHandshakeResult.SUCCESS);
	}

	@ParameterizedTest
	@EnumSource
	void handshakeWhenThereIsNoCertificateThenUnknownFailure(NettyFlavour flavour) throws Exception {
		start(flavour, ClientAuth.REQUIRE, Duration.ofSeconds(10), "TLSv1.3");

		assertThat(call(null, "TLSv1.3")).isEqualTo(Status.Code.UNAVAILABLE);
		assertResult(TlsHandshakeResult.UNKNOWN_FAILURE);
	}

	@ParameterizedTest
	@EnumSource
	void handshakeWhenClientStaysSilentThenUnknownFailure(NettyFlavour flavour) throws Exception {
		start(flavour, ClientAuth.NONE, Duration.ofMillis(200), "TLSv1.3");

		try (Socket socket = new Socket("127.0.0.1", this.server.getPort())) {
			socket.setSoTimeout(10_000);
			assertThat(socket.getInputStream().read()).isEqualTo(-1);
		}
		assertResult(TlsHandshakeResult.UNKNOWN_FAILURE);
	}

	@Test
	void handshakeWhenOneListenerFailsThenOthersAreTold() throws Exception {
		start(NettyFlavour.PLAIN,
				new TlsSettings(ClientAuth.NONE, List.of("TLSv1.3"), List.of(), Duration.ofSeconds(9)),
				List.of((result) -> {
					throw new IllegalStateException();
				}, this.results::add));

		assertThat(call(null, "TLSv1.3")).isEqualTo(Status.Code.OK);
		assertResult(TlsHandshakeResult.SUCCESS);
	}

	@Test
	void watchWhenTrustManagerFindsRevokedCertificateThenRevokedIsToldOnce() {
		TlsHandshakes handshakes = new TlsHandshakes(List.of(this.results::add));
		X509ExtendedTrustManager watched = (X509ExtendedTrustManager) handshakes.watch(new RevokingTrustManager());

		for (int i = 0; i < 3; i++) {
			try {
				if (i == 0) {
					watched.checkClientTrusted(new X509Certificate[0], "RSA");
				}
				else if (i == 1) {
					watched.checkClientTrusted(new X509Certificate[0], "RSA", (Socket) null);
				}
				else {
					watched.checkClientTrusted(new X509Certificate[0], "RSA", (SSLEngine) null);
				}
				throw new AssertionError("A revoked certificate was trusted");
			}
			catch (CertificateException ex) {
				assertThat(this.results.poll()).isEqualTo(TlsHandshakeResult.CERTIFICATE_REVOKED);
				assertThat(this.results).isEmpty();
			}
		}
	}

	private void assertResult(TlsHandshakeResult expected) throws InterruptedException {
		assertThat(this.results.poll(10, TimeUnit.SECONDS)).isEqualTo(expected);
		// A refused connection is told of once, though its end follows
		assertThat(this.results.poll(100, TimeUnit.MILLISECONDS)).isNull();
	}

	private void start(NettyFlavour flavour, ClientAuth clientAuth, Duration timeout, String... protocols)
			throws Exception {
		start(flavour, new TlsSettings(clientAuth, List.of(protocols), List.of(), timeout), List.of(this.results::add));
	}

	private void start(NettyFlavour flavour, TlsSettings settings, List<TlsHandshakeListener> listeners)
			throws Exception {
		ServerBuilder<?> builder = flavour.builder().addService(new EchoService());
		TransportConfigurer.tls(credentials(settings.clientAuth()), settings, SniCertificates.none(), listeners)
			.configure(builder);
		this.server = builder.build().start();
	}

	private TlsCredentials credentials(ClientAuth clientAuth) {
		TlsMaterial material = new TlsMaterial("test", this.certificates.server().getKeyPair().getPrivate(),
				List.of(this.certificates.server().getCertificatePath()),
				List.of(this.certificates.ca().getCertificate()));
		return new TlsCredentials(() -> material, clientAuth, InstantSource.system());
	}

	private Status.Code call(X509Bundle certificate, String protocol) throws Exception {
		SslContextBuilder context = GrpcSslContexts.forClient()
			.trustManager(this.certificates.ca().getCertificate())
			.protocols(protocol);
		if (certificate != null) {
			context.keyManager(certificate.getKeyPair().getPrivate(), certificate.getCertificatePath());
		}
		ManagedChannel channel = NettyChannelBuilder.forAddress("127.0.0.1", this.server.getPort())
			.sslContext(context.build())
			.build();
		try {
			return CallType.UNARY.call(channel).code();
		}
		finally {
			channel.shutdownNow();
			channel.awaitTermination(10, TimeUnit.SECONDS);
		}
	}

	/** Fails like the revocation checker of the JDK. */
	private static final class RevokingTrustManager extends X509ExtendedTrustManager {

		private static CertificateException revoked() {
			return new CertificateException("PKIX path validation failed", new CertPathValidatorException("revoked",
					new IllegalStateException(), null, -1, BasicReason.REVOKED));
		}

		@Override
		public void checkClientTrusted(X509Certificate[] chain, String authType) throws CertificateException {
			throw revoked();
		}

		@Override
		public void checkClientTrusted(X509Certificate[] chain, String authType, Socket socket)
				throws CertificateException {
			throw revoked();
		}

		@Override
		public void checkClientTrusted(X509Certificate[] chain, String authType, SSLEngine engine)
				throws CertificateException {
			throw revoked();
		}

		@Override
		public void checkServerTrusted(X509Certificate[] chain, String authType) throws CertificateException {
			throw revoked();
		}

		@Override
		public void checkServerTrusted(X509Certificate[] chain, String authType, Socket socket)
				throws CertificateException {
			throw revoked();
		}

		@Override
		public void checkServerTrusted(X509Certificate[] chain, String authType, SSLEngine engine)
				throws CertificateException {
			throw revoked();
		}

		@Override
		public X509Certificate[] getAcceptedIssuers() {
			return new X509Certificate[0];
		}

	}

}
