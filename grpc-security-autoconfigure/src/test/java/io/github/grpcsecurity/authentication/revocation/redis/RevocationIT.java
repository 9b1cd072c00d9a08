package io.github.grpcsecurity.authentication.revocation.redis;

import java.time.Duration;
import java.time.Instant;
import java.time.InstantSource;
import java.time.temporal.ChronoUnit;
import java.util.List;
import java.util.UUID;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;

import io.github.grpcsecurity.authentication.live.LiveCredentials;
import io.github.grpcsecurity.authentication.revocation.CredentialRevocations;
import io.github.grpcsecurity.authentication.revocation.Revocation;
import io.github.grpcsecurity.authentication.revocation.RevocationSettings;
import io.github.grpcsecurity.authentication.revocation.RevocationSettings.OnFailure;
import io.github.grpcsecurity.server.CallStage;
import io.github.grpcsecurity.server.GrpcSecurityThreads;
import io.github.grpcsecurity.server.Refusal;
import io.github.grpcsecurity.testing.CallType;
import io.github.grpcsecurity.testing.OpenEndedService;
import io.github.grpcsecurity.testing.TestCredentials;
import io.github.grpcsecurity.testing.TestRedis;
import io.github.grpcsecurity.testing.TestServer;
import io.grpc.Status;
import io.lettuce.core.RedisClient;
import io.lettuce.core.api.sync.RedisCommands;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

import org.springframework.data.redis.connection.RedisStandaloneConfiguration;
import org.springframework.data.redis.connection.lettuce.LettuceConnectionFactory;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

/** Several servers that share a real Redis. */
@Tag("alone")
class RevocationIT {

	private static final String ISSUER = "https://idp.example";

	private static TestRedis redis;

	private static RedisClient client;

	private static RedisCommands<String, String> commands;

	private final String prefix = "test-" + UUID.randomUUID() + ":";

	@BeforeAll
	static void start() {
		redis = TestRedis.start();
		client = RedisClient.create("redis://127.0.0.1:" + redis.port());
		commands = client.connect().sync();
	}

	@AfterAll
	static void stop() {
		client.shutdown();
		redis.close();
	}

	private String key(String name) {
		return this.prefix + "{revocations}:" + name;
	}

	@ParameterizedTest
	@EnumSource
	void streamWhenAnotherServerRevokesThenItEndsWithinASecond(CallType type) throws Exception {
		try (Node one = new Node(redis, this.prefix, Duration.ofSeconds(30), null);
				Node two = new Node(redis, this.prefix, Duration.ofSeconds(30), null)) {
			Instant now = Instant.now().truncatedTo(ChronoUnit.SECONDS);
			CompletableFuture<CallType.Outcome> token = two.open(type, "kind", "jwt", "iss", ISSUER, "jti", "a");
			CompletableFuture<CallType.Outcome> subject = two.open(type, "kind", "jwt", "iss", ISSUER, "sub", "bob",
					"iat", now.minusSeconds(1).toString());
			CompletableFuture<CallType.Outcome> newer = two.open(type, "kind", "jwt", "iss", ISSUER, "sub", "bob",
					"iat", now.toString());
			CompletableFuture<CallType.Outcome> key = two.open(type, "kind", "jwt", "iss", ISSUER, "kid", "k");
			CompletableFuture<CallType.Outcome> apiKey = two.open(type, "kind", "api-key", "jti", "partner-7");
			long start = System.nanoTime();
			one.revocations.revokeToken(ISSUER, "a", now.plusSeconds(60));
			one.revocations.revokeSubject(ISSUER, "bob", now);
			one.revocations.revokeKey(ISSUER, "k");
			one.revocations.revokeApiKey("partner-7");
			CompletableFuture.allOf(token, subject, key, apiKey).get(10, TimeUnit.SECONDS);
			Duration taken = Duration.ofNanos(System.nanoTime() - start);
			System.out.println("Revoked on another server and ended after " + taken.toMillis() + " ms");

			assertThat(taken).isLessThan(Duration.ofSeconds(1));
			assertThat(List.of(token, subject, key, apiKey))
				.allSatisfy((call) -> assertThat(call.get().code()).isEqualTo(Status.Code.UNAUTHENTICATED));
			assertThat(newer).isNotDone();
			assertThat(two.call(type, "kind", "jwt", "iss", ISSUER, "jti", "a").code())
				.isEqualTo(Status.Code.UNAUTHENTICATED);
		}
	}

	@Test
	void revocationWhenServerStartsLaterThenItKnows() throws Exception {
		try (Node one = new Node(redis, this.prefix, Duration.ofSeconds(30), null)) {
			one.revocations.revokeToken("https://idp.example/a b|c", "ü \n*", Instant.now().plusSeconds(60))
				.toCompletableFuture()
				.get(10, TimeUnit.SECONDS);
			try (Node two = new Node(redis, this.prefix, Duration.ofSeconds(30), null)) {
				assertThat(two.revocations.size()).isEqualTo(1);
				assertThat(two.revocations.check(TestCredentials.credential("jwt", "https://idp.example/a b|c", "ü \n*",
						"alice", null, null, null)))
					.isNotNull();
			}
		}
	}

	@Test
	void revocationWhenItsMessageGetsLostThenThePollFindsIt() {
		try (Node node = new Node(redis, this.prefix, Duration.ofMillis(100), null)) {
			CompletableFuture<CallType.Outcome> call = node.open(CallType.BIDI, "kind", "jwt", "iss", ISSUER, "jti",
					"a");
			// As somebody does whose message nobody gets
			commands.zadd(key("entries"), Instant.now().plusSeconds(60).toEpochMilli(), RedisRevocationStore
				.encode(new Revocation(Revocation.Kind.TOKEN, ISSUER, "a", null, Revocation.FOREVER)));
			commands.hset(key("state"), "data", "x");
			commands.hincrby(key("state"), "version", 1);

			assertThat(call).succeedsWithin(Duration.ofSeconds(5));
		}
	}

	@Test
	void revocationWhenThereIsNothingNewThenNothingIsRead() throws Exception {
		try (Node node = new Node(redis, this.prefix, Duration.ofSeconds(30), null)) {
			node.revocations.revokeApiKey("a").toCompletableFuture().get(10, TimeUnit.SECONDS);
			String version = node.store.load(null).toCompletableFuture().get(10, TimeUnit.SECONDS).version();
			node.revocations.revokeApiKey("a").toCompletableFuture().get(10, TimeUnit.SECONDS);

			assertThat(node.store.load(version).toCompletableFuture().get(10, TimeUnit.SECONDS).revocations()).isNull();
			node.revocations.revokeApiKey("b").toCompletableFuture().get(10, TimeUnit.SECONDS);
			assertThat(node.store.load(version).toCompletableFuture().get(10, TimeUnit.SECONDS).revocations())
				.hasSize(2);
		}
	}

	@Test
	void entriesWhenTheyAreOverThenTheyAreIgnoredAndCleanedUp() throws Exception {
		commands.zadd(key("entries"), Instant.now().minus(Duration.ofHours(2)).toEpochMilli(), "token  old");
		commands.zadd(key("entries"), Instant.now().plusSeconds(60).toEpochMilli(), "garbage");
		try (Node node = new Node(redis, this.prefix, Duration.ofSeconds(30), null)) {
			assertThat(node.revocations.size()).isZero();
			node.revocations.revokeApiKey("a").toCompletableFuture().get(10, TimeUnit.SECONDS);

			assertThat(commands.zrange(key("entries"), 0, -1)).containsExactly("garbage", "api_key  a");
		}
	}

	@Test
	void redisWhenItIsRestartedEmptyThenServersFillItAgainAndGoOn() throws Exception {
		try (TestRedis own = TestRedis.start();
				Node one = new Node(own, this.prefix, Duration.ofMillis(200), null);
				Node two = new Node(own, this.prefix, Duration.ofMillis(200), null)) {
			one.revocations.revokeToken(ISSUER, "a", Instant.now().plusSeconds(60))
				.toCompletableFuture()
				.get(10, TimeUnit.SECONDS);
			await().until(() -> two.revocations.size() == 1);
			CompletableFuture<CallType.Outcome> call = two.open(CallType.BIDI, "kind", "jwt", "iss", ISSUER, "jti",
					"b");
			own.stop();
			// What is known counts, and what is revoked here too
			assertThat(two.call(CallType.UNARY, "kind", "jwt", "iss", ISSUER, "jti", "a").code())
				.isEqualTo(Status.Code.UNAUTHENTICATED);
			assertThat(call).isNotDone();
			one.revocations.revokeToken(ISSUER, "b", Instant.now().plusSeconds(60));
			await().atMost(Duration.ofSeconds(20))
				.until(() -> one.revocations.degraded() && two.revocations.degraded());
			own.restart();

			assertThat(call).succeedsWithin(Duration.ofSeconds(20));
			try (Node three = new Node(own, this.prefix, Duration.ofSeconds(30), null)) {
				await().until(() -> three.revocations.size() == 2);
			}
			await().until(() -> !one.revocations.degraded() && !two.revocations.degraded());
			// Messages are heard again
			CompletableFuture<CallType.Outcome> later = two.open(CallType.BIDI, "kind", "jwt", "iss", ISSUER, "jti",
					"c");
			one.revocations.revokeToken(ISSUER, "c", Instant.now().plusSeconds(60));
			assertThat(later).succeedsWithin(Duration.ofSeconds(5));
		}
	}

	@Test
	void redisWhenItIsNotThereAtTheStartThenUnavailableUntilItIs() {
		try (TestRedis own = TestRedis.notStarted();
				Node node = new Node(own, this.prefix, Duration.ofSeconds(30), null)) {
			assertThat(node.call(CallType.UNARY, "kind", "jwt").code()).isEqualTo(Status.Code.UNAVAILABLE);
			own.restart();
			await().atMost(Duration.ofSeconds(20))
				.until(() -> node.revocations
					.check(TestCredentials.credential("jwt", null, null, "alice", null, null, null)) == null);
		}
	}

	@Test
	void redisWhenItHangsThenCallsDoNotWait() {
		try (TestRedis own = TestRedis.start(); Node node = new Node(own, this.prefix, Duration.ofMillis(200), null)) {
			own.pause();
			long start = System.nanoTime();
			for (int i = 0; i < 1000; i++) {
				Refusal refusal = node.revocations
					.check(TestCredentials.credential("jwt", ISSUER, "x" + i, "alice", "k", null, null));
				assertThat(refusal).isNull();
			}
			assertThat(Duration.ofNanos(System.nanoTime() - start)).isLessThan(Duration.ofSeconds(1));
			await().atMost(Duration.ofSeconds(20)).until(node.revocations::degraded);
			own.resume();
			await().atMost(Duration.ofSeconds(20)).until(() -> !node.revocations.degraded());
		}
	}

	@Test
	void userWhenItMayDoNoMoreThanThePageSaysThenItWorks() throws Exception {
		commands.aclSetuser("revoker",
				io.lettuce.core.AclSetuserArgs.Builder.on().addPassword("secret").keyPattern("test-*:{revocations}:*"));
		commands.dispatch(io.lettuce.core.protocol.CommandType.ACL,
				new io.lettuce.core.output.StatusOutput<>(io.lettuce.core.codec.StringCodec.UTF8),
				new io.lettuce.core.protocol.CommandArgs<>(io.lettuce.core.codec.StringCodec.UTF8).add("SETUSER")
					.add("revoker")
					.add("resetchannels")
					.add("&test-*:{revocations}:changes"));
		for (String allowed : List.of("hello", "client|setinfo", "client|setname", "ping", "eval", "zadd",
				"zremrangebyscore", "zrangebyscore", "hsetnx", "hincrby", "hmget", "publish", "subscribe",
				"unsubscribe")) {
			try {
				commands.dispatch(io.lettuce.core.protocol.CommandType.ACL,
						new io.lettuce.core.output.StatusOutput<>(io.lettuce.core.codec.StringCodec.UTF8),
						new io.lettuce.core.protocol.CommandArgs<>(io.lettuce.core.codec.StringCodec.UTF8)
							.add("SETUSER")
							.add("revoker")
							.add("+" + allowed));
			}
			catch (io.lettuce.core.RedisCommandExecutionException ex) {
				// A subcommand that this version does not have
				assertThat(allowed).contains("|");
			}
		}
		try (Node one = new Node(redis, this.prefix, Duration.ofSeconds(30), "revoker");
				Node two = new Node(redis, this.prefix, Duration.ofSeconds(30), "revoker")) {
			CompletableFuture<CallType.Outcome> call = two.open(CallType.BIDI, "kind", "api-key", "jti", "a");
			one.revocations.revokeApiKey("a").toCompletableFuture().get(10, TimeUnit.SECONDS);

			assertThat(call).succeedsWithin(Duration.ofSeconds(5));
			assertThat(one.revocations.degraded()).isFalse();
		}
	}

	/** A server with everything that it needs to hear of revocations. */
	private static final class Node implements AutoCloseable {

		private final GrpcSecurityThreads threads = new GrpcSecurityThreads();

		private final OpenEndedService service = new OpenEndedService();

		private final LettuceConnectionFactory factory;

		private final RedisRevocationStore store;

		private final CredentialRevocations revocations;

		private final LiveCredentials live;

		private final TestServer server;

		Node(TestRedis redis, String prefix, Duration poll, String user) {
			RedisStandaloneConfiguration configuration = new RedisStandaloneConfiguration("127.0.0.1", redis.port());
			if (user != null) {
				configuration.setUsername(user);
				configuration.setPassword("secret");
			}
			this.factory = new LettuceConnectionFactory(configuration);
			this.factory.afterPropertiesSet();
			this.factory.start();
			this.store = new RedisRevocationStore(this.factory, prefix, this.threads.executor(),
					InstantSource.system());
			this.revocations = new CredentialRevocations(this.store,
					new RevocationSettings(OnFailure.DENY, poll, Duration.ofMinutes(10), Duration.ofDays(30), 1000),
					this.threads.scheduler(), InstantSource.system(), System::nanoTime);
			this.live = new LiveCredentials(true, Duration.ZERO, List.of(this.revocations), this.threads,
					InstantSource.system());
			this.revocations.onRevoked(this.live::recheck);
			this.revocations.start();
			this.server = TestServer.inProcess(this.service, List.<CallStage>of(TestCredentials.stage(), this.live));
		}

		CallType.Outcome call(CallType type, String... headers) {
			return type.call(this.server.channel(), TestCredentials.headers(headers), "hello");
		}

		CompletableFuture<CallType.Outcome> open(CallType type, String... headers) {
			int before = this.service.open.get();
			CompletableFuture<CallType.Outcome> call = CompletableFuture.supplyAsync(() -> call(type, headers),
					this.threads.executor());
			await().pollInterval(Duration.ofMillis(5)).until(() -> this.service.open.get() > before || call.isDone());
			assertThat(call).isNotDone();
			return call;
		}

		@Override
		public void close() {
			this.server.close();
			this.revocations.close();
			this.live.close();
			this.factory.destroy();
			this.threads.close();
		}

	}

}
