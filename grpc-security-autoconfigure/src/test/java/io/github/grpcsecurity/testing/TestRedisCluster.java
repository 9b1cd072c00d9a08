package io.github.grpcsecurity.testing;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;
import java.util.stream.Collectors;
import java.util.stream.IntStream;

import io.lettuce.core.RedisClient;
import io.lettuce.core.api.sync.RedisCommands;
import io.lettuce.core.cluster.SlotHash;

/** Three Redis on loopback ports that share the slots of a cluster. */
public final class TestRedisCluster implements AutoCloseable {

	/** The port of a node's bus is that much higher. */
	private static final int BUS_OFFSET = 10_000;

	private static final int NODES = 3;

	private final List<TestRedis> nodes = new ArrayList<>();

	private TestRedisCluster() {
	}

	/** Starts a cluster, and waits until all of it serves. */
	public static TestRedisCluster start() {
		TestRedisCluster cluster = new TestRedisCluster();
		try {
			for (int i = 0; i < NODES; i++) {
				TestRedis node = cluster.node();
				node.restart();
				cluster.nodes.add(node);
			}
			cluster.join();
			return cluster;
		}
		catch (IOException ex) {
			cluster.close();
			throw new UncheckedIOException(ex);
		}
	}

	private TestRedis node() throws IOException {
		while (true) {
			Path configuration = Files.createTempDirectory("test-redis").resolve("nodes.conf");
			TestRedis node = TestRedis.notStarted("--cluster-enabled", "yes", "--cluster-config-file",
					configuration.toString(), "--dir", configuration.getParent().toString(),
					"--cluster-require-full-coverage", "no", "--cluster-node-timeout", "2000");
			if (node.port() + BUS_OFFSET <= 65_535) {
				return node;
			}
		}
	}

	private void join() {
		List<RedisClient> clients = new ArrayList<>();
		try {
			List<RedisCommands<String, String>> all = new ArrayList<>();
			int share = SlotHash.SLOT_COUNT / NODES + 1;
			for (int i = 0; i < NODES; i++) {
				RedisClient client = RedisClient.create("redis://127.0.0.1:" + this.nodes.get(i).port());
				clients.add(client);
				RedisCommands<String, String> commands = client.connect().sync();
				all.add(commands);
				commands.clusterAddSlots(
						IntStream.range(i * share, Math.min((i + 1) * share, SlotHash.SLOT_COUNT)).toArray());
				commands.clusterMeet("127.0.0.1", this.nodes.get(0).port());
			}
			long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(60);
			while (!all.stream().allMatch(TestRedisCluster::complete)) {
				if (System.nanoTime() - deadline > 0) {
					throw new IllegalStateException("The cluster does not form: " + all.get(0).clusterInfo());
				}
				LockSupport.parkNanos(TimeUnit.MILLISECONDS.toNanos(20));
			}
		}
		finally {
			clients.forEach(RedisClient::shutdown);
		}
	}

	private static boolean complete(RedisCommands<String, String> commands) {
		String info = commands.clusterInfo();
		return info.contains("cluster_state:ok") && info.contains("cluster_slots_ok:16384")
				&& info.contains("cluster_size:" + NODES);
	}

	/** The nodes, as {@code host:port} with commas between them. */
	public String addresses() {
		return this.nodes.stream().map((node) -> "127.0.0.1:" + node.port()).collect(Collectors.joining(","));
	}

	/** Each node by itself, in the order of their slots. */
	public List<TestRedis> nodes() {
		return this.nodes;
	}

	@Override
	public void close() {
		this.nodes.forEach(TestRedis::close);
	}

}
