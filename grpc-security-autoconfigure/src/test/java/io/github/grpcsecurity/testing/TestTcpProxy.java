package io.github.grpcsecurity.testing;

import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.io.UncheckedIOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CountDownLatch;

/**
 * Forwards connections to a port on this machine, or is a black hole: what connections
 * carry is lost, none of them ends, and new ones hang, most of them as early as TCP's
 * handshake.
 */
public final class TestTcpProxy implements AutoCloseable {

	/** Beyond that, the kernel drops what asks for a connection. */
	private static final int BACKLOG = 1;

	private final ServerSocket listener;

	private final Set<Link> links = ConcurrentHashMap.newKeySet();

	private volatile int target;

	private volatile CountDownLatch forwarding = new CountDownLatch(0);

	public TestTcpProxy(int target) {
		this.target = target;
		try {
			this.listener = new ServerSocket(0, BACKLOG, InetAddress.getLoopbackAddress());
		}
		catch (IOException ex) {
			throw new UncheckedIOException(ex);
		}
		start(this::accept);
	}

	/** A proxy whose target is named later, before anybody connects. */
	public static TestTcpProxy toBeNamed() {
		return new TestTcpProxy(0);
	}

	public void target(int port) {
		this.target = port;
	}

	private static void start(Runnable task) {
		Thread thread = new Thread(task, "test-proxy");
		thread.setDaemon(true);
		thread.start();
	}

	private void accept() {
		try {
			while (true) {
				Socket near = this.listener.accept();
				this.forwarding.await();
				open(near);
			}
		}
		catch (IOException ex) {
			// Closed
		}
		catch (InterruptedException ex) {
			Thread.currentThread().interrupt();
		}
	}

	private void open(Socket near) {
		try {
			Link link = new Link(near, new Socket(InetAddress.getLoopbackAddress(), this.target));
			this.links.add(link);
			start(() -> link.copy(link.near, link.far));
			start(() -> link.copy(link.far, link.near));
		}
		catch (IOException ex) {
			// Nothing listens there
			closeQuietly(near);
		}
	}

	public int port() {
		return this.listener.getLocalPort();
	}

	/** From now on, nothing comes through, but connections seem to be alive. */
	public void swallow() {
		this.forwarding = new CountDownLatch(1);
		this.links.forEach((link) -> link.dead = true);
	}

	/** Ends all connections, as a firewall does that has lost track of them. */
	public void cut() {
		this.links.forEach(Link::close);
	}

	/** Forwards new connections again; old ones are dead and do not know. */
	public void forward() {
		this.forwarding.countDown();
	}

	private static void closeQuietly(Socket socket) {
		try {
			socket.close();
		}
		catch (IOException ex) {
			// It is gone anyway
		}
	}

	@Override
	public void close() throws IOException {
		this.listener.close();
		this.forwarding.countDown();
		this.links.forEach(Link::close);
	}

	private static final class Link {

		private final Socket near;

		private final Socket far;

		private volatile boolean dead;

		Link(Socket near, Socket far) {
			this.near = near;
			this.far = far;
		}

		void copy(Socket from, Socket to) {
			byte[] buffer = new byte[8192];
			try {
				InputStream in = from.getInputStream();
				OutputStream out = to.getOutputStream();
				for (int read = in.read(buffer); read >= 0; read = in.read(buffer)) {
					if (!this.dead) {
						out.write(buffer, 0, read);
					}
				}
			}
			catch (IOException ex) {
				// One end is gone, so the other one goes as well
			}
			if (!this.dead) {
				close();
			}
		}

		void close() {
			closeQuietly(this.near);
			closeQuietly(this.far);
		}

	}

}
