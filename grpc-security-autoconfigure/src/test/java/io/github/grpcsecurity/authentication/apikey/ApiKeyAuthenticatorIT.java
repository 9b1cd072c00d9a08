package io.github.grpcsecurity.authentication.apikey;

import java.time.Duration;
import java.time.Instant;
import java.time.InstantSource;
import java.util.Collections;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.atomic.AtomicInteger;

import io.github.grpcsecurity.authentication.AuthenticationStage;
import io.github.grpcsecurity.server.GrpcCaller;
import io.github.grpcsecurity.server.Refusal;
import io.github.grpcsecurity.server.SecurityStage;
import io.github.grpcsecurity.server.Verdict;
import io.github.grpcsecurity.server.VerifiedCredential;
import io.github.grpcsecurity.testing.CallType;
import io.github.grpcsecurity.testing.EchoService;
import io.github.grpcsecurity.testing.RecordingObserver;
import io.github.grpcsecurity.testing.TestServer;
import io.github.grpcsecurity.testing.TestStage;
import io.grpc.Metadata;
import io.grpc.Status.Code;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

import org.springframework.security.core.GrantedAuthority;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatIllegalArgumentException;

class ApiKeyAuthenticatorIT {

	private static final Instant NOW = Instant.parse("2026-05-01T00:00:00Z");

	private final ApiKeyTable table = new ApiKeyTable();

	private final RecordingObserver observer = new RecordingObserver();

	private final EchoService service = new EchoService();

	private static ApiKeyAuthenticator authenticator(ApiKeySource... sources) {
		return new ApiKeyAuthenticator("x-api-key", List.of(sources), Duration.ofSeconds(10), InstantSource.fixed(NOW));
	}

	private TestServer serve(ApiKeySource... sources) {
		return TestServer.inProcess(this.service,
				List.of(AuthenticationStage.builder().authenticators(List.of(authenticator(sources))).build(),
						TestStage.check(SecurityStage.AUTHORIZATION, (call) -> call.anonymous()
								? Verdict.refuse(Refusal.unauthenticated("anonymous")) : Verdict.proceed())),
				this.observer);
	}

	private String reason() {
		return String.valueOf(this.observer.decided.get(this.observer.decided.size() - 1).decision());
	}

	@ParameterizedTest
	@EnumSource
	void callWhenKeyIsGoodThenApplicationIsKnown(CallType type) {
		this.table.replace(List.of(TestKeys.apiKey("partner-7b")
			.principal("partner-7")
			.authorities(List.of("ROLE_PARTNER"))
			.expiresAt(NOW.plusSeconds(1))
			.build()));
		try (TestServer server = serve(this.table)) {
			assertThat(type.call(server.channel(), TestKeys.headers(TestKeys.key("partner-7b")), "x").code())
				.isEqualTo(Code.OK);

			GrpcCaller caller = this.observer.decided.get(0).call().caller();
			assertThat(caller.name()).isEqualTo("partner-7");
			assertThat(caller.user()).isNull();
			assertThat(caller.application()).isInstanceOfSatisfying(ApiKeyAuthenticationToken.class, (token) -> {
				assertThat(token.getKeyId()).isEqualTo("partner-7b");
				assertThat(token.getCredentials()).isNull();
				assertThat(token.isAuthenticated()).isTrue();
				assertThat(token.getDetails()).isNotNull();
				assertThat(token.getAuthorities()).extracting(GrantedAuthority::getAuthority)
					.containsExactly("ROLE_PARTNER");
			});
			VerifiedCredential credential = caller.credential(VerifiedCredential.API_KEY);
			assertThat(credential.id()).isEqualTo("partner-7b");
			assertThat(credential.expiresAt()).isEqualTo(NOW.plusSeconds(1));
			assertThat(caller + " " + caller.authentication()).doesNotContain("c4nary");
		}
	}

	@ParameterizedTest
	@EnumSource
	void callWhenKeyIsBadThenAllCausesLookTheSame(CallType type) {
		String good = TestKeys.key("good");
		this.table.replace(List.of(TestKeys.apiKey("good").build(), TestKeys.apiKey("off").enabled(false).build(),
				TestKeys.apiKey("late").expiresAt(NOW).build()));
		List<Metadata> bad = List.of(TestKeys.headers(good + "x"), TestKeys.headers("unknown.secret"),
				TestKeys.headers("good.other"), TestKeys.headers(TestKeys.key("off")),
				TestKeys.headers(TestKeys.key("late")), TestKeys.headers(good, good), TestKeys.headers(good, "x.y"),
				TestKeys.headers(good + "," + good), TestKeys.headers(""), TestKeys.headers("good"),
				TestKeys.headers("good."), TestKeys.headers(".secret"), TestKeys.headers("go od.x"),
				TestKeys.headers("g\u00f6od.x"), TestKeys.headers("good." + "x".repeat(600)), new Metadata());
		try (TestServer server = serve(this.table)) {
			CallType.Outcome first = type.call(server.channel(), bad.get(0), "x");
			for (Metadata headers : bad) {
				CallType.Outcome outcome = type.call(server.channel(), headers, "x");
				assertThat(outcome.code()).isEqualTo(Code.UNAUTHENTICATED);
				assertThat(outcome.status().getDescription()).isEqualTo(first.status().getDescription());
				assertThat(outcome.trailers()).hasToString(first.trailers().toString());
			}

			assertThat(this.service.entered).hasValue(0);
			assertThat(this.observer.decided).extracting((decided) -> decided.decision().toString())
				.noneMatch((reason) -> reason.contains("c4nary"));
			assertThat(type.call(server.channel(), TestKeys.headers(good), "x").code()).isEqualTo(Code.OK);
		}
	}

	@ParameterizedTest
	@EnumSource
	void callWhenKeyIsNotGoodForMethodOrAddressThenOnlyItsOwnerLearnsThat(CallType type) {
		this.table.replace(List.of(TestKeys.apiKey("other").allowedMethods(List.of("bank.*/*")).build(),
				TestKeys.apiKey("this").allowedMethods(List.of("bank.*/*", "testing.*/*")).build(),
				TestKeys.apiKey("far").allowedAddresses(List.of("192.0.2.0/24", "2001:db8::/32")).build()));
		try (TestServer server = serve(this.table)) {
			assertThat(type.call(server.channel(), TestKeys.headers(TestKeys.key("this")), "x").code())
				.isEqualTo(Code.OK);
			assertThat(type.call(server.channel(), TestKeys.headers(TestKeys.key("other")), "x").code())
				.isEqualTo(Code.PERMISSION_DENIED);
			assertThat(type.call(server.channel(), TestKeys.headers(TestKeys.key("far")), "x").code())
				.isEqualTo(Code.PERMISSION_DENIED);
			assertThat(type.call(server.channel(), TestKeys.headers("other.guess"), "x").code())
				.isEqualTo(Code.UNAUTHENTICATED);
		}
	}

	@ParameterizedTest
	@EnumSource
	void callWhenConnectionIsPlaintextThenEvenAGoodKeyIsRefused(CallType type) {
		this.table.replace(List.of(TestKeys.apiKey("good").build()));
		try (TestServer server = TestServer.network(this.service,
				List.of(AuthenticationStage.builder().authenticators(List.of(authenticator(this.table))).build()))) {
			assertThat(type.call(server.channel(), TestKeys.headers(TestKeys.key("good")), "x").code())
				.isEqualTo(Code.UNAUTHENTICATED);
			assertThat(this.service.entered).hasValue(0);
		}
	}

	@ParameterizedTest
	@EnumSource
	void callWhenSourceAnswersLaterThenNextOneIsAskedOnlyIfItKnowsNothing(CallType type) {
		AtomicInteger asked = new AtomicInteger();
		ApiKeySource slow = (id) -> {
			asked.incrementAndGet();
			return CompletableFuture
				.supplyAsync(() -> id.equals("slow") ? Optional.of(TestKeys.apiKey("slow").build()) : Optional.empty());
		};
		this.table.replace(List.of(TestKeys.apiKey("good").build()));
		try (TestServer server = serve(slow, this.table)) {
			for (String id : List.of("slow", "good")) {
				assertThat(type.call(server.channel(), TestKeys.headers(TestKeys.key(id)), "x").code())
					.isEqualTo(Code.OK);
			}
			assertThat(type.call(server.channel(), TestKeys.headers("nobody.x"), "x").code())
				.isEqualTo(Code.UNAUTHENTICATED);
			assertThat(asked).hasValue(3);
		}
	}

	@ParameterizedTest
	@ValueSource(ints = { 0, 1, 2, 3 })
	void callWhenSourceCannotTellThenUnavailable(int failure) {
		ApiKeySource source = (id) -> switch (failure) {
			case 0 -> throw new IllegalStateException("c4nary");
			case 1 -> CompletableFuture.failedStage(new IllegalStateException("c4nary"));
			case 2 -> CompletableFuture.supplyAsync(() -> {
				throw new IllegalStateException("c4nary");
			});
			default -> new ApiKeyTable().find(id);
		};
		try (TestServer server = serve(source)) {
			CallType.Outcome outcome = CallType.UNARY.call(server.channel(), TestKeys.headers("a.b"), "x");

			assertThat(outcome.code()).isEqualTo(Code.UNAVAILABLE);
			assertThat(outcome.status().toString() + reason()).doesNotContain("c4nary");
		}
	}

	@Test
	void callWhenSourceNeverAnswersThenUnavailableAfterTheTimeout() {
		ApiKeyAuthenticator impatient = new ApiKeyAuthenticator("x-api-key", List.of((id) -> new CompletableFuture<>()),
				Duration.ofMillis(10), InstantSource.system());
		try (TestServer server = TestServer.inProcess(this.service,
				List.of(AuthenticationStage.builder().authenticators(List.of(impatient)).build()))) {
			assertThat(CallType.UNARY.call(server.channel(), TestKeys.headers("a.b"), "x").code())
				.isEqualTo(Code.UNAVAILABLE);
		}
	}

	@Test
	void callWhenClientReplacesItsKeyThenBothAreGoodUntilTheOldOneIsRemoved() {
		ApiKey old = TestKeys.apiKey("p-1").principal("p").build();
		ApiKey young = TestKeys.apiKey("p-2").principal("p").build();
		List<Set<String>> withdrawn = Collections.synchronizedList(new java.util.ArrayList<>());
		this.table.addListener(withdrawn::add);
		this.table.replace(List.of(old, young));
		try (TestServer server = serve(this.table)) {
			for (String id : List.of("p-1", "p-2")) {
				assertThat(CallType.UNARY.call(server.channel(), TestKeys.headers(TestKeys.key(id)), "x").code())
					.isEqualTo(Code.OK);
			}
			assertThat(withdrawn).isEmpty();
			this.table.replace(List.of(young));
			assertThat(withdrawn).containsExactly(Set.of("p-1"));
			assertThat(CallType.UNARY.call(server.channel(), TestKeys.headers(TestKeys.key("p-1")), "x").code())
				.isEqualTo(Code.UNAUTHENTICATED);
			assertThat(CallType.UNARY.call(server.channel(), TestKeys.headers(TestKeys.key("p-2")), "x").code())
				.isEqualTo(Code.OK);
		}
	}

	@Test
	void replaceWhenAnythingAboutAKeyChangesThenItIsWithdrawn() {
		List<Set<String>> withdrawn = new java.util.ArrayList<>();
		this.table.replace(List.of(TestKeys.apiKey("a").build(), TestKeys.apiKey("b").build()));
		this.table.addListener((ids) -> {
			throw new IllegalStateException("others are told all the same");
		});
		this.table.addListener(withdrawn::add);
		List<ApiKey.Builder> changes = List.of(TestKeys.apiKey("a").enabled(false), TestKeys.apiKey("a").principal("x"),
				TestKeys.apiKey("a").authorities(List.of("X")), TestKeys.apiKey("a").expiresAt(NOW),
				TestKeys.apiKey("a").allowedMethods(List.of("a.b/c")),
				TestKeys.apiKey("a").allowedAddresses(List.of("10.0.0.0/8")), ApiKey.builder("a", TestKeys.hash("b")));
		for (ApiKey.Builder change : changes) {
			assertThat(this.table.replace(List.of(change.build(), TestKeys.apiKey("b").build()))).isOne();
		}

		assertThat(withdrawn).hasSize(changes.size()).allMatch(Set.of("a")::equals);
		assertThatIllegalArgumentException()
			.isThrownBy(() -> this.table.replace(List.of(TestKeys.apiKey("a").build(), TestKeys.apiKey("a").build())))
			.withMessageContaining("two keys have the id 'a'");
	}

	@Test
	void verifyWhenIdIsUnknownThenItTakesAsLongAsAWrongSecret() {
		this.table.replace(List.of(TestKeys.apiKey("known").build()));
		ApiKeyHash presented = ApiKeyHash.of("known.wrong");
		ApiKey known = this.table.find("known").toCompletableFuture().join().orElseThrow();
		long best = Long.MAX_VALUE;
		double ratio = Double.MAX_VALUE;
		// Machines that test are busy: it has to come out once, between best times
		for (int round = 0; round < 50 && Math.abs(ratio - 1) > 0.2; round++) {
			best = Long.MAX_VALUE;
			long bestUnknown = Long.MAX_VALUE;
			for (int i = 0; i < 200; i++) {
				best = Math.min(best, time(() -> known.matches(ApiKeyHash.of("known.wrong.0123456789"))));
				bestUnknown = Math.min(bestUnknown,
						time(() -> ApiKeyHash.OF_NOBODY.equals(ApiKeyHash.of("nobod.wrong.0123456789"))));
			}
			ratio = (double) bestUnknown / best;
		}

		assertThat(ratio).isBetween(0.8, 1.2);
		assertThat(known.matches(presented)).isFalse();
	}

	private static long time(java.util.function.BooleanSupplier task) {
		long start = System.nanoTime();
		boolean any = false;
		for (int i = 0; i < 20; i++) {
			any |= task.getAsBoolean();
		}
		assertThat(any).isFalse();
		return System.nanoTime() - start;
	}

	@ParameterizedTest
	@ValueSource(strings = { "authorization", "Authorization", "x-key-bin", "grpc-key", "a b", "" })
	void authenticatorWhenHeaderCannotCarryAKeyThenSaysSo(String header) {
		assertThatIllegalArgumentException().isThrownBy(
				() -> new ApiKeyAuthenticator(header, List.of(), Duration.ofSeconds(1), InstantSource.system()));
	}

}
