package io.github.grpcsecurity.tls;

import java.nio.file.Files;
import java.nio.file.Path;
import java.security.cert.X509Certificate;
import java.time.Duration;
import java.time.InstantSource;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Queue;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.Stream;

import io.github.grpcsecurity.server.GrpcSecurityThreads;
import io.github.grpcsecurity.server.GrpcServerSecurity;
import io.github.grpcsecurity.server.SecuredService;
import io.github.grpcsecurity.testing.CallType;
import io.github.grpcsecurity.testing.EchoService;
import io.github.grpcsecurity.testing.RawCall;
import io.github.grpcsecurity.testing.RecordingObserver;
import io.github.grpcsecurity.testing.TestCertificates;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.Server;
import io.grpc.ServerBuilder;
import io.grpc.Status.Code;
import io.grpc.netty.GrpcSslContexts;
import io.grpc.netty.NettyChannelBuilder;
import io.netty.handler.ssl.SslContext;
import io.netty.pkitesting.CertificateBuilder;
import io.netty.pkitesting.X509Bundle;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

import org.springframework.core.io.FileSystemResource;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

/**
 * Everything on one server: reload of its certificate, certificates for hosts, SPIFFE
 * roots, revocation lists and the trust epoch. Plain Netty has the TLS provider of the
 * JDK here, shaded Netty that of BoringSSL. All authorities have the same name.
 */
class TransportInterplayIT {

	private static final List<String> JDK_CIPHERS = List.of("TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384",
			"TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256");

	private static final int ROUNDS = 30;

	@TempDir
	Path directory;

	private final TestCertificates bank = TestCertificates.create();

	private final TestCertificates partner = TestCertificates.create();

	private final X509Bundle teller = svid(this.bank, "spiffe://bank/teller");

	private final X509Bundle manager = svid(this.bank, "spiffe://bank/manager");

	private final X509Bundle clerk = svid(this.partner, "spiffe://partner/clerk");

	private final GrpcSecurityThreads threads = new GrpcSecurityThreads();

	private final RecordingObserver observer = new RecordingObserver();

	private final EchoService service = new EchoService();

	private final List<ManagedChannel> channels = new ArrayList<>();

	private TestCertificates files;

	private Path bundles;

	private CertificateRevocationLists lists;

	private SpiffeTrust spiffe;

	private TlsCredentials credentials;

	private TlsCredentials api;

	private TlsReloader reloader;

	private PeerTrust trust;

	private Server server;

	@BeforeEach
	void prepare() throws Exception {
		this.files = TestCertificates.in(this.directory);
		this.bundles = this.directory.resolve("bundles.json");
		Files.createDirectory(this.directory.resolve("crl"));
		writeBundles(true);
		writeList("bank", TestCrl.of(this.bank.ca()));
		writeList("partner", TestCrl.of(this.partner.ca()));
		writeServer(this.bank.server());
	}

	@AfterEach
	void stop() throws InterruptedException {
		this.channels.forEach(ManagedChannel::shutdownNow);
		if (this.server != null) {
			this.server.shutdownNow();
			this.server.awaitTermination(10, TimeUnit.SECONDS);
			this.trust.close();
		}
		this.threads.close();
	}

	static Stream<Arguments> transports() {
		return Stream.of(NettyFlavour.values())
			.flatMap((flavour) -> Stream.of("TLSv1.3", "TLSv1.2").map((version) -> Arguments.of(flavour, version)));
	}

	@ParameterizedTest
	@MethodSource("transports")
	void reloadWhenOneThingChangesThenOnlyThoseItIsAboutAreCutOff(NettyFlavour flavour, String version)
			throws Exception {
		start(flavour);
		SslContext clerkContext = context(this.clerk, version);
		assertThat(CallType.UNARY.call(channel(clerkContext, "localhost")).code()).isEqualTo(Code.OK);
		ManagedChannel tellers = channel(context(this.teller, version), "api.bank.example");
		ManagedChannel managers = channel(context(this.manager, version), "localhost");
		ManagedChannel clerks = channel(clerkContext, "api.bank.example");
		RawCall tellerStream = open(tellers);
		RawCall managerStream = open(managers);
		RawCall clerkStream = open(clerks);
		await().until(() -> this.trust.openCalls() == 3);

		// Certificates of the server: nobody's trust changes
		writeServer(this.bank.issue((builder) -> builder.subject("CN=renewed")));
		assertThat(this.reloader.reload()).isTrue();
		this.api.replace(material(this.bank, "api.bank.example"));
		assertThat(this.credentials.epoch().current()).isZero();

		// A revoked SVID
		writeList("bank", TestCrl.of(this.bank.ca()).revoke(this.teller.getCertificate()));
		long begin = System.nanoTime();
		assertThat(this.lists.reload()).isTrue();
		assertThat(tellerStream.await().status().getCode()).isEqualTo(Code.UNAUTHENTICATED);
		assertThat(Duration.ofNanos(System.nanoTime() - begin)).isLessThan(Duration.ofSeconds(1));
		await().until(() -> this.observer.closed.size() == 2);
		assertThat(this.observer.closed.get(1).call().endedBy().reason()).startsWith("client certificate: revoked");
		assertThat(clerkStream.done() || managerStream.done()).isFalse();

		// A trust domain that is gone
		writeBundles(false);
		begin = System.nanoTime();
		assertThat(this.spiffe.reload()).isTrue();
		assertThat(clerkStream.await().status().getCode()).isEqualTo(Code.UNAUTHENTICATED);
		assertThat(Duration.ofNanos(System.nanoTime() - begin)).isLessThan(Duration.ofSeconds(1));
		assertThat(managerStream.done()).isFalse();

		for (CallType type : CallType.values()) {
			assertThat(type.call(tellers).code()).isEqualTo(Code.UNAUTHENTICATED);
			assertThat(type.call(clerks).code()).isEqualTo(Code.UNAUTHENTICATED);
			assertThat(type.call(managers).code()).isEqualTo(Code.OK);
		}
		// Resumed where the JDK does so, as 17 does and 25 does not, and whole handshakes
		assertThat(CallType.UNARY.call(channel(clerkContext, "localhost")).code()).isIn(Code.UNAUTHENTICATED,
				Code.UNAVAILABLE);
		assertThat(CallType.UNARY.call(channel(context(this.clerk, version), "localhost")).code())
			.isEqualTo(Code.UNAVAILABLE);
		assertThat(CallType.UNARY.call(channel(context(this.teller, version), "localhost")).code())
			.isEqualTo(Code.UNAVAILABLE);
		assertThat(CallType.UNARY.call(channel(context(this.manager, version), "api.bank.example")).code())
			.isEqualTo(Code.OK);
	}

	@ParameterizedTest
	@MethodSource("transports")
	void reloadWhenEverythingChangesAtOnceThenNobodyWhoIsTrustedIsTurnedAway(NettyFlavour flavour, String version)
			throws Exception {
		start(flavour);
		ManagedChannel connected = channel(context(this.manager, version), "localhost");
		RawCall stream = open(connected);
		Queue<String> failures = new ConcurrentLinkedQueue<>();
		AtomicBoolean stopped = new AtomicBoolean();
		AtomicInteger calls = new AtomicInteger();
		ExecutorService executor = Executors.newFixedThreadPool(6);
		try {
			List<Future<?>> clients = new ArrayList<>();
			for (String host : List.of("localhost", "api.bank.example")) {
				clients.add(executor.submit(() -> {
					while (!stopped.get()) {
						ManagedChannel channel = build(context(this.manager, version), host);
						record(CallType.UNARY.call(channel).code(), failures, calls);
						channel.shutdownNow();
					}
					return null;
				}));
			}
			clients.add(executor.submit(() -> {
				while (!stopped.get()) {
					record(CallType.UNARY.call(connected).code(), failures, calls);
				}
				return null;
			}));
			List<Future<?>> changes = List.of(executor.submit(() -> {
				for (int i = 0; i < ROUNDS; i++) {
					writeServer(this.bank.issue((builder) -> {
					}));
					assertThat(this.reloader.reload()).isTrue();
					this.api.replace(material(this.bank, "api.bank.example"));
				}
				return null;
			}), executor.submit(() -> {
				for (int i = 0; i < ROUNDS; i++) {
					writeBundles(i % 2 == 1);
					assertThat(this.spiffe.reload()).isTrue();
				}
				return null;
			}), executor.submit(() -> {
				for (int i = 0; i < ROUNDS; i++) {
					writeList("bank", TestCrl.of(this.bank.ca()).revoke(this.teller.getCertificate()));
					assertThat(this.lists.reload()).isTrue();
				}
				return null;
			}));
			for (Future<?> change : changes) {
				change.get(60, TimeUnit.SECONDS);
			}
			int before = calls.get();
			await().until(() -> calls.get() > before + 10 || !failures.isEmpty());
			stopped.set(true);
			for (Future<?> client : clients) {
				client.get(60, TimeUnit.SECONDS);
			}
		}
		finally {
			stopped.set(true);
			executor.shutdownNow();
		}

		assertThat(failures).isEmpty();
		assertThat(stream.done()).isFalse();
		assertThat(this.credentials.epoch().current()).isGreaterThanOrEqualTo(ROUNDS);
	}

	private static void record(Code code, Queue<String> failures, AtomicInteger calls) {
		calls.incrementAndGet();
		if (code != Code.OK) {
			failures.add(code.name());
		}
	}

	private void start(NettyFlavour flavour) throws Exception {
		this.lists = new CertificateRevocationLists(List.of(this.directory.resolve("crl")), InstantSource.system());
		this.spiffe = new SpiffeTrust(location(this.bundles), List.of());
		this.credentials = new TlsCredentials(
				ConfiguredTlsMaterial.pem(location(this.directory.resolve("server.pem")),
						location(this.directory.resolve("server-key.pem")), null),
				ClientAuth.REQUIRE, InstantSource.system(),
				new RevocationChecker(this.lists, RevocationChecker.Undetermined.DENY), this.spiffe);
		TlsMaterial shown = material(this.bank, "api.bank.example");
		this.api = new TlsCredentials(() -> shown, ClientAuth.NONE, InstantSource.system());
		this.reloader = new TlsReloader(this.credentials, Duration.ofSeconds(10), this.threads, List.of());
		this.trust = new PeerTrust(this.credentials, this.threads, InstantSource.system());
		List<String> ciphers = (flavour == NettyFlavour.PLAIN) ? JDK_CIPHERS : List.of();
		TlsSettings settings = new TlsSettings(ClientAuth.REQUIRE, List.of("TLSv1.3", "TLSv1.2"), ciphers,
				Duration.ofSeconds(30));
		GrpcServerSecurity security = GrpcServerSecurity.builder()
			.stages(List.of(this.trust))
			.configurers(List.of(TransportConfigurer.tls(this.credentials, settings,
					new SniCertificates(Map.of("api.bank.example", this.api)), List.of()), this.trust))
			.observers(List.of(this.observer))
			.executor(this.threads.executor())
			.build();
		ServerBuilder<?> builder = flavour.builder();
		security.install(builder, List.of(new SecuredService(this.service.bindService(), this.service, "echo")));
		this.server = builder.build().start();
	}

	private static TlsLocation location(Path file) {
		return new TlsLocation("test", file.toString(), new FileSystemResource(file));
	}

	private static X509Bundle svid(TestCertificates authority, String id) {
		try {
			return new CertificateBuilder().ecp256()
				.subject("CN=workload")
				.addSanUriName(id)
				.addExtendedKeyUsageClientAuth()
				.buildIssuedBy(authority.ca());
		}
		catch (Exception ex) {
			throw new IllegalStateException(ex);
		}
	}

	private static TlsMaterial material(TestCertificates authority, String host) {
		X509Bundle bundle = authority.issue((builder) -> builder.subject("CN=" + host).addSanDnsName(host));
		return new TlsMaterial("test", bundle.getKeyPair().getPrivate(), List.of(bundle.getCertificatePath()),
				List.of());
	}

	private void writeServer(X509Bundle pair) {
		this.files.certificatePem("server.pem", pair);
		this.files.keyPem("server-key.pem", pair);
	}

	private void writeBundles(boolean withPartner) throws Exception {
		X509Certificate own = this.bank.ca().getCertificate();
		Files.writeString(this.bundles,
				withPartner
						? SpiffeTests.map("bank", SpiffeTests.jwk(own), "partner",
								SpiffeTests.jwk(this.partner.ca().getCertificate()))
						: SpiffeTests.map("bank", SpiffeTests.jwk(own)));
	}

	private void writeList(String name, TestCrl list) throws Exception {
		Files.write(this.directory.resolve("crl").resolve(name + ".crl"), list.der());
	}

	private SslContext context(X509Bundle client, String version) throws Exception {
		return GrpcSslContexts.forClient()
			.trustManager(this.bank.ca().getCertificate())
			.protocols(version)
			.keyManager(client.getKeyPair().getPrivate(), client.getCertificatePath())
			.build();
	}

	private ManagedChannel build(SslContext context, String host) {
		return NettyChannelBuilder.forAddress("127.0.0.1", this.server.getPort())
			.overrideAuthority(host)
			.sslContext(context)
			.build();
	}

	private ManagedChannel channel(SslContext context, String host) {
		ManagedChannel channel = build(context, host);
		this.channels.add(channel);
		return channel;
	}

	private static RawCall open(ManagedChannel channel) {
		return RawCall.start(channel, CallType.BIDI.method(), CallType.BIDI.grpcType(), new Metadata());
	}

}
