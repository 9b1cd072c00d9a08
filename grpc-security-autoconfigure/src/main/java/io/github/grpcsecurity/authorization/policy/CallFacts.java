package io.github.grpcsecurity.authorization.policy;

import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

import io.github.grpcsecurity.server.PeerIdentity;
import io.github.grpcsecurity.server.SecuredCall;
import io.grpc.Metadata;
import org.jspecify.annotations.Nullable;

/** What policies look at in a call. For one thread at a time. */
final class CallFacts {

	private static final List<String> NO_CERTIFICATE = List.of("");

	private final String fullMethodName;

	private final List<String> principals;

	private final Metadata headers;

	// However many rules ask for a header, it is put together once
	private @Nullable Map<String, Optional<String>> values;

	CallFacts(String fullMethodName, List<String> principals, Metadata headers) {
		this.fullMethodName = fullMethodName;
		this.principals = principals;
		this.headers = headers;
	}

	static CallFacts of(SecuredCall call) {
		return new CallFacts(call.fullMethodName(), principals(call), call.headers());
	}

	/**
	 * The names of the certificate; the empty name on TLS without one; none at all
	 * without TLS, so that nothing matches.
	 */
	private static List<String> principals(SecuredCall call) {
		PeerIdentity identity = call.peerIdentity();
		if (identity != null) {
			return identity.names();
		}
		// A call that is never made would have come over TLS
		return (call.sslSession() != null || call.hypothetical()) ? NO_CERTIFICATE : List.of();
	}

	/** The same facts for later, when the headers may have been changed by somebody. */
	CallFacts copy() {
		Metadata copy = new Metadata();
		copy.merge(this.headers);
		return new CallFacts(this.fullMethodName, this.principals, copy);
	}

	/** Name of the method, without a slash in front. */
	String fullMethodName() {
		return this.fullMethodName;
	}

	List<String> principals() {
		return this.principals;
	}

	/** The name to call the peer by in audit events. */
	String principal() {
		return this.principals.isEmpty() ? "" : this.principals.get(0);
	}

	@Nullable String header(HeaderMatcher header) {
		Map<String, Optional<String>> known = this.values;
		if (known == null) {
			known = new HashMap<>(4);
			this.values = known;
		}
		Optional<String> value = known.get(header.name());
		if (value == null) {
			value = Optional.ofNullable(header.read(this.headers));
			known.put(header.name(), value);
		}
		return value.orElse(null);
	}

}
