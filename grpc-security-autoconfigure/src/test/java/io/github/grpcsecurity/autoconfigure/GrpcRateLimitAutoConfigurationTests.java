package io.github.grpcsecurity.autoconfigure;

import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;

import io.github.grpcsecurity.ratelimit.FailoverRateLimiter;
import io.github.grpcsecurity.ratelimit.Gcra;
import io.github.grpcsecurity.ratelimit.InMemoryRateLimiter;
import io.github.grpcsecurity.ratelimit.MicrometerRateLimitObserver;
import io.github.grpcsecurity.ratelimit.PeerLimitStage;
import io.github.grpcsecurity.ratelimit.PrincipalLimitStage;
import io.github.grpcsecurity.ratelimit.RateLimitDecision;
import io.github.grpcsecurity.ratelimit.RateLimitPermit;
import io.github.grpcsecurity.ratelimit.RateLimitKey;
import io.github.grpcsecurity.ratelimit.RateLimitKeyResolver;
import io.github.grpcsecurity.ratelimit.RateLimitRule;
import io.github.grpcsecurity.ratelimit.RateLimitRules;
import io.github.grpcsecurity.ratelimit.RateLimiter;
import io.github.grpcsecurity.ratelimit.TestRules;
import io.github.grpcsecurity.server.GrpcSecurityThreads;
import io.github.grpcsecurity.server.GrpcServerSecurity;
import io.github.grpcsecurity.server.SecurityStage;
import io.github.grpcsecurity.testing.CallType;
import io.github.grpcsecurity.testing.EchoService;
import io.github.grpcsecurity.testing.TestRedis;
import io.github.grpcsecurity.testing.TestServer;
import io.grpc.Metadata;
import io.grpc.Status;
import io.lettuce.core.AbstractRedisClient;
import io.micrometer.core.instrument.MeterRegistry;
import io.micrometer.core.instrument.Timer;
import io.micrometer.core.instrument.simple.SimpleMeterRegistry;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

import org.springframework.boot.autoconfigure.AutoConfigurations;
import org.springframework.boot.context.properties.source.InvalidConfigurationPropertyValueException;
import org.springframework.boot.data.redis.autoconfigure.DataRedisAutoConfiguration;
import org.springframework.boot.data.redis.autoconfigure.DataRedisConnectionDetails;
import org.springframework.boot.diagnostics.FailureAnalysis;
import org.springframework.boot.test.context.FilteredClassLoader;
import org.springframework.boot.test.context.assertj.AssertableApplicationContext;
import org.springframework.boot.test.context.runner.ApplicationContextRunner;
import org.springframework.boot.test.system.CapturedOutput;
import org.springframework.boot.test.system.OutputCaptureExtension;
import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Configuration;
import org.springframework.context.annotation.Primary;
import org.springframework.core.env.MapPropertySource;
import org.springframework.core.env.StandardEnvironment;
import org.springframework.core.env.SystemEnvironmentPropertySource;
import org.springframework.dao.DataAccessException;
import org.springframework.data.redis.connection.RedisClusterConnection;
import org.springframework.data.redis.connection.RedisConnection;
import org.springframework.data.redis.connection.RedisConnectionFactory;
import org.springframework.data.redis.connection.RedisSentinelConnection;
import org.springframework.data.redis.connection.lettuce.LettuceConnectionFactory;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.awaitility.Awaitility.await;

@ExtendWith(OutputCaptureExtension.class)
class GrpcRateLimitAutoConfigurationTests {

	private static final String[] RULE = { "grpc.security.rate-limit.rules[0].name=per-peer",
			"grpc.security.rate-limit.rules[0].key=peer", "grpc.security.rate-limit.rules[0].limit=10" };

	private final ApplicationContextRunner bare = new ApplicationContextRunner()
		.withConfiguration(AutoConfigurations.of(GrpcRateLimitAutoConfiguration.class))
		.withBean(GrpcSecurityThreads.class);

	private final ApplicationContextRunner empty = this.bare
		.withConfiguration(AutoConfigurations.of(DataRedisAutoConfiguration.class));

	private final ApplicationContextRunner runner = this.empty.withPropertyValues(RULE);

	@Test
	void stagesWhenNothingIsSetThenTheyAreThereAndInMemory(CapturedOutput output) {
		this.empty.run((context) -> {
			assertThat(context).hasSingleBean(PeerLimitStage.class)
				.hasSingleBean(PrincipalLimitStage.class)
				.hasSingleBean(InMemoryRateLimiter.class)
				.hasBean("grpcRateLimiter");
			assertThat(output).doesNotContain("Rate limits are kept");
		});
	}

	@Test
	void stagesWhenSecurityIsOffThenNone() {
		this.runner.withPropertyValues("grpc.security.enabled=false")
			.run((context) -> assertThat(context).doesNotHaveBean(PeerLimitStage.class)
				.doesNotHaveBean(RateLimiter.class));
	}

	@Test
	void limiterWhenUserHasOneThenOursBacksOff() {
		RateLimiter own = (permits) -> new CompletableFuture<>();
		this.runner.withBean("own", RateLimiter.class, () -> own)
			.run((context) -> assertThat(context.getBean(RateLimiter.class)).isSameAs(own));
	}

	@Test
	void storeWhenAutoAndNobodyConfiguredRedisThenMemoryAndLogSaysWhy(CapturedOutput output) {
		this.runner.run((context) -> {
			assertThat(context).hasSingleBean(LettuceConnectionFactory.class);
			assertThat(context.getBean(RateLimiter.class)).isInstanceOf(InMemoryRateLimiter.class);
			assertThat(output).contains(
					"Rate limits are kept in this server alone, because no property under spring.data.redis names a server");
		});
	}

	@ParameterizedTest
	@ValueSource(strings = { "spring.data.redis.host=127.0.0.1", "spring.data.redis.url=redis://127.0.0.1:1",
			"spring.data.redis.port=1" })
	void storeWhenAutoAndPropertyNamesAServerThenRedis(String property, CapturedOutput output) {
		this.runner.withPropertyValues("spring.data.redis.port=1", property).run((context) -> {
			assertThat(context.getBean(RateLimiter.class)).isInstanceOf(FailoverRateLimiter.class);
			assertThat(output).contains("Rate limits are kept in Redis, because spring.data.redis.");
		});
	}

	@ParameterizedTest
	@CsvSource({ "spring.data.redis.cluster.nodes", "spring.data.redis.sentinel.nodes",
			"spring.data.redis.masterreplica.nodes" })
	void storeWhenAutoAndPropertyNamesNodesThenRedis(String property, CapturedOutput output) {
		ApplicationContextRunner configured = this.runner.withPropertyValues(property + "[0]=127.0.0.1:1");
		if (property.contains("sentinel")) {
			configured = configured.withPropertyValues("spring.data.redis.sentinel.master=bank");
		}
		configured.run((context) -> assertThat(output)
			.contains("Rate limits are kept in Redis, because " + property + " is set"));
	}

	@Test
	void storeWhenAutoAndUserHasAConnectionFactoryThenRedis(CapturedOutput output) {
		this.runner.withUserConfiguration(OwnFactory.class).run((context) -> {
			assertThat(context.getBean(RateLimiter.class)).isInstanceOf(FailoverRateLimiter.class);
			assertThat(output).contains("because the bean 'own' connects to it");
		});
	}

	@Test
	void storeWhenAutoAndUserHasConnectionDetailsThenRedis(CapturedOutput output) {
		this.runner.withBean("details", DataRedisConnectionDetails.class, Details::new).run((context) -> {
			assertThat(context.getBean(RateLimiter.class)).isInstanceOf(FailoverRateLimiter.class);
			assertThat(output).contains("because the bean 'details' says where it is");
		});
	}

	@Test
	void storeWhenMemoryThenRedisIsNotUsed() {
		this.runner.withPropertyValues("spring.data.redis.port=1", "grpc.security.rate-limit.store=memory")
			.run((context) -> assertThat(context.getBean(RateLimiter.class)).isInstanceOf(InMemoryRateLimiter.class));
	}

	@Test
	void storeWhenRedisThenConnectionFactoryOfBootIsUsed() {
		this.runner.withPropertyValues("grpc.security.rate-limit.store=redis")
			.run((context) -> assertThat(context.getBean(RateLimiter.class)).isInstanceOf(FailoverRateLimiter.class));
	}

	@Test
	void storeWhenRedisWithoutConnectionFactoryThenStartFailsWithTheWayOut() {
		this.bare.withPropertyValues(RULE)
			.withPropertyValues("grpc.security.rate-limit.store=redis")
			.run((context) -> assertMissing(context.getStartupFailure()));
	}

	@Test
	void storeWhenRedisWithoutLettuceThenStartFailsWithTheWayOut() {
		this.bare.withPropertyValues(RULE)
			.withClassLoader(new FilteredClassLoader(AbstractRedisClient.class, RedisConnectionFactory.class,
					LettuceConnectionFactory.class))
			.withPropertyValues("grpc.security.rate-limit.store=redis")
			.run((context) -> assertMissing(context.getStartupFailure()));
	}

	@Test
	void storeWhenRedisAndSeveralConnectionFactoriesThenStartFailsWithTheWayOut() {
		this.bare.withPropertyValues("grpc.security.rate-limit.store=redis")
			.withUserConfiguration(OwnFactory.class, OtherFactory.class)
			.run((context) -> {
				FailureAnalysis analysis = new GrpcRateLimitFailureAnalyzer().analyze(context.getStartupFailure());
				assertThat(analysis.getDescription())
					.isEqualTo("grpc.security.rate-limit.store is 'redis', but there is more than one"
							+ " LettuceConnectionFactory bean, and none is @Primary: own, other.");
				assertThat(analysis.getAction()).contains("@Primary");
			});
	}

	@Test
	void storeWhenAutoAndSeveralConnectionFactoriesThenStartFailsWithTheWayOut() {
		this.runner.withUserConfiguration(OwnFactory.class, OtherFactory.class)
			.run((context) -> assertAnalysis(context.getStartupFailure(),
					"Rate limits are to be kept in Redis, because the bean 'own' connects to it, but there is more than"
							+ " one LettuceConnectionFactory bean, and none is @Primary: own, other.",
					"Mark the one to use as @Primary, or keep permits in this server alone with"
							+ " grpc.security.rate-limit.store=memory."));
		this.runner.withUserConfiguration(OwnFactory.class, PrimaryFactory.class)
			.run((context) -> assertThat(context.getBean(RateLimiter.class)).isInstanceOf(FailoverRateLimiter.class));
		this.runner.withUserConfiguration(OwnFactory.class, OtherFactory.class)
			.withPropertyValues("grpc.security.rate-limit.store=memory")
			.run((context) -> assertThat(context.getBean(RateLimiter.class)).isInstanceOf(InMemoryRateLimiter.class));
	}

	@ParameterizedTest
	@ValueSource(strings = { "", "io.lettuce" })
	void storeWhenAutoAndConnectionIsNotByLettuceThenStartFailsWithTheWayOut(String missing) {
		this.runner.withBean("jedis", OtherClient.class)
			.withPropertyValues("spring.data.redis.host=redis.example")
			.withClassLoader(missing.isEmpty() ? getClass().getClassLoader() : new FilteredClassLoader(missing))
			.run((context) -> assertAnalysis(context.getStartupFailure(),
					"Rate limits are to be kept in Redis, because spring.data.redis.host is set, but there is no"
							+ " LettuceConnectionFactory bean, only jedis (OtherClient).",
					"Connect with Lettuce, which spring-boot-starter-data-redis brings and"
							+ " spring.data.redis.client-type=lettuce chooses, or keep permits in this server alone"
							+ " with grpc.security.rate-limit.store=memory."));
	}

	@Test
	void storeWhenAutoAndNobodyConnectsThenStartFailsWithTheWayOut() {
		this.bare.withPropertyValues(RULE)
			.withPropertyValues("spring.data.redis.host=redis.example")
			.run((context) -> assertAnalysis(context.getStartupFailure(),
					"Rate limits are to be kept in Redis, because spring.data.redis.host is set, but there is no"
							+ " RedisConnectionFactory bean.",
					"Add spring-boot-starter-data-redis and set spring.data.redis.*, or keep permits in this server"
							+ " alone with grpc.security.rate-limit.store=memory."));
	}

	@Test
	void storeWhenAutoAndSeveralConnectionFactoriesWithoutRulesThenRulesCannotComeLater() {
		this.empty.withUserConfiguration(OwnFactory.class, OtherFactory.class).run((context) -> {
			assertThat(context).hasNotFailed();
			RateLimitRules rules = context.getBean(RateLimitRules.class);
			List<RateLimitRule> each = List
				.of(TestRules.messages(TestRules.rule("each", "call", 10, Duration.ofSeconds(1))));
			rules.update(each);

			assertThatThrownBy(() -> rules.update(List.of(TestRules.rule("a", 10, Duration.ofSeconds(1)))))
				.isInstanceOf(MissingRedisException.class)
				.hasMessageContaining("more than one LettuceConnectionFactory bean")
				.hasMessageContaining("grpc.security.rate-limit.store=memory");
			assertThat(rules.all()).isEqualTo(each);
		});
	}

	private static void assertAnalysis(Throwable failure, String description, String action) {
		FailureAnalysis analysis = new GrpcRateLimitFailureAnalyzer().analyze(failure);
		assertThat(analysis.getDescription()).isEqualTo(description);
		assertThat(analysis.getAction()).isEqualTo(action);
	}

	private static double fallback(AssertableApplicationContext context) {
		return context.getBean(MeterRegistry.class).get("grpc.security.rate-limit.fallback").gauge().value();
	}

	@ParameterizedTest
	@ValueSource(strings = { "", "rules[0].name=server;rules[0].key=global;rules[0].concurrency=5",
			"rules[0].name=each;rules[0].key=call;rules[0].limit=5;rules[0].messages=true" })
	void fallbackWhenNoRuleNeedsRedisThenZeroAndNobodyConnects(String rules, CapturedOutput output) {
		String[] settings = java.util.Arrays.stream(rules.split(";"))
			.filter((each) -> !each.isEmpty())
			.map((each) -> "grpc.security.rate-limit." + each)
			.toArray(String[]::new);
		this.empty.withBean(MeterRegistry.class, SimpleMeterRegistry::new)
			.withPropertyValues("spring.data.redis.port=1")
			.withPropertyValues(settings)
			.run((context) -> {
				assertThat(context.getBean(RateLimiter.class)).isInstanceOf(FailoverRateLimiter.class);
				assertThat(fallback(context)).isZero();
				assertThat(output).doesNotContain("Rate limits are kept");

				context.getBean(RateLimitRules.class)
					.update(List.of(TestRules.rule("a", 10, Duration.ofSeconds(1))), List.of());
				assertThat(fallback(context)).isOne();
				context.getBean(RateLimitRules.class).update(List.of(), List.of());
				assertThat(fallback(context)).isZero();
			});
	}

	@Test
	void updateWhenItBringsTheFirstRulesThenRedisIsConnectedAtOnce(CapturedOutput output) {
		try (TestRedis redis = TestRedis.start()) {
			this.empty
				.withPropertyValues("spring.data.redis.port=" + redis.port(),
						"grpc.security.rate-limit.redis.timeout=5s")
				.run((context) -> {
					FailoverRateLimiter limiter = (FailoverRateLimiter) context.getBean(RateLimiter.class);
					RateLimitRules rules = context.getBean(RateLimitRules.class);
					assertThat(output).doesNotContain("Rate limits are kept");

					rules.update(List.of(TestRules.rule("a", 10, Duration.ofSeconds(1))));

					await().until(() -> !limiter.fallbackActive());
					rules.update(List.of());
					rules.update(List.of(TestRules.rule("b", 10, Duration.ofSeconds(1))));
					assertThat(output)
						.containsOnlyOnce("Rate limits are kept in Redis, because spring.data.redis.port is set");
				});
		}
	}

	@Test
	void updateWhenItBringsTheFirstRulesThenLogSaysThatTheyAreInMemory(CapturedOutput output) {
		this.empty.run((context) -> {
			context.getBean(RateLimitRules.class).update(List.of(TestRules.rule("a", 10, Duration.ofSeconds(1))));

			assertThat(output).containsOnlyOnce("Rate limits are kept in this server alone, because no property");
		});
	}

	@Test
	void reloadWhenEnvironmentOfTheSystemHasUnknownNamesThenIgnoredAsAtTheStart() {
		this.runner.withSystemProperties("grpc.security.rate-limit.foo=1")
			.withInitializer((context) -> context.getEnvironment()
				.getPropertySources()
				.replace(StandardEnvironment.SYSTEM_ENVIRONMENT_PROPERTY_SOURCE_NAME,
						new SystemEnvironmentPropertySource(StandardEnvironment.SYSTEM_ENVIRONMENT_PROPERTY_SOURCE_NAME,
								Map.of("GRPC_SECURITY_RATELIMIT_BAR", "4"))))
			.run((context) -> {
				assertThat(context).hasNotFailed();

				context.getBean(GrpcRateLimitReloader.class).reload();

				assertThat(context.getBean(RateLimitRules.class).all()).hasSize(1);
			});
	}

	private static void assertMissing(Throwable failure) {
		FailureAnalysis analysis = new GrpcRateLimitFailureAnalyzer().analyze(failure);
		assertThat(analysis.getDescription())
			.isEqualTo("grpc.security.rate-limit.store is 'redis', but there is no RedisConnectionFactory bean.");
		assertThat(analysis.getAction())
			.isEqualTo("Add spring-boot-starter-data-redis and set spring.data.redis.*, or keep permits in this "
					+ "server alone with grpc.security.rate-limit.store=memory.");
	}

	@Test
	void storeWhenAutoWithoutRedisOnClassPathThenMemory(CapturedOutput output) {
		this.bare.withPropertyValues(RULE)
			.withClassLoader(new FilteredClassLoader("org.springframework.data.redis", "io.lettuce"))
			.run((context) -> {
				assertThat(context.getBean(RateLimiter.class)).isInstanceOf(InMemoryRateLimiter.class);
				assertThat(output).contains("because Spring Data Redis is not on the class path");
			});
	}

	@Test
	void storeWhenLettuceWithoutSpringDataThenMemory() {
		this.bare.withPropertyValues(RULE)
			.withClassLoader(new FilteredClassLoader("org.springframework.data.redis"))
			.run((context) -> assertThat(context.getBean(RateLimiter.class)).isInstanceOf(InMemoryRateLimiter.class));
	}

	@Test
	void metricsWhenRegistryThenCountersOfAllRules() {
		this.runner.withBean(MeterRegistry.class, SimpleMeterRegistry::new).run((context) -> {
			assertThat(context).hasSingleBean(MicrometerRateLimitObserver.class);
			assertThat(context.getBean(MeterRegistry.class)
				.get("grpc.security.rate-limit")
				.tags("rule", "per-peer", "outcome", "denied")
				.counter()
				.count()).isZero();
		});
	}

	@Test
	void leasesWhenRedisThenOnByDefaultAndEffective() {
		try (TestRedis redis = TestRedis.start()) {
			ApplicationContextRunner connected = this.runner.withBean(MeterRegistry.class, SimpleMeterRegistry::new)
				.withPropertyValues("spring.data.redis.port=" + redis.port(),
						"grpc.security.rate-limit.rules[0].limit=100000", "grpc.security.rate-limit.redis.timeout=5s");
			connected.run((context) -> {
				assertThat(operationsOf(context)).isLessThan(100);
				assertThat(context.getBean(MeterRegistry.class)
					.get("grpc.security.rate-limit.leased")
					.tag("rule", "per-peer")
					.gauge()
					.value()).isPositive();
				context.getBean(LeaseRelease.class).stop();
				assertThat(context.getBean(MeterRegistry.class).get("grpc.security.rate-limit.leased").gauge().value())
					.isZero();
			});
			connected.withPropertyValues("grpc.security.rate-limit.lease.enabled=false")
				.run((context) -> assertThat(operationsOf(context)).isGreaterThanOrEqualTo(1000));
			connected
				.withPropertyValues("grpc.security.rate-limit.lease.max-share=0.00001",
						"grpc.security.rate-limit.lease.ttl=20ms")
				.run((context) -> assertThat(operationsOf(context)).isGreaterThanOrEqualTo(1000));
		}
	}

	private static double operationsOf(AssertableApplicationContext context) {
		return operationsOf(context, 1000);
	}

	private static double operationsOf(AssertableApplicationContext context, int calls) {
		FailoverRateLimiter limiter = (FailoverRateLimiter) context.getBean(RateLimiter.class);
		MeterRegistry registry = context.getBean(MeterRegistry.class);
		while (registry.get("grpc.security.rate-limit.fallback").gauge().value() == 1) {
			limiter.connect();
			LockSupport.parkNanos(1_000_000);
		}
		RateLimitRule rule = context.getBean(GrpcRateLimitRules.class).rules().get(0);
		for (int i = 0; i < calls; i++) {
			RateLimitDecision decision = limiter.tryAcquire(List.of(new RateLimitPermit(rule, "a")))
				.toCompletableFuture()
				.join();
			assertThat(decision.permitted()).isTrue();
			assertThat(decision.fallback()).isFalse();
		}
		return registry.get("grpc.security.rate-limit.operations").functionCounter().count();
	}

	@Test
	void metricsWhenNoRegistryOrNoMicrometerThenNone() {
		this.runner.run((context) -> assertThat(context).doesNotHaveBean(MicrometerRateLimitObserver.class));
		this.runner.withClassLoader(new FilteredClassLoader("io.micrometer.core"))
			.run((context) -> assertThat(context).hasNotFailed().doesNotHaveBean(MicrometerRateLimitObserver.class));
	}

	@Test
	void rulesWhenEverythingIsSetThenAllOfItIsUsed() {
		this.runner
			.withPropertyValues(rule("methods[0]=bank.*/*"), rule("methods[1]=bank.Accounts/Get"), rule("period=2m"),
					rule("burst=30"), rule("cost=3"), rule("shadow=true"), rule("on-failure=deny"),
					rule("response-status=UNAVAILABLE"), "grpc.security.rate-limit.expected-instances=3",
					"grpc.security.rate-limit.redis.timeout=5", "grpc.security.rate-limit.redis.key-prefix=bank:")
			.run((context) -> {
				RateLimitRule rule = context.getBean(GrpcRateLimitRules.class).rules().get(0);
				assertThat(rule.name()).isEqualTo("per-peer");
				assertThat(rule.key()).hasToString("peer");
				assertThat(rule.methods()).map(Object::toString).containsExactly("bank.*/*", "bank.Accounts/Get");
				assertThat(rule.gcra()).hasToString("10 per PT2M, burst 30, cost 3");
				assertThat(rule.shadow()).isTrue();
				assertThat(rule.onFailure()).isEqualTo(RateLimitRule.OnFailure.DENY);
				assertThat(rule.code()).isEqualTo(Status.Code.UNAVAILABLE);
				GrpcRateLimitProperties properties = context.getBean(GrpcRateLimitProperties.class);
				assertThat(properties.redis().timeout()).hasMillis(5);
				assertThat(properties.redis().keyPrefix()).isEqualTo("bank:");
			});
	}

	@Test
	void rulesWhenLittleIsSetThenDefaultsAreThoseOfTheContract() {
		this.runner.run((context) -> {
			RateLimitRule rule = context.getBean(GrpcRateLimitRules.class).rules().get(0);
			assertThat(rule.methods()).map(Object::toString).containsExactly("**");
			assertThat(rule.gcra()).hasToString("10 per PT1S, burst 10, cost 1");
			assertThat(rule.shadow()).isFalse();
			assertThat(rule.onFailure()).isEqualTo(RateLimitRule.OnFailure.LOCAL);
			assertThat(rule.code()).isEqualTo(Status.Code.RESOURCE_EXHAUSTED);
			GrpcRateLimitProperties properties = context.getBean(GrpcRateLimitProperties.class);
			assertThat(properties.store()).isEqualTo(GrpcRateLimitProperties.Store.AUTO);
			assertThat(properties.expectedInstances()).isEqualTo(1);
			assertThat(properties.redis().timeout()).hasMillis(20);
			assertThat(properties.lease().enabled()).isTrue();
			assertThat(properties.lease().ttl()).hasSeconds(1);
			assertThat(properties.lease().maxShare()).isEqualTo(0.1);
			assertThat(properties.redis().keyPrefix()).isEqualTo("grpc-security:");
		});
	}

	private static String rule(String property) {
		return "grpc.security.rate-limit.rules[0]." + property;
	}

	@ParameterizedTest
	@CsvSource(delimiter = '|', value = { "rules[0].name= | rules[0].name | at most 64 letters",
			"rules[0].name=a:b | rules[0].name | letters",
			"rules[0].key=ip | rules[0].key | There is no key 'ip' and no RateLimitKeyResolver bean of that name",
			"rules[0].key=header:x-bin | rules[0].key | binary",
			"rules[0].key=auth.principl | rules[0].key | undeclared reference",
			"rules[0].key=message.iban | rules[0].key | undeclared reference",
			"rules[0].key='a' + | rules[0].key | not an expression in CEL",
			"rules[0].key=[auth.principal] | rules[0].key | it has to be a text",
			"rules[0].replaces=other | rules[0].replaces | There is no rule 'other'",
			"rules[0].replaces=per-peer | rules[0].replaces | replace each other",
			"rules[0].costs[0].cost=2 | rules[0].costs[0].methods | one method at least",
			"rules[0].costs[0].methods=bank | rules[0].costs[0].methods[0] | no slash",
			"rules[0].limit=0 | rules[0].limit | at least 1", "rules[0].limit=-5 | rules[0].limit | at least 1",
			"rules[0].limit=2000000000 | rules[0].limit | The limit must be from 1 to 1000000000",
			"rules[0].burst=0 | rules[0].burst | at least 1", "rules[0].cost=0 | rules[0].cost | at least 1",
			"rules[0].cost=11 | rules[0].cost | A cost of 11 exceeds the burst, which is 10: no such call",
			"rules[0].cost=1000000000;expected-instances=100 | rules[0].cost | exceeds the burst",
			"rules[0].cost=2000000000 | rules[0].cost | from 0 to 1000000000",
			"rules[0].period=0s | rules[0].period | The period must be longer than zero",
			"rules[0].methods=bank.Accounts | rules[0].methods[0] | no slash",
			"rules[0].methods= | rules[0].methods | at least", "expected-instances=0 | expected-instances | at least 1",
			"redis.timeout=0ms | redis.timeout | longer than zero",
			"lease.ttl=5ms | lease.ttl | from 10 milliseconds to one minute",
			"lease.ttl=61s | lease.ttl | from 10 milliseconds to one minute",
			"lease.max-share=0 | lease.max-share | above 0", "lease.max-share=1.5 | lease.max-share | not above 1",
			"lease.max-share=NaN | lease.max-share | above 0",
			"redis.key-prefix={}x | redis.key-prefix | no empty hash tag" })
	void rulesWhenValueIsBadThenStartFailsAndNamesTheProperty(String setting, String property, String reason) {
		String[] settings = java.util.Arrays.stream(setting.split(";"))
			.map((each) -> "grpc.security.rate-limit." + each)
			.toArray(String[]::new);
		this.runner.withPropertyValues(settings)
			.run((context) -> assertThat(context.getStartupFailure()).rootCause()
				.isInstanceOfSatisfying(InvalidConfigurationPropertyValueException.class, (ex) -> {
					assertThat(ex.getName()).isEqualTo("grpc.security.rate-limit." + property);
					assertThat(ex.getReason()).contains(reason);
				}));
	}

	@ParameterizedTest
	@CsvSource(delimiter = '|', value = { "0 | costs[0].cost | at least 1",
			"11 | costs | A cost of 11 exceeds the burst, which is 10", "99999999999 | costs | exceeds the burst" })
	void costsWhenOneIsBadThenStartFailsAndNamesTheProperty(String cost, String property, String reason) {
		this.runner.withPropertyValues(rule("costs[0].methods[0]=bank.Accounts/Export"), rule("costs[0].cost=" + cost))
			.run((context) -> assertThat(context.getStartupFailure()).rootCause()
				.isInstanceOfSatisfying(InvalidConfigurationPropertyValueException.class, (ex) -> {
					assertThat(ex.getName()).isEqualTo(rule(property));
					assertThat(ex.getReason()).contains(reason);
				}));
	}

	@Test
	void rulesWhenTheyReplaceAndCostThenAllOfItIsUsed() {
		this.runner.withPropertyValues(rule("costs[0].methods[0]=bank.Accounts/Export"), rule("costs[0].cost=5"),
				"grpc.security.rate-limit.rules[1].name=special", "grpc.security.rate-limit.rules[1].key=global",
				"grpc.security.rate-limit.rules[1].limit=1", "grpc.security.rate-limit.rules[1].replaces[0]=per-peer")
			.run((context) -> {
				List<RateLimitRule> rules = context.getBean(RateLimitRules.class).all();
				assertThat(rules.get(0).costs()).singleElement().satisfies((each) -> {
					assertThat(each.cost()).isEqualTo(5);
					assertThat(each.methods()).map(Object::toString).containsExactly("bank.Accounts/Export");
				});
				assertThat(rules.get(1).replaces()).containsExactly("per-peer");
			});
	}

	@Test
	void keyWhenItIsABeanThenThatResolves() {
		RateLimitKeyResolver tenant = (call) -> "tenant";
		this.runner.withBean("tenant", RateLimitKeyResolver.class, () -> tenant)
			.withPropertyValues(rule("key=tenant"))
			.run((context) -> assertThat(context.getBean(RateLimitRules.class).all().get(0).key())
				.isEqualTo(RateLimitKey.of("tenant", tenant)));
		this.runner.withBean("tenant", String.class, () -> "no resolver")
			.withPropertyValues(rule("key=tenant"))
			.run((context) -> assertThat(context.getStartupFailure())
				.hasStackTraceContaining("no RateLimitKeyResolver bean"));
	}

	@ParameterizedTest
	@EnumSource
	void keyWhenItIsAnExpressionThenItsValueCountsAndWithoutOneCallsShareAKey(CallType type) {
		this.runner
			.withPropertyValues(rule("key=request.headers['tenant'] + '/' + grpc.method"), rule("limit=1"),
					rule("period=1h"), "grpc.security.rate-limit.store=memory")
			.run((context) -> {
				try (TestServer server = TestServer.network(new EchoService(),
						List.of(context.getBean(PeerLimitStage.class), context.getBean(PrincipalLimitStage.class)))) {
					assertThat(server.security().plans().get(0).describe()).singleElement()
						.satisfies((step) -> assertThat(step.stage()).isEqualTo(SecurityStage.PEER_LIMITS));
					assertThat(type.call(server.channel(), tenant("a"), "x").code()).isEqualTo(Status.Code.OK);
					assertThat(type.call(server.channel(), tenant("a"), "x").code())
						.isEqualTo(Status.Code.RESOURCE_EXHAUSTED);
					assertThat(type.call(server.channel(), tenant("b"), "x").code()).isEqualTo(Status.Code.OK);
					assertThat(type.call(server.channel()).code()).isEqualTo(Status.Code.OK);
					assertThat(type.call(server.channel()).code()).isEqualTo(Status.Code.RESOURCE_EXHAUSTED);
				}
			});
	}

	private static Metadata tenant(String name) {
		Metadata headers = new Metadata();
		headers.put(Metadata.Key.of("tenant", Metadata.ASCII_STRING_MARSHALLER), name);
		return headers;
	}

	@Test
	void keyWhenExpressionLooksAtTheCallerThenCountedAfterAuthentication() {
		this.runner
			.withPropertyValues(rule("key=auth.claims.tenant"), "grpc.security.rate-limit.rules[1].name=early",
					"grpc.security.rate-limit.rules[1].key=source.address + grpc.service",
					"grpc.security.rate-limit.rules[1].limit=1")
			.run((context) -> {
				try (TestServer server = TestServer.inProcess(new EchoService(),
						List.of(context.getBean(PeerLimitStage.class), context.getBean(PrincipalLimitStage.class)))) {
					assertThat(server.security().plans().get(0).describe()).extracting("stage")
						.containsExactly(SecurityStage.PEER_LIMITS, SecurityStage.PRINCIPAL_LIMITS);
				}
			});
	}

	@Test
	void keyWhenItIsAnExpressionWithoutCelThenStartFailsWithTheWayOut() {
		this.runner.withClassLoader(new FilteredClassLoader("dev.cel"))
			.withPropertyValues(rule("key=auth.claims.tenant"))
			.run((context) -> assertThat(context.getStartupFailure())
				.hasStackTraceContaining("is an expression in CEL, which is not on the class path; add dev.cel:cel"));
		this.runner.withClassLoader(new FilteredClassLoader("dev.cel"))
			.run((context) -> assertThat(context).hasNotFailed());
	}

	@Test
	void reloadWhenPropertiesHaveChangedThenRulesAreInForceAtOnceAndDebtStays() {
		Map<String, Object> changed = new ConcurrentHashMap<>();
		this.runner
			.withInitializer((context) -> context.getEnvironment()
				.getPropertySources()
				.addFirst(new MapPropertySource("changed", changed)))
			.withBean(MeterRegistry.class, SimpleMeterRegistry::new)
			.withPropertyValues(rule("period=1h"), "grpc.security.rate-limit.store=memory")
			.run((context) -> {
				RateLimitRules rules = context.getBean(RateLimitRules.class);
				try (TestServer server = TestServer.network(new EchoService(),
						List.of(context.getBean(PeerLimitStage.class)))) {
					rules.onUpdate((now) -> server.security().refresh());
					for (int i = 0; i < 4; i++) {
						assertThat(CallType.UNARY.call(server.channel()).code()).isEqualTo(Status.Code.OK);
					}
					// As a whole: what one property source says of a list is all of it
					changed.putAll(Map.of(rule("name"), "per-peer", rule("key"), "peer", rule("limit"), "5",
							rule("period"), "1h", "grpc.security.rate-limit.rules[1].name", "new",
							"grpc.security.rate-limit.rules[1].key", "global",
							"grpc.security.rate-limit.rules[1].limit", "1000"));
					context.getBean(GrpcRateLimitReloader.class).reload();

					int admitted = 0;
					while (CallType.UNARY.call(server.channel()).code() == Status.Code.OK) {
						admitted++;
					}
					assertThat(admitted).isEqualTo(3);
					assertThat(context.getBean(MeterRegistry.class)
						.get("grpc.security.rate-limit")
						.tags("rule", "new", "outcome", "allowed")
						.counter()
						.count()).isEqualTo(3);

					changed.put("grpc.security.rate-limit.rules[2].name", "in-flight");
					changed.put("grpc.security.rate-limit.rules[2].key", "global");
					changed.put("grpc.security.rate-limit.rules[2].concurrency", "5");
					context.getBean(GrpcRateLimitReloader.class).reload();
					assertThat(rules.concurrency()).singleElement()
						.satisfies((rule) -> assertThat(rule.limit()).isEqualTo(5));

					changed.put("grpc.security.rate-limit.rules[2].concurrency", "6");
					changed.put(rule("limt"), "6");
					assertThatThrownBy(() -> context.getBean(GrpcRateLimitReloader.class).reload())
						.hasStackTraceContaining("limt");
					assertThat(rules.all()).hasSize(2);
					assertThat(rules.concurrency()).singleElement()
						.satisfies((rule) -> assertThat(rule.limit()).isEqualTo(5));
				}
			});
	}

	@Test
	void updateWhenThereIsAServerThenItsPlansAreCompiledAnew() {
		this.runner.withConfiguration(AutoConfigurations.of(GrpcSecurityAutoConfiguration.class))
			.withPropertyValues("grpc.security.rate-limit.store=memory")
			.run((context) -> {
				GrpcServerSecurity security = context.getBean(GrpcServerSecurity.class);
				RateLimitRules rules = context.getBean(RateLimitRules.class);
				rules.update(List.of(rules.all().get(0).withGcra(new Gcra(77, Duration.ofSeconds(1), 77, 1))));

				assertThat(security.plans().get(0).toString()).contains("77 per PT1S");
			});
	}

	@Test
	void metricsWhenRedisAnswersThenLatencyIsMeasured() {
		try (TestRedis redis = TestRedis.start()) {
			this.runner.withBean(MeterRegistry.class, SimpleMeterRegistry::new)
				.withPropertyValues("spring.data.redis.port=" + redis.port(),
						"grpc.security.rate-limit.redis.timeout=5s", "grpc.security.rate-limit.lease.enabled=false")
				.run((context) -> {
					operationsOf(context, 5);
					Timer latency = context.getBean(MeterRegistry.class)
						.get("grpc.security.rate-limit.latency")
						.timer();
					assertThat(latency.count()).isGreaterThanOrEqualTo(5);
					assertThat(latency.totalTime(TimeUnit.NANOSECONDS)).isPositive();
				});
		}
	}

	@Test
	void rulesWhenTwoShareANameThenStartFails() {
		this.runner
			.withPropertyValues("grpc.security.rate-limit.rules[1].name=per-peer",
					"grpc.security.rate-limit.rules[1].key=global", "grpc.security.rate-limit.rules[1].limit=1")
			.run((context) -> assertThat(context.getStartupFailure()).rootCause()
				.hasMessageContaining("grpc.security.rate-limit.rules[1].name"));
	}

	@ParameterizedTest
	@ValueSource(strings = { "name=x", "key=peer", "limit=1" })
	void rulesWhenSomethingNeededIsMissingThenStartFailsAndNamesIt(String only) {
		this.empty.withPropertyValues(rule(only))
			.run((context) -> assertThat(context.getStartupFailure()).rootCause()
				.isInstanceOf(InvalidConfigurationPropertyValueException.class)
				.hasMessageContaining("Each rule needs"));
	}

	@ParameterizedTest
	@ValueSource(strings = { "rules[0].limt=5", "rules[0].on-failure=open", "rules[0].response-status=OK", "stor=redis",
			"lease.tll=1s", "store=jdbc" })
	void propertiesWhenNameOrEnumIsUnknownThenStartFails(String setting) {
		this.runner.withPropertyValues("grpc.security.rate-limit." + setting)
			.run((context) -> assertThat(context.getStartupFailure())
				.hasStackTraceContaining(setting.substring(0, setting.indexOf('='))));
	}

	@Configuration(proxyBeanMethods = false)
	static class OwnFactory {

		@Bean
		LettuceConnectionFactory own() {
			return new LettuceConnectionFactory("127.0.0.1", 1);
		}

	}

	@Configuration(proxyBeanMethods = false)
	static class PrimaryFactory {

		@Bean
		@Primary
		LettuceConnectionFactory primary() {
			return new LettuceConnectionFactory("127.0.0.1", 1);
		}

	}

	@Configuration(proxyBeanMethods = false)
	static class OtherFactory {

		@Bean
		LettuceConnectionFactory other() {
			return new LettuceConnectionFactory("127.0.0.1", 2);
		}

	}

	/** Connects without Lettuce. */
	static final class OtherClient implements RedisConnectionFactory {

		@Override
		public RedisConnection getConnection() {
			throw new UnsupportedOperationException();
		}

		@Override
		public RedisClusterConnection getClusterConnection() {
			throw new UnsupportedOperationException();
		}

		@Override
		public RedisSentinelConnection getSentinelConnection() {
			throw new UnsupportedOperationException();
		}

		@Override
		public boolean getConvertPipelineAndTxResults() {
			return false;
		}

		@Override
		public DataAccessException translateExceptionIfPossible(RuntimeException ex) {
			return null;
		}

	}

	static final class Details implements DataRedisConnectionDetails {

		@Override
		public Standalone getStandalone() {
			return Standalone.of("127.0.0.1", 1);
		}

	}

}
