package io.github.grpcsecurity.sample;

import java.io.IOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.util.Map;

import org.apache.commons.logging.Log;
import org.apache.commons.logging.LogFactory;
import org.jspecify.annotations.Nullable;
import redis.embedded.RedisServer;

/**
 * A real Redis that comes with the sample, so that nothing has to be installed. Where its
 * executable does not run, limits are kept in memory.
 */
public final class SampleRedis implements AutoCloseable {

	private static final Log logger = LogFactory.getLog(SampleRedis.class);

	private final @Nullable RedisServer server;

	private final int port;

	private SampleRedis(@Nullable RedisServer server, int port) {
		this.server = server;
		this.port = port;
	}

	static SampleRedis start() {
		try {
			int port = freePort();
			RedisServer server = RedisServer.newRedisServer()
				.port(port)
				.bind("127.0.0.1")
				.setting("save \"\"")
				.setting("appendonly no")
				.build();
			server.start();
			return new SampleRedis(server, port);
		}
		catch (IOException | RuntimeException ex) {
			logger.info("No embedded Redis on this machine (" + ex.getMessage() + "): limits are kept in memory");
			return new SampleRedis(null, 0);
		}
	}

	private static int freePort() throws IOException {
		try (ServerSocket socket = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
			return socket.getLocalPort();
		}
	}

	boolean running() {
		return this.server != null;
	}

	/** Where the limits of this run are kept, in words. */
	public String describe() {
		return running() ? "an embedded Redis on 127.0.0.1:" + this.port : "memory (no Redis runs here)";
	}

	void contributeTo(Map<String, Object> properties) {
		if (running()) {
			properties.put("spring.data.redis.host", "127.0.0.1");
			properties.put("spring.data.redis.port", this.port);
		}
		else {
			properties.put("grpc.security.rate-limit.store", "memory");
		}
	}

	@Override
	public void close() {
		if (this.server != null) {
			try {
				this.server.stop();
			}
			catch (IOException ex) {
				logger.warn("The embedded Redis did not stop", ex);
			}
		}
	}

}
