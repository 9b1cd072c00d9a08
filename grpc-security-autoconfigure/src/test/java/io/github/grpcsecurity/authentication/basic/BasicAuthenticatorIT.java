package io.github.grpcsecurity.authentication.basic;

import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Base64;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicReference;

import io.github.grpcsecurity.authentication.AuthenticationStage;
import io.github.grpcsecurity.server.GrpcSecurityThreads;
import io.github.grpcsecurity.server.VerifiedCredential;
import io.github.grpcsecurity.testing.CallType;
import io.github.grpcsecurity.testing.EchoService;
import io.github.grpcsecurity.testing.RecordingObserver;
import io.github.grpcsecurity.testing.TestServer;
import io.grpc.Metadata;
import io.grpc.Status.Code;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;

import org.springframework.security.authentication.AuthenticationServiceException;
import org.springframework.security.authentication.dao.DaoAuthenticationProvider;
import org.springframework.security.core.userdetails.User;
import org.springframework.security.core.userdetails.UserDetailsService;
import org.springframework.security.crypto.bcrypt.BCryptPasswordEncoder;
import org.springframework.security.crypto.password.PasswordEncoder;
import org.springframework.security.provisioning.InMemoryUserDetailsManager;

import static org.assertj.core.api.Assertions.assertThat;

@Timeout(60)
class BasicAuthenticatorIT {

	private static final Metadata.Key<String> HEADER = Metadata.Key.of("authorization",
			Metadata.ASCII_STRING_MARSHALLER);

	private static final String PASSWORD = "c4nary:with:colons\u00e4";

	private final GrpcSecurityThreads threads = new GrpcSecurityThreads();

	private final RecordingObserver observer = new RecordingObserver();

	private final AtomicInteger checks = new AtomicInteger();

	private final AtomicReference<Thread> checkedOn = new AtomicReference<>();

	private final AtomicReference<Instant> now = new AtomicReference<>(Instant.EPOCH);

	private final BCryptPasswordEncoder bcrypt = new BCryptPasswordEncoder(4);

	private volatile CountDownLatch gate = new CountDownLatch(0);

	private final PasswordEncoder encoder = new PasswordEncoder() {
		@Override
		public String encode(CharSequence password) {
			return BasicAuthenticatorIT.this.bcrypt.encode(password);
		}

		@Override
		public boolean matches(CharSequence password, String encoded) {
			BasicAuthenticatorIT.this.checks.incrementAndGet();
			BasicAuthenticatorIT.this.checkedOn.set(Thread.currentThread());
			try {
				BasicAuthenticatorIT.this.gate.await();
			}
			catch (InterruptedException ex) {
				throw new IllegalStateException(ex);
			}
			return BasicAuthenticatorIT.this.bcrypt.matches(password, encoded);
		}
	};

	private final InMemoryUserDetailsManager users = new InMemoryUserDetailsManager(
			User.withUsername("alice").password(this.bcrypt.encode(PASSWORD)).roles("TELLER").build(),
			User.withUsername("off").password(this.bcrypt.encode(PASSWORD)).disabled(true).build(),
			User.withUsername("locked").password(this.bcrypt.encode(PASSWORD)).accountLocked(true).build(),
			User.withUsername("late").password(this.bcrypt.encode(PASSWORD)).accountExpired(true).build(),
			User.withUsername("stale").password(this.bcrypt.encode(PASSWORD)).credentialsExpired(true).build());

	@AfterEach
	void stopThreads() {
		this.gate.countDown();
		this.threads.close();
	}

	private TestServer serve(UserDetailsService service, Duration cacheTtl, int concurrent) {
		return TestServer.inProcess(new EchoService(), List.of(stage(service, cacheTtl, concurrent)), this.observer);
	}

	private AuthenticationStage stage(UserDetailsService service, Duration cacheTtl, int concurrent) {
		DaoAuthenticationProvider provider = new DaoAuthenticationProvider(service);
		provider.setPasswordEncoder(this.encoder);
		return AuthenticationStage.builder()
			.authenticators(List
				.of(new BasicAuthenticator(provider, cacheTtl, concurrent, this.threads.executor(), this.now::get)))
			.build();
	}

	private static Metadata header(String value) {
		Metadata headers = new Metadata();
		headers.put(HEADER, value);
		return headers;
	}

	private static Metadata basic(String user, String password) {
		return header("Basic "
				+ Base64.getEncoder().encodeToString((user + ":" + password).getBytes(StandardCharsets.UTF_8)));
	}

	@ParameterizedTest
	@EnumSource
	void callWhenPasswordIsGoodThenUserIsKnownAndNoGrpcThreadWaited(CallType type) {
		try (TestServer server = serve(this.users, Duration.ZERO, 2)) {
			for (int i = 1; i <= 2; i++) {
				assertThat(type.call(server.channel(), basic("alice", PASSWORD), "x").code()).isEqualTo(Code.OK);
				assertThat(this.checks).hasValue(i);
			}

			assertThat(this.checkedOn.get().getName()).startsWith("grpc-security-");
			assertThat(this.observer.decided.get(1).call().caller()).satisfies((caller) -> {
				assertThat(caller.name()).isEqualTo("alice");
				assertThat(caller.credentials()).extracting(VerifiedCredential::kind).containsExactly("basic");
				assertThat(caller.user()).isNotNull();
				assertThat(caller.user().getCredentials()).isNull();
				assertThat(caller + " " + caller.authentication()).doesNotContain("c4nary");
			});
		}
	}

	/** One entry, one scheme, one pair: whatever else there is, is refused. */
	@ParameterizedTest
	@CsvSource(delimiter = '|', nullValues = "null",
			value = { "Basic YWxpY2U6YmFk | null | wrong password", "Basic bm9ib2R5OmJhZA== | null | unknown user",
					"Basic YWxpY2U= | null | no colon", "Basic OmJhZA== | null | no user",
					"Basic YWxpY2U6!! | null | no Base64", "Basic YWxpY2U6YQ | null | no padding",
					"Basic YWxpY2U6YR== | null | stray bits", "Basic YWxpY2U6AGE= | null | control character",
					"Basic YWxpY2U6/w== | null | no UTF-8", "Basic | null | no credentials",
					"Digest YWxpY2U6YmFk | null | other scheme", "Basic YWxpY2U6YmFk | Basic YWxpY2U6YmFk | doubled",
					"Basic  YWxpY2U6YmFk | null | two spaces", "Basic YWxpY2U6YmFk,Basic YQ== | null | joined" })
	void callWhenCredentialsAreBadThenAllCausesLookTheSame(String first, String second, String cause) {
		try (TestServer server = serve(this.users, Duration.ofMinutes(1), 2)) {
			for (CallType type : CallType.values()) {
				CallType.Outcome wrong = type.call(server.channel(), basic("alice", "other"), "x");
				Metadata headers = header(first);
				if (second != null) {
					headers.put(HEADER, second);
				}
				CallType.Outcome outcome = type.call(server.channel(), headers, "x");

				assertThat(outcome.code()).as(cause).isEqualTo(Code.UNAUTHENTICATED);
				assertThat(outcome.status().getDescription()).isEqualTo(wrong.status().getDescription());
				assertThat(outcome.trailers()).hasToString(wrong.trailers().toString());
			}
		}
	}

	@ParameterizedTest
	@CsvSource({ "off", "locked", "late", "stale", "nobody" })
	void callWhenAccountIsNotInUseThenRefusedAfterAHashLikeAnyOther(String user) {
		try (TestServer server = serve(this.users, Duration.ofMinutes(1), 2)) {
			// The first unknown user costs the hash that later ones are compared to
			CallType.UNARY.call(server.channel(), basic("somebody", "x"), "x");
			this.checks.set(0);

			assertThat(CallType.UNARY.call(server.channel(), basic(user, PASSWORD), "x").code())
				.isEqualTo(Code.UNAUTHENTICATED);
			assertThat(this.checks).hasValue(1);
		}
	}

	@Test
	void callWhenPasswordWasGoodThenItIsRememberedForAsLongAsConfigured() {
		try (TestServer server = serve(this.users, Duration.ofSeconds(60), 2)) {
			for (int i = 0; i < 5; i++) {
				CallType.UNARY.call(server.channel(), basic("alice", PASSWORD), "x");
			}
			assertThat(this.checks).hasValue(1);
			CallType.UNARY.call(server.channel(), basic("alice", PASSWORD + "x"), "x");
			CallType.UNARY.call(server.channel(), basic("alice", PASSWORD + "x"), "x");
			assertThat(this.checks).hasValue(3);
			this.users.deleteUser("alice");
			this.now.set(Instant.EPOCH.plusSeconds(59));
			assertThat(CallType.UNARY.call(server.channel(), basic("alice", PASSWORD), "x").code()).isEqualTo(Code.OK);
			this.now.set(Instant.EPOCH.plusSeconds(60));
			assertThat(CallType.UNARY.call(server.channel(), basic("alice", PASSWORD), "x").code())
				.isEqualTo(Code.UNAUTHENTICATED);
		}
	}

	@Test
	void callWhenManyPasswordsComeAtOnceThenFewAreCheckedAndTheRestIsUnavailable() throws Exception {
		this.gate = new CountDownLatch(1);
		ExecutorService clients = Executors.newCachedThreadPool();
		try (TestServer server = serve(this.users, Duration.ofMinutes(1), 1)) {
			List<CompletableFuture<Code>> calls = new ArrayList<>();
			for (int i = 0; i < 130; i++) {
				Metadata headers = basic("alice", "guess" + i);
				calls.add(CompletableFuture
					.supplyAsync(() -> CallType.UNARY.call(server.channel(), headers, "x").code(), clients));
			}
			// One is checked and a hundred wait
			org.awaitility.Awaitility.await()
				.until(() -> calls.stream().filter(CompletableFuture::isDone).count() == 29);
			assertThat(this.checks).hasValue(1);
			assertThat(calls.stream().filter(CompletableFuture::isDone)).extracting(CompletableFuture::join)
				.containsOnly(Code.UNAVAILABLE);
			this.gate.countDown();

			assertThat(calls.stream().map(CompletableFuture::join).filter(Code.UNAUTHENTICATED::equals)).hasSize(101);
		}
		finally {
			clients.shutdownNow();
		}
	}

	@Test
	void callWhenSamePasswordComesAtOnceThenItIsCheckedOnce() throws Exception {
		this.gate = new CountDownLatch(1);
		ExecutorService clients = Executors.newCachedThreadPool();
		try (TestServer server = serve(this.users, Duration.ofMinutes(1), 1)) {
			List<CompletableFuture<Code>> calls = new ArrayList<>();
			for (int i = 0; i < 150; i++) {
				calls.add(CompletableFuture.supplyAsync(
						() -> CallType.UNARY.call(server.channel(), basic("alice", PASSWORD), "x").code(), clients));
			}
			org.awaitility.Awaitility.await().until(() -> this.checks.get() == 1);
			this.gate.countDown();

			assertThat(calls).extracting(CompletableFuture::join).containsOnly(Code.OK);
			assertThat(this.checks.get()).isLessThanOrEqualTo(2);
		}
		finally {
			clients.shutdownNow();
		}
	}

	@Test
	void callWhenUsersCannotBeAskedThenUnavailable() {
		UserDetailsService broken = (name) -> {
			throw new AuthenticationServiceException("c4nary");
		};
		UserDetailsService worse = (name) -> {
			throw new IllegalStateException("c4nary");
		};
		for (UserDetailsService service : List.of(broken, worse)) {
			try (TestServer server = serve(service, Duration.ofMinutes(1), 1)) {
				CallType.Outcome outcome = CallType.UNARY.call(server.channel(), basic("alice", PASSWORD), "x");
				assertThat(outcome.code()).isEqualTo(Code.UNAVAILABLE);
				assertThat(outcome.status().toString()).doesNotContain("c4nary");
			}
		}
	}

	@Test
	void callWhenConnectionIsPlaintextThenEvenAGoodPasswordIsRefused() {
		try (TestServer server = TestServer.network(new EchoService(),
				List.of(stage(this.users, Duration.ofMinutes(1), 1)))) {
			assertThat(CallType.UNARY.call(server.channel(), basic("alice", PASSWORD), "x").code())
				.isEqualTo(Code.UNAUTHENTICATED);
			assertThat(this.checks).hasValue(0);
		}
	}

}
