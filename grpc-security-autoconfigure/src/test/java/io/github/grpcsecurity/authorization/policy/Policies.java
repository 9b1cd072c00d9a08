package io.github.grpcsecurity.authorization.policy;

import java.nio.charset.StandardCharsets;
import java.util.List;

import io.grpc.Metadata;

/** Policies and calls for tests, in few words. Single quotes stand for double ones. */
final class Policies {

	/** TLS with a client certificate. */
	static final List<String> CLIENT = List.of("spiffe://foo.abc");

	/** TLS without a client certificate. */
	static final List<String> TLS = List.of("");

	static final List<String> PLAINTEXT = List.of();

	private Policies() {
	}

	static AuthorizationPolicy parse(String json) {
		return AuthorizationPolicy.parse(json.replace('\'', '"').getBytes(StandardCharsets.UTF_8));
	}

	/** A policy called authz with one allow rule called allow. */
	static AuthorizationPolicy allow(String rule) {
		return parse("{'name': 'authz', 'allow_rules': [{'name': 'allow', " + rule + "}]}");
	}

	static String path(String path) {
		return "'request': {'paths': ['" + path + "']}";
	}

	static String allowPath(String name, String path) {
		return ("{'name': '" + name + "', 'allow_rules': [{'name': 'allow', " + path(path) + "}]}").replace('\'', '"');
	}

	static CallFacts call(String method, List<String> principals, String... headers) {
		Metadata metadata = new Metadata();
		for (int i = 0; i < headers.length; i += 2) {
			metadata.put(Metadata.Key.of(headers[i], Metadata.ASCII_STRING_MARSHALLER), headers[i + 1]);
		}
		return new CallFacts(method, principals, metadata);
	}

}
