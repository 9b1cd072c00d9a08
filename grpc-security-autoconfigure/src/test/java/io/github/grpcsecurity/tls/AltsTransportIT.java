package io.github.grpcsecurity.tls;

import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;

import io.github.grpcsecurity.server.CallDecision;
import io.github.grpcsecurity.server.CallObserver;
import io.github.grpcsecurity.server.GrpcServerSecurity;
import io.github.grpcsecurity.server.SecuredCall;
import io.github.grpcsecurity.server.SecuredService;
import io.github.grpcsecurity.testing.AltsHandshaker;
import io.github.grpcsecurity.testing.CallType;
import io.github.grpcsecurity.testing.EchoService;
import io.grpc.ChannelCredentials;
import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import io.grpc.ManagedChannel;
import io.grpc.Server;
import io.grpc.ServerBuilder;
import io.grpc.Status;
import io.grpc.inprocess.InProcessServerBuilder;
import io.grpc.netty.shaded.io.grpc.netty.NettyServerBuilder;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;
import static org.assertj.core.api.Assertions.assertThatNoException;

/** ALTS from end to end, with a handshaker service of our own. */
class AltsTransportIT {

	private static final String CLIENT = "teller@bank.iam.gserviceaccount.com";

	private final ExecutorService executor = Executors.newCachedThreadPool();

	private final BlockingQueue<String> peers = new LinkedBlockingQueue<>();

	private AltsHandshaker handshaker;

	private Server server;

	@BeforeEach
	void startHandshaker() {
		this.handshaker = new AltsHandshaker(CLIENT, "ledger@bank.iam.gserviceaccount.com");
	}

	@AfterEach
	void stop() throws InterruptedException {
		if (this.server != null) {
			this.server.shutdownNow();
			this.server.awaitTermination(10, TimeUnit.SECONDS);
		}
		this.handshaker.close();
		this.executor.shutdownNow();
	}

	@ParameterizedTest
	@EnumSource
	void configureWhenClientSpeaksAltsThenItsServiceAccountIsNoted(CallType type) throws Exception {
		start(Duration.ofSeconds(10));

		assertThat(call(this.handshaker.channelCredentials(), type)).isEqualTo(Status.Code.OK);
		assertThat(this.peers.poll(10, TimeUnit.SECONDS)).isEqualTo("PRIVACY_AND_INTEGRITY alts:" + CLIENT);
	}

	@Test
	void configureWhenClientSpeaksPlaintextThenItIsTurnedAway() throws Exception {
		start(Duration.ofSeconds(10));

		assertThat(call(InsecureChannelCredentials.create(), CallType.UNARY)).isEqualTo(Status.Code.UNAVAILABLE);
		assertThat(this.peers).isEmpty();
	}

	@Test
	void configureWhenHandshakerRefusesThenNoCallArrives() throws Exception {
		start(Duration.ofSeconds(10));

		try (AltsHandshaker other = new AltsHandshaker("stranger", "nobody")) {
			assertThat(call(other.channelCredentials(), CallType.UNARY)).isEqualTo(Status.Code.UNAVAILABLE);
		}
		assertThat(this.peers).isEmpty();
	}

	@Test
	void configureWhenClientStaysSilentThenHandshakeTimeoutDropsIt() throws Exception {
		start(Duration.ofMillis(200));

		try (Socket socket = new Socket("127.0.0.1", this.server.getPort())) {
			socket.setSoTimeout(10_000);

			assertThat(socket.getInputStream().read()).isEqualTo(-1);
		}
	}

	@ParameterizedTest
	@EnumSource
	void configureWhenBuilderWasMadeElsewhereThenItIsRefused(NettyFlavour flavour) {
		TransportConfigurer configurer = TransportConfigurer.alts(transport(), Duration.ofSeconds(10));

		assertThatExceptionOfType(TlsConfigurationException.class)
			.isThrownBy(() -> configurer.configure(flavour.builder()))
			.withMessageStartingWith("grpc.security.transport is 'alts', but the gRPC server is built with a io.grpc.")
			.withMessageEndingWith("NettyServerBuilder that does not speak it.")
			.satisfies((ex) -> assertThat(ex.wayOut()).contains("net.devh:grpc-server-spring-boot-starter"));
	}

	@Test
	void configureWhenServerIsInProcessThenItIsLeftAlone() {
		TransportConfigurer configurer = TransportConfigurer.alts(transport(), Duration.ofSeconds(10));

		assertThatNoException().isThrownBy(() -> configurer.configure(InProcessServerBuilder.forName("alts")));
	}

	private AltsTransport transport() {
		return new AltsTransport(this.handshaker.serverCredentials());
	}

	private void start(Duration handshakeTimeout) throws IOException {
		AltsTransport transport = transport();
		EchoService service = new EchoService();
		NettyServerBuilder builder = transport
			.newServerBuilder(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0));
		GrpcServerSecurity.builder()
			.executor(this.executor)
			.stages(List.of(new AltsPeerStage()))
			.observers(List.of(new PeerRecorder(this.peers)))
			.configurers(List.of(TransportConfigurer.alts(transport, handshakeTimeout)))
			.build()
			.install(builder, List.of(new SecuredService(service.bindService(), service, "echo")));
		ServerBuilder<?> any = builder;
		this.server = any.build().start();
	}

	private Status.Code call(ChannelCredentials credentials, CallType type) {
		ManagedChannel channel = Grpc.newChannelBuilderForAddress("127.0.0.1", this.server.getPort(), credentials)
			.build();
		try {
			return type.call(channel).code();
		}
		finally {
			channel.shutdownNow();
		}
	}

	private record PeerRecorder(BlockingQueue<String> peers) implements CallObserver {

		@Override
		public void decided(SecuredCall call, CallDecision decision) {
			this.peers.add(call.securityLevel() + " " + call.notes().get("peer.identity"));
		}

		@Override
		public void closed(SecuredCall call, Status status) {
		}

	}

}
