package io.github.grpcsecurity.testing;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.util.List;
import java.util.UUID;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;

import io.github.grpcsecurity.server.CallObserver;
import io.github.grpcsecurity.server.CallStage;
import io.github.grpcsecurity.server.GrpcServerSecurity;
import io.github.grpcsecurity.server.SecuredService;
import io.grpc.BindableService;
import io.grpc.ManagedChannel;
import io.grpc.ManagedChannelBuilder;
import io.grpc.Server;
import io.grpc.ServerBuilder;
import io.grpc.inprocess.InProcessChannelBuilder;
import io.grpc.inprocess.InProcessServerBuilder;
import io.grpc.netty.NettyServerBuilder;

/**
 * A real server with the whole pipeline in front of a service, and a channel to it.
 */
public final class TestServer implements AutoCloseable {

	private final ExecutorService executor = Executors.newCachedThreadPool();

	private final GrpcServerSecurity security;

	private final Server server;

	private final ManagedChannel channel;

	private final List<CallObserver> observers;

	private TestServer(boolean network, BindableService service, List<CallObserver> observers,
			Consumer<GrpcServerSecurity.Builder> security, Consumer<ServerBuilder<?>> customizer) {
		this.observers = observers;
		GrpcServerSecurity.Builder builder = GrpcServerSecurity.builder().executor(this.executor).observers(observers);
		security.accept(builder);
		this.security = builder.build();
		String name = UUID.randomUUID().toString();
		ServerBuilder<?> serverBuilder = network
				? NettyServerBuilder.forAddress(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0))
				: InProcessServerBuilder.forName(name);
		serverBuilder.addService(service);
		customizer.accept(serverBuilder);
		this.security.install(serverBuilder,
				List.of(new SecuredService(service.bindService(), service, "echoService")));
		try {
			this.server = serverBuilder.build().start();
		}
		catch (IOException ex) {
			throw new UncheckedIOException(ex);
		}
		this.channel = (network ? ManagedChannelBuilder.forAddress("127.0.0.1", this.server.getPort()).usePlaintext()
				: InProcessChannelBuilder.forName(name))
			.build();
	}

	/** An in-process server: it says of itself that it is private and has integrity. */
	public static TestServer inProcess(BindableService service, List<? extends CallStage> stages,
			CallObserver... observers) {
		return new TestServer(false, service, List.of(observers), (security) -> security.stages(stages), (builder) -> {
		});
	}

	public static TestServer inProcess(BindableService service, Consumer<GrpcServerSecurity.Builder> security) {
		return new TestServer(false, service, List.of(), security, (builder) -> {
		});
	}

	/** A server on a loopback port, without TLS. */
	public static TestServer network(BindableService service, List<? extends CallStage> stages,
			CallObserver... observers) {
		return new TestServer(true, service, List.of(observers), (security) -> security.stages(stages), (builder) -> {
		});
	}

	public static TestServer network(BindableService service, Consumer<GrpcServerSecurity.Builder> security) {
		return network(service, security, (builder) -> {
		});
	}

	public static TestServer network(BindableService service, Consumer<GrpcServerSecurity.Builder> security,
			Consumer<ServerBuilder<?>> customizer) {
		return new TestServer(true, service, List.of(), security, customizer);
	}

	public GrpcServerSecurity security() {
		return this.security;
	}

	/** The observers that a test gave to this server. */
	public List<CallObserver> observers() {
		return this.observers;
	}

	public ManagedChannel channel() {
		return this.channel;
	}

	public int port() {
		return this.server.getPort();
	}

	@Override
	public void close() {
		this.channel.shutdownNow();
		this.server.shutdownNow();
		try {
			this.server.awaitTermination(10, TimeUnit.SECONDS);
		}
		catch (InterruptedException ex) {
			Thread.currentThread().interrupt();
		}
		this.executor.shutdownNow();
	}

}
