package io.github.grpcsecurity.testing;

import io.github.grpcsecurity.server.CallCheck;
import io.github.grpcsecurity.server.CallStage;
import io.github.grpcsecurity.server.MessageCheck;
import io.github.grpcsecurity.server.MethodPlan;
import io.github.grpcsecurity.server.SecuredMethod;
import io.github.grpcsecurity.server.SecurityStage;
import io.github.grpcsecurity.server.Verdict;
import io.github.grpcsecurity.server.VerifiedCredential;
import io.grpc.Metadata;

import org.springframework.security.authentication.TestingAuthenticationToken;

/** Stages made of a lambda. */
public record TestStage(SecurityStage stage, CallCheck callCheck, MessageCheck messageCheck) implements CallStage {

	/** Names the caller, who is believed. */
	public static final Metadata.Key<String> USER = Metadata.Key.of("test-user", Metadata.ASCII_STRING_MARSHALLER);

	public static TestStage check(SecurityStage stage, CallCheck check) {
		return new TestStage(stage, check, null);
	}

	public static TestStage messages(SecurityStage stage, MessageCheck check) {
		return new TestStage(stage, null, check);
	}

	/** Authenticates whoever a header names, with the roles that follow its colon. */
	public static TestStage authentication() {
		return check(SecurityStage.AUTHENTICATION, (call) -> {
			String user = call.headers().get(USER);
			if (user != null) {
				int colon = user.indexOf(':');
				String[] roles = (colon < 0) ? new String[0] : user.substring(colon + 1).split(",");
				call.authenticated(VerifiedCredential.of("test",
						new TestingAuthenticationToken((colon < 0) ? user : user.substring(0, colon), null, roles)));
			}
			return Verdict.proceed();
		});
	}

	/** Headers of a caller. */
	public static Metadata user(String user) {
		Metadata headers = new Metadata();
		headers.put(USER, user);
		return headers;
	}

	@Override
	public void plan(SecuredMethod method, MethodPlan.Builder plan) {
		if (this.callCheck != null) {
			plan.check("test", this.callCheck);
		}
		if (this.messageCheck != null) {
			plan.checkMessages("test", this.messageCheck);
		}
	}

}
