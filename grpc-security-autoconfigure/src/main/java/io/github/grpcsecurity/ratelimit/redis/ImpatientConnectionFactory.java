package io.github.grpcsecurity.ratelimit.redis;

import java.time.Duration;
import java.util.Optional;

import io.lettuce.core.AbstractRedisClient;
import io.lettuce.core.ClientOptions;
import io.lettuce.core.ReadFrom;
import io.lettuce.core.SocketOptions;
import io.lettuce.core.SslVerifyMode;
import io.lettuce.core.resource.ClientResources;
import org.jspecify.annotations.Nullable;

import org.springframework.data.redis.connection.RedisConfiguration;
import org.springframework.data.redis.connection.RedisStandaloneConfiguration;
import org.springframework.data.redis.connection.lettuce.LettuceClientConfiguration;
import org.springframework.data.redis.connection.lettuce.LettuceConnectionFactory;
import org.springframework.data.redis.connection.lettuce.RedisCredentialsProviderFactory;

/**
 * Makes connections as the application's own factory does, but gives up soon.
 * <p>
 * An attempt to connect that started while Redis could not be reached may hang for as
 * long as the application is willing to wait, which is ten seconds unless it says
 * otherwise. Who is to notice within a second that Redis is back needs to try again
 * instead.
 */
final class ImpatientConnectionFactory {

	private ImpatientConnectionFactory() {
	}

	/**
	 * Makes a factory.
	 * @param original the application's own
	 * @param patience how long a connection, and then its handshake, may take
	 * @return a started factory, which shares the threads of the original and is to be
	 * destroyed; the original itself where nobody can tell what it connects to
	 */
	static LettuceConnectionFactory of(LettuceConnectionFactory original, Duration patience) {
		AbstractRedisClient client = original.isRunning() ? original.getNativeClient() : null;
		if (client == null) {
			return original;
		}
		RedisConfiguration server = server(original);
		if (server == null) {
			return original;
		}
		LettuceConnectionFactory factory = new LettuceConnectionFactory(server, new Configuration(
				original.getClientConfiguration(), client.getResources(), client.getOptions(), patience));
		factory.setShareNativeConnection(false);
		factory.afterPropertiesSet();
		factory.start();
		return factory;
	}

	private static @Nullable RedisConfiguration server(LettuceConnectionFactory original) {
		if (original.isClusterAware()) {
			return original.getClusterConfiguration();
		}
		if (original.isRedisSentinelAware()) {
			return original.getSentinelConfiguration();
		}
		RedisConfiguration socket = original.getSocketConfiguration();
		if (socket != null) {
			return socket;
		}
		RedisConfiguration standalone = original.getStandaloneConfiguration();
		// A factory for a master and replicas that it was told of has this one, too
		return standalone.equals(new RedisStandaloneConfiguration()) ? null : standalone;
	}

	/** What the application has configured, with less patience. */
	private record Configuration(LettuceClientConfiguration original, ClientResources resources, ClientOptions options,
			Duration patience) implements LettuceClientConfiguration {

		@Override
		public boolean isUseSsl() {
			return this.original.isUseSsl();
		}

		@Override
		@SuppressWarnings("deprecation")
		public boolean isVerifyPeer() {
			return this.original.isVerifyPeer();
		}

		@Override
		public SslVerifyMode getVerifyMode() {
			return this.original.getVerifyMode();
		}

		@Override
		public boolean isStartTls() {
			return this.original.isStartTls();
		}

		@Override
		public Optional<ClientResources> getClientResources() {
			return Optional.of(this.resources);
		}

		@Override
		public Optional<ClientOptions> getClientOptions() {
			SocketOptions sockets = this.options.getSocketOptions();
			return Optional.of(this.options.mutate()
				.socketOptions(sockets.mutate().connectTimeout(shorter(sockets.getConnectTimeout())).build())
				.build());
		}

		@Override
		public Optional<String> getClientName() {
			return this.original.getClientName();
		}

		@Override
		public Optional<ReadFrom> getReadFrom() {
			return this.original.getReadFrom();
		}

		@Override
		public Optional<RedisCredentialsProviderFactory> getRedisCredentialsProviderFactory() {
			return this.original.getRedisCredentialsProviderFactory();
		}

		@Override
		public Duration getCommandTimeout() {
			return shorter(this.original.getCommandTimeout());
		}

		@Override
		public Duration getShutdownTimeout() {
			return this.original.getShutdownTimeout();
		}

		@Override
		public Duration getShutdownQuietPeriod() {
			return this.original.getShutdownQuietPeriod();
		}

		private Duration shorter(Duration time) {
			return (time.compareTo(this.patience) < 0) ? time : this.patience;
		}

	}

}
