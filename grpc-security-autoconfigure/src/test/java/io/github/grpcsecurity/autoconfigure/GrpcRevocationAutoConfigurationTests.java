package io.github.grpcsecurity.autoconfigure;

import java.time.Instant;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionStage;
import java.util.function.Consumer;

import io.github.grpcsecurity.authentication.live.LiveCredentials;
import io.github.grpcsecurity.authentication.revocation.CredentialRevocations;
import io.github.grpcsecurity.authentication.revocation.Revocation;
import io.github.grpcsecurity.authentication.revocation.RevocationHealthIndicator;
import io.github.grpcsecurity.authentication.revocation.RevocationStore;
import io.github.grpcsecurity.server.Refusal;
import io.github.grpcsecurity.server.VerifiedCredential;
import io.github.grpcsecurity.testing.TestCredentials;
import io.github.grpcsecurity.testing.TestRedis;
import io.lettuce.core.AbstractRedisClient;
import io.micrometer.core.instrument.MeterRegistry;
import io.micrometer.core.instrument.binder.MeterBinder;
import io.micrometer.core.instrument.simple.SimpleMeterRegistry;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

import org.springframework.boot.autoconfigure.AutoConfigurations;
import org.springframework.boot.context.properties.bind.BindException;
import org.springframework.boot.context.properties.source.InvalidConfigurationPropertyValueException;
import org.springframework.boot.data.redis.autoconfigure.DataRedisAutoConfiguration;
import org.springframework.boot.diagnostics.FailureAnalysis;
import org.springframework.boot.health.contributor.HealthIndicator;
import org.springframework.boot.test.context.FilteredClassLoader;
import org.springframework.boot.test.context.runner.ApplicationContextRunner;
import org.springframework.boot.test.system.CapturedOutput;
import org.springframework.boot.test.system.OutputCaptureExtension;
import org.springframework.data.redis.connection.RedisConnectionFactory;
import org.springframework.data.redis.connection.lettuce.LettuceConnectionFactory;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

@ExtendWith(OutputCaptureExtension.class)
class GrpcRevocationAutoConfigurationTests {

	private static final String PREFIX = "grpc.security.authentication.revocation.";

	private static final VerifiedCredential TOKEN = TestCredentials.credential("jwt", null, "id-1", "alice", null, null,
			null);

	private final ApplicationContextRunner bare = new ApplicationContextRunner()
		.withConfiguration(AutoConfigurations.of(GrpcSecurityAutoConfiguration.class,
				GrpcAuthenticationAutoConfiguration.class, GrpcRevocationAutoConfiguration.class,
				GrpcRevocationHealthAutoConfiguration.class, GrpcLiveCredentialsAutoConfiguration.class));

	private final ApplicationContextRunner runner = this.bare
		.withConfiguration(AutoConfigurations.of(DataRedisAutoConfiguration.class));

	@Test
	void revocationWhenNobodyConfiguredRedisThenInMemoryAndWatched() {
		this.runner.run((context) -> {
			CredentialRevocations revocations = context.getBean(CredentialRevocations.class);
			assertThat(revocations.shared()).isFalse();
			assertThat(revocations.check(TOKEN)).isNull();
			revocations.revokeToken(null, "id-1", Instant.now());
			assertThat(revocations.check(TOKEN).kind()).isEqualTo(Refusal.Kind.UNAUTHENTICATED);
			assertThat(context).hasSingleBean(LiveCredentials.class).hasSingleBean(RevocationHealthIndicator.class);
		});
	}

	@Test
	void revocationWhenRedisIsConfiguredThenShared(CapturedOutput output) {
		try (TestRedis redis = TestRedis.start()) {
			ApplicationContextRunner configured = this.runner.withPropertyValues("spring.data.redis.host=127.0.0.1",
					"spring.data.redis.port=" + redis.port(), PREFIX + "key-prefix=bank:");
			configured.run((context) -> {
				CredentialRevocations one = context.getBean(CredentialRevocations.class);
				assertThat(one.shared()).isTrue();
				configured.run((second) -> {
					one.revokeToken(null, "id-1", Instant.now().plusSeconds(60));
					CredentialRevocations two = second.getBean(CredentialRevocations.class);
					await().until(() -> two.check(TOKEN) != null);
				});
			});
			assertThat(output).contains("Revocations are kept in Redis, because spring.data.redis.host is set");
		}
	}

	@Test
	void revocationWhenRedisIsDownThenOnFailureDecides(CapturedOutput output) {
		ApplicationContextRunner down = this.runner.withPropertyValues("spring.data.redis.port=1");
		down.run((context) -> assertThat(context.getBean(CredentialRevocations.class).check(TOKEN).kind())
			.isEqualTo(Refusal.Kind.UNAVAILABLE));
		assertThat(output).contains("calls with tokens or API keys are refused (on-failure)");
		down.withPropertyValues(PREFIX + "on-failure=allow")
			.run((context) -> assertThat(context.getBean(CredentialRevocations.class).check(TOKEN)).isNull());
		down.withPropertyValues(PREFIX + "store=memory")
			.run((context) -> assertThat(context.getBean(CredentialRevocations.class).shared()).isFalse());
	}

	@Test
	void revocationWhenSwitchedOffThenNothingCanBeRevoked() {
		this.runner.withPropertyValues(PREFIX + "store=none")
			.run((context) -> assertThat(context).hasNotFailed()
				.doesNotHaveBean(CredentialRevocations.class)
				.doesNotHaveBean(RevocationHealthIndicator.class)
				.hasSingleBean(LiveCredentials.class));
	}

	@Test
	void revocationWhenSecurityIsOffThenNothing() {
		this.runner.withPropertyValues("grpc.security.enabled=false")
			.run((context) -> assertThat(context).hasNotFailed()
				.doesNotHaveBean(CredentialRevocations.class)
				.doesNotHaveBean(LiveCredentials.class));
	}

	@Test
	void revocationWhenUserHasAStoreThenItIsUsed() {
		this.runner.withBean(RevocationStore.class, OwnStore::new)
			.run((context) -> assertThat(context.getBean(CredentialRevocations.class).shared()).isTrue());
	}

	@Test
	void revocationWhenUserHasHisOwnThenOursBacksOff() {
		CredentialRevocations own = new CredentialRevocations(null, settings(), null, Instant::now, () -> 0);
		this.runner.withBean("own", CredentialRevocations.class, () -> own)
			.run((context) -> assertThat(context.getBean(CredentialRevocations.class)).isSameAs(own));
	}

	private static io.github.grpcsecurity.authentication.revocation.RevocationSettings settings() {
		return new io.github.grpcsecurity.authentication.revocation.RevocationSettings(
				io.github.grpcsecurity.authentication.revocation.RevocationSettings.OnFailure.DENY,
				java.time.Duration.ofSeconds(30), java.time.Duration.ofMinutes(10), java.time.Duration.ofDays(1), 10);
	}

	@Test
	void storeWhenRedisWithoutLettuceThenStartFailsWithTheWayOut() {
		this.bare.withPropertyValues(PREFIX + "store=redis")
			.withClassLoader(new FilteredClassLoader(AbstractRedisClient.class, RedisConnectionFactory.class,
					LettuceConnectionFactory.class))
			.run((context) -> assertMissing(context.getStartupFailure()));
		this.bare
			.withClassLoader(new FilteredClassLoader(AbstractRedisClient.class, RedisConnectionFactory.class,
					LettuceConnectionFactory.class))
			.run((context) -> assertThat(context.getBean(CredentialRevocations.class).shared()).isFalse());
	}

	@Test
	void storeWhenRedisWithoutConnectionFactoryThenStartFailsWithTheWayOut() {
		this.bare.withPropertyValues(PREFIX + "store=redis")
			.run((context) -> assertMissing(context.getStartupFailure()));
	}

	@Test
	void storeWhenAutoAndSeveralConnectionFactoriesThenStartFailsWithTheWayOut() {
		ApplicationContextRunner several = this.runner
			.withBean("one", LettuceConnectionFactory.class, () -> new LettuceConnectionFactory("127.0.0.1", 1))
			.withBean("two", LettuceConnectionFactory.class, () -> new LettuceConnectionFactory("127.0.0.1", 2));
		several.run((context) -> {
			FailureAnalysis analysis = new GrpcRateLimitFailureAnalyzer().analyze(context.getStartupFailure());
			assertThat(analysis.getDescription())
				.isEqualTo("Revocations are to be kept in Redis, because the bean 'one' connects to it, but there is"
						+ " more than one LettuceConnectionFactory bean, and none is @Primary: one, two.");
			assertThat(analysis.getAction())
				.isEqualTo("Mark the one to use as @Primary, or keep revocations in this server alone with"
						+ " grpc.security.authentication.revocation.store=memory.");
		});
		several.withPropertyValues(PREFIX + "store=memory")
			.run((context) -> assertThat(context.getBean(CredentialRevocations.class).shared()).isFalse());
		several.withBean(RevocationStore.class, OwnStore::new)
			.run((context) -> assertThat(context.getBean(CredentialRevocations.class).shared()).isTrue());
	}

	@ParameterizedTest
	@ValueSource(strings = { "", "io.lettuce" })
	void storeWhenAutoAndConnectionIsNotByLettuceThenStartFailsWithTheWayOut(String missing) {
		this.runner.withBean("jedis", GrpcRateLimitAutoConfigurationTests.OtherClient.class)
			.withPropertyValues("spring.data.redis.host=redis.example")
			.withClassLoader(missing.isEmpty() ? getClass().getClassLoader() : new FilteredClassLoader(missing))
			.run((context) -> assertThat(
					new GrpcRateLimitFailureAnalyzer().analyze(context.getStartupFailure()).getDescription())
				.isEqualTo("Revocations are to be kept in Redis, because spring.data.redis.host is set, but there is"
						+ " no LettuceConnectionFactory bean, only jedis (OtherClient)."));
	}

	private static void assertMissing(Throwable failure) {
		FailureAnalysis analysis = new GrpcRateLimitFailureAnalyzer().analyze(failure);
		assertThat(analysis.getDescription()).isEqualTo(
				"grpc.security.authentication.revocation.store is 'redis', but there is no RedisConnectionFactory bean.");
		assertThat(analysis.getAction())
			.isEqualTo("Add spring-boot-starter-data-redis and set spring.data.redis.*, or keep revocations in this "
					+ "server alone with grpc.security.authentication.revocation.store=memory.");
	}

	@ParameterizedTest
	@CsvSource({ "poll-interval,10ms,It must be at least 100ms",
			"max-age,29s,It must not be shorter than poll-interval", "subject-ttl,0d,It must be positive",
			"max-entries,0,It must be positive" })
	void propertyWhenItMakesNoSenseThenStartFails(String property, String value, String reason) {
		this.runner.withPropertyValues(PREFIX + property + "=" + value)
			.run((context) -> assertThat(context.getStartupFailure()).rootCause()
				.isInstanceOfSatisfying(InvalidConfigurationPropertyValueException.class, (ex) -> {
					assertThat(ex.getName()).isEqualTo(PREFIX + property);
					assertThat(ex.getReason()).startsWith(reason);
				}));
	}

	@ParameterizedTest
	@CsvSource({ "store,nowhere", "on-failure,maybe", "unknown,1" })
	void propertyWhenItIsUnknownThenStartFails(String property, String value) {
		this.runner.withPropertyValues(PREFIX + property + "=" + value)
			.run((context) -> assertThat(context.getStartupFailure()).hasStackTraceContaining(property)
				.hasRootCauseInstanceOf(Exception.class)
				.satisfies((ex) -> assertThat(ex).hasStackTraceContaining(BindException.class.getSimpleName())));
	}

	@Test
	void metricsWhenThereIsARegistryThenTheyAreThere() {
		SimpleMeterRegistry registry = new SimpleMeterRegistry();
		this.runner.withBean(MeterRegistry.class, () -> registry).run((context) -> {
			context.getBeansOfType(MeterBinder.class).values().forEach((binder) -> binder.bindTo(registry));
			context.getBean(CredentialRevocations.class).revokeApiKey("a");

			assertThat(registry.get("grpc.security.revocations").gauge().value()).isEqualTo(1);
			assertThat(registry.get("grpc.security.revocations.age").gauge().value()).isZero();
			assertThat(registry.get("grpc.security.credentials.watched").gauge().value()).isZero();
			assertThat(
					registry.get("grpc.security.credentials.ended").tag("cause", "expired").functionCounter().count())
				.isZero();
			assertThat(
					registry.get("grpc.security.credentials.ended").tag("cause", "revoked").functionCounter().count())
				.isZero();
		});
	}

	@Test
	void metricsAndHealthWhenTheirClassesAreMissingThenTheRestWorks() {
		this.runner.withClassLoader(new FilteredClassLoader(MeterRegistry.class, HealthIndicator.class))
			.run((context) -> assertThat(context).hasNotFailed()
				.hasSingleBean(CredentialRevocations.class)
				.doesNotHaveBean("grpcRevocationsHealthIndicator")
				.doesNotHaveBean("grpcRevocationMetrics"));
	}

	@Test
	void healthWhenSwitchedOffThenNone() {
		this.runner.withPropertyValues("management.health.grpc-revocations.enabled=false")
			.run((context) -> assertThat(context).doesNotHaveBean(RevocationHealthIndicator.class));
	}

	@Test
	void expiryWhenIgnoredThenOneWarning(CapturedOutput output) {
		this.runner.withPropertyValues("grpc.security.authentication.on-credential-expiry=ignore")
			.run((context) -> assertThat(context).hasSingleBean(LiveCredentials.class));
		assertThat(output.toString().split("on-credential-expiry is 'ignore'", -1)).hasSize(2);
	}

	@Test
	void expiryWhenUnknownThenStartFails() {
		this.runner.withPropertyValues("grpc.security.authentication.on-credential-expiry=maybe")
			.run((context) -> assertThat(context).hasFailed());
	}

	@Test
	void liveCredentialsWhenUserHasHisOwnThenOursBacksOff() {
		this.runner
			.withBean("own", LiveCredentials.class,
					() -> new LiveCredentials(true, java.time.Duration.ZERO, java.util.List.of(),
							new io.github.grpcsecurity.server.GrpcSecurityThreads(), Instant::now))
			.run((context) -> assertThat(context).hasNotFailed().hasSingleBean(LiveCredentials.class).hasBean("own"));
	}

	/** Knows nothing and never fails. */
	private static final class OwnStore implements RevocationStore {

		@Override
		public void follow(Consumer<Revocation> revoked, Runnable missed) {
		}

		@Override
		public CompletionStage<Contents> load(String version) {
			return CompletableFuture.completedFuture(new Contents(null, java.util.List.of()));
		}

		@Override
		public CompletionStage<?> add(java.util.Collection<Revocation> revocations) {
			return CompletableFuture.completedFuture(null);
		}

	}

}
