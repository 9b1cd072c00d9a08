package io.github.grpcsecurity.testing;

import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.ServerSocket;

/**
 * Loopback ports for processes that must be told theirs, and that are started again on
 * it. They lie below those that systems give to outgoing connections (32,768 and up on
 * Linux): nothing that the tests connect takes them in the meantime.
 */
public final class TestPorts {

	/** How much higher the port is on which the nodes of a Redis Cluster talk. */
	public static final int REDIS_BUS_OFFSET = 10_000;

	private static final int FIRST = 20_000;

	private static final int END = 22_768;

	private static final int ATTEMPTS = 1_000;

	/** Processes that run at the same time start far from each other. */
	private static final int STEP = 331;

	private static int next = FIRST + (int) (ProcessHandle.current().pid() * STEP % (END - FIRST));

	private TestPorts() {
	}

	/**
	 * A port on which nothing listens, and which this process is not given again soon;
	 * nothing listens on the port of its bus either.
	 */
	public static synchronized int next() {
		for (int i = 0; i < ATTEMPTS; i++) {
			int port = next;
			next = (port + 1 < END) ? port + 1 : FIRST;
			if (free(port) && free(port + REDIS_BUS_OFFSET)) {
				return port;
			}
		}
		throw new IllegalStateException("No loopback port is free between " + FIRST + " and " + END);
	}

	private static boolean free(int port) {
		try (ServerSocket socket = new ServerSocket()) {
			socket.bind(new InetSocketAddress(InetAddress.getLoopbackAddress(), port), 1);
			return true;
		}
		catch (IOException ex) {
			return false;
		}
	}

}
