package io.github.grpcsecurity.authentication.apikey;

import io.grpc.Metadata;

/** Keys and their hashes. */
public final class TestKeys {

	public static final Metadata.Key<String> HEADER = Metadata.Key.of("x-api-key", Metadata.ASCII_STRING_MARSHALLER);

	private TestKeys() {
	}

	/** A key of a client. */
	public static String key(String id) {
		return id + ".c4nary-" + id + "-0123456789abcdef";
	}

	public static String hash(String id) {
		return ApiKeyHash.of(key(id)).text();
	}

	public static ApiKey.Builder apiKey(String id) {
		return ApiKey.builder(id, hash(id));
	}

	public static Metadata headers(String... keys) {
		Metadata headers = new Metadata();
		for (String key : keys) {
			headers.put(HEADER, key);
		}
		return headers;
	}

}
