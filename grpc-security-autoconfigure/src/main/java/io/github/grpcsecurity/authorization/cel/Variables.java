package io.github.grpcsecurity.authorization.cel;

import java.util.LinkedHashMap;
import java.util.Map;

import dev.cel.common.types.CelType;
import dev.cel.common.types.ListType;
import dev.cel.common.types.MapType;
import dev.cel.common.types.SimpleType;

/**
 * The variables that a condition may use, with their types. The names of {@code request},
 * {@code source} and {@code connection} are those of Envoy's attributes.
 */
final class Variables {

	static final String MESSAGE = "message";

	static final String HEADERS = "request.headers";

	static final String CLAIMS = "auth.claims";

	/** What the names of all variables about the caller start with. */
	static final String IDENTITY = "auth.";

	private static final Map<String, CelType> TYPES = types();

	private Variables() {
	}

	private static Map<String, CelType> types() {
		CelType strings = ListType.create(SimpleType.STRING);
		Map<String, CelType> types = new LinkedHashMap<>();
		types.put("auth.principal", SimpleType.STRING);
		types.put("auth.authorities", strings);
		types.put(CLAIMS, MapType.create(SimpleType.STRING, SimpleType.DYN));
		types.put("auth.scopes", strings);
		types.put("auth.issuer", SimpleType.STRING);
		types.put("auth.kind", SimpleType.STRING);
		types.put("grpc.service", SimpleType.STRING);
		types.put("grpc.method", SimpleType.STRING);
		types.put("grpc.type", SimpleType.STRING);
		types.put("grpc.deadline", SimpleType.TIMESTAMP);
		types.put(HEADERS, MapType.create(SimpleType.STRING, SimpleType.STRING));
		types.put("request.time", SimpleType.TIMESTAMP);
		types.put("request.path", SimpleType.STRING);
		types.put("request.host", SimpleType.STRING);
		types.put("source.address", SimpleType.STRING);
		types.put("source.port", SimpleType.INT);
		types.put("connection.mtls", SimpleType.BOOL);
		types.put("connection.tls_version", SimpleType.STRING);
		types.put("connection.requested_server_name", SimpleType.STRING);
		types.put("connection.subject_peer_certificate", SimpleType.STRING);
		types.put("connection.dns_san_peer_certificate", SimpleType.STRING);
		types.put("connection.uri_san_peer_certificate", SimpleType.STRING);
		types.put("connection.sha256_peer_certificate_digest", SimpleType.STRING);
		return types;
	}

	/** All but the message, whose type depends on the method. */
	static Map<String, CelType> declared() {
		return TYPES;
	}

}
