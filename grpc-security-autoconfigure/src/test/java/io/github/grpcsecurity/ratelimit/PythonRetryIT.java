package io.github.grpcsecurity.ratelimit;

import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;

import io.github.grpcsecurity.ratelimit.RateLimitObserver.Outcome;
import io.github.grpcsecurity.testing.CallType;
import io.github.grpcsecurity.testing.EchoService;
import io.github.grpcsecurity.testing.TestServer;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

import static io.github.grpcsecurity.ratelimit.TestRules.rule;
import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

/**
 * What a client of gRPC's C core, here in Python, makes of a refusal. Runs where there is
 * a Python with the package {@code grpc}.
 */
@Tag("alone")
class PythonRetryIT {

	private static final Duration PERIOD = Duration.ofMillis(1200);

	private static final List<String> CANDIDATES = List.of("python3", "/usr/bin/python3");

	private static String python;

	@TempDir
	private static Path directory;

	private static Path script;

	@BeforeAll
	static void find() throws Exception {
		python = CANDIDATES.stream().filter(PythonRetryIT::hasGrpc).findFirst().orElse(null);
		assumeTrue(python != null, () -> "Skipped, because none of " + CANDIDATES
				+ " has the package grpc; pip install grpcio gives it to them");
		script = directory.resolve("retry_client.py");
		try (InputStream in = PythonRetryIT.class.getResourceAsStream("retry_client.py")) {
			Files.copy(in, script);
		}
	}

	private static boolean hasGrpc(String candidate) {
		try {
			Process process = new ProcessBuilder(candidate, "-c", "import grpc")
				.redirectError(ProcessBuilder.Redirect.DISCARD)
				.start();
			return process.waitFor(30, TimeUnit.SECONDS) && process.exitValue() == 0;
		}
		catch (IOException ex) {
			return false;
		}
		catch (InterruptedException ex) {
			Thread.currentThread().interrupt();
			return false;
		}
	}

	@ParameterizedTest
	@EnumSource
	void callWhenRefusedThenClientWaitsAsToldAndSucceeds(CallType type) throws Exception {
		EchoService service = new EchoService();
		AtomicInteger refused = new AtomicInteger();
		// Stands still until a call is refused: it does not matter when the client comes
		TestClock clock = new TestClock();
		RateLimitObserver refusals = (rule, outcome) -> {
			if (outcome == Outcome.DENIED) {
				refused.incrementAndGet();
				clock.advance(PERIOD);
			}
		};
		RateLimitRule rule = rule("r", 1, PERIOD);
		try (TestServer server = TestServer.network(service,
				List.of(new PeerLimitStage(List.of(rule), new InMemoryRateLimiter(10, clock), refusals)))) {
			Process client = new ProcessBuilder(python, script.toString(), Integer.toString(server.port()),
					type.method(), type.name())
				.redirectErrorStream(true)
				.start();
			try {
				assertThat(client.waitFor(60, TimeUnit.SECONDS)).as("the client has ended").isTrue();
			}
			finally {
				client.toHandle().destroyForcibly();
			}
			String output = new String(client.getInputStream().readAllBytes(), StandardCharsets.UTF_8);

			List<String> calls = output.lines().toList();
			assertThat(calls).as(output).hasSize(2).allMatch((line) -> line.startsWith("OK "));
			// As long as it was told, but for what is lost in rounding, and not the
			// hundred
			// seconds of its own
			assertThat(Long.parseLong(calls.get(1).substring(3))).isGreaterThanOrEqualTo(PERIOD.toMillis() - 50)
				.isLessThan(60_000);
			assertThat(refused).hasValue(1);
			assertThat(service.entered).hasValue(2);
		}
	}

}
