package io.github.grpcsecurity.ratelimit.redis;

import java.time.Duration;
import java.util.function.Consumer;

import io.github.grpcsecurity.testing.TestRedis;
import io.lettuce.core.ClientOptions;
import io.lettuce.core.RedisClient;
import io.lettuce.core.SocketOptions;
import io.lettuce.core.SslVerifyMode;
import org.junit.jupiter.api.Test;

import org.springframework.data.redis.connection.RedisConfiguration;
import org.springframework.data.redis.connection.RedisConnection;
import org.springframework.data.redis.connection.RedisSentinelConfiguration;
import org.springframework.data.redis.connection.RedisSocketConfiguration;
import org.springframework.data.redis.connection.RedisStandaloneConfiguration;
import org.springframework.data.redis.connection.RedisStaticMasterReplicaConfiguration;
import org.springframework.data.redis.connection.lettuce.LettuceClientConfiguration;
import org.springframework.data.redis.connection.lettuce.LettuceConnectionFactory;

import static org.assertj.core.api.Assertions.assertThat;

class ImpatientConnectionFactoryIT {

	private static final Duration PATIENCE = Duration.ofMillis(500);

	private static void with(RedisConfiguration server, LettuceClientConfiguration client,
			Consumer<LettuceConnectionFactory> action) {
		// As Spring Boot does: the general constructor does not tell what it was given
		LettuceConnectionFactory original = (server instanceof RedisStandaloneConfiguration standalone)
				? new LettuceConnectionFactory(standalone, client) : new LettuceConnectionFactory(server, client);
		original.afterPropertiesSet();
		original.start();
		LettuceConnectionFactory made = ImpatientConnectionFactory.of(original, PATIENCE);
		assertThat(made).isNotSameAs(original);
		try {
			action.accept(made);
		}
		finally {
			made.destroy();
			original.destroy();
		}
	}

	private static void with(RedisConfiguration server, Consumer<LettuceConnectionFactory> action) {
		with(server, LettuceClientConfiguration.defaultConfiguration(), action);
	}

	@Test
	void ofWhenClientIsConfiguredThenAllOfItIsTakenOverButThePatience() {
		LettuceClientConfiguration client = LettuceClientConfiguration.builder()
			.clientName("bank")
			.clientOptions(ClientOptions.builder()
				.requestQueueSize(77)
				.socketOptions(SocketOptions.builder().connectTimeout(Duration.ofSeconds(3)).keepAlive(true).build())
				.build())
			.commandTimeout(Duration.ofSeconds(4))
			.shutdownTimeout(Duration.ofMillis(123))
			.useSsl()
			.verifyPeer(SslVerifyMode.CA)
			.startTls()
			.build();
		with(new RedisStandaloneConfiguration("redis.example", 6380), client, (made) -> {
			LettuceClientConfiguration taken = made.getClientConfiguration();
			assertThat(taken.isUseSsl()).isTrue();
			assertThat(taken.isStartTls()).isTrue();
			assertThat(taken.getVerifyMode()).isEqualTo(SslVerifyMode.CA);
			assertThat(taken.getClientName()).contains("bank");
			assertThat(taken.getShutdownTimeout()).isEqualTo(Duration.ofMillis(123));
			assertThat(taken.getCommandTimeout()).isEqualTo(PATIENCE);
			ClientOptions options = taken.getClientOptions().orElseThrow();
			assertThat(options.getRequestQueueSize()).isEqualTo(77);
			assertThat(options.getSocketOptions().isKeepAlive()).isTrue();
			assertThat(options.getSocketOptions().getConnectTimeout()).isEqualTo(PATIENCE);
			assertThat(made.getHostName()).isEqualTo("redis.example");
			assertThat(made.getPort()).isEqualTo(6380);
		});
	}

	@Test
	void ofWhenClientHasLessPatienceThenItsOwnCounts() {
		LettuceClientConfiguration client = LettuceClientConfiguration.builder()
			.commandTimeout(Duration.ofMillis(100))
			.build();
		with(new RedisStandaloneConfiguration("redis.example", 6380), client,
				(made) -> assertThat(made.getClientConfiguration().getCommandTimeout())
					.isEqualTo(Duration.ofMillis(100)));
	}

	@Test
	void ofWhenThereIsADatabaseAndAPasswordThenTheyAreUsed() {
		try (TestRedis redis = TestRedis.start()) {
			RedisClient admin = RedisClient.create("redis://127.0.0.1:" + redis.port());
			admin.connect().sync().configSet("requirepass", "secret");
			RedisStandaloneConfiguration server = new RedisStandaloneConfiguration("127.0.0.1", redis.port());
			server.setDatabase(3);
			server.setPassword("secret");
			with(server, (made) -> {
				try (RedisConnection connection = made.getConnection()) {
					connection.stringCommands().set("k".getBytes(), "v".getBytes());
					assertThat(connection.serverCommands().info("keyspace").getProperty("db3")).contains("keys=1");
				}
			});
			admin.shutdown();
		}
	}

	@Test
	void ofWhenServerIsASocketOrASentinelThenItIsTakenOver() {
		with(new RedisSocketConfiguration("/run/bank/redis.sock"),
				(made) -> assertThat(made.getSocketConfiguration().getSocket()).isEqualTo("/run/bank/redis.sock"));
		with(new RedisSentinelConfiguration().master("bank").sentinel("sentinel.example", 26379),
				(made) -> assertThat(made.getSentinelConfiguration().getMaster().getName()).isEqualTo("bank"));
	}

	@Test
	void ofWhenNobodyCanTellWhatItConnectsToThenTheOriginalIsUsed() {
		for (RedisConfiguration server : new RedisConfiguration[] { new RedisStandaloneConfiguration(),
				new RedisStaticMasterReplicaConfiguration("redis.example") }) {
			LettuceConnectionFactory original = new LettuceConnectionFactory(server,
					LettuceClientConfiguration.defaultConfiguration());
			original.afterPropertiesSet();
			original.start();

			assertThat(ImpatientConnectionFactory.of(original, PATIENCE)).isSameAs(original);
			original.destroy();
		}
	}

	@Test
	void ofWhenTheOriginalIsStoppedThenItIsUsed() {
		LettuceConnectionFactory original = new LettuceConnectionFactory("redis.example", 6380);

		assertThat(ImpatientConnectionFactory.of(original, PATIENCE)).isSameAs(original);
	}

}
