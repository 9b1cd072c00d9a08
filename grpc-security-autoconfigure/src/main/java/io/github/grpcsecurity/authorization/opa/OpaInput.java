package io.github.grpcsecurity.authorization.opa;

import java.io.IOException;
import java.io.StringWriter;
import java.io.UncheckedIOException;
import java.net.InetSocketAddress;
import java.net.SocketAddress;
import java.net.URLEncoder;
import java.nio.charset.StandardCharsets;
import java.security.cert.Certificate;
import java.security.cert.CertificateEncodingException;
import java.time.Instant;
import java.util.Base64;
import java.util.Collection;
import java.util.Date;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;

import javax.net.ssl.SSLPeerUnverifiedException;
import javax.net.ssl.SSLSession;

import com.google.gson.stream.JsonWriter;
import io.github.grpcsecurity.server.GrpcCaller;
import io.github.grpcsecurity.server.PeerIdentity;
import io.github.grpcsecurity.server.SecuredCall;
import io.github.grpcsecurity.server.VerifiedCredential;
import io.grpc.Grpc;
import io.grpc.Metadata;
import io.grpc.SecurityLevel;
import org.jspecify.annotations.Nullable;

import org.springframework.security.core.GrantedAuthority;

/**
 * Writes what OPA is asked: the document that opa-envoy-plugin makes of Envoy's
 * {@code CheckRequest} (v3), with the verified caller where Envoy's filters put theirs.
 *
 * @param hiddenHeaders names, in lower case, of headers that are left out
 * @param withCertificate whether the certificate of the peer is part of it
 * @param repeatable whether to leave out what differs between calls that are otherwise
 * the same, so that an answer can be remembered
 */
record OpaInput(Set<String> hiddenHeaders, boolean withCertificate, boolean repeatable) {

	/** Where a policy finds the verified caller, below {@code filterMetadata}. */
	static final String METADATA_NAMESPACE = "grpc-security";

	/** No message, or none that the policy gets to see. */
	static final String NO_BODY = "null";

	private static final int MAX_CLAIM_DEPTH = 32;

	/** Differ from call to call, and say nothing about who may do what. */
	private static final Set<String> UNREPEATABLE = Set.of("grpc-timeout", "traceparent", "tracestate", "b3",
			"grpc-trace-bin", "x-request-id", "x-correlation-id", "x-b3-traceid", "x-b3-spanid", "x-b3-parentspanid",
			"x-cloud-trace-context", "baggage");

	/**
	 * Writes the question about one call.
	 * @param call the call
	 * @param body the message as JSON, or {@link #NO_BODY}
	 * @return what is posted to the Data API
	 */
	byte[] write(SecuredCall call, String body) {
		StringWriter text = new StringWriter(1024 + body.length());
		try (JsonWriter json = new JsonWriter(text)) {
			json.beginObject().name("input").beginObject();
			PeerIdentity peer = call.peerIdentity();
			attributes(json, call, peer);
			int slash = call.fullMethodName().indexOf('/');
			json.name("parsed_path").beginArray();
			json.value(call.fullMethodName().substring(0, slash)).value(call.fullMethodName().substring(slash + 1));
			json.endArray();
			json.name("parsed_query").beginObject().endObject();
			json.name("parsed_body").jsonValue(body);
			json.name("truncated_body").value(false);
			if (peer != null) {
				json.name("source_principal").value(peer.name());
			}
			json.name("version").beginObject();
			json.name("ext_authz").value("v3").name("encoding").value("protojson").endObject();
			json.endObject().endObject();
		}
		catch (IOException ex) {
			throw new UncheckedIOException(ex);
		}
		return text.toString().getBytes(StandardCharsets.UTF_8);
	}

	private void attributes(JsonWriter json, SecuredCall call, @Nullable PeerIdentity peer) throws IOException {
		json.name("attributes").beginObject();
		json.name("source").beginObject();
		address(json, call.peerAddress(), !this.repeatable);
		if (peer != null) {
			json.name("principal").value(peer.name());
		}
		String certificate = this.withCertificate ? certificate(call) : null;
		if (certificate != null) {
			json.name("certificate").value(certificate);
		}
		json.endObject();
		json.name("destination").beginObject();
		address(json, call.attributes().get(Grpc.TRANSPORT_ATTR_LOCAL_ADDR), true);
		json.endObject();
		request(json, call);
		json.name("contextExtensions").beginObject().endObject();
		json.name("metadataContext").beginObject().name("filterMetadata").beginObject();
		json.name(METADATA_NAMESPACE);
		caller(json, call.caller());
		json.endObject().endObject();
		json.endObject();
	}

	private static void address(JsonWriter json, @Nullable SocketAddress address, boolean withPort) throws IOException {
		if (address == null) {
			return;
		}
		json.name("address").beginObject();
		if (address instanceof InetSocketAddress inet) {
			json.name("socketAddress").beginObject();
			json.name("address")
				.value((inet.getAddress() != null) ? inet.getAddress().getHostAddress() : inet.getHostString());
			if (withPort) {
				json.name("portValue").value(inet.getPort());
			}
			json.endObject();
		}
		else {
			json.name("pipe").beginObject().name("path").value(address.toString()).endObject();
		}
		json.endObject();
	}

	/** As Envoy writes it: PEM in URL encoding. */
	private static @Nullable String certificate(SecuredCall call) {
		SSLSession session = call.sslSession();
		if (session == null || call.forwardedPeer() != null) {
			return null;
		}
		try {
			Certificate[] chain = session.getPeerCertificates();
			String pem = "-----BEGIN CERTIFICATE-----\n"
					+ Base64.getMimeEncoder(64, new byte[] { '\n' }).encodeToString(chain[0].getEncoded())
					+ "\n-----END CERTIFICATE-----\n";
			return URLEncoder.encode(pem, StandardCharsets.US_ASCII).replace("+", "%20");
		}
		catch (SSLPeerUnverifiedException ex) {
			return null;
		}
		catch (CertificateEncodingException ex) {
			throw new IllegalStateException("Cannot encode a certificate", ex);
		}
	}

	private void request(JsonWriter json, SecuredCall call) throws IOException {
		String path = "/" + call.fullMethodName();
		String authority = (call.authority() != null) ? call.authority() : "";
		String scheme = (call.securityLevel() == SecurityLevel.PRIVACY_AND_INTEGRITY) ? "https" : "http";
		json.name("request").beginObject();
		if (!this.repeatable) {
			Instant time = call.startTime();
			json.name("time").beginObject();
			json.name("seconds").value(time.getEpochSecond()).name("nanos").value(time.getNano()).endObject();
		}
		json.name("http").beginObject();
		if (!this.repeatable) {
			json.name("id").value(call.id());
		}
		json.name("method").value("POST");
		json.name("headers").beginObject();
		json.name(":authority").value(authority);
		json.name(":method").value("POST");
		json.name(":path").value(path);
		json.name(":scheme").value(scheme);
		headers(json, call.headers());
		json.endObject();
		json.name("path").value(path);
		json.name("host").value(authority);
		json.name("scheme").value(scheme);
		json.name("protocol").value("HTTP/2");
		// As Envoy has it for requests that do not say how long they are
		json.name("size").value(-1);
		json.endObject().endObject();
	}

	private void headers(JsonWriter json, Metadata headers) throws IOException {
		// Sorted, so that the order in which they were sent makes no difference
		Set<String> names = new TreeSet<>(headers.keys());
		if (!names.contains("content-type")) {
			json.name("content-type").value("application/grpc");
		}
		for (String name : names) {
			if (name.startsWith(":") || this.hiddenHeaders.contains(name)
					|| (this.repeatable && UNREPEATABLE.contains(name))) {
				continue;
			}
			String value = value(headers, name);
			if (value != null) {
				json.name(name).value(value);
			}
		}
	}

	private static @Nullable String value(Metadata headers, String name) {
		try {
			StringBuilder values = new StringBuilder();
			if (name.endsWith(Metadata.BINARY_HEADER_SUFFIX)) {
				Iterable<byte[]> all = headers.getAll(Metadata.Key.of(name, Metadata.BINARY_BYTE_MARSHALLER));
				for (byte[] value : (all != null) ? all : List.<byte[]>of()) {
					values.append(',').append(Base64.getEncoder().withoutPadding().encodeToString(value));
				}
			}
			else {
				Iterable<String> all = headers.getAll(Metadata.Key.of(name, Metadata.ASCII_STRING_MARSHALLER));
				for (String value : (all != null) ? all : List.<String>of()) {
					values.append(',').append(value);
				}
			}
			return values.isEmpty() ? null : values.substring(1);
		}
		catch (IllegalArgumentException ex) {
			// Not a name of gRPC, so that no handler can read it either
			return null;
		}
	}

	private static void caller(JsonWriter json, GrpcCaller caller) throws IOException {
		json.beginObject();
		json.name("authenticated").value(!caller.anonymous());
		json.name("principal").value(caller.name());
		json.name("kinds").beginArray();
		for (VerifiedCredential credential : caller.credentials()) {
			json.value(credential.kind());
		}
		json.endArray();
		json.name("authorities").beginArray();
		for (GrantedAuthority authority : caller.authentication().getAuthorities()) {
			String name = authority.getAuthority();
			if (name != null) {
				json.value(name);
			}
		}
		json.endArray();
		VerifiedCredential token = token(caller);
		if (token != null) {
			if (token.issuer() != null) {
				json.name("issuer").value(token.issuer());
			}
			json.name("claims");
			value(json, token.claims(), 0);
		}
		json.endObject();
	}

	private static @Nullable VerifiedCredential token(GrpcCaller caller) {
		for (VerifiedCredential credential : caller.credentials()) {
			if (credential.issuer() != null || !credential.claims().isEmpty()) {
				return credential;
			}
		}
		return null;
	}

	/** Writes a claim the way the token has it. */
	private static void value(JsonWriter json, @Nullable Object value, int depth) throws IOException {
		if (value instanceof Map<?, ?> map && depth < MAX_CLAIM_DEPTH) {
			json.beginObject();
			for (Map.Entry<?, ?> entry : map.entrySet()) {
				json.name(String.valueOf(entry.getKey()));
				value(json, entry.getValue(), depth + 1);
			}
			json.endObject();
		}
		else if (value instanceof Collection<?> collection && depth < MAX_CLAIM_DEPTH) {
			json.beginArray();
			for (Object element : collection) {
				value(json, element, depth + 1);
			}
			json.endArray();
		}
		else if (value instanceof Instant instant) {
			// RFC 7519 2: a NumericDate
			json.value(instant.getEpochSecond());
		}
		else if (value instanceof Date date) {
			json.value(date.toInstant().getEpochSecond());
		}
		else if (value instanceof Boolean bool) {
			json.value(bool);
		}
		else if (value instanceof Number number && Double.isFinite(number.doubleValue())) {
			json.value(number);
		}
		else {
			json.value((value != null) ? value.toString() : null);
		}
	}

	/** Names of headers as they are compared. */
	static String lowerCase(String name) {
		return name.toLowerCase(Locale.ROOT);
	}

}
