package io.github.grpcsecurity.remote;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.net.InetAddress;
import java.net.URI;
import java.net.UnknownHostException;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.Executor;
import java.util.concurrent.Flow;
import java.util.concurrent.TimeUnit;

import org.jspecify.annotations.Nullable;

/**
 * Sends HTTP requests to a service that guards depend on.
 * <p>
 * No thread waits for an answer. An answer that takes too long, headers and body
 * together, is too large, or has any status but 200 is a failure; redirects are not
 * followed, because they lead to hosts that nobody has named. Thread-safe.
 *
 * @since 0.1.0
 */
public final class RemoteHttp {

	private final HttpClient client;

	private final Executor executor;

	private final Duration timeout;

	private final int maxBytes;

	/**
	 * Creates a client.
	 * @param executor sends the requests: looking up a host may block
	 * @param timeout how long a request may take in all
	 * @param maxBytes how large an answer may be
	 */
	public RemoteHttp(Executor executor, Duration timeout, int maxBytes) {
		this.executor = executor;
		this.timeout = timeout;
		this.maxBytes = maxBytes;
		this.client = HttpClient.newBuilder()
			.version(HttpClient.Version.HTTP_1_1)
			.followRedirects(HttpClient.Redirect.NEVER)
			.connectTimeout(timeout)
			.executor(executor)
			.build();
	}

	/**
	 * Makes sure that what is sent to an address cannot be read or changed on its way.
	 * @param uri the address
	 * @throws IllegalArgumentException if it is neither HTTPS nor on loopback; the
	 * message says so
	 */
	public static void requireSecure(URI uri) {
		String scheme = (uri.getScheme() != null) ? uri.getScheme().toLowerCase(Locale.ROOT) : "";
		if (uri.getHost() == null || !(scheme.equals("https") || scheme.equals("http"))) {
			throw new IllegalArgumentException("it is not an address such as https://host/path");
		}
		if (uri.getUserInfo() != null) {
			throw new IllegalArgumentException("there is a user or a password in it");
		}
		if (scheme.equals("http") && !loopback(uri.getHost())) {
			throw new IllegalArgumentException("anybody on the way could read and change what is sent: use https,"
					+ " which only addresses on loopback may do without");
		}
	}

	private static boolean loopback(String host) {
		if (host.equalsIgnoreCase("localhost")) {
			return true;
		}
		String address = host.startsWith("[") ? host.substring(1, host.length() - 1) : host;
		if (!address.matches("[0-9.]+|[0-9a-fA-F:.]*:[0-9a-fA-F:.]*")) {
			// Another name may lead anywhere
			return false;
		}
		try {
			return InetAddress.getByName(address).isLoopbackAddress();
		}
		catch (UnknownHostException ex) {
			return false;
		}
	}

	/**
	 * Sends a request.
	 * @param request the request; its timeout is set here
	 * @return completes with the body of the answer, or exceptionally; from any thread
	 */
	public CompletableFuture<String> send(HttpRequest.Builder request) {
		HttpRequest timed = request.timeout(this.timeout).build();
		CompletableFuture<String> body = new CompletableFuture<>();
		try {
			this.executor.execute(() -> send(timed, body));
		}
		catch (RuntimeException ex) {
			body.completeExceptionally(ex);
		}
		return body;
	}

	private void send(HttpRequest request, CompletableFuture<String> body) {
		CompletableFuture<HttpResponse<String>> exchange;
		try {
			exchange = this.client.sendAsync(request,
					(response) -> new BoundedBody(response.statusCode(), this.maxBytes));
		}
		catch (RuntimeException ex) {
			body.completeExceptionally(ex);
			return;
		}
		// The timeout of the request ends with the headers; this one bounds the body, too
		body.orTimeout(this.timeout.toMillis(), TimeUnit.MILLISECONDS).exceptionally((failure) -> {
			exchange.cancel(true);
			return "";
		});
		exchange.thenAccept((response) -> body.complete(response.body())).exceptionally((failure) -> {
			body.completeExceptionally(failure);
			return null;
		});
	}

	/** Collects a body unless it is too large or comes with an error. */
	private static final class BoundedBody implements HttpResponse.BodySubscriber<String> {

		private final CompletableFuture<String> body = new CompletableFuture<>();

		private final ByteArrayOutputStream bytes = new ByteArrayOutputStream();

		private final int status;

		private final int maxBytes;

		private Flow.@Nullable Subscription subscription;

		BoundedBody(int status, int maxBytes) {
			this.status = status;
			this.maxBytes = maxBytes;
		}

		@Override
		public CompletionStage<String> getBody() {
			return this.body;
		}

		@Override
		public void onSubscribe(Flow.Subscription subscription) {
			this.subscription = subscription;
			if (this.status != 200) {
				fail(new HttpStatusException(this.status));
				return;
			}
			subscription.request(Long.MAX_VALUE);
		}

		@Override
		public void onNext(List<ByteBuffer> buffers) {
			for (ByteBuffer buffer : buffers) {
				if (this.bytes.size() + buffer.remaining() > this.maxBytes) {
					fail(new IOException("more than " + this.maxBytes + " bytes"));
					return;
				}
				byte[] chunk = new byte[buffer.remaining()];
				buffer.get(chunk);
				this.bytes.write(chunk, 0, chunk.length);
			}
		}

		private void fail(IOException failure) {
			if (this.subscription != null) {
				this.subscription.cancel();
			}
			this.body.completeExceptionally(failure);
		}

		@Override
		public void onError(Throwable failure) {
			this.body.completeExceptionally(failure);
		}

		@Override
		public void onComplete() {
			this.body.complete(this.bytes.toString(StandardCharsets.UTF_8));
		}

	}

}
