package io.github.grpcsecurity.authentication;

import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.atomic.AtomicInteger;

import io.github.grpcsecurity.ratelimit.Gcra;
import io.github.grpcsecurity.ratelimit.PeerPermits;
import io.github.grpcsecurity.ratelimit.TestClock;
import io.github.grpcsecurity.server.ForwardedPeer;
import io.github.grpcsecurity.server.Refusal;
import io.github.grpcsecurity.server.SecuredCall;
import io.github.grpcsecurity.server.SecurityStage;
import io.github.grpcsecurity.server.Verdict;
import io.github.grpcsecurity.server.VerifiedCredential;
import io.github.grpcsecurity.testing.CallType;
import io.github.grpcsecurity.testing.EchoService;
import io.github.grpcsecurity.testing.RawCall;
import io.github.grpcsecurity.testing.TestServer;
import io.github.grpcsecurity.testing.TestStage;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.Status.Code;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;

import org.springframework.security.authentication.UsernamePasswordAuthenticationToken;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

class AuthenticationFailureLimitTests {

	private static final Metadata.Key<String> KEY = Metadata.Key.of("x-key", Metadata.ASCII_STRING_MARSHALLER);

	private static final Metadata.Key<String> PEER = Metadata.Key.of("x-peer", Metadata.ASCII_STRING_MARSHALLER);

	private final TestClock clock = new TestClock();

	private final AtomicInteger looked = new AtomicInteger();

	private final List<Slow> slow = new CopyOnWriteArrayList<>();

	private TestServer serve(int limit, int maxPeers) {
		PeerPermits permits = new PeerPermits("authentication-failures",
				new Gcra(limit, Duration.ofMinutes(1), limit, 1), maxPeers, this.clock);
		AuthenticationFailureLimit failures = new AuthenticationFailureLimit(new FailureCounter() {
			@Override
			public @Nullable Duration retryAfter(SecuredCall call) {
				return permits.retryAfter(call);
			}

			@Override
			public void failed(SecuredCall call) {
				permits.take(call);
			}
		});
		// Stands for a trusted proxy that tells the address of its client
		TestStage proxy = TestStage.check(SecurityStage.ADMISSION, (call) -> {
			String peer = call.headers().get(PEER);
			if (peer != null) {
				call.forwarded(new ForwardedPeer(address(peer), null));
			}
			return Verdict.proceed();
		});
		return TestServer.inProcess(new EchoService(),
				List.of(proxy,
						AuthenticationStage.builder()
							.authenticators(List.of(new KeyAuthenticator()))
							.gates(List.of(failures))
							.observers(List.of(failures))
							.build()));
	}

	private static InetSocketAddress address(String text) {
		try {
			return new InetSocketAddress(InetAddress.getByName(text), 0);
		}
		catch (java.net.UnknownHostException ex) {
			throw new IllegalStateException(ex);
		}
	}

	private static Code call(TestServer server, @Nullable String peer, @Nullable String key) {
		Metadata headers = new Metadata();
		if (peer != null) {
			headers.put(PEER, peer);
		}
		if (key != null) {
			headers.put(KEY, key);
		}
		return CallType.UNARY.call(server.channel(), headers, "x").code();
	}

	@Test
	void checkWhenPeerFailedTooOftenThenItsCredentialsAreNotLookedAtForAWhile() {
		try (TestServer server = serve(3, 100)) {
			for (int i = 0; i < 3; i++) {
				assertThat(call(server, "192.0.2.1", "down")).isEqualTo(Code.UNAVAILABLE);
				assertThat(call(server, "192.0.2.1", "bad")).isEqualTo(Code.UNAUTHENTICATED);
				assertThat(call(server, "192.0.2.1", null)).isEqualTo(Code.OK);
			}
			this.looked.set(0);
			for (int i = 0; i < 100; i++) {
				assertThat(call(server, "192.0.2.1", "good")).isEqualTo(Code.RESOURCE_EXHAUSTED);
			}
			assertThat(this.looked).hasValue(0);
			assertThat(call(server, "192.0.2.1", null)).isEqualTo(Code.OK);
			assertThat(call(server, "192.0.2.2", "good")).isEqualTo(Code.OK);
			// What was refused has not made it any longer
			this.clock.advance(Duration.ofSeconds(20));
			assertThat(call(server, "192.0.2.1", "good")).isEqualTo(Code.OK);
			assertThat(call(server, "192.0.2.1", "bad")).isEqualTo(Code.UNAUTHENTICATED);
			assertThat(call(server, "192.0.2.1", "good")).isEqualTo(Code.RESOURCE_EXHAUSTED);
		}
	}

	@Test
	void checkWhenPeerHasManyIpv6AddressesThenTheyAreOne() {
		try (TestServer server = serve(2, 100)) {
			assertThat(call(server, "2001:db8::1", "bad")).isEqualTo(Code.UNAUTHENTICATED);
			assertThat(call(server, "2001:db8::2", "bad")).isEqualTo(Code.UNAUTHENTICATED);
			assertThat(call(server, "2001:db8::3", "bad")).isEqualTo(Code.RESOURCE_EXHAUSTED);
			assertThat(call(server, "2001:db8:0:1::3", "bad")).isEqualTo(Code.UNAUTHENTICATED);
		}
	}

	@Test
	void checkWhenPeerSucceedsInBetweenThenNothingIsReset() {
		try (TestServer server = serve(2, 100)) {
			for (int i = 0; i < 2; i++) {
				assertThat(call(server, "192.0.2.1", "good")).isEqualTo(Code.OK);
				assertThat(call(server, "192.0.2.1", "bad")).isEqualTo(Code.UNAUTHENTICATED);
			}
			assertThat(call(server, "192.0.2.1", "good")).isEqualTo(Code.RESOURCE_EXHAUSTED);
		}
	}

	@Test
	void checkWhenManyOtherPeersFailThenNobodyShedsItsDebt() {
		try (TestServer server = serve(1, 4)) {
			assertThat(call(server, "192.0.2.1", "bad")).isEqualTo(Code.UNAUTHENTICATED);
			for (int i = 2; i < 100; i++) {
				call(server, "192.0.2." + i, "bad");
			}
			assertThat(call(server, "192.0.2.1", "bad")).isEqualTo(Code.RESOURCE_EXHAUSTED);
		}
	}

	@Test
	void refusedWhenClientHangsUpMeanwhileThenItsBadCredentialsCountAllTheSame() {
		try (TestServer server = serve(3, 100)) {
			for (int i = 0; i < 3; i++) {
				hangUp(server, CredentialResult.refused(Refusal.unauthenticated("bad")));
			}
			assertThat(call(server, null, "good")).isEqualTo(Code.RESOURCE_EXHAUSTED);
		}
	}

	@Test
	void refusedWhenClientHangsUpBeforeCredentialsAreLookedAtThenNothingCounts() {
		try (TestServer server = serve(3, 100)) {
			for (int i = 0; i < 10; i++) {
				hangUp(server, CredentialResult.cancelled());
			}
			assertThat(call(server, null, "good")).isEqualTo(Code.OK);
		}
	}

	/** A limit that forgets what was under way would sell a burst for one attempt. */
	@Test
	void refusedWhenManyAttemptsWereUnderWayThenAllOfThemCount() {
		try (TestServer server = serve(3, 100)) {
			List<RawCall> calls = new ArrayList<>();
			for (int i = 0; i < 12; i++) {
				calls.add(start(server, "slow"));
			}
			await().until(() -> this.slow.size() == 12);
			this.slow.forEach(
					(answer) -> answer.answer().complete(CredentialResult.refused(Refusal.unauthenticated("bad"))));
			calls.forEach(RawCall::await);
			// Twelve are owed, and one is paid in twenty seconds
			this.clock.advance(Duration.ofSeconds(199));
			assertThat(call(server, null, "good")).isEqualTo(Code.RESOURCE_EXHAUSTED);
			this.clock.advance(Duration.ofSeconds(1));
			assertThat(call(server, null, "good")).isEqualTo(Code.OK);
		}
	}

	@Test
	void refusedWhenFarTooManyAttemptsWereUnderWayThenTheirPeerIsLetInAgainSomeDay() {
		try (TestServer server = serve(3, 100)) {
			List<RawCall> calls = new ArrayList<>();
			for (int i = 0; i < 40; i++) {
				calls.add(start(server, "slow"));
			}
			await().until(() -> this.slow.size() == 40);
			this.slow.forEach(
					(answer) -> answer.answer().complete(CredentialResult.refused(Refusal.unauthenticated("bad"))));
			calls.forEach(RawCall::await);
			this.clock.advance(Duration.ofMinutes(5));
			assertThat(call(server, null, "good")).isEqualTo(Code.OK);
		}
	}

	private static RawCall start(TestServer server, String key) {
		Metadata headers = new Metadata();
		headers.put(KEY, key);
		return RawCall.start(server.channel(), "testing.Echo/Unary", MethodDescriptor.MethodType.UNARY, headers);
	}

	private void hangUp(TestServer server, CredentialResult result) {
		int before = this.slow.size();
		RawCall call = start(server, "slow");
		await().until(() -> this.slow.size() > before);
		Slow attempt = this.slow.get(before);
		call.cancel();
		await().until(attempt.call()::cancelled);
		attempt.answer().complete(result);
	}

	/** An attempt that goes on until the test ends it. */
	private record Slow(SecuredCall call, CompletableFuture<CredentialResult> answer) {
	}

	/** Takes whoever says "good". */
	private final class KeyAuthenticator implements CredentialAuthenticator {

		@Override
		public Set<String> kinds() {
			return Set.of("key");
		}

		@Override
		public Set<String> headers() {
			return Set.of("x-key");
		}

		@Override
		public CredentialResult authenticate(SecuredCall call, @Nullable AuthorizationHeader authorization) {
			String key = call.headers().get(KEY);
			if (key == null) {
				return CredentialResult.absent();
			}
			AuthenticationFailureLimitTests.this.looked.incrementAndGet();
			if (key.equals("slow")) {
				Slow attempt = new Slow(call, new CompletableFuture<>());
				AuthenticationFailureLimitTests.this.slow.add(attempt);
				return CredentialResult.pending(attempt.answer());
			}
			return switch (key) {
				case "good" -> CredentialResult.authenticated(VerifiedCredential.of("key",
						UsernamePasswordAuthenticationToken.authenticated("good", null, List.of())));
				case "down" -> CredentialResult.refused(Refusal.unavailable("down"));
				default -> CredentialResult.refused(Refusal.unauthenticated("bad"));
			};
		}

	}

}
