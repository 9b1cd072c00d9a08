package io.github.grpcsecurity.tls;

import java.nio.file.Path;
import java.security.cert.X509Certificate;
import java.time.Duration;
import java.time.InstantSource;
import java.util.ArrayList;
import java.util.List;
import java.util.Queue;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicReference;

import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLParameters;
import javax.net.ssl.SSLSocket;
import javax.net.ssl.TrustManager;

import io.github.grpcsecurity.server.GrpcSecurityThreads;
import io.github.grpcsecurity.testing.CallType;
import io.github.grpcsecurity.testing.EchoService;
import io.github.grpcsecurity.testing.TestCertificates;
import io.grpc.Grpc;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.Server;
import io.grpc.ServerBuilder;
import io.grpc.ServerCall;
import io.grpc.ServerCallHandler;
import io.grpc.ServerInterceptor;
import io.grpc.Status;
import io.grpc.netty.GrpcSslContexts;
import io.grpc.netty.NettyChannelBuilder;
import io.netty.handler.ssl.SslContext;
import io.netty.pkitesting.X509Bundle;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

import org.springframework.core.io.FileSystemResource;

import static org.assertj.core.api.Assertions.assertThat;

/**
 * Certificates change while clients connect: both packagings of Netty, both providers.
 */
class TlsReloadIT {

	private static final int ROTATIONS = 100;

	private static final int CLIENTS = 8;

	/** So many are served before the first rotation, to compare with. */
	private static final int CALLS_BEFORE = 200;

	/** So much has to be served between two rotations. */
	private static final int CALLS_PER_ROTATION = 4;

	@TempDir
	Path directory;

	private final GrpcSecurityThreads threads = new GrpcSecurityThreads();

	private final BlockingQueue<String> sessions = new LinkedBlockingQueue<>();

	private TestCertificates certificates;

	private @Nullable Server server;

	private TlsCredentials credentials;

	private TlsReloader reloader;

	@BeforeEach
	void makeCertificates() {
		this.certificates = TestCertificates.in(this.directory);
	}

	@AfterEach
	void stop() throws InterruptedException {
		if (this.server != null) {
			this.server.shutdownNow();
			this.server.awaitTermination(10, TimeUnit.SECONDS);
		}
		this.threads.close();
	}

	@ParameterizedTest
	@CsvSource({ "PLAIN,JDK", "PLAIN,BORINGSSL", "SHADED,JDK", "SHADED,BORINGSSL" })
	void reloadWhenPairIsRotatedThenNextHandshakeServesIt(NettyFlavour flavour, Provider provider) throws Exception {
		start(flavour, provider);
		assertThat(call(clientContext(), CallType.UNARY)).isEqualTo(Status.Code.OK);
		assertThat(this.sessions.poll())
			.satisfies((session) -> assertThat(session.contains("OpenSsl")).isEqualTo(provider == Provider.BORINGSSL));
		assertThat(served()).isEqualTo(this.certificates.server().getCertificate());

		for (int i = 0; i < 3; i++) {
			X509Bundle renewed = this.certificates.issue((builder) -> {
			});
			write(renewed);

			assertThat(this.reloader.reload()).isTrue();
			assertThat(served()).isEqualTo(renewed.getCertificate());
		}
		// From EC to RSA: other suites of signatures
		X509Bundle rsa = this.certificates.issue((builder) -> builder.rsa2048());
		write(rsa);

		assertThat(this.reloader.reload()).isTrue();
		assertThat(served()).isEqualTo(rsa.getCertificate());
		for (CallType type : CallType.values()) {
			assertThat(call(clientContext(), type)).isEqualTo(Status.Code.OK);
		}
	}

	@ParameterizedTest
	@CsvSource({ "PLAIN,JDK", "PLAIN,BORINGSSL", "SHADED,JDK", "SHADED,BORINGSSL" })
	void reloadWhenPairDoesNotFitThenOldOneKeepsServing(NettyFlavour flavour, Provider provider) throws Exception {
		start(flavour, provider);

		this.certificates.certificatePem("server.pem", this.certificates.issue((builder) -> {
		}));

		assertThat(this.reloader.reload()).isFalse();
		assertThat(served()).isEqualTo(this.certificates.server().getCertificate());
		for (CallType type : CallType.values()) {
			assertThat(call(clientContext(), type)).isEqualTo(Status.Code.OK);
		}
	}

	@ParameterizedTest
	@CsvSource({ "PLAIN,JDK", "PLAIN,BORINGSSL", "SHADED,JDK", "SHADED,BORINGSSL" })
	void reloadWhenTrustChangesThenNewClientsAreJudgedByIt(NettyFlavour flavour, Provider provider) throws Exception {
		start(flavour, provider);
		assertThat(call(clientContext(), CallType.UNARY)).isEqualTo(Status.Code.OK);

		this.certificates.write("ca.pem", TestCertificates.create().ca().getCertificatePEM());

		assertThat(this.reloader.reload()).isTrue();
		assertThat(call(clientContext(), CallType.UNARY)).isEqualTo(Status.Code.UNAVAILABLE);
	}

	@ParameterizedTest
	@CsvSource({ "PLAIN,JDK", "PLAIN,BORINGSSL", "SHADED,JDK", "SHADED,BORINGSSL" })
	void reloadWhenRotatedHundredTimesUnderLoadThenNothingFails(NettyFlavour flavour, Provider provider)
			throws Exception {
		start(flavour, provider);
		List<X509Bundle> pairs = new ArrayList<>();
		for (int i = 0; i < 10; i++) {
			pairs.add(this.certificates.issue((builder) -> {
			}));
		}
		String otherAuthority = TestCertificates.create().ca().getCertificatePEM();
		String authority = this.certificates.ca().getCertificatePEM();
		ConcurrentLinkedQueue<String> failures = new ConcurrentLinkedQueue<>();
		AtomicBoolean stopped = new AtomicBoolean();
		AtomicInteger calls = new AtomicInteger();
		Semaphore served = new Semaphore(0);
		Semaphore turns = new Semaphore(0);
		AtomicReference<Queue<Long>> handshakes = new AtomicReference<>(new ConcurrentLinkedQueue<>());
		AtomicReference<Queue<Long>> onOpenConnection = new AtomicReference<>(new ConcurrentLinkedQueue<>());
		ManagedChannel open = NettyChannelBuilder.forAddress("127.0.0.1", port()).sslContext(clientContext()).build();
		ExecutorService clients = Executors.newFixedThreadPool(CLIENTS + 1);
		try {
			List<Future<?>> running = new ArrayList<>();
			for (int i = 0; i < CLIENTS; i++) {
				CallType type = CallType.values()[i % CallType.values().length];
				running.add(clients.submit(() -> {
					while (!stopped.get()) {
						SslContext context = clientContext();
						long begin = System.nanoTime();
						Status.Code code = call(context, type);
						handshakes.get().add(System.nanoTime() - begin);
						calls.incrementAndGet();
						if (code != Status.Code.OK) {
							failures.add(type + ": " + code);
						}
						served.release();
						turns.release();
					}
					return null;
				}));
			}

			running.add(clients.submit(() -> {
				while (!stopped.get()) {
					// At the pace of the others, so as not to take their time
					if (!turns.tryAcquire(100, TimeUnit.MILLISECONDS)) {
						continue;
					}
					long begin = System.nanoTime();
					Status.Code code = CallType.UNARY.call(open).code();
					onOpenConnection.get().add(System.nanoTime() - begin);
					if (code != Status.Code.OK) {
						failures.add("open connection: " + code);
					}
				}
				return null;
			}));
			assertThat(served.tryAcquire(CALLS_BEFORE, 60, TimeUnit.SECONDS)).isTrue();
			Queue<Long> handshakesBefore = handshakes.getAndSet(new ConcurrentLinkedQueue<>());
			Queue<Long> callsBefore = onOpenConnection.getAndSet(new ConcurrentLinkedQueue<>());

			for (int rotation = 0; rotation < ROTATIONS; rotation++) {
				assertThat(served.tryAcquire(CALLS_PER_ROTATION, 60, TimeUnit.SECONDS)).isTrue();
				X509Bundle next = pairs.get(rotation % pairs.size());
				write(next);
				this.certificates.write("ca.pem", (rotation % 2 == 0) ? authority + otherAuthority : authority);

				assertThat(this.reloader.reload()).isTrue();
				assertThat(this.credentials.current().leaf()).isEqualTo(next.getCertificate());
			}
			stopped.set(true);
			for (Future<?> client : running) {
				client.get(60, TimeUnit.SECONDS);
			}
			assertAsFastAs(handshakesBefore, handshakes.get());
			assertAsFastAs(callsBefore, onOpenConnection.get());
		}
		finally {
			stopped.set(true);
			open.shutdownNow();
			clients.shutdownNow();
		}
		assertThat(failures).isEmpty();
		assertThat(calls).hasValueGreaterThanOrEqualTo(ROTATIONS * CALLS_PER_ROTATION);
	}

	// What rotating itself takes of the machine is allowed for; that somebody waits for
	// it
	// is not
	private static void assertAsFastAs(Queue<Long> before, Queue<Long> during) {
		assertThat(percentile99(during)).isLessThan(percentile99(before).multipliedBy(5).plusMillis(250));
	}

	private static Duration percentile99(Queue<Long> nanos) {
		List<Long> sorted = nanos.stream().sorted().toList();
		return Duration.ofNanos(sorted.get((int) (sorted.size() * 0.99)));
	}

	private void write(X509Bundle pair) {
		this.certificates.certificatePem("server.pem", pair);
		this.certificates.keyPem("server-key.pem", pair);
	}

	private void start(NettyFlavour flavour, Provider provider) throws Exception {
		ConfiguredTlsMaterial source = ConfiguredTlsMaterial
			.pem(location(this.certificates.serverPem()), location(this.certificates.serverKeyPem()), null)
			.trusting(location(this.certificates.caPem()));
		this.credentials = new TlsCredentials(source, ClientAuth.REQUIRE, InstantSource.system());
		this.reloader = new TlsReloader(this.credentials, Duration.ofSeconds(10), this.threads, List.of());
		ServerBuilder<?> builder = flavour.builder()
			.addService(new EchoService())
			.intercept(new SessionRecorder(this.sessions));
		TransportConfigurer
			.tls(this.credentials,
					new TlsSettings(ClientAuth.REQUIRE, List.of("TLSv1.3"), provider.ciphers, Duration.ofSeconds(30)))
			.configure(builder);
		this.server = builder.build().start();
	}

	private static TlsLocation location(Path file) {
		return new TlsLocation("test", file.toString(), new FileSystemResource(file));
	}

	private int port() {
		return (this.server != null) ? this.server.getPort() : -1;
	}

	// A context of its own for each connection: no session is resumed
	private SslContext clientContext() throws Exception {
		X509Bundle client = this.certificates.client();
		return GrpcSslContexts.forClient()
			.trustManager(this.certificates.ca().getCertificate())
			.keyManager(client.getKeyPair().getPrivate(), client.getCertificatePath())
			.build();
	}

	private Status.Code call(SslContext context, CallType type) {
		ManagedChannel channel = NettyChannelBuilder.forAddress("127.0.0.1", port()).sslContext(context).build();
		try {
			return type.call(channel).code();
		}
		finally {
			channel.shutdownNow();
		}
	}

	private X509Certificate served() throws Exception {
		SSLContext context = SSLContext.getInstance("TLS");
		context.init(this.certificates.client().toKeyManagerFactory().getKeyManagers(),
				new TrustManager[] { this.certificates.ca().toTrustManager() }, null);
		try (SSLSocket socket = (SSLSocket) context.getSocketFactory().createSocket("127.0.0.1", port())) {
			socket.setSoTimeout(30_000);
			SSLParameters parameters = socket.getSSLParameters();
			parameters.setApplicationProtocols(new String[] { "h2" });
			socket.setSSLParameters(parameters);
			socket.startHandshake();
			return (X509Certificate) socket.getSession().getPeerCertificates()[0];
		}
	}

	/** Who speaks TLS on the server. */
	enum Provider {

		/** Takes over when suites are named. */
		JDK(List.of("TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384")), BORINGSSL(List.of());

		private final List<String> ciphers;

		Provider(List<String> ciphers) {
			this.ciphers = ciphers;
		}

	}

	/** Says by whose session a call arrived. */
	private record SessionRecorder(BlockingQueue<String> sessions) implements ServerInterceptor {

		@Override
		public <ReqT, RespT> ServerCall.Listener<ReqT> interceptCall(ServerCall<ReqT, RespT> call, Metadata headers,
				ServerCallHandler<ReqT, RespT> next) {
			this.sessions.add(call.getAttributes().get(Grpc.TRANSPORT_ATTR_SSL_SESSION).getClass().getName());
			return next.startCall(call, headers);
		}

	}

}
