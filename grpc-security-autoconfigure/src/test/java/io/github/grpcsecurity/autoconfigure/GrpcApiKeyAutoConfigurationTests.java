package io.github.grpcsecurity.autoconfigure;

import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CopyOnWriteArrayList;
import java.security.MessageDigest;

import io.github.grpcsecurity.authentication.AuthenticationFailureLimit;
import io.github.grpcsecurity.authentication.AuthenticationStage;
import io.github.grpcsecurity.authentication.CredentialAuthenticator;
import io.github.grpcsecurity.authentication.apikey.ApiKey;
import io.github.grpcsecurity.authentication.apikey.ApiKeyAuthenticator;
import io.github.grpcsecurity.authentication.apikey.ApiKeyListener;
import io.github.grpcsecurity.authentication.apikey.ApiKeySource;
import io.github.grpcsecurity.authentication.apikey.redis.RedisApiKeys;
import io.github.grpcsecurity.authentication.basic.BasicAuthenticator;
import io.github.grpcsecurity.testing.CallType;
import io.github.grpcsecurity.testing.EchoService;
import io.github.grpcsecurity.testing.TestServer;
import io.grpc.Metadata;
import io.grpc.Status.Code;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;

import org.springframework.boot.autoconfigure.AutoConfigurations;
import org.springframework.boot.context.properties.source.InvalidConfigurationPropertyValueException;
import org.springframework.boot.data.redis.autoconfigure.DataRedisAutoConfiguration;
import org.springframework.boot.diagnostics.FailureAnalysis;
import org.springframework.boot.test.context.FilteredClassLoader;
import org.springframework.boot.test.context.runner.ApplicationContextRunner;
import org.springframework.boot.test.system.CapturedOutput;
import org.springframework.boot.test.system.OutputCaptureExtension;
import org.springframework.context.ApplicationContext;
import org.springframework.security.core.userdetails.User;
import org.springframework.security.core.userdetails.UserDetailsService;
import org.springframework.security.provisioning.InMemoryUserDetailsManager;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

/** API keys, Basic and the limit for failures, as applications configure them. */
@ExtendWith(OutputCaptureExtension.class)
class GrpcApiKeyAutoConfigurationTests {

	private static final String AUTHENTICATION = "grpc.security.authentication.";

	private static final String KEYS = AUTHENTICATION + "api-key.keys";

	private static final String KEY = "partner-7.c4nary-0123456789abcdef";

	private final ApplicationContextRunner runner = new ApplicationContextRunner()
		.withConfiguration(AutoConfigurations.of(GrpcSecurityAutoConfiguration.class,
				GrpcAuthenticationAutoConfiguration.class, GrpcApiKeyAutoConfiguration.class,
				GrpcBasicAutoConfiguration.class, GrpcAuthenticationFailuresAutoConfiguration.class));

	private final ApplicationContextRunner keyed = this.runner.withPropertyValues(KEYS + "[0].id=partner-7",
			KEYS + "[0].hash=" + hash(KEY));

	@TempDir
	Path directory;

	private static String hash(String key) {
		try {
			return "sha256:" + HexFormat.of()
				.formatHex(MessageDigest.getInstance("SHA-256").digest(key.getBytes(StandardCharsets.UTF_8)));
		}
		catch (Exception ex) {
			throw new IllegalStateException(ex);
		}
	}

	private static Metadata header(String name, String value) {
		Metadata headers = new Metadata();
		headers.put(Metadata.Key.of(name, Metadata.ASCII_STRING_MARSHALLER), value);
		return headers;
	}

	private static TestServer serve(ApplicationContext context) {
		return TestServer.inProcess(new EchoService(), List.of(context.getBean(AuthenticationStage.class)));
	}

	private static Code call(TestServer server, Metadata headers) {
		return CallType.UNARY.call(server.channel(), headers, "x").code();
	}

	@Test
	void authenticatorsWhenNothingIsConfiguredThenNone() {
		this.runner.run((context) -> assertThat(context).hasNotFailed()
			.doesNotHaveBean(CredentialAuthenticator.class)
			.hasSingleBean(AuthenticationFailureLimit.class));
	}

	@Test
	void beansWhenSecurityIsOffThenNone() {
		this.keyed.withPropertyValues("grpc.security.enabled=false", AUTHENTICATION + "basic.enabled=true")
			.run((context) -> assertThat(context).hasNotFailed()
				.doesNotHaveBean(ApiKeyAuthenticator.class)
				.doesNotHaveBean(BasicAuthenticator.class)
				.doesNotHaveBean(AuthenticationFailureLimit.class));
	}

	@Test
	void keysWhenInPropertiesThenVerifiedAndNothingShowsAKey(CapturedOutput output) {
		this.keyed
			.withPropertyValues(AUTHENTICATION + "api-key.header=x-partner", KEYS + "[0].principal=partner",
					KEYS + "[0].authorities=ROLE_PARTNER", KEYS + "[0].expires-at=2999-01-01T00:00:00Z",
					KEYS + "[0].allowed-methods=testing.*/*", KEYS + "[1].id=far", KEYS + "[1].hash=" + hash("far.x"),
					KEYS + "[1].allowed-addresses=192.0.2.0/24,2001:db8::1", KEYS + "[2].id=off",
					KEYS + "[2].hash=" + hash("off.x"), KEYS + "[2].enabled=false", KEYS + "[3].id=late",
					KEYS + "[3].hash=" + hash("late.x"), KEYS + "[3].expires-at=2001-01-01T00:00:00Z")
			.run((context) -> {
				try (TestServer server = serve(context)) {
					assertThat(call(server, header("x-partner", KEY))).isEqualTo(Code.OK);
					assertThat(call(server, header("x-partner", KEY + "x"))).isEqualTo(Code.UNAUTHENTICATED);
					assertThat(call(server, header("x-partner", "far.x"))).isEqualTo(Code.PERMISSION_DENIED);
					assertThat(call(server, header("x-partner", "off.x"))).isEqualTo(Code.UNAUTHENTICATED);
					assertThat(call(server, header("x-partner", "late.x"))).isEqualTo(Code.UNAUTHENTICATED);
				}
				assertThat(output).contains("The API key 'late' has run out on 2001-01-01T00:00:00Z")
					.doesNotContain("c4nary");
				assertThat(context.getBean(GrpcApiKeyProperties.class).toString()).doesNotContain("sha256");
			});
	}

	@ParameterizedTest
	@CsvSource(delimiter = '|', value = {
			"keys[1].id=partner-7 | keys[1].id: there is another key with the id 'partner-7'",
			"keys[1].id=a.b | keys[1].id: id is not 1 to 64 letters",
			"keys[1].hash=partner-7.c4nary-0123456789abcdef | keys[1].hash: hash is not 'sha256:'",
			"keys[1].secret=c4nary | keys[1]: it has a setting 'secret' that is not supported",
			"keys[1].allowed-methods=bank.Accounts | keys[1].allowed-methods: 'bank.Accounts' is not a method pattern",
			"keys[1].allowed-addresses=10.0.0.1/8 | keys[1].allowed-addresses: allowed-addresses cannot have '10.0.0.1/8'",
			"keyz=c4nary | it has a setting 'keyz' that is not supported",
			"redis.prefix=x | it has a setting 'prefix' that is not supported" })
	void runWhenKeyIsBadThenFailureNamesThePropertyAndShowsNoSecret(String property, String reason,
			CapturedOutput output) {
		List<String> properties = new ArrayList<>(
				List.of(KEYS + "[1].id=b", KEYS + "[1].hash=" + hash("b.x").replace("'", "")));
		String added = AUTHENTICATION + "api-key." + property.replace("'", "");
		properties.removeIf((one) -> one.startsWith(added.substring(0, added.indexOf('=') + 1)));
		properties.add(added);
		this.keyed.withPropertyValues(properties.toArray(String[]::new)).run((context) -> {
			FailureAnalysis analysis = new GrpcApiKeyFailureAnalyzer().analyze(context.getStartupFailure());
			assertThat(analysis).isNotNull();
			assertThat(analysis.getDescription()).contains("An API key cannot be used. " + AUTHENTICATION + "api-key")
				.contains(reason);
			assertThat(analysis.getAction()).contains("ApiKeyMaker");
			for (Throwable ex = context.getStartupFailure(); ex != null; ex = ex.getCause()) {
				assertThat(String.valueOf(ex.getMessage())).doesNotContain("c4nary");
			}
			assertThat(analysis.getDescription() + analysis.getAction() + output).doesNotContain("c4nary");
		});
	}

	@ParameterizedTest
	@CsvSource(delimiter = '|',
			value = { "api-key.header=authorization | api-key.header | choose another",
					"api-key.lookup-timeout=0 | api-key.lookup-timeout | such as 1s",
					"api-key.redis.enabled=true | api-key.redis.enabled | There is no RedisConnectionFactory bean",
					"basic.enabled=true | basic.enabled | There is no UserDetailsService bean",
					"failures.limit=-1 | failures.limit | It is negative",
					"failures.period=0 | failures | period must be longer than zero" })
	void runWhenValueIsBadThenFailureNamesIt(String property, String name, String reason) {
		this.keyed.withPropertyValues(AUTHENTICATION + property).run((context) -> {
			Throwable failure = context.getStartupFailure();
			while (failure != null && !(failure instanceof InvalidConfigurationPropertyValueException)) {
				failure = failure.getCause();
			}
			assertThat(failure).isInstanceOfSatisfying(InvalidConfigurationPropertyValueException.class, (ex) -> {
				assertThat(ex.getName()).isEqualTo(AUTHENTICATION + name);
				assertThat(ex.getReason()).contains(reason);
			});
		});
	}

	@Test
	void keysWhenInAFileThenReadAgainAndListenersAreTold(CapturedOutput output) throws Exception {
		Path file = this.directory.resolve("keys.yml");
		Files.writeString(file, "keys:\n  - id: a\n    hash: \"" + hash("a.x") + "\"\n    authorities: [ROLE_A]\n");
		List<Set<String>> withdrawn = new CopyOnWriteArrayList<>();
		this.keyed
			.withPropertyValues(AUTHENTICATION + "api-key.location=file:" + file,
					AUTHENTICATION + "api-key.reload-interval=100ms")
			.withBean(ApiKeyListener.class, () -> withdrawn::add)
			.run((context) -> {
				try (TestServer server = serve(context)) {
					assertThat(call(server, header("x-api-key", "a.x"))).isEqualTo(Code.OK);
					assertThat(call(server, header("x-api-key", KEY))).isEqualTo(Code.OK);
					Files.writeString(file, "keys:\n  - id: a\n    hash: a.c4nary\n");
					await().until(() -> output.getAll().contains("the previous ones stay in force: keys[0].hash"));
					Files.writeString(file, "");
					await().until(() -> output.getAll().contains("it has no list 'keys'"));
					assertThat(call(server, header("x-api-key", "a.x"))).isEqualTo(Code.OK);
					Files.writeString(file, "keys: []\n");
					await().until(() -> !withdrawn.isEmpty());
					assertThat(withdrawn).containsExactly(Set.of("a"));
					assertThat(call(server, header("x-api-key", "a.x"))).isEqualTo(Code.UNAUTHENTICATED);
					assertThat(output).doesNotContain("c4nary");
				}
			});
	}

	@Test
	void keysWhenUserHasASourceThenItIsAskedAfterTheProperties() {
		List<String> asked = new CopyOnWriteArrayList<>();
		ApiKeySource source = (id) -> {
			asked.add(id);
			return CompletableFuture.supplyAsync(() -> Optional.of(ApiKey.builder(id, hash(id + ".x")).build()));
		};
		this.keyed.withBean(ApiKeySource.class, () -> source).run((context) -> {
			try (TestServer server = serve(context)) {
				assertThat(call(server, header("x-api-key", KEY))).isEqualTo(Code.OK);
				assertThat(call(server, header("x-api-key", "own.x"))).isEqualTo(Code.OK);
				assertThat(asked).containsExactly("own");
			}
		});
	}

	@Test
	void keysWhenRedisIsEnabledThenReadFromThere() {
		this.runner.withConfiguration(AutoConfigurations.of(DataRedisAutoConfiguration.class))
			.withPropertyValues(AUTHENTICATION + "api-key.redis.enabled=true", "spring.data.redis.port=1")
			.run((context) -> {
				assertThat(context).hasSingleBean(RedisApiKeys.class);
				try (TestServer server = serve(context)) {
					assertThat(call(server, header("x-api-key", KEY))).isEqualTo(Code.UNAVAILABLE);
				}
			});
		this.runner.withClassLoader(new FilteredClassLoader("org.springframework.data.redis", "io.lettuce"))
			.withPropertyValues(AUTHENTICATION + "api-key.redis.enabled=true")
			.run((context) -> assertThat(context).getFailure()
				.hasStackTraceContaining("There is no RedisConnectionFactory bean"));
		this.keyed.withClassLoader(new FilteredClassLoader("org.springframework.data.redis", "io.lettuce"))
			.run((context) -> assertThat(context).hasSingleBean(ApiKeyAuthenticator.class));
	}

	@Test
	void authenticatorsWhenUserHasOwnThenOursBackOff() {
		ApiKeyAuthenticator own = new ApiKeyAuthenticator("x-own", List.of(), java.time.Duration.ofSeconds(1),
				java.time.InstantSource.system());
		this.keyed.withBean(ApiKeyAuthenticator.class, () -> own)
			.run((context) -> assertThat(context.getBean(ApiKeyAuthenticator.class)).isSameAs(own));
	}

	@Test
	void basicWhenEnabledThenUsersOfTheApplicationAreAsked() {
		this.runner
			.withBean(UserDetailsService.class,
					() -> new InMemoryUserDetailsManager(User.withUsername("alice").password("{noop}pw").build()))
			.withPropertyValues(AUTHENTICATION + "basic.enabled=true", AUTHENTICATION + "basic.cache-ttl=5s",
					AUTHENTICATION + "basic.max-concurrent-checks=1")
			.run((context) -> {
				try (TestServer server = serve(context)) {
					assertThat(call(server, header("authorization", "Basic YWxpY2U6cHc="))).isEqualTo(Code.OK);
					assertThat(call(server, header("authorization", "Basic YWxpY2U6cHg=")))
						.isEqualTo(Code.UNAUTHENTICATED);
				}
			});
	}

	@ParameterizedTest
	@CsvSource({ "cache-ttl=6m, at most 5m", "cache-ttl=-1s, at most 5m", "max-concurrent-checks=0, at least 1" })
	void basicWhenValueIsBadThenFails(String property, String reason) {
		this.runner.withBean(UserDetailsService.class, InMemoryUserDetailsManager::new)
			.withPropertyValues(AUTHENTICATION + "basic.enabled=true", AUTHENTICATION + "basic." + property)
			.run((context) -> assertThat(context).getFailure().hasStackTraceContaining(reason));
	}

	@ParameterizedTest
	@EnumSource
	void callWhenPeerGuessesThenOnlySoManyGuessesAreLookedAt(CallType type) {
		List<String> looked = new CopyOnWriteArrayList<>();
		this.keyed.withBean(ApiKeySource.class, () -> (id) -> {
			looked.add(id);
			return CompletableFuture.completedFuture(Optional.empty());
		})
			.withPropertyValues(AUTHENTICATION + "failures.limit=5", AUTHENTICATION + "failures.period=1h")
			.run((context) -> {
				try (TestServer server = serve(context)) {
					for (int i = 0; i < 20; i++) {
						assertThat(type.call(server.channel(), header("x-api-key", KEY), "x").code())
							.isEqualTo(Code.OK);
						assertThat(type.call(server.channel()).code()).isEqualTo(Code.OK);
					}
					for (int i = 0; i < 50; i++) {
						CallType.Outcome outcome = type.call(server.channel(), header("x-api-key", "guess" + i + ".x"),
								"x");
						assertThat(outcome.code()).isEqualTo((i < 5) ? Code.UNAUTHENTICATED : Code.RESOURCE_EXHAUSTED);
						assertThat(outcome.trailers().keys().contains("retry-after")).isEqualTo(i >= 5);
					}
					assertThat(looked).hasSize(5);
					assertThat(type.call(server.channel(), header("x-api-key", KEY), "x").code())
						.isEqualTo(Code.RESOURCE_EXHAUSTED);
					assertThat(type.call(server.channel()).code()).isEqualTo(Code.OK);
				}
			});
	}

	@Test
	void failuresWhenLimitIsZeroThenNothingIsLimitedAndThatIsSaid(CapturedOutput output) {
		this.keyed.withPropertyValues(AUTHENTICATION + "failures.limit=0").run((context) -> {
			try (TestServer server = serve(context)) {
				for (int i = 0; i < 50; i++) {
					assertThat(call(server, header("x-api-key", "a.x"))).isEqualTo(Code.UNAUTHENTICATED);
				}
			}
			assertThat(output).contains("Bad credentials are not limited (" + AUTHENTICATION + "failures.limit is 0)");
		});
	}

}
