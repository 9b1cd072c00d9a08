package io.github.grpcsecurity.server;

import io.grpc.DecompressorRegistry;
import io.grpc.Metadata;
import org.jspecify.annotations.Nullable;

/**
 * Takes out headers that gRPC would stumble over before the pipeline can refuse the call.
 * <p>
 * A malformed {@code grpc-timeout} makes the server reset the stream and log a stack
 * trace, and an unknown {@code grpc-encoding} is echoed to the client, both before any
 * interceptor runs. A tracer factory may change the headers before they are parsed.
 */
final class HeaderRepair {

	private static final Metadata.Key<String> TIMEOUT = Metadata.Key.of("grpc-timeout",
			Metadata.ASCII_STRING_MARSHALLER);

	private static final Metadata.Key<String> ENCODING = Metadata.Key.of("grpc-encoding",
			Metadata.ASCII_STRING_MARSHALLER);

	private static final Refusal BAD_TIMEOUT = Refusal.malformed("malformed grpc-timeout");

	private static final Refusal BAD_ENCODING = Refusal.unimplemented("unknown grpc-encoding");

	private static final int MAX_TIMEOUT_DIGITS = 8;

	private HeaderRepair() {
	}

	static @Nullable Refusal repair(Metadata headers, DecompressorRegistry decompressors) {
		if (headers.containsKey(TIMEOUT) && !validTimeout(headers)) {
			headers.discardAll(TIMEOUT);
			return BAD_TIMEOUT;
		}
		String encoding = headers.get(ENCODING);
		if (encoding != null && decompressors.lookupDecompressor(encoding) == null) {
			headers.discardAll(ENCODING);
			return BAD_ENCODING;
		}
		return null;
	}

	private static boolean validTimeout(Metadata headers) {
		Iterable<String> values = headers.getAll(TIMEOUT);
		int count = 0;
		if (values != null) {
			for (String value : values) {
				if (++count > 1 || !validTimeout(value)) {
					return false;
				}
			}
		}
		return count == 1;
	}

	// The gRPC wire protocol: a positive integer of at most 8 digits, then its unit
	private static boolean validTimeout(String value) {
		int digits = value.length() - 1;
		if (digits < 1 || digits > MAX_TIMEOUT_DIGITS || "HMSmun".indexOf(value.charAt(digits)) < 0) {
			return false;
		}
		boolean positive = false;
		for (int i = 0; i < digits; i++) {
			char digit = value.charAt(i);
			if (digit < '0' || digit > '9') {
				return false;
			}
			positive |= digit != '0';
		}
		return positive;
	}

}
