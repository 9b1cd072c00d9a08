package io.github.grpcsecurity.authorization;

import io.github.grpcsecurity.server.CallStage;
import io.github.grpcsecurity.server.MethodPlan;
import io.github.grpcsecurity.server.SecuredMethod;
import io.github.grpcsecurity.server.SecurityStage;
import io.github.grpcsecurity.server.Verdict;
import io.github.grpcsecurity.server.VerifiedCredential;
import io.grpc.Metadata;

import org.springframework.security.authentication.UsernamePasswordAuthenticationToken;
import org.springframework.security.core.authority.AuthorityUtils;

/**
 * Callers who say in a header who they are, and the stage that believes them.
 */
final class Caller {

	private static final Metadata.Key<String> AUTHORITIES = Metadata.Key.of("x-test-authorities",
			Metadata.ASCII_STRING_MARSHALLER);

	private Caller() {
	}

	static Metadata anonymous() {
		return new Metadata();
	}

	static Metadata with(String... authorities) {
		Metadata headers = new Metadata();
		headers.put(AUTHORITIES, String.join(",", authorities));
		return headers;
	}

	static CallStage authentication() {
		return new CallStage() {
			@Override
			public SecurityStage stage() {
				return SecurityStage.AUTHENTICATION;
			}

			@Override
			public void plan(SecuredMethod method, MethodPlan.Builder plan) {
				plan.check("test header", (call) -> {
					String authorities = call.headers().get(AUTHORITIES);
					if (authorities != null) {
						call.authenticated(
								VerifiedCredential.of("test", UsernamePasswordAuthenticationToken.authenticated("alice",
										null, AuthorityUtils.commaSeparatedStringToAuthorityList(authorities))));
					}
					return Verdict.proceed();
				});
			}
		};
	}

}
