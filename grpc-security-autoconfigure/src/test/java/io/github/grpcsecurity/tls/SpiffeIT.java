package io.github.grpcsecurity.tls;

import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.time.InstantSource;
import java.util.List;

import io.github.grpcsecurity.proxy.ProxyHeaders;
import io.github.grpcsecurity.proxy.TrustedProxies;
import io.github.grpcsecurity.server.GrpcServerSecurity;
import io.github.grpcsecurity.server.PeerIdentity;
import io.github.grpcsecurity.server.SecuredService;
import io.github.grpcsecurity.testing.CallType;
import io.github.grpcsecurity.testing.EchoService;
import io.github.grpcsecurity.testing.RecordingObserver;
import io.github.grpcsecurity.testing.TestCertificates;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.Server;
import io.grpc.ServerBuilder;
import io.grpc.Status.Code;
import io.grpc.netty.GrpcSslContexts;
import io.grpc.netty.NettyChannelBuilder;
import io.netty.handler.ssl.SslContextBuilder;
import io.netty.pkitesting.CertificateBuilder;
import io.netty.pkitesting.X509Bundle;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

import org.springframework.core.io.FileSystemResource;

import static org.assertj.core.api.Assertions.assertThat;

class SpiffeIT {

	private final TestCertificates bank = TestCertificates.create();

	private final TestCertificates partner = TestCertificates.create();

	private final RecordingObserver observer = new RecordingObserver();

	@TempDir
	Path directory;

	@ParameterizedTest
	@EnumSource
	void callWhenClientHasSvidThenItIsKnownByItsIdUntilItsDomainIsGone(NettyFlavour flavour) throws Exception {
		Path file = this.directory.resolve("bundles.json");
		Files.writeString(file, SpiffeTests.map("bank", SpiffeTests.jwk(this.bank.ca().getCertificate()), "partner",
				SpiffeTests.jwk(this.partner.ca().getCertificate())));
		SpiffeTrust trust = new SpiffeTrust(new TlsLocation("test", file.toString(), new FileSystemResource(file)),
				List.of());
		Server server = serve(flavour, trust, ClientAuth.OPTIONAL);
		try {
			for (CallType type : CallType.values()) {
				assertThat(call(server, svid(this.bank, "spiffe://bank/teller"), type)).isEqualTo(Code.OK);
				assertThat(last()).hasToString("spiffe://bank/teller");
				assertThat(call(server, svid(this.partner, "spiffe://partner/clerk"), type)).isEqualTo(Code.OK);
				assertThat(last()).hasToString("spiffe://partner/clerk");
				assertThat(call(server, null, type)).isEqualTo(Code.OK);
				assertThat(last()).isNull();
			}
			assertThat(call(server, svid(this.partner, "spiffe://bank/teller"), CallType.UNARY))
				.isEqualTo(Code.UNAVAILABLE);
			assertThat(call(server, svid(this.bank, "https://bank/teller"), CallType.UNARY))
				.isEqualTo(Code.UNAVAILABLE);

			Files.writeString(file, SpiffeTests.map("bank", SpiffeTests.jwk(this.bank.ca().getCertificate())));
			assertThat(trust.reload()).isTrue();
			assertThat(call(server, svid(this.partner, "spiffe://partner/clerk"), CallType.UNARY))
				.isEqualTo(Code.UNAVAILABLE);
			assertThat(call(server, svid(this.bank, "spiffe://bank/teller"), CallType.UNARY)).isEqualTo(Code.OK);
		}
		finally {
			server.shutdownNow().awaitTermination();
		}
	}

	@ParameterizedTest
	@EnumSource
	void callWhenProxyIsTrustedByItsIdThenOnlyItMaySpeakForOthers(NettyFlavour flavour) throws Exception {
		Path file = this.directory.resolve("bundles.json");
		Files.writeString(file, SpiffeTests.map("bank", SpiffeTests.jwk(this.bank.ca().getCertificate())));
		SpiffeTrust trust = new SpiffeTrust(new TlsLocation("test", file.toString(), new FileSystemResource(file)),
				List.of());
		Server server = serve(flavour, trust, ClientAuth.REQUIRE);
		Metadata headers = new Metadata();
		headers.put(Metadata.Key.of("x-forwarded-client-cert", Metadata.ASCII_STRING_MARSHALLER),
				"URI=spiffe://shop/client");
		try {
			X509Bundle proxy = svid(this.bank, "spiffe://bank/proxy");
			assertThat(call(server, proxy, CallType.UNARY, headers)).isEqualTo(Code.OK);
			assertThat(last()).hasToString("spiffe://shop/client");
			assertThat(call(server, proxy, CallType.UNARY)).isEqualTo(Code.OK);
			assertThat(last()).isNull();
			assertThat(call(server, svid(this.bank, "spiffe://bank/teller"), CallType.UNARY, headers))
				.isEqualTo(Code.OK);
			assertThat(last()).hasToString("spiffe://bank/teller");
		}
		finally {
			server.shutdownNow().awaitTermination();
		}
	}

	private Server serve(NettyFlavour flavour, SpiffeTrust trust, ClientAuth clientAuth) throws Exception {
		TlsMaterial material = new TlsMaterial("test", this.bank.server().getKeyPair().getPrivate(),
				List.of(this.bank.server().getCertificatePath()), List.of());
		TlsSettings settings = new TlsSettings(clientAuth, List.of("TLSv1.3"), List.of(), Duration.ofSeconds(10));
		TlsCredentials credentials = new TlsCredentials(() -> material, clientAuth, InstantSource.system(), null,
				trust);
		EchoService service = new EchoService();
		ServerBuilder<?> builder = flavour.builder();
		GrpcServerSecurity.builder()
			.executor(Runnable::run)
			.observers(List.of(this.observer))
			.peerResolvers(List.of(new ProxyHeaders(TrustedProxies.parse(List.of("spiffe://bank/proxy")),
					"x-forwarded-client-cert", "x-forwarded-for")))
			.configurers(List.of(TransportConfigurer.tls(credentials, settings)))
			.build()
			.install(builder, List.of(new SecuredService(service.bindService(), service, "echoService")));
		return builder.build().start();
	}

	private PeerIdentity last() {
		return this.observer.decided.get(this.observer.decided.size() - 1).call().peerIdentity();
	}

	private Code call(Server server, X509Bundle client, CallType type) throws Exception {
		return call(server, client, type, new Metadata());
	}

	private Code call(Server server, X509Bundle client, CallType type, Metadata headers) throws Exception {
		SslContextBuilder context = GrpcSslContexts.forClient().trustManager(this.bank.ca().getCertificate());
		if (client != null) {
			context.keyManager(client.getKeyPair().getPrivate(), client.getCertificatePath());
		}
		ManagedChannel channel = NettyChannelBuilder.forAddress("127.0.0.1", server.getPort())
			.sslContext(context.build())
			.build();
		try {
			return type.call(channel, headers, "hello").code();
		}
		finally {
			channel.shutdownNow();
		}
	}

	private static X509Bundle svid(TestCertificates authority, String id) throws Exception {
		return new CertificateBuilder().ecp256()
			.subject("CN=workload")
			.addSanUriName(id)
			.addExtendedKeyUsageClientAuth()
			.buildIssuedBy(authority.ca());
	}

}
