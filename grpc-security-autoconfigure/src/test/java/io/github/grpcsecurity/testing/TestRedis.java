package io.github.grpcsecurity.testing;

import java.io.BufferedReader;
import java.io.File;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;

import org.springframework.data.redis.connection.RedisStandaloneConfiguration;
import org.springframework.data.redis.connection.lettuce.LettuceConnectionFactory;

import redis.embedded.core.ExecutableProvider;

/**
 * A real Redis on a loopback port of its own, without persistence. It can be stopped,
 * started again on the same port, and paused so that it takes connections but does not
 * answer.
 */
public final class TestRedis implements AutoCloseable {

	private static File executable;

	private final int port;

	private final List<String> options;

	private Path configuration;

	private Process process;

	private TestRedis(int port, List<String> options) {
		this.port = port;
		this.options = options;
	}

	/** Starts a Redis. */
	public static TestRedis start() {
		TestRedis redis = notStarted();
		redis.restart();
		return redis;
	}

	/** Reserves a port on which nothing listens until {@link #restart()}. */
	public static TestRedis notStarted(String... options) {
		return new TestRedis(TestPorts.next(), List.of(options));
	}

	/**
	 * A node of a cluster that is to be formed, not yet started; to clients it names
	 * another port.
	 */
	static TestRedis clusterNode(int announcedPort, Path directory) {
		int port = TestPorts.next();
		return new TestRedis(port,
				List.of("--cluster-enabled", "yes", "--cluster-config-file", directory.resolve("nodes.conf").toString(),
						"--dir", directory.toString(), "--cluster-require-full-coverage", "no",
						"--cluster-node-timeout", "2000", "--cluster-announce-ip", "127.0.0.1",
						"--cluster-announce-port", Integer.toString(announcedPort), "--cluster-announce-bus-port",
						Integer.toString(port + TestPorts.REDIS_BUS_OFFSET)));
	}

	/** Starts a sentinel that promotes a replica soon after its master is gone. */
	public static TestRedis sentinel(String master, int masterPort, Path directory) {
		try {
			Path configuration = directory.resolve("sentinel.conf");
			Files.writeString(configuration,
					"sentinel monitor %1$s 127.0.0.1 %2$d 1%n".formatted(master, masterPort)
							+ "sentinel down-after-milliseconds %s 500%n".formatted(master)
							+ "sentinel failover-timeout %s 5000%n".formatted(master));
			TestRedis sentinel = notStarted("--sentinel");
			sentinel.configuration = configuration;
			sentinel.restart();
			return sentinel;
		}
		catch (IOException ex) {
			throw new UncheckedIOException(ex);
		}
	}

	private static synchronized String executable() throws IOException {
		if (executable == null) {
			try {
				executable = ExecutableProvider.newExecutableInPath("redis-server").get();
			}
			catch (IOException ex) {
				executable = ExecutableProvider.newJarResourceProvider().get();
			}
		}
		return executable.getAbsolutePath();
	}

	/** Starts with no data, after {@link #stop()}. */
	public void restart() {
		try {
			List<String> command = new ArrayList<>(List.of(executable()));
			if (this.configuration != null) {
				command.add(this.configuration.toString());
			}
			command.addAll(List.of("--port", Integer.toString(this.port), "--bind", "127.0.0.1"));
			if (this.configuration == null) {
				command.addAll(List.of("--save", "", "--appendonly", "no"));
			}
			command.addAll(this.options);
			this.process = new ProcessBuilder(command).directory(new File(System.getProperty("java.io.tmpdir")))
				.redirectErrorStream(true)
				.start();
			awaitReady();
		}
		catch (IOException ex) {
			throw new UncheckedIOException(ex);
		}
	}

	private void awaitReady() throws IOException {
		BufferedReader output = new BufferedReader(
				new InputStreamReader(this.process.getInputStream(), StandardCharsets.UTF_8));
		StringBuilder log = new StringBuilder();
		String line;
		while ((line = output.readLine()) != null) {
			if (line.contains("eady to accept connections") || line.contains("+monitor master")) {
				drain(output);
				return;
			}
			log.append(line).append('\n');
		}
		throw new IllegalStateException("Redis did not start: " + log);
	}

	private static void drain(BufferedReader output) {
		Thread thread = new Thread(() -> {
			try {
				while (output.readLine() != null) {
					// A full pipe would stop Redis
				}
			}
			catch (IOException ex) {
				// Redis is gone
			}
		}, "test-redis-output");
		thread.setDaemon(true);
		thread.start();
	}

	/** Kills the process: connections break, new ones are refused. */
	public void stop() {
		if (this.process == null) {
			return;
		}
		try {
			this.process.destroyForcibly().waitFor(10, TimeUnit.SECONDS);
		}
		catch (InterruptedException ex) {
			Thread.currentThread().interrupt();
		}
		this.process = null;
	}

	/** Freezes the process: connections stay, but nothing is answered. */
	public void pause() {
		signal("-STOP");
	}

	/** Ends a {@link #pause()}. */
	public void resume() {
		signal("-CONT");
	}

	private void signal(String signal) {
		try {
			int exit = new ProcessBuilder("kill", signal, Long.toString(this.process.pid())).start().waitFor();
			if (exit != 0) {
				throw new IllegalStateException("kill ended with " + exit);
			}
		}
		catch (IOException ex) {
			throw new UncheckedIOException(ex);
		}
		catch (InterruptedException ex) {
			Thread.currentThread().interrupt();
		}
	}

	public int port() {
		return this.port;
	}

	/** A started connection factory, as Spring Boot would make it; to be destroyed. */
	public LettuceConnectionFactory connectionFactory() {
		LettuceConnectionFactory factory = new LettuceConnectionFactory(
				new RedisStandaloneConfiguration("127.0.0.1", this.port));
		factory.afterPropertiesSet();
		factory.start();
		return factory;
	}

	@Override
	public void close() {
		stop();
	}

}
