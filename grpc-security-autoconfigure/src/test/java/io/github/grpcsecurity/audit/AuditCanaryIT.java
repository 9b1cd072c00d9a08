package io.github.grpcsecurity.audit;

import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.time.InstantSource;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Set;
import java.util.UUID;
import java.util.concurrent.ConcurrentHashMap;

import io.github.grpcsecurity.server.CallStage;
import io.github.grpcsecurity.server.MethodPlan;
import io.github.grpcsecurity.server.SecuredMethod;
import io.github.grpcsecurity.server.SecurityStage;
import io.github.grpcsecurity.server.Verdict;
import io.github.grpcsecurity.server.VerifiedCredential;
import io.github.grpcsecurity.server.VerifiedCredential.Subject;
import io.github.grpcsecurity.testing.CallType;
import io.github.grpcsecurity.testing.EchoRequest;
import io.github.grpcsecurity.testing.EchoService;
import io.github.grpcsecurity.testing.TestServer;
import io.grpc.Metadata;
import io.grpc.Status;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

import org.springframework.boot.actuate.audit.listener.AuditApplicationEvent;
import org.springframework.boot.test.system.CapturedOutput;
import org.springframework.boot.test.system.OutputCaptureExtension;
import org.springframework.security.authentication.UsernamePasswordAuthenticationToken;
import org.springframework.security.core.authority.AuthorityUtils;
import org.springframework.security.core.userdetails.User;
import org.springframework.security.oauth2.jwt.Jwt;
import org.springframework.security.oauth2.server.resource.authentication.BearerTokenAuthenticationToken;
import org.springframework.security.oauth2.server.resource.authentication.JwtAuthenticationToken;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

/** Secrets are planted everywhere in a call; no sink may show one of them. */
@Timeout(60)
@ExtendWith(OutputCaptureExtension.class)
class AuditCanaryIT {

	private final Set<String> secrets = ConcurrentHashMap.newKeySet();

	private final List<String> written = Collections.synchronizedList(new ArrayList<>());

	@ParameterizedTest
	@EnumSource
	void callThenNoSinkShowsASecret(CallType type, CapturedOutput output) {
		ApplicationEventAuditSink events = new ApplicationEventAuditSink((event) -> {
			AuditApplicationEvent auditEvent = (AuditApplicationEvent) event;
			this.written.add(auditEvent + " " + auditEvent.getAuditEvent());
		});
		AuditLog log = new AuditLog(new AuditRuleStage(List.of()), List.of(new LoggerAuditSink(), events, (record) -> {
			this.written.add(record.toString());
			this.written.add(record.fields().toString());
			this.written.add(String.valueOf(record.principal()));
		}), 1000, Duration.ofSeconds(10), InstantSource.system());
		EchoService service = new EchoService();
		log.start();
		try (TestServer server = TestServer.network(service, List.of(new SecretIdentityStage()), log)) {
			for (int i = 0; i < 20; i++) {
				Status status = type
					.call(server.channel(), headers(), List.of(EchoRequest.newBuilder().setText(secret()).build()))
					.status();
				assertThat(status.getCode()).isEqualTo(Status.Code.OK);
			}
			service.probe = (callback) -> {
				throw Status.NOT_FOUND.withDescription(secret()).asRuntimeException();
			};
			type.call(server.channel(), headers(), secret());
			await().until(() -> this.written.size() == 21 * 2 * 4);
		}
		log.close();

		assertThat(this.secrets).hasSizeGreaterThan(200);
		String everything = String.join("\n", this.written) + output;
		assertThat(everything).contains("\"auth.principal\":\"alice\"", "\"auth.issuer\":\"https://idp.example\"",
				"\"rpc.grpc.status\":\"NOT_FOUND\"", "auth.kind=jwt");
		assertThat(output.getOut().lines().filter((line) -> line.contains("grpc.security.audit"))).hasSize(42);
		assertThat(this.secrets).noneMatch(everything::contains);
	}

	private String secret() {
		String secret = "s3cr3t" + UUID.randomUUID().toString().replace("-", "");
		this.secrets.add(secret);
		return secret;
	}

	private Metadata headers() {
		Metadata headers = new Metadata();
		for (String name : List.of("authorization", "x-api-key", "cookie", "x-custom", "traceparent", "user-agent-x")) {
			headers.put(Metadata.Key.of(name, Metadata.ASCII_STRING_MARSHALLER), secret());
		}
		headers.put(Metadata.Key.of("x-custom-bin", Metadata.BINARY_BYTE_MARSHALLER),
				secret().getBytes(StandardCharsets.UTF_8));
		return headers;
	}

	/** Gives each call another kind of identity, with secrets wherever there is room. */
	private final class SecretIdentityStage implements CallStage {

		private int calls;

		@Override
		public SecurityStage stage() {
			return SecurityStage.AUTHENTICATION;
		}

		@Override
		public void plan(SecuredMethod method, MethodPlan.Builder plan) {
			plan.check("secretive", (call) -> {
				call.authenticated(identity());
				return Verdict.proceed();
			});
		}

		private synchronized VerifiedCredential identity() {
			return switch (this.calls++ % 3) {
				case 0 -> {
					Jwt jwt = Jwt.withTokenValue(secret())
						.header("alg", secret())
						.subject("alice")
						.issuer("https://idp.example")
						.claim("email", secret())
						.claim("nonce", List.of(secret()))
						.jti(secret())
						.build();
					JwtAuthenticationToken token = new JwtAuthenticationToken(jwt,
							AuthorityUtils.createAuthorityList(secret()));
					token.setDetails(new BearerTokenAuthenticationToken(jwt.getTokenValue()));
					yield VerifiedCredential.builder(VerifiedCredential.JWT, Subject.USER, token)
						.issuer("https://idp.example")
						.claims(jwt.getClaims())
						.build();
				}
				case 1 -> VerifiedCredential.of("test",
						new UsernamePasswordAuthenticationToken(
								User.withUsername("bob").password(secret()).authorities(secret()).build(), secret(),
								AuthorityUtils.createAuthorityList(secret())));
				default -> VerifiedCredential.of("test", new BearerTokenAuthenticationToken(secret()));
			};
		}

	}

}
