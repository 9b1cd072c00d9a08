package io.github.grpcsecurity.authorization.opa;

import java.io.File;
import java.io.IOException;
import java.net.InetAddress;
import java.net.Socket;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Base64;
import java.util.List;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import java.util.regex.Pattern;

import io.github.grpcsecurity.authorization.AuthorizationStage;
import io.github.grpcsecurity.testing.CallType;
import io.github.grpcsecurity.testing.EchoRequest;
import io.github.grpcsecurity.testing.EchoService;
import io.github.grpcsecurity.testing.RecordingObserver;
import io.github.grpcsecurity.testing.TestPorts;
import io.github.grpcsecurity.testing.TestServer;
import io.github.grpcsecurity.testing.TestStage;
import io.grpc.Metadata;
import io.grpc.Status.Code;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

/**
 * Tests against a real OPA, where there is one: {@code opa} on the path, or named by the
 * system property {@code opa.executable}. What it answered is what {@link FakeOpa}
 * answers everywhere else.
 */
class OpaServerIT {

	private static final String EXECUTABLE = executable();

	private final ExecutorService executor = Executors.newCachedThreadPool();

	private final EchoService service = new EchoService();

	private final RecordingObserver observer = new RecordingObserver();

	@TempDir
	private Path directory;

	private Process process;

	private int port;

	private static String executable() {
		List<String> candidates = new ArrayList<>();
		candidates.add(System.getProperty("opa.executable", ""));
		for (String path : System.getenv("PATH").split(Pattern.quote(File.pathSeparator))) {
			candidates.add(Path.of(path, "opa").toString());
		}
		return candidates.stream()
			.filter((path) -> !path.isEmpty() && Files.isExecutable(Path.of(path)))
			.findFirst()
			.orElse(null);
	}

	@BeforeEach
	void requireOpa() {
		assumeTrue(EXECUTABLE != null, "there is no opa here");
	}

	@AfterEach
	void stop() throws InterruptedException {
		if (this.process != null) {
			this.process.destroyForcibly().waitFor();
		}
		this.executor.shutdownNow();
	}

	@Test
	void callWhenPolicyUsesVerifiedCallerThenDecidesAsItSays() throws Exception {
		start("authz.rego");
		try (TestServer server = serve((builder) -> {
		})) {
			assertThat(CallType.UNARY.call(server.channel(), TestStage.user("bob:ROLE_TELLER"), "x").code())
				.isEqualTo(Code.OK);
			assertThat(this.observer.decided.get(0).call().notes().get("opa.decision_id")).hasSize(36);
			assertThat(CallType.UNARY.call(server.channel(), TestStage.user("bob"), "x").code())
				.isEqualTo(Code.PERMISSION_DENIED);
			assertThat(CallType.UNARY.call(server.channel()).code()).isEqualTo(Code.UNAUTHENTICATED);
			assertThat(CallType.BIDI.call(server.channel(), TestStage.user("bob:ROLE_TELLER"), "x").code())
				.isEqualTo(Code.PERMISSION_DENIED);
		}
	}

	@Test
	void messageWhenPolicyLooksAtItThenThirdEndsTheStream() throws Exception {
		start("authz.rego");
		try (TestServer server = serve((builder) -> builder.includeMessage(true))) {
			CallType.Outcome outcome = CallType.CLIENT_STREAM.call(server.channel(), TestStage.user("bob"),
					List.of(amount(1), amount(1000), amount(1001), amount(2)));

			assertThat(outcome.code()).isEqualTo(Code.PERMISSION_DENIED);
			assertThat(this.service.messages).hasValue(2);
			assertThat(
					CallType.CLIENT_STREAM.call(server.channel(), TestStage.user("bob"), List.of(amount(0), amount(7)))
						.code())
				.isEqualTo(Code.OK);
		}
	}

	@Test
	void callWhenPolicyWasWrittenForThePluginThenRunsAsItIs() throws Exception {
		start("plugin.rego");
		try (TestServer server = serve((builder) -> builder.path("envoy/authz/decision").forwardCredentials(true))) {
			CallType.Outcome none = CallType.BIDI.call(server.channel(), TestStage.user("bob"), "x");
			assertThat(none.code()).isEqualTo(Code.UNAUTHENTICATED);
			assertThat(none.status() + " " + none.trailers()).doesNotContain("c4n4ry");
			assertThat(CallType.BIDI.call(server.channel(), token("admin"), "x").code()).isEqualTo(Code.OK);
			// Neither of its rules has an opinion
			assertThat(CallType.BIDI.call(server.channel(), token("guest"), "x").code())
				.isEqualTo(Code.PERMISSION_DENIED);
			assertThat(CallType.UNARY.call(server.channel(), token("admin"), "x").code())
				.isEqualTo(Code.PERMISSION_DENIED);
		}
	}

	@Test
	void callWhenPolicyFailsOrIsMissingThenRefused() throws Exception {
		start("plugin.rego");
		try (TestServer server = serve((builder) -> builder.path("envoy/authz/fails"))) {
			assertThat(CallType.UNARY.call(server.channel(), TestStage.user("bob"), "x").code())
				.isEqualTo(Code.UNAVAILABLE);
		}
		try (TestServer server = serve((builder) -> builder.path("no/such/policy"))) {
			assertThat(CallType.UNARY.call(server.channel(), TestStage.user("bob"), "x").code())
				.isEqualTo(Code.PERMISSION_DENIED);
		}
	}

	@Test
	void callWhenOpaIsKilledThenUnavailableUntilItIsBack() throws Exception {
		start("authz.rego");
		try (TestServer server = serve((builder) -> {
		})) {
			Metadata teller = TestStage.user("bob:ROLE_TELLER");
			assertThat(CallType.UNARY.call(server.channel(), teller, "x").code()).isEqualTo(Code.OK);
			this.process.destroyForcibly().waitFor();
			assertThat(CallType.UNARY.call(server.channel(), teller, "x").code()).isEqualTo(Code.UNAVAILABLE);
			start("authz.rego");
			assertThat(CallType.UNARY.call(server.channel(), teller, "x").code()).isEqualTo(Code.OK);
		}
	}

	private static EchoRequest amount(int amount) {
		return EchoRequest.newBuilder().setAmount(amount).build();
	}

	private static Metadata token(String role) {
		Base64.Encoder encoder = Base64.getUrlEncoder().withoutPadding();
		String header = encoder.encodeToString("{\"alg\":\"HS256\"}".getBytes(StandardCharsets.UTF_8));
		String payload = encoder.encodeToString(("{\"role\":\"" + role + "\"}").getBytes(StandardCharsets.UTF_8));
		Metadata headers = TestStage.user("bob");
		headers.put(Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER),
				"Bearer " + header + "." + payload + ".c2ln");
		return headers;
	}

	private TestServer serve(Consumer<OpaPolicy.Builder> customizer) {
		OpaPolicy.Builder builder = OpaPolicy.builder(URI.create("http://127.0.0.1:" + this.port), this.executor)
			.timeout(Duration.ofSeconds(5));
		customizer.accept(builder);
		return TestServer.network(this.service, List.of(TestStage.authentication(),
				AuthorizationStage.builder().policies(List.of(builder.build())).build()), this.observer);
	}

	private void start(String policy) throws IOException, InterruptedException {
		if (this.port == 0) {
			this.port = TestPorts.next();
		}
		Path file = this.directory.resolve(policy);
		Files.write(file, getClass().getResourceAsStream("/opa/" + policy).readAllBytes());
		this.process = new ProcessBuilder(EXECUTABLE, "run", "--server", "--addr", "127.0.0.1:" + this.port,
				"--disable-telemetry", "--set", "decision_logs.console=true", file.toString())
			.redirectErrorStream(true)
			.redirectOutput(this.directory.resolve("opa.log").toFile())
			.start();
		for (int i = 0; i < 200 && !listening(); i++) {
			assertThat(this.process.waitFor(50, TimeUnit.MILLISECONDS)).as("OPA has ended").isFalse();
		}
	}

	private boolean listening() {
		try (Socket socket = new Socket(InetAddress.getLoopbackAddress(), this.port)) {
			return socket.isConnected();
		}
		catch (IOException ex) {
			return false;
		}
	}

}
