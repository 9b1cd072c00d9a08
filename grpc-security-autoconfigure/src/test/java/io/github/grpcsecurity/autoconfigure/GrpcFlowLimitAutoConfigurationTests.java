package io.github.grpcsecurity.autoconfigure;

import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;

import io.github.grpcsecurity.ratelimit.ConcurrencyLimiter;
import io.github.grpcsecurity.ratelimit.ConcurrencyMetrics;
import io.github.grpcsecurity.ratelimit.ConcurrencyRule;
import io.github.grpcsecurity.ratelimit.ConcurrencyStage;
import io.github.grpcsecurity.ratelimit.MessageLimitStage;
import io.github.grpcsecurity.ratelimit.PeerLimitStage;
import io.github.grpcsecurity.ratelimit.RateLimitObserver;
import io.github.grpcsecurity.ratelimit.RateLimitObserver.Outcome;
import io.github.grpcsecurity.ratelimit.RateLimitRule;
import io.github.grpcsecurity.ratelimit.RateLimitRule.OnExceed;
import io.github.grpcsecurity.ratelimit.RateLimitRules;
import io.github.grpcsecurity.server.CallStage;
import io.github.grpcsecurity.server.GrpcSecurityThreads;
import io.github.grpcsecurity.server.GrpcServerSecurity;
import io.grpc.Status;
import io.micrometer.core.instrument.MeterRegistry;
import io.micrometer.core.instrument.simple.SimpleMeterRegistry;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

import org.springframework.boot.autoconfigure.AutoConfigurations;
import org.springframework.boot.context.properties.source.InvalidConfigurationPropertyValueException;
import org.springframework.boot.test.context.FilteredClassLoader;
import org.springframework.boot.test.context.runner.ApplicationContextRunner;
import org.springframework.context.ApplicationContext;
import org.springframework.core.env.MapPropertySource;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

class GrpcFlowLimitAutoConfigurationTests {

	private static final String PREFIX = "grpc.security.rate-limit.";

	private final ApplicationContextRunner empty = new ApplicationContextRunner()
		.withConfiguration(AutoConfigurations.of(GrpcFlowLimitAutoConfiguration.class,
				GrpcRateLimitAutoConfiguration.class, GrpcSecurityAutoConfiguration.class));

	private final ApplicationContextRunner calls = this.empty.withPropertyValues(PREFIX + "rules[0].name=server",
			PREFIX + "rules[0].key=global");

	private final ApplicationContextRunner messages = this.calls.withPropertyValues(PREFIX + "rules[0].limit=10",
			PREFIX + "rules[0].messages=true");

	private static String rule(String property) {
		return PREFIX + "rules[0]." + property;
	}

	private static ConcurrencyRule only(ApplicationContext context) {
		assertThat(context.getBean(GrpcRateLimitRules.class).rules()).isEmpty();
		List<ConcurrencyRule> rules = context.getBean(ConcurrencyLimiter.class).rules();
		assertThat(rules).hasSize(1);
		return rules.get(0);
	}

	@Test
	void stagesWhenNothingIsSetThenTheyAreThereAndConcurrencyComesFirst() {
		this.empty.run((context) -> {
			assertThat(context).hasSingleBean(MessageLimitStage.class).hasSingleBean(ConcurrencyLimiter.class);
			assertThat(context.getBeanProvider(CallStage.class).orderedStream().toList()).hasSize(5)
				.element(0)
				.isInstanceOf(ConcurrencyStage.class);
			List<CallStage> stages = context.getBean(GrpcServerSecurity.class).stages();
			assertThat(stages).element(0).isInstanceOf(ConcurrencyStage.class);
			assertThat(stages).element(1).isInstanceOf(PeerLimitStage.class);
			assertThat(stages).element(2).isInstanceOf(ConcurrencyStage.class);
		});
	}

	@Test
	void stagesWhenSecurityIsOffThenNone() {
		this.calls.withPropertyValues("grpc.security.enabled=false", rule("concurrency=1"))
			.run((context) -> assertThat(context).doesNotHaveBean(MessageLimitStage.class)
				.doesNotHaveBean(ConcurrencyStage.class)
				.doesNotHaveBean(ConcurrencyLimiter.class));
	}

	@Test
	void limiterWhenUserHasOneThenOursBacksOff() {
		ConcurrencyLimiter own = new ConcurrencyLimiter(new RateLimitRules(List.of()), System::nanoTime);
		MessageLimitStage stage = new MessageLimitStage(List.of(), (permits) -> {
			throw new IllegalStateException();
		}, (rule, outcome) -> {
		}, new GrpcSecurityThreads().scheduler());
		this.calls.withPropertyValues(rule("concurrency=1"))
			.withBean("ownLimiter", ConcurrencyLimiter.class, () -> own)
			.withBean("ownStage", MessageLimitStage.class, () -> stage)
			.run((context) -> {
				assertThat(context.getBean(ConcurrencyLimiter.class)).isSameAs(own);
				assertThat(context.getBean(MessageLimitStage.class)).isSameAs(stage);
			});
	}

	@Test
	void metricsWhenRegistryThenMetersOfAllRules() {
		this.calls.withPropertyValues(rule("concurrency=7"))
			.withBean(MeterRegistry.class, SimpleMeterRegistry::new)
			.run((context) -> {
				MeterRegistry registry = context.getBean(MeterRegistry.class);
				assertThat(registry.get("grpc.security.rate-limit.in-flight").tag("rule", "server").gauge().value())
					.isZero();
				assertThat(registry.get("grpc.security.rate-limit.concurrency").tag("rule", "server").gauge().value())
					.isEqualTo(7);
			});
	}

	@Test
	void metricsWhenNoRegistryOrNoMicrometerThenNone() {
		this.calls.withPropertyValues(rule("concurrency=7"))
			.run((context) -> assertThat(context).doesNotHaveBean(ConcurrencyMetrics.class));
		this.calls.withPropertyValues(rule("concurrency=7"))
			.withClassLoader(new FilteredClassLoader("io.micrometer.core"))
			.run((context) -> assertThat(context).hasNotFailed().doesNotHaveBean(ConcurrencyMetrics.class));
	}

	@Test
	void messagesWhenSetThenRuleCountsMessagesAndRejects() {
		this.messages.run((context) -> {
			RateLimitRule rule = context.getBean(GrpcRateLimitRules.class).rules().get(0);
			assertThat(rule.onExceed()).isEqualTo(OnExceed.REJECT);
		});
	}

	@Test
	void bytesWhenSetThenRuleCountsBytesAndRejects() {
		this.calls
			.withPropertyValues(rule("limit=1000000000"), rule("burst=1000000"), rule("bytes=true"), rule("key=call"))
			.run((context) -> {
				RateLimitRule rule = context.getBean(GrpcRateLimitRules.class).rules().get(0);
				assertThat(rule.bytes()).isTrue();
				assertThat(rule.onExceed()).isEqualTo(OnExceed.REJECT);
				assertThat(rule.numbers()).isEqualTo("1000000000 bytes per PT1S, burst 1000000");
			});
		this.calls.withPropertyValues(rule("limit=10"), rule("bytes=true"), rule("on-exceed=backpressure"))
			.run((context) -> assertThat(context.getBean(GrpcRateLimitRules.class).rules().get(0).onExceed())
				.isEqualTo(OnExceed.BACKPRESSURE));
		this.messages
			.run((context) -> assertThat(context.getBean(GrpcRateLimitRules.class).rules().get(0).bytes()).isFalse());
	}

	@Test
	void messagesWhenCountedForEachCallThenKeyIsCall() {
		this.messages.withPropertyValues(rule("key=call"))
			.run((context) -> assertThat(context.getBean(GrpcRateLimitRules.class).rules().get(0).key())
				.hasToString("call"));
	}

	@Test
	void onExceedWhenBackpressureThenMessagesWait() {
		this.messages.withPropertyValues(rule("on-exceed=backpressure"))
			.run((context) -> assertThat(context.getBean(GrpcRateLimitRules.class).rules().get(0).onExceed())
				.isEqualTo(OnExceed.BACKPRESSURE));
	}

	@Test
	void concurrencyWhenEverythingIsSetThenAllOfItIsUsed() {
		this.calls
			.withPropertyValues(rule("concurrency=50"), rule("methods=bank.*/*"), rule("shadow=true"),
					rule("response-status=unavailable"), rule("reserved.share=0.2"),
					rule("reserved.methods=bank.Payments/*"), rule("reserved.authorities=ROLE_TELLER"))
			.run((context) -> {
				ConcurrencyRule rule = only(context);
				assertThat(rule.name()).isEqualTo("server");
				assertThat(rule.key()).hasToString("global");
				assertThat(rule.limit()).isEqualTo(50);
				assertThat(rule.adaptive()).isNull();
				assertThat(rule.methods()).map(Object::toString).containsExactly("bank.*/*");
				assertThat(rule.shadow()).isTrue();
				assertThat(rule.code()).isEqualTo(Status.Code.UNAVAILABLE);
				assertThat(rule.reserved().share()).isEqualTo(0.2);
				assertThat(rule.reserved().ordinary(50)).isEqualTo(40);
				assertThat(rule.reserved().methods()).map(Object::toString).containsExactly("bank.Payments/*");
				assertThat(rule.reserved().authorities()).containsExactly("ROLE_TELLER");
			});
	}

	@Test
	void adaptiveWhenSetThenBoundsAndDefaultsAreUsed() {
		this.calls.withPropertyValues(rule("adaptive.max=300")).run((context) -> {
			assertThat(only(context).adaptive()).isEqualTo(new ConcurrencyRule.Adaptive(5, 300));
			assertThat(only(context).limit()).isEqualTo(20);
		});
		this.calls.withPropertyValues(rule("adaptive.initial=30"), rule("adaptive.min=10")).run((context) -> {
			assertThat(only(context).adaptive()).isEqualTo(new ConcurrencyRule.Adaptive(10, 500));
			assertThat(only(context).limit()).isEqualTo(30);
		});
	}

	@Test
	void adaptiveWhenLibraryIsMissingThenStartFailsWithTheWayOut() {
		ApplicationContextRunner without = this.calls
			.withClassLoader(new FilteredClassLoader("com.netflix.concurrency"));
		without.withPropertyValues(rule("adaptive.max=300"))
			.run((context) -> assertThat(context.getStartupFailure()).rootCause()
				.isInstanceOfSatisfying(InvalidConfigurationPropertyValueException.class, (ex) -> {
					assertThat(ex.getName()).isEqualTo(rule("adaptive"));
					assertThat(ex.getReason())
						.isEqualTo("Adaptive limits need com.netflix.concurrency-limits:concurrency-limits-core on the"
								+ " class path. Add it, or set a fixed concurrency.");
				}));
		without.withPropertyValues(rule("concurrency=3")).run((context) -> assertThat(context).hasNotFailed());
	}

	@ParameterizedTest
	@CsvSource(delimiter = '|', value = { "concurrency=0 | concurrency | at least 1",
			"concurrency=5;limit=3 | limit | stands alone", "concurrency=5;period=1s | period | stands alone",
			"concurrency=5;burst=3 | burst | stands alone", "concurrency=5;cost=3 | cost | stands alone",
			"concurrency=5;on-exceed=reject | on-exceed | stands alone",
			"concurrency=5;on-failure=deny | on-failure | asks nobody",
			"concurrency=5;messages=true | messages | another rule for the messages",
			"concurrency=5;adaptive.max=9 | concurrency | keep one of the two",
			"adaptive.max=30;limit=3 | limit | stands alone", "adaptive.min=0 | adaptive.min | at least 1",
			"adaptive.max=4 | adaptive.max | at least", "adaptive.initial=501 | adaptive.initial | from 5 to 500",
			"adaptive.initial=4 | adaptive.initial | from 5 to 500",
			"adaptive.max=30;key=principal | key | use global, service or method",
			"concurrency=5;reserved.methods=** | reserved.share | above 0 and below 1",
			"concurrency=5;reserved.share=1;reserved.methods=** | reserved.share | above 0 and below 1",
			"concurrency=5;reserved.share=NaN;reserved.methods=** | reserved.share | above 0 and below 1",
			"concurrency=2;reserved.share=0.6;reserved.methods=** | reserved.share | leaves nothing to other calls",
			"concurrency=5;reserved.share=0.2 | reserved.methods | Nobody could use the share",
			"concurrency=5;reserved.share=0.2;reserved.methods=x | reserved.methods[0] | no slash",
			"limit=5;reserved.share=0.2;reserved.methods=** | reserved | Only calls in flight",
			"limit=5;on-exceed=reject | on-exceed | Set messages=true",
			"limit=5;key=call | key | Set messages=true or bytes=true to count what each call sends, or use another key",
			"limit=5;key=call;messages=true;on-failure=deny | on-failure | which asks nobody",
			"limit=5;on-exceed=reject | on-exceed | bytes=true to count their bytes",
			"limit=5;bytes=true;messages=true | messages | The rule counts bytes, which are those of messages",
			"limit=5;bytes=true;cost=2 | cost | a message costs as many as it has",
			"limit=5;bytes=true;costs[0].methods=**;costs[0].cost=1 | costs | a message costs as many as it has",
			"limit=5;bytes=true;replaces=other | replaces | There is no rule 'other'",
			"limit=2000000000;bytes=true | limit | from 1 to 1000000000",
			"concurrency=5;bytes=true | bytes | another rule for the messages",
			"concurrency=5;key=call | key | make a rule that counts the messages of each call",
			"messages=true | limit | Each rule needs a limit" })
	void rulesWhenValueIsBadThenStartFailsAndNamesTheProperty(String settings, String property, String reason) {
		ApplicationContextRunner runner = this.calls;
		for (String setting : settings.split(";")) {
			runner = runner.withPropertyValues(rule(setting));
		}
		runner.run((context) -> assertThat(context.getStartupFailure()).rootCause()
			.isInstanceOfSatisfying(InvalidConfigurationPropertyValueException.class, (ex) -> {
				assertThat(ex.getName()).isEqualTo(rule(property));
				assertThat(ex.getReason()).contains(reason);
			}));
	}

	private static void reload(ApplicationContext context, Map<String, Object> properties, String... settings) {
		properties.clear();
		for (String setting : settings) {
			int equals = setting.indexOf('=');
			properties.put(rule(setting.substring(0, equals)), setting.substring(equals + 1));
		}
		context.getBean(GrpcRateLimitReloader.class).reload();
	}

	private ApplicationContextRunner changing(Map<String, Object> properties) {
		return this.calls.withPropertyValues(rule("concurrency=7"))
			.withBean(MeterRegistry.class, SimpleMeterRegistry::new)
			.withInitializer((context) -> context.getEnvironment()
				.getPropertySources()
				.addFirst(new MapPropertySource("changed", properties)));
	}

	@Test
	void reloadWhenConcurrencyChangesThenPlansAndMetersFollow() {
		Map<String, Object> properties = new ConcurrentHashMap<>();
		changing(properties).run((context) -> {
			MeterRegistry registry = context.getBean(MeterRegistry.class);
			GrpcServerSecurity security = context.getBean(GrpcServerSecurity.class);
			assertThat(security.plans().get(0).toString()).contains("limit server by global: 7 in flight");

			reload(context, properties, "name=server", "key=global", "concurrency=9");
			assertThat(security.plans().get(0).toString()).contains("limit server by global: 9 in flight");
			assertThat(admits(registry, "server")).isEqualTo(9);

			reload(context, properties, "name=server", "key=global", "adaptive.initial=30");
			assertThat(security.plans().get(0).toString()).contains("limit server by global: from 5 to 500 in flight");
			assertThat(admits(registry, "server")).isEqualTo(30);

			reload(context, properties, "name=streams", "key=principal", "concurrency=3");
			assertThat(security.plans().get(0).toString()).contains("limit streams by principal: 3 in flight")
				.doesNotContain("limit server");
			assertThat(admits(registry, "streams")).isEqualTo(3);
			assertThat(admits(registry, "server")).isZero();
		});
	}

	private static double admits(MeterRegistry registry, String rule) {
		return registry.get("grpc.security.rate-limit.concurrency").tag("rule", rule).gauge().value();
	}

	@Test
	void reloadWhenRuleCountsSomethingElseThenItMayKeepItsName() {
		Map<String, Object> properties = new ConcurrentHashMap<>();
		changing(properties).run((context) -> {
			GrpcServerSecurity security = context.getBean(GrpcServerSecurity.class);

			reload(context, properties, "name=server", "key=global", "limit=9");
			assertThat(security.plans().get(0).toString()).contains("limit server by global: 9 per PT1S");
			reload(context, properties, "name=server", "key=global", "concurrency=3");
			assertThat(security.plans().get(0).toString()).contains("limit server by global: 3 in flight");

			for (RateLimitObserver observer : context.getBeanProvider(RateLimitObserver.class)) {
				observer.applied(context.getBean(RateLimitRules.class).concurrency().get(0), Outcome.DENIED);
			}
			assertThat(context.getBean(MeterRegistry.class)
				.get("grpc.security.rate-limit")
				.tags("rule", "server", "outcome", "denied")
				.counter()
				.count()).isEqualTo(1);
		});
	}

	@Test
	void reloadWhenAdaptiveLibraryIsMissingThenRulesInForceStay() {
		Map<String, Object> properties = new ConcurrentHashMap<>();
		changing(properties).withClassLoader(new FilteredClassLoader("com.netflix.concurrency")).run((context) -> {
			assertThatThrownBy(() -> reload(context, properties, "name=server", "key=global", "adaptive.max=300"))
				.isInstanceOfSatisfying(InvalidConfigurationPropertyValueException.class,
						(ex) -> assertThat(ex.getName()).isEqualTo(rule("adaptive")));
			assertThat(only(context).limit()).isEqualTo(7);
		});
	}

	@Test
	void namesWhenTwoKindsOfRulesShareOneThenStartFails() {
		this.calls
			.withPropertyValues(rule("concurrency=5"), PREFIX + "rules[1].name=server", PREFIX + "rules[1].key=peer",
					PREFIX + "rules[1].limit=5")
			.run((context) -> assertThat(context.getStartupFailure()).rootCause()
				.hasMessageContaining("rules[0].name")
				.hasMessageContaining("Another rule has the name 'server' already"));
	}

}
