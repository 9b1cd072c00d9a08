package io.github.grpcsecurity.autoconfigure;

import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyStore;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.stream.Stream;

import javax.net.ssl.KeyManagerFactory;
import javax.net.ssl.SSLContext;

import com.github.benmanes.caffeine.cache.Caffeine;
import com.google.protobuf.util.JsonFormat;
import com.sun.net.httpserver.HttpServer;
import com.sun.net.httpserver.HttpsConfigurator;
import com.sun.net.httpserver.HttpsServer;
import io.github.grpcsecurity.authorization.AuthorizationStage;
import io.github.grpcsecurity.authorization.opa.MicrometerOpaObserver;
import io.github.grpcsecurity.authorization.opa.OpaPolicy;
import io.github.grpcsecurity.server.GrpcSecurityThreads;
import io.github.grpcsecurity.testing.CallType;
import io.github.grpcsecurity.testing.EchoService;
import io.github.grpcsecurity.testing.TestServer;
import io.github.grpcsecurity.testing.TestStage;
import io.grpc.Metadata;
import io.grpc.Status.Code;
import io.micrometer.core.instrument.MeterRegistry;
import io.micrometer.core.instrument.simple.SimpleMeterRegistry;
import io.netty.pkitesting.CertificateBuilder;
import io.netty.pkitesting.X509Bundle;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

import org.springframework.boot.autoconfigure.AutoConfigurations;
import org.springframework.boot.autoconfigure.ssl.SslAutoConfiguration;
import org.springframework.boot.context.properties.source.InvalidConfigurationPropertyValueException;
import org.springframework.boot.test.context.FilteredClassLoader;
import org.springframework.boot.test.context.runner.ApplicationContextRunner;
import org.springframework.boot.test.system.CapturedOutput;
import org.springframework.boot.test.system.OutputCaptureExtension;
import org.springframework.context.ApplicationContext;

import static org.assertj.core.api.Assertions.assertThat;

/**
 * Tests for {@link GrpcOpaAutoConfiguration}.
 */
@ExtendWith(OutputCaptureExtension.class)
class GrpcOpaAutoConfigurationTests {

	private static final String PREFIX = "grpc.security.authorization.opa.";

	private final List<String> questions = new CopyOnWriteArrayList<>();

	private final List<String> tokens = new CopyOnWriteArrayList<>();

	private volatile String answer = "{\"result\":true}";

	private HttpServer opa;

	@TempDir
	private Path directory;

	private final ApplicationContextRunner runner = new ApplicationContextRunner()
		.withConfiguration(AutoConfigurations.of(GrpcSecurityAutoConfiguration.class, GrpcOpaAutoConfiguration.class,
				GrpcAuthorizationAutoConfiguration.class, SslAutoConfiguration.class));

	@BeforeEach
	void start() throws IOException {
		this.opa = HttpServer.create(loopback(), 0);
		serve(this.opa);
	}

	private static InetSocketAddress loopback() {
		return new InetSocketAddress(InetAddress.getLoopbackAddress(), 0);
	}

	private void serve(HttpServer server) {
		server.createContext("/", (exchange) -> {
			this.questions.add(exchange.getRequestURI().getPath() + " "
					+ new String(exchange.getRequestBody().readAllBytes(), StandardCharsets.UTF_8));
			this.tokens.add(String.valueOf(exchange.getRequestHeaders().getFirst("authorization")));
			byte[] bytes = this.answer.getBytes(StandardCharsets.UTF_8);
			exchange.sendResponseHeaders(200, bytes.length);
			exchange.getResponseBody().write(bytes);
			exchange.close();
		});
		server.start();
	}

	@AfterEach
	void stop() {
		this.opa.stop(0);
	}

	private String url() {
		return PREFIX + "url=http://127.0.0.1:" + this.opa.getAddress().getPort();
	}

	@Test
	void policyWhenNothingIsSetThenMissing() {
		this.runner.run((context) -> assertThat(context).hasSingleBean(AuthorizationStage.class)
			.doesNotHaveBean(OpaPolicy.class));
	}

	@Test
	void policyWhenSecurityIsSwitchedOffThenMissing() {
		this.runner.withPropertyValues(url(), "grpc.security.enabled=false")
			.run((context) -> assertThat(context).hasNotFailed().doesNotHaveBean(OpaPolicy.class));
	}

	@Test
	void policyWhenUserHasOneThenBacksOff() {
		OpaPolicy own = OpaPolicy.builder(URI.create("https://opa.example"), Runnable::run).build();
		this.runner.withPropertyValues(url())
			.withBean("own", OpaPolicy.class, () -> own)
			.run((context) -> assertThat(context.getBean(OpaPolicy.class)).isSameAs(own));
	}

	@Test
	void policyWhenUrlIsSetThenDecides() {
		this.runner.withPropertyValues(url(), PREFIX + "timeout=5s").run((context) -> {
			assertThat(code(context, CallType.UNARY)).isEqualTo(Code.OK);
			assertThat(this.questions).singleElement()
				.asString()
				.startsWith("/v1/data/envoy/authz/allow {\"input\":{")
				.contains("\"parsed_path\":[\"testing.Echo\",\"Unary\"]")
				.doesNotContain("c4n4ry");
			assertThat(this.tokens).containsExactly("null");
			this.answer = "{\"result\":false}";
			assertThat(code(context, CallType.UNARY)).isEqualTo(Code.PERMISSION_DENIED);
		});
	}

	@Test
	void policyWhenEverythingIsSetThenEffective(CapturedOutput output) throws IOException {
		Path token = Files.writeString(this.directory.resolve("token"), "our-own\n");
		this.runner
			.withPropertyValues(url() + "/", PREFIX + "path=bank/decide", PREFIX + "timeout=5s",
					PREFIX + "methods[0]=testing.Echo/Un*", PREFIX + "include-message=true",
					PREFIX + "max-message-size=1KB", PREFIX + "forward-credentials=true", PREFIX + "on-failure=allow",
					PREFIX + "max-concurrent=3", PREFIX + "cache-ttl=1m", PREFIX + "include-certificate=true",
					PREFIX + "token-file=" + token)
			.run((context) -> {
				assertThat(codes(context, CallType.UNARY, CallType.UNARY, CallType.BIDI)).containsExactly(Code.OK,
						Code.OK, Code.PERMISSION_DENIED);
				assertThat(this.questions).singleElement()
					.asString()
					.startsWith("/v1/data/bank/decide ")
					.contains("\"parsed_body\":{\"text\":\"hello\"}", "Bearer c4n4ry", "\"x-api-key\":\"c4n4ry\"");
				assertThat(this.tokens).containsExactly("Bearer our-own");
				assertThat(output).contains(PREFIX + "on-failure=allow", PREFIX + "forward-credentials=true");
			});
	}

	@Test
	void policyWhenApiKeysHaveAnotherHeaderThenItStaysHereToo() {
		// Without what checks keys, so that this holds whether or not there are API keys
		new ApplicationContextRunner()
			.withConfiguration(
					AutoConfigurations.of(GrpcOpaAutoConfiguration.class, GrpcAuthorizationAutoConfiguration.class))
			.withBean(GrpcSecurityThreads.class)
			.withPropertyValues(url(), PREFIX + "timeout=5s", "grpc.security.authentication.api-key.header=Test-User")
			.run((context) -> {
				assertThat(code(context, CallType.UNARY)).isEqualTo(Code.OK);
				assertThat(this.questions).singleElement().asString().doesNotContain("test-user");
			});
	}

	@Test
	void policyWhenInShadowThenCoversNothing(CapturedOutput output) {
		this.runner.withPropertyValues(url(), PREFIX + "mode=shadow").run((context) -> {
			assertThat(code(context, CallType.UNARY)).isEqualTo(Code.PERMISSION_DENIED);
			assertThat(output).contains(PREFIX + "mode=shadow");
		});
	}

	@Test
	void metricsWhenThereIsARegistryThenAnswersAreTimed() {
		this.runner.withBean(MeterRegistry.class, SimpleMeterRegistry::new)
			.withPropertyValues(url(), PREFIX + "timeout=5s")
			.run((context) -> {
				code(context, CallType.UNARY);
				assertThat(context.getBean(MeterRegistry.class)
					.get(MicrometerOpaObserver.NAME)
					.tags("outcome", "allow", "mode", "enforce", "remembered", "false")
					.timer()
					.count()).isEqualTo(1);
			});
	}

	@Test
	void policyWhenMicrometerIsMissingThenWorks() {
		this.runner.withClassLoader(new FilteredClassLoader(MeterRegistry.class))
			.withPropertyValues(url())
			.run((context) -> assertThat(context).hasSingleBean(OpaPolicy.class)
				.doesNotHaveBean(MicrometerOpaObserver.class));
	}

	@Test
	void policyWhenOptionalClassesAreMissingButNotNeededThenWorks() {
		this.runner.withClassLoader(new FilteredClassLoader(Caffeine.class, JsonFormat.class))
			.withPropertyValues(url(), PREFIX + "timeout=5s")
			.run((context) -> assertThat(code(context, CallType.UNARY)).isEqualTo(Code.OK));
	}

	@Test
	void policyWhenNeededClassIsMissingThenSaysWhichToAdd() {
		this.runner.withClassLoader(new FilteredClassLoader(Caffeine.class))
			.withPropertyValues(url(), PREFIX + "cache-ttl=10s")
			.run((context) -> assertThat(invalid(context.getStartupFailure()).getReason())
				.contains("com.github.ben-manes.caffeine:caffeine"));
		this.runner.withClassLoader(new FilteredClassLoader(JsonFormat.class))
			.withPropertyValues(url(), PREFIX + "include-message=true")
			.run((context) -> assertThat(invalid(context.getStartupFailure()).getReason())
				.contains("com.google.protobuf:protobuf-java-util"));
	}

	@Test
	void policyWhenBundleIsSetThenItSaysWhomToTrust() throws Exception {
		X509Bundle certificate = new CertificateBuilder().subject("CN=opa")
			.setIsCertificateAuthority(true)
			.addSanIpAddress("127.0.0.1")
			.buildSelfSigned();
		KeyStore keys = certificate.toKeyStore("secret".toCharArray());
		KeyManagerFactory managers = KeyManagerFactory.getInstance(KeyManagerFactory.getDefaultAlgorithm());
		managers.init(keys, "secret".toCharArray());
		SSLContext tls = SSLContext.getInstance("TLS");
		tls.init(managers.getKeyManagers(), null, null);
		HttpsServer secure = HttpsServer.create(loopback(), 0);
		secure.setHttpsConfigurator(new HttpsConfigurator(tls));
		serve(secure);
		try {
			String url = PREFIX + "url=https://127.0.0.1:" + secure.getAddress().getPort();
			this.runner
				.withPropertyValues(url, PREFIX + "timeout=10s", PREFIX + "bundle=opa",
						"spring.ssl.bundle.pem.opa.truststore.certificate=" + certificate.getCertificatePEM())
				.run((context) -> assertThat(code(context, CallType.UNARY)).isEqualTo(Code.OK));
			this.runner.withPropertyValues(url, PREFIX + "timeout=10s")
				.run((context) -> assertThat(code(context, CallType.UNARY)).isEqualTo(Code.UNAVAILABLE));
			assertThat(this.questions).hasSize(1);
		}
		finally {
			secure.stop(0);
		}
	}

	static Stream<Arguments> badValues() {
		String url = PREFIX + "url=http://127.0.0.1:8181";
		return Stream.of(Arguments.of("url", List.of(PREFIX + "path=a/b"), "It is not known where OPA is"),
				Arguments.of("url", List.of(PREFIX + "url="), "It is not known where OPA is"),
				Arguments.of("url", List.of(PREFIX + "url=http://opa.example:8181"), "use https"),
				Arguments.of("url", List.of(PREFIX + "url=opa:8181"), "not an address such as"),
				Arguments.of("url", List.of(PREFIX + "url=http://local host"), "not an address such as"),
				Arguments.of("url", List.of(PREFIX + "url=https://u:p@opa.example"), "a user or a password"),
				Arguments.of("url", List.of(PREFIX + "url=https://opa.example?pretty"), "a query or a fragment"),
				Arguments.of("path", List.of(url, PREFIX + "path=/envoy/authz"), "slashes in between"),
				Arguments.of("path", List.of(url, PREFIX + "path=data.envoy.authz.allow"), "slashes in between"),
				Arguments.of("path", List.of(url, PREFIX + "path=../../policies"), "slashes in between"),
				Arguments.of("path", List.of(url, PREFIX + "path="), "slashes in between"),
				Arguments.of("timeout", List.of(url, PREFIX + "timeout=0"), "more than zero"),
				Arguments.of("timeout", List.of(url, PREFIX + "timeout=-5s"), "more than zero"),
				Arguments.of("timeout", List.of(url, PREFIX + "timeout=2m"), "more than a minute"),
				Arguments.of("cache-ttl", List.of(url, PREFIX + "cache-ttl=-1s"), "not be negative"),
				Arguments.of("max-concurrent", List.of(url, PREFIX + "max-concurrent=0"), "more than zero"),
				Arguments.of("max-message-size", List.of(url, PREFIX + "max-message-size=0"), "more than zero"),
				Arguments.of("methods", List.of(url, PREFIX + "methods="), "asked about nothing"),
				Arguments.of("methods[1]", List.of(url, PREFIX + "methods[0]=**", PREFIX + "methods[1]=/a/B"),
						"not a method pattern"),
				Arguments.of("bundle", List.of(url, PREFIX + "bundle=opa"), "not https"),
				Arguments.of("bundle", List.of(PREFIX + "url=https://opa.example", PREFIX + "bundle=opa"),
						"no SSL bundle of that name"),
				Arguments.of("token-file", List.of(url, PREFIX + "token-file=/does/not/exist"),
						"there is no file of this name"),
				Arguments.of("token-file", List.of(url, PREFIX + "token-file= "), "It names no file"));
	}

	@ParameterizedTest(name = "{0} {1}")
	@MethodSource("badValues")
	void startWhenValueIsBadThenSaysWhichAndWhy(String name, List<String> properties, String reason) {
		this.runner.withPropertyValues(properties.toArray(new String[0])).run((context) -> {
			assertThat(context).hasFailed();
			InvalidConfigurationPropertyValueException failure = invalid(context.getStartupFailure());
			assertThat(failure.getName()).isEqualTo(PREFIX + name);
			assertThat(failure.getReason()).contains(reason).endsWith(".");
		});
	}

	@ParameterizedTest
	@MethodSource("unboundValues")
	void startWhenValueCannotBeBoundThenFails(String property) {
		this.runner.withPropertyValues(url(), PREFIX + property).run((context) -> {
			assertThat(context).hasFailed();
			assertThat(context.getStartupFailure()).hasStackTraceContaining("grpc.security.authorization.opa"
					+ (property.startsWith("nosuch") ? "" : "." + property.split("=")[0]));
		});
	}

	@Test
	void startWhenThereIsAValueInPlaceOfKeysThenFails() {
		this.runner.withPropertyValues("grpc.security.authorization.opa=http://127.0.0.1:8181")
			.run((context) -> assertThat(context).hasFailed());
	}

	static Stream<String> unboundValues() {
		return Stream.of("mode=dry", "on-failure=ignore", "timeout=soon", "include-message=maybe", "nosuch=1",
				"max-concurrent=many", "max-message-size=big", "cache-ttl=long", "forward-credentials=x",
				"include-certificate=x");
	}

	private static InvalidConfigurationPropertyValueException invalid(Throwable failure) {
		Throwable cause = failure;
		while (cause != null && !(cause instanceof InvalidConfigurationPropertyValueException)) {
			cause = cause.getCause();
		}
		assertThat(cause).as("cause of %s", failure).isNotNull();
		return (InvalidConfigurationPropertyValueException) cause;
	}

	private static Code code(ApplicationContext context, CallType type) {
		return codes(context, type).get(0);
	}

	private static List<Code> codes(ApplicationContext context, CallType... types) {
		Metadata headers = TestStage.user("alice");
		headers.put(Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER), "Bearer c4n4ry");
		headers.put(Metadata.Key.of("x-api-key", Metadata.ASCII_STRING_MARSHALLER), "c4n4ry");
		try (TestServer server = TestServer.inProcess(new EchoService(),
				List.of(TestStage.authentication(), context.getBean(AuthorizationStage.class)))) {
			return Stream.of(types).map((type) -> type.call(server.channel(), headers, "hello").code()).toList();
		}
	}

}
