package io.github.grpcsecurity.ratelimit.redis;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.TimeUnit;

import io.github.grpcsecurity.ratelimit.LeasablePermits.Draw;
import io.github.grpcsecurity.ratelimit.RateLimitRule;
import io.github.grpcsecurity.testing.TestRedis;
import io.lettuce.core.RedisClient;
import io.lettuce.core.api.sync.RedisCommands;
import io.lettuce.core.codec.StringCodec;
import io.lettuce.core.output.StatusOutput;
import io.lettuce.core.protocol.CommandArgs;
import io.lettuce.core.protocol.CommandType;
import org.assertj.core.util.Throwables;
import org.awaitility.Awaitility;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

import org.springframework.data.redis.connection.RedisStandaloneConfiguration;
import org.springframework.data.redis.connection.lettuce.LettuceConnectionFactory;

import static io.github.grpcsecurity.ratelimit.TestRules.permits;
import static io.github.grpcsecurity.ratelimit.TestRules.rule;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

/** What an account of Redis has to be allowed; docs/rate-limiting.md says the same. */
class RedisAccessListIT {

	private static final List<String> DOCUMENTED = List.of("+evalsha", "+eval", "+get", "+set", "+time", "+hello",
			"+ping");

	/** What a script gets to hear differs from what a client does. */
	private static final String DENIED = "(?s).*(NOPERM|user executing the script).*";

	private static TestRedis server;

	private static RedisClient client;

	private static RedisCommands<String, String> admin;

	private final RateLimitRule rule = rule("r", 3, Duration.ofHours(1));

	private LettuceConnectionFactory connectionFactory;

	@BeforeAll
	static void start() {
		server = TestRedis.start();
		client = RedisClient.create("redis://127.0.0.1:" + server.port());
		admin = client.connect().sync();
	}

	@AfterAll
	static void stop() {
		client.shutdown();
		server.close();
	}

	@AfterEach
	void disconnect() {
		admin.aclLogReset();
		this.connectionFactory.destroy();
	}

	private RedisRateLimiter limiter(String keys, List<String> commands) {
		return limiter(keys, commands, 0);
	}

	private RedisRateLimiter limiter(String keys, List<String> commands, int database) {
		admin.flushall();
		admin.scriptFlush();
		List<String> words = new ArrayList<>(List.of("SETUSER", "bank", "reset", "on", ">secret", keys, "-@all"));
		words.addAll(commands);
		CommandArgs<String, String> arguments = new CommandArgs<>(StringCodec.UTF8);
		words.forEach(arguments::add);
		admin.dispatch(CommandType.ACL, new StatusOutput<>(StringCodec.UTF8), arguments);
		RedisStandaloneConfiguration configuration = new RedisStandaloneConfiguration("127.0.0.1", server.port());
		configuration.setUsername("bank");
		configuration.setPassword("secret");
		configuration.setDatabase(database);
		this.connectionFactory = new LettuceConnectionFactory(configuration);
		this.connectionFactory.afterPropertiesSet();
		this.connectionFactory.start();
		return new RedisRateLimiter(this.connectionFactory, "grpc-security:", Runnable::run);
	}

	private static <T> T get(CompletionStage<T> stage) {
		return stage.toCompletableFuture().orTimeout(10, TimeUnit.SECONDS).join();
	}

	private void use(RedisRateLimiter limiter) {
		get(limiter.connect(List.of()));
		assertThat(get(limiter.tryAcquire(permits("a", this.rule))).permitted()).isTrue();
		assertThat(get(limiter.draw(List.of(new Draw(this.rule, "a", 1, 1, 1, 0))).get(0)).permits()).isPositive();
	}

	@Test
	void useWhenAccountMayDoWhatIsDocumentedThenThatSuffices() {
		RedisRateLimiter limiter = limiter("~grpc-security:*", DOCUMENTED);
		use(limiter);
		limiter.close();

		// Lettuce says who it is, and does not mind if it may not
		assertThat(admin.aclLog()).allSatisfy((entry) -> assertThat(entry).containsEntry("object", "client"));
		assertThat(admin.keys("*")).isNotEmpty().allMatch((key) -> key.startsWith("grpc-security:{"));
		for (String key : admin.keys("*")) {
			assertThat(admin.pttl(key)).isPositive();
		}
	}

	@Test
	void useWhenDatabaseIsAnotherThenItMayBeSelected() {
		List<String> more = new ArrayList<>(DOCUMENTED);
		more.add("+select");
		RedisRateLimiter limiter = limiter("~grpc-security:*", more, 1);
		use(limiter);
		limiter.close();

		RedisRateLimiter refused = limiter("~grpc-security:*", DOCUMENTED, 1);
		assertThatThrownBy(() -> use(refused)).isNotNull();
		refused.close();
	}

	@ParameterizedTest
	@ValueSource(strings = { "+evalsha", "+eval", "+get", "+set", "+time" })
	void useWhenACommandIsMissingThenFails(String missing) {
		List<String> rest = DOCUMENTED.stream().filter((command) -> !command.equals(missing)).toList();
		RedisRateLimiter limiter = limiter("~grpc-security:*", rest);

		assertThatThrownBy(() -> use(limiter))
			.satisfies((ex) -> assertThat(Throwables.getStackTrace(ex)).matches(DENIED));
		limiter.close();
	}

	@Test
	void connectWhenScriptIsRefusedThenLeavesNoConnectionOpen() {
		RedisRateLimiter limiter = limiter("~other:*", DOCUMENTED);
		for (int i = 0; i < 20; i++) {
			assertThatThrownBy(() -> get(limiter.connect(List.of())))
				.satisfies((ex) -> assertThat(Throwables.getStackTrace(ex)).matches(DENIED));
		}

		Awaitility.await()
			.untilAsserted(() -> assertThat(admin.clientList().lines().filter((line) -> line.contains("user=bank")))
				.hasSizeLessThan(3));
		limiter.close();
	}

	@Test
	void useWhenKeysAreOthersThenFails() {
		RedisRateLimiter limiter = limiter("~other:*", DOCUMENTED);

		assertThatThrownBy(() -> use(limiter))
			.satisfies((ex) -> assertThat(Throwables.getStackTrace(ex)).matches(DENIED));
		limiter.close();
	}

}
