package io.github.grpcsecurity.tls;

import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.cert.X509Certificate;
import java.time.Duration;
import java.time.Instant;
import java.time.InstantSource;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicReference;
import java.util.stream.Stream;

import com.google.rpc.ErrorInfo;
import io.github.grpcsecurity.server.CallDecision;
import io.github.grpcsecurity.server.GrpcSecurityThreads;
import io.github.grpcsecurity.server.GrpcServerSecurity;
import io.github.grpcsecurity.server.SecuredCall;
import io.github.grpcsecurity.server.SecuredService;
import io.github.grpcsecurity.server.SecurityStage;
import io.github.grpcsecurity.server.Verdict;
import io.github.grpcsecurity.testing.CallType;
import io.github.grpcsecurity.testing.EchoGrpc;
import io.github.grpcsecurity.testing.EchoReply;
import io.github.grpcsecurity.testing.EchoRequest;
import io.github.grpcsecurity.testing.EchoService;
import io.github.grpcsecurity.testing.RawCall;
import io.github.grpcsecurity.testing.RecordingObserver;
import io.github.grpcsecurity.testing.TestCertificates;
import io.github.grpcsecurity.testing.TestStage;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.Server;
import io.grpc.ServerBuilder;
import io.grpc.Status.Code;
import io.grpc.netty.GrpcSslContexts;
import io.grpc.netty.NettyChannelBuilder;
import io.grpc.protobuf.ProtoUtils;
import io.grpc.stub.StreamObserver;
import io.netty.handler.ssl.SslContext;
import io.netty.handler.ssl.SslContextBuilder;
import io.netty.pkitesting.X509Bundle;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.MethodSource;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

/**
 * Plain Netty has the TLS provider of the JDK here, shaded Netty that of BoringSSL.
 */
class PeerTrustIT {

	private static final Metadata.Key<com.google.rpc.Status> DETAILS = Metadata.Key.of("grpc-status-details-bin",
			ProtoUtils.metadataMarshaller(com.google.rpc.Status.getDefaultInstance()));

	@TempDir
	Path directory;

	private final TestCertificates certificates = TestCertificates.create();

	private final TestCertificates others = TestCertificates.create();

	private final AtomicReference<Instant> time = new AtomicReference<>();

	private final InstantSource clock = () -> (this.time.get() != null) ? this.time.get() : Instant.now();

	private final GrpcSecurityThreads threads = new GrpcSecurityThreads();

	private final RecordingObserver observer = new RecordingObserver();

	private final List<ManagedChannel> channels = new ArrayList<>();

	private final EchoService service = new EchoService();

	private final AtomicReference<SecuredCall> lastCall = new AtomicReference<>();

	private final Set<Object> verifications = ConcurrentHashMap.newKeySet();

	private TlsCredentials credentials;

	private PeerTrust trust;

	private Server server;

	@AfterEach
	void closeChannels() {
		this.channels.forEach(ManagedChannel::shutdownNow);
	}

	@AfterEach
	void stop() throws InterruptedException {
		if (this.server != null) {
			this.server.shutdownNow();
			this.server.awaitTermination(10, TimeUnit.SECONDS);
			this.trust.close();
		}
		this.threads.close();
	}

	private static final List<String> JDK_CIPHERS = List.of("TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384",
			"TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256");

	static Stream<Arguments> transports() {
		return Stream.of(NettyFlavour.values())
			.flatMap((flavour) -> Stream.of("TLSv1.3", "TLSv1.2").map((version) -> Arguments.of(flavour, version)));
	}

	@ParameterizedTest
	@MethodSource("transports")
	void replaceWhenClientResumesItsSessionThenFirstCallIsRefused(NettyFlavour flavour, String version)
			throws Exception {
		start(flavour, ClientAuth.REQUIRE, null);
		SslContext context = context(this.certificates.client(), version);
		ManagedChannel first = channel(context);
		assertThat(CallType.UNARY.call(first).code()).isEqualTo(Code.OK);
		disconnect(first);
		ManagedChannel second = channel(context);
		assertThat(CallType.UNARY.call(second).code()).isEqualTo(Code.OK);
		disconnect(second);

		this.credentials.replace(material(this.certificates, this.others));

		for (CallType type : CallType.values()) {
			ManagedChannel resumed = channel(context);
			CallType.Outcome outcome = type.call(resumed);
			assertThat(outcome.code()).isEqualTo(Code.UNAUTHENTICATED);
			assertThat(outcome.status().getDescription()).isEqualTo("authentication failed");
			disconnect(resumed);
		}
		assertThat(this.service.entered).hasValue(2);
		assertThat(CallType.UNARY.call(channel(context(this.certificates.client(), version))).code())
			.isEqualTo(Code.UNAVAILABLE);
		assertThat(CallType.UNARY.call(channel(context(this.others.client(), version))).code()).isEqualTo(Code.OK);
	}

	@ParameterizedTest
	@EnumSource
	void serverWhenItIsOfOneFlavourThenItHasTheProviderThatIsMeant(NettyFlavour flavour) throws Exception {
		List<String> sessions = new CopyOnWriteArrayList<>();
		this.service.probe = (callback) -> sessions
			.add(String.valueOf(SecuredCall.current().sslSession().getClass().getName()));
		start(flavour, ClientAuth.REQUIRE, null, this.certificates);

		assertThat(CallType.UNARY.call(channel(context(this.certificates.client(), "TLSv1.3"))).code())
			.isEqualTo(Code.OK);

		assertThat(sessions.get(0).contains("OpenSsl")).isEqualTo(flavour == NettyFlavour.SHADED);
	}

	@ParameterizedTest
	@MethodSource("transports")
	void replaceWhenCallsAreOpenThenThoseOfUntrustedClientsEndWithinASecond(NettyFlavour flavour, String version)
			throws Exception {
		start(flavour, ClientAuth.REQUIRE, null, this.certificates, this.others);
		ManagedChannel leaving = channel(context(this.certificates.client(), version));
		ManagedChannel staying = channel(context(this.others.client(), version));
		RawCall bidi = open(leaving, CallType.BIDI);
		RawCall clientStream = open(leaving, CallType.CLIENT_STREAM);
		RawCall trusted = open(staying, CallType.BIDI);
		await().until(() -> this.trust.openCalls() == 3 && this.service.entered.get() == 3);
		long begin = System.nanoTime();

		this.credentials.replace(material(this.certificates, this.others));

		assertThat(bidi.await().status().getCode()).isEqualTo(Code.UNAUTHENTICATED);
		assertThat(clientStream.await().status().getCode()).isEqualTo(Code.UNAUTHENTICATED);
		assertThat(Duration.ofNanos(System.nanoTime() - begin)).isLessThan(Duration.ofSeconds(1));
		await().until(() -> this.observer.closed.size() == 2);
		assertThat(this.observer.closed.get(0).call().endedBy().reason())
			.matches("client certificate: untrusted \\(CN=Test client, serial [0-9a-f-]+\\)");
		for (CallType type : CallType.values()) {
			assertThat(type.call(leaving).code()).isEqualTo(Code.UNAUTHENTICATED);
			assertThat(type.call(staying).code()).isEqualTo(Code.OK);
		}
		assertThat(trusted.done()).isFalse();
	}

	@ParameterizedTest
	@EnumSource
	void replaceWhenAuthorityComesBackThenConnectionIsTrustedAgain(NettyFlavour flavour) throws Exception {
		start(flavour, ClientAuth.REQUIRE, null);
		ManagedChannel channel = channel(context(this.certificates.client(), "TLSv1.3"));
		assertThat(CallType.UNARY.call(channel).code()).isEqualTo(Code.OK);

		this.credentials.replace(material(this.certificates, this.others));
		assertThat(CallType.UNARY.call(channel).code()).isEqualTo(Code.UNAUTHENTICATED);
		this.credentials.replace(material(this.certificates, this.certificates));

		assertThat(CallType.UNARY.call(channel).code()).isEqualTo(Code.OK);
	}

	@Test
	void replaceWhenOnlyTheServerCertificateChangesThenNobodyIsVerifiedAgain() throws Exception {
		start(NettyFlavour.PLAIN, ClientAuth.REQUIRE, null);
		ManagedChannel channel = channel(context(this.certificates.client(), "TLSv1.3"));
		assertThat(CallType.UNARY.call(channel).code()).isEqualTo(Code.OK);

		X509Bundle renewed = this.certificates.issue((builder) -> {
		});
		this.credentials.replace(new TlsMaterial("test", renewed.getKeyPair().getPrivate(),
				List.of(renewed.getCertificatePath()), List.of(this.certificates.ca().getCertificate())));

		assertThat(CallType.UNARY.call(channel).code()).isEqualTo(Code.OK);
		assertThat(this.verifications).hasSize(1);
	}

	@ParameterizedTest
	@MethodSource("transports")
	void reloadWhenClientIsRevokedThenItsOpenCallsEndAndItGetsNoOthers(NettyFlavour flavour, String version)
			throws Exception {
		CertificateRevocationLists lists = revocationLists();
		start(flavour, ClientAuth.REQUIRE, new RevocationChecker(lists, RevocationChecker.Undetermined.DENY));
		SslContext context = context(this.certificates.client(), version);
		ManagedChannel channel = channel(context);
		X509Bundle another = this.certificates.issueClient((builder) -> builder.subject("CN=Other client"));
		ManagedChannel staying = channel(context(another, version));
		RawCall bidi = open(channel, CallType.BIDI);
		RawCall trusted = open(staying, CallType.BIDI);
		await().until(() -> this.trust.openCalls() == 2 && this.service.entered.get() == 2);
		long begin = System.nanoTime();

		Files.write(this.directory.resolve("ca.crl"),
				TestCrl.of(this.certificates.ca()).revoke(this.certificates.client().getCertificate()).der());
		lists.reload();

		assertThat(bidi.await().status().getCode()).isEqualTo(Code.UNAUTHENTICATED);
		assertThat(Duration.ofNanos(System.nanoTime() - begin)).isLessThan(Duration.ofSeconds(1));
		await().until(() -> this.observer.closed.size() == 1);
		assertThat(this.observer.closed.get(0).call().endedBy().reason())
			.matches("client certificate: revoked \\(CN=Test client, serial [0-9a-f-]+\\)");
		assertThat(CallType.UNARY.call(channel).code()).isEqualTo(Code.UNAUTHENTICATED);
		assertThat(CallType.UNARY.call(staying).code()).isEqualTo(Code.OK);
		assertThat(trusted.done()).isFalse();
		disconnect(channel);
		// A resumed session, then a whole handshake
		assertThat(CallType.UNARY.call(channel(context)).code()).isEqualTo(Code.UNAUTHENTICATED);
		assertThat(CallType.UNARY.call(channel(context(this.certificates.client(), version))).code())
			.isEqualTo(Code.UNAVAILABLE);
	}

	@ParameterizedTest
	@EnumSource
	void handshakeWhenThereIsNoListThenUndeterminedDecides(RevocationChecker.Undetermined undetermined)
			throws Exception {
		for (NettyFlavour flavour : NettyFlavour.values()) {
			start(flavour, ClientAuth.REQUIRE, new RevocationChecker(
					new CertificateRevocationLists(List.of(this.directory), this.clock), undetermined));

			assertThat(CallType.UNARY.call(channel(context(this.certificates.client(), "TLSv1.3"))).code())
				.isEqualTo((undetermined == RevocationChecker.Undetermined.ALLOW) ? Code.OK : Code.UNAVAILABLE);
			this.server.shutdownNow();
		}
	}

	@Test
	void reloadWhenListIsDroppedThenOpenCallsOfUndeterminedClientsEnd() throws Exception {
		CertificateRevocationLists lists = revocationLists();
		start(NettyFlavour.PLAIN, ClientAuth.REQUIRE,
				new RevocationChecker(lists, RevocationChecker.Undetermined.DENY));
		RawCall bidi = open(channel(context(this.certificates.client(), "TLSv1.3")), CallType.BIDI);
		await().until(() -> this.service.entered.get() == 1);

		Files.delete(this.directory.resolve("ca.crl"));
		lists.reload();
		lists.reload();

		assertThat(bidi.await().status().getCode()).isEqualTo(Code.UNAUTHENTICATED);
		await().until(() -> this.observer.closed.size() == 1);
		assertThat(this.observer.closed.get(0).call().endedBy().reason())
			.startsWith("client certificate: revocation undetermined (CN=Test client, serial ");
	}

	@ParameterizedTest
	@EnumSource
	void expireWhenCertificateRunsOutThenOpenCallsEndAndNewOnesAreRefused(NettyFlavour flavour) throws Exception {
		start(flavour, ClientAuth.REQUIRE, null);
		ManagedChannel channel = channel(context(this.certificates.client(), "TLSv1.3"));
		Instant notAfter = this.certificates.client().getCertificate().getNotAfter().toInstant();
		RawCall bidi = open(channel, CallType.BIDI);
		RawCall clientStream = open(channel, CallType.CLIENT_STREAM);
		await().until(() -> this.trust.openCalls() == 2 && this.service.entered.get() == 2);

		this.time.set(notAfter);
		this.trust.expire();
		for (CallType type : CallType.values()) {
			assertThat(type.call(channel).code()).isEqualTo(Code.OK);
		}
		this.time.set(notAfter.plusMillis(1));
		this.trust.expire();

		assertExpired(bidi.await());
		assertExpired(clientStream.await());
		int entered = this.service.entered.get();
		for (CallType type : CallType.values()) {
			CallType.Outcome outcome = type.call(channel);
			assertExpired(new RawCall.Result(outcome.status(), outcome.trailers()));
		}
		assertThat(this.service.entered).hasValue(entered);
		assertThat(this.observer.decided).last().satisfies((decided) -> {
			assertThat(decided.decision().outcome()).isEqualTo(CallDecision.Outcome.REFUSE);
			assertThat(decided.decision().refusal().reason())
				.startsWith("client certificate: expired at " + notAfter + " (CN=Test client, serial ");
		});
	}

	@Test
	void expireWhenClockIsSetBackThenConnectionStaysExpired() throws Exception {
		start(NettyFlavour.PLAIN, ClientAuth.REQUIRE, null);
		ManagedChannel channel = channel(context(this.certificates.client(), "TLSv1.3"));
		assertThat(CallType.UNARY.call(channel).code()).isEqualTo(Code.OK);
		this.time.set(Instant.now().plus(Duration.ofDays(2)));
		this.trust.expire();
		assertThat(this.trust.watched()).isZero();

		this.time.set(null);

		for (CallType type : CallType.values()) {
			assertThat(type.call(channel).code()).isEqualTo(Code.UNAUTHENTICATED);
		}
	}

	@Test
	void connectWhenCertificateHasExpiredMeanwhileThenNothingIsWatched() throws Exception {
		start(NettyFlavour.PLAIN, ClientAuth.REQUIRE, null);
		// The handshake goes by the clock of the system: to us this is a resumed session
		this.time.set(Instant.now().plus(Duration.ofDays(2)));
		ManagedChannel channel = channel(context(this.certificates.client(), "TLSv1.3"));

		assertThat(CallType.UNARY.call(channel).code()).isEqualTo(Code.UNAUTHENTICATED);
		assertThat(this.trust.watched()).isZero();
	}

	@ParameterizedTest
	@EnumSource(names = { "BIDI", "CLIENT_STREAM" })
	void expireWhenTimeReallyPassesThenTimerEndsTheCall(CallType type) throws Exception {
		start(NettyFlavour.PLAIN, ClientAuth.REQUIRE, null);
		Instant notAfter = Instant.now().plusSeconds(4);
		X509Bundle brief = this.certificates.issueClient((builder) -> builder.notAfter(notAfter));
		RawCall call = open(channel(context(brief, "TLSv1.3")), type);

		assertExpired(call.await());
		// Certificates know whole seconds only
		assertThat(Instant.now()).isBetween(notAfter.minusMillis(1_000), notAfter.plusMillis(1_000));
	}

	@Test
	void expireWhenServerHasItsOwnTlsThenExpiryIsEnforcedAllTheSame() throws Exception {
		this.credentials = credentials(ClientAuth.REQUIRE, null, this.certificates);
		this.trust = new PeerTrust(null, this.threads, this.clock);
		serve(NettyFlavour.PLAIN, ClientAuth.REQUIRE);
		ManagedChannel channel = channel(context(this.certificates.client(), "TLSv1.3"));
		RawCall call = open(channel, CallType.BIDI);
		await().until(() -> this.service.entered.get() == 1);

		this.time.set(Instant.now().plus(Duration.ofDays(2)));
		this.trust.expire();

		assertExpired(call.await());
	}

	@ParameterizedTest
	@EnumSource
	void replaceWhenClientIsAnonymousThenItsCallsGoOn(NettyFlavour flavour) throws Exception {
		start(flavour, ClientAuth.OPTIONAL, null);
		ManagedChannel channel = channel(context(null, "TLSv1.3"));
		RawCall call = open(channel, CallType.BIDI);
		await().until(() -> this.service.entered.get() == 1);

		this.credentials.replace(material(this.certificates, this.others));

		assertThat(CallType.UNARY.call(channel).code()).isEqualTo(Code.OK);
		assertThat(call.done()).isFalse();
		assertThat(this.trust.watched()).isZero();
	}

	@Test
	void checkWhenManyCallsHaveEndedThenNothingIsKept() throws Exception {
		start(NettyFlavour.PLAIN, ClientAuth.REQUIRE, null);
		ManagedChannel channel = channel(context(this.certificates.client(), "TLSv1.3"));
		EchoGrpc.EchoStub stub = EchoGrpc.newStub(channel);
		Semaphore inFlight = new Semaphore(50);
		Semaphore done = new Semaphore(0);
		for (int i = 0; i < 10_000; i++) {
			inFlight.acquire();
			stub.unary(EchoRequest.getDefaultInstance(), new StreamObserver<>() {
				@Override
				public void onNext(EchoReply reply) {
				}

				@Override
				public void onError(Throwable ex) {
					inFlight.release();
				}

				@Override
				public void onCompleted() {
					done.release();
					inFlight.release();
				}
			});
		}

		assertThat(done.tryAcquire(10_000, 20, TimeUnit.SECONDS)).isTrue();
		await().until(() -> this.trust.openCalls() == 0);
		assertThat(this.trust.watched()).isEqualTo(1);
		assertThat(this.verifications).hasSize(1);
		disconnect(channel);
		await().until(() -> this.trust.watched() == 0);
	}

	@Test
	void checkWhenTrustHasNotChangedThenItIsCheap() throws Exception {
		start(NettyFlavour.PLAIN, ClientAuth.REQUIRE, null);
		assertThat(CallType.UNARY.call(channel(context(this.certificates.client(), "TLSv1.3"))).code())
			.isEqualTo(Code.OK);
		await().until(() -> this.observer.closed.size() == 1);
		SecuredCall call = this.lastCall.get();
		check(call, 100_000);
		com.sun.management.ThreadMXBean bean = (com.sun.management.ThreadMXBean) ManagementFactory.getThreadMXBean();
		int count = 100_000;
		long allocated = bean.getThreadAllocatedBytes(Thread.currentThread().getId());
		long begin = System.nanoTime();

		check(call, count);

		long nanos = (System.nanoTime() - begin) / count;
		long bytes = (bean.getThreadAllocatedBytes(Thread.currentThread().getId()) - allocated) / count;
		assertThat(bytes).isLessThan(200);
		assertThat(nanos).isLessThan(20_000);
		assertThat(this.verifications).hasSize(1);
	}

	private void check(SecuredCall call, int times) {
		for (int i = 0; i < times; i++) {
			assertThatProceeds(this.trust.check(call));
		}
	}

	private static void assertThatProceeds(Verdict verdict) {
		if (verdict != Verdict.proceed()) {
			throw new AssertionError(verdict);
		}
	}

	private static void assertExpired(RawCall.Result result) throws Exception {
		assertThat(result.status().getCode()).isEqualTo(Code.UNAUTHENTICATED);
		assertThat(result.status().getDescription()).isEqualTo("authentication failed");
		ErrorInfo info = result.trailers().get(DETAILS).getDetails(0).unpack(ErrorInfo.class);
		assertThat(info.getReason()).isEqualTo("PEER_CERTIFICATE_EXPIRED");
	}

	private CertificateRevocationLists revocationLists() throws Exception {
		Files.write(this.directory.resolve("ca.crl"), TestCrl.of(this.certificates.ca()).der());
		return new CertificateRevocationLists(List.of(this.directory), this.clock);
	}

	private void start(NettyFlavour flavour, ClientAuth clientAuth, @Nullable RevocationChecker revocation,
			TestCertificates... trusted) throws Exception {
		this.credentials = credentials(clientAuth, revocation,
				(trusted.length > 0) ? trusted : new TestCertificates[] { this.certificates });
		this.trust = new PeerTrust(this.credentials, this.threads, this.clock);
		serve(flavour, clientAuth);
	}

	private TlsCredentials credentials(ClientAuth clientAuth, @Nullable RevocationChecker revocation,
			TestCertificates... trusted) {
		return new TlsCredentials(() -> material(this.certificates, trusted), clientAuth, InstantSource.system(),
				revocation, null);
	}

	private static TlsMaterial material(TestCertificates server, TestCertificates... trusted) {
		List<X509Certificate> anchors = Stream.of(trusted).map((one) -> one.ca().getCertificate()).toList();
		return new TlsMaterial("test", server.server().getKeyPair().getPrivate(),
				List.of(server.server().getCertificatePath()), anchors);
	}

	private void serve(NettyFlavour flavour, ClientAuth clientAuth) throws Exception {
		// Plain Netty takes the JDK's TLS where suites are named, so that both providers
		// are tried
		List<String> ciphers = (flavour == NettyFlavour.PLAIN) ? JDK_CIPHERS : List.of();
		TlsSettings settings = new TlsSettings(clientAuth, List.of("TLSv1.3", "TLSv1.2"), ciphers,
				Duration.ofSeconds(10));
		TestStage witness = TestStage.check(SecurityStage.AUTHENTICATION, (call) -> {
			PeerConnection connection = call.attributes().get(PeerConnection.KEY);
			if (connection != null && connection.verification() != null) {
				this.verifications.add(System.identityHashCode(connection.verification()));
			}
			this.lastCall.set(call);
			return Verdict.proceed();
		});
		GrpcServerSecurity security = GrpcServerSecurity.builder()
			.stages(List.of(this.trust, witness))
			.configurers(List.of(TransportConfigurer.tls(this.credentials, settings), this.trust))
			.observers(List.of(this.observer))
			.executor(this.threads.executor())
			.build();
		ServerBuilder<?> builder = flavour.builder();
		security.install(builder, List.of(new SecuredService(this.service.bindService(), this.service, "echo")));
		this.server = builder.build().start();
	}

	private SslContext context(@Nullable X509Bundle client, String version) throws Exception {
		SslContextBuilder context = GrpcSslContexts.forClient()
			.trustManager(this.certificates.ca().getCertificate())
			.protocols(version);
		if (client != null) {
			context.keyManager(client.getKeyPair().getPrivate(), client.getCertificatePath());
		}
		return context.build();
	}

	private ManagedChannel channel(SslContext context) {
		ManagedChannel channel = NettyChannelBuilder.forAddress("127.0.0.1", this.server.getPort())
			.sslContext(context)
			.build();
		this.channels.add(channel);
		return channel;
	}

	private static void disconnect(ManagedChannel channel) throws InterruptedException {
		channel.shutdownNow();
		assertThat(channel.awaitTermination(10, TimeUnit.SECONDS)).isTrue();
	}

	private static RawCall open(ManagedChannel channel, CallType type) {
		return RawCall.start(channel, type.method(), type.grpcType(), new Metadata());
	}

}
