package io.github.grpcsecurity.testing;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;
import java.util.function.BooleanSupplier;
import java.util.function.Consumer;
import java.util.stream.Collectors;
import java.util.stream.IntStream;

import io.lettuce.core.RedisClient;
import io.lettuce.core.RedisCommandExecutionException;
import io.lettuce.core.api.sync.RedisCommands;
import io.lettuce.core.cluster.SlotHash;

/** Three Redis on loopback ports that share the slots of a cluster. */
public final class TestRedisCluster implements AutoCloseable {

	private static final int NODES = 3;

	private final List<TestRedis> nodes = new ArrayList<>();

	/** What clients connect to; the nodes talk to each other directly. */
	private final List<TestTcpProxy> proxies = new ArrayList<>();

	private TestRedisCluster() {
	}

	/** Starts a cluster, and waits until all of it serves. */
	public static TestRedisCluster start() {
		TestRedisCluster cluster = new TestRedisCluster();
		try {
			for (int i = 0; i < NODES; i++) {
				cluster.addNode();
			}
			cluster.join();
			return cluster;
		}
		catch (IOException ex) {
			cluster.close();
			throw new UncheckedIOException(ex);
		}
	}

	private TestRedis addNode() throws IOException {
		TestTcpProxy proxy = TestTcpProxy.toBeNamed();
		this.proxies.add(proxy);
		TestRedis node = TestRedis.clusterNode(proxy.port(), Files.createTempDirectory("test-redis"));
		node.restart();
		proxy.target(node.port());
		this.nodes.add(node);
		return node;
	}

	private void join() {
		int share = SlotHash.SLOT_COUNT / NODES + 1;
		onAll((all) -> {
			for (int i = 0; i < NODES; i++) {
				all.get(i)
					.clusterAddSlots(
							IntStream.range(i * share, Math.min((i + 1) * share, SlotHash.SLOT_COUNT)).toArray());
				all.get(i).clusterMeet("127.0.0.1", this.nodes.get(0).port());
			}
		});
		awaitComplete();
	}

	/** Adds a replica of one of the nodes, and waits until it has the data. */
	public void addReplica(int of) {
		try {
			addNode();
			onAll((all) -> {
				RedisCommands<String, String> replica = all.get(all.size() - 1);
				String master = all.get(of).clusterMyId();
				replica.clusterMeet("127.0.0.1", this.nodes.get(0).port());
				await(() -> replica.clusterNodes().contains(master));
				await(() -> {
					// Until it has heard enough of its master
					try {
						return replica.clusterReplicate(master).equals("OK");
					}
					catch (RedisCommandExecutionException ex) {
						return false;
					}
				});
				await(() -> replica.info("replication").contains("master_link_status:up"));
				await(() -> all.stream().allMatch((each) -> each.clusterNodes().contains("slave " + master)));
			});
		}
		catch (IOException ex) {
			throw new UncheckedIOException(ex);
		}
	}

	/** Waits until all nodes with slots, or what has taken their place, serve. */
	public void awaitComplete() {
		onAll((all) -> await(() -> all.stream().allMatch(TestRedisCluster::complete)));
	}

	private void onAll(Consumer<List<RedisCommands<String, String>>> action) {
		List<RedisClient> clients = new ArrayList<>();
		try {
			List<RedisCommands<String, String>> all = new ArrayList<>();
			for (TestRedis node : this.nodes) {
				RedisClient client = RedisClient.create("redis://127.0.0.1:" + node.port());
				clients.add(client);
				all.add(client.connect().sync());
			}
			action.accept(all);
		}
		finally {
			clients.forEach((client) -> client.shutdown(0, 1, TimeUnit.SECONDS));
		}
	}

	private static void await(BooleanSupplier condition) {
		long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(60);
		while (!condition.getAsBoolean()) {
			if (System.nanoTime() - deadline > 0) {
				throw new IllegalStateException("The cluster does not form");
			}
			LockSupport.parkNanos(TimeUnit.MILLISECONDS.toNanos(20));
		}
	}

	private static boolean complete(RedisCommands<String, String> commands) {
		String info = commands.clusterInfo();
		return info.contains("cluster_state:ok") && info.contains("cluster_slots_ok:16384")
				&& info.contains("cluster_size:" + NODES);
	}

	/** The nodes, as {@code host:port} with commas between them. */
	public String addresses() {
		return this.proxies.stream().map((proxy) -> "127.0.0.1:" + proxy.port()).collect(Collectors.joining(","));
	}

	/** What is in front of each node, in the order of their slots. */
	public List<TestTcpProxy> proxies() {
		return this.proxies;
	}

	/** Each node by itself, in the order of their slots; replicas come last. */
	public List<TestRedis> nodes() {
		return this.nodes;
	}

	@Override
	public void close() {
		this.nodes.forEach(TestRedis::close);
		for (TestTcpProxy proxy : this.proxies) {
			try {
				proxy.close();
			}
			catch (IOException ex) {
				throw new UncheckedIOException(ex);
			}
		}
	}

}
