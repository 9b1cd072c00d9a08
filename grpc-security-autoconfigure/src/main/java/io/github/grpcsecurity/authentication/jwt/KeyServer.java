package io.github.grpcsecurity.authentication.jwt;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.text.ParseException;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.Executor;
import java.util.concurrent.Flow;
import java.util.concurrent.TimeUnit;

import com.nimbusds.jose.util.JSONObjectUtils;
import org.jspecify.annotations.Nullable;

/**
 * Fetches the keys of one issuer over HTTP, after finding out where they are if need be.
 * <p>
 * Spring's and Nimbus's own sources block the calling thread, which here would be one
 * that carries calls. No redirect is followed, and an answer may neither take longer than
 * two seconds in all nor be larger than 50 KiB.
 */
final class KeyServer {

	static final int MAX_BYTES = 50 * 1024;

	private static final Duration CONNECT_TIMEOUT = Duration.ofSeconds(1);

	private static final long TIMEOUT_MILLIS = 2000;

	private final HttpClient client;

	private final Executor executor;

	private final String issuer;

	private final @Nullable URI configuredUri;

	// What discovery found, until a fetch from there fails
	private volatile @Nullable URI discoveredUri;

	KeyServer(String issuer, @Nullable URI jwkSetUri, Executor executor) {
		this.issuer = issuer;
		this.configuredUri = jwkSetUri;
		this.executor = executor;
		this.client = HttpClient.newBuilder()
			.version(HttpClient.Version.HTTP_1_1)
			.followRedirects(HttpClient.Redirect.NEVER)
			.connectTimeout(CONNECT_TIMEOUT)
			.executor(executor)
			.build();
	}

	/**
	 * Fetches the keys.
	 * @return completes with at least one key, or exceptionally
	 */
	CompletableFuture<VerificationKeys> fetch() {
		URI uri = (this.configuredUri != null) ? this.configuredUri : this.discoveredUri;
		if (uri != null) {
			return keys(uri);
		}
		return get(discoveryUri(this.issuer)).thenApply(this::discovered).thenCompose(this::keys);
	}

	static URI discoveryUri(String issuer) {
		String base = issuer.endsWith("/") ? issuer.substring(0, issuer.length() - 1) : issuer;
		return URI.create(base + "/.well-known/openid-configuration");
	}

	private URI discovered(String json) {
		URI uri = jwkSetUri(this.issuer, json);
		this.discoveredUri = uri;
		return uri;
	}

	/**
	 * Reads where an issuer publishes its keys. An issuer elsewhere must not make this
	 * server talk to its own loopback addresses without TLS.
	 */
	static URI jwkSetUri(String issuer, String json) {
		try {
			Map<String, Object> configuration = JSONObjectUtils.parse(json);
			if (!issuer.equals(configuration.get("issuer"))) {
				throw new CompletionException(new IOException("the discovery document names another issuer"));
			}
			URI uri = JSONObjectUtils.getURI(configuration, "jwks_uri");
			if (uri == null) {
				throw new CompletionException(new IOException("the discovery document has no jwks_uri"));
			}
			JwtIssuer.requireSecure(uri);
			if ("https".equalsIgnoreCase(URI.create(issuer).getScheme())
					&& !"https".equalsIgnoreCase(uri.getScheme())) {
				throw new CompletionException(new IOException("the discovery document leads away from https"));
			}
			return uri;
		}
		catch (ParseException | IllegalArgumentException ex) {
			throw new CompletionException(new IOException("the discovery document is of no use", ex));
		}
	}

	private CompletableFuture<VerificationKeys> keys(URI uri) {
		return get(uri).thenApply((json) -> {
			try {
				return VerificationKeys.parsePublished(json);
			}
			catch (ParseException ex) {
				throw new CompletionException(new IOException("the JWK set is of no use", ex));
			}
		}).whenComplete((keys, failure) -> {
			if (failure != null) {
				this.discoveredUri = null;
			}
		});
	}

	private CompletableFuture<String> get(URI uri) {
		HttpRequest request = HttpRequest.newBuilder(uri)
			.header("accept", "application/json, application/jwk-set+json")
			.timeout(Duration.ofMillis(TIMEOUT_MILLIS))
			.build();
		CompletableFuture<String> body = new CompletableFuture<>();
		// Looking up the host may block, so not even that happens on the caller's thread
		this.executor.execute(() -> send(request, body));
		return body;
	}

	private void send(HttpRequest request, CompletableFuture<String> body) {
		CompletableFuture<HttpResponse<String>> exchange;
		try {
			exchange = this.client.sendAsync(request, (response) -> new BoundedBody(response.statusCode()));
		}
		catch (RuntimeException ex) {
			body.completeExceptionally(ex);
			return;
		}
		// The timeout of the request ends with the headers; this one bounds the body, too
		body.orTimeout(TIMEOUT_MILLIS, TimeUnit.MILLISECONDS).exceptionally((failure) -> {
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

		private Flow.@Nullable Subscription subscription;

		BoundedBody(int status) {
			this.status = status;
		}

		@Override
		public CompletionStage<String> getBody() {
			return this.body;
		}

		@Override
		public void onSubscribe(Flow.Subscription subscription) {
			this.subscription = subscription;
			if (this.status != 200) {
				fail(new IOException("HTTP status " + this.status));
				return;
			}
			subscription.request(Long.MAX_VALUE);
		}

		@Override
		public void onNext(List<ByteBuffer> buffers) {
			for (ByteBuffer buffer : buffers) {
				if (this.bytes.size() + buffer.remaining() > MAX_BYTES) {
					fail(new IOException("more than " + MAX_BYTES + " bytes"));
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
