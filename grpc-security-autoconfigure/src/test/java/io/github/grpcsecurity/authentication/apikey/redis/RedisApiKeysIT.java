package io.github.grpcsecurity.authentication.apikey.redis;

import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.time.InstantSource;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CopyOnWriteArrayList;

import io.github.grpcsecurity.authentication.AuthenticationStage;
import io.github.grpcsecurity.authentication.apikey.ApiKeyAuthenticator;
import io.github.grpcsecurity.authentication.apikey.TestKeys;
import io.github.grpcsecurity.server.GrpcSecurityThreads;
import io.github.grpcsecurity.testing.CallType;
import io.github.grpcsecurity.testing.EchoService;
import io.github.grpcsecurity.testing.TestRedis;
import io.github.grpcsecurity.testing.TestServer;
import io.grpc.Status.Code;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.extension.ExtendWith;

import org.springframework.boot.test.system.CapturedOutput;
import org.springframework.boot.test.system.OutputCaptureExtension;
import org.springframework.data.redis.connection.RedisConnection;
import org.springframework.data.redis.connection.lettuce.LettuceConnectionFactory;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

/** Two servers, one Redis. */
@Timeout(120)
@ExtendWith(OutputCaptureExtension.class)
class RedisApiKeysIT {

	private final GrpcSecurityThreads threads = new GrpcSecurityThreads();

	@AfterEach
	void stopThreads() {
		this.threads.close();
	}

	private static byte[] bytes(String text) {
		return text.getBytes(StandardCharsets.UTF_8);
	}

	private static void put(LettuceConnectionFactory factory, String id, Map<String, String> fields) {
		Map<byte[], byte[]> binary = new HashMap<>();
		fields.forEach((field, value) -> binary.put(bytes(field), bytes(value)));
		try (RedisConnection connection = factory.getConnection()) {
			connection.setCommands().sAdd(bytes("bank:{api-keys}"), bytes(id));
			connection.hashCommands().hMSet(bytes("bank:{api-keys}:" + id), binary);
		}
	}

	private static void publish(LettuceConnectionFactory factory) {
		try (RedisConnection connection = factory.getConnection()) {
			connection.publish(bytes("bank:{api-keys}"), bytes("changed"));
		}
	}

	private RedisApiKeys keys(LettuceConnectionFactory factory, Duration interval) {
		return new RedisApiKeys(factory, "bank:", interval, this.threads);
	}

	private static TestServer serve(RedisApiKeys keys) {
		ApiKeyAuthenticator authenticator = new ApiKeyAuthenticator("x-api-key", List.of(keys), Duration.ofSeconds(5),
				InstantSource.system());
		return TestServer.inProcess(new EchoService(),
				List.of(AuthenticationStage.builder().authenticators(List.of(authenticator)).build()));
	}

	private static Code call(TestServer server, String id) {
		return CallType.UNARY.call(server.channel(), TestKeys.headers(TestKeys.key(id)), "x").code();
	}

	@Test
	void callWhenKeyIsDisabledAndPublishedThenAllServersRefuseItAndListenersAreTold() {
		try (TestRedis redis = TestRedis.start()) {
			LettuceConnectionFactory factory = redis.connectionFactory();
			put(factory, "a",
					Map.of("hash", TestKeys.hash("a"), "authorities", "ROLE_A, ROLE_B", "principal", "client"));
			put(factory, "b", Map.of("hash", TestKeys.hash("b"), "enabled", "true", "expires-at",
					"2999-01-01T00:00:00Z", "allowed-methods", "testing.*/*"));
			List<Set<String>> withdrawn = new CopyOnWriteArrayList<>();
			// So long that only what is published can be noticed
			try (RedisApiKeys first = keys(factory, Duration.ofHours(1));
					RedisApiKeys second = keys(factory, Duration.ofHours(1));
					TestServer one = serve(first);
					TestServer two = serve(second)) {
				first.addListener(withdrawn::add);
				second.addListener(withdrawn::add);
				assertThat(call(one, "a")).isEqualTo(Code.UNAVAILABLE);
				first.start();
				second.start();
				await().until(() -> call(one, "a") == Code.OK && call(two, "a") == Code.OK);
				assertThat(call(two, "b")).isEqualTo(Code.OK);

				put(factory, "a", Map.of("enabled", "false"));
				publish(factory);

				await().atMost(Duration.ofSeconds(5))
					.until(() -> call(one, "a") == Code.UNAUTHENTICATED && call(two, "a") == Code.UNAUTHENTICATED);
				await().until(() -> withdrawn.size() == 2);
				assertThat(withdrawn).allMatch(Set.of("a")::equals);
				assertThat(call(one, "b")).isEqualTo(Code.OK);
			}
			factory.destroy();
		}
	}

	@Test
	void callWhenRedisIsAwayThenKnownKeysAreGoodAndChangesAreSeenAfterwards(CapturedOutput output) {
		try (TestRedis redis = TestRedis.notStarted()) {
			LettuceConnectionFactory factory = redis.connectionFactory();
			try (RedisApiKeys keys = keys(factory, Duration.ofMillis(100)); TestServer server = serve(keys)) {
				keys.start();
				await().until(() -> output.getAll().contains("API keys cannot be read from Redis; calls that bring"));
				assertThat(call(server, "a")).isEqualTo(Code.UNAVAILABLE);
				redis.restart();
				put(factory, "a", Map.of("hash", TestKeys.hash("a")));
				await().until(() -> call(server, "a") == Code.OK);
				redis.stop();
				assertThat(call(server, "a")).isEqualTo(Code.OK);
				redis.restart();
				put(factory, "b", Map.of("hash", TestKeys.hash("b")));
				await().until(() -> call(server, "b") == Code.OK);
				assertThat(call(server, "a")).isEqualTo(Code.UNAUTHENTICATED);
			}
			factory.destroy();
		}
	}

	@Test
	void callWhenEntryIsBadThenItAloneIsMissingAndLogShowsNoSecret(CapturedOutput output) {
		try (TestRedis redis = TestRedis.start()) {
			LettuceConnectionFactory factory = redis.connectionFactory();
			put(factory, "good", Map.of("hash", TestKeys.hash("good")));
			put(factory, "clear", Map.of("hash", TestKeys.key("clear")));
			put(factory, "typo", Map.of("hash", TestKeys.hash("typo"), "allowed_methods", "a.b/c"));
			put(factory, "empty", Map.of("hash", TestKeys.hash("empty"), "allowed-methods", ""));
			put(factory, "when", Map.of("hash", TestKeys.hash("when"), "expires-at", "tomorrow"));
			put(factory, "maybe", Map.of("hash", TestKeys.hash("maybe"), "enabled", "maybe"));
			put(factory, "c4nary\nline", Map.of("hash", TestKeys.hash("x")));
			put(factory, "none", Map.of("principal", "x"));
			try (RedisApiKeys keys = keys(factory, Duration.ofHours(1)); TestServer server = serve(keys)) {
				keys.start();
				await().until(() -> call(server, "good") == Code.OK);
				for (String id : List.of("clear", "typo", "empty", "when", "maybe", "none")) {
					assertThat(call(server, id)).isEqualTo(Code.UNAUTHENTICATED);
					assertThat(output).contains("API key '" + id + "' in Redis cannot be used");
				}
				assertThat(output).doesNotContain("c4nary");
			}
			factory.destroy();
		}
	}

}
