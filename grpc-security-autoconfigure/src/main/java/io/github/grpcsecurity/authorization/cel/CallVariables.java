package io.github.grpcsecurity.authorization.cel;

import java.net.InetSocketAddress;
import java.security.cert.CertificateParsingException;
import java.security.cert.X509Certificate;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HexFormat;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.concurrent.TimeUnit;

import javax.net.ssl.ExtendedSSLSession;
import javax.net.ssl.SNIHostName;
import javax.net.ssl.SNIServerName;
import javax.net.ssl.SSLPeerUnverifiedException;
import javax.net.ssl.SSLSession;

import com.google.protobuf.Message;
import dev.cel.runtime.CelVariableResolver;
import io.github.grpcsecurity.server.MethodPlan;
import io.github.grpcsecurity.server.PeerIdentity;
import io.github.grpcsecurity.server.SecuredCall;
import io.github.grpcsecurity.server.SecuredMethod;
import io.github.grpcsecurity.server.VerifiedCredential;
import io.grpc.Deadline;
import org.jspecify.annotations.Nullable;

import org.springframework.security.core.GrantedAuthority;

/**
 * What a condition sees of one call, found out when it is asked for. What is not there,
 * such as the issuer of an API key, has no value: a condition that needs it does not
 * hold.
 */
final class CallVariables implements CelVariableResolver {

	private static final String SCOPE = "SCOPE_";

	private static final int DNS_NAME = 2;

	private static final int URI_NAME = 6;

	private final SecuredCall call;

	private final @Nullable Message message;

	private final Map<String, String> headers;

	private final WorkLimit limit;

	private @Nullable Map<String, Object> claims;

	CallVariables(SecuredCall call, @Nullable Message message, Map<String, String> headers, WorkLimit limit) {
		this.call = call;
		this.message = message;
		this.headers = headers;
		this.limit = limit;
	}

	@Override
	public Optional<Object> find(String name) {
		Object value = value(name);
		if (value != null) {
			this.limit.read(value);
		}
		return Optional.ofNullable(value);
	}

	private @Nullable Object value(String name) {
		return switch (name) {
			case Variables.MESSAGE -> this.message;
			case "auth.principal" -> this.call.anonymous() ? null : this.call.caller().name();
			case "auth.authorities" -> authorities();
			case Variables.CLAIMS -> claims();
			case "auth.scopes" -> scopes();
			case "auth.issuer" -> issuer();
			case "auth.kind" -> this.call.anonymous() ? "anonymous" : this.call.caller().credentials().get(0).kind();
			case "grpc.service" -> method().serviceName();
			case "grpc.method" -> method().bareName();
			case "grpc.type" -> method().descriptor().getType().name().toLowerCase(Locale.ROOT);
			case "grpc.deadline" -> deadline();
			case Variables.HEADERS -> this.headers;
			case "request.time" -> this.call.startTime();
			case "request.path" -> "/" + method().fullName();
			case "request.host" -> this.call.authority();
			case "source.address" -> (this.call.peerAddress() != null) ? this.call.peer() : null;
			case "source.port" ->
				(this.call.peerAddress() instanceof InetSocketAddress inet) ? Long.valueOf(inet.getPort()) : null;
			default -> name.startsWith("connection.") ? connection(name) : null;
		};
	}

	private SecuredMethod method() {
		MethodPlan plan = Objects.requireNonNull(this.call.plan(), "plan");
		return plan.method();
	}

	private List<String> authorities() {
		Collection<? extends GrantedAuthority> granted = this.call.authentication().getAuthorities();
		List<String> authorities = new ArrayList<>(granted.size());
		for (GrantedAuthority authority : granted) {
			if (authority.getAuthority() != null) {
				authorities.add(authority.getAuthority());
			}
		}
		return authorities;
	}

	private List<String> scopes() {
		List<String> scopes = new ArrayList<>();
		for (String authority : authorities()) {
			if (authority.startsWith(SCOPE)) {
				scopes.add(authority.substring(SCOPE.length()));
			}
		}
		return scopes;
	}

	/** A loop reads them again and again. */
	private Map<String, Object> claims() {
		Map<String, Object> known = this.claims;
		if (known == null) {
			known = findClaims();
			this.claims = known;
		}
		return known;
	}

	/** The claims of the first credential that has some. */
	private Map<String, Object> findClaims() {
		for (VerifiedCredential credential : this.call.caller().credentials()) {
			if (!credential.claims().isEmpty()) {
				return CelClaims.of(credential.claims());
			}
		}
		return Map.of();
	}

	private @Nullable String issuer() {
		for (VerifiedCredential credential : this.call.caller().credentials()) {
			if (credential.issuer() != null) {
				return credential.issuer();
			}
		}
		return null;
	}

	private @Nullable Instant deadline() {
		Deadline deadline = this.call.deadline();
		return (deadline != null) ? this.call.startTime()
			.plus(this.call.elapsed())
			.plusNanos(deadline.timeRemaining(TimeUnit.NANOSECONDS)) : null;
	}

	private @Nullable Object connection(String name) {
		SSLSession session = this.call.sslSession();
		return switch (name) {
			case "connection.mtls" -> this.call.peerIdentity() != null;
			case "connection.tls_version" -> (session != null) ? session.getProtocol() : null;
			case "connection.requested_server_name" -> serverName(session);
			case "connection.subject_peer_certificate" -> name(PeerIdentity.Kind.SUBJECT);
			case "connection.dns_san_peer_certificate" -> name(PeerIdentity.Kind.DNS);
			case "connection.uri_san_peer_certificate" -> name(PeerIdentity.Kind.URI);
			case "connection.sha256_peer_certificate_digest" -> digest();
			default -> null;
		};
	}

	private static @Nullable String serverName(@Nullable SSLSession session) {
		if (!(session instanceof ExtendedSSLSession extended)) {
			return null;
		}
		try {
			for (SNIServerName name : extended.getRequestedServerNames()) {
				if (name instanceof SNIHostName host) {
					return host.getAsciiName();
				}
			}
			return null;
		}
		catch (UnsupportedOperationException ex) {
			// Not all TLS providers remember it
			return null;
		}
	}

	private @Nullable String digest() {
		PeerIdentity identity = this.call.peerIdentity();
		byte[] sha256 = (identity != null) ? identity.certificateSha256() : null;
		return (sha256 != null) ? HexFormat.of().formatHex(sha256) : null;
	}

	/** The first name of a kind that the certificate of the peer has. */
	private @Nullable String name(PeerIdentity.Kind kind) {
		PeerIdentity identity = this.call.peerIdentity();
		if (identity == null || identity.kind() == kind) {
			return (identity != null) ? identity.name() : null;
		}
		// A trusted proxy tells one kind of name only
		X509Certificate certificate = (this.call.forwardedPeer() == null) ? certificate() : null;
		if (certificate == null) {
			return null;
		}
		return switch (kind) {
			case SUBJECT -> certificate.getSubjectX500Principal().getName();
			case DNS -> alternativeName(certificate, DNS_NAME);
			case URI -> alternativeName(certificate, URI_NAME);
			case FINGERPRINT -> null;
		};
	}

	private @Nullable X509Certificate certificate() {
		SSLSession session = this.call.sslSession();
		try {
			return (session != null && session.getPeerCertificates()[0] instanceof X509Certificate leaf) ? leaf : null;
		}
		catch (SSLPeerUnverifiedException ex) {
			return null;
		}
	}

	private static @Nullable String alternativeName(X509Certificate certificate, int type) {
		try {
			Collection<List<?>> names = certificate.getSubjectAlternativeNames();
			if (names != null) {
				for (List<?> name : names) {
					if (Objects.equals(name.get(0), type) && name.get(1) instanceof String text) {
						return text;
					}
				}
			}
			return null;
		}
		catch (CertificateParsingException ex) {
			return null;
		}
	}

}
