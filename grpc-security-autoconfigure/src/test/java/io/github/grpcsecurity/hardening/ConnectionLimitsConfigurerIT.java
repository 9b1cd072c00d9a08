package io.github.grpcsecurity.hardening;

import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.SocketException;
import java.nio.ByteBuffer;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.Supplier;

import io.github.grpcsecurity.testing.CallType;
import io.github.grpcsecurity.testing.EchoGrpc;
import io.github.grpcsecurity.testing.EchoReply;
import io.github.grpcsecurity.testing.EchoRequest;
import io.github.grpcsecurity.testing.EchoService;
import io.github.grpcsecurity.testing.RawHttp2Client;
import io.grpc.ForwardingServerBuilder;
import io.grpc.ManagedChannel;
import io.grpc.ManagedChannelBuilder;
import io.grpc.Metadata;
import io.grpc.Server;
import io.grpc.ServerBuilder;
import io.grpc.ServerCall;
import io.grpc.ServerCallHandler;
import io.grpc.ServerInterceptor;
import io.grpc.Status;
import io.grpc.inprocess.InProcessChannelBuilder;
import io.grpc.inprocess.InProcessServerBuilder;
import io.grpc.stub.StreamObserver;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

import org.springframework.boot.test.system.CapturedOutput;
import org.springframework.boot.test.system.OutputCaptureExtension;

import static org.assertj.core.api.Assertions.assertThat;

@ExtendWith(OutputCaptureExtension.class)
class ConnectionLimitsConfigurerIT {

	private static final int ENHANCE_YOUR_CALM = 11;

	private final AtomicInteger calls = new AtomicInteger();

	private @Nullable Server server;

	private @Nullable ManagedChannel channel;

	@AfterEach
	void stop() throws InterruptedException {
		if (this.channel != null) {
			this.channel.shutdownNow();
		}
		if (this.server != null) {
			this.server.shutdownNow();
			this.server.awaitTermination(10, TimeUnit.SECONDS);
		}
	}

	@ParameterizedTest
	@EnumSource
	void configureWhenServerStartsThenClientsAreToldTheLimits(Flavour flavour, CapturedOutput output) throws Exception {
		start(flavour.builder.get(), limits(Duration.ofMinutes(30), Duration.ofHours(1)));

		try (RawHttp2Client client = new RawHttp2Client(port())) {
			// RFC 9113 6.5.2: 3 is SETTINGS_MAX_CONCURRENT_STREAMS, 6
			// SETTINGS_MAX_HEADER_LIST_SIZE
			assertThat(client.settings()).containsEntry(3, 100L).containsEntry(6, 16384L);
		}
		assertThat(output).contains("Limits of gRPC connections: ConnectionLimits[maxConcurrentCallsPerConnection=100");
	}

	@ParameterizedTest
	@EnumSource
	void configureWhenClientResetsStreamsRapidlyThenItsConnectionIsClosed(Flavour flavour) throws Exception {
		start(flavour.builder.get(), limits(Duration.ofMinutes(30), Duration.ofHours(1)));

		try (RawHttp2Client client = new RawHttp2Client(port())) {
			CompletableFuture<byte[]> goAway = CompletableFuture.supplyAsync(() -> {
				try {
					return client.await(RawHttp2Client.GOAWAY);
				}
				catch (IOException ex) {
					throw new IllegalStateException(ex);
				}
			});
			try {
				for (int stream = 1; stream < 6000 && !goAway.isDone(); stream += 2) {
					client.send(RawHttp2Client.callAndReset(stream, "/testing.Echo/Unary"));
				}
			}
			catch (SocketException ex) {
				// The server has closed the connection already
			}

			ByteBuffer payload = ByteBuffer.wrap(goAway.get(20, TimeUnit.SECONDS));
			payload.getInt();
			assertThat(payload.getInt()).isEqualTo(ENHANCE_YOUR_CALM);
			assertThat(this.calls.get()).isLessThanOrEqualTo(202);
		}
	}

	@ParameterizedTest
	@EnumSource
	void configureWhenMessageIsTooLargeThenCallIsRefused(Flavour flavour) throws Exception {
		start(flavour.builder.get(), limits(Duration.ofMinutes(30), Duration.ofHours(1)));
		String large = "x".repeat(4 * 1024 * 1024 + 1);

		for (CallType type : CallType.values()) {
			assertThat(type.call(channel(), new Metadata(), large).code()).isEqualTo(Status.Code.RESOURCE_EXHAUSTED);
			assertThat(type.call(channel(), new Metadata(), "x".repeat(1024 * 1024)).code()).isEqualTo(Status.Code.OK);
		}
	}

	@ParameterizedTest
	@EnumSource
	void configureWhenMetadataIsTooLargeThenCallIsRefused(Flavour flavour) throws Exception {
		start(flavour.builder.get(), limits(Duration.ofMinutes(30), Duration.ofHours(1)));

		for (CallType type : CallType.values()) {
			assertThat(type.call(channel(), headers(16 * 1024), "hello").code()).isNotEqualTo(Status.Code.OK);
			assertThat(type.call(channel(), headers(7 * 1024), "hello").code()).isEqualTo(Status.Code.OK);
		}
	}

	@ParameterizedTest
	@EnumSource
	void configureWhenConnectionIsIdleThenItIsClosed(Flavour flavour) throws Exception {
		start(flavour.builder.get(), limits(Duration.ofSeconds(1), Duration.ofHours(1)));

		try (RawHttp2Client client = new RawHttp2Client(port())) {
			assertThat(new String(client.await(RawHttp2Client.GOAWAY), 8, 8)).isEqualTo("max_idle");
		}
	}

	@ParameterizedTest
	@EnumSource
	void configureWhenConnectionIsOldThenItIsClosed(Flavour flavour) throws Exception {
		start(flavour.builder.get(), limits(Duration.ofMinutes(30), Duration.ofSeconds(1)));

		try (RawHttp2Client client = new RawHttp2Client(port())) {
			assertThat(new String(client.await(RawHttp2Client.GOAWAY), 8, 7)).isEqualTo("max_age");
		}
	}

	@ParameterizedTest
	@EnumSource
	void configureWhenClientPingsTooOftenThenItsConnectionIsClosed(Flavour flavour) throws Exception {
		start(flavour.builder.get(), limits(Duration.ofMinutes(30), Duration.ofHours(1)));

		try (RawHttp2Client client = new RawHttp2Client(port())) {
			for (int i = 0; i < 4; i++) {
				client.send(RawHttp2Client.ping());
			}

			ByteBuffer payload = ByteBuffer.wrap(client.await(RawHttp2Client.GOAWAY));
			payload.getInt();
			assertThat(payload.getInt()).isEqualTo(ENHANCE_YOUR_CALM);
		}
	}

	@ParameterizedTest
	@EnumSource
	void configureWhenPingsWithoutCallsArePermittedThenTheyAreAnswered(Flavour flavour) throws Exception {
		start(flavour.builder.get(), new ConnectionLimits(100, 4 * 1024 * 1024, 8 * 1024, 200, Duration.ofSeconds(30),
				Duration.ofNanos(1), true, Duration.ofMinutes(30), Duration.ofHours(1), Duration.ofMinutes(5)));

		try (RawHttp2Client client = new RawHttp2Client(port())) {
			for (int i = 0; i < 10; i++) {
				client.send(RawHttp2Client.ping());
			}

			assertThat(client.awaitPings(10)).isEqualTo(10);
		}
	}

	@ParameterizedTest
	@EnumSource
	void configureWhenGraceOfOldConnectionIsOverThenOpenCallsEnd(Flavour flavour) throws Exception {
		start(flavour.builder.get(), new ConnectionLimits(100, 4 * 1024 * 1024, 8 * 1024, 200, Duration.ofSeconds(30),
				Duration.ofMinutes(1), false, Duration.ofMinutes(30), Duration.ofSeconds(1), Duration.ofMillis(100)));
		CompletableFuture<Status.Code> end = new CompletableFuture<>();

		EchoGrpc.newStub(channel()).bidi(new StreamObserver<>() {
			@Override
			public void onNext(EchoReply reply) {
			}

			@Override
			public void onError(Throwable ex) {
				end.complete(Status.fromThrowable(ex).getCode());
			}

			@Override
			public void onCompleted() {
				end.complete(Status.Code.OK);
			}
		}).onNext(EchoRequest.newBuilder().setText("hello").build());

		assertThat(end.get(20, TimeUnit.SECONDS)).isEqualTo(Status.Code.UNAVAILABLE);
	}

	@Test
	void configureWhenServerIsInProcessThenOnlyMetadataIsLimited(CapturedOutput output) throws Exception {
		start(InProcessServerBuilder.forName("limits"), limits(Duration.ofMinutes(30), Duration.ofHours(1)));
		this.channel = InProcessChannelBuilder.forName("limits").build();
		assertThat(output).contains("An in-process gRPC server keeps only max-inbound-metadata-size of "
				+ "grpc.security.limits: it has no connections, and messages are not serialized.");

		for (CallType type : CallType.values()) {
			assertThat(type.call(this.channel, headers(9 * 1024), "hello").code())
				.isEqualTo(Status.Code.RESOURCE_EXHAUSTED);
			assertThat(type.call(this.channel, headers(7 * 1024), "hello").code()).isEqualTo(Status.Code.OK);
		}
	}

	@Test
	void configureWhenTransportCannotKeepLimitsThenSaysSoOnce(CapturedOutput output) {
		ConnectionLimitsConfigurer configurer = new ConnectionLimitsConfigurer(
				limits(Duration.ofMinutes(30), Duration.ofHours(1)));

		configurer.configure(new OtherServerBuilder());
		configurer.configure(new OtherServerBuilder());

		assertThat(output.getOut()).containsOnlyOnce("The gRPC server is built with "
				+ OtherServerBuilder.class.getName() + ", which cannot keep these limits of grpc.security.limits: "
				+ "max-concurrent-calls-per-connection, max-reset-frames, max-connection-idle. Limit connections in "
				+ "front of it.");
	}

	@Test
	void hardInboundMetadataSizeWhenSizeIsHugeThenDoesNotOverflow() {
		ConnectionLimits limits = new ConnectionLimits(1, 1, Integer.MAX_VALUE, 1, Duration.ofSeconds(1),
				Duration.ofSeconds(1), false, Duration.ofSeconds(1), Duration.ofSeconds(1), Duration.ofSeconds(1));

		assertThat(limits.hardInboundMetadataSize()).isEqualTo(Integer.MAX_VALUE);
		for (Flavour flavour : List.of(Flavour.values())) {
			new ConnectionLimitsConfigurer(limits).configure(flavour.builder.get());
		}
	}

	private static ConnectionLimits limits(Duration idle, Duration age) {
		return new ConnectionLimits(100, 4 * 1024 * 1024, 8 * 1024, 200, Duration.ofSeconds(30), Duration.ofMinutes(1),
				false, idle, age, Duration.ofMinutes(5));
	}

	private static Metadata headers(int size) {
		Metadata headers = new Metadata();
		headers.put(Metadata.Key.of("x-large", Metadata.ASCII_STRING_MARSHALLER), "x".repeat(size));
		return headers;
	}

	private void start(ServerBuilder<?> builder, ConnectionLimits limits) throws IOException {
		builder.addService(new EchoService()).intercept(new CallCounter(this.calls));
		new ConnectionLimitsConfigurer(limits).configure(builder);
		this.server = builder.build().start();
	}

	private int port() {
		return (this.server != null) ? this.server.getPort() : -1;
	}

	private ManagedChannel channel() {
		ManagedChannel channel = this.channel;
		if (channel == null) {
			channel = ManagedChannelBuilder.forAddress("127.0.0.1", port()).usePlaintext().build();
			this.channel = channel;
		}
		return channel;
	}

	private record CallCounter(AtomicInteger calls) implements ServerInterceptor {

		@Override
		public <ReqT, RespT> ServerCall.Listener<ReqT> interceptCall(ServerCall<ReqT, RespT> call, Metadata headers,
				ServerCallHandler<ReqT, RespT> next) {
			this.calls.incrementAndGet();
			return next.startCall(call, headers);
		}

	}

	enum Flavour {

		PLAIN(() -> io.grpc.netty.NettyServerBuilder.forAddress(anyPort())),

		SHADED(() -> io.grpc.netty.shaded.io.grpc.netty.NettyServerBuilder.forAddress(anyPort()));

		private final Supplier<ServerBuilder<?>> builder;

		Flavour(Supplier<ServerBuilder<?>> builder) {
			this.builder = builder;
		}

		private static InetSocketAddress anyPort() {
			return new InetSocketAddress(InetAddress.getLoopbackAddress(), 0);
		}

	}

	/** A transport that knows of no idle connections. */
	static final class OtherServerBuilder extends ForwardingServerBuilder<OtherServerBuilder> {

		private final ServerBuilder<?> delegate = io.grpc.netty.NettyServerBuilder.forPort(0);

		@Override
		protected ServerBuilder<?> delegate() {
			return this.delegate;
		}

		@Override
		public OtherServerBuilder maxConnectionIdle(long time, TimeUnit unit) {
			throw new UnsupportedOperationException();
		}

	}

}
