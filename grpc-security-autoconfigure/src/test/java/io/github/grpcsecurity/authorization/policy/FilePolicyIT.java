package io.github.grpcsecurity.authorization.policy;

import java.io.ByteArrayInputStream;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicReference;

import io.github.grpcsecurity.authorization.AuthorizationExplainer;
import io.github.grpcsecurity.authorization.AuthorizationExplanation.Decision;
import io.github.grpcsecurity.authorization.AuthorizationStage;
import io.github.grpcsecurity.authorization.CallDescription;
import io.github.grpcsecurity.server.CallStage;
import io.github.grpcsecurity.server.PeerIdentity;
import io.github.grpcsecurity.testing.CallType;
import io.github.grpcsecurity.testing.EchoReply;
import io.github.grpcsecurity.testing.EchoRequest;
import io.github.grpcsecurity.testing.EchoService;
import io.github.grpcsecurity.testing.RawCall;
import io.github.grpcsecurity.testing.RecordingObserver;
import io.github.grpcsecurity.testing.TestCertificates;
import io.github.grpcsecurity.testing.TestServer;
import io.github.grpcsecurity.testing.TestStage;
import io.grpc.Grpc;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.Status.Code;
import io.grpc.TlsChannelCredentials;
import io.grpc.netty.GrpcSslContexts;
import io.grpc.netty.NettyServerBuilder;
import io.grpc.stub.StreamObserver;
import io.netty.handler.ssl.ClientAuth;
import io.netty.handler.ssl.SslContext;
import io.netty.handler.ssl.SslContextBuilder;
import io.netty.pkitesting.X509Bundle;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;

import org.springframework.boot.test.system.CapturedOutput;
import org.springframework.boot.test.system.OutputCaptureExtension;
import org.springframework.core.io.AbstractResource;

import static org.assertj.core.api.Assertions.assertThat;

/** Policies in front of real servers, in all four call types. */
@ExtendWith(OutputCaptureExtension.class)
class FilePolicyIT {

	private static final String PRINCIPALS = "{'name': 'authz', 'allow_rules': [{'name': 'allow_authenticated', "
			+ "'source': {'principals': ['*', '']}}]}";

	private static final TestCertificates CERTIFICATES = TestCertificates.create();

	private final RecordingObserver calls = new RecordingObserver();

	private final List<PolicyAuditEvent> events = new CopyOnWriteArrayList<>();

	private final List<String> shadowed = new CopyOnWriteArrayList<>();

	private final List<PolicyDecision> ended = new CopyOnWriteArrayList<>();

	private final PolicyObserver observer = new PolicyObserver() {
		@Override
		public void shadowed(@Nullable PolicyDecision enforced, PolicyDecision candidate) {
			FilePolicyIT.this.shadowed
				.add(((enforced != null) ? enforced.allowed() : "none") + " " + candidate.allowed());
		}

		@Override
		public void ended(PolicyDecision decision) {
			FilePolicyIT.this.ended.add(decision);
		}
	};

	private final PolicyAuditLoggers loggers = new PolicyAuditLoggers(List.of(new PolicyAuditLoggerFactory() {
		@Override
		public String name() {
			return "stat_logger";
		}

		@Override
		public PolicyAuditLogger create(Map<String, Object> config) {
			return FilePolicyIT.this.events::add;
		}
	}), Runnable::run, List.of());

	/** Cases of the end-to-end tests of grpc-go and grpc-java. */
	@ParameterizedTest
	@CsvSource(delimiter = '|', quoteCharacter = '`', value = {
			// Denied: matches deny, not allow
			"'paths': ['/other/Any'] | 'paths': ['/testing.Echo/*'], 'headers': [{'key': 'key-abc', 'values': ['val-abc', 'val-def']}] | false",
			// Denied: matches both
			"'paths': ['*'] | 'paths': ['*'] | false",
			// Allowed: matches allow only
			"`` | 'paths': ['/testing.Echo/*'], 'headers': [{'key': 'key-xyz', 'values': ['val-abc']}] | true",
			// Denied: matches neither
			"'paths': ['/other/Any'] | 'paths': ['/other/*'] | false",
			// Denied: the header is there but empty
			"'paths': ['/testing.Echo/*'], 'headers': [{'key': 'key-empty', 'values': ['*']}] | 'paths': ['/other/*'] | false",
			"'paths': ['/testing.Echo/*'], 'headers': [{'key': 'key-abc', 'values': ['*']}] | 'paths': ['/other/*'] | true",
			// No deny rules
			"'paths': ['/testing.Echo/*'] | none | true", "'paths': ['/other/*'] | none | false" })
	void callWhenRulesMatchOrNotThenAsInGo(String allow, String deny, boolean allowed) {
		String policy = "{'name': 'authz', 'allow_rules': [{'name': 'a', 'request': {" + allow + "}}]"
				+ (deny.equals("none") ? "" : ", 'deny_rules': [{'name': 'd', 'request': {" + deny + "}}]") + "}";
		EchoService service = new EchoService();
		Metadata headers = TestStage.user("alice");
		headers.put(key("key-abc"), "val-abc");
		headers.put(key("key-empty"), "");
		try (TestServer server = TestServer.inProcess(service, stages(live(policy)))) {
			for (CallType type : CallType.values()) {
				CallType.Outcome outcome = type.call(server.channel(), headers, "hello");
				assertThat(outcome.code()).isEqualTo(allowed ? Code.OK : Code.PERMISSION_DENIED);
				if (!allowed) {
					assertThat(outcome.status().getDescription()).isEqualTo("access denied");
				}
			}
		}
		assertThat(service.entered).hasValue(allowed ? 4 : 0);
	}

	@ParameterizedTest
	@EnumSource(CallType.class)
	void callWhenCallerIsNotKnownThenUnauthenticated(CallType type) {
		try (TestServer server = TestServer.inProcess(new EchoService(), stages(live(policy("none", "/other/*"))))) {
			CallType.Outcome outcome = type.call(server.channel());

			assertThat(outcome.code()).isEqualTo(Code.UNAUTHENTICATED);
			assertThat(outcome.status().getDescription()).isEqualTo("authentication failed");
		}
	}

	@ParameterizedTest
	@EnumSource(CallType.class)
	void callWhenPlaintextThenNoPrincipalMatches(CallType type) {
		try (TestServer server = TestServer.network(new EchoService(), stages(live(PRINCIPALS)))) {
			assertThat(type.call(server.channel(), TestStage.user("alice"), "x").code())
				.isEqualTo(Code.PERMISSION_DENIED);
		}
	}

	@ParameterizedTest
	@EnumSource(CallType.class)
	void callWhenTlsThenPrincipalIsEmptyOrOfTheCertificate(CallType type) throws Exception {
		try (TestServer server = tls(live(PRINCIPALS))) {
			assertThat(call(server, type, null)).isEqualTo(Code.OK);
			assertThat(call(server, type, CERTIFICATES.client())).isEqualTo(Code.OK);
		}
		try (TestServer server = tls(live(PRINCIPALS.replace("'*', ''", "''")))) {
			assertThat(call(server, type, null)).isEqualTo(Code.OK);
			// Known by its certificate, so no credentials would help
			assertThat(call(server, type, CERTIFICATES.client())).isEqualTo(Code.PERMISSION_DENIED);
		}
		try (TestServer server = tls(live(PRINCIPALS.replace("'*', ''", "'spiffe://test/*'")))) {
			assertThat(call(server, type, null)).isEqualTo(Code.UNAUTHENTICATED);
			assertThat(call(server, type, CERTIFICATES.client())).isEqualTo(Code.OK);
		}
	}

	@Test
	void callWhenCertificateHasUriThenItsOtherNamesDoNotCount() throws Exception {
		X509Bundle both = CERTIFICATES.issueClient((builder) -> builder.addSanDnsName("client.example"));
		X509Bundle dns = CERTIFICATES.issue((builder) -> builder.subject("CN=other").addExtendedKeyUsageClientAuth());
		try (TestServer server = tls(live(PRINCIPALS.replace("'*', ''", "'client.example', 'localhost', 'CN=*'")))) {
			assertThat(call(server, CallType.UNARY, both)).isEqualTo(Code.PERMISSION_DENIED);
			assertThat(call(server, CallType.UNARY, dns)).isEqualTo(Code.OK);
		}
	}

	@ParameterizedTest
	@CsvSource(delimiter = '|', quoteCharacter = '`',
			value = { "NONE | '/testing.Echo/Unary' | '/other/*' | 0 | 0 | true | false",
					"ON_DENY_AND_ALLOW | '*' | '/testing.Echo/ClientStream' | 2 | 1 | true | false",
					"ON_ALLOW | '/testing.Echo/Unary' | '/other/*' | 2 | 0 | true | false",
					"ON_DENY | '/testing.Echo/Unary_Z' | '/other/*' | 0 | 3 | false | false" })
	void callWhenAuditedThenOneEventForEachDecisionOfTheKind(String condition, String allow, String deny, int allowed,
			int denied, boolean unary, boolean stream) throws Exception {
		String policy = "{'name': 'authz', 'allow_rules': [{'name': 'allow', 'request': {'paths': [" + allow
				+ "]}}], 'deny_rules': [{'name': 'deny_all', 'request': {'paths': [" + deny
				+ "]}}], 'audit_logging_options': {'audit_condition': '" + condition
				+ "', 'audit_loggers': [{'name': 'stat_logger'}, {'name': 'stdout_logger'}]}}";
		try (TestServer server = tls(live(policy))) {
			assertThat(call(server, CallType.UNARY, CERTIFICATES.client()))
				.isEqualTo(unary ? Code.OK : Code.PERMISSION_DENIED);
			assertThat(call(server, CallType.UNARY, CERTIFICATES.client()))
				.isEqualTo(unary ? Code.OK : Code.PERMISSION_DENIED);
			assertThat(call(server, CallType.CLIENT_STREAM, CERTIFICATES.client()))
				.isEqualTo(stream ? Code.OK : Code.PERMISSION_DENIED);
		}

		assertThat(this.events).filteredOn(PolicyAuditEvent::authorized).hasSize(allowed);
		assertThat(this.events).filteredOn((event) -> !event.authorized()).hasSize(denied);
		if (condition.equals("ON_DENY_AND_ALLOW")) {
			assertThat(this.events.get(2)).isEqualTo(new PolicyAuditEvent("/testing.Echo/ClientStream",
					TestCertificates.CLIENT_URI, "authz", "authz_deny_all", false, this.events.get(2).timestamp()));
		}
	}

	@Test
	void callWhenDecidedThenAuditNotesSayByWhat() {
		FilePolicy policy = live(policy("p", "/testing.Echo/Unary"));
		try (TestServer server = TestServer.inProcess(new EchoService(), stages(policy), this.calls)) {
			CallType.UNARY.call(server.channel());
			CallType.BIDI.call(server.channel());
		}
		String hash = policy.files().get(0).policy().hash();
		assertThat(this.calls.decided.get(0).call().notes())
			.isEqualTo(Map.of("policy.name", "p", "policy.rule", "p_allow", "policy.hash", hash));
		assertThat(this.calls.decided.get(1).call().notes()).isEqualTo(Map.of("authorization.rule", "policy-file",
				"policy.name", "p", "policy.rule", "", "policy.hash", hash));
		assertThat(this.calls.decided.get(1).decision().refusal().reason())
			.isEqualTo("no credentials, and denied by policy p (no rule allows it)");
	}

	@Test
	void callWhenRuleOrDefaultHasAnOpinionThenBothMustAllow() {
		FilePolicy policy = live(policy("p", "/testing.Echo/*"));
		AuthorizationStage stage = AuthorizationStage.builder()
			.policies(List.of(policy))
			.rule("testing.Echo/Unary", "hasAuthority('A')")
			.build();
		try (TestServer server = TestServer.inProcess(new EchoService(), List.of(TestStage.authentication(), stage))) {
			assertThat(CallType.UNARY.call(server.channel(), TestStage.user("u:B"), "x").code())
				.isEqualTo(Code.PERMISSION_DENIED);
			assertThat(CallType.UNARY.call(server.channel(), TestStage.user("u:A"), "x").code()).isEqualTo(Code.OK);
			// Nothing but the policy is about this one
			assertThat(CallType.BIDI.call(server.channel()).code()).isEqualTo(Code.OK);
		}
	}

	@Test
	void startWhenPolicyAllowsOnlySomeMethodsThenNamesTheOthers(CapturedOutput output) {
		try (TestServer server = TestServer.inProcess(new EchoService(), stages(live(policy("p", "*Stream"))))) {
			assertThat(output).containsOnlyOnce("No allow rule of policy p is about testing.Echo/")
				.doesNotContain("No rule and no annotation says");
		}
	}

	@ParameterizedTest
	@EnumSource(CallType.class)
	void callWhenPolicyChangesThenOpenCallsThatItDeniesEnd(CallType type) throws Exception {
		Content content = new Content(policy("one", "/testing.Echo/*"));
		PolicyFile file = file(PolicyFile.Role.LIVE, content);
		FilePolicy policy = new FilePolicy(file, null, true, this.loggers, Instant::now, List.of(this.observer));
		Silent service = new Silent();
		try (TestServer server = TestServer.inProcess(service, stages(policy), this.calls)) {
			RawCall first = open(server, type, "a");
			RawCall second = open(server, type, "b");
			assertThat(service.started.await(20, TimeUnit.SECONDS)).isTrue();
			assertThat(policy.openCalls()).isEqualTo(2);

			content.set("{'name': 'two', 'allow_rules': [{'name': 'only-b', 'request': {'headers': [{'key': "
					+ "'who', 'values': ['b']}]}}]}");
			assertThat(file.reload()).isTrue();

			RawCall.Result result = first.await();
			assertThat(result.status().getCode()).isEqualTo(Code.PERMISSION_DENIED);
			assertThat(result.status().getDescription()).isEqualTo("access denied");
			assertThat(second.done()).isFalse();
			assertThat(this.ended).containsExactly(new PolicyDecision(false, "two", ""));
			second.cancel().await();
		}
		assertThat(policy.openCalls()).isZero();
		assertThat(this.calls.closed).anySatisfy((closed) -> {
			assertThat(closed.call().notes()).containsEntry("policy.name", "two");
			assertThat(closed.call().endedBy().reason())
				.isEqualTo("denied by policy two (no rule allows it) since it was changed");
		});
		assertThat(this.events).isEmpty();
	}

	@Test
	void explainWhenPolicyDecidesThenItIsAskedAndNobodyHears() {
		String json = "{'name': 'one', 'allow_rules': [{'name': 'teller', 'source': {'principals': ['spiffe://teller']}}],"
				+ " 'audit_logging_options': {'audit_condition': 'ON_DENY_AND_ALLOW', 'audit_loggers':"
				+ " [{'name': 'stat_logger'}]}}";
		List<PolicyDecision> decided = new CopyOnWriteArrayList<>();
		PolicyObserver counting = new PolicyObserver() {
			@Override
			public void decided(PolicyDecision decision) {
				decided.add(decision);
			}

			@Override
			public void shadowed(@Nullable PolicyDecision enforced, PolicyDecision candidate) {
				decided.add(candidate);
			}
		};
		FilePolicy policy = new FilePolicy(file(PolicyFile.Role.LIVE, new Content(json)),
				file(PolicyFile.Role.SHADOW, new Content(json)), true, this.loggers, Instant::now, List.of(counting));
		try (TestServer server = TestServer.inProcess(new EchoService(), stages(policy))) {
			AuthorizationExplainer explainer = new AuthorizationExplainer(server::security);
			CallDescription teller = CallDescription.anonymous()
				.certificate(PeerIdentity.of(List.of("spiffe://teller"), List.of(), null, null));

			assertThat(explainer.explain("testing.Echo/Bidi", teller).decision()).isEqualTo(Decision.ALLOWED);
			assertThat(explainer.explain("testing.Echo/Bidi", CallDescription.user("alice")).opinions().get(0).reason())
				.isEqualTo("denied by policy one (no rule allows it)");
			assertThat(policy.openCalls()).isZero();
			assertThat(decided).isEmpty();
			assertThat(this.events).isEmpty();
		}
	}

	@Test
	void explanationWhenThereIsNoCertificateThenThatOfTls() {
		String json = "{'name': 'one', 'deny_rules': [{'name': 'bare', 'source': {'principals': ['']},"
				+ " 'request': {'paths': ['*/Unary']}}], 'allow_rules': [{'name': 'all'}]}";
		FilePolicy policy = new FilePolicy(file(PolicyFile.Role.LIVE, new Content(json)), null, true, this.loggers,
				Instant::now, List.of());
		try (TestServer server = TestServer.inProcess(new EchoService(), stages(policy))) {
			AuthorizationExplainer explainer = new AuthorizationExplainer(server::security);

			assertThat(explainer.explain("testing.Echo/Unary", CallDescription.user("alice")).decision())
				.isEqualTo(Decision.DENIED);
			assertThat(explainer.explain("testing.Echo/Bidi", CallDescription.user("alice")).decision())
				.isEqualTo(Decision.ALLOWED);
		}
	}

	@Test
	void callWhenOpenCallsAreNotToBeLookedAtAgainThenTheyGoOn() throws Exception {
		Content content = new Content(policy("one", "/testing.Echo/*"));
		PolicyFile file = file(PolicyFile.Role.LIVE, content);
		FilePolicy policy = new FilePolicy(file, null, false, this.loggers, Instant::now, List.of());
		EchoService service = new EchoService();
		CountDownLatch echoed = new CountDownLatch(1);
		CountDownLatch entered = new CountDownLatch(1);
		service.probe = (callback) -> (callback.equals("onNext") ? echoed : entered).countDown();
		try (TestServer server = TestServer.inProcess(service, stages(policy))) {
			RawCall call = open(server, CallType.BIDI, "a");
			assertThat(entered.await(20, TimeUnit.SECONDS)).isTrue();
			content.set(policy("two", "/other/*"));
			assertThat(file.reload()).isTrue();
			call.send(new byte[0]);

			assertThat(echoed.await(20, TimeUnit.SECONDS)).isTrue();
			assertThat(call.halfClose().await().status().getCode()).isEqualTo(Code.OK);
			assertThat(CallType.BIDI.call(server.channel()).code()).isEqualTo(Code.UNAUTHENTICATED);
		}
	}

	/** Each version has a rule for each caller, so only a mixture has none. */
	@Test
	void callWhenVersionsFlipUnderLoadThenEachIsDecidedByOne() throws Exception {
		String one = flip("one", "a", "b");
		String two = flip("two", "b", "a");
		Content content = new Content(one);
		PolicyFile file = file(PolicyFile.Role.LIVE, content);
		FilePolicy policy = new FilePolicy(file, null, true, this.loggers, Instant::now, List.of());
		Set<Code> codes = Collections.newSetFromMap(new ConcurrentHashMap<>());
		try (TestServer server = TestServer.inProcess(new EchoService(), stages(policy), this.calls)) {
			List<Thread> threads = new ArrayList<>();
			for (String who : new String[] { "a", "b" }) {
				Thread thread = new Thread(() -> {
					for (int i = 0; i < 1000; i++) {
						Metadata headers = TestStage.user(who);
						headers.put(key("who"), who);
						codes.add(CallType.UNARY.call(server.channel(), headers, "x").code());
					}
				});
				thread.start();
				threads.add(thread);
			}
			while (threads.stream().anyMatch(Thread::isAlive)) {
				int decided = this.calls.decided.size();
				content.set(content.get().equals(one) ? two : one);
				file.reload();
				while (this.calls.decided.size() < decided + 5 && threads.stream().anyMatch(Thread::isAlive)) {
					Thread.onSpinWait();
				}
			}
			for (Thread thread : threads) {
				thread.join();
			}
		}
		assertThat(codes).containsOnly(Code.OK, Code.PERMISSION_DENIED);
		String hashOne = AuthorizationPolicy.hash(json(one));
		assertThat(this.calls.decided).hasSize(2000).allSatisfy((decided) -> {
			Map<String, String> notes = decided.call().notes();
			boolean first = notes.get("policy.hash").equals(hashOne);
			assertThat(notes.get("policy.name")).isEqualTo(first ? "one" : "two");
			assertThat(notes.get("policy.rule")).startsWith(first ? "one_" : "two_");
		});
		assertThat(policy.openCalls()).isZero();
	}

	private static String flip(String name, String allowed, String denied) {
		return "{'name': '" + name
				+ "', 'allow_rules': [{'name': 'a', 'request': {'headers': [{'key': 'who', 'values': ['" + allowed
				+ "']}]}}], 'deny_rules': [{'name': 'd', 'request': {'headers': [{'key': 'who', 'values': ['" + denied
				+ "']}]}}]}";
	}

	@ParameterizedTest
	@EnumSource(CallType.class)
	void callWhenCandidateDeniesThenOnlyNotesIt(CallType type) {
		PolicyFile live = file(PolicyFile.Role.LIVE, new Content(policy("live", "/testing.Echo/*")));
		PolicyFile shadow = file(PolicyFile.Role.SHADOW,
				new Content("{'name': 'next', 'allow_rules': [{'name': 'allow', 'request': {'paths': ['/other/*']}}], "
						+ "'audit_logging_options': {'audit_condition': 'ON_DENY', 'audit_loggers': "
						+ "[{'name': 'stat_logger'}]}}"));
		FilePolicy policy = new FilePolicy(live, shadow, true, this.loggers, Instant::now, List.of(this.observer));
		try (TestServer server = TestServer.inProcess(new EchoService(), stages(policy), this.calls)) {
			assertThat(type.call(server.channel()).code()).isEqualTo(Code.OK);
		}
		assertThat(this.calls.decided.get(0).call().notes()).containsEntry("policy.name", "live")
			.containsEntry("policy.shadow_decision", "deny")
			.containsEntry("policy.shadow_rule", "");
		assertThat(this.shadowed).containsExactly("true false");
		assertThat(this.events).isEmpty();
	}

	@ParameterizedTest
	@EnumSource(CallType.class)
	void callWhenThereIsOnlyACandidateThenOthersDecide(CallType type) {
		PolicyFile shadow = file(PolicyFile.Role.SHADOW, new Content(policy("next", "/testing.Echo/*")));
		FilePolicy policy = new FilePolicy(null, shadow, true, this.loggers, Instant::now, List.of(this.observer));
		try (TestServer server = TestServer.inProcess(new EchoService(), stages(policy))) {
			// default-access
			assertThat(type.call(server.channel()).code()).isEqualTo(Code.UNAUTHENTICATED);
		}
		assertThat(this.shadowed).containsExactly("none true");
	}

	private static RawCall open(TestServer server, CallType type, String who) {
		Metadata headers = new Metadata();
		headers.put(key("who"), who);
		RawCall call = RawCall.start(server.channel(), type.method(), type.grpcType(), headers);
		if (type.grpcType().clientSendsOneMessage()) {
			call.send(new byte[0]).halfClose();
		}
		return call;
	}

	private static Metadata.Key<String> key(String name) {
		return Metadata.Key.of(name, Metadata.ASCII_STRING_MARSHALLER);
	}

	private static String policy(String name, String path) {
		return "{'name': '" + name + "', 'allow_rules': [{'name': 'allow', 'request': {'paths': ['" + path + "']}}]}";
	}

	private static byte[] json(String policy) {
		return policy.replace('\'', '"').getBytes(StandardCharsets.UTF_8);
	}

	private static List<CallStage> stages(FilePolicy policy) {
		return List.of(TestStage.authentication(), AuthorizationStage.builder().policies(List.of(policy)).build());
	}

	private FilePolicy live(String policy) {
		return new FilePolicy(file(PolicyFile.Role.LIVE, new Content(policy)), null, true, this.loggers, Instant::now,
				List.of());
	}

	private PolicyFile file(PolicyFile.Role role, Content content) {
		return new PolicyFile(role, "test.property", "test.json", content, this.loggers, Instant::now, List.of());
	}

	private TestServer tls(FilePolicy policy) throws Exception {
		SslContext context = GrpcSslContexts
			.configure(SslContextBuilder.forServer(CERTIFICATES.server().toKeyManagerFactory()))
			.trustManager(CERTIFICATES.ca().getCertificate())
			.clientAuth(ClientAuth.OPTIONAL)
			.build();
		return TestServer.network(new EchoService(), (security) -> security.stages(stages(policy)),
				(builder) -> ((NettyServerBuilder) builder).sslContext(context));
	}

	private static Code call(TestServer server, CallType type, @Nullable X509Bundle client) throws Exception {
		TlsChannelCredentials.Builder credentials = TlsChannelCredentials.newBuilder()
			.trustManager(CERTIFICATES.caPem().toFile());
		if (client != null) {
			credentials.keyManager(client.toKeyManagerFactory().getKeyManagers());
		}
		ManagedChannel channel = Grpc.newChannelBuilderForAddress("127.0.0.1", server.port(), credentials.build())
			.build();
		try {
			return type.call(channel).code();
		}
		finally {
			channel.shutdownNow();
		}
	}

	/** A file in memory. */
	private static final class Content extends AbstractResource {

		private final AtomicReference<String> policy = new AtomicReference<>();

		Content(String policy) {
			this.policy.set(policy);
		}

		void set(String policy) {
			this.policy.set(policy);
		}

		String get() {
			return this.policy.get();
		}

		@Override
		public String getDescription() {
			return "memory";
		}

		@Override
		public InputStream getInputStream() {
			return new ByteArrayInputStream(json(this.policy.get()));
		}

	}

	/** Never answers. */
	private static final class Silent extends EchoService {

		private final CountDownLatch started = new CountDownLatch(2);

		@Override
		public void unary(EchoRequest request, StreamObserver<EchoReply> replies) {
			this.started.countDown();
		}

		@Override
		public void serverStream(EchoRequest request, StreamObserver<EchoReply> replies) {
			this.started.countDown();
		}

		@Override
		public StreamObserver<EchoRequest> clientStream(StreamObserver<EchoReply> replies) {
			this.started.countDown();
			return super.clientStream(replies);
		}

		@Override
		public StreamObserver<EchoRequest> bidi(StreamObserver<EchoReply> replies) {
			this.started.countDown();
			return super.bidi(replies);
		}

	}

}
