package io.github.grpcsecurity.testing;

import java.time.Instant;

import io.github.grpcsecurity.server.SecuredCall;
import io.github.grpcsecurity.server.SecurityStage;
import io.github.grpcsecurity.server.Verdict;
import io.github.grpcsecurity.server.VerifiedCredential;
import io.github.grpcsecurity.server.VerifiedCredential.Subject;
import io.grpc.Metadata;

import org.springframework.security.authentication.TestingAuthenticationToken;

/** Credentials that headers describe, which are believed. */
public final class TestCredentials {

	private TestCredentials() {
	}

	/** A stage that believes {@code kind}, {@code iss}, {@code jti} and so on. */
	public static TestStage stage() {
		return TestStage.check(SecurityStage.AUTHENTICATION, (call) -> {
			String kind = header(call, "kind");
			if (kind != null) {
				call.authenticated(credential(kind, header(call, "iss"), header(call, "jti"), header(call, "sub"),
						header(call, "kid"), instant(header(call, "iat")), instant(header(call, "exp"))));
			}
			return Verdict.proceed();
		});
	}

	public static VerifiedCredential credential(String kind, String issuer, String id, String subject, String keyId,
			Instant issuedAt, Instant expiresAt) {
		TestingAuthenticationToken authentication = new TestingAuthenticationToken(
				(subject != null) ? subject : "somebody", null, "ROLE_USER");
		return VerifiedCredential.builder(kind, Subject.USER, authentication)
			.issuer(issuer)
			.id(id)
			.keyId(keyId)
			.issuedAt(issuedAt)
			.expiresAt(expiresAt)
			.build();
	}

	/** Headers from pairs of name and value. */
	public static Metadata headers(String... pairs) {
		Metadata headers = new Metadata();
		for (int i = 0; i < pairs.length; i += 2) {
			headers.put(key(pairs[i]), pairs[i + 1]);
		}
		return headers;
	}

	private static String header(SecuredCall call, String name) {
		return call.headers().get(key(name));
	}

	private static Metadata.Key<String> key(String name) {
		return Metadata.Key.of(name, Metadata.ASCII_STRING_MARSHALLER);
	}

	private static Instant instant(String text) {
		return (text != null) ? Instant.parse(text) : null;
	}

}
