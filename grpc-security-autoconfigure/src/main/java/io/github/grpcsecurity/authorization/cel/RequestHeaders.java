package io.github.grpcsecurity.authorization.cel;

import java.util.AbstractMap;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;

import io.grpc.Metadata;
import org.jspecify.annotations.Nullable;

/**
 * The headers of a call by name. Several values of one header are joined by commas, as
 * Envoy does it. Binary headers are not there.
 */
final class RequestHeaders extends AbstractMap<String, String> {

	private final Metadata headers;

	RequestHeaders(Metadata headers) {
		this.headers = headers;
	}

	@Override
	public boolean containsKey(@Nullable Object key) {
		return get(key) != null;
	}

	@Override
	public @Nullable String get(@Nullable Object key) {
		if (!(key instanceof String name) || name.endsWith(Metadata.BINARY_HEADER_SUFFIX)) {
			return null;
		}
		try {
			Iterable<String> values = this.headers.getAll(Metadata.Key.of(name, Metadata.ASCII_STRING_MARSHALLER));
			return (values != null) ? String.join(",", values) : null;
		}
		catch (IllegalArgumentException ex) {
			// No header can have this name
			return null;
		}
	}

	@Override
	public Set<Entry<String, String>> entrySet() {
		Map<String, String> all = new LinkedHashMap<>();
		for (String name : this.headers.keys()) {
			String value = get(name);
			if (value != null) {
				all.put(name, value);
			}
		}
		return all.entrySet();
	}

	/**
	 * What the client sent, for conditions that are asked after the handler has got hold
	 * of the headers.
	 *
	 * @param headers a copy
	 */
	record Snapshot(Map<String, String> headers) {

		static Snapshot of(Metadata headers) {
			// As in the headers themselves, however a condition writes a name
			Map<String, String> copy = new TreeMap<>(String.CASE_INSENSITIVE_ORDER);
			copy.putAll(new RequestHeaders(headers));
			return new Snapshot(Collections.unmodifiableMap(copy));
		}

	}

}
