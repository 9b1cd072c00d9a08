package io.github.grpcsecurity.tls;

import java.nio.file.Path;
import java.security.cert.CertificateException;
import java.time.Duration;
import java.time.InstantSource;
import java.util.List;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;

import io.github.grpcsecurity.server.GrpcServerSecurity;
import io.github.grpcsecurity.server.SecuredService;
import io.github.grpcsecurity.testing.CallType;
import io.github.grpcsecurity.testing.EchoService;
import io.github.grpcsecurity.testing.TestCertificates;
import io.github.grpcsecurity.testing.TestWorkloadApi;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.Server;
import io.grpc.ServerBuilder;
import io.grpc.Status;
import io.grpc.Status.Code;
import io.grpc.netty.GrpcSslContexts;
import io.grpc.netty.NettyChannelBuilder;
import io.grpc.netty.shaded.io.netty.channel.epoll.Epoll;
import io.grpc.netty.shaded.io.netty.channel.epoll.EpollEventLoopGroup;
import io.grpc.netty.shaded.io.netty.channel.epoll.EpollServerDomainSocketChannel;
import io.grpc.netty.shaded.io.netty.channel.unix.DomainSocketAddress;
import io.netty.handler.ssl.SslContextBuilder;
import io.netty.pkitesting.X509Bundle;
import io.spiffe.workloadapi.grpc.Workload.X509SVIDResponse;
import org.awaitility.Awaitility;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

import org.springframework.boot.test.system.CapturedOutput;
import org.springframework.boot.test.system.OutputCaptureExtension;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

@ExtendWith(OutputCaptureExtension.class)
class WorkloadApiIT {

	private static final String SERVER_ID = "spiffe://bank/server";

	private final TestCertificates bank = TestCertificates.create();

	private final TestCertificates newBank = TestCertificates.create();

	private final TestCertificates partner = TestCertificates.create();

	private final ScheduledExecutorService scheduler = Executors.newSingleThreadScheduledExecutor();

	private TestWorkloadApi agent;

	@BeforeEach
	void startAgent() throws Exception {
		this.agent = new TestWorkloadApi();
	}

	@AfterEach
	void stop() throws Exception {
		this.agent.close();
		this.scheduler.shutdownNow();
	}

	@ParameterizedTest
	@EnumSource
	void callWhenAgentSendsRootsThenTheirClientsAreLetInUntilRootsAreGone(NettyFlavour flavour) throws Exception {
		this.agent.send(withPartner(this.bank));
		AtomicInteger epoch = new AtomicInteger();
		try (WorkloadApi api = connect()) {
			TlsCredentials credentials = credentials(api);
			api.trust().onChange(epoch::incrementAndGet);
			Server server = serve(flavour, credentials);
			try {
				X509Bundle teller = TestWorkloadApi.svid(this.bank, "spiffe://bank/teller");
				X509Bundle clerk = TestWorkloadApi.svid(this.partner, "spiffe://partner/clerk");
				for (CallType type : CallType.values()) {
					assertThat(call(server, this.bank, teller, type)).isEqualTo(Code.OK);
					assertThat(call(server, this.bank, clerk, type)).isEqualTo(Code.OK);
				}
				assertThat(call(server, this.bank, TestWorkloadApi.svid(this.partner, "spiffe://bank/teller"),
						CallType.UNARY))
					.isEqualTo(Code.UNAVAILABLE);
				assertThat(
						call(server, this.bank, TestWorkloadApi.svid(this.newBank, "spiffe://shop/x"), CallType.UNARY))
					.isEqualTo(Code.UNAVAILABLE);
				assertThat(call(server, this.bank, null, CallType.UNARY)).isEqualTo(Code.UNAVAILABLE);
				long before = credentials.epoch().current();

				this.agent.send(withoutPartner(this.newBank));
				Awaitility.await().until(() -> epoch.get() == 1);
				assertThat(credentials.epoch().current()).isGreaterThan(before);
				assertThat(call(server, this.bank, teller, CallType.UNARY)).isEqualTo(Code.UNAVAILABLE);
				assertThat(call(server, this.bank, clerk, CallType.UNARY)).isEqualTo(Code.UNAVAILABLE);
				assertThat(call(server, this.bank, TestWorkloadApi.svid(this.newBank, "spiffe://bank/teller"),
						CallType.UNARY))
					.isEqualTo(Code.OK);
			}
			finally {
				server.shutdownNow().awaitTermination();
			}
		}
	}

	@Test
	void receiveWhenOnlySvidIsNewThenItIsServedAndTrustStays() throws Exception {
		this.agent.send(withPartner(this.bank));
		AtomicInteger trust = new AtomicInteger();
		AtomicInteger identity = new AtomicInteger();
		try (WorkloadApi api = connect()) {
			TlsMaterial before = api.material().load();
			api.trust().onChange(trust::incrementAndGet);
			api.onChange(identity::incrementAndGet);

			this.agent.send(withPartner(this.bank));
			Awaitility.await().until(() -> identity.get() == 1);
			assertThat(trust).hasValue(0);
			assertThat(api.material().load().leaf()).isNotEqualTo(before.leaf());
			assertThat(api.material().load().trustAnchors()).isEmpty();
			assertThat(api.trust().reload()).isFalse();
		}
	}

	@ParameterizedTest
	@ValueSource(strings = { "OK", "UNAVAILABLE", "PERMISSION_DENIED", "CANCELLED" })
	void endWhenStreamBreaksThenLastRootsStayAndAgentIsAskedAgain(Code code, CapturedOutput output) throws Exception {
		this.agent.send(withPartner(this.bank));
		try (WorkloadApi api = connect()) {
			Awaitility.await().until(() -> this.agent.streams.size() == 1);
			this.agent.end(code.toStatus());

			assertThat(api.trust().trustDomains()).containsExactly("bank", "partner");
			Awaitility.await().until(() -> this.agent.streams.size() == 1);
			assertThat(api.trust().trustDomains()).containsExactly("bank", "partner");
			this.agent.send(withoutPartner(this.bank));
			Awaitility.await().until(() -> api.trust().trustDomains().size() == 1);
			assertThat(output).containsOnlyOnce("it ended the stream")
				.contains("what it has sent before stays in force");
		}
	}

	@Test
	void receiveWhenResponseIsBadThenAllOldRootsStay(CapturedOutput output) throws Exception {
		this.agent.send(withPartner(this.bank));
		try (WorkloadApi api = connect()) {
			Awaitility.await().until(() -> this.agent.streams.size() == 1);
			this.agent.send(X509SVIDResponse.getDefaultInstance());
			this.agent
				.send(TestWorkloadApi.response(this.newBank, SERVER_ID, TestWorkloadApi.svid(this.newBank, SERVER_ID),
						(builder) -> builder.putFederatedBundles("spiffe://partner",
								TestWorkloadApi.der(TestWorkloadApi.svid(this.partner, "spiffe://partner/no-root")))));
			Awaitility.await()
				.until(() -> output.getOut().contains("'partner' has a certificate that is not of an authority"));
			assertThat(output).contains("there is no SVID in it");
			X509Bundle teller = TestWorkloadApi.svid(this.bank, "spiffe://bank/teller");
			api.trust().trustManager().checkClientTrusted(teller.getCertificatePath(), "UNKNOWN");

			this.agent.send(withoutPartner(this.bank));
			Awaitility.await().until(() -> api.trust().trustDomains().size() == 1);
		}
	}

	@Test
	void receiveWhenFederationNamesOwnDomainThenOwnRootsCount() throws Exception {
		this.agent.send(TestWorkloadApi.response(this.bank, SERVER_ID, TestWorkloadApi.svid(this.bank, SERVER_ID),
				(builder) -> builder.putFederatedBundles("spiffe://bank", TestWorkloadApi.der(this.partner.ca()))));
		try (WorkloadApi api = connect()) {
			assertThatExceptionOfType(CertificateException.class).isThrownBy(() -> api.trust()
				.trustManager()
				.checkClientTrusted(TestWorkloadApi.svid(this.partner, "spiffe://bank/x").getCertificatePath(),
						"UNKNOWN"));
		}
	}

	@Test
	void connectWhenWorkloadIsRegisteredLaterThenWaits() throws Exception {
		this.scheduler.schedule(() -> this.agent.send(withPartner(this.bank)), 100, TimeUnit.MILLISECONDS);
		try (WorkloadApi api = connect()) {
			assertThat(api.trust().trustDomains()).contains("bank");
		}
	}

	@Test
	void connectWhenAgentDeniesThenSaysSo() {
		assertThatExceptionOfType(TlsConfigurationException.class)
			.isThrownBy(() -> WorkloadApi.connect(this.agent.socket(), List.of(), this.scheduler, Duration.ofSeconds(1),
					Duration.ofMillis(10)))
			.withMessage(WorkloadApi.PROPERTY + " is '" + this.agent.socket()
					+ "', but no SPIFFE roots came from there within 1 s: it ended the stream with PERMISSION_DENIED "
					+ "(no identity issued).");
	}

	@Test
	void connectWhenNobodyListensThenSaysSo() throws Exception {
		String socket = this.agent.socket();
		this.agent.close();
		assertThatExceptionOfType(TlsConfigurationException.class)
			.isThrownBy(() -> WorkloadApi.connect(socket, List.of(), this.scheduler, Duration.ofSeconds(1),
					Duration.ofMillis(10)))
			.withMessageStartingWith(WorkloadApi.PROPERTY + " is '" + socket
					+ "', but no SPIFFE roots came from there within 1 s: it ended the stream with UNAVAILABLE");
	}

	@Test
	void materialWhenSvidIsBadThenSaysSoAndTrustWorks() {
		X509Bundle other = TestWorkloadApi.svid(this.bank, SERVER_ID);
		this.agent.send(TestWorkloadApi.response(this.bank, SERVER_ID, other, (builder) -> builder.setSvids(0,
				builder.getSvids(0).toBuilder().setX509Svid(TestWorkloadApi.der(this.bank.ca())))));
		try (WorkloadApi api = connect()) {
			assertThat(api.trust().trustDomains()).containsExactly("bank");
			assertThatExceptionOfType(TlsConfigurationException.class).isThrownBy(() -> api.material().load())
				.withMessageStartingWith(
						"The X.509-SVID of this server, from " + WorkloadApi.PROPERTY + ", cannot be used: ");
		}
	}

	@Test
	void connectWhenTrustDomainIsUnknownThenSaysWhichAreThere() {
		this.agent.send(withPartner(this.bank));
		assertThatExceptionOfType(TlsConfigurationException.class)
			.isThrownBy(() -> WorkloadApi.connect(this.agent.socket(), List.of("bnak"), this.scheduler))
			.withMessageContaining("has 'bnak', of which the SPIFFE Workload API")
			.withMessageContaining("bank")
			.withMessageContaining("partner");
	}

	@ParameterizedTest
	@ValueSource(strings = { "", "agent.sock", "unix:agent.sock", "unix://host/x", "tcp://127.0.0.1",
			"tcp://localhost:1", "tcp://10.1.2.3:8081", "http://127.0.0.1:80", "unix:///a b" })
	void connectWhenAddressIsBadThenSaysSo(String socket) {
		assertThatExceptionOfType(TlsConfigurationException.class)
			.isThrownBy(() -> WorkloadApi.connect(socket, List.of(), this.scheduler))
			.withMessageStartingWith(WorkloadApi.PROPERTY + " is '" + socket + "', but that is ");
	}

	@Test
	void connectWhenSocketIsUnixThenWorks(@TempDir Path directory) throws Exception {
		assumeTrue(Epoll.isAvailable());
		EpollEventLoopGroup group = new EpollEventLoopGroup(1);
		Path socket = directory.resolve("agent.sock");
		try (TestWorkloadApi local = new TestWorkloadApi(io.grpc.netty.shaded.io.grpc.netty.NettyServerBuilder
			.forAddress(new DomainSocketAddress(socket.toFile()))
			.channelType(EpollServerDomainSocketChannel.class)
			.bossEventLoopGroup(group)
			.workerEventLoopGroup(group))) {
			local.send(withPartner(this.bank));
			for (String prefix : List.of("unix:", "unix://")) {
				try (WorkloadApi api = WorkloadApi.connect(prefix + socket, List.of("bank"), this.scheduler)) {
					assertThat(api.trust().trustDomains()).containsExactly("bank");
				}
			}
		}
		finally {
			group.shutdownGracefully(0, 0, TimeUnit.SECONDS);
		}
	}

	private WorkloadApi connect() {
		return WorkloadApi.connect(this.agent.socket(), List.of(), this.scheduler, Duration.ofSeconds(10),
				Duration.ofMillis(10));
	}

	private X509SVIDResponse withPartner(TestCertificates authority) {
		return TestWorkloadApi.response(authority, SERVER_ID, TestWorkloadApi.svid(this.bank, SERVER_ID),
				(builder) -> builder.putFederatedBundles("spiffe://partner", TestWorkloadApi.der(this.partner.ca())));
	}

	private X509SVIDResponse withoutPartner(TestCertificates authority) {
		return TestWorkloadApi.response(authority, SERVER_ID, TestWorkloadApi.svid(this.bank, SERVER_ID), (builder) -> {
		});
	}

	private static TlsCredentials credentials(WorkloadApi api) {
		return new TlsCredentials(api.material(), ClientAuth.REQUIRE, InstantSource.system(), null, api.trust());
	}

	private static Server serve(NettyFlavour flavour, TlsCredentials credentials) throws Exception {
		TlsSettings settings = new TlsSettings(ClientAuth.REQUIRE, List.of("TLSv1.3"), List.of(),
				Duration.ofSeconds(10));
		EchoService service = new EchoService();
		ServerBuilder<?> builder = flavour.builder();
		GrpcServerSecurity.builder()
			.executor(Runnable::run)
			.configurers(List.of(TransportConfigurer.tls(credentials, settings)))
			.build()
			.install(builder, List.of(new SecuredService(service.bindService(), service, "echoService")));
		return builder.build().start();
	}

	private static Code call(Server server, TestCertificates authority, X509Bundle client, CallType type)
			throws Exception {
		SslContextBuilder context = GrpcSslContexts.forClient().trustManager(authority.ca().getCertificate());
		if (client != null) {
			context.keyManager(client.getKeyPair().getPrivate(), client.getCertificatePath());
		}
		ManagedChannel channel = NettyChannelBuilder.forAddress("127.0.0.1", server.getPort())
			.sslContext(context.build())
			.build();
		try {
			return type.call(channel, new Metadata(), "hello").code();
		}
		finally {
			channel.shutdownNow();
		}
	}

}
