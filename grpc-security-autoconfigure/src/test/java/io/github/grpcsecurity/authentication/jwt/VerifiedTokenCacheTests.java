package io.github.grpcsecurity.authentication.jwt;

import java.net.URI;
import java.time.Duration;
import java.time.Instant;
import java.time.InstantSource;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.ScheduledThreadPoolExecutor;
import java.util.concurrent.atomic.AtomicInteger;

import io.github.grpcsecurity.authentication.AuthenticationStage;
import io.github.grpcsecurity.server.CallDecision;
import io.github.grpcsecurity.server.CallObserver;
import io.github.grpcsecurity.server.GrpcCaller;
import io.github.grpcsecurity.server.GrpcSecurityThreads;
import io.github.grpcsecurity.server.SecuredCall;
import io.github.grpcsecurity.server.VerifiedCredential;
import io.github.grpcsecurity.testing.CallType;
import io.github.grpcsecurity.testing.EchoService;
import io.github.grpcsecurity.testing.TestServer;
import io.grpc.Status.Code;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;

import org.springframework.security.authentication.TestingAuthenticationToken;
import org.springframework.security.core.Authentication;
import org.springframework.security.core.userdetails.User;
import org.springframework.security.oauth2.jwt.Jwt;
import org.springframework.security.oauth2.server.resource.authentication.JwtAuthenticationToken;
import org.springframework.security.provisioning.InMemoryUserDetailsManager;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatIllegalArgumentException;

class VerifiedTokenCacheTests {

	private final GrpcSecurityThreads threads = new GrpcSecurityThreads();

	private final ScheduledThreadPoolExecutor scheduler = new ScheduledThreadPoolExecutor(1);

	private final ConcurrentLinkedQueue<GrpcCaller> callers = new ConcurrentLinkedQueue<>();

	private volatile Instant now = TestTokens.NOW;

	private JwtCredentialAuthenticator authenticator;

	@AfterEach
	void stopThreads() {
		this.threads.close();
		this.scheduler.shutdownNow();
	}

	private JwtCredentialAuthenticator.Builder builder() {
		return JwtCredentialAuthenticator.builder(this.threads)
			.clock((InstantSource) () -> this.now)
			.issuers(List.of(TestTokens.issuerWithKeys()));
	}

	private TestServer serve(JwtCredentialAuthenticator authenticator) {
		this.authenticator = authenticator;
		return TestServer.inProcess(new EchoService(),
				List.of(AuthenticationStage.builder().authenticators(List.of(authenticator)).build()),
				new CallObserver() {
					@Override
					public void decided(SecuredCall call, CallDecision decision) {
						VerifiedTokenCacheTests.this.callers.add(call.caller());
					}
				});
	}

	private static Code call(TestServer server, String token) {
		return CallType.UNARY.call(server.channel(), TestTokens.bearer(token), "x").code();
	}

	private void hits(int hits, int misses) {
		assertThat(this.authenticator.cache().hits()).isEqualTo(hits);
		assertThat(this.authenticator.cache().misses()).isEqualTo(misses);
	}

	@ParameterizedTest
	@EnumSource
	void callWhenTokenIsKnownThenItIsNotVerifiedAgainAndCallerIsTheSame(CallType type) {
		try (TestServer server = serve(builder().build())) {
			String token = TestTokens.token().claim("scope", "read").claim("jti", "7").sign();
			for (int i = 0; i < 3; i++) {
				assertThat(type.call(server.channel(), TestTokens.bearer(token), "x").code()).isEqualTo(Code.OK);
			}

			hits(2, 1);
			GrpcCaller first = this.callers.remove();
			GrpcCaller second = this.callers.remove();
			assertThat(second.authentication()).isNotSameAs(first.authentication()).isEqualTo(first.authentication());
			assertThat(second.authentication().getName()).isEqualTo("alice");
			VerifiedCredential credential = second.credential(VerifiedCredential.JWT);
			assertThat(credential.issuer()).isEqualTo(TestTokens.ISSUER);
			assertThat(credential.id()).isEqualTo("7");
			assertThat(credential.keyId()).isEqualTo("rsa");
			assertThat(credential.issuedAt()).isEqualTo(TestTokens.NOW.minusSeconds(600));
			assertThat(credential.expiresAt()).isEqualTo(TestTokens.NOW.plusSeconds(300));
			assertThat(credential.claims()).containsEntry("scope", "read")
				.isEqualTo(first.credential(VerifiedCredential.JWT).claims());
		}
	}

	@Test
	void callWhenHandlerChangesItsIdentityThenNextCallHasAnother() {
		try (TestServer server = serve(builder().build())) {
			String token = TestTokens.token().sign();
			call(server, token);
			this.callers.remove().authentication().setAuthenticated(false);

			assertThat(call(server, token)).isEqualTo(Code.OK);
			assertThat(this.callers.remove().authentication().isAuthenticated()).isTrue();
		}
	}

	@ParameterizedTest
	@CsvSource({ "59, 1", "60, 0" })
	void callWhenTimeHasPassedThenTokenIsVerifiedAgain(int seconds, int hits) {
		try (TestServer server = serve(builder().build())) {
			String token = TestTokens.token().sign();
			call(server, token);
			this.now = this.now.plusSeconds(seconds);

			assertThat(call(server, token)).isEqualTo(Code.OK);
			hits(hits, 2 - hits);
		}
	}

	@Test
	void callWhenKnownTokenRunsOutThenItIsRefused() {
		try (TestServer server = serve(builder().cache(Duration.ofHours(1), 10).build())) {
			String token = TestTokens.token().claim("nbf", TestTokens.NOW.getEpochSecond()).sign();
			call(server, token);
			this.now = TestTokens.NOW.plusSeconds(329);
			assertThat(call(server, token)).isEqualTo(Code.OK);
			this.now = TestTokens.NOW.plusSeconds(331);
			assertThat(call(server, token)).isEqualTo(Code.UNAUTHENTICATED);
			this.now = TestTokens.NOW.minusSeconds(31);
			assertThat(call(server, token)).isEqualTo(Code.UNAUTHENTICATED);
		}
	}

	@Test
	void callWhenTokenIsBadThenItIsNotKnown() {
		try (TestServer server = serve(builder().build())) {
			for (int i = 0; i < 3; i++) {
				assertThat(call(server, TestTokens.token().claim("aud", "x").sign())).isEqualTo(Code.UNAUTHENTICATED);
			}

			hits(0, 3);
			assertThat(this.authenticator.cache().size()).isZero();
		}
	}

	@Test
	void callWhenMoreTokensAreGoodThanKnownThenThoseInUseStay() {
		try (TestServer server = serve(builder().cache(Duration.ofMinutes(1), 10).build())) {
			String busy = TestTokens.token().claim("jti", "busy").sign();
			call(server, busy);
			for (int i = 0; i < 40; i++) {
				assertThat(call(server, busy)).isEqualTo(Code.OK);
				assertThat(call(server, TestTokens.token().claim("jti", "t" + i).sign())).isEqualTo(Code.OK);
				assertThat(this.authenticator.cache().size()).isLessThanOrEqualTo(10);
			}

			hits(40, 41);
		}
	}

	@Test
	void callWhenCacheIsOffThenEachTokenIsVerified() {
		try (TestServer server = serve(builder().cache(Duration.ZERO, 10).build())) {
			String token = TestTokens.token().sign();

			assertThat(call(server, token)).isEqualTo(Code.OK);
			assertThat(call(server, token)).isEqualTo(Code.OK);
			assertThat(this.authenticator.cache()).isNull();
		}
	}

	@Test
	void evictWhenConditionHoldsThenTokenIsVerifiedAgain() {
		try (TestServer server = serve(builder().build())) {
			String one = TestTokens.token().claim("jti", "1").sign();
			String two = TestTokens.token().claim("jti", "2").sign();
			call(server, one);
			call(server, two);
			this.authenticator
				.evict((issuer, claims) -> issuer.equals(TestTokens.ISSUER) && "1".equals(claims.get("jti")));
			call(server, one);
			call(server, two);

			hits(1, 3);
		}
	}

	@Test
	void goodWhenKeysChangeThenOnlyTokensOfTheSameKeysAreKnown() throws Exception {
		Deque<VerificationKeys> published = new ArrayDeque<>(
				List.of(VerificationKeys.parsePublished(TestTokens.jwkSet()),
						VerificationKeys.parsePublished(TestTokens.jwkSet()),
						VerificationKeys.parsePublished(TestTokens.jwkSet(TestTokens.ec(TestTokens.EC, "ec")))));
		RemoteKeys keys = new RemoteKeys("test", () -> CompletableFuture.completedFuture(published.remove()),
				this.scheduler, (InstantSource) () -> this.now, Duration.ofHours(4));
		keys.start();
		TokenIssuer issuer = new TokenIssuer(
				TestTokens.issuer().jwkSetUri(URI.create("https://idp.example/jwks")).build(), keys, Duration.ZERO,
				(InstantSource) () -> this.now, null);
		VerifiedToken rsa = verified(issuer, keys, TestTokens.token().sign());
		VerifiedToken ec = verified(issuer, keys,
				TestTokens.token().signedBy("ES256", "ec", TestTokens.EC.getPrivate()).sign());
		long time = this.now.toEpochMilli();
		assertThat(rsa.good(time)).isTrue();

		keys.start();
		assertThat(rsa.good(time)).isTrue();
		keys.start();
		assertThat(rsa.good(time)).as("its key was removed").isFalse();
		assertThat(ec.good(time)).isTrue();
		this.now = this.now.plus(Duration.ofHours(4)).plusSeconds(1);
		assertThat(ec.good(time)).as("keys are too old").isFalse();
	}

	private static VerifiedToken verified(TokenIssuer issuer, RemoteKeys keys, String token) throws Exception {
		return new VerifiedToken(issuer, InspectedToken.inspect(token).header(), keys.current(), issuer.verify(token),
				0);
	}

	@Test
	void callWhenApplicationHasAConverterThenItIsAskedEachTime() {
		AtomicInteger asked = new AtomicInteger();
		JwtCredentialAuthenticator converting = builder().converter((Jwt jwt) -> {
			if (asked.incrementAndGet() > 2) {
				throw new org.springframework.security.authentication.LockedException("locked meanwhile");
			}
			return new JwtAuthenticationToken(jwt, List.of(), "asked " + asked);
		}).build();
		try (TestServer server = serve(converting)) {
			String token = TestTokens.token().sign();

			assertThat(call(server, token)).isEqualTo(Code.OK);
			assertThat(call(server, token)).isEqualTo(Code.OK);
			assertThat(this.callers).extracting(GrpcCaller::name).containsExactly("asked 1", "asked 2");
			assertThat(call(server, token)).isEqualTo(Code.UNAUTHENTICATED);
			hits(2, 1);
		}
	}

	@Test
	void callWhenUsersAreAskedThenALockedOneIsRefusedAtOnce() {
		InMemoryUserDetailsManager users = new InMemoryUserDetailsManager(
				User.withUsername("alice").password("").authorities("A").build());
		try (TestServer server = serve(builder().users(users).build())) {
			String token = TestTokens.token().sign();
			assertThat(call(server, token)).isEqualTo(Code.OK);
			assertThat(call(server, token)).isEqualTo(Code.OK);
			users.updateUser(User.withUsername("alice").password("").authorities("A").accountLocked(true).build());

			assertThat(call(server, token)).isEqualTo(Code.UNAUTHENTICATED);
			hits(2, 1);
		}
	}

	@Test
	void callWhenConverterDropsTheTokenThenItsBindingIsCheckedAllTheSame() {
		JwtCredentialAuthenticator converting = builder().converter((Jwt jwt) -> new TestingToken(jwt.getSubject()))
			.build();
		try (TestServer server = serve(converting)) {
			assertThat(call(server, TestTokens.token().sign())).isEqualTo(Code.OK);
			assertThat(call(server, TestTokens.token().claim("cnf", Map.of("x5t#S256", "A".repeat(43))).sign()))
				.isEqualTo(Code.UNAUTHENTICATED);
		}
	}

	private static final class TestingToken
			extends org.springframework.security.authentication.AbstractAuthenticationToken {

		private final transient Authentication delegate;

		TestingToken(String name) {
			super(List.of());
			this.delegate = new TestingAuthenticationToken(name, null);
			setAuthenticated(true);
		}

		@Override
		public Object getCredentials() {
			return "";
		}

		@Override
		public Object getPrincipal() {
			return this.delegate.getPrincipal();
		}

	}

	@Test
	void cacheWhenValuesAreBadThenItFails() {
		assertThatIllegalArgumentException().isThrownBy(() -> builder().cache(Duration.ofSeconds(-1), 1));
		assertThatIllegalArgumentException().isThrownBy(() -> builder().cache(Duration.ofMinutes(61), 1));
		assertThatIllegalArgumentException().isThrownBy(() -> builder().cache(Duration.ofSeconds(1), 0));
		assertThatIllegalArgumentException().isThrownBy(() -> builder().outageTolerance(Duration.ofSeconds(299)));
		assertThatIllegalArgumentException().isThrownBy(() -> builder().outageTolerance(Duration.ofHours(25)));
	}

}
