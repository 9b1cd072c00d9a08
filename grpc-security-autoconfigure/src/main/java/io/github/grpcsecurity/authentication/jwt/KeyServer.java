package io.github.grpcsecurity.authentication.jwt;

import java.io.IOException;
import java.net.URI;
import java.net.http.HttpRequest;
import java.text.ParseException;
import java.time.Duration;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.Executor;

import com.nimbusds.jose.util.JSONObjectUtils;
import io.github.grpcsecurity.remote.RemoteHttp;
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

	static final Duration TIMEOUT = Duration.ofSeconds(2);

	private final RemoteHttp http;

	private final String issuer;

	private final @Nullable URI configuredUri;

	// What discovery found, until a fetch from there fails
	private volatile @Nullable URI discoveredUri;

	/**
	 * Starts to look after the keys of an issuer.
	 * @param http fetches them; the same for all issuers, because each has threads
	 */
	KeyServer(String issuer, @Nullable URI jwkSetUri, RemoteHttp http) {
		this.issuer = issuer;
		this.configuredUri = jwkSetUri;
		this.http = http;
	}

	/** Opens what fetches the keys of any number of issuers. */
	static RemoteHttp http(Executor executor) {
		return new RemoteHttp(executor, TIMEOUT, MAX_BYTES);
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
			RemoteHttp.requireSecure(uri);
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
		return this.http
			.send(HttpRequest.newBuilder(uri).header("accept", "application/json, application/jwk-set+json"));
	}

}
