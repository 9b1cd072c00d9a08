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

/** Forwards connections to a port on this machine, or swallows all that they carry. */
public final class TestTcpProxy implements AutoCloseable {

	private final ServerSocket listener;

	private final int target;

	private final Set<Socket> sockets = ConcurrentHashMap.newKeySet();

	private volatile boolean swallowing;

	public TestTcpProxy(int target) {
		this.target = target;
		try {
			this.listener = new ServerSocket(0, 50, InetAddress.getLoopbackAddress());
		}
		catch (IOException ex) {
			throw new UncheckedIOException(ex);
		}
		start(this::accept);
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
				Socket far = new Socket(InetAddress.getLoopbackAddress(), this.target);
				this.sockets.add(near);
				this.sockets.add(far);
				start(() -> copy(near, far));
				start(() -> copy(far, near));
			}
		}
		catch (IOException ex) {
			// Closed
		}
	}

	private void copy(Socket from, Socket to) {
		byte[] buffer = new byte[8192];
		try (from; to) {
			InputStream in = from.getInputStream();
			OutputStream out = to.getOutputStream();
			for (int read = in.read(buffer); read >= 0; read = in.read(buffer)) {
				if (!this.swallowing) {
					out.write(buffer, 0, read);
				}
			}
		}
		catch (IOException ex) {
			// One end is gone, so the other one goes as well
		}
	}

	public int port() {
		return this.listener.getLocalPort();
	}

	/** From now on, nothing comes through, but connections seem to be alive. */
	public void swallow() {
		this.swallowing = true;
	}

	/**
	 * Forwards again what new connections carry; old ones have lost some of it and end.
	 */
	public void forward() {
		this.swallowing = false;
		this.sockets.forEach(TestTcpProxy::closeQuietly);
		this.sockets.clear();
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
		this.sockets.forEach(TestTcpProxy::closeQuietly);
	}

}
