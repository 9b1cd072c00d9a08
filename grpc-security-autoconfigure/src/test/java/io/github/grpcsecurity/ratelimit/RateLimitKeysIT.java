package io.github.grpcsecurity.ratelimit;

import java.time.Duration;
import java.util.List;
import java.util.Map;

import io.github.grpcsecurity.server.CallStage;
import io.github.grpcsecurity.server.MethodPattern;
import io.github.grpcsecurity.server.SecuredCall;
import io.github.grpcsecurity.server.SecurityStage;
import io.github.grpcsecurity.server.Verdict;
import io.github.grpcsecurity.server.VerifiedCredential;
import io.github.grpcsecurity.server.VerifiedCredential.Subject;
import io.github.grpcsecurity.testing.CallType;
import io.github.grpcsecurity.testing.EchoService;
import io.github.grpcsecurity.testing.TestServer;
import io.github.grpcsecurity.testing.TestStage;
import io.grpc.Metadata;
import io.grpc.Status.Code;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

import org.springframework.security.authentication.UsernamePasswordAuthenticationToken;

import static io.github.grpcsecurity.ratelimit.TestRules.rule;
import static org.assertj.core.api.Assertions.assertThat;

/** Whose permits a call takes. */
class RateLimitKeysIT {

	private static final Duration HOUR = Duration.ofHours(1);

	/** Believes what the caller says about its credentials. */
	private static final CallStage AUTHENTICATION = TestStage.check(SecurityStage.AUTHENTICATION, (call) -> {
		for (String kind : List.of(VerifiedCredential.JWT, VerifiedCredential.API_KEY,
				VerifiedCredential.CERTIFICATE)) {
			String text = call.headers().get(key(kind));
			if (text != null) {
				String[] parts = text.split("\\|");
				call.authenticated(VerifiedCredential
					.builder(kind, kind.equals(VerifiedCredential.JWT) ? Subject.USER : Subject.APPLICATION,
							UsernamePasswordAuthenticationToken.authenticated(parts[0], null, List.of()))
					.issuer((parts.length > 1) ? parts[1] : null)
					.id(kind.equals(VerifiedCredential.API_KEY) ? parts[0] : null)
					.claims((parts.length > 2) ? Map.of("sub", parts[2]) : Map.of())
					.build());
			}
		}
		return Verdict.proceed();
	});

	private static Metadata.Key<String> key(String name) {
		return Metadata.Key.of(name, Metadata.ASCII_STRING_MARSHALLER);
	}

	private static Metadata headers(String... namesAndValues) {
		Metadata headers = new Metadata();
		for (int i = 0; i < namesAndValues.length; i += 2) {
			headers.put(key(namesAndValues[i]), namesAndValues[i + 1]);
		}
		return headers;
	}

	private static TestServer serve(RateLimitRule... rules) {
		RateLimiter limiter = new InMemoryRateLimiter(1000, System::nanoTime);
		RateLimitObserver nobody = (rule, outcome) -> {
		};
		return TestServer.network(new EchoService(),
				List.of(AUTHENTICATION, new PeerLimitStage(List.of(rules), limiter, nobody),
						new PrincipalLimitStage(List.of(rules), limiter, nobody)));
	}

	private static Code call(TestServer server, CallType type, String... namesAndValues) {
		return type.call(server.channel(), headers(namesAndValues), "a").code();
	}

	@ParameterizedTest
	@EnumSource
	void principalWhenNamesAreSpelledAlikeThenWhoVouchesTellsThemApart(CallType type) {
		try (TestServer server = serve(rule("r", "principal", 1, HOUR))) {
			assertThat(call(server, type, "jwt", "partner|https://idp")).isEqualTo(Code.OK);
			assertThat(call(server, type, "jwt", "partner|https://idp")).isEqualTo(Code.RESOURCE_EXHAUSTED);
			assertThat(call(server, type, "jwt", "partner|https://other")).isEqualTo(Code.OK);
			assertThat(call(server, type, "api-key", "partner")).isEqualTo(Code.OK);
			assertThat(call(server, type, "api-key", "partner")).isEqualTo(Code.RESOURCE_EXHAUSTED);
			assertThat(call(server, type, "certificate", "partner")).isEqualTo(Code.OK);
			assertThat(call(server, type, "certificate", "partner")).isEqualTo(Code.RESOURCE_EXHAUSTED);
			assertThat(call(server, type)).isEqualTo(Code.OK);
			assertThat(call(server, type)).isEqualTo(Code.OK);
		}
	}

	@Test
	void principalWhenPartsAreShiftedThenAnotherKey() {
		try (TestServer server = serve(rule("r", "principal", 1, HOUR))) {
			assertThat(call(server, CallType.UNARY, "jwt", "b:c|a")).isEqualTo(Code.OK);
			assertThat(call(server, CallType.UNARY, "jwt", "c|a:b")).isEqualTo(Code.OK);
		}
	}

	@ParameterizedTest
	@EnumSource
	void issuerWhenPrincipalIsNamedByAnotherClaimThenSubjectOfTheIssuerCounts(CallType type) {
		try (TestServer server = serve(rule("r", "issuer", 1, HOUR))) {
			assertThat(call(server, type, "jwt", "old@bank|https://idp|42")).isEqualTo(Code.OK);
			assertThat(call(server, type, "jwt", "new@bank|https://idp|42")).isEqualTo(Code.RESOURCE_EXHAUSTED);
			assertThat(call(server, type, "jwt", "old@bank|https://idp|43")).isEqualTo(Code.OK);
			assertThat(call(server, type, "jwt", "old@bank|https://other|42")).isEqualTo(Code.OK);
			assertThat(call(server, type, "api-key", "42")).isEqualTo(Code.OK);
			assertThat(call(server, type, "api-key", "42")).isEqualTo(Code.OK);
		}
	}

	@ParameterizedTest
	@EnumSource
	void apiKeyWhenCallerAlsoHasATokenThenTheKeyCounts(CallType type) {
		try (TestServer server = serve(rule("r", "api-key", 1, HOUR))) {
			assertThat(call(server, type, "api-key", "p7", "jwt", "alice|https://idp")).isEqualTo(Code.OK);
			assertThat(call(server, type, "api-key", "p7", "jwt", "bob|https://idp"))
				.isEqualTo(Code.RESOURCE_EXHAUSTED);
			assertThat(call(server, type, "api-key", "p8", "jwt", "alice|https://idp")).isEqualTo(Code.OK);
			assertThat(call(server, type, "jwt", "alice|https://idp")).isEqualTo(Code.OK);
			assertThat(call(server, type, "jwt", "alice|https://idp")).isEqualTo(Code.OK);
		}
	}

	@ParameterizedTest
	@EnumSource
	void headerWhenItIsRepeatedOrEndlessThenThatBuysNothing(CallType type) {
		try (TestServer server = serve(rule("r", "header:tenant", 1, HOUR))) {
			assertThat(call(server, type, "tenant", "a")).isEqualTo(Code.OK);
			assertThat(call(server, type, "tenant", "a")).isEqualTo(Code.RESOURCE_EXHAUSTED);
			assertThat(call(server, type, "tenant", "a", "tenant", "b")).isEqualTo(Code.OK);
			assertThat(call(server, type, "tenant", "c", "tenant", "d")).isEqualTo(Code.RESOURCE_EXHAUSTED);
			assertThat(call(server, type, "tenant", "x".repeat(2000))).isEqualTo(Code.OK);
			assertThat(call(server, type, "tenant", "x".repeat(3000))).isEqualTo(Code.RESOURCE_EXHAUSTED);
		}
	}

	@ParameterizedTest
	@EnumSource
	void ownWhenResolverFindsAKeyThenItCountsAndWithoutOneTheRuleDoesNotApply(CallType type) {
		RateLimitKeyResolver resolver = (call) -> {
			String name = call.caller().name();
			return name.startsWith("free") ? null : name.substring(0, 1);
		};
		RateLimitRule own = new RateLimitRule("own", RateLimitKey.of("firstLetter", resolver),
				List.of(MethodPattern.parse("**")), new Gcra(1, HOUR, 1, 1), false, RateLimitRule.OnFailure.LOCAL,
				Code.RESOURCE_EXHAUSTED);
		try (TestServer server = serve(own)) {
			assertThat(call(server, type, "jwt", "alice|i")).isEqualTo(Code.OK);
			assertThat(call(server, type, "jwt", "adam|i")).isEqualTo(Code.RESOURCE_EXHAUSTED);
			assertThat(call(server, type, "jwt", "bob|i")).isEqualTo(Code.OK);
			assertThat(call(server, type, "jwt", "free|i")).isEqualTo(Code.OK);
			assertThat(call(server, type, "jwt", "free|i")).isEqualTo(Code.OK);
		}
	}

	@Test
	void ownWhenResolverNeedsNoIdentityThenAskedBeforeAuthentication() {
		RateLimitKeyResolver resolver = new RateLimitKeyResolver() {
			@Override
			public @Nullable String resolve(SecuredCall call) {
				return call.anonymous() ? "before" : "after";
			}

			@Override
			public boolean needsIdentity() {
				return false;
			}
		};
		RateLimitRule own = new RateLimitRule("own", RateLimitKey.of("early", resolver),
				List.of(MethodPattern.parse("**")), new Gcra(1, HOUR, 1, 1), false, RateLimitRule.OnFailure.LOCAL,
				Code.RESOURCE_EXHAUSTED);
		try (TestServer server = serve(own)) {
			assertThat(call(server, CallType.UNARY, "jwt", "alice|i")).isEqualTo(Code.OK);
			assertThat(call(server, CallType.UNARY)).isEqualTo(Code.RESOURCE_EXHAUSTED);
		}
	}

	@ParameterizedTest
	@EnumSource
	void ownWhenResolverThrowsThenCallIsRefused(CallType type) {
		RateLimitRule own = new RateLimitRule("own", RateLimitKey.of("broken", (call) -> {
			throw new IllegalStateException("broken");
		}), List.of(MethodPattern.parse("**")), new Gcra(1, HOUR, 1, 1), false, RateLimitRule.OnFailure.LOCAL,
				Code.RESOURCE_EXHAUSTED);
		try (TestServer server = serve(own)) {
			assertThat(call(server, type)).isEqualTo(Code.UNAVAILABLE);
		}
	}

}
