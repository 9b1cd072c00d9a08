package io.github.grpcsecurity.authorization.opa;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import java.util.function.Function;

import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import com.sun.net.httpserver.Headers;
import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;

/**
 * Stands in for OPA: answers with what the real one (0.60.0) was seen to answer, and
 * misbehaves in ways that the real one only rarely does.
 */
final class FakeOpa implements AutoCloseable {

	static final Answer TRUE = new Answer(200,
			"{\"decision_id\":\"6eb2823d-0e13-4106-a3aa-9e46b1f417e3\",\"result\":true}");

	static final Answer FALSE = new Answer(200,
			"{\"decision_id\":\"27e2fe1d-bb1a-4010-8bf3-ecf89a8f644f\",\"result\":false}");

	/** Never comes. */
	static final Answer SILENCE = new Answer(-1, "");

	final List<Question> questions = new CopyOnWriteArrayList<>();

	volatile Function<JsonObject, Answer> policy = (input) -> TRUE;

	private final ExecutorService executor = Executors.newCachedThreadPool();

	private final CountDownLatch closed = new CountDownLatch(1);

	private final HttpServer server;

	FakeOpa() {
		this(0);
	}

	FakeOpa(int port) {
		try {
			this.server = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), port), 0);
		}
		catch (IOException ex) {
			throw new UncheckedIOException(ex);
		}
		this.server.setExecutor(this.executor);
		this.server.createContext("/", this::answer);
		this.server.start();
	}

	private void answer(HttpExchange exchange) throws IOException {
		String body = new String(exchange.getRequestBody().readAllBytes(), StandardCharsets.UTF_8);
		JsonObject input = JsonParser.parseString(body).getAsJsonObject().getAsJsonObject("input");
		this.questions.add(new Question(exchange.getRequestURI().getPath(), exchange.getRequestHeaders(), input));
		Answer answer = this.policy.apply(input);
		if (answer.status() < 0) {
			try {
				this.closed.await(20, TimeUnit.SECONDS);
			}
			catch (InterruptedException ex) {
				Thread.currentThread().interrupt();
			}
			return;
		}
		byte[] bytes = answer.body().getBytes(StandardCharsets.UTF_8);
		exchange.getResponseHeaders().add("location", "http://127.0.0.1:" + port() + "/elsewhere");
		exchange.sendResponseHeaders(answer.status(), (bytes.length > 0) ? bytes.length : -1);
		exchange.getResponseBody().write(bytes);
		exchange.close();
	}

	int port() {
		return this.server.getAddress().getPort();
	}

	URI uri() {
		return URI.create("http://127.0.0.1:" + port());
	}

	@Override
	public void close() {
		this.closed.countDown();
		this.server.stop(0);
		this.executor.shutdownNow();
	}

	record Answer(int status, String body) {
	}

	record Question(String path, Headers headers, JsonObject input) {
	}

}
