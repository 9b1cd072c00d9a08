package io.github.grpcsecurity.autoconfigure;

import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyPair;
import java.security.KeyPairGenerator;
import java.security.Signature;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Base64;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.Stream;

import com.sun.net.httpserver.HttpServer;
import io.github.grpcsecurity.authentication.AuthenticationStage;
import io.github.grpcsecurity.authentication.AuthorizationHeader;
import io.github.grpcsecurity.authentication.CredentialAuthenticator;
import io.github.grpcsecurity.authentication.CredentialResult;
import io.github.grpcsecurity.authentication.jwt.JwtCredentialAuthenticator;
import io.github.grpcsecurity.authentication.jwt.JwtIssuer;
import io.github.grpcsecurity.authentication.jwt.JwtIssuerResolver;
import io.github.grpcsecurity.authentication.jwt.JwtKeysHealthIndicator;
import io.github.grpcsecurity.authentication.jwt.JwtMetrics;
import io.github.grpcsecurity.server.GrpcSecurityThreads;
import io.github.grpcsecurity.server.SecuredCall;
import io.github.grpcsecurity.server.VerifiedCredential;
import io.github.grpcsecurity.testing.CallType;
import io.github.grpcsecurity.testing.EchoService;
import io.github.grpcsecurity.testing.TestServer;
import io.grpc.Metadata;
import io.grpc.Status.Code;
import io.micrometer.core.instrument.MeterRegistry;
import io.micrometer.core.instrument.simple.SimpleMeterRegistry;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

import org.springframework.boot.autoconfigure.AutoConfigurations;
import org.springframework.boot.context.properties.source.InvalidConfigurationPropertyValueException;
import org.springframework.boot.health.contributor.HealthIndicator;
import org.springframework.boot.health.contributor.Status;
import org.springframework.boot.security.oauth2.server.resource.autoconfigure.OAuth2ResourceServerAutoConfiguration;
import org.springframework.boot.test.context.FilteredClassLoader;
import org.springframework.boot.test.context.runner.ApplicationContextRunner;
import org.springframework.context.ApplicationContext;
import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Configuration;
import org.springframework.core.convert.converter.Converter;
import org.springframework.core.io.FileSystemResource;
import org.springframework.security.authentication.AbstractAuthenticationToken;
import org.springframework.security.authentication.AuthenticationManager;
import org.springframework.security.authentication.AuthenticationProvider;
import org.springframework.security.authentication.UsernamePasswordAuthenticationToken;
import org.springframework.security.core.Authentication;
import org.springframework.security.core.userdetails.User;
import org.springframework.security.core.userdetails.UserDetailsService;
import org.springframework.security.oauth2.jwt.Jwt;
import org.springframework.security.oauth2.jwt.JwtDecoder;
import org.springframework.security.oauth2.server.resource.authentication.BearerTokenAuthenticationToken;
import org.springframework.security.oauth2.server.resource.authentication.JwtAuthenticationConverter;
import org.springframework.security.oauth2.server.resource.authentication.JwtAuthenticationToken;
import org.springframework.security.provisioning.InMemoryUserDetailsManager;

import static org.assertj.core.api.Assertions.assertThat;

class GrpcJwtAutoConfigurationTests {

	private static final String PREFIX = "grpc.security.authentication.jwt.";

	private static final String ISSUER = "https://idp.example/realms/bank";

	private static KeyPair keys;

	@TempDir
	static Path directory;

	private final ApplicationContextRunner runner = new ApplicationContextRunner().withBean(GrpcSecurityThreads.class)
		.withConfiguration(AutoConfigurations.of(GrpcAuthenticationAutoConfiguration.class,
				GrpcJwtAutoConfiguration.class, OAuth2ResourceServerAutoConfiguration.class));

	@BeforeAll
	static void makeKeys() throws Exception {
		KeyPairGenerator generator = KeyPairGenerator.getInstance("RSA");
		generator.initialize(2048);
		keys = generator.generateKeyPair();
		Files.writeString(directory.resolve("key.pem"), pem("PUBLIC KEY", keys.getPublic().getEncoded()));
		Files.writeString(directory.resolve("private.pem"), pem("PRIVATE KEY", keys.getPrivate().getEncoded()));
		generator.initialize(1024);
		Files.writeString(directory.resolve("weak.pem"),
				pem("PUBLIC KEY", generator.generateKeyPair().getPublic().getEncoded()));
	}

	private static String pem(String label, byte[] content) {
		return "-----BEGIN " + label + "-----\n" + Base64.getMimeEncoder().encodeToString(content) + "\n-----END "
				+ label + "-----\n";
	}

	private static String key(String file) {
		return "public-key-location=" + directory.resolve(file).toUri();
	}

	private ApplicationContextRunner configured(String... settings) {
		return this.runner.withPropertyValues(properties(settings));
	}

	/** A good issuer, changed by these settings of it. */
	private static String[] properties(String... settings) {
		List<String> properties = new ArrayList<>();
		for (String setting : settings) {
			properties.add(setting.startsWith("grpc.") || setting.startsWith("spring.") ? setting
					: PREFIX + "issuers[0]." + setting);
		}
		return properties.toArray(new String[0]);
	}

	private ApplicationContextRunner good(String... more) {
		List<String> settings = new ArrayList<>(
				List.of("issuer-uri=" + ISSUER, key("key.pem"), "audiences=bank-api,other"));
		settings.addAll(Arrays.asList(more));
		return configured(settings.toArray(new String[0]));
	}

	private static String token(String claims) throws Exception {
		Base64.Encoder encoder = Base64.getUrlEncoder().withoutPadding();
		long exp = Instant.now().getEpochSecond() + 60;
		String content = encoder.encodeToString("{\"alg\":\"RS256\"}".getBytes()) + "." + encoder.encodeToString(
				("{\"iss\":\"" + ISSUER + "\",\"sub\":\"alice\",\"aud\":\"bank-api\",\"exp\":" + exp + claims + "}")
					.getBytes());
		Signature signature = Signature.getInstance("SHA256withRSA");
		signature.initSign(keys.getPrivate());
		signature.update(content.getBytes());
		return content + "." + encoder.encodeToString(signature.sign());
	}

	/** Calls through the stage of a context; the caller, or the status. */
	private static String call(ApplicationContext context, String token) {
		EchoService service = new EchoService();
		List<String> callers = new ArrayList<>();
		service.probe = (callback) -> {
			Authentication caller = SecuredCall.current().authentication();
			callers.add(caller.getName() + " " + caller.getAuthorities());
		};
		try (TestServer server = TestServer.inProcess(service, List.of(context.getBean(AuthenticationStage.class)))) {
			Metadata headers = new Metadata();
			headers.put(Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER), "Bearer " + token);
			Code code = CallType.UNARY.call(server.channel(), headers, "x").code();
			return (code == Code.OK) ? callers.get(0) : code.name();
		}
	}

	@Test
	void contextWhenIssuerIsConfiguredThenItsTokensAreVerified() {
		good().run((context) -> {
			assertThat(context).hasNotFailed()
				.hasSingleBean(JwtCredentialAuthenticator.class)
				.hasSingleBean(AuthenticationStage.class)
				.doesNotHaveBean(AuthenticationManager.class);
			assertThat(call(context, token(",\"scope\":\"read\""))).startsWith("alice").contains("SCOPE_read");
			assertThat(call(context, token("") + "x")).isEqualTo("UNAUTHENTICATED");
		});
	}

	@Test
	void contextWhenNothingIsConfiguredThenNobodyIsTrusted() {
		this.runner.run((context) -> {
			assertThat(context).hasNotFailed()
				.hasSingleBean(AuthenticationStage.class)
				.doesNotHaveBean(JwtCredentialAuthenticator.class);
			assertThat(call(context, token(""))).startsWith("anonymous");
		});
	}

	@Test
	void contextWhenSwitchedOffThenThereIsNoStage() {
		good("grpc.security.enabled=false").run((context) -> assertThat(context).hasNotFailed()
			.doesNotHaveBean(AuthenticationStage.class)
			.doesNotHaveBean(JwtCredentialAuthenticator.class));
	}

	@Test
	void contextWhenResourceServerIsMissingThenStageStartsWithoutTokens() {
		this.runner.withPropertyValues(PREFIX + "issuers[0].issuer-uri=x")
			.withClassLoader(new FilteredClassLoader("org.springframework.security.oauth2", "com.nimbusds"))
			.run((context) -> assertThat(context).hasNotFailed()
				.hasSingleBean(AuthenticationStage.class)
				.doesNotHaveBean("grpcJwtCredentialAuthenticator"));
	}

	@Test
	void contextWhenPropertiesAreSetThenTheyAreEffective() {
		good("principal-claim=preferred_username", "authorities[0].claim=groups", "authorities[0].prefix=GROUP_")
			.run((context) -> assertThat(
					call(context, token(",\"preferred_username\":\"al\",\"groups\":[\"a\"],\"scope\":\"read\"")))
				.startsWith("al ")
				.contains("GROUP_a")
				.doesNotContain("read"));
		good("algorithms=PS256").run((context) -> assertThat(call(context, token(""))).isEqualTo("UNAUTHENTICATED"));
		good(PREFIX + "max-token-size=100B")
			.run((context) -> assertThat(call(context, token(""))).isEqualTo("UNAUTHENTICATED"));
		good("audiences=somebody-else")
			.run((context) -> assertThat(call(context, token(""))).isEqualTo("UNAUTHENTICATED"));
		String early = ",\"nbf\":" + (Instant.now().getEpochSecond() + 90);
		good().run((context) -> assertThat(call(context, token(early))).isEqualTo("UNAUTHENTICATED"));
		good(PREFIX + "clock-skew=5m").run((context) -> assertThat(call(context, token(early))).startsWith("alice"));
	}

	@Test
	void contextWhenIdentityProviderIsDownThenItStartsAllTheSame() {
		configured("issuer-uri=" + ISSUER, "audiences=bank-api", "jwk-set-uri=http://127.0.0.1:1/jwks")
			.run((context) -> {
				assertThat(context).hasNotFailed();
				assertThat(call(context, token(""))).isEqualTo("UNAVAILABLE");
			});
	}

	@Test
	void contextWhenIssuerHasAProfileThenOthersAreRefused() {
		good("profile=rfc9068").run((context) -> {
			assertThat(context).hasNotFailed();
			assertThat(call(context, token(""))).isEqualTo("UNAUTHENTICATED");
		});
		good("require-certificate-binding=true")
			.run((context) -> assertThat(call(context, token(""))).isEqualTo("UNAUTHENTICATED"));
		good("max-lifetime=30s").run((context) -> assertThat(call(context, token(""))).isEqualTo("UNAUTHENTICATED"));
		good("profile=openid").run((context) -> assertThat(context).hasFailed());
	}

	@Test
	void contextWhenCacheIsConfiguredThenItsMetersShowIt() {
		ApplicationContextRunner metrics = good(PREFIX + "cache.max-entries=1").withBean(SimpleMeterRegistry.class)
			.withConfiguration(AutoConfigurations.of(GrpcJwtMetricsAutoConfiguration.class));
		metrics.run((context) -> {
			SimpleMeterRegistry registry = context.getBean(SimpleMeterRegistry.class);
			context.getBean(JwtMetrics.class).bindTo(registry);
			String token = token("");
			call(context, token);
			call(context, token);
			call(context, token(",\"jti\":\"2\""));
			assertThat(registry.get(JwtMetrics.CACHE).tag("result", "hit").functionCounter().count()).isEqualTo(1);
			assertThat(registry.get(JwtMetrics.CACHE).tag("result", "miss").functionCounter().count()).isEqualTo(2);
			assertThat(registry.get(JwtMetrics.CACHE_SIZE).gauge().value()).isEqualTo(1);
		});
		metrics.withPropertyValues(PREFIX + "cache.ttl=0").run((context) -> {
			SimpleMeterRegistry registry = context.getBean(SimpleMeterRegistry.class);
			context.getBean(JwtMetrics.class).bindTo(registry);
			assertThat(call(context, token(""))).startsWith("alice");
			assertThat(registry.find(JwtMetrics.CACHE).functionCounter()).isNull();
		});
		this.runner.withBean(SimpleMeterRegistry.class)
			.withConfiguration(AutoConfigurations.of(GrpcJwtMetricsAutoConfiguration.class))
			.run((context) -> assertThat(context).hasNotFailed().doesNotHaveBean(JwtMetrics.class));
		metrics.withClassLoader(new FilteredClassLoader(MeterRegistry.class))
			.run((context) -> assertThat(context).doesNotHaveBean(JwtMetrics.class));
	}

	@Test
	void contextWhenThereIsAResolverThenItIsAsked() {
		this.runner.withBean(JwtIssuerResolver.class,
				() -> JwtIssuerResolver.of("https://idp.example/realms/*",
						(issuer) -> JwtIssuer.of(issuer)
							.audiences(List.of("bank-api"))
							.publicKeys(new FileSystemResource(directory.resolve("key.pem")))
							.build()))
			.run((context) -> assertThat(call(context, token(""))).startsWith("alice"));
	}

	@Test
	void healthWhenKeyServerFailsThenItIsDegradedAndDownWithoutKeys() throws Exception {
		AtomicInteger status = new AtomicInteger(200);
		AtomicInteger requests = new AtomicInteger();
		byte[] jwks = ("{\"keys\":["
				+ new com.nimbusds.jose.jwk.RSAKey.Builder((java.security.interfaces.RSAPublicKey) keys.getPublic())
					.keyID("key")
					.build()
					.toJSONString()
				+ "]}")
			.getBytes();
		HttpServer server = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
		server.createContext("/jwks", (exchange) -> {
			requests.incrementAndGet();
			exchange.sendResponseHeaders(status.get(), jwks.length);
			exchange.getResponseBody().write(jwks);
			exchange.close();
		});
		server.start();
		try {
			ApplicationContextRunner health = configured("issuer-uri=" + ISSUER, "audiences=bank-api",
					"jwk-set-uri=http://127.0.0.1:" + server.getAddress().getPort() + "/jwks")
				.withConfiguration(AutoConfigurations.of(GrpcJwtHealthAutoConfiguration.class));
			health.withPropertyValues(PREFIX + "jwks.startup=eager-fail").run((context) -> {
				JwtKeysHealthIndicator indicator = context.getBean(JwtKeysHealthIndicator.class);
				assertThat(indicator.health().getStatus()).isEqualTo(Status.UP);
				assertThat(requests).hasValue(1);
				status.set(500);
				assertThat(call(context, token("").replaceFirst("^[^.]+", header("unknown")))).isEqualTo("UNAVAILABLE");
				assertThat(indicator.health().getStatus()).isEqualTo(JwtKeysHealthIndicator.DEGRADED);
				assertThat(indicator.health().getDetails().get("issuers")).asString().contains("HTTP status 500");
				assertThat(call(context, token(""))).startsWith("alice");
			});
			requests.set(0);
			health.withPropertyValues(PREFIX + "jwks.startup=lazy").run((context) -> {
				JwtKeysHealthIndicator indicator = context.getBean(JwtKeysHealthIndicator.class);
				assertThat(indicator.health().getStatus()).isEqualTo(Status.UP);
				assertThat(requests).hasValue(0);
				assertThat(call(context, token(""))).isEqualTo("UNAVAILABLE");
				assertThat(indicator.health().getStatus()).isEqualTo(Status.DOWN);
			});
			health.withPropertyValues("management.health.grpc-jwt-keys.enabled=false", PREFIX + "jwks.startup=lazy")
				.run((context) -> assertThat(context).doesNotHaveBean(JwtKeysHealthIndicator.class));
			health.withClassLoader(new FilteredClassLoader(HealthIndicator.class))
				.run((context) -> assertThat(context).doesNotHaveBean("grpcJwtKeysHealthIndicator"));
		}
		finally {
			server.stop(0);
		}
	}

	private static String header(String kid) {
		return Base64.getUrlEncoder()
			.withoutPadding()
			.encodeToString(("{\"alg\":\"RS256\",\"kid\":\"" + kid + "\"}").getBytes());
	}

	@Test
	void contextWhenKeysArePublishedThenTheyAreFetchedAtStartup() throws Exception {
		CountDownLatch asked = new CountDownLatch(1);
		HttpServer server = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
		server.createContext("/jwks", (exchange) -> {
			asked.countDown();
			exchange.close();
		});
		server.start();
		try {
			configured("issuer-uri=" + ISSUER, "audiences=bank-api",
					"jwk-set-uri=http://127.0.0.1:" + server.getAddress().getPort() + "/jwks")
				.run((context) -> assertThat(asked.await(10, TimeUnit.SECONDS)).isTrue());
		}
		finally {
			server.stop(0);
		}
	}

	@Test
	void contextWhenThereIsAnIssuerBeanThenItIsAdded() {
		this.runner
			.withBean(JwtIssuer.class,
					() -> JwtIssuer.of(ISSUER)
						.audiences(List.of("bank-api"))
						.publicKeys(new FileSystemResource(directory.resolve("key.pem")))
						.build())
			.run((context) -> assertThat(call(context, token(""))).startsWith("alice"));
	}

	@Test
	void contextWhenBootsOwnPropertiesAreSetThenItsDecoderIsUsed() {
		this.runner
			.withPropertyValues(
					"spring.security.oauth2.resourceserver.jwt.public-key-location="
							+ directory.resolve("key.pem").toUri(),
					"spring.security.oauth2.resourceserver.jwt.audiences=bank-api")
			.run((context) -> {
				assertThat(context).hasSingleBean(JwtDecoder.class);
				assertThat(call(context, token(",\"scope\":\"read\""))).startsWith("alice").contains("SCOPE_read");
				assertThat(call(context, "x.y.z")).isEqualTo("UNAUTHENTICATED");
			});
		this.runner
			.withPropertyValues("spring.security.oauth2.resourceserver.jwt.public-key-location="
					+ directory.resolve("key.pem").toUri(), PREFIX + "authorities-from=user-details")
			.withBean(UserDetailsService.class,
					() -> new InMemoryUserDetailsManager(
							User.withUsername("alice").password("").authorities("USER_AUTHORITY").build()))
			.run((context) -> assertThat(call(context, token(""))).startsWith("alice").contains("USER_AUTHORITY"));
	}

	@Test
	void contextWhenApplicationHasAConverterThenItReplacesTheClaims() {
		good().withUserConfiguration(ConverterConfiguration.class)
			.run((context) -> assertThat(call(context, token(""))).startsWith("converted"));
		JwtAuthenticationConverter converter = new JwtAuthenticationConverter();
		converter.setPrincipalClaimName("email");
		good().withBean(JwtAuthenticationConverter.class, () -> converter)
			.run((context) -> assertThat(call(context, token(",\"email\":\"a@b\""))).startsWith("a@b"));
	}

	@Test
	void contextWhenApplicationHasAProviderThenItIsAsked() {
		this.runner.withBean(AuthenticationProvider.class, CarolsProvider::new)
			.run((context) -> assertThat(call(context, "opaque")).startsWith("carol"));
		good().withBean(AuthenticationProvider.class, CarolsProvider::new)
			.run((context) -> assertThat(call(context, token(""))).startsWith("alice"));
	}

	@Test
	void contextWhenApplicationHasManagerAndUsersThenNothingBreaks() {
		good().withBean(AuthenticationManager.class, () -> (authentication) -> {
			throw new IllegalStateException("not ours");
		}).withBean(UserDetailsService.class, InMemoryUserDetailsManager::new).run((context) -> {
			assertThat(context).hasSingleBean(AuthenticationManager.class);
			assertThat(call(context, token(""))).startsWith("alice");
			assertThat(call(context, "bad")).isEqualTo("UNAUTHENTICATED");
		});
	}

	@Test
	void contextWhenAuthoritiesComeFromUsersThenPrincipalMustBeOne() {
		InMemoryUserDetailsManager users = new InMemoryUserDetailsManager(
				User.withUsername("alice").password("").authorities("USER_AUTHORITY").build(),
				User.withUsername("locked").password("").authorities("USER_AUTHORITY").accountLocked(true).build());
		good(PREFIX + "authorities-from=user-details").withBean(UserDetailsService.class, () -> users)
			.run((context) -> {
				assertThat(call(context, token(",\"scope\":\"read\""))).startsWith("alice")
					.contains("USER_AUTHORITY")
					.doesNotContain("read");
				assertThat(call(context, token("").replace('a', 'b'))).isEqualTo("UNAUTHENTICATED");
			});
		good(PREFIX + "authorities-from=user-details", "principal-claim=name")
			.withBean(UserDetailsService.class, () -> users)
			.run((context) -> {
				assertThat(call(context, token(",\"name\":\"locked\""))).isEqualTo("UNAUTHENTICATED");
				assertThat(call(context, token(",\"name\":\"nobody\""))).isEqualTo("UNAUTHENTICATED");
			});
		good(PREFIX + "authorities-from=user-details").withBean(UserDetailsService.class, () -> (name) -> {
			throw new IllegalStateException("database is down");
		}).run((context) -> assertThat(call(context, token(""))).isEqualTo("UNAVAILABLE"));
	}

	@Test
	void contextWhenApplicationHasItsOwnBeansThenOursBackOff() {
		AuthenticationStage stage = AuthenticationStage.builder().authenticators(List.of()).build();
		good().withBean(AuthenticationStage.class, () -> stage)
			.run((context) -> assertThat(context.getBean(AuthenticationStage.class)).isSameAs(stage));
		this.runner.withBean(CredentialAuthenticator.class, () -> new CredentialAuthenticator() {
			@Override
			public java.util.Set<String> kinds() {
				return java.util.Set.of("token");
			}

			@Override
			public boolean supports(AuthorizationHeader authorization) {
				return true;
			}

			@Override
			public CredentialResult authenticate(SecuredCall call, AuthorizationHeader authorization) {
				return CredentialResult.authenticated(VerifiedCredential.of("mine",
						UsernamePasswordAuthenticationToken.authenticated("dave", null, List.of())));
			}
		}).run((context) -> assertThat(call(context, "anything")).startsWith("dave"));
	}

	static Stream<Arguments> badValues() {
		String issuer = "issuer-uri=" + ISSUER;
		String audiences = "audiences=bank-api";
		return Stream.of(Arguments.of(new String[] { issuer, key("key.pem") }, "issuers[0].issuer-uri",
				"The issuer has no audiences, but a token for somebody else must not be taken: set " + PREFIX
						+ "issuers[0].audiences to the audience of this server, or to [any] if all tokens of the"
						+ " issuer are meant for it."),
				Arguments.of(new String[] { issuer, key("key.pem"), "audiences=any,bank-api" }, "issuers[0].audiences",
						"'any' switches the check off"),
				Arguments.of(new String[] { audiences, key("key.pem") }, "issuers[0].issuer-uri",
						"Set it to the exact 'iss'"),
				Arguments.of(
						new String[] { issuer, audiences, key("key.pem"), PREFIX + "issuers[1].issuer-uri=" + ISSUER,
								PREFIX + "issuers[1].audiences=x" },
						"issuers[1].issuer-uri", "Another issuer has the same name"),
				Arguments.of(new String[] { issuer, audiences, key("key.pem"), "jwk-set-uri=https://idp.example/jwks" },
						"issuers[0].jwk-set-uri", "remove one of the two"),
				Arguments.of(new String[] { issuer, audiences, key("key.pem"), "algorithms=RS256,HS256" },
						"issuers[0].algorithms", "'HS256' is symmetric"),
				Arguments.of(new String[] { issuer, audiences, key("key.pem"), "algorithms=none" },
						"issuers[0].algorithms", "anybody can write a token"),
				Arguments.of(new String[] { issuer, audiences, key("key.pem"), "algorithms=RS257" },
						"issuers[0].algorithms", "'RS257' is unknown"),
				Arguments.of(new String[] { issuer, audiences, key("key.pem"), "algorithms=ES256" },
						"issuers[0].issuer-uri", "no key in its file that fits one of its algorithms"),
				Arguments.of(new String[] { issuer, audiences, key("missing.pem") }, "issuers[0].public-key-location",
						"The file cannot be read"),
				Arguments.of(new String[] { issuer, audiences, key("private.pem") }, "issuers[0].public-key-location",
						"has a private key"),
				Arguments.of(new String[] { issuer, audiences, key("weak.pem") }, "issuers[0].public-key-location",
						"an RSA key of 1024 bits"),
				Arguments.of(new String[] { issuer, audiences, "jwk-set-uri=http://idp.example/jwks" },
						"issuers[0].jwk-set-uri", "read and change what is sent: use https"),
				Arguments.of(new String[] { issuer, audiences, "jwk-set-uri=classpath:jwks" }, "issuers[0].jwk-set-uri",
						"not an address such as https://host/path"),
				Arguments.of(new String[] { "issuer-uri=bank", audiences }, "issuers[0].issuer-uri",
						"cannot be discovered"),
				Arguments.of(new String[] { issuer, audiences, key("key.pem"), PREFIX + "clock-skew=301s" },
						"clock-skew", "It must be between 0 and 5m"),
				Arguments.of(new String[] { issuer, audiences, key("key.pem"), PREFIX + "max-token-size=0B" },
						"max-token-size", "It must be more than zero"),
				Arguments.of(
						new String[] { issuer, audiences, key("key.pem"), PREFIX + "authorities-from=user-details" },
						"authorities-from", "There is no UserDetailsService bean"),
				Arguments.of(new String[] { issuer, audiences, key("key.pem"), "max-lifetime=-1s" },
						"issuers[0].max-lifetime", "It is negative"),
				Arguments.of(new String[] { issuer, audiences, key("key.pem"), PREFIX + "cache.ttl=2h" }, "cache.ttl",
						"It must be between 0, which switches the cache off, and 1h"),
				Arguments.of(new String[] { issuer, audiences, key("key.pem"), PREFIX + "cache.max-entries=0" },
						"cache.max-entries", "set its ttl to 0"),
				Arguments.of(new String[] { issuer, audiences, key("key.pem"), PREFIX + "jwks.outage-tolerance=25h" },
						"jwks.outage-tolerance", "It must be between 5m"),
				Arguments.of(new String[] { issuer, audiences, key("key.pem"), PREFIX + "max-resolved-issuers=0" },
						"max-resolved-issuers", "It must be between 1 and 10000"),
				Arguments.of(
						new String[] { issuer, audiences, "jwk-set-uri=http://127.0.0.1:1/jwks",
								PREFIX + "jwks.startup=eager-fail" },
						"jwks.startup", "The keys of " + ISSUER + " cannot be fetched"),
				Arguments.of(new String[] { issuer, audiences, key("key.pem"), "authorities[0].prefix=X_" },
						"issuers[0].authorities[0].claim", "It names no claim"),
				Arguments.of(new String[] { issuer, audiences, key("key.pem"), "principal-claim=" },
						"issuers[0].principal-claim", "It names no claim"));
	}

	@ParameterizedTest
	@MethodSource("badValues")
	void contextWhenValueIsBadThenStartFailsWithASentence(String[] settings, String property, String sentence) {
		configured(settings).run((context) -> assertThat(context).getFailure().rootCause().satisfies((ex) -> {
			InvalidConfigurationPropertyValueException failure = find(context.getStartupFailure());
			assertThat(failure.getName()).isEqualTo(PREFIX + property);
			assertThat(failure.getReason()).contains(sentence);
		}));
	}

	private static InvalidConfigurationPropertyValueException find(Throwable failure) {
		for (Throwable cause = failure; cause != null; cause = cause.getCause()) {
			if (cause instanceof InvalidConfigurationPropertyValueException found) {
				return found;
			}
		}
		throw new AssertionError(failure);
	}

	@Configuration(proxyBeanMethods = false)
	static class ConverterConfiguration {

		@Bean
		Converter<Jwt, AbstractAuthenticationToken> jwtConverter() {
			return (jwt) -> new JwtAuthenticationToken(jwt, List.of(), "converted");
		}

	}

	private static final class CarolsProvider implements AuthenticationProvider {

		@Override
		public Authentication authenticate(Authentication request) {
			return UsernamePasswordAuthenticationToken.authenticated("carol", null, List.of());
		}

		@Override
		public boolean supports(Class<?> type) {
			return BearerTokenAuthenticationToken.class.isAssignableFrom(type);
		}

	}

}
