package io.github.grpcsecurity.authorization.policy;

import java.util.Base64;
import java.util.List;
import java.util.StringJoiner;

import io.grpc.Metadata;
import org.jspecify.annotations.Nullable;

/**
 * What one header must look like.
 *
 * @param name its name, in lower case
 * @param key reads a text header; {@code null} for a binary one
 * @param binaryKey reads a binary header; {@code null} for a text one
 * @param values of which one must match
 */
record HeaderMatcher(String name, Metadata.@Nullable Key<String> key, Metadata.@Nullable Key<byte[]> binaryKey,
		List<StringMatcher> values) {

	static HeaderMatcher of(String name, List<StringMatcher> values) {
		if (name.endsWith(Metadata.BINARY_HEADER_SUFFIX)) {
			return new HeaderMatcher(name, null, Metadata.Key.of(name, Metadata.BINARY_BYTE_MARSHALLER),
					values.stream().map(StringMatcher::withoutPadding).toList());
		}
		return new HeaderMatcher(name, Metadata.Key.of(name, Metadata.ASCII_STRING_MARSHALLER), null, values);
	}

	/**
	 * All values of the header as one, with commas between them; binary ones in base64.
	 * @return {@code null} if the call does not have the header
	 */
	@Nullable String read(Metadata headers) {
		StringJoiner joined = new StringJoiner(",");
		if (this.key != null) {
			Iterable<String> all = headers.getAll(this.key);
			if (all == null) {
				return null;
			}
			all.forEach(joined::add);
		}
		else if (this.binaryKey != null) {
			Iterable<byte[]> all = headers.getAll(this.binaryKey);
			if (all == null) {
				return null;
			}
			all.forEach((value) -> joined.add(Base64.getEncoder().withoutPadding().encodeToString(value)));
		}
		return joined.toString();
	}

	boolean matches(CallFacts facts) {
		String value = facts.header(this);
		if (value == null) {
			return false;
		}
		for (StringMatcher matcher : this.values) {
			if (matcher.matches(value)) {
				return true;
			}
		}
		return false;
	}

}
